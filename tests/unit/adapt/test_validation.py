"""The gate lets through what helps, holds back what harms, and is rarely fooled by chance."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from adamem_server.adapt.adapter import Adapter
from adamem_server.adapt.validation import GateSettings, cross_validate, folds, improvement_probability, judge

SETTINGS = GateSettings(n_folds=4, shifts=(0.1, 0.0, 0.2))
ADAPTER = Adapter(lora_A=np.ones((1, 2), np.float32), lora_B=np.ones((2, 1), np.float32), model="m", model_revision="r")


@given(st.integers(0, 50), st.integers(1, 10), st.integers(0, 3))
def test_folds_part_all(n: int, n_folds: int, seed: int) -> None:
    parts = folds(n, n_folds, seed)
    assert sorted(i for part in parts for i in part) == list(range(n))
    assert len(parts) == min(n, n_folds)
    assert not parts or max(map(len, parts)) - min(map(len, parts)) <= 1


def test_probability_of_clear_cases() -> None:
    assert improvement_probability(np.full(20, 0.5), 500, 0) == 1.0
    assert improvement_probability(np.full(20, -0.5), 500, 0) == 0.0
    assert improvement_probability(np.zeros(20), 500, 0) == 0.5
    assert improvement_probability(np.zeros(0), 500, 0) == 0.0


@given(st.lists(st.sampled_from([-1.0, -0.5, 0.0, 0.5, 1.0]), min_size=1, max_size=30))
def test_probability_is_symmetric(values: list[float]) -> None:
    differences = np.array(values)
    there = improvement_probability(differences, 500, 3)
    assert 0.0 <= there <= 1.0
    np.testing.assert_allclose(there + improvement_probability(-differences, 500, 3), 1.0)


@pytest.mark.parametrize(("gain", "promoted"), [(0.3, True), (0.0, False), (-0.3, False)])
def test_the_gate(gain: float, promoted: bool) -> None:
    baseline = np.tile([0.0, 0.5, 0.4, 0.5], 10)
    verdict = judge(baseline, baseline + gain, SETTINGS)
    assert verdict.promote is promoted
    np.testing.assert_allclose([verdict.baseline, verdict.candidate], [0.35, 0.35 + gain])
    assert verdict.n_pairs == 40


def test_too_few_pairs_are_no_proof() -> None:
    few = SETTINGS.min_pairs - 1
    assert not judge(np.zeros(few), np.ones(few), SETTINGS).promote
    assert judge(np.zeros(few + 1), np.ones(few + 1), SETTINGS).promote
    assert judge(np.zeros(0), np.zeros(0), SETTINGS).probability == 0.0


def test_chance_seldom_passes() -> None:
    """Of adapters that change hits at random, no more than 1 - confidence may pass, up to 3 standard deviations."""
    settings = replace(SETTINGS, confidence=0.9, n_resamples=500)
    random = np.random.default_rng(0)
    passed = [judge(np.zeros(60), random.choice([-1.0, 0.0, 1.0], 60), settings).promote for _ in range(300)]
    assert 0.02 < np.mean(passed) < 0.1 + 3 * np.sqrt(0.1 * 0.9 / 300)


class Bench:
    """A training whose gain and best shift are known; it notes what was taught and asks only for what was not."""

    def __init__(self, gain: float, best_shift: float = 0.1, by_shift: float = 0.0) -> None:
        self.gain, self.best_shift, self.by_shift = gain, best_shift, by_shift
        self.taught: list[set[int]] = []
        self.ranked: list[int] = []

    def fit(self, numbers: Sequence[int]) -> Adapter | None:
        self.taught.append(set(numbers))
        return ADAPTER

    def evaluate(self, adapter: Adapter | None, numbers: Sequence[int]) -> NDArray[np.float64]:
        if adapter is None:
            self.ranked += numbers
            return np.full(len(numbers), 0.4)
        assert not set(numbers) & self.taught[-1], "judged on what it was taught"
        extra = self.by_shift if adapter.dense_shift == self.best_shift else 0.0
        return np.full(len(numbers), 0.4 + self.gain + extra)


def shifted(adapter: Adapter, shift: float) -> Adapter:
    return replace(adapter, dense_shift=shift)


@pytest.mark.parametrize(("gain", "promoted"), [(0.1, True), (0.0, False), (-0.1, False)])
def test_pairs_are_judged_unseen_and_once(gain: float, promoted: bool) -> None:
    bench = Bench(gain)
    verdict = cross_validate(41, bench.fit, bench.evaluate, shifted, SETTINGS)
    assert verdict is not None
    assert verdict.promote is promoted
    np.testing.assert_allclose(verdict.candidate - verdict.baseline, gain, atol=1e-12)
    assert sorted(bench.ranked) == list(range(41))
    assert all(len(numbers) in {30, 31} for numbers in bench.taught)
    assert len(bench.taught) == SETTINGS.n_folds


def test_the_first_shift_is_kept_unless_another_is_better() -> None:
    for by_shift, expected in ((0.0, 0.1), (0.1, 0.2)):
        bench = Bench(0.1, best_shift=0.2, by_shift=by_shift)
        verdict = cross_validate(40, bench.fit, bench.evaluate, shifted, SETTINGS)
        assert verdict is not None
        assert verdict.dense_shift == expected
        np.testing.assert_allclose(verdict.candidate, 0.5 + by_shift)


def test_with_few_pairs_nothing_is_trained() -> None:
    bench = Bench(0.5)
    verdict = cross_validate(SETTINGS.min_pairs - 1, bench.fit, bench.evaluate, shifted, SETTINGS)
    assert verdict is not None
    assert not verdict.promote
    assert not bench.taught


def test_a_stopped_training_gives_no_verdict() -> None:
    bench = Bench(0.5)
    assert cross_validate(40, lambda numbers: None, bench.evaluate, shifted, SETTINGS) is None
    assert not bench.ranked
