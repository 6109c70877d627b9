"""Which class is behind a kind of index: the compiled module's, but for `usearch`, a package of its own."""

from pathlib import Path
from typing import TYPE_CHECKING, Protocol

import numpy as np
from numpy.typing import NDArray

from adamem_server import _index
from adamem_server.errors import FailedPreconditionError
from adamem_server.types import IndexKind, IndexParams

if TYPE_CHECKING:
    from adamem_server.memory.usearch_index import UsearchIndex


class VectorIndex(Protocol):
    """What a shard asks of its index; `_index.Index` documents each. All may be called from any thread."""

    @property
    def dim(self) -> int:
        """Components of each vector."""

    @property
    def metric(self) -> str:
        """`cosine`, `dot` or `l2`."""

    @property
    def kind(self) -> str:
        """Its kind."""

    @property
    def params(self) -> dict[str, int]:
        """Parameters by name."""

    def __len__(self) -> int:
        """Live vectors."""

    def add(self, ids: NDArray[np.uint64], vectors: NDArray[np.float32]) -> None:
        """Adds or replaces vectors."""

    def remove(self, ids: NDArray[np.uint64]) -> int:
        """Removes ids; how many were there."""

    def search(
        self,
        queries: NDArray[np.float32],
        k: int,
        *,
        ef_search: int | None = None,
        allowed: NDArray[np.uint64] | None = None,
    ) -> tuple[NDArray[np.uint64], NDArray[np.float32]]:
        """The nearest vectors."""

    def maintain(self, max_rows: int) -> int:
        """Does deferred work; what is left."""

    def stats(self) -> dict[str, int]:
        """Sizes: `n_live`, `n_unlinked`, `memory_bytes` and others."""

    def save(self, path: str, sequence: int) -> None:
        """Writes a snapshot."""


def new_index(dim: int, metric: str, kind: str, params: IndexParams) -> VectorIndex:
    """An empty index.

    Raises:
        FailedPreconditionError: The package of the kind is not installed.
        _index.VectorIndexError: A parameter is out of its range.
    """
    if kind == IndexKind.USEARCH:
        usearch_index = _usearch()
        return usearch_index(dim, metric, params.m, params.ef_construction, params.ef_search)
    return _index.Index(
        dim=dim,
        metric=metric,
        kind=kind,
        m=params.m or None,
        ef_construction=params.ef_construction or None,
        ef_search=params.ef_search or None,
        deferred=True,
    )


def open_index(path: Path, kind: str) -> tuple[VectorIndex, int]:
    """The index of a snapshot and the sequence that it was saved with.

    Raises:
        FailedPreconditionError: The package of the kind is not installed.
        _index.VectorIndexError: The file cannot be used.
    """
    if kind == IndexKind.USEARCH:
        return _usearch().open(str(path))
    return _index.Index.open(str(path), deferred=True)


def _usearch() -> type["UsearchIndex"]:
    try:
        from adamem_server.memory.usearch_index import UsearchIndex
    except ImportError as error:
        raise FailedPreconditionError(
            "index_kind: usearch needs a package that is not installed: pip install 'adamem-server[usearch]'",
            field="index_kind",
            received=IndexKind.USEARCH,
        ) from error
    return UsearchIndex
