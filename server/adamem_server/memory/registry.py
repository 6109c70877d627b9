"""Which namespaces are open: opens shards on first use, hands them out, evicts the least recently used.

The writer never waits for a shard that is being opened: it leaves its change with the entry, and the opener applies it.
"""

from collections import OrderedDict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import Condition, Lock
from typing import TypeAlias

import structlog

from adamem_server.errors import AdaMemError, GenerationChangedError, ShardStaleError
from adamem_server.memory.restoring import MIN_SNAPSHOT_SLOTS, remove_snapshots
from adamem_server.memory.shard import Applied, Shard
from adamem_server.store.slot_store import SlotStore
from adamem_server.types import Namespace

# A committed write that the opener of its shard applies, and what to call when it can be seen.
_Deferred: TypeAlias = tuple[Applied, Callable[[], None]]

_log = structlog.get_logger(__name__)


class _Entry:
    """One namespace on its way to being open, or open."""

    __slots__ = ("deferred", "failure", "memory_bytes", "n_users", "ready", "shard")

    def __init__(self) -> None:
        self.ready = Condition()
        self.shard: Shard | None = None
        self.failure: AdaMemError | None = None
        self.deferred: list[_Deferred] = []
        self.n_users = 0
        self.memory_bytes = 0


class ShardRegistry:
    """The open shards of a store. Thread-safe.

    Args:
        store: Where the namespaces are.
        index_dir: Folder of the index snapshots.
        budget_bytes: Memory that open shards may hold together; those in use stay even above it.
    """

    def __init__(self, store: SlotStore, index_dir: Path, budget_bytes: int) -> None:
        self.budget_bytes = budget_bytes
        self._store = store
        self._index_dir = index_dir
        self._lock = Lock()
        self._entries: OrderedDict[int, _Entry] = OrderedDict()
        self._used_bytes = 0
        # No slot of any namespace expires before it, as far as the last sweep saw and was told since.
        self.next_expiry = 0
        # Rows written to namespaces that are not open; the namespaces where they are many.
        self._missed: dict[int, int] = {}
        self._grown: set[int] = set()
        # Shards opened before the last erasure of their namespace hold what was erased, and are not saved any more.
        self._n_erasures: dict[int, int] = {}
        self._saving = Lock()
        # What a save writes before it puts the snapshot in its place; a kill leaves it, and no later save need come.
        for cut_short in index_dir.glob("*.tmp"):
            cut_short.unlink(missing_ok=True)

    def snapshot_path(self, space: int) -> Path:
        """Where the index of a namespace's vector space is saved."""
        return self._index_dir / f"{space}.idx"

    @contextmanager
    def saving(self, shard: Shard) -> Iterator[bool]:
        """Whether a shard may be saved; inside, its files stay as they are. One at a time."""
        with self._saving:
            yield shard.n_erasures == self._n_erasures.get(shard.namespace.number, 0)

    def erase_snapshots(self, number: int) -> int:
        """Remove the index files of a namespace, and save none of what is open of it now; how many there were.

        An index keeps the vectors of deleted slots for a while, in its files too. The shard serves on; the next one
        that is opened is built from the store, and saved.
        """
        with self._saving:
            self._n_erasures[number] = self._n_erasures.get(number, 0) + 1
            files = self.snapshot_files(number)
            for file in files:
                file.unlink(missing_ok=True)
        return len(files)

    def snapshot_files(self, number: int) -> list[Path]:
        """The index files of a namespace, or of a vector space alone."""
        with self._store.read() as view:
            namespace = view.namespace(number)
        spaces = {number, number if namespace is None else namespace.vector_space}
        return sorted(file for space in spaces for file in self._index_dir.glob(f"{space}.*"))

    @contextmanager
    def use(self, namespace: Namespace) -> Iterator[Shard]:
        """The open shard of a namespace, kept open inside the `with`.

        Raises:
            NamespaceNotFoundError: It was deleted meanwhile.
            DataCorruptError: What is stored of it cannot be read.
            ShardStaleError: It could not be brought up to the store.
        """
        number = namespace.number
        with self._lock:
            entry = self._entries.get(number)
            opener = entry is None
            if entry is None:
                entry = self._entries[number] = _Entry()
                self._missed.pop(number, None)
                self._grown.discard(number)
            else:
                self._entries.move_to_end(number)
            entry.n_users += 1
        try:
            yield self._open(entry, namespace) if opener else _wait(entry)
        except ShardStaleError:
            if entry.shard is not None:
                self.discard(entry.shard)
            raise
        finally:
            with self._lock:
                entry.n_users -= 1
            if entry.shard is not None and entry.shard.has_grown():
                self.measure(entry.shard)
                self.evict()

    def apply(self, number: int, applied: Applied, done: Callable[[], None]) -> None:
        """Bring an open shard up to a committed write, then call `done`; at once when the shard is not open."""
        with self._lock:
            entry = self._entries.get(number)
            for change in applied.changes:
                if change.after is not None and 0 < change.after.expires_at < self.next_expiry:
                    self.next_expiry = change.after.expires_at
            if entry is None and len(applied.stored):
                # What is deleted makes no work for a graph.
                missed = self._missed[number] = self._missed.get(number, 0) + len(applied.stored)
                if missed >= MIN_SNAPSHOT_SLOTS:
                    self._grown.add(number)
        if entry is None:
            done()
            return
        with entry.ready:
            if entry.shard is None and entry.failure is None:
                entry.deferred.append((applied, done))
                return
            shard = entry.shard
        if shard is not None:
            try:
                shard.apply(applied)
            except Exception as error:  # noqa: BLE001 - whatever it was, the store is right and the shard is not
                # The write is stored: forget the shard, so that the next use opens it anew from the store.
                _log.exception("shard_apply_failed", namespace=shard.namespace.name, sequence=applied.sequence)
                if isinstance(error, ShardStaleError):
                    self.discard(shard)
                else:
                    self.drop(number)
        done()

    def adopt(self, shard: Shard) -> None:
        """Take in a shard that was built beside its namespace; nothing if somebody has opened it meanwhile."""
        number = shard.namespace.number
        entry = _Entry()
        entry.shard = shard
        with self._lock:
            self.next_expiry = min(self.next_expiry, shard.expiries.next)
            if self._entries.setdefault(number, entry) is not entry:
                return
            self._missed.pop(number, None)
            self._grown.discard(number)
        self.measure(shard)

    def swap(self, number: int, make: Callable[[Shard], Shard]) -> None:
        """Put a shard of another generation in the place of the open one; called by the writer, as `apply`."""
        with self._lock:
            entry = self._entries.get(number)
        if entry is None:
            return
        with entry.ready:
            shard = entry.shard
            if shard is not None:
                entry.shard = make(shard)
        if shard is None:
            # It is being opened with the generation that served before: those who wait for it try again.
            self.drop(number)
        else:
            self.measure(entry.shard or shard)

    def open_shards(self) -> list[Shard]:
        """All open shards, the least recently used first."""
        with self._lock:
            return [entry.shard for entry in self._entries.values() if entry.shard is not None]

    def find(self, number: int) -> Shard | None:
        """The shard of a namespace if it is open."""
        with self._lock:
            entry = self._entries.get(number)
            return None if entry is None else entry.shard

    def grown(self) -> dict[int, int]:
        """Namespaces that are not open and were written to, MIN_SNAPSHOT_SLOTS rows or more; how many rows."""
        with self._lock:
            return {number: self._missed[number] for number in self._grown}

    def drop(self, number: int) -> None:
        """Forget a shard; those who use it now keep what they hold."""
        with self._lock:
            self._missed.pop(number, None)
            self._grown.discard(number)
            entry = self._entries.pop(number, None)
            if entry is not None:
                self._used_bytes -= entry.memory_bytes

    def discard(self, shard: Shard) -> None:
        """Forget a shard whose saved index is damaged, and the file: the next use builds it anew from the store."""
        if self.find(shard.namespace.number) is shard:
            remove_snapshots(self.snapshot_path(shard.namespace.vector_space))
            self.drop(shard.namespace.number)

    def expect_expiry(self, expires_at: int) -> None:
        """A slot of some namespace expires then."""
        with self._lock:
            self.next_expiry = min(self.next_expiry, expires_at)

    def used_bytes(self) -> int:
        """Memory of the open shards as last measured."""
        with self._lock:
            return self._used_bytes

    def lower_budget(self, n_bytes: int, *, at_least: int) -> None:
        """Give up a part of the budget to something else that stays in memory, and close shards above what is left."""
        with self._lock:
            self.budget_bytes = max(self.budget_bytes - max(n_bytes, 0), min(at_least, self.budget_bytes))
        self.evict()

    def n_open(self) -> int:
        """How many shards are open or being opened."""
        with self._lock:
            return len(self._entries)

    def measure(self, shard: Shard) -> None:
        """Update what is known of a shard's memory."""
        n_bytes = shard.memory_bytes()
        with self._lock:
            entry = self._entries.get(shard.namespace.number)
            if entry is not None and entry.shard is shard:
                self._used_bytes += n_bytes - entry.memory_bytes
                entry.memory_bytes = n_bytes

    def evict(self) -> list[Shard]:
        """Close the least recently used idle shards until the rest fits the budget; returns them."""
        evicted: list[Shard] = []
        with self._lock:
            for number, entry in list(self._entries.items()):
                if self._used_bytes <= self.budget_bytes:
                    break
                if entry.n_users == 0 and entry.shard is not None:
                    del self._entries[number]
                    self._used_bytes -= entry.memory_bytes
                    evicted.append(entry.shard)
        return evicted

    def _open(self, entry: _Entry, namespace: Namespace) -> Shard:
        deferred: list[_Deferred] = []
        n_erasures = self._n_erasures.get(namespace.number, 0)
        try:
            try:
                shard = Shard.open(self._store, namespace, self.snapshot_path(namespace.vector_space))
            except GenerationChangedError:
                # It was read a while ago; those who ask for another end than its vectors need no other reading.
                with self._store.read() as view:
                    namespace = view.namespace(namespace.number) or namespace
                shard = Shard.open(self._store, namespace, self.snapshot_path(namespace.vector_space))
            shard.n_erasures = n_erasures
            # What the writer left meanwhile is applied before anybody sees the shard; it may be in it already.
            while True:
                with entry.ready:
                    deferred, entry.deferred = entry.deferred, []
                    if not deferred:
                        entry.shard = shard
                        entry.ready.notify_all()
                        break
                for applied, _ in deferred:
                    shard.apply(applied)
                for _, done in deferred:
                    done()
        except BaseException as error:
            self._fail(entry, namespace, error, deferred)
            raise
        self.measure(shard)
        self.evict()
        return shard

    def _fail(self, entry: _Entry, namespace: Namespace, error: BaseException, taken: list[_Deferred]) -> None:
        """Tell those who wait, also the writes: they are stored, and the next opening finds them there."""
        self.drop(namespace.number)
        if not isinstance(error, AdaMemError):
            problem = f"the index of namespace {namespace.name!r} cannot be opened: {error}"
            error = ShardStaleError(problem, namespace=namespace.name)
        with entry.ready:
            entry.failure = error
            deferred, entry.deferred = taken + entry.deferred, []
            entry.ready.notify_all()
        for _, done in deferred:
            done()


def _wait(entry: _Entry) -> Shard:
    with entry.ready:
        while entry.shard is None:
            if entry.failure is not None:
                raise entry.failure
            entry.ready.wait()
        return entry.shard
