"""The history of one slot: its versions, and the return of one of them."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from adamem_server.errors import (
    FailedPreconditionError,
    ModelMismatchError,
    SlotNotFoundError,
    SlotVersionNotFoundError,
)
from adamem_server.memory.filters import is_expired
from adamem_server.memory.jobs import Written, known_update, remember
from adamem_server.memory.models import anew
from adamem_server.memory.parts import EngineParts
from adamem_server.memory.reading import find_namespace
from adamem_server.memory.registry import ShardRegistry
from adamem_server.memory.slot_job import SlotJob
from adamem_server.memory.superseding import Restored, applied_of, put_restored
from adamem_server.store.codec import Change, Head, Request, encode_slot, encode_vector
from adamem_server.store.duplicates import move_absorbed
from adamem_server.store.history import (
    last_version,
    present_since,
    read_versions,
    superseded_version,
    version_record,
    version_values,
    version_vector,
)
from adamem_server.store.history_codec import space_of
from adamem_server.store.slot_store import ReadView, WriteBatch
from adamem_server.store.version_types import SlotVersion
from adamem_server.types import FloatVector, Namespace, RequestKey, UpdateResult, Validity, WriteResult


@dataclass(frozen=True, slots=True)
class VersionView:
    """A version as it is read, with its vector where that was asked for and is of the namespace's encoder."""

    namespace: str
    version: SlotVersion
    vector: FloatVector | None


class SlotHistory:
    """Reads and brings back versions of slots. Thread-safe."""

    def __init__(self, parts: EngineParts) -> None:
        self._parts = parts

    def list_versions(
        self, namespace: str, slot_id: str, *, page_size: int, after: int, include_vectors: bool
    ) -> tuple[list[VersionView], int]:
        """The versions of a slot, oldest first, the present one last; those behind the number `after`.

        Returns up to `page_size` of them and the number to go on from (0: the end). Those that are held for snapshots
        alone are left out.

        Raises:
            NamespaceNotFoundError.
            SlotNotFoundError: There is neither such a slot nor a history of one.
        """
        with self._parts.store.read() as view:
            target = find_namespace(view, namespace)
            versions = _versions(view, target, slot_id, self._parts.now())
            if not versions:
                raise SlotNotFoundError(namespace, slot_id)
            behind = [version for version in versions if version.number > after]
            page = [
                VersionView(namespace, each, _vector(view, target, each) if include_vectors else None)
                for each in behind[:page_size]
            ]
        return page, page[-1].version.number if len(behind) > page_size else 0

    def restore(
        self, namespace: str, slot_id: str, number: int, *, request: RequestKey | None = None
    ) -> tuple[WriteResult, int]:
        """Make a former version the present one; 0: the last. Returns the slot and the sequence after it.

        What was present joins the history; what was deleted or superseded is there again. Vectors come back to the bit;
        those of another encoder are made anew.

        Raises:
            NamespaceNotFoundError, SlotNotFoundError, StorageFullError, RequestIdReusedError.
            SlotVersionNotFoundError: The slot has no such version (any more).
            FailedPreconditionError: The version has expired, or its vector was supplied for another encoder.
            ModelMismatchError: The vectors are of another encoder, and the namespace's is not on this machine.
        """
        return anew(lambda: self._restore(namespace, slot_id, number, request))

    def _restore(
        self, namespace: str, slot_id: str, number: int, request: RequestKey | None
    ) -> tuple[WriteResult, int]:
        parts = self._parts
        with parts.store.read() as view:
            target = find_namespace(view, namespace)
            known = known_update(view, target.number, request)
            if known is None:
                version = _former(view, target, slot_id, number)
        if known is None:
            job = _RestoreVersionJob(
                parts.registry, target, slot_id, version, self._new_vectors(target, version), parts.now(), request
            )
            known = parts.writer.submit(job).result().answer  # type: ignore[assignment]
        assert isinstance(known, UpdateResult)
        (result,) = known.results
        assert isinstance(result, WriteResult)
        return result, known.sequence

    def _new_vectors(self, namespace: Namespace, version: SlotVersion) -> Sequence[FloatVector]:
        """The vectors of a version of another encoder, of content and cue; () where the kept ones are right."""
        if version.space == space_of(namespace.model_fingerprint):
            return ()
        if version.slot.vector_supplied:
            raise FailedPreconditionError(
                f"version {version.number} has a vector that was supplied for another encoder than the namespace's",
                version=str(version.number),
            )
        encoder = self._parts.encoders.of(namespace.model, namespace.model_fingerprint)
        if encoder is None:
            raise ModelMismatchError(namespace.name, namespace.model, self._parts.encoder.info.name)
        texts = [version.slot.content, *([version.slot.cue] if version.slot.cue else [])]
        return list(encoder.embed_documents(texts))


