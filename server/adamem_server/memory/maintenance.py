"""Background work: opening what grows, linking the index graph, snapshots, use counts, purging, eviction.

One thread at a low OS priority, so that it takes the time that queries and the encoder leave. Everything here can be
interrupted at any point and is taken up again; nothing that is acknowledged depends on it.
"""

import time
from collections.abc import Callable
from functools import partial
from threading import Event, Lock, Thread
from typing import Final, TypeVar

import structlog

from adamem_server.errors import AdaMemError, ShardStaleError
from adamem_server.memory.generations import drop_expired
from adamem_server.memory.jobs import StoreJob
from adamem_server.memory.pacing import Activity, lower_priority, now_us
from adamem_server.memory.registry import ShardRegistry
from adamem_server.memory.restoring import remove_snapshots
from adamem_server.memory.shard import Shard
from adamem_server.memory.writer import Writer
from adamem_server.store.slot_store import SlotStore, WriteBatch

_IDLE_S: Final = 0.5
_ACCESS_FLUSH_S: Final = 5.0
# Some 50 ms, in which the interpreter is free and searches go on. Between steps the thread holds it for a moment, and
# may be put aside in that moment, at its low priority, for longer than a query takes: so steps are few.
_LINK_ROWS: Final = 512
# While queries run, it rests so many times as long as it repaired an index.
_REST: Final = 9.0
_PURGE_KEYS: Final = 5_000
_TRIM_KEYS: Final = 5_000
# A journal of a shard too small for a snapshot is cut when it grows past this many changes: nothing replays it.
_MAX_SMALL_JOURNAL: Final = 1_000
# A namespace that is written and not asked is opened when this part of it is new, so that its graph grows with it.
_NEW_PART: Final = 0.25

_T = TypeVar("_T")
_log = structlog.get_logger(__name__)


