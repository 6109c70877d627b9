"""A package becomes slots: checked to the last byte, stored where nobody sees it, and shown in one transaction.

Until then all of it lies under a number without a name, which goes if anything is wrong, the caller leaves or the
server ends. A merge is shown step by step, but decided at once: from then on it is carried through, over restarts too.
Memory: the indexes of the new namespace, 17 bytes a slot, and some thousand slots under way.
"""

from collections import deque
from collections.abc import Callable, Generator, Iterator, Sequence
from concurrent.futures import Future, wait
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from adamem_server.errors import AbortedError, GenerationChangedError, PackageError, StorageFullError
from adamem_server.lifecycle.import_jobs import BeginJob, MergeJob, PublishJob, StagedSlots, StageJob, TeachJob
from adamem_server.lifecycle.import_plan import ImportSpec, Plan, import_name, plan_import, read_adapter
from adamem_server.lifecycle.transaction import write
from adamem_server.memory.building import IndexedSlots, ShardBuilder
from adamem_server.memory.forms import settle_forms
from adamem_server.memory.parts import EngineParts
from adamem_server.packages.arrays import check_vectors
from adamem_server.packages.manifest import CUE_VECTORS, PAIRS, SLOTS, VECTORS, Manifest
from adamem_server.packages.reader import Package, ReadSlots
from adamem_server.packages.slots import PackagedPair, PackagedSlot, SlotLimits, access_of, microseconds, stored
from adamem_server.store.codec import Head, Learning, Staging, slot_id_bytes
from adamem_server.store.slot_store import WriteBatch
from adamem_server.store.staging import abandon_staging, put_staging
from adamem_server.types import AdapterVersion, FloatVector, Namespace, TaughtPair, VectorType

# Slots of one transaction, which other writers wait for: with 256, a write beside an import of 100,000 slots took up to
# 55 ms (p99), with 64 it takes 13, and the import is as fast.
STAGE_SLOTS: Final = 64
# Slots that are embedded together, where they are: half a second of a core.
EMBED_SLOTS: Final = 128
_MAX_WAITING: Final = 3
_TEACH_PAIRS: Final = 256
_ID_BYTES: Final = 16


@dataclass(frozen=True, slots=True)
class ImportProgress:
    """How far an import is: of its slots so many are stored, or merged."""

    merging: bool
    n_done: int
    n_total: int


@dataclass(frozen=True, slots=True, kw_only=True)
class ImportResult:
    """What an import did.

    `n_kept`: slots that the namespace had as new or newer. `n_embedded`: slots that got new vectors. `adapter_version`:
    the adapter that came along and serves, 0 for none. `replaced`: a namespace that had the name is gone.
    """

    namespace: str
    manifest: Manifest
    signed_by: bytes | None
    n_created: int
    n_replaced: int
    n_kept: int
    n_embedded: int
    n_pairs: int
    adapter_version: int
    replaced: bool


@dataclass(slots=True)
class _Staged:
    """What has been stored under the number."""

    number: int
    n_slots: int = 0
    n_bytes: int = 0
    n_cues: int = 0
    n_pairs: int = 0


