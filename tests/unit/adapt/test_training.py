"""Training finds what is there to learn, also for questions it has not seen; it can be stopped, and it repeats."""

from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest

from adamem_server.adapt.adapter import Adapter
from adamem_server.adapt.objective import Weights
from adamem_server.adapt.pairs import Example
from adamem_server.adapt.training import TrainingSettings, build_problem, mean_loss, train
from adamem_server.adapt.whitening import whitening
from tests.unit.adapt.worlds import DIM, never, rows, slots, taught, turned

SETTINGS = TrainingSettings(rank=16, learning_rate=1e-2, epochs=30, pull=0.01)
SLOTS = slots()


def recall(weights: Weights | None, numbers: range, k: int = 1) -> float:
    """Share of the questions whose answer is among the k nearest slots."""
    queries = turned(SLOTS)[numbers]
    if weights is not None:
        queries = Adapter(lora_A=weights.a, lora_B=weights.b, model="m", model_revision="r").apply(queries)
    scores = queries @ SLOTS.T
    own = scores[np.arange(len(queries)), numbers]
    return float(np.mean((scores > own[:, None]).sum(axis=1) < k))


def trained(**changes: object) -> Weights:
    found = train(taught(SLOTS, range(150)), SLOTS, never, replace(SETTINGS, **changes))
    assert found is not None
    return found


def test_it_learns_what_it_was_taught_and_what_it_was_not() -> None:
    found = trained()
    assert recall(None, range(200)) < 0.1
    assert recall(found, range(150)) > 0.7
    assert recall(found, range(150, 200)) > 0.4


def test_the_same_seed_gives_the_same_bits_and_another_others() -> None:
    one, again, other = trained(epochs=2), trained(epochs=2), trained(epochs=2, seed=1)
    assert one.a.tobytes() == again.a.tobytes()
    assert one.b.tobytes() == again.b.tobytes()
    assert one.b.tobytes() != other.b.tobytes()
    assert one.a.dtype == one.b.dtype == np.float32


def test_a_stronger_pull_stays_nearer_to_the_start() -> None:
    start = trained(epochs=0)
    far = [
        float(np.linalg.norm(found.b @ found.a - start.b @ start.a))
        for found in (trained(pull=0.0), trained(pull=1.0), trained(pull=100.0))
    ]
    assert far[0] > 2 * far[1] > 4 * far[2] > 0.0


def test_little_teaching_moves_less() -> None:
    start = trained(epochs=0)
    moves = []
    for n in (5, 150):
        # One batch holds all, so both take as many steps.
        settings = replace(SETTINGS, batch=150, pull=1.0, epochs=60)
        found = train(taught(SLOTS, range(n)), SLOTS, never, settings, start=start)
        assert found is not None
        moves.append(float(np.linalg.norm(found.b @ found.a - start.b @ start.a)))
    assert 0.0 < moves[0] < 0.5 * moves[1]


@pytest.mark.parametrize("n_questions", [0, 1, 3, 40])
def test_it_stops_when_told(n_questions: int) -> None:
    asked = 0

    def should_stop() -> bool:
        nonlocal asked
        asked += 1
        return asked > n_questions

    assert train(taught(SLOTS, range(150)), SLOTS, should_stop, SETTINGS) is None
    assert asked == n_questions + 1, "it went on after it was told to stop"


def test_it_asks_before_each_step() -> None:
    def asked(epochs: int) -> int:
        n = 0

        def count() -> bool:
            nonlocal n
            n += 1
            return False

        assert train(taught(SLOTS, range(150)), SLOTS, count, replace(SETTINGS, epochs=epochs)) is not None
        return n

    assert asked(3) - asked(2) == 10  # 150 examples in batches of 16


def test_steps_are_bounded() -> None:
    assert trained(max_steps=10, epochs=50).b.tobytes() == trained(epochs=1).b.tobytes()


