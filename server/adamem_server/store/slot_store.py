"""Reads and writes of namespaces, slots and vectors as typed values, on top of the LMDB environment.

`SlotStore` gives read views and carries out write transactions; `ReadView` and `WriteBatch` know tables, keys and
codecs, and nothing of why something is written.
"""

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final, Literal, Protocol, TypeAlias, TypeVar

import lmdb

from adamem_server.store import codec, keys
from adamem_server.store.archive import Archive
from adamem_server.store.codec import Change, Head
from adamem_server.store.cue_rows import cue_key
from adamem_server.store.data_file import DataFile
from adamem_server.store.duplicates import delete_forms
from adamem_server.store.environment import Environment, ReadTransaction
from adamem_server.store.generations import Spaces, read_generations
from adamem_server.store.history import Trail
from adamem_server.store.summaries import Consolidated, Untold, put_consolidated
from adamem_server.store.teaching import forget_row
from adamem_server.store.version_types import Ending, Trace
from adamem_server.types import (
    NO_ACCESS,
    Access,
    Durability,
    FloatVector,
    Namespace,
    Slot,
    VectorType,
)

VectorTable: TypeAlias = Literal["vectors", "cue_vectors"]
_T = TypeVar("_T")
# What is kept of a space, and what of a namespace besides.
OF_SPACES: Final = ("vectors", "cue_vectors", "stale")
_ONLY_VECTORS: Final = b"vectors"
_PURGED: Final = (
    *OF_SPACES,
    "slots",
    "rows",
    "journal",
    "expiries",
    "accesses",
    "requests",
    "pairs",
    "pair_rows",
    "adapters",
    "learning",
    "forms",
    "row_forms",
    "form_builds",
    "absorbed",
    "merges",
    "versions",
    "version_vectors",
    "version_times",
    "superseded",
    "former_expiries",
    "cue_rows",
    "snapshots",
    "histories",
    "summarized",
    "consolidated",
    "archived",
    "archives",
    "heads",
    "generations",
)
# The tables of which a namespace's number begins the keys.
OF_NAMESPACE: Final = _PURGED


class Tables(Protocol):
    """Where a view finds its tables."""

    @property
    def tables(self) -> Mapping[str, Any]:
        """LMDB's handles by name."""


