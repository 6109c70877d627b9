"""Weights of signals: what helps gets weight, what says nothing gets none, and what others saw is a start."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from safetensors.numpy import load, save

from adamem_server.adapt.adapter import Adapter
from adamem_server.adapt.ranker import MAX_CANDIDATES, Ranker, Seen, Told, _Problem, cross_validated, learn
from adamem_server.adapt.validation import folds
from adamem_server.errors import DataCorruptError
from tests.unit.adapt.worlds import never

N = 4
GOLDEN = Path(__file__).parents[2] / "compat/adapters"


def told(n: int, seed: int = 0, *, tells: int = 0, m: int = 30) -> list[Told]:
    """Questions whose answer is the candidate with the largest of one signal, which the scores do not know."""
    random = np.random.default_rng(seed)
    found = []
    for _ in range(n):
        signals = random.standard_normal((m, N)).astype(np.float32)
        helped = np.arange(m) == signals[:, tells].argmax()
        found.append(Told(random.standard_normal(m).astype(np.float32), signals, helped, 1))
    return found


def weights_of(questions: Sequence[Told], others: Seen | None = None) -> np.ndarray:
    found = learn(questions, N, others or Seen.nothing(N), never)
    assert found is not None
    return found[0]


def quality(questions: Sequence[Told], weights: np.ndarray) -> float:
    return float(np.mean([each.quality(weights) for each in questions]))


def test_a_signal_that_tells_is_found() -> None:
    weights = weights_of(told(60))
    assert weights[0] > 0.3 > 2 * np.abs(weights[1:]).max()
    unseen, nothing = told(40, seed=9), np.zeros(N, np.float32)
    assert quality(unseen, weights) > quality(unseen, nothing) + 0.2


def test_without_questions_nothing_is_learned() -> None:
    found = learn([], N, Seen.nothing(N), never)
    assert found is not None
    assert not found[0].any()
    assert not found[1].curvature.any()
    unanswered = [replace(each, helped=np.zeros_like(each.helped)) for each in told(5)]
    assert not weights_of(unanswered).any()


def test_the_gradient_is_that_of_the_loss() -> None:
    problem, random = _Problem(told(12), N), np.random.default_rng(1)
    at, step = random.standard_normal(N), 1e-2
    slope, curvature = problem.derivatives(at)
    for i, unit in enumerate(np.eye(N)):
        ahead, behind = at + step * unit, at - step * unit
        assert slope[i] == pytest.approx((problem.loss(ahead) - problem.loss(behind)) / (2 * step), abs=2e-2)
        expected = (problem.derivatives(ahead)[0] - problem.derivatives(behind)[0]) / (2 * step)
        np.testing.assert_allclose(curvature[i], expected, atol=2e-2)


def test_what_others_saw_counts_as_their_questions_would() -> None:
    ours, theirs = told(10, seed=1), told(60, seed=2)
    seen = learn(theirs, N, Seen.nothing(N), never)
    assert seen is not None
    together = weights_of([*ours, *theirs])
    np.testing.assert_allclose(weights_of(ours, seen[1]), together, atol=0.1)
    np.testing.assert_allclose(weights_of([], seen[1]), seen[0], atol=0.05)
    assert weights_of(ours)[0] < together[0]


def test_what_others_saw_is_not_told_as_ours() -> None:
    ours = told(10, seed=1)
    theirs = learn(told(60, seed=2), N, Seen.nothing(N), never)
    assert theirs is not None
    found = learn(ours, N, theirs[1], never)
    assert found is not None
    assert np.trace(found[1].curvature) < 0.5 * np.trace(theirs[1].curvature)


def test_each_question_is_judged_by_the_others() -> None:
    questions = told(40)
    # Noise alone: what is learned from some questions says nothing of the others.
    random = np.random.default_rng(3)
    noise = [replace(each, helped=np.roll(each.helped, int(random.integers(30)))) for each in questions]
    nothing = np.zeros(N, np.float32)
    for some, gains in ((questions, True), (noise, False)):
        found = cross_validated(some, N, Seen.nothing(N), folds(len(some), 8, 0), never)
        assert found is not None
        assert (float(found.mean()) > quality(some, nothing) + 0.1) == gains


def test_it_stops_when_told() -> None:
    assert learn(told(5), N, Seen.nothing(N), lambda: True) is None
    assert cross_validated(told(16), N, Seen.nothing(N), folds(16, 8, 0), lambda: True) is None


@given(st.integers(1, 300), st.integers(0, 100))
def test_the_best_candidates_are_told_apart(m: int, seed: int) -> None:
    random = np.random.default_rng(seed)
    scores = random.standard_normal(m).astype(np.float32)
    best = Told.best(scores, scores[:, None], scores > 0, 1)
    assert best.scores.tolist() == sorted(scores.tolist(), reverse=True)[:MAX_CANDIDATES]
    assert (best.signals[:, 0] == best.scores).all()
    assert (best.helped == (best.scores > 0)).all()


def ranker() -> Ranker:
    found = learn(told(20), N, Seen.nothing(N), never)
    assert found is not None
    return Ranker(("a", "b", "c", "d"), *found)


def test_it_survives_as_bytes() -> None:
    one, bare = ranker(), np.zeros((1, 8), np.float32)
    adapter = Adapter(lora_A=bare, lora_B=bare.T.copy(), model="m", model_revision="r", ranker=one)
    read = Adapter.from_bytes(adapter.to_bytes()).ranker
    assert read is not None
    assert read.named() == one.named()
    np.testing.assert_array_equal(read.seen.curvature, one.seen.curvature)
    np.testing.assert_array_equal(read.seen.push, one.seen.push)
    without = replace(adapter, ranker=None)
    assert Adapter.from_bytes(without.to_bytes()).ranker is None


@pytest.mark.parametrize("name", ["ranking_weights", "ranking_curvature", "ranking_push"])
def test_a_tensor_that_does_not_fit_is_told(name: str) -> None:
    bare = np.zeros((1, 8), np.float32)
    adapter = Adapter(lora_A=bare, lora_B=bare.T.copy(), model="m", model_revision="r", ranker=ranker())
    tensors = load(adapter.to_bytes())
    metadata = {"model": "m", "model_revision": "r", "dim": "8", "rank": "1", "version": "0", "n_pairs": "0"}
    metadata |= {"dense_shift": "0.0", "signals": "a b c d"}
    assert Adapter.from_bytes(bytes(save(tensors, metadata))).ranker is not None
    for broken in ({**tensors, name: tensors[name][:2]}, {**tensors, name: tensors[name] * np.nan}):
        with pytest.raises(DataCorruptError):
            Adapter.from_bytes(bytes(save(broken, metadata)))
    del tensors[name]
    with pytest.raises(DataCorruptError):
        Adapter.from_bytes(bytes(save(tensors, metadata)))


@pytest.mark.parametrize(
    ("name", "learned"), [("adapter", {}), ("ranker", {"dense": 0.25, "both_sides": -0.5, "digits": 1.0})]
)
def test_files_of_former_versions_open(name: str, learned: dict[str, float]) -> None:
    adapter = Adapter.from_bytes((GOLDEN / f"{name}.v1.safetensors").read_bytes())
    assert (adapter.version, adapter.n_pairs, adapter.dense_shift, adapter.rank, adapter.dim) == (4, 100, 0.1, 2, 8)
    assert (adapter.ranker.named() if adapter.ranker else {}) == learned
    if adapter.ranker:
        assert adapter.ranker.seen.curvature.tolist() == np.diag([1.0, 2.0, 3.0]).tolist()
        assert adapter.ranker.seen.push.tolist() == [0.5, -1.0, 1.5]