def test_held_out_examples_choose_the_epoch() -> None:
    # Wrong answers: the longer they are learned, the worse for right ones.
    right, held = taught(SLOTS, range(150)), taught(SLOTS, range(150, 200))
    teach = [replace(one, positives=other.positives) for one, other in pairwise(right)]
    problem = build_problem(held, SLOTS)

    def loss(weights: Weights | None) -> float:
        assert weights is not None
        found = mean_loss(problem, weights, SETTINGS, never)
        assert found is not None
        return found

    stopped = train(teach, SLOTS, never, SETTINGS, held)
    last = train(teach, SLOTS, never, SETTINGS)
    first = train(teach, SLOTS, never, replace(SETTINGS, epochs=1))
    assert loss(stopped) < loss(last) - 0.1
    assert loss(stopped) <= loss(first)


def test_without_examples_it_whitens() -> None:
    found, expected = train((), SLOTS, never, SETTINGS), whitening(SLOTS, 16, SETTINGS.ridge, 0, never)
    assert found is not None
    assert expected is not None
    assert found.b.tobytes() == expected.b.tobytes()


def test_without_anything_it_refuses() -> None:
    with pytest.raises(ValueError, match="nothing"):
        train((), SLOTS[:0], never, SETTINGS)


def test_large_namespaces_are_sampled() -> None:
    many = np.concatenate([SLOTS, slots(3000, 7)])
    found = train(taught(SLOTS, range(150)), many, never, replace(SETTINGS, max_candidates=300))
    assert recall(found, range(150)) > 0.5


def test_a_common_set_of_candidates_without_repetition() -> None:
    vectors = rows(10, 3)
    one = Example(query=rows(1, 4)[0], positives=vectors[[1, 1, 2]], negatives=vectors[[3]])
    two = Example(query=rows(1, 5)[0], positives=vectors[[9]], negatives=vectors[[1]], weight=0.5)
    problem = build_problem([one, two], np.concatenate([vectors[:4], vectors[:2]]))
    assert sorted(map(bytes, problem.candidates)) == sorted(map(bytes, vectors[[0, 1, 2, 3, 9]]))
    answers = [problem.candidates[row > 0] for row in problem.targets]
    assert {bytes(row) for row in answers[0]} == {bytes(row) for row in vectors[[1, 2]]}
    assert {bytes(row) for row in answers[1]} == {bytes(vectors[9])}
    assert problem.targets.sum(axis=1).tolist() == [1.0, 1.0]
    assert problem.importance.tolist() == [1.0, 0.5]


@pytest.mark.parametrize("n", [1, 2, 5, 40, 300])
def test_whitening_is_the_inverse_of_the_second_moment(n: int) -> None:
    vectors, rank, ridge = slots(n), 8, 0.02
    found = whitening(vectors, rank, ridge, 0, never)
    assert found is not None
    assert found.a.shape == (rank, DIM)
    n_directions = min(rank, n // 2)
    assert not found.b[:, n_directions:].any()
    values, directions = np.linalg.eigh(vectors.T.astype(np.float64) @ vectors / n)
    values, directions = values[::-1], directions[:, ::-1]
    kept = (values[n_directions] + ridge) / (values[:n_directions] + ridge)
    lead = directions[:, :n_directions]
    expected = -(lead * (1.0 - kept)) @ lead.T
    np.testing.assert_allclose(found.b @ found.a, expected, atol=0.05)
    if n >= 40:
        assert np.linalg.norm(expected) > 0.5, "nothing to whiten"


def test_whitening_takes_away_what_all_share() -> None:
    shared = rows(1, 99)[0]
    found = whitening(SLOTS, 8, 0.01, 0, never)
    assert found is not None
    queries = turned(SLOTS) + shared
    moved = queries + queries @ found.a.T @ found.b.T
    assert np.abs(moved @ shared).mean() < 0.3 * np.abs(queries @ shared).mean()
