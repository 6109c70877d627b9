"""Named snapshots of namespaces: made, listed, compared and deleted. Restoring and cloning are jobs of their own.

Making one stores a record: from then on what changes leaves its former version to it, and nothing else is copied.
"""

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace
from functools import partial
from itertools import islice
from typing import Final

from adamem_server.errors import (
    NamespaceNotFoundError,
    ResourceExhaustedError,
    SnapshotExistsError,
    SnapshotNotFoundError,
)
from adamem_server.lifecycle.transaction import write
from adamem_server.memory.damage import Damage
from adamem_server.memory.jobs import known_request, remember
from adamem_server.memory.parts import EngineParts
from adamem_server.memory.reading import find_namespace
from adamem_server.store.codec import Request
from adamem_server.store.duplicates import drop_undone
from adamem_server.store.slot_store import ReadView, WriteBatch
from adamem_server.store.snapshot_types import SlotDiff, Snapshot
from adamem_server.store.snapshots import (
    delete_snapshot,
    differences,
    ended_since,
    put_snapshot,
    read_snapshot,
    read_snapshots,
)
from adamem_server.types import (
    Namespace,
    RequestKey,
)

# Each write to a namespace reads what its snapshots hold.
MAX_SNAPSHOTS: Final = 1_000
_RELEASE_SLOTS: Final = 500


class Snapshots:
    """The snapshots of all namespaces. Thread-safe."""

    def __init__(self, parts: EngineParts) -> None:
        self._parts = parts

    def create(
        self,
        namespace: str,
        name: str,
        *,
        description: str = "",
        request: RequestKey | None = None,
    ) -> Snapshot:
        """Make a snapshot of a namespace as it is now. Cost: one small write.

        Raises:
            NamespaceNotFoundError, StorageFullError, RequestIdReusedError.
            SnapshotExistsError: The namespace has one of this name.
            ResourceExhaustedError: It has MAX_SNAPSHOTS.
        """
        parts = self._parts
        with parts.store.read() as view:
            number = find_namespace(view, namespace).number

        def create(batch: WriteBatch) -> Snapshot:
            target = _still(batch, number, namespace)
            existing = read_snapshot(batch, number, name)
            known = known_request(batch, number, request)
            if existing is not None:
                if existing.deleting or known is None:
                    raise SnapshotExistsError(namespace, name)
                return existing
            if sum(1 for _ in read_snapshots(batch, number)) >= MAX_SNAPSHOTS:
                raise ResourceExhaustedError(
                    f"namespace {namespace!r} has {MAX_SNAPSHOTS} snapshots, the limit", limit=str(MAX_SNAPSHOTS)
                )
            made = _new(batch, target, name, description, parts.now())
            put_snapshot(batch, number, made)
            if request is not None:
                remember(batch, number, request, Request(made.created_at, request.fingerprint))
            return made

        return write(parts.writer, create)

    def get(self, namespace: str, name: str) -> tuple[Namespace, Snapshot]:
        """A namespace and one of its snapshots.

        Raises:
            NamespaceNotFoundError, SnapshotNotFoundError.
        """
        with self._parts.store.read() as view:
            target = find_namespace(view, namespace)
            return target, _find(view, target, name)

    def hold(self, namespace: str, name: str, hidden: str) -> None:
        """Make a snapshot `hidden` for a job, of the state of a snapshot ("": of now); nothing where it is there.

        Raises:
            NamespaceNotFoundError, SnapshotNotFoundError, StorageFullError.
        """
        parts = self._parts

        def hold(batch: WriteBatch) -> None:
            target = find_namespace(batch, namespace)
            if read_snapshot(batch, target.number, hidden) is None:
                of = _find(batch, target, name) if name else _new(batch, target, hidden, "", parts.now())
                put_snapshot(batch, target.number, replace(of, name=hidden, hidden=True))

        write(parts.writer, hold)

    def diff(
        self, namespace: str, name: str, other: str, *, page_size: int, after: bytes
    ) -> tuple[list[SlotDiff], bytes]:
        """What differs from the snapshot `name` to `other` ("": to now); from behind the position `after` on.

        Up to `page_size` slots, and the position to go on from (b"" at the end). Those that have expired are in none
        of the two, and those whose deletion took them out of snapshots neither.

        Raises:
            NamespaceNotFoundError, SnapshotNotFoundError.
        """
        with self._parts.store.read() as view:
            target = find_namespace(view, namespace)
            older = _find(view, target, name)
            newer = _find(view, target, other) if other else None
            turned = newer is not None and newer.sequence < older.sequence
            if newer is not None and turned:
                older, newer = newer, older
            found = list(islice(differences(view, target, older, newer, after), page_size + 1))
        page = [SlotDiff(diff.slot_id, diff.after, diff.before) if turned else diff for _, diff in found[:page_size]]
        return page, found[page_size - 1][0] if len(found) > page_size else b""

    def delete(self, namespace: str, name: str) -> int:
        """Forget a snapshot, and what it alone held. How many former versions went.

        Cost: O(changes since it was made), in transactions of some slots.

        Raises:
            NamespaceNotFoundError, SnapshotNotFoundError.
        """
        with self._parts.store.read() as view:
            target = find_namespace(view, namespace)
            snapshot = _find(view, target, name, deleting=True)
        return self._delete(target, snapshot)

    def delete_hidden(self, namespace: Namespace, name: str) -> None:
        """Forget a snapshot that a job made for itself; nothing where it is gone, or its namespace."""
        with self._parts.store.read() as view:
            snapshot = read_snapshot(view, namespace.number, name)
        if snapshot is not None:
            with suppress(NamespaceNotFoundError):
                self._delete(namespace, snapshot)

    def resume(self) -> None:
        """Finish the deletions that a stop of the server cut short."""
        damage = Damage("deletions of snapshots")
        with self._parts.store.read() as view:
            numbers = [view.namespace_number(name) for name in view.namespace_names("", "")]
        for number in numbers:
            with self._parts.store.read() as view:
                target = damage.namespace(view, number) if number else None
                cut_short = [] if target is None else [s for s in read_snapshots(view, target.number) if s.deleting]
            for snapshot in cut_short:
                if target is not None:
                    self._delete(target, snapshot)

    def list(self, namespace: str, *, page_size: int, after: str) -> tuple[list[Snapshot], str]:
        """Up to `page_size` snapshots in the order of their names, and the name to go on from ("" at the end).

        Raises:
            NamespaceNotFoundError.
        """
        with self._parts.store.read() as view:
            target = find_namespace(view, namespace)
            shown = (
                each for each in read_snapshots(view, target.number, after) if not each.hidden and not each.deleting
            )
            page = list(islice(shown, page_size + 1))
        return (page[:-1], page[-2].name) if len(page) > page_size else (page, "")

    def _delete(self, namespace: Namespace, snapshot: Snapshot) -> int:
        number = namespace.number

        # It holds nothing from here on; while it is there, what it held is found by its sequence.
        def begin(batch: WriteBatch) -> None:
            _still(batch, number, namespace.name)
            put_snapshot(batch, number, replace(snapshot, deleting=True))

        write(self._parts.writer, begin, frees=True)
        after, n_released = b"", 0
        while True:
            with self._parts.store.read() as view:
                ended = list(islice(ended_since(view, number, snapshot.sequence, after), _RELEASE_SLOTS))
            if not ended:
                break
            slot_ids = [slot_id for _, slot_id in ended]
            n_released += write(self._parts.writer, partial(_release, number, slot_ids), weight=len(ended), frees=True)
            after = ended[-1][0]
        write(self._parts.writer, partial(_forget, number, snapshot.name), frees=True)
        # What is left of a slot that is gone may expire before all that is known to.
        self._parts.registry.expect_expiry(0)
        return n_released