class ReadView:
    """All tables as they were at one moment."""

    def __init__(self, environment: Tables, txn: ReadTransaction) -> None:
        self._tables = environment.tables
        self._txn = txn

    # Namespaces

    def namespace_number(self, name: str) -> int | None:
        """The number of a namespace, None when there is none of this name."""
        value = self._txn.get(name.encode(), db=self._tables["names"])
        return None if value is None else keys.decode_u32(value)

    def namespace(self, number: int) -> Namespace | None:
        """A namespace's properties, None when it does not exist (any more)."""
        value = self._txn.get(keys.number_key(number), db=self._tables["namespaces"])
        return None if value is None else codec.decode_namespace(number, value)

    def find_namespace(self, name: str) -> Namespace | None:
        """A namespace's properties by name."""
        number = self.namespace_number(name)
        return None if number is None else self.namespace(number)

    def namespace_names(self, prefix: str, after: str) -> Iterator[str]:
        """Names that start with `prefix`, in order, from the first one behind `after`."""
        start = max(prefix, after).encode()
        cursor = self._txn.cursor(db=self._tables["names"])
        if not cursor.set_range(start):
            return
        for name in cursor.iternext(values=False):
            text = bytes(name).decode()
            if not text.startswith(prefix):
                return
            if text != after:
                yield text

    def n_namespaces(self) -> int:
        """How many namespaces there are."""
        return int(self._txn.stat(self._tables["namespaces"])["entries"])

    def table_bytes(self, table: str) -> int:
        """Bytes of the pages of a table, of all namespaces."""
        stat = self._txn.stat(self._tables[table])
        return int(stat["psize"]) * (stat["branch_pages"] + stat["leaf_pages"] + stat["overflow_pages"])

    def head(self, number: int) -> Head:
        """A namespace's moving state."""
        value = self._txn.get(keys.number_key(number), db=self._tables["heads"])
        return Head() if value is None else codec.decode_head(value)

    def doomed(self) -> list[int]:
        """Numbers of deleted namespaces that still have data."""
        cursor = self._txn.cursor(db=self._tables["doomed"])
        return [keys.decode_u32(key) for key in cursor.iternext(values=False)]

    # Slots

    def row(self, number: int, slot_id: str) -> int | None:
        """The row of a slot id."""
        value = self._txn.get(keys.slot_id_key(number, codec.slot_id_bytes(slot_id)), db=self._tables["rows"])
        return None if value is None else keys.decode_u32(value)

    def slot(self, number: int, row: int) -> Slot | None:
        """One slot."""
        value = self._txn.get(keys.row_key(number, row), db=self._tables["slots"])
        return None if value is None else codec.decode_slot(value)

    def slots(self, number: int, after: int = 0) -> Iterator[tuple[int, Slot]]:
        """(row, slot) in the order of rows, from the first behind `after`."""
        for key, value in self.scan("slots", keys.row_key(number, after + 1), keys.number_key(number)):
            yield keys.row_of(key), codec.decode_slot(value)

    def access(self, number: int, row: int) -> Access:
        """How a slot was used."""
        value = self._txn.get(keys.row_key(number, row), db=self._tables["accesses"])
        return NO_ACCESS if value is None else codec.decode_access(value)

    def vectors(
        self, namespace: Namespace, rows: Sequence[int], *, of: VectorTable = "vectors"
    ) -> tuple[list[int], FloatVector]:
        """The vectors of those rows that have one: (rows, float32 [n, dim]); of the contents, or of the cues."""
        found: list[int] = []
        values: list[bytes] = []
        for row in rows:
            value = self._txn.get(keys.row_key(namespace.vector_space, row), db=self._tables[of])
            if value is not None:
                found.append(row)
                values.append(value)
        return found, codec.decode_vectors(values, namespace.dim, namespace.vector_type)

    def vector_chunks(
        self, namespace: Namespace, chunk: int = 1024, *, of: VectorTable = "vectors"
    ) -> Iterator[tuple[list[int], FloatVector]]:
        """All vectors of a namespace, in the order of rows, in chunks as `vectors` returns them."""
        prefix = keys.number_key(namespace.vector_space)
        rows: list[int] = []
        values: list[bytes] = []
        for key, value in self.scan(of, prefix, prefix):
            rows.append(keys.row_of(key))
            values.append(value)
            if len(rows) == chunk:
                yield rows, codec.decode_vectors(values, namespace.dim, namespace.vector_type)
                rows, values = [], []
        if rows:
            yield rows, codec.decode_vectors(values, namespace.dim, namespace.vector_type)

    # Journal, expiry

    def changes(self, number: int, after: int) -> Iterator[tuple[int, Change]]:
        """(sequence, change) of the journal, from the first behind `after`."""
        for key, value in self.scan("journal", keys.journal_key(number, after + 1), keys.number_key(number)):
            yield keys.sequence_of(key), codec.decode_change(value)

    def expiring(self, number: int) -> Iterator[tuple[int, int]]:
        """(expires_at, row) of the slots that expire, soonest first."""
        prefix = keys.number_key(number)
        for key, _ in self.scan("expiries", prefix, prefix):
            yield keys.expiry_of(key)

    # For the other files of this room, each of which knows tables of its own

    def get(self, table: str, key: bytes) -> bytes | None:
        """The value of a key."""
        return self._txn.get(key, db=self._tables[table])

    def cursor(self, table: str) -> "lmdb.Cursor[bytes]":
        """A cursor over a table, for this view's time."""
        return self._txn.cursor(db=self._tables[table])

    def scan(self, table: str, start: bytes, prefix: bytes) -> Iterator[tuple[bytes, bytes]]:
        """(key, value) from `start` on, while keys begin with `prefix`."""
        cursor = self._txn.cursor(db=self._tables[table])
        if not cursor.set_range(start):
            return
        for key, value in cursor:
            if not key.startswith(prefix):
                return
            yield key, value


