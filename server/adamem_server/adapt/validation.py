"""Whether a trained adapter may serve: it is judged through the whole ranking, on pairs that it has not seen."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from adamem_server.adapt.adapter import Adapter

# Quality of each of the numbered pairs, float64 [n], 0..1, through the whole ranking with this adapter, or with none.
# Best a graded one, as nDCG at 20: recall at 5 moves too seldom on some 75 pairs to tell a good adapter from chance.
Evaluate = Callable[[Adapter | None, Sequence[int]], NDArray[np.float64]]
# An adapter trained on the numbered pairs; None if training was stopped.
Fit = Callable[[Sequence[int]], Adapter | None]
# The same adapter with another share for the dense side.
Shifted = Callable[[Adapter, float], Adapter]
# Told of each part's unseen pairs after they were ranked: without an adapter, and with the one of the other parts.
Observe = Callable[[Adapter | None, Sequence[int]], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class GateSettings:
    """How sure to be.

    The confidence is low on purpose: adapters that are pulled to their start seldom harm, held-out pairs are few, and a
    part's adapter knows less than the one that would serve. Many folds make it know nearly as much.

    Attributes:
        n_folds: Parts that the pairs are cut into, at least 2; one more adapter is trained than this.
        min_pairs: With fewer, nothing is promoted.
        confidence: Share of bootstrap resamples in which the candidate must be better, 0.5..1.
        n_resamples: Of the bootstrap.
        shifts: Tried additions to the dense side's share. The first one is taken unless another is likely to be better.
        shift_confidence: As `confidence`, for a shift against the first one.
        seed: Of the folds and the bootstrap.
    """

    n_folds: int = 8
    min_pairs: int = 12
    confidence: float = 0.6
    n_resamples: int = 2000
    shifts: tuple[float, ...] = (0.1, 0.0, 0.05, 0.15)
    shift_confidence: float = 0.9
    seed: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """What validation found.

    `baseline` and `candidate` are mean qualities on the same held-out pairs, `probability` the bootstrap's that the
    candidate is better, `dense_shift` the fusion's best adjustment; `n_pairs` were judged.
    """

    promote: bool
    baseline: float
    candidate: float
    probability: float
    dense_shift: float
    n_pairs: int


def improvement_probability(differences: NDArray[np.float64], n_resamples: int, seed: int) -> float:
    """Share of paired bootstrap resamples whose mean difference is above 0, ties counting half.

    Source: Efron and Tibshirani 1993, section 16.4. Deterministic. Cost: `O(n * n_resamples)`; no differences: 0.
    """
    n = len(differences)
    if n == 0:
        return 0.0
    # Resampling n of n is a multinomial draw of how often each counts.
    counts = np.random.default_rng(seed).multinomial(n, np.full(n, 1.0 / n), size=n_resamples)
    means = counts @ differences / n
    tolerance = 1e-12
    return float(np.mean(means > tolerance) + 0.5 * np.mean(np.abs(means) <= tolerance))


def folds(n: int, n_folds: int, seed: int) -> list[list[int]]:
    """The numbers 0..n-1 in `n_folds` parts of sizes that differ by at most one, shuffled."""
    order = np.random.default_rng(seed).permutation(n)
    return [sorted(part.tolist()) for part in np.array_split(order, n_folds) if len(part)]


def cross_validate(
    n_pairs: int,
    fit: Fit,
    evaluate: Evaluate,
    shifted: Shifted,
    settings: GateSettings | None = None,
    observe: Observe | None = None,
) -> Verdict | None:
    """Judge a way of training: each part of the pairs is ranked by an adapter that was trained on the other parts.

    Every pair so counts once, unseen, and an adapter trained on all of them can be expected to do no worse. The dense
    side's share is chosen on the same pairs, and moved only where that is likely to help.

    Returns:
        The verdict against no adapter, None if training was stopped. Cost: `n_folds` trainings, and each pair ranked
        `1 + len(shifts)` times.
    """
    settings = settings or GateSettings()
    if n_pairs < max(settings.min_pairs, settings.n_folds):
        return Verdict(promote=False, baseline=0.0, candidate=0.0, probability=0.0, dense_shift=0.0, n_pairs=n_pairs)
    baseline = np.zeros(n_pairs)
    qualities = np.zeros((len(settings.shifts), n_pairs))
    for part in folds(n_pairs, settings.n_folds, settings.seed):
        unseen = set(part)
        adapter = fit([i for i in range(n_pairs) if i not in unseen])
        if adapter is None:
            return None
        baseline[part] = evaluate(None, part)
        if observe is not None:
            observe(None, part)
        for row, shift in enumerate(settings.shifts):
            qualities[row, part] = evaluate(shifted(adapter, shift), part)
        if observe is not None:
            observe(shifted(adapter, settings.shifts[0]), part)
    best = _best_shift(qualities, settings)
    return judge(baseline, qualities[best], settings, dense_shift=settings.shifts[best])


def judge(
    baseline: NDArray[np.float64],
    candidate: NDArray[np.float64],
    settings: GateSettings | None = None,
    dense_shift: float = 0.0,
) -> Verdict:
    """The gate: promote if the candidate's qualities on unseen pairs are better than the baseline's, both float64 [n].

    Better is a positive mean difference that the paired bootstrap confirms with `confidence`. To compare with an
    adapter that serves, give pairs that are younger than it: on its own pairs it is flattered.
    """
    settings = settings or GateSettings()
    differences = candidate - baseline
    n = len(differences)
    probability = improvement_probability(differences, settings.n_resamples, settings.seed)
    better = n >= settings.min_pairs and float(differences.mean()) > 0.0
    return Verdict(
        promote=better and probability >= settings.confidence,
        baseline=float(baseline.mean()) if n else 0.0,
        candidate=float(candidate.mean()) if n else 0.0,
        probability=probability,
        dense_shift=dense_shift,
        n_pairs=n,
    )


def chosen(first: NDArray[np.float64], second: NDArray[np.float64], settings: GateSettings) -> bool:
    """Whether the second of two ways is likely to be better, by their qualities on the same pairs, each float64 [n]."""
    likely = improvement_probability(second - first, settings.n_resamples, settings.seed)
    return likely >= settings.shift_confidence


def _best_shift(qualities: NDArray[np.float64], settings: GateSettings) -> int:
    """The row of the highest mean quality, if it is likely to be better than row 0 and not by chance; else row 0."""
    best = int(qualities.mean(axis=1).argmax())
    likely = improvement_probability(qualities[best] - qualities[0], settings.n_resamples, settings.seed)
    return best if likely >= settings.shift_confidence else 0