class AccessCounter:
    """Counts how queries use slots, in memory until the next flush. Thread-safe."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._counts: dict[tuple[int, int], tuple[int, int]] = {}

    def add(self, number: int, rows: list[int], now: int) -> None:
        """Count one use of each row."""
        with self._lock:
            for row in rows:
                count, _ = self._counts.get((number, row), (0, 0))
                self._counts[number, row] = (count + 1, now)

    def take(self) -> list[tuple[int, int, int, int]]:
        """(namespace number, row, count, time) since the last take."""
        with self._lock:
            counts, self._counts = self._counts, {}
        return [(number, row, count, at) for (number, row), (count, at) in sorted(counts.items())]


class Maintenance:
    """The background thread, from `start` to `close`.

    Args:
        activity: Of queries, to which repairs give way.
        snapshot_interval_s: How long changes of an open shard may wait for a snapshot; bounds the replay at opening.
        now: The wall clock in microseconds.
        monotonic: The clock of the intervals, in seconds.
    """

    def __init__(
        self,
        store: SlotStore,
        writer: Writer,
        registry: ShardRegistry,
        accesses: AccessCounter,
        *,
        activity: Activity,
        snapshot_interval_s: float,
        now: Callable[[], int] = now_us,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._store = store
        self._writer = writer
        self._registry = registry
        self._accesses = accesses
        self._activity = activity
        self._snapshot_interval_s = snapshot_interval_s
        self._now = now
        self._monotonic = monotonic
        self._last_flush = monotonic()
        self._saving = Lock()
        self._saved: dict[int, tuple[int, float]] = {}
        self._stop = Event()
        self._thread = Thread(target=self._loop, name="maintenance", daemon=True)

    def start(self) -> None:
        """Work from now on."""
        self._thread.start()

    def close(self) -> None:
        """Stop after the step under way, then save what is worth saving."""
        self._stop.set()
        if self._thread.is_alive():
            self._thread.join()
        self._attempt(self.flush_accesses)
        for shard in self._registry.open_shards():
            self._attempt(partial(self.save, shard))

    def step(self) -> bool:
        """Do what is due; True when the index has more to do at once."""
        self._attempt(self._open_grown)
        busy = self._attempt(self._link)
        self._attempt(self._purge)
        if self._monotonic() - self._last_flush >= _ACCESS_FLUSH_S:
            self._last_flush = self._monotonic()
            self._attempt(self.flush_accesses)
            self._attempt(self._snapshots)
            self._attempt(lambda: drop_expired(self._store, self._run, self._now()))
            self._attempt(self._evict)
        return busy

    def _loop(self) -> None:
        lower_priority()
        while not self._stop.is_set():
            started = time.perf_counter()
            if not self.step():
                self._stop.wait(_IDLE_S)
            elif self._activity.was_busy() and not self._is_behind():
                # What is left makes searches no slower: on few cores it would take the one that a query needs.
                self._stop.wait(min(_REST * (time.perf_counter() - started), _IDLE_S))

    def _is_behind(self) -> bool:
        """Whether searches have to scan what is not linked yet."""
        return any(shard.sizes()["n_unlinked"] for shard in self._registry.open_shards())

    def _attempt(self, work: Callable[[], bool | None]) -> bool:
        """Do a piece of work; one that fails, on a full disk say, holds up none of the others."""
        try:
            return bool(work())
        except AdaMemError as error:
            _log.warning("maintenance_delayed", problem=error.message)
        except Exception:  # noqa: BLE001 - the thread must live on
            _log.exception("maintenance_failed")
        return False

    def _open_grown(self) -> None:
        for number, n_new in self._registry.grown().items():
            with self._store.read() as view:
                namespace = view.namespace(number)
                n_slots = view.head(number).n_slots
            if namespace is not None and n_new >= _NEW_PART * n_slots:
                with self._registry.use(namespace):
                    pass

    def _link(self) -> bool:
        """One step of index work for each shard that has any; True when more is left."""
        busy = False
        for shard in self._registry.open_shards():
            if self._stop.is_set():
                return False
            busy |= self._attempt(partial(self._maintain, shard))
        return busy

    def _maintain(self, shard: Shard) -> bool:
        try:
            return shard.maintain(_LINK_ROWS) > 0
        except ShardStaleError:
            self._registry.discard(shard)
            raise

    def _purge(self) -> None:
        with self._store.read() as view:
            doomed = view.doomed()
        for number in doomed:
            remove_snapshots(self._registry.snapshot_path(number))
            while not self._stop.is_set() and not self._run(partial(WriteBatch.purge, number=number, most=_PURGE_KEYS)):
                pass

    def flush_accesses(self) -> None:
        """Store how slots were used since the last time."""
        counts = self._accesses.take()

        def work(batch: WriteBatch) -> None:
            for number, row, count, at in counts:
                batch.add_access(number, row, count, at)

        if counts:
            self._run(work, frees=False)

    def _snapshots(self) -> None:
        now = self._monotonic()
        for shard in self._registry.open_shards():
            _, saved_at = self._saved.setdefault(shard.namespace.number, (0, now))
            if now - saved_at >= self._snapshot_interval_s and not self._stop.is_set():
                self._attempt(partial(self.save, shard))

    def _evict(self) -> None:
        for shard in self._registry.open_shards():
            self._registry.measure(shard)
        for shard in self._registry.evict():
            self._attempt(partial(self.save, shard))
            self._saved.pop(shard.namespace.number, None)

    def save(self, shard: Shard) -> None:
        """Save a shard's index if it changed, and cut the journal that the file makes needless. Thread-safe."""
        with self._saving:
            self._save(shard)

    def _save(self, shard: Shard) -> None:
        number = shard.namespace.number
        sequence, _ = self._saved.get(number, (0, 0.0))
        with self._store.read() as view:
            if view.namespace(number) is None:
                return
            head = view.head(number)
        if shard.expiries.holds_expelled():
            # A file without rows that the store has is taken for a damaged one: the last one and the journal serve.
            return
        path = self._registry.snapshot_path(shard.namespace.vector_space)
        if shard.sequence == sequence or (shard.sequence == head.checkpoint and shard.has_files(path)):
            self._saved[number] = (shard.sequence, self._monotonic())
            return
        try:
            with self._registry.saving(shard) as may_save:
                saved = shard.save(path) if may_save else None
        except Exception as error:  # noqa: BLE001 - what cannot be saved is rebuilt
            _log.warning("snapshot_failed", namespace=shard.namespace.name, problem=str(error))
            return
        # One that may not be saved makes room for one that may, which need have no newer sequence.
        held = shard.sequence if saved is None and may_save else saved or 0
        self._saved[number] = (held, self._monotonic())
        if saved is None and head.sequence - head.checkpoint <= _MAX_SMALL_JOURNAL:
            return
        self._trim(number, head.sequence if saved is None else saved)

    def _trim(self, number: int, upto: int) -> None:
        def advance(batch: WriteBatch) -> None:
            head = batch.head(number)
            if batch.namespace(number) is not None and upto > head.checkpoint:
                batch.put_head(number, head.saved_upto(upto))

        self._run(advance)
        while not self._run(lambda batch: batch.trim_journal(number, upto, _TRIM_KEYS)):
            pass

    def _run(self, work: Callable[[WriteBatch], _T], *, frees: bool = True) -> _T:
        return self._writer.submit(StoreJob(work, frees=frees)).result()