class WriteBatch(ReadView):
    """A write transaction. Puts of slots, vectors and changes are gathered: reads see them after `flush` only."""

    def __init__(self, environment: Environment, txn: ReadTransaction) -> None:
        super().__init__(environment, txn)
        self._puts: dict[str, list[tuple[bytes, bytes]]] = {}
        self._spaces: dict[int, Spaces] = {}
        self._trails: dict[int, Trail] = {}
        self._untold = Untold(self)
        self._archives: dict[int, Archive] = {}

    def flush(self) -> None:
        """Hand the gathered puts to LMDB: one call a table, which lets go of the GIL once instead of once a slot.

        Also stores the counts of the histories and archives.
        """
        for spaces in self._spaces.values():
            spaces.flush(self)
        for trail in self._trails.values():
            trail.flush()
        self._trails.clear()
        for archive in self._archives.values():
            archive.flush()
        self._archives.clear()
        for table, items in self._puts.items():
            with self._txn.cursor(db=self._tables[table]) as cursor:
                cursor.putmulti(items)
        self._puts.clear()

    def put(self, table: str, key: bytes, value: bytes) -> None:
        """Store a record of a table that another file of this room knows."""
        self._txn.put(key, value, db=self._tables[table])

    def delete(self, table: str, key: bytes) -> bool:
        """Remove such a record; whether it was there."""
        return bool(self._txn.delete(key, db=self._tables[table]))

    def trail(self, number: int) -> Trail:
        """What this job leaves in the history of a namespace; `put_head` comes after all that is told to it."""
        trail = self._trails.get(number)
        if trail is None:
            trail = self._trails[number] = Trail(self, number)
        return trail

    def archive(self, number: int) -> Archive:
        """The archived slots of a namespace; kept until `flush`."""
        archive = self._archives.get(number)
        if archive is None:
            archive = self._archives[number] = Archive(self, number)
        return archive

    def take_untold(self) -> dict[int, list[str]]:
        """By namespace, the summaries that tell what is not so any more since this was asked last; see `Untold`."""
        return self._untold.take()

    def note_expiry(self, number: int, before: Slot, after: Slot) -> None:
        """A slot got another expiry, and is stored otherwise by another file of this room."""
        self._untold.changed(number, before, after)

    def put_namespace(self, namespace: Namespace) -> None:
        """Store a namespace's properties and its name."""
        if (spaces := self._spaces.pop(namespace.number, None)) is not None:
            spaces.flush(self)
        key = keys.number_key(namespace.number)
        self._txn.put(key, codec.encode_namespace(namespace), db=self._tables["namespaces"])
        self._txn.put(namespace.name.encode(), key, db=self._tables["names"])
        if namespace.consolidation.is_scheduled and self.get("consolidated", key) is None:
            put_consolidated(self, namespace.number, Consolidated())

    def new_namespace_number(self) -> int:
        """A number that no namespace has or had."""
        meta = self._tables["meta"]
        stored = self._txn.get(b"last_number", db=meta)
        number = (0 if stored is None else keys.decode_u32(stored)) + 1
        self._txn.put(b"last_number", keys.encode_u32(number), db=meta)
        return number

    def doom_namespace(self, namespace: Namespace) -> None:
        """Make a namespace unknown at once; `purge` removes its data."""
        key = keys.number_key(namespace.number)
        generations = read_generations(self, namespace.number)
        others = {each.space for each in (generations.next, generations.former) if each is not None}
        for space in {namespace.vector_space, *others} - {namespace.number}:
            self.doom_space(space)
        self._spaces.pop(namespace.number, None)
        self._txn.delete(namespace.name.encode(), db=self._tables["names"])
        self._txn.delete(key, db=self._tables["namespaces"])
        self._txn.put(key, b"", db=self._tables["doomed"])

    def doom_space(self, space: int) -> None:
        """Let `purge` remove the vectors of a space that no generation names any more."""
        # Not in the place of a doom that takes more: the first space of a namespace has its number.
        self._txn.put(keys.number_key(space), _ONLY_VECTORS, overwrite=False, db=self._tables["doomed"])

    def purge(self, number: int, most: int) -> bool:
        """Remove up to `most` records of a doomed namespace or space; True when none are left: the doom is lifted."""
        prefix = keys.number_key(number)
        left = most
        only_vectors = self._txn.get(prefix, db=self._tables["doomed"]) == _ONLY_VECTORS
        for table in OF_SPACES if only_vectors else _PURGED:
            left -= self._delete_range(table, prefix, None, left)
            if left <= 0:
                return False
        self._txn.delete(prefix, db=self._tables["doomed"])
        return True

    def put_head(self, number: int, head: Head) -> None:
        """Store a namespace's moving state."""
        self._txn.put(keys.number_key(number), codec.encode_head(head), db=self._tables["heads"])

    def put_slot(
        self,
        number: int,
        row: int,
        slot: Slot,
        vector: FloatVector,
        vector_type: VectorType,
        old: Slot | None,
        cue_vector: FloatVector | None = None,
        *,
        ending: Ending = Ending.UPDATED,
    ) -> int:
        """Store a slot with its vector, and that of its cue, in place of `old`; returns its size in bytes.

        The history keeps `old`, which ended so.
        """
        values = codec.encode_vector(vector, vector_type)
        cue_values = b"" if cue_vector is None else codec.encode_vector(cue_vector, vector_type)
        return self.put_stored(number, row, slot, codec.encode_slot(slot), values, cue_values, old, ending=ending)

    def put_stored(
        self,
        number: int,
        row: int,
        slot: Slot,
        data: bytes,
        values: bytes,
        cue_values: bytes,
        old: Slot | None,
        *,
        at: int = 0,
        ending: Ending = Ending.UPDATED,
    ) -> int:
        """As `put_slot`, of a slot and vectors in their stored forms; `cue_values` b"": its cue has no vector.

        `at` is the time of the change, 0: the slot's `updated_at`.
        """
        key = keys.row_key(number, row)
        trail = self.trail(number)
        if old is not None:
            trail.replaced(row, old, slot, values, cue_values, at or slot.updated_at, ending)
        else:
            trail.created(slot.id)
        if trail.has_cue_rows:
            self._put_cue_row(number, row, old, slot)
        self._untold.changed(number, old, slot)
        spaces = self.spaces(number)
        vector_key = keys.row_key(spaces.serving, row)
        spaces.forget(self, row)
        if old is not None and old.archived_at:
            self.archive(number).remove(row)
        if slot.archived_at:
            self.archive(number).add(row, len(data), has_cue=bool(cue_values))
        self._gather("slots", key, data)
        self._gather("vectors", vector_key, values)
        if cue_values:
            self._gather("cue_vectors", vector_key, cue_values)
        elif old is not None:
            self._txn.delete(vector_key, db=self._tables["cue_vectors"])
        if old is None:
            self._gather("rows", keys.slot_id_key(number, codec.slot_id_bytes(slot.id)), keys.encode_u32(row))
        if old is not None and old.expires_at:
            self._txn.delete(keys.expiry_key(number, old.expires_at, row), db=self._tables["expiries"])
        if slot.expires_at:
            self._txn.put(keys.expiry_key(number, slot.expires_at, row), b"", db=self._tables["expiries"])
        return len(data) + len(values) + len(cue_values)

    def slot_bytes(self, number: int, row: int) -> int:
        """Size of a stored slot with its vector, in bytes; 0 when there is none."""
        vector_key = keys.row_key(self.spaces(number).serving, row)
        where = {"slots": keys.row_key(number, row), "vectors": vector_key, "cue_vectors": vector_key}
        return sum(len(self._txn.get(key, b"", db=self._tables[table])) for table, key in where.items())

    def has_cue_vector(self, number: int, row: int) -> bool:
        """Whether a slot's cue has a vector."""
        key = keys.row_key(self.spaces(number).serving, row)
        return self._txn.get(key, db=self._tables["cue_vectors"]) is not None

    def spaces(self, number: int) -> Spaces:
        """Where the vectors of a namespace are; kept for the time of the transaction."""
        spaces = self._spaces.get(number)
        if spaces is None:
            namespace = self.namespace(number)
            serving = number if namespace is None else namespace.vector_space
            spaces = self._spaces[number] = Spaces(number, serving, read_generations(self, number))
        return spaces

    def delete_slot(
        self,
        number: int,
        row: int,
        slot: Slot,
        *,
        at: int = 0,
        trace: Trace = Trace.NOTHING,
        absent: Collection[str] = (),
    ) -> tuple[int, bool]:
        """Remove a slot, at a time, but from the journal; pairs that name it forget it. `trace` stays of it.

        What it has absorbed goes too, with as much history, unless it is being absorbed or a version of it is kept.
        Of a summary nothing at all stays: it tells what other slots do, which may be erased. Tables that are known to
        hold nothing of its row may be named `absent`. Returns the bytes of slot and vectors; whether its cue had one.
        """
        trace = Trace.NOTHING_AT_ALL if slot.sources else trace
        trail = self.trail(number)
        trail.removed(row, slot, at or slot.updated_at, trace)
        if trace is not Trace.ABSORBED and "absorbed" not in absent and not trail.keeps(slot.id, row):
            trail.delete_absorbed(row, trace)
        return self._remove_slot(number, row, slot, absent)

    def supersede_slot(self, number: int, row: int, slot: Slot, *, end: int, newer: str) -> None:
        """Take a slot out of those that are found: the slot `newer` holds from `end` on. What it absorbed stays."""
        self.trail(number).superseded(row, slot, end, newer)
        self._remove_slot(number, row, slot)

    def _remove_slot(self, number: int, row: int, slot: Slot, absent: Collection[str] = ()) -> tuple[int, bool]:
        key = keys.row_key(number, row)
        if self.trail(number).has_cue_rows:
            self._put_cue_row(number, row, slot, None)
        spaces = self.spaces(number)
        spaces.forget(self, row)
        if slot.archived_at:
            self.archive(number).remove(row)
        vector_key = keys.row_key(spaces.serving, row)
        n_bytes = len(self._pop("slots", key)) + len(self._pop("vectors", vector_key))
        n_cue_bytes = 0 if "cue_vectors" in absent else len(self._pop("cue_vectors", vector_key))
        self._txn.delete(keys.slot_id_key(number, codec.slot_id_bytes(slot.id)), db=self._tables["rows"])
        if slot.expires_at:
            self._txn.delete(keys.expiry_key(number, slot.expires_at, row), db=self._tables["expiries"])
        self._untold.changed(number, slot, None)
        if "accesses" not in absent:
            self._txn.delete(key, db=self._tables["accesses"])
        if "pair_rows" not in absent:
            forget_row(self, number, row)
        if "row_forms" not in absent:
            delete_forms(self, number, row)
        return n_bytes + n_cue_bytes, n_cue_bytes > 0

    def _pop(self, table: str, key: bytes) -> bytes:
        return self._txn.pop(key, db=self._tables[table]) or b""

    def put_change(self, number: int, sequence: int, change: Change) -> None:
        """Append to the journal."""
        self._gather("journal", keys.journal_key(number, sequence), codec.encode_change(change))

    def trim_journal(self, number: int, upto: int, most: int) -> bool:
        """Remove up to `most` journal entries with a sequence of at most `upto`; True when none are left."""
        end = keys.journal_key(number, upto + 1)
        return self._delete_range("journal", keys.number_key(number), end, most) < most

    def add_access(self, number: int, row: int, count: int, accessed_at: int) -> None:
        """Add to a slot's use; nothing when the slot is gone."""
        key = keys.row_key(number, row)
        if self._txn.get(key, db=self._tables["slots"]) is None:
            return
        old = self.access(number, row)
        access = Access(old.count + count, max(old.accessed_at, accessed_at))
        self._txn.put(key, codec.encode_access(access), db=self._tables["accesses"])

    def _put_cue_row(self, number: int, row: int, old: Slot | None, new: Slot | None) -> None:
        before, after = (None if slot is None else cue_key(slot) for slot in (old, new))
        if before is not None and before != after:
            self.delete("cue_rows", keys.cue_row_key(number, before, row))
        if after is not None:
            self.put("cue_rows", keys.cue_row_key(number, after, row), b"")

    def _gather(self, table: str, key: bytes, value: bytes) -> None:
        self._puts.setdefault(table, []).append((key, value))

    def _delete_range(self, table: str, start: bytes, end: bytes | None, most: int) -> int:
        """Delete up to `most` keys from `start` on that are below `end` (None: that start with `start`)."""
        cursor = self._txn.cursor(db=self._tables[table])
        n_deleted = 0
        found = cursor.set_range(start)
        while found and n_deleted < most:
            key = cursor.key()
            # Behind the last key LMDB's cursor is found at an empty one.
            if not key or (key >= end if end is not None else not key.startswith(start)):
                break
            found = cursor.delete()
            n_deleted += 1
        return n_deleted


class SlotStore:
    """The store of one data directory. Reads from any thread; `write` from one.

    Args and errors are those of `Environment`. `file` is what can be done to the database file as a whole.
    """

    def __init__(self, path: Path, *, durability: Durability = Durability.SYNC, max_bytes: int = 0) -> None:
        self._environment = Environment(path, durability=durability, max_bytes=max_bytes)
        self.path = path
        self.file: Final = DataFile(self._environment)

    @contextmanager
    def read(self) -> Iterator[ReadView]:
        """A consistent view. Never wait for a write inside it."""
        with self._environment.read() as txn:
            yield ReadView(self._environment, txn)

    def write(self, work: Callable[[WriteBatch], _T], *, frees: bool = False) -> _T:
        """Run `work` in one transaction and commit; it may run twice; `frees` and errors are `Environment.write`'s."""

        def run(txn: ReadTransaction) -> _T:
            batch = WriteBatch(self._environment, txn)
            result = work(batch)
            batch.flush()
            return result

        return self._environment.write(run, frees=frees)

    def data_bytes(self) -> int:
        """Size of the data file."""
        return self._environment.data_bytes()

    def close(self) -> None:
        """Sync and close; no view may be open."""
        self._environment.close()
