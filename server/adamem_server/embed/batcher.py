"""Joins concurrent calls into model calls: queries first, then small updates, then bulk work, sorted by length.

One thread serves queries: it takes what is waiting when it becomes free, so a lone query runs at once and concurrent
ones share a call. The other threads take small updates in the order of their arrival; and of the rest the longest text
of the oldest caller, together with texts of all callers that are as long or a little shorter: padding wastes little.
They run at a lower OS priority, so that a query gets a core at once. A caller that gives up is not worked on.
"""

import os
import sys
from bisect import bisect_left, bisect_right
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
# Of a longer query the vector is not kept: what is that long is hardly asked twice, and would fill the memory.
MAX_CACHED_CHARS: Final = 1024
# A call with at most this many windows is a small update; every so many turns, bulk work comes before those.
_SMALL: Final = 8
_BULK_TURN: Final = 4
_BULK_NICE: Final = 5


class _Task:
    """The texts of one caller: windows in flight, vectors gathered. Guarded by the batcher's lock but for `future`."""

    __slots__ = ("_left", "_sums", "_weights", "future", "pieces", "settled")

    def __init__(self, windows: list[list[Window]], dim: int) -> None:
        self.future: Future[FloatVector] = Future()
        self.pieces = [_Piece(self, text, window) for text, parts in enumerate(windows) for window in parts]
        self.pieces.sort(key=len)
        self.settled = False
        self._sums = np.zeros((len(windows), dim), np.float32)
        self._weights = np.zeros((len(windows), 1), np.float32)
        self._left = len(self.pieces)

    def add(self, piece: "_Piece", vector: FloatVector) -> bool:
        """Take in one window's vector; True when it was the last."""
        self._sums[piece.text] += vector * len(piece)
        self._weights[piece.text] += len(piece)
        self._left -= 1
        return self._left == 0

    def settle(self) -> bool:
        """Claim the right to end the task; True once, and never when its caller gave up."""
        if self.settled or not self.future.set_running_or_notify_cancel():
            self.settled = True
            return False
        self.settled = True
        return True

    def vectors(self) -> FloatVector:
        """The texts' vectors, once all windows are in."""
        return _unit(self._sums / self._weights)


class _Piece:
    """One window of a task."""

    __slots__ = ("taken", "task", "text", "window")

    def __init__(self, task: _Task, text: int, window: Window) -> None:
        self.task = task
        self.text = text
        self.window = window
        self.taken = False

    def __len__(self) -> int:
        return len(self.window.ids)

    def wanted(self) -> bool:
        """Whether somebody still waits for it."""
        return not self.task.settled and not self.task.future.cancelled()


