"""What an encoder is to the rest of the server."""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from adamem_server.types import FloatVector


class EmbedRole(Enum):
    """What a text is: some models put another prompt before a question than before a passage."""

    QUERY = "query"
    DOCUMENT = "document"


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelInfo:
    """A loaded encoder.

    `fingerprint` is the SHA-256 of all files that decide its vectors, hexadecimal. `pooling` is mean, cls or lasttoken,
    or none where the export's graph pools itself.
    """

    name: str
    fingerprint: str
    dim: int
    max_tokens: int
    pooling: str
    query_prompt: str
    document_prompt: str


@dataclass(frozen=True, slots=True)
class Window:
    """A piece of a tokenised text that fits the model: ids with special tokens, int64 [n_tokens], at least one."""

    ids: NDArray[np.int64]

    def __len__(self) -> int:
        """Tokens."""
        return len(self.ids)


class Embedder(Protocol):
    """A text model. All methods may be called from several threads at once."""

    @property
    def info(self) -> ModelInfo:
        """What it is."""
        ...

    def tokenize(self, texts: Sequence[str], role: EmbedRole) -> list[list[Window]]:
        """Each text as one or more windows."""
        ...

    def run(self, windows: Sequence[Window]) -> FloatVector:
        """Pooled vectors of windows, float32 [n, dim], C order, not yet combined or normalised."""
        ...
