"""A namespace as a package: read in short views into a spool, then handed out as one zip, of one moment.

No view stays open while a client reads: LMDB cannot use freed pages while one does, nor grow its map.
"""

import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from ulid import ULID

from adamem_server.adapt.adapter import Adapter
from adamem_server.archive_types import NO_ARCHIVE_POLICY, ArchivePolicy
from adamem_server.errors import (
    AbortedError,
    DataCorruptError,
    GenerationChangedError,
    NamespaceNotFoundError,
    StorageFullError,
)
from adamem_server.lifecycle.spool import Spool, bytes_part, single_slots
from adamem_server.memory.filters import is_expired
from adamem_server.memory.reading import find_namespace
from adamem_server.packages.archive import Part, archive_bytes, write_archive
from adamem_server.packages.arrays import npy_header
from adamem_server.packages.manifest import (
    ADAPTER,
    FORMAT,
    FORMAT_VERSION,
    MANIFEST,
    PAIR_VECTORS,
    PAIRS,
    AdapterInfo,
    Archive,
    Consolidation,
    Duplicates,
    Index,
    Learned,
    Manifest,
    Member,
    Model,
    Training,
    encode_manifest,
)
from adamem_server.packages.slots import PackagedPair, encode_lines, seconds_of, time_of
from adamem_server.policies import NO_CONSOLIDATION, NO_DUPLICATE_POLICY, ConsolidationPolicy, DuplicatePolicy
from adamem_server.store.bulk import StoredSlots, read_rows, read_slots
from adamem_server.store.codec import Learning
from adamem_server.store.slot_store import ReadView, SlotStore
from adamem_server.store.teaching import read_adapter, read_learning, read_pairs
from adamem_server.types import AdapterVersion, FloatVector, Namespace, TaughtPair, VectorType

# Slots of one view: some 20 ms.
CHUNK_SLOTS: Final = 1_000
# The journal that tells what changed was cut under the export's hands, or another model serves: it begins anew.
_MAX_ATTEMPTS: Final = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class ExportSpec:
    """What to say of the package. `description` None: the namespace's."""

    author: str = ""
    license: str = ""
    tags: tuple[str, ...] = ()
    description: str | None = None


