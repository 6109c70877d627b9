"""What codes of four bits a group are worth apart from any index: `python -m bench.codes DIR` prints two tables.

Codes are of the difference of each row from the mean, after a rotation; estimates are those of the index
(`rust_index/core/src/qg/block.rs`) in full precision. The first table has the share of the true ten nearest among the
nearest 10, 20 and 50 by estimate, the second what is kept of them in the first cells of a partition, 5 % of the rows.
Source of the lattice: Keinert et al., "Spherical Fibonacci mapping" (2015).
"""

import argparse
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from bench.adapters.base import Ids, Rows
from bench.datasets import Vectors
from bench.run import DEFAULT_CACHE, DEFAULT_VECTORS

K: Final = 10
DEPTHS: Final = (10, 20, 50)
N_POINTS: Final = 16
N_CELLS: Final = 1024
N_TRAINED: Final = 4096
N_ROUNDS: Final = 12
N_QUERIES: Final = 500
SCANNED_SHARE: Final = 0.05
BLOCK: Final = 10_000


def lattice(n: int) -> Rows:
    """Directions of the spherical Fibonacci lattice: `[n, 3]`, unit norm."""
    i = np.arange(n)
    height = 1 - (2 * i + 1) / n
    turn = i * np.pi * (3 - np.sqrt(5))
    radius = np.sqrt(1 - height**2)
    return np.stack([radius * np.cos(turn), radius * np.sin(turn), height], axis=1).astype(np.float32)


def nearest(rows: Rows, points: Rows) -> Ids:
    """For each row the nearest point."""
    halves = (points**2).sum(axis=1) / 2
    blocks = [np.argmax(rows[at : at + BLOCK] @ points.T - halves, axis=1) for at in range(0, len(rows), BLOCK)]
    return np.concatenate(blocks).astype(np.int64)


def centroids(rows: Rows, n: int, rng: np.random.Generator) -> Rows:
    """Centroids by Lloyd's algorithm; one without rows stays where it is."""
    points: Rows = rows[rng.choice(len(rows), n, replace=len(rows) < n)].copy()
    for _ in range(N_ROUNDS):
        cells = nearest(rows, points)
        sums = np.zeros_like(points)
        np.add.at(sums, cells, rows)
        counts = np.bincount(cells, minlength=n)
        points[counts > 0] = sums[counts > 0] / counts[counts > 0, None]
    return points


def decoded(rows: Rows, dim: int, points_of: Callable[[Rows], Rows]) -> Rows:
    """What the codes of rows stand for, whose groups of `dim` components are each coded by points made for them."""
    found = np.empty_like(rows)
    for start in range(0, rows.shape[1], dim):
        group = np.ascontiguousarray(rows[:, start : start + dim])
        points = points_of(group)[:, : group.shape[1]]
        found[:, start : start + dim] = points[nearest(group, points)]
    return found