class Import:
    """One import; `run` it to its end, then read `result`.

    Args:
        parts: Of the engine.
        path: The package.
        spec: How to import it.
        limits: Of a slot.
        folder: For temporary files.
        max_bytes: Of the package, unpacked.
        carry_on: Told the number of a merge that was decided and left by its caller.
    """

    def __init__(
        self,
        parts: EngineParts,
        path: Path,
        spec: ImportSpec,
        *,
        limits: SlotLimits,
        folder: Path,
        max_bytes: int,
        carry_on: Callable[[int], None],
    ) -> None:
        self._carry_on = carry_on
        self._parts = parts
        self._path = path
        self._spec = spec
        self._limits = limits
        self._folder = folder
        self._max_bytes = max_bytes
        self.result: ImportResult

    def run(self) -> Generator[ImportProgress, None, None]:
        """Import; yields between the steps. Closing the iterator ends it, and leaves nothing behind.

        Raises:
            PackageError, PackageTooLargeError: What is wrong with the package.
            NamespaceExistsError, PackageModelError, ModelMismatchError: See `plan_import`.
            StorageFullError: There is no room.
        """
        try:
            opened = Package.open(
                self._path, folder=self._folder, max_bytes=self._max_bytes, verify_key=self._spec.verify_key
            )
            with opened as package:
                yield from self._import(package)
        except OSError as error:
            raise StorageFullError(f"the package cannot be unpacked in {self._folder}: {error}") from error

    def _import(self, package: Package) -> Iterator[ImportProgress]:
        manifest = package.manifest
        name = import_name(manifest, self._spec)
        with self._parts.store.read() as view:
            existing = view.find_namespace(name)
        plan = plan_import(manifest, self._spec, existing, self._parts.encoder.info)
        adapter = read_adapter(manifest, package.adapter())
        staged = _Staged(self._submit(BeginJob()).result())
        builder = None if plan.merges else ShardBuilder(plan.namespace)
        try:
            ids = yield from self._stage(package, plan, staged, builder)
            self._teach(package, plan, staged, ids)
            self.result = ImportResult(
                namespace=name,
                manifest=manifest,
                signed_by=package.signed_by,
                n_created=staged.n_slots,
                n_replaced=0,
                n_kept=0,
                n_embedded=staged.n_slots if plan.embed else 0,
                n_pairs=staged.n_pairs,
                adapter_version=0 if plan.merges else plan.namespace.adapter_version,
                replaced=False,
            )
            if builder is not None:
                self._publish(plan, staged, builder, adapter, manifest)
            else:
                write(self._parts.writer, partial(_decide, staged.number, plan.namespace))
        except BaseException:
            if builder is not None:
                builder.cancel()
            self._abandon(staged.number)
            raise
        if builder is None:
            yield from self._merge(staged)
        if staged.n_pairs:
            self._parts.learner.notice(plan.namespace.number or staged.number)

    def _publish(
        self,
        plan: Plan,
        staged: _Staged,
        builder: ShardBuilder,
        adapter: tuple[AdapterVersion, bytes] | None,
        manifest: Manifest,
    ) -> None:
        namespace = replace(plan.namespace, number=staged.number)
        job = PublishJob(
            self._parts.registry,
            namespace,
            plan.mode,
            Head(1, staged.n_slots + 1, staged.n_slots, staged.n_bytes, 1, staged.n_cues),
            _learning(manifest, plan, staged),
            adapter if namespace.adapter_version else None,
            builder.shard(self._parts.store, staged.number),
        )
        self.result = replace(self.result, replaced=bool(self._submit(job).result()))
        settle_forms(self._parts.writer, namespace)

    def _merge(self, staged: _Staged) -> Iterator[ImportProgress]:
        """From here on there is no way back: who leaves, leaves the rest to others."""
        try:
            merged = yield from merge(self._parts, staged.number, staged.n_slots)
        except AbortedError:
            self._abandon(staged.number)
            raise
        except GeneratorExit:
            self._carry_on(staged.number)
            raise
        self.result = replace(
            self.result, n_created=merged.n_created, n_replaced=merged.n_replaced, n_kept=merged.n_kept
        )

    def _stage(
        self, package: Package, plan: Plan, staged: _Staged, builder: ShardBuilder | None
    ) -> Generator[ImportProgress, None, NDArray[np.uint8]]:
        """Store all slots; returns their ids, uint8 [n, 16], in the order of their rows, which count from 1."""
        written: deque[Future[int]] = deque()
        ids: list[bytes] = []
        try:
            for found in package.slots(self._limits, EMBED_SLOTS if plan.embed else STAGE_SLOTS):
                slots, indexed = self._prepared(found, plan, staged)
                written.append(self._submit(StageJob(staged.number, slots, plan.namespace)))
                ids.append(b"".join(slot_id_bytes(slot.id) for slot in slots.slots))
                if builder is not None:
                    builder.add(indexed)
                if len(written) == _MAX_WAITING:
                    staged.n_bytes += written.popleft().result()
                yield ImportProgress(False, staged.n_slots, package.manifest.n_slots)
        except BaseException:
            # What is being written must not come after it was given up.
            wait(written)
            raise
        staged.n_bytes += sum(future.result() for future in written)
        all_ids = np.frombuffer(b"".join(ids), np.uint8).reshape(-1, _ID_BYTES)
        _check_distinct(all_ids)
        return all_ids

    def _prepared(self, found: ReadSlots, plan: Plan, staged: _Staged) -> tuple[StagedSlots, IndexedSlots]:
        rows = range(staged.n_slots + 1, staged.n_slots + 1 + len(found.lines))
        vectors, cues = (found.vectors, found.cue_vectors) if not plan.embed else self._embedded(found.lines)
        vectors, cues = _of_type(plan, VECTORS, vectors, staged), _of_type(plan, CUE_VECTORS, cues, staged)
        has_cue = [bool(line.cue.strip()) if plan.embed else line.cue_embedded for line in found.lines]
        next_cue = iter(cues)
        slots = StagedSlots(
            rows,
            [stored(line, vector_supplied=line.vector_supplied and not plan.embed) for line in found.lines],
            [access_of(line) for line in found.lines],
            vectors,
            [next(next_cue) if there else None for there in has_cue],
        )
        staged.n_slots += len(rows)
        staged.n_cues += len(cues)
        indexed = IndexedSlots(
            rows,
            slots.slots,
            vectors.astype(np.float32),
            [row for row, there in zip(rows, has_cue, strict=True) if there],
            cues.astype(np.float32),
        )
        return slots, indexed

    def _embedded(self, lines: Sequence[PackagedSlot]) -> tuple[NDArray[Any], NDArray[Any]]:
        cues = [line.cue for line in lines if line.cue.strip()]
        vectors = self._parts.encoder.embed_documents([line.content for line in lines] + cues)
        return vectors[: len(lines)], vectors[len(lines) :]

    def _teach(self, package: Package, plan: Plan, staged: _Staged, ids: NDArray[np.uint8]) -> None:
        rows = _RowOf(ids)
        pairs: list[TaughtPair] = []
        for line, vector in package.pairs(self._limits):
            number = staged.n_pairs + len(pairs) + 1
            pair = _taught(line, None if plan.embed or vector is None else vector.astype(np.float32), rows, number)
            if plan.namespace.model:
                pairs.append(pair)
            if len(pairs) == _TEACH_PAIRS:
                staged.n_pairs += self._submit(TeachJob(staged.number, pairs)).result()
                pairs = []
        if pairs:
            staged.n_pairs += self._submit(TeachJob(staged.number, pairs)).result()

    def _abandon(self, number: int) -> None:
        write(self._parts.writer, partial(abandon_staging, number=number), frees=True)

    def _submit(self, job: Any) -> "Future[Any]":
        return self._parts.writer.submit(job)


