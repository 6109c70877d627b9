"""Training of one adapter from examples: small steps on the calling thread, the same result for the same seed."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from adamem_server.adapt.objective import Adam, Weights, contrastive, pull
from adamem_server.adapt.pairs import Example
from adamem_server.adapt.whitening import whitening
from adamem_server.types import FloatVector

ShouldStop = Callable[[], bool]


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainingSettings:
    """How to train.

    Defaults were chosen on LoCoMo through the whole ranking, by all tested questions and by those whose evidence was
    never taught; neighbouring values do nearly as well.

    Attributes:
        rank: Directions that the adapter may use, 1 to dim.
        temperature: Of the contrastive loss, above 0.
        learning_rate: Of Adam.
        batch: Questions in a step, at least 1.
        epochs: Passes over the examples.
        max_steps: Bound on the steps whatever the number of examples.
        pull: Weight of the pull of `B A` back to its start at 100 examples; inversely proportional to their number.
        ridge: Added to the slots' second moment in the start's whitening; smaller whitens more.
        max_candidates: Slots that answers are told from at a time, beside the examples' own; more are sampled.
        patience: Epochs without a better loss on held-out examples until training ends.
        seed: Of all randomness.
    """

    rank: int = 32
    temperature: float = 0.05
    learning_rate: float = 1e-3
    batch: int = 16
    epochs: int = 40
    max_steps: int = 300
    pull: float = 0.3
    ridge: float = 0.03
    max_candidates: int = 2048
    patience: int = 5
    seed: int = 0


@dataclass(frozen=True, slots=True, eq=False)
class Problem:
    """Examples as arrays: queries [n, dim], candidates [m, dim], targets [n, m] with rows of sum 1, importance [n]."""

    queries: FloatVector
    candidates: FloatVector
    targets: FloatVector
    importance: FloatVector


def train(
    taught: Sequence[Example],
    slots: FloatVector,
    should_stop: ShouldStop,
    settings: TrainingSettings | None = None,
    held_out: Sequence[Example] = (),
    start: Weights | None = None,
) -> Weights | None:
    """Train the two matrices of an adapter.

    Args:
        taught: What to learn; none leaves the start as it is, which whitens.
        slots: The namespace's vectors, or a uniform sample of them: float32 [n, dim], unit norm. Of more than
            `max_candidates` a sample is drawn. Answers are told from these and from all slots of the examples.
        should_stop: Asked between steps of at most some milliseconds. It may block to let others use the core; True
            ends the training.
        settings: How.
        held_out: Where there are some, the weights after the epoch with the lowest loss on them are returned.
        start: Where to begin, and what to be pulled to, as the server-wide adapter; without it, the slots' whitening.

    Returns:
        The weights, float32; None if `should_stop` ended it. Memory: `O((n_examples + dim) * candidates)`.

    Raises:
        ValueError: No slots and no examples.
    """
    settings = settings or TrainingSettings()
    random = np.random.default_rng(settings.seed)
    if len(slots) > settings.max_candidates:
        slots = slots[np.sort(random.choice(len(slots), settings.max_candidates, replace=False))]
    if not len(slots) and not taught:
        raise ValueError("there is nothing to train on")
    if start is None:
        background = slots if len(slots) else np.concatenate([example.positives for example in taught])
        start = whitening(background, settings.rank, settings.ridge, settings.seed, should_stop)
    if start is None or not taught:
        return start
    if should_stop():
        return None
    problem = build_problem(taught, slots)
    check = build_problem(held_out, slots) if held_out else None
    return _descend(problem, check, start, random, should_stop, settings)


def build_problem(taught: Sequence[Example], slots: FloatVector) -> Problem:
    """Examples against common candidates: `slots`, and the positives and negatives of all examples, each vector once.

    So an example's answers are never among what it is told from, also where slots hold the same text twice.
    """
    blocks = [slots]
    for example in taught:
        blocks += [example.positives, example.negatives]
    rows = np.concatenate(blocks).astype(np.float32, copy=False)
    places: dict[bytes, int] = {}
    numbers = [places.setdefault(row.tobytes(), len(places)) for row in rows]
    candidates = np.empty((len(places), rows.shape[1]), np.float32)
    candidates[numbers] = rows
    targets = np.zeros((len(taught), len(places)), np.float32)
    for i, example in enumerate(taught):
        answers = {places[row.tobytes()] for row in example.positives.astype(np.float32, copy=False)}
        targets[i, list(answers)] = 1.0 / len(answers)
    importance = np.array([example.weight for example in taught], np.float32)
    return Problem(np.stack([example.query for example in taught]), candidates, targets, importance)


def mean_loss(problem: Problem, weights: Weights, settings: TrainingSettings, should_stop: ShouldStop) -> float | None:
    """The contrastive loss per example, without the pull; None if `should_stop` ended it."""
    total = 0.0
    for batch in _batches(np.arange(len(problem.queries)), settings.batch):
        if should_stop():
            return None
        total += _batch_loss(problem, batch, weights, settings.temperature)[0] * len(batch)
    return total / len(problem.queries)


def _descend(
    problem: Problem,
    check: Problem | None,
    start: Weights,
    random: np.random.Generator,
    should_stop: ShouldStop,
    settings: TrainingSettings,
) -> Weights | None:
    n = len(problem.queries)
    strength = settings.pull * 100.0 / n
    weights, adam, n_steps = start, Adam(start, settings.learning_rate), 0
    best, best_loss, n_worse = start, np.inf, 0
    for _ in range(settings.epochs):
        for batch in _batches(random.permutation(n), settings.batch):
            if should_stop():
                return None
            if n_steps == settings.max_steps:
                break
            _, slope = _batch_loss(problem, batch, weights, settings.temperature)
            _, back = pull(weights, start)
            gradient = Weights(slope.a + strength * back.a, slope.b + strength * back.b)
            weights = adam.step(weights, gradient)
            n_steps += 1
        if check is not None:
            loss = mean_loss(check, weights, settings, should_stop)
            if loss is None:
                return None
            best, best_loss, n_worse = (weights, loss, 0) if loss < best_loss else (best, best_loss, n_worse + 1)
        if n_worse > settings.patience or n_steps == settings.max_steps:
            break
    return weights if check is None else best


def _batches(order: NDArray[np.int64], size: int) -> list[NDArray[np.int64]]:
    return [order[first : first + size] for first in range(0, len(order), size)]


def _batch_loss(
    problem: Problem, batch: NDArray[np.int64], weights: Weights, temperature: float
) -> tuple[float, Weights]:
    return contrastive(
        weights,
        problem.queries[batch],
        problem.candidates,
        problem.targets[batch],
        problem.importance[batch],
        temperature,
    )