class Export:
    """One export. First `read` to its end, then `manifest`, `n_bytes` and `chunks`; at last `close`."""

    def __init__(
        self, store: SlotStore, name: str, spec: ExportSpec, folder: Path, *, exported_by: str, now: Callable[[], int]
    ) -> None:
        self._store = store
        self._spec = spec
        self._exported_by = exported_by
        self._now = now
        with store.read() as view:
            self._namespace = find_namespace(view, name)
            self.n_total = view.head(self._namespace.number).n_slots
        self._folder = Path(tempfile.mkdtemp(prefix="export-", dir=folder))
        self._spool: Spool | None = None
        self._parts: list[Part] = []
        self.manifest: Manifest

    def close(self) -> None:
        """Remove the files."""
        if self._spool is not None:
            self._spool.discard()
        shutil.rmtree(self._folder, ignore_errors=True)

    def read(self) -> Iterator[int]:
        """Read the namespace; yields how many slots have been read, between the steps.

        Raises:
            NamespaceNotFoundError: It was deleted meanwhile.
            AbortedError: It changes faster than it can be read.
            StorageFullError: The disk has no room for the package.
        """
        try:
            for attempt in range(_MAX_ATTEMPTS):
                with suppress(_JournalCutError, GenerationChangedError):
                    yield from self._read(attempt)
                    return
        except OSError as error:
            raise StorageFullError(f"the package cannot be written in {self._folder.parent}: {error}") from error
        raise AbortedError(f"namespace {self._namespace.name!r} changed too fast to be exported; try again")

    @property
    def n_bytes(self) -> int:
        """The size of the package."""
        return archive_bytes(self._parts)

    def chunks(self) -> Iterator[bytes]:
        """The package."""
        return write_archive(self._parts)

    def _read(self, attempt: int) -> Iterator[int]:
        if self._spool is not None:
            self._spool.discard()
        number = self._namespace.number
        changed: set[int] = set()
        with self._store.read() as view:
            self._namespace = view.namespace(number) or self._namespace
            seen = view.head(number).sequence
        spool = self._spool = Spool(self._folder / f"read-{attempt}", self._namespace)
        after = 0
        while True:
            with self._store.read() as view:
                seen = self._follow(view, seen, after, changed)
                found = read_slots(view, self._namespace, after, CHUNK_SLOTS)
                is_last = len(found.rows) < CHUNK_SLOTS
                if is_last:
                    # All that follows is of the moment of this view.
                    amendments = dict(single_slots(self._shown(read_rows(view, self._namespace, sorted(changed)))))
                    namespace = view.namespace(number)
                    learning = read_learning(view, number)
                    pairs = self._pairs(view)
                    adapter = None if namespace is None else _serving(view, namespace)
            after = found.rows[-1] if found.rows else after
            spool.add(self._shown(found))
            if is_last:
                break
            yield spool.n_slots
        if namespace is None:
            raise NamespaceNotFoundError(self._namespace.name)
        if changed:
            spool = self._spool = spool.amended(self._folder / f"amended-{attempt}", sorted(changed), amendments)
        yield spool.n_slots
        self._finish(spool, namespace, learning, pairs, adapter)

    def _follow(self, view: ReadView, seen: int, last_row: int, changed: set[int]) -> int:
        """Note which rows that were read have changed since; the sequence now."""
        number = self._namespace.number
        if view.namespace(number) is None:
            raise NamespaceNotFoundError(self._namespace.name)
        head = view.head(number)
        if head.checkpoint > seen:
            raise _JournalCutError
        for _, change in view.changes(number, seen):
            changed.update(row for row in (*change.stored, *change.deleted, *change.touched) if row <= last_row)
        return head.sequence

    def _shown(self, found: StoredSlots) -> StoredSlots:
        """Those that have not expired."""
        now = self._now()
        if not any(is_expired(slot, now) for slot in found.slots):
            return found
        kept = [each for _, each in single_slots(found) if not is_expired(each.slots[0], now)]
        return StoredSlots(
            [each.rows[0] for each in kept],
            [each.slots[0] for each in kept],
            [each.accesses[0] for each in kept],
            [each.vectors[0] for each in kept],
            {row for each in kept for row in each.with_cue},
            [value for each in kept for value in each.cue_vectors],
        )

    def _pairs(self, view: ReadView) -> list[tuple[int, PackagedPair, FloatVector | None]]:
        """(number, pair, vector) of what was taught, those that name a slot that is still shown."""
        now = self._now()
        ids: dict[int, str | None] = {}

        def named(rows: tuple[int, ...]) -> tuple[str, ...]:
            for row in rows:
                if row not in ids:
                    slot = view.slot(self._namespace.number, row)
                    ids[row] = None if slot is None or is_expired(slot, now) else slot.id
            return tuple(slot_id for row in rows if (slot_id := ids[row]) is not None)

        taught = (
            (number, pair, named(pair.helped), named(pair.unhelpful))
            for number, pair in read_pairs(view, self._namespace.number)
        )
        return [
            (number, _packaged_pair(pair, helped, unhelpful), pair.vector)
            for number, pair, helped, unhelpful in taught
            if helped or unhelpful
        ]

    def _finish(
        self,
        spool: Spool,
        namespace: Namespace,
        learning: Learning,
        pairs: list[tuple[int, PackagedPair, FloatVector | None]],
        adapter: tuple[AdapterVersion, bytes] | None,
    ) -> None:
        parts, members = spool.parts()
        if adapter is not None:
            _add(parts, members, ADAPTER, adapter[1])
        vectors = [vector for _, _, vector in pairs if vector is not None]
        if pairs:
            _add(parts, members, PAIRS, encode_lines([pair for _, pair, _ in pairs]))
            values = b"".join(vector.astype("<f2").tobytes() for vector in vectors)
            _add(parts, members, PAIR_VECTORS, npy_header(len(vectors), namespace.dim, VectorType.FLOAT16) + values)
        learned = Learned(
            n_pairs=len(pairs),
            n_pair_vectors=len(vectors),
            n_trained=sum(number <= learning.trained_to for number, _, _ in pairs),
            next_version=learning.next_version,
            last_training=_training(learning),
        )
        self.manifest = self._manifest(spool, namespace, learned, None if adapter is None else adapter[0], members)
        self._parts = [bytes_part(MANIFEST, encode_manifest(self.manifest))[0], *parts]

    def _manifest(
        self,
        spool: Spool,
        namespace: Namespace,
        learned: Learned,
        adapter: AdapterVersion | None,
        members: dict[str, Member],
    ) -> Manifest:
        params = namespace.index_params
        description = self._spec.description
        return Manifest(
            format=FORMAT,
            format_version=FORMAT_VERSION,
            package_id=str(ULID()),
            exported_at=time_of(self._now()),
            exported_by=self._exported_by,
            name=namespace.name,
            description=namespace.description if description is None else description,
            author=self._spec.author,
            license=self._spec.license,
            tags=self._spec.tags,
            created_at=time_of(namespace.created_at),
            n_slots=spool.n_slots,
            n_cue_vectors=spool.n_cues,
            model=Model(namespace.model, namespace.model_fingerprint),
            dim=namespace.dim,
            metric=namespace.metric,
            vector_type=namespace.vector_type,
            index=Index(namespace.index_kind, params.m, params.ef_construction, params.ef_search),
            ranking=dict(namespace.ranking),
            adapter_enabled=namespace.adapter_enabled,
            duplicates=_duplicates(namespace.duplicates),
            default_ttl_s=seconds_of(namespace.default_ttl),
            history_versions=namespace.history_versions,
            supersede=namespace.supersede,
            consolidation=_consolidation(namespace.consolidation),
            archive=_archive(namespace.archive),
            adapter=None if adapter is None else _adapter_info(adapter),
            learned=learned,
            members=members,
        )