def _release(number: int, slot_ids: Sequence[str], batch: WriteBatch) -> int:
    return sum(batch.trail(number).release(slot_id) for slot_id in slot_ids)


def _forget(number: int, name: str, batch: WriteBatch) -> None:
    delete_snapshot(batch, number, name)
    if next(read_snapshots(batch, number), None) is None:
        drop_undone(batch, number)


def _still(batch: WriteBatch, number: int, name: str) -> Namespace:
    namespace = batch.namespace(number)
    if namespace is None:
        raise NamespaceNotFoundError(name)
    return namespace


def _new(batch: WriteBatch, namespace: Namespace, name: str, description: str, now: int) -> Snapshot:
    head = batch.head(namespace.number)
    return Snapshot(
        name=name,
        description=description,
        created_at=now,
        sequence=head.sequence,
        next_row=head.next_row,
        n_slots=head.n_slots,
        n_bytes=head.n_bytes,
        n_cues=head.n_cues,
        model_fingerprint=namespace.model_fingerprint,
    )


def _find(view: ReadView, namespace: Namespace, name: str, *, deleting: bool = False) -> Snapshot:
    snapshot = read_snapshot(view, namespace.number, name)
    if snapshot is None or (snapshot.deleting and not deleting):
        raise SnapshotNotFoundError(namespace.name, name)
    return snapshot
