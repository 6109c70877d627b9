"""Gradients are those of finite differences, and the optimiser goes down."""

from collections.abc import Callable

import numpy as np
from hypothesis import assume, given
from hypothesis import strategies as st

from adamem_server.adapt.objective import Adam, Weights, contrastive, pull

STEP = 1e-6


def weights(seed: int, rank: int, dim: int) -> Weights:
    random = np.random.default_rng(seed)
    return Weights(random.standard_normal((rank, dim)), 0.5 * random.standard_normal((dim, rank)))


def differences(loss: Callable[[Weights], float], at: Weights) -> Weights:
    """The gradient by central differences, in float64."""
    found = Weights(np.zeros_like(at.a), np.zeros_like(at.b))
    for values, slope in ((at.a, found.a), (at.b, found.b)):
        for place in np.ndindex(*values.shape):
            kept = values[place]
            values[place] = kept + STEP
            above = loss(at)
            values[place] = kept - STEP
            slope[place] = (above - loss(at)) / (2 * STEP)
            values[place] = kept
    return found


def check(loss: Callable[[Weights], tuple[float, Weights]], at: Weights) -> None:
    _, gradient = loss(at)
    expected = differences(lambda weights: loss(weights)[0], at)
    # Where the loss is flat there is nothing to compare; Hypothesis fails a test that finds little else.
    assume(max(np.abs(expected.a).max(), np.abs(expected.b).max()) > 1e-3)
    np.testing.assert_allclose(gradient.a, expected.a, rtol=1e-4, atol=1e-6)
    np.testing.assert_allclose(gradient.b, expected.b, rtol=1e-4, atol=1e-6)


@given(st.integers(0, 1000), st.integers(1, 4), st.integers(2, 6), st.integers(1, 4), st.floats(0.05, 1.0))
def test_contrastive_gradient(seed: int, rank: int, dim: int, n: int, temperature: float) -> None:
    random = np.random.default_rng(seed)
    queries, candidates = random.standard_normal((n, dim)), random.standard_normal((7, dim))
    queries /= np.linalg.norm(queries, axis=1, keepdims=True)
    candidates /= np.linalg.norm(candidates, axis=1, keepdims=True)
    targets = random.random((n, 7)) * (random.random((n, 7)) < 0.4) + np.eye(n, 7) * 0.1
    targets /= targets.sum(axis=1, keepdims=True)
    importance = 0.5 + random.random(n)
    at = weights(seed + 1, rank, dim)
    check(lambda w: contrastive(w, queries, candidates, targets, importance, temperature), at)


@given(st.integers(0, 1000), st.integers(1, 4), st.integers(2, 6))
def test_pull_gradient_and_value(seed: int, rank: int, dim: int) -> None:
    at, start = weights(seed, rank, dim), weights(seed + 1, rank, dim)
    check(lambda w: pull(w, start), at)
    expected = 0.5 * np.sum((at.b @ at.a - start.b @ start.a) ** 2)
    np.testing.assert_allclose(pull(at, start)[0], expected, rtol=1e-9)
    assert abs(pull(start, start)[0]) < 1e-9


def test_loss_is_least_where_the_answer_is_alone() -> None:
    query = np.array([[1.0, 0.0]])
    still = Weights(np.ones((1, 2)), np.zeros((2, 1)))
    candidates = np.array([[1.0, 0.0], [0.0, 1.0]])
    right, wrong = (
        contrastive(still, query, candidates, np.array([target]), np.ones(1), 0.5)[0] for target in ([1, 0], [0, 1])
    )
    np.testing.assert_allclose([right, wrong], [np.log1p(np.exp(-2)), np.log1p(np.exp(2))])


def test_adam_finds_the_bottom() -> None:
    start, goal = weights(0, 2, 3), weights(1, 2, 3)
    at, adam = start, Adam(start, 0.05)
    for _ in range(400):
        at = adam.step(at, Weights(at.a - goal.a, at.b - goal.b))
    np.testing.assert_allclose(at.a, goal.a, atol=1e-2)
    np.testing.assert_allclose(at.b, goal.b, atol=1e-2)
    assert not np.allclose(start.a, goal.a, atol=0.1), "the start was changed in place, or is the goal"
