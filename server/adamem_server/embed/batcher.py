"""Joins concurrent calls into model calls: queries ahead of bulk work, bulk work sorted by length.

One thread serves queries: it takes what is waiting when it becomes free, so a lone query runs at once and concurrent
ones share a call. Bulk threads take, from all that callers have handed in, runs of texts of about the same length,
whose padding wastes little; they run at a lower OS priority, so that a query gets a core at once.
"""

import os
import sys
from bisect import insort
from collections import OrderedDict, deque
from collections.abc import Sequence
from concurrent.futures import Future
from concurrent.futures import TimeoutError as FutureTimeoutError
from threading import Condition, Lock, Thread, get_native_id
from typing import Final

import numpy as np

from adamem_server.embed.base import Embedder, EmbedRole, ModelInfo, Window
from adamem_server.errors import DeadlineExceededError, EmbedderClosedError
from adamem_server.types import FloatVector

# Padded tokens of one bulk call: enough to be efficient, short enough (some 30 ms) not to hold up a query for long.
BULK_TOKENS: Final = 1024
MAX_QUERY_BATCH: Final = 16
_BULK_NICE: Final = 5


class _Task:
    """The texts of one caller: windows in flight, vectors gathered."""

    __slots__ = ("future", "left", "owners", "sums", "weights")

    def __init__(self, windows: list[list[Window]], dim: int) -> None:
        self.future: Future[FloatVector] = Future()
        self.sums = np.zeros((len(windows), dim), np.float32)
        self.weights = np.zeros((len(windows), 1), np.float32)
        self.left = sum(map(len, windows))

    def add(self, text: int, vector: FloatVector, weight: int) -> bool:
        """Take in one window's vector; True when it was the last."""
        self.sums[text] += vector * weight
        self.weights[text] += weight
        self.left -= 1
        return self.left == 0

    def finish(self) -> None:
        self.future.set_result(_unit(self.sums / self.weights))


class _Piece:
    """One window of a task in the queue; ordered by length."""

    __slots__ = ("task", "text", "window")

    def __init__(self, task: _Task, text: int, window: Window) -> None:
        self.task = task
        self.text = text
        self.window = window

    def __len__(self) -> int:
        return len(self.window.ids)