def merge(parts: EngineParts, number: int, n_total: int) -> Generator[ImportProgress, None, Staging]:
    """Carry a decided merge to its end; returns where it ended.

    Raises:
        AbortedError: The namespace that it goes into was deleted.
        StorageFullError: There is no room; the rest is merged when the server starts again.
    """
    while True:
        step = parts.writer.submit(MergeJob(parts.registry, number, parts.now())).result()
        if step.is_last:
            return step.staging
        staging = step.staging
        yield ImportProgress(True, staging.n_created + staging.n_replaced + staging.n_kept, n_total)


class _RowOf:
    """The row of a slot by its id. Cost: O(log n)."""

    def __init__(self, ids: NDArray[np.uint8]) -> None:
        self._order, self._keys = _sorted(ids)

    def __call__(self, slot_id: str) -> int | None:
        high, low = (int.from_bytes(half, "big") for half in _halves(slot_id_bytes(slot_id)))
        start = int(np.searchsorted(self._keys[0], np.uint64(high), "left"))
        end = int(np.searchsorted(self._keys[0], np.uint64(high), "right"))
        at = start + int(np.searchsorted(self._keys[1][start:end], np.uint64(low)))
        return int(self._order[at]) + 1 if at < end and self._keys[1][at] == np.uint64(low) else None


