"""Threads for documents leave the processor to queries, whatever niceness the server was started with."""

import os
import sys
from collections.abc import Sequence
from threading import Thread, get_native_id

import pytest

from adamem_server.embed.base import Window
from adamem_server.embed.batcher import _BULK_NICE, EmbedBatcher
from adamem_server.types import FloatVector
from tests.patience import PATIENCE_S
from tests.unit.memory.engines import WordEmbedder


class Noting(WordEmbedder):
    """Notes the niceness of the threads that run it."""

    def __init__(self) -> None:
        super().__init__()
        self.niceness: list[int] = []

    def run(self, windows: Sequence[Window]) -> FloatVector:
        self.niceness.append(os.getpriority(os.PRIO_PROCESS, 0))
        return super().run(windows)


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere niceness belongs to the process")
def test_documents_are_embedded_at_a_lower_priority_than_that_of_the_server() -> None:
    """A server started at more than their own niceness could not lower it: its threads for documents ended at once."""
    embedder = Noting()

    def serve() -> None:
        os.setpriority(os.PRIO_PROCESS, get_native_id(), os.getpriority(os.PRIO_PROCESS, 0) + _BULK_NICE + 1)
        batcher = EmbedBatcher(embedder, threads=1, cache_size=0)
        batcher.embed_query("a query", timeout_s=PATIENCE_S)
        batcher.embed_documents(["a text"], timeout_s=PATIENCE_S)
        batcher.close()

    server = Thread(target=serve)
    server.start()
    server.join()
    query, document = embedder.niceness
    assert document == min(19, query + _BULK_NICE)
