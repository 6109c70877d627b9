"""Codes and partitions by themselves, on rows for which the answer is known."""

import numpy as np
import pytest

from bench import codes
from bench.datasets import exact


def test_the_lattice_is_even() -> None:
    points = codes.lattice(1000)
    assert np.linalg.norm(points, axis=1) == pytest.approx(1)
    assert np.abs(points.mean(axis=0)).max() < 1e-2
    assert (points.T @ points / 1000) == pytest.approx(np.eye(3) / 3, abs=1e-2)


def test_centroids_find_the_groups() -> None:
    rng = np.random.default_rng(1)
    rows = np.concatenate([rng.normal(at, 0.01, (50, 2)) for at in (-1, 1)]).astype(np.float32)
    points = codes.centroids(rows, 2, rng)
    assert sorted(points[:, 0]) == pytest.approx([-1, 1], abs=0.02)
    assert (codes.nearest(rows, points)[:50] != codes.nearest(rows, points)[50:]).all()


def test_the_rotation_by_eigenvalues_keeps_lengths_and_balances() -> None:
    rng = np.random.default_rng(2)
    rows = (rng.standard_normal((2000, 8)) * np.arange(1, 9)).astype(np.float32)
    rotation = codes.balanced(rows, 4)
    assert rotation.T @ rotation == pytest.approx(np.eye(8), abs=1e-4)
    volumes = np.log((rows @ rotation).var(axis=0)).reshape(2, 4).sum(axis=1)
    assert abs(volumes[0] - volumes[1]) < 1


def test_more_bits_find_more_and_each_code_is_better_than_chance() -> None:
    rng = np.random.default_rng(3)
    rows = rng.standard_normal((2020, 48)).astype(np.float32)
    rows /= np.linalg.norm(rows, axis=1, keepdims=True)
    base, queries = rows[:2000], rows[2000:]
    truth = exact(base, queries, codes.K)
    found = {name: shares for name, _, shares in codes.codes(base, queries, truth)}
    assert len(found) == 6
    for shares in found.values():
        assert shares == sorted(shares)
        assert shares[0] > 0.1
    assert found["lattice of 3"][2] > found["random of 3"][2] > 0.3
    kept = dict(codes.partitions(base, queries, truth))
    assert kept["k-means"] > kept["lattice of the three leading components"]
