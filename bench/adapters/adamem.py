"""Our own index. Effort: `ef_search`, 0 for the index's default."""

from pathlib import Path
from typing import Any

import numpy as np

from adamem_server import _index
from bench.adapters.base import Effort, Ids, Options, Rows

METRIC = "cosine"


class AdaMem:
    """An `adamem_server._index.Index`; the options are the keywords of its constructor."""

    index: _index.Index

    def configure(self, dim: int, _n: int, options: Options) -> None:
        self.index = make(dim, options)

    def load(self, ids: Ids, vectors: Rows) -> None:
        self.index.add(ids.astype(np.uint64), vectors)
        self._maintain()

    def remove(self, ids: Ids) -> None:
        self.index.remove(ids.astype(np.uint64))
        self._maintain()

    def search(self, queries: Rows, k: int, effort: Effort) -> Ids:
        found, _ = self.index.search(queries, k, ef_search=effort[0] or None)
        return found.view(np.int64)  # the id that pads, 2**64 - 1, becomes -1

    def search_allowed(self, queries: Rows, k: int, allowed: _index.IdSet) -> Ids:
        """A search among some ids, at the index's default."""
        found, _ = self.index.search(queries, k, allowed=allowed)
        return found.view(np.int64)

    def save(self, folder: Path) -> None:
        self.index.save(folder / "index", 0)

    def memory_bytes(self) -> int | None:
        return self.index.stats()["memory_bytes"]

    def _maintain(self) -> None:
        while self.index.maintain(10_000):
            pass


def make(dim: int, options: Options) -> _index.Index:
    keywords: dict[str, Any] = {"dim": dim, "metric": METRIC} | dict(options)
    return _index.Index(**keywords)


def accepts(options: Options) -> bool:
    """Whether this build of the index knows the options."""
    try:
        make(8, options)
    except (TypeError, _index.VectorIndexError):
        return False
    return True
