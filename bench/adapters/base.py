"""What the index benchmark asks of a system: three methods, and what some can do besides."""

from collections.abc import Mapping
from pathlib import Path
from typing import Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

Rows = NDArray[np.float32]
Ids = NDArray[np.int64]
Effort = tuple[int, ...]
"""Values of a system's search parameters, in the order that its adapter names; more is slower and finds more."""

DEFAULT: Effort = (0,)
"""Our own default."""
Options = Mapping[str, str | int]


class Adapter(Protocol):
    """A system under test. All its work runs on one thread, unless an option says otherwise."""

    def configure(self, dim: int, n: int, options: Options, /) -> None:
        """Makes an empty index of inner products for about `n` rows of unit norm."""

    def load(self, ids: Ids, vectors: Rows) -> None:
        """Adds rows; when it returns, everything is as fast to search as it gets."""

    def search(self, queries: Rows, k: int, effort: Effort) -> Ids:
        """Ids of the nearest rows, `[n, k]`; -1 where fewer were found. One call of the system's own."""

    def save(self, folder: Path) -> None:
        """Writes the index into an empty folder."""

    def memory_bytes(self) -> int | None:
        """What the system says that it holds in memory."""


@runtime_checkable
class Removing(Protocol):
    """A system that can forget rows."""

    def remove(self, ids: Ids) -> None:
        """Removes rows; when it returns, the system has tidied up as far as it ever does."""
