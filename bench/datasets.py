"""Vectors of a folder: `base`, `queries` and `truth` as .npy; what is missing of the truth is made and cached."""

import hashlib
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from bench.adapters.base import Ids, Rows

DEPTH = 100
BLOCK = 250_000
NORM_TOLERANCE = 1e-2


@dataclass(frozen=True)
class Vectors:
    """A folder of vectors, or its first rows and queries. Rows are brought to unit norm in float32."""

    folder: Path
    n_rows: int | None = None
    n_queries: int | None = None

    def base(self) -> Rows:
        """The rows to be found."""
        return _unit(self._file("base"), self.n_rows)

    def queries(self) -> Rows:
        """The rows to search for."""
        return _unit(self._file("queries"), self.n_queries)

    def n_bytes(self) -> int:
        """Memory of the rows to be found."""
        n, dim = np.load(self._file("base"), mmap_mode="r").shape
        return int(min(n, self.n_rows or n) * dim * 4)

    def truth(self, cache: Path) -> Ids:
        """For each query the nearest rows by inner product, best first: `[n_queries, 100]`."""
        given = self.folder / "truth.i32.npy"
        rows = np.load(self._file("base"), mmap_mode="r")
        if given.exists() and (self.n_rows is None or self.n_rows >= len(rows)):
            norms = np.linalg.norm(np.asarray(rows[:1000], np.float32), axis=1)
            if np.abs(norms - 1).max() < NORM_TOLERANCE:
                truth: Ids = np.load(given)[: self.n_queries].astype(np.int64)
                return truth
            print("truth.i32.npy is made anew: the rows have not unit norm", file=sys.stderr)
        cached = cache / f"truth-{self._key()}.npy"
        if not cached.exists():
            cache.mkdir(parents=True, exist_ok=True)
            np.save(cached, exact(self.base(), self.queries(), DEPTH))
        made: Ids = np.load(cached)
        return made

    def _file(self, name: str) -> Path:
        for form in ("f32", "f16"):
            path = self.folder / f"{name}.{form}.npy"
            if path.exists():
                return path
        raise FileNotFoundError(f"no {name}.f32.npy or {name}.f16.npy in {self.folder}")

    def _key(self) -> str:
        files = [
            (str(path.resolve()), path.stat().st_size, path.stat().st_mtime_ns)
            for path in (self._file("base"), self._file("queries"))
        ]
        return hashlib.sha256(repr((files, self.n_rows, self.n_queries)).encode()).hexdigest()[:16]


def exact(base: Rows, queries: Rows, k: int) -> Ids:
    """Positions of the `k` rows with the greatest inner products, best first: `[n_queries, min(k, n)]`."""
    best_ids = np.empty((len(queries), 0), np.int64)
    best = np.empty((len(queries), 0), np.float32)
    for start, block in _blocks(base):
        scores = queries @ block.T
        top = np.argpartition(-scores, min(k, len(block)) - 1, axis=1)[:, :k]
        best_ids = np.hstack([best_ids, top + start])
        best = np.hstack([best, np.take_along_axis(scores, top, axis=1)])
        order = np.argsort(-best, axis=1, kind="stable")[:, :k]
        best_ids, best = np.take_along_axis(best_ids, order, axis=1), np.take_along_axis(best, order, axis=1)
    return best_ids


def _blocks(base: Rows) -> Iterator[tuple[int, Rows]]:
    for start in range(0, len(base), BLOCK):
        yield start, base[start : start + BLOCK]


def _unit(path: Path, n: int | None) -> Rows:
    stored: NDArray[np.floating] = np.load(path, mmap_mode="r")
    rows = np.array(stored[:n], np.float32, order="C")
    rows /= np.linalg.norm(rows, axis=1, keepdims=True)
    return rows
