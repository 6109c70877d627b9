"""A database that is read beside the server, or without one: the copying process, and the check of a backup."""

import struct
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self, TypeAlias

import lmdb

from adamem_server.errors import AdaMemError, BackupInvalidError
from adamem_server.store import codec, job_codec, keys
from adamem_server.store.archive import archive_count
from adamem_server.store.archive_codec import decode_archive_count
from adamem_server.store.codec import Generations
from adamem_server.store.duplicate_codec import decode_absorbed, decode_merge
from adamem_server.store.environment import FORMAT, TABLES, ReadTransaction
from adamem_server.store.generations import read_generations
from adamem_server.store.history_codec import decode_history, decode_snapshot, decode_version
from adamem_server.store.manifest import DATA_MEMBER, Contents, CopiedNamespace
from adamem_server.store.slot_store import ReadView
from adamem_server.store.summaries import decode_consolidated
from adamem_server.types import Namespace

_Check: TypeAlias = Callable[[bytes], object]
# What is read of each table's values; a table that is not here has none that a codec reads.
_CHECKS: Final[Mapping[str, _Check]] = {
    "names": keys.decode_u32,
    "namespaces": lambda value: codec.decode_namespace(0, value),
    "heads": codec.decode_head,
    "slots": codec.decode_slot,
    "rows": keys.decode_u32,
    "journal": codec.decode_change,
    "accesses": codec.decode_access,
    "requests": codec.decode_request,
    "staging": codec.decode_staging,
    "learning": codec.decode_learning,
    "pairs": codec.decode_pair,
    "adapters": lambda value: codec.decode_adapter(0, value),
    "jobs": lambda value: job_codec.decode_job("", value),
    "absorbed": decode_absorbed,
    "merges": decode_merge,
    "generations": codec.decode_generations,
    "versions": lambda value: decode_version(0, 0, value),
    "version_times": keys.decode_times,
    "snapshots": lambda value: decode_snapshot("", value),
    "histories": decode_history,
    "consolidated": decode_consolidated,
    "archives": decode_archive_count,
}
_VECTORS: Final = ("vectors", "cue_vectors")
_COUNTED: Final = ("slots", "rows", "archived", *_VECTORS)
# Records after which the progress of a check is told.
_TOLD_EVERY: Final = 10_000


@dataclass(frozen=True, slots=True)
class _Space:
    """A vector space: of which namespace, and how long its vectors are in bytes."""

    namespace: str
    n_bytes: int


class OfflineDatabase:
    """A database opened for reading alone, with the tables that it has.

    Args:
        path: The data directory, or a database file.
        shared: A server may have it open: take part in LMDB's table of readers, so that what is read stays.

    Raises:
        lmdb.Error: It cannot be opened.
    """

    def __init__(self, path: Path, *, shared: bool) -> None:
        try:
            # As great as the file says: nothing grows here.
            self._env = self._open(path, shared, 0)
        except lmdb.MemoryError:
            # That is more than this system gives.
            data = path / "data.mdb" if path.is_dir() else path
            self._env = self._open(path, shared, data.stat().st_size)
        self.tables: dict[str, Any] = {}
        with self._env.begin() as txn:
            names = [bytes(name).decode() for name in txn.cursor().iternext(values=False)]
        for name in names:
            self.tables[name] = self._env.open_db(name.encode(), create=False)

    @staticmethod
    def _open(path: Path, shared: bool, map_size: int) -> lmdb.Environment:
        return lmdb.Environment(
            str(path),
            subdir=path.is_dir(),
            readonly=True,
            create=False,
            lock=shared,
            map_size=map_size,
            max_dbs=max(len(TABLES), 64),
        )

    def __enter__(self) -> Self:
        """Itself."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Closes it."""
        self._env.close()

    @contextmanager
    def read(self) -> Iterator[ReadTransaction]:
        """A consistent view of all tables."""
        with self._env.begin() as txn:
            yield txn

    def used_bytes(self) -> int:
        """Size of the file up to its last page in use."""
        page = int(self._env.stat()["psize"])
        return page * (int(self._env.info()["last_pgno"]) + 1)

    def copy_to(self, fd: int, txn: ReadTransaction) -> None:
        """Write a compacted copy as of `txn`: without its free pages, which may be half of it after deletions."""
        self._env.copyfd(fd, compact=True, txn=txn)

    def contents(self, txn: ReadTransaction) -> Contents:
        """What there is; cost: O(namespaces)."""
        stored = txn.get(b"format", db=self.tables["meta"]) if "meta" in self.tables else None
        if stored is None:
            raise BackupInvalidError(DATA_MEMBER, "is no database of AdaMem")
        namespaces: list[CopiedNamespace] = []
        view = ReadView(self, txn)
        for name in view.namespace_names("", ""):
            namespace = view.find_namespace(name)
            if namespace is not None:
                namespaces.append(_copied(view, namespace))
        entries = {name: int(txn.stat(table)["entries"]) for name, table in sorted(self.tables.items())}
        return Contents(keys.decode_u32(stored), tuple(namespaces), entries)

    def check(self, expected: Contents, on_record: Callable[[int], None] = lambda _: None) -> int:
        """Read every record with its codec, and compare what is counted with what is expected; how many were read.

        Raises:
            BackupInvalidError: A record cannot be read, or something was not counted as it should be.
        """
        with self.read() as txn:
            found = self.contents(txn)
            if found.data_format != FORMAT:
                raise BackupInvalidError(
                    DATA_MEMBER, f"has the data format {found.data_format}, this version reads {FORMAT}"
                )
            _compare(expected, found)
            view = ReadView(self, txn)
            spaces = _spaces(view, found.namespaces, has_generations="generations" in self.tables)
            n_read = 0
            for table in self.tables:
                counts: dict[int, int] = {}
                for key, value in txn.cursor(db=self.tables[table]):
                    try:
                        _check_record(table, key, value, spaces, counts)
                    except AdaMemError as error:
                        raise BackupInvalidError(DATA_MEMBER, f"table {table}: {error.message}") from error
                    except (struct.error, ValueError, LookupError) as error:
                        # A number of another length; a code or a name that stands for nothing.
                        raise BackupInvalidError(DATA_MEMBER, f"table {table}: a record cannot be read") from error
                    n_read += 1
                    if n_read % _TOLD_EVERY == 0:
                        on_record(n_read)
                _check_counts(table, view, found.namespaces, counts)
        on_record(n_read)
        return n_read