class _JournalCutError(Exception):
    """What changed since the last look cannot be told any more."""


def _serving(view: ReadView, namespace: Namespace) -> tuple[AdapterVersion, bytes] | None:
    """The adapter that queries pass through; None where there is none, or it is not of the namespace's encoder."""
    stored = read_adapter(view, namespace.number, namespace.adapter_version)
    if stored is None:
        return None
    try:
        adapter = Adapter.from_bytes(stored[1])
    except DataCorruptError:
        return None
    return stored if (adapter.dim, adapter.model_revision) == (namespace.dim, namespace.model_fingerprint) else None


def _add(parts: list[Part], members: dict[str, Member], name: str, content: bytes) -> None:
    part, members[name] = bytes_part(name, content)
    parts.append(part)


def _packaged_pair(pair: TaughtPair, helped: tuple[str, ...], unhelpful: tuple[str, ...]) -> PackagedPair:
    return PackagedPair(
        query=pair.query,
        helped=helped,
        unhelpful=unhelpful,
        time=time_of(pair.time),
        weight=pair.weight,
        is_cue=pair.is_cue,
        embedded=pair.vector is not None,
    )


def _duplicates(policy: DuplicatePolicy) -> Duplicates | None:
    if policy == NO_DUPLICATE_POLICY:
        return None
    return Duplicates(policy.on_duplicate, policy.on_recalled, policy.threshold, policy.scope)


def _consolidation(policy: ConsolidationPolicy) -> Consolidation | None:
    if policy == NO_CONSOLIDATION:
        return None
    every_s = seconds_of(policy.every)
    return Consolidation(policy.after_slots, every_s, policy.method, policy.max_chars, policy.threshold)


def _archive(policy: ArchivePolicy) -> Archive | None:
    if policy == NO_ARCHIVE_POLICY:
        return None
    return Archive(policy.max_slots, policy.max_bytes, policy.min_importance, seconds_of(policy.half_life))


def _adapter_info(version: AdapterVersion) -> AdapterInfo:
    return AdapterInfo(
        version=version.version,
        created_at=time_of(version.created_at),
        n_pairs=version.n_pairs,
        rank=version.rank,
        dense_shift=version.dense_shift,
        n_judged=version.n_judged,
        baseline=version.baseline,
        candidate=version.candidate,
        probability=version.probability,
    )


def _training(learning: Learning) -> Training | None:
    report = learning.report()
    if report is None:
        return None
    return Training(
        outcome=report.outcome,
        finished_at=time_of(report.finished_at),
        duration_s=report.duration_s,
        cpu_s=report.cpu_s,
        n_pairs=report.n_pairs,
        n_judged=report.n_judged,
        baseline=report.baseline,
        candidate=report.candidate,
        probability=report.probability,
        version=report.version,
    )