class _RestoreVersionJob(SlotJob):
    """Puts a version back. `vectors` replace those that were kept."""

    def __init__(
        self,
        registry: ShardRegistry,
        namespace: Namespace,
        slot_id: str,
        version: SlotVersion,
        vectors: Sequence[FloatVector],
        now: int,
        request: RequestKey | None,
    ) -> None:
        super().__init__(registry, namespace, now, weight=1)
        self._slot_id = slot_id
        self._version = version
        self._vectors = vectors
        self._request = request

    def run(self, batch: WriteBatch) -> Written:
        """See `Job.run`."""
        namespace = self._present(batch, with_vectors=True)
        number = namespace.number
        if (known := known_update(batch, number, self._request)) is not None:
            return Written(known, None)
        version = _former(batch, namespace, self._slot_id, self._version.number)
        if is_expired(version.slot, self._now):
            raise FailedPreconditionError(
                f"version {version.number} of slot {self._slot_id!r} has expired", version=str(version.number)
            )
        head = batch.head(number)
        row = batch.row(number, self._slot_id)
        before = None if row is None else batch.slot(number, row)
        n_bytes = 0 if row is None else batch.slot_bytes(number, row)
        n_cues = 0 if row is None else batch.has_cue_vector(number, row)
        restored = self._put(batch, namespace, version, row or head.next_row)
        sequence = head.sequence + 1
        batch.put_change(number, sequence, Change(self._now, (restored.row,)))
        batch.put_head(
            number,
            Head(
                sequence,
                head.next_row + (row is None),
                head.n_slots + (row is None),
                head.n_bytes + restored.n_bytes - n_bytes,
                head.checkpoint,
                head.n_cues + (restored.cue_vector is not None) - n_cues,
            ),
        )
        answer = UpdateResult((WriteResult(self._slot_id, row is None),), sequence)
        if self._request is not None:
            request = Request(self._now, self._request.fingerprint, sequence, (self._slot_id,), (row is None,))
            remember(batch, number, self._request, request)
        assert before is None or before.id == self._slot_id
        return Written(answer, applied_of(namespace, sequence, [restored], []))

    def _put(self, batch: WriteBatch, namespace: Namespace, version: SlotVersion, row: int) -> Restored:
        before = batch.slot(namespace.number, row)
        data = version_record(batch, namespace.number, version)
        values, cue_values = version_values(batch, namespace, version)
        if self._vectors:
            encoded = [encode_vector(np.asarray(vector), namespace.vector_type) for vector in self._vectors]
            values, cue_values = encoded[0], encoded[1] if len(encoded) > 1 else b""
        if before is None and (gone := last_version(batch, namespace.number, self._slot_id)) is not None:
            move_absorbed(batch, namespace.number, gone.row, row)
        last = superseded_version(batch, namespace.number, self._slot_id)
        if last is not None and last.number == version.number:
            batch.trail(namespace.number).reinstated(last)
        slot = version.slot
        if slot.sources:
            # What a summary said before a client changed it comes back as the client's: its sources may be others now.
            slot = replace(slot, sources=())
            data = encode_slot(slot)
        return put_restored(batch, namespace, row, before, slot, data, values, cue_values, self._now)


def _versions(view: ReadView, namespace: Namespace, slot_id: str, now: int) -> list[SlotVersion]:
    number = namespace.number
    found = [version for version in read_versions(view, number, slot_id) if not version.held]
    found = [version for version in found if not is_expired(version.slot, now)]
    row = view.row(number, slot_id)
    slot = None if row is None else view.slot(number, row)
    if row is not None and slot is not None and not is_expired(slot, now):
        since, place = present_since(view, number, row, slot)
        found.append(SlotVersion(number=place, slot=slot, validity=Validity(since), row=row))
    return found


def _vector(view: ReadView, namespace: Namespace, version: SlotVersion) -> FloatVector | None:
    if version.ending is not None:
        return version_vector(view, namespace, version)
    found, vectors = view.vectors(namespace, [version.row])
    return vectors[0] if found else None


def _former(view: ReadView, namespace: Namespace, slot_id: str, number: int) -> SlotVersion:
    """A former version by its number, 0: the last one."""
    last = last_version(view, namespace.number, slot_id)
    if last is None and view.row(namespace.number, slot_id) is None:
        raise SlotNotFoundError(namespace.name, slot_id)
    shown = [version for version in read_versions(view, namespace.number, slot_id) if not version.held]
    for version in reversed(shown):
        if number in (0, version.number):
            return version
    raise SlotVersionNotFoundError(namespace.name, slot_id, number)