def balanced(rows: Rows, dim: int) -> Rows:
    """The rotation by eigenvalues: each group gets as great a product of variances. `[d, d]`.

    Source: Ge, He, Ke and Sun, "Optimized product quantization" (2013), section 3.2.
    """
    variances, vectors = np.linalg.eigh(np.cov(rows.T))
    groups: list[list[int]] = [[] for _ in range(-(-rows.shape[1] // dim))]
    volumes = np.zeros(len(groups))
    for i in np.argsort(-variances):
        open_groups = [at for at, group in enumerate(groups) if len(group) < dim]
        at = min(open_groups, key=lambda at: volumes[at] if groups[at] else -np.inf)
        groups[at].append(int(i))
        volumes[at] += np.log(max(variances[i], 1e-12))
    return vectors[:, [i for group in groups for i in group]].astype(np.float32)


def within(queries: Rows, rows: Rows, decoded_rows: Rows, truth: Ids) -> list[float]:
    """Shares of the true nearest among the nearest by estimate, for each depth."""
    factors = (rows**2).sum(axis=1) / np.maximum((decoded_rows * rows).sum(axis=1), 1e-12)
    estimates = (queries @ decoded_rows.T) * factors
    tops = [np.argpartition(-estimates, depth - 1, axis=1)[:, :depth] for depth in DEPTHS]
    return [float(np.mean([np.isin(t, top).mean() for t, top in zip(truth, found, strict=True)])) for found in tops]


def codes(base: Rows, queries: Rows, truth: Ids) -> Iterator[tuple[str, int, list[float]]]:
    """For each code its name, its bytes, and what it finds."""
    rng = np.random.default_rng(0)
    dim = base.shape[1]
    rows = base - base.mean(axis=0)
    sample = rng.choice(len(rows), min(N_TRAINED, len(rows)), replace=False)
    random = np.linalg.qr(rng.standard_normal((dim, dim)))[0].astype(np.float32)
    directions = rng.standard_normal((N_POINTS, 3)).astype(np.float32)
    directions /= np.linalg.norm(directions, axis=1, keepdims=True)

    def trained(group: Rows) -> Rows:
        return centroids(group[sample], N_POINTS, rng)

    turned, asked = rows @ random, queries @ random
    yield "signs", dim // 8, within(asked, turned, np.where(turned > 0, np.float32(1), np.float32(-1)), truth)
    yield "centroids of 4", dim // 8, within(asked, turned, decoded(turned, 4, trained), truth)
    rotation = balanced(rows[sample], 4)
    by_values = rows @ rotation
    found = within(queries @ rotation, by_values, decoded(by_values, 4, trained), truth)
    yield "centroids of 4, by eigenvalues", dim // 8, found
    yield "centroids of 3", dim // 6, within(asked, turned, decoded(turned, 3, trained), truth)
    yield "lattice of 3", dim // 6, within(asked, turned, decoded(turned, 3, lambda _: lattice(N_POINTS)), truth)
    yield "random of 3", dim // 6, within(asked, turned, decoded(turned, 3, lambda _: directions), truth)


def kept(cells: Ids, order: NDArray[np.int64], truth: Ids) -> float:
    """Share of the true nearest in the cells that are searched, in order, until a share of the rows is reached."""
    counts = np.bincount(cells, minlength=order.shape[1])
    shares = []
    for near, true in zip(order, truth, strict=True):
        n_searched = np.searchsorted(np.cumsum(counts[near]), SCANNED_SHARE * len(cells)) + 1
        shares.append(np.isin(cells[true], near[:n_searched]).mean())
    return float(np.mean(shares))


def partitions(base: Rows, queries: Rows, truth: Ids) -> Iterator[tuple[str, float]]:
    """For each partition what is kept when a share of the rows is scanned."""
    rng = np.random.default_rng(0)
    n_cells = min(N_CELLS, len(base) // 10)
    points = centroids(base[rng.choice(len(base), min(len(base), 40 * n_cells), replace=False)], n_cells, rng)
    order = np.argsort((points**2).sum(axis=1) / 2 - queries @ points.T, axis=1)
    yield "k-means", kept(nearest(base, points), order, truth)
    mean = base.mean(axis=0)
    leading = np.linalg.eigh(np.cov((base - mean).T))[1][:, -3:].astype(np.float32)
    points = lattice(n_cells)
    order = np.argsort(-((queries - mean) @ leading @ points.T), axis=1)
    yield "lattice of the three leading components", kept(nearest((base - mean) @ leading, points), order, truth)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("vectors", type=Path, nargs="?", default=DEFAULT_VECTORS)
    parser.add_argument("--rows", type=int, default=None, help="use the first N rows only")
    arguments = parser.parse_args()
    vectors = Vectors(arguments.vectors, arguments.rows, N_QUERIES)
    base, queries, truth = vectors.base(), vectors.queries(), vectors.truth(DEFAULT_CACHE)[:, :K]
    for name, n_bytes, shares in codes(base, queries, truth):
        print(f"{name:40}{n_bytes:6}", "".join(f"{share:8.3f}" for share in shares), flush=True)
    for name, share in partitions(base, queries, truth):
        print(f"{name:40}{share:14.3f}", flush=True)


if __name__ == "__main__":
    main()