class EmbedBatcher:
    """Serves an encoder to many threads.

    Args:
        embedder: The model; its `run` is called from several threads.
        threads: Threads for documents; one for each core gives the highest rate.
        cache_size: Query vectors kept, of texts up to MAX_CACHED_CHARS, least recently used out first; 0 for none.
    """

    def __init__(self, embedder: Embedder, *, threads: int, cache_size: int) -> None:
        self.info: ModelInfo = embedder.info
        self._embedder = embedder
        self._cache_size = cache_size
        self._n_empty = sum(map(len, embedder.tokenize([""], EmbedRole.QUERY)[0]))
        self._cache: OrderedDict[str, FloatVector] = OrderedDict()
        self._cache_lock = Lock()
        self._lock = Lock()
        self._documents_ready = Condition(self._lock)
        self._query_ready = Condition(self._lock)
        # All bulk pieces by length, the older first among equals; the tasks they belong to by age.
        self._bulk: list[_Piece] = []
        self._bulk_tasks: deque[_Task] = deque()
        self._small: deque[_Piece] = deque()
        self._queries: deque[tuple[str, Future[FloatVector]]] = deque()
        self._closed = False
        self._turn = 0
        self._threads = [Thread(target=self._serve_queries, name="embed-query", daemon=True)]
        self._threads += [Thread(target=self._serve_documents, name=f"embed-{i}", daemon=True) for i in range(threads)]
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
            if self._cache_size and len(text) <= MAX_CACHED_CHARS:
                self._cache[text] = vector
                if len(self._cache) > self._cache_size:
                    self._cache.popitem(last=False)
        return vector

    def n_tokens(self, text: str) -> int:
        """Tokens of a text alone, without prompts and special tokens. Cost: some 30 microseconds a hundred words."""
        return sum(map(len, self._embedder.tokenize([text], EmbedRole.QUERY)[0])) - self._n_empty

    def embed_documents(self, texts: Sequence[str], timeout_s: float | None = None) -> FloatVector:
        """The vectors of texts, float32 [n, dim], unit norm, in their order; errors as in `embed_query`."""
        return _wait(self.submit_documents(texts), timeout_s)

    def submit_documents(self, texts: Sequence[str]) -> "Future[FloatVector]":
        """Start embedding texts; several calls in flight are worked on together. The future may be cancelled."""
        return self._submit(texts, EmbedRole.DOCUMENT)

    def submit_queries(self, texts: Sequence[str]) -> "Future[FloatVector]":
        """Start embedding queries that nobody waits for: as `submit_documents`, behind the queries that are asked."""
        return self._submit(texts, EmbedRole.QUERY)

    def _submit(self, texts: Sequence[str], role: EmbedRole) -> "Future[FloatVector]":
        if not texts:
            empty: Future[FloatVector] = Future()
            empty.set_result(np.empty((0, self.info.dim), np.float32))
            return empty
        task = _Task(self._embedder.tokenize(texts, role), self.info.dim)
        with self._lock:
            self._check_open()
            if len(task.pieces) <= _SMALL:
                self._small.extend(task.pieces)
            else:
                self._bulk.extend(task.pieces)
                self._bulk.sort(key=len)
                self._bulk_tasks.append(task)
            self._documents_ready.notify_all()
        return task.future

    def close(self) -> None:
        """Stop after the calls under way; what is waiting fails with EmbedderClosedError."""
        with self._lock:
            if self._closed:
                return
            self._closed = True
            waiting = [task.future for task in {piece.task for piece in (*self._bulk, *self._small)} if task.settle()]
            waiting += [future for _, future in self._queries if future.set_running_or_notify_cancel()]
            self._bulk.clear()
            self._bulk_tasks.clear()
            self._small.clear()
            self._queries.clear()
            self._documents_ready.notify_all()
            self._query_ready.notify_all()
        for future in waiting:
            future.set_exception(EmbedderClosedError("the encoder is closed"))
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
                waiting = [self._queries.popleft() for _ in range(min(MAX_QUERY_BATCH, len(self._queries)))]
            batch = [(text, future) for text, future in waiting if future.set_running_or_notify_cancel()]
            if not batch:
                continue
            try:
                vectors = self._embed_queries([text for text, _ in batch])
            except Exception as error:  # noqa: BLE001 - handed to the callers
                for _, future in batch:
                    future.set_exception(error)
                continue
            for (_, future), vector in zip(batch, vectors, strict=True):
                # A copy, so that the cache does not keep the whole batch alive.
                future.set_result(vector.copy())

    def _embed_queries(self, texts: list[str]) -> FloatVector:
        task = _Task(self._embedder.tokenize(texts, EmbedRole.QUERY), self.info.dim)
        pieces = task.pieces
        while pieces:
            n = _fitting(pieces)
            for piece, vector in zip(pieces[:n], self._embedder.run([p.window for p in pieces[:n]]), strict=True):
                task.add(piece, vector)
            pieces = pieces[n:]
        return task.vectors()

    def _serve_documents(self) -> None:
        if sys.platform == "linux":
            # Added to the niceness of the process, which may be started with one: it cannot be lowered again.
            os.setpriority(os.PRIO_PROCESS, get_native_id(), os.getpriority(os.PRIO_PROCESS, 0) + _BULK_NICE)
        while True:
            with self._lock:
                while not (self._small or self._bulk_tasks or self._closed):
                    self._documents_ready.wait()
                if self._closed:
                    return
                batch = self._take()
            if not batch:
                continue
            try:
                self._run(batch)
            except Exception as error:  # noqa: BLE001 - handed to the callers
                with self._lock:
                    failed = [task.future for task in {piece.task for piece in batch} if task.settle()]
                for future in failed:
                    future.set_exception(error)

    def _take(self) -> list[_Piece]:
        """The next batch, removed from the queues; empty when those waiting gave up."""
        self._turn += 1
        if self._small and (self._turn % _BULK_TURN or not self._bulk_tasks):
            n = _fitting(self._small)
            batch = [self._small.popleft() for _ in range(n)]
        else:
            batch = self._take_bulk()
        return [piece for piece in batch if piece.wanted()]

    def _take_bulk(self) -> list[_Piece]:
        while self._bulk_tasks:
            pieces = self._bulk_tasks[0].pieces
            while pieces and (pieces[-1].taken or not pieces[-1].wanted()):
                pieces.pop()
            if pieces:
                break
            self._bulk_tasks.popleft()
        else:
            self._bulk.clear()
            return []
        # Among equals the oldest stands first, so this one is in the batch whatever else arrived. At most a quarter of
        # a text's place is padding.
        length = len(pieces[-1])
        n = max(1, BULK_TOKENS // length)
        start = bisect_left(self._bulk, length, key=len)
        end = min(bisect_right(self._bulk, length, key=len), start + n)
        start = max(end - n, bisect_left(self._bulk, length - length // 4, key=len))
        batch = self._bulk[start:end]
        del self._bulk[start:end]
        for piece in batch:
            piece.taken = True
        return batch

    def _run(self, batch: list[_Piece]) -> None:
        vectors = self._embedder.run([piece.window for piece in batch])
        with self._lock:
            finished = [
                piece.task for piece, vector in zip(batch, vectors, strict=True) if piece.task.add(piece, vector)
            ]
        for task in finished:
            vectors = task.vectors()
            with self._lock:
                wanted = task.settle()
            if wanted:
                task.future.set_result(vectors)


def _fitting(pieces: Sequence[_Piece]) -> int:
    """How many of the first pieces make up a call of about BULK_TOKENS padded tokens; at least one."""
    longest = len(pieces[0])
    for n, piece in enumerate(pieces):
        longest = max(longest, len(piece))
        if n and (n + 1) * longest > BULK_TOKENS:
            return n
    return len(pieces)


def _unit(vectors: FloatVector) -> FloatVector:
    norms = np.linalg.norm(vectors, axis=1, keepdims=True)
    return np.asarray(vectors / np.maximum(norms, 1e-12), np.float32)


def _wait(future: "Future[FloatVector]", timeout_s: float | None) -> FloatVector:
    try:
        return future.result(timeout_s)
    except FutureTimeoutError as error:
        future.cancel()
        raise DeadlineExceededError("the deadline passed while the text was waiting to be embedded") from error
