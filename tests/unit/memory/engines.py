"""Engines for the tests of this room: real rooms below, an encoder of words that can be held, a clock that is set."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from threading import local
from typing import Any, Final, TypeVar
from zlib import crc32

import numpy as np

from adamem_server.embed.base import EmbedRole, ModelInfo, Window
from adamem_server.embed.batcher import EmbedBatcher
from adamem_server.embed.cross_encoder import CrossEncoder
from adamem_server.errors import ModelNotFoundError, StorageFullError
from adamem_server.memory.engine import MemoryEngine
from adamem_server.memory.learning import LearningSettings
from adamem_server.store.slot_store import ReadView, SlotStore, WriteBatch
from adamem_server.types import Durability, FloatVector, Query, RequestKey, SlotInput, SlotView, WriteResult
from tests.unit.memory.support import NOW, Gate

WORD_DIM: Final = 64

_T = TypeVar("_T")


class WordEmbedder:
    """A text is the sum of the vectors of its words; calls can be held, and are counted by windows."""

    def __init__(self, name: str = "words", dim: int = WORD_DIM) -> None:
        self.info = ModelInfo(
            name=name,
            # The golden package has the first. Versions are stamped by how a fingerprint begins.
            fingerprint="fingerprint of words" if name == "words" else f"{name}: fingerprint",
            dim=dim,
            max_tokens=100,
            pooling="mean",
            query_prompt="",
            document_prompt="",
        )
        self.n_windows = 0
        self._gate: Gate | None = None

    def tokenize(self, texts: Sequence[str], role: EmbedRole) -> list[list[Window]]:
        return [[Window(np.array([crc32(word.encode()) for word in text.split()], np.int64))] for text in texts]

    def run(self, windows: Sequence[Window]) -> FloatVector:
        if self._gate is not None:
            self._gate.stop()
        self.n_windows += len(windows)
        dim = self.info.dim
        return np.array([sum(word_vector(i, dim) for i in window.ids.tolist()) for window in windows], np.float32)

    @contextmanager
    def held(self) -> Iterator[Gate]:
        """Inside, no text gets its vector until the gate is opened."""
        self._gate = gate = Gate()
        try:
            yield gate
        finally:
            self._gate = None
            gate.open()


def word_vector(number: int, dim: int = WORD_DIM) -> FloatVector:
    vector = np.random.default_rng(number).standard_normal(dim).astype(np.float32)
    return np.asarray(vector / np.linalg.norm(vector), np.float32)


class FaultyStore(SlotStore):
    """The real store on a disk that can be full, or slow. It refuses a view inside of a view.

    The inner one would wait while the map is to grow, which waits for the outer one: nothing would go on any more.
    """

    def __init__(self, path: Path) -> None:
        super().__init__(path, durability=Durability.ASYNC)
        self.full = False
        self._gate: Gate | None = None
        self._reading = local()

    @contextmanager
    def read(self) -> Iterator[ReadView]:
        assert not getattr(self._reading, "views", 0), "a view is opened inside of a view"
        self._reading.views = 1
        try:
            with super().read() as view:
                yield view
        finally:
            self._reading.views = 0

    def write(self, work: Callable[[WriteBatch], _T], *, frees: bool = False) -> _T:
        if self.full:
            raise StorageFullError("the disk is full")
        if self._gate is not None:
            self._gate.stop()
        return super().write(work, frees=frees)

    @contextmanager
    def held(self) -> Iterator[Gate]:
        """Inside, no transaction begins until the gate is opened."""
        self._gate = gate = Gate()
        try:
            yield gate
        finally:
            self._gate = None
            gate.open()


class Lab:
    """An engine on a folder, its clock and its encoder; `others` are the encoders that it finds by their names."""

    def __init__(
        self,
        folder: Path,
        *,
        auto_create: bool = True,
        cross_encoder: CrossEncoder | None = None,
        learning: LearningSettings | None = None,
        others: Sequence[WordEmbedder] = (),
    ) -> None:
        self.others = {other.info.name: other for other in others}
        self._cross_encoder = cross_encoder
        self.now = NOW
        self._learning = learning
        self._folder = folder
        self._auto_create = auto_create
        self.embedder = WordEmbedder()
        self._open()

    def _open(self) -> None:
        self.store = FaultyStore(self._folder)
        self._batcher = EmbedBatcher(self.embedder, threads=1, cache_size=0)
        self.engine = MemoryEngine(
            self.store,
            self._batcher,
            index_dir=self._folder / "index",
            memory_budget_bytes=1 << 30,
            auto_create=self._auto_create,
            snapshot_interval_s=3600,
            learning=self._learning,
            now=lambda: self.now,
            cross_encoder=self._cross_encoder,
            load_encoder=self._load,
        )

    def _load(self, name: str) -> EmbedBatcher:
        if name not in self.others:
            raise ModelNotFoundError(f"no model {name!r}", model=name)
        return EmbedBatcher(self.others[name], threads=1, cache_size=0)

    def close(self) -> None:
        self.engine.close()
        self._batcher.close()

    def restart(self, embedder: WordEmbedder | None = None) -> None:
        self.close()
        self.embedder = embedder or self.embedder
        self._open()

    def put(self, namespace: str, *contents: str, **fields: Any) -> list[str]:
        """Store slots with these contents; their ids."""
        result = self.engine.update(namespace, [SlotInput(content=content, **fields) for content in contents])
        return [stored(item) for item in result.results]

    def query(self, *namespaces: str, top_k: int = 10, **fields: Any) -> list[str]:
        """The contents of the hits, best first."""
        query = Query(namespaces=namespaces, top_k=top_k, **fields)
        return [hit.view.slot.content for hit in self.engine.query(query).hits]

    def slots(self, namespace: str) -> list[SlotView]:
        """All slots of a namespace."""
        page, after = self.engine.list_slots(namespace, filter=None, page_size=1000, after=0, include_vectors=False)
        assert after == 0
        return page

    def contents(self, namespace: str) -> list[str]:
        return [view.slot.content for view in self.slots(namespace)]


def stored(result: object) -> str:
    """The id of a slot that was stored."""
    assert isinstance(result, WriteResult)
    return result.slot_id


def key(request_id: str, content: str = "") -> RequestKey:
    """The key of a request with this content."""
    return RequestKey(request_id, content.encode())