def _decide(number: int, target: Namespace, batch: WriteBatch) -> None:
    present = batch.namespace(target.number)
    if present is not None and present.vector_space != target.vector_space:
        raise GenerationChangedError(target.name)
    put_staging(batch, number, Staging(target.number))


def _halves(data: bytes) -> tuple[bytes, bytes]:
    return data[:8], data[8:]


def _sorted(ids: NDArray[np.uint8]) -> tuple[NDArray[np.intp], tuple[NDArray[np.uint64], NDArray[np.uint64]]]:
    columns = np.ascontiguousarray(ids).view(">u8").astype(np.uint64).reshape(-1, 2)
    order = np.lexsort((columns[:, 1], columns[:, 0]))
    return order, (columns[order, 0], columns[order, 1])


def _check_distinct(ids: NDArray[np.uint8]) -> None:
    order, (high, low) = _sorted(ids)
    same = (high[1:] == high[:-1]) & (low[1:] == low[:-1])
    if same.any():
        at = int(np.argmax(same))
        lines = sorted((int(order[at]) + 1, int(order[at + 1]) + 1))
        raise PackageError(SLOTS, f"line {lines[1]}: id: is that of line {lines[0]}", line=str(lines[1]))


def _of_type(plan: Plan, member: str, vectors: NDArray[Any], staged: _Staged) -> NDArray[Any]:
    """Vectors as the namespace stores them; those of another type, or new ones, may not fit its range."""
    dtype = np.float16 if plan.namespace.vector_type is VectorType.FLOAT16 else np.float32
    if vectors.dtype == dtype:
        return vectors
    with np.errstate(over="ignore", under="ignore"):
        converted = vectors.astype(dtype)
    check_vectors(converted, member, staged.n_slots)
    return converted


def _taught(line: PackagedPair, vector: FloatVector | None, row_of: _RowOf, number: int) -> TaughtPair:
    def rows(slot_ids: Sequence[str]) -> tuple[int, ...]:
        found = [row_of(slot_id) for slot_id in slot_ids]
        if None in found:
            unknown = slot_ids[found.index(None)]
            raise PackageError(PAIRS, f"line {number}: names slot {unknown}, which is not in the package")
        return tuple(row for row in found if row is not None)

    return TaughtPair(
        query=line.query,
        helped=rows(line.helped),
        unhelpful=rows(line.unhelpful),
        time=microseconds(line.time),
        weight=line.weight,
        is_cue=line.is_cue,
        vector=vector,
    )


def _learning(manifest: Manifest, plan: Plan, staged: _Staged) -> Learning:
    """What a new namespace was taught. Of another encoder, nothing was learned from it yet."""
    learned = manifest.learned
    last = learned.last_training
    if plan.embed or last is None or not plan.namespace.model:
        return Learning(next_pair=staged.n_pairs + 1, n_pairs=staged.n_pairs, next_version=learned.next_version)
    return Learning(
        next_pair=staged.n_pairs + 1,
        n_pairs=staged.n_pairs,
        next_version=learned.next_version,
        trained_to=learned.n_trained,
        outcome=str(last.outcome),
        finished_at=microseconds(last.finished_at),
        duration_s=last.duration_s,
        cpu_s=last.cpu_s,
        n_trained=last.n_pairs,
        n_judged=last.n_judged,
        baseline=last.baseline,
        candidate=last.candidate,
        probability=last.probability,
        version=last.version,
    )
