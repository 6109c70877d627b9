"""Vectors of texts by the server's own encoder, for peers that are given vectors."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from adamem_server.embed import catalog
from adamem_server.embed.batcher import EmbedBatcher

THREADS = 2


class Encoder:
    """The encoder of a server, in this process."""

    def __init__(self, batcher: EmbedBatcher) -> None:
        self._batcher = batcher

    def documents(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """float32 [n, dim], unit norm, as stored with slots of these contents."""
        return np.asarray(self._batcher.embed_documents(texts), np.float32)

    def queries(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """float32 [n, dim], unit norm, as searched for these texts."""
        return np.asarray([self._batcher.embed_query(text) for text in texts], np.float32)


@contextmanager
def encoder(model: str) -> Iterator[Encoder]:
    """Opens and closes the encoder of a name."""
    batcher = EmbedBatcher(catalog.load(model, Path("models")), threads=THREADS, cache_size=0)
    try:
        yield Encoder(batcher)
    finally:
        batcher.close()