def _spaces(view: ReadView, copied: Iterable[CopiedNamespace], *, has_generations: bool) -> dict[int, _Space]:
    """The vector spaces of all namespaces, those that do not serve too."""
    spaces: dict[int, _Space] = {}
    for each in copied:
        namespace = view.namespace(each.number)
        if namespace is None:
            continue
        vector_type = namespace.vector_type
        spaces[namespace.vector_space] = _Space(namespace.name, codec.vector_bytes(namespace.dim, vector_type))
        others = read_generations(view, namespace.number) if has_generations else Generations()
        for generation in (others.next, others.former):
            if generation is not None:
                spaces[generation.space] = _Space(namespace.name, codec.vector_bytes(generation.dim, vector_type))
    return spaces


def _copied(view: ReadView, namespace: Namespace) -> CopiedNamespace:
    head = view.head(namespace.number)
    return CopiedNamespace(
        namespace.name,
        namespace.number,
        head.n_slots,
        head.n_bytes,
        head.sequence,
        namespace.dim,
        namespace.model,
        namespace.model_fingerprint,
    )


def _check_record(table: str, key: bytes, value: bytes, spaces: Mapping[int, _Space], counts: dict[int, int]) -> None:
    """Read a record, and count it where that can be compared."""
    _CHECKS.get(table, bytes)(value)
    if table in _COUNTED:
        number = keys.decode_u32(key[:4])
        counts[number] = counts.get(number, 0) + 1
        # Of a deleted namespace whose data is still being removed nothing else is known.
        space = spaces.get(number) if table in _VECTORS else None
        if space is not None and len(value) != space.n_bytes:
            raise BackupInvalidError(DATA_MEMBER, f"a vector of namespace {space.namespace!r} has the wrong length")


def _check_counts(table: str, view: ReadView, namespaces: Iterable[CopiedNamespace], counts: Mapping[int, int]) -> None:
    """Whether each namespace has as many records in a table as its head says."""
    if table not in _COUNTED:
        return
    for namespace in namespaces:
        match table:
            case "cue_vectors":
                expected = view.head(namespace.number).n_cues
            case "archived":
                expected = archive_count(view, namespace.number).n_slots
            case _:
                expected = namespace.n_slots
        stored = view.namespace(namespace.number)
        serves = namespace.number if stored is None else stored.vector_space
        found = counts.get(serves if table in _VECTORS else namespace.number, 0)
        if found != expected:
            raise BackupInvalidError(
                DATA_MEMBER, f"namespace {namespace.name!r} has {found} records in {table}, {expected} are expected"
            )


def _compare(expected: Contents, found: Contents) -> None:
    names = {each.name: each for each in expected.namespaces}
    there = {each.name: each for each in found.namespaces}
    for name in sorted(names.keys() | there.keys()):
        if names.get(name) != there.get(name):
            problem = f"namespace {name!r} is {there.get(name)}, the manifest says {names.get(name)}"
            raise BackupInvalidError(DATA_MEMBER, problem, namespace=name)
    for table in sorted(expected.tables.keys() | found.tables.keys()):
        n_expected, n_found = expected.tables.get(table), found.tables.get(table)
        if n_expected != n_found:
            raise BackupInvalidError(
                DATA_MEMBER, f"table {table} has {n_found} records, the manifest says {n_expected}", table=table
            )