class EmbedBatcher:
    """Serves an encoder to many threads.

    Args:
        embedder: The model; its `run` is called from several threads.
        threads: Bulk threads; one for each core gives the highest rate.
        cache_size: Query vectors kept, least recently used out first; 0 for none.
    """

    def __init__(self, embedder: Embedder, *, threads: int, cache_size: int) -> None:
        self.info: ModelInfo = embedder.info
        self._embedder = embedder
        self._cache_size = cache_size
        self._cache: OrderedDict[str, FloatVector] = OrderedDict()
        self._cache_lock = Lock()
        self._lock = Lock()
        self._bulk_ready = Condition(self._lock)
        self._query_ready = Condition(self._lock)
        self._bulk: list[_Piece] = []
        self._queries: deque[tuple[str, Future[FloatVector]]] = deque()
        self._closed = False
        self._turn = 0
        self._threads = [Thread(target=self._serve_queries, name="embed-query", daemon=True)]
        self._threads += [Thread(target=self._serve_bulk, name=f"embed-bulk-{i}", daemon=True) for i in range(threads)]
        for thread in self._threads:
            thread.start()

    def embed_query(self, text: str, timeout_s: float | None = None) -> FloatVector:
        """The vector of a query, float32 [dim], unit norm; do not write into it.

        Raises:
            DeadlineExceededError: `timeout_s` passed.
            EmbedderClosedError: The encoder is closed.
        """
        with self._cache_lock:
            cached = self._cache.get(text)
            if cached is not None:
                self._cache.move_to_end(text)
                return cached
        future: Future[FloatVector] = Future()
        with self._lock:
            self._check_open()
            self._queries.append((text, future))
            self._query_ready.notify()
        vector = _wait(future, timeout_s)
        with self._cache_lock:
            if self._cache_size:
                self._cache[text] = vector
                if len(self._cache) > self._cache_size:
                    self._cache.popitem(last=False)
        return vector

    def embed_documents(self, texts: Sequence[str], timeout_s: float | None = None) -> FloatVector:
        """The vectors of texts, float32 [n, dim], unit norm, in their order; errors as in `embed_query`."""
        return _wait(self.submit_documents(texts), timeout_s)

    def submit_documents(self, texts: Sequence[str]) -> "Future[FloatVector]":
        """Start embedding texts; several calls in flight are worked on together."""
        if not texts:
            empty: Future[FloatVector] = Future()
            empty.set_result(np.empty((0, self.info.dim), np.float32))
            return empty
        windows = self._embedder.tokenize(texts, EmbedRole.DOCUMENT)
        task = _Task(windows, self.info.dim)
        pieces = [_Piece(task, text, window) for text, parts in enumerate(windows) for window in parts]
        with self._lock:
            self._check_open()
            if len(pieces) < 8:
                for piece in pieces:
                    insort(self._bulk, piece, key=len)
            else:
                self._bulk.extend(pieces)
                self._bulk.sort(key=len)
            self._bulk_ready.notify_all()
        return task.future

    def close(self) -> None:
        """Stop after the calls under way; what is waiting fails with EmbedderClosedError."""
        with self._lock:
            if self._closed:
                return
            self._closed = True
            waiting = {piece.task.future for piece in self._bulk} | {future for _, future in self._queries}
            self._bulk.clear()
            self._queries.clear()
            self._bulk_ready.notify_all()
            self._query_ready.notify_all()
        for future in waiting:
            _fail(future, EmbedderClosedError("the encoder is closed"))
        for thread in self._threads:
            thread.join()

    def _check_open(self) -> None:
        if self._closed:
            raise EmbedderClosedError("the encoder is closed")

    def _serve_queries(self) -> None:
        while True:
            with self._lock:
                while not self._queries and not self._closed:
                    self._query_ready.wait()
                if self._closed:
                    return
                batch = [self._queries.popleft() for _ in range(min(MAX_QUERY_BATCH, len(self._queries)))]
            try:
                vectors = self._embed_queries([text for text, _ in batch])
            except Exception as error:  # noqa: BLE001 - handed to the callers
                for _, future in batch:
                    _fail(future, error)
                continue
            for (_, future), vector in zip(batch, vectors, strict=True):
                future.set_result(vector)

    def _embed_queries(self, texts: list[str]) -> FloatVector:
        windows = self._embedder.tokenize(texts, EmbedRole.QUERY)
        task = _Task(windows, self.info.dim)
        pieces = [_Piece(task, text, window) for text, parts in enumerate(windows) for window in parts]
        pieces.sort(key=len)
        while pieces:
            self._run(_cut(pieces, 0))
        return task.future.result()

    def _serve_bulk(self) -> None:
        if sys.platform == "linux":
            os.setpriority(os.PRIO_PROCESS, get_native_id(), _BULK_NICE)
        while True:
            with self._lock:
                while not self._bulk and not self._closed:
                    self._bulk_ready.wait()
                if self._closed:
                    return
                batch = self._take()
            try:
                self._run(batch)
            except Exception as error:  # noqa: BLE001 - handed to the callers
                for future in {piece.task.future for piece in batch}:
                    _fail(future, error)

    def _take(self) -> list[_Piece]:
        """The next batch: around the oldest task's longest piece every other time, so that no length starves."""
        self._turn += 1
        start = 0 if self._turn % 2 else len(self._bulk)
        return _cut(self._bulk, start)

    def _run(self, batch: list[_Piece]) -> None:
        vectors = self._embedder.run([piece.window for piece in batch])
        with self._lock:
            finished = [
                piece.task
                for piece, vector in zip(batch, vectors, strict=True)
                if piece.task.add(piece.text, vector, len(piece))
            ]
        for task in finished:
            if not task.future.done():
                task.finish()


def _cut(pieces: list[_Piece], start: int) -> list[_Piece]:
    """Remove a run of neighbours in length from a sorted list, its padded size about BULK_TOKENS.

    From the shortest up when `start` is 0, else from the longest down.
    """
    if start == 0:
        n = 1
        while n < len(pieces) and (n + 1) * len(pieces[n]) <= BULK_TOKENS:
            n += 1
        batch = pieces[:n]
        del pieces[:n]
    else:
        n = max(1, BULK_TOKENS // len(pieces[-1]))
        batch = pieces[-n:]
        del pieces[-n:]
    return batch


def _unit(vectors: FloatVector) -> FloatVector:
    norms = np.linalg.norm(vectors, axis=1, keepdims=True)
    return np.asarray(vectors / np.maximum(norms, 1e-12), np.float32)


def _wait(future: "Future[FloatVector]", timeout_s: float | None) -> FloatVector:
    try:
        return future.result(timeout_s)
    except FutureTimeoutError as error:
        raise DeadlineExceededError("the deadline passed while the text was waiting to be embedded") from error


def _fail(future: "Future[FloatVector]", error: Exception) -> None:
    if not future.done():
        future.set_exception(error)
