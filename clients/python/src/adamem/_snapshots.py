"""`client.snapshots`: named states of namespaces, compared, restored and cloned; for `Client` and `AsyncClient`."""

from collections.abc import AsyncIterator, Iterator
from typing import TYPE_CHECKING

from adamem._base import BaseClient, new_request_id
from adamem._codec import building, enum_name, made, slot_from_proto
from adamem._convert import enum_from_proto, time_from_proto
from adamem._jobs import job_from_proto
from adamem.types import NOT_GIVEN, Job, NotGiven
from adamem.v1 import version_service_pb2 as pb
from adamem.v1 import version_service_pb2_grpc as version_grpc
from adamem.version_types import DiffKind, SlotDiff, SlotDiffPage, Snapshot, SnapshotPage

if TYPE_CHECKING:
    from adamem._async_client import AsyncClient
    from adamem._client import Client


def _snapshot(message: pb.Snapshot) -> Snapshot:
    return Snapshot(
        name=message.name,
        description=message.description,
        created_at=time_from_proto(message.created_at) if message.HasField("created_at") else None,
        sequence=message.sequence,
        n_slots=message.n_slots,
        n_bytes=message.n_bytes,
    )


def _diff(message: pb.SlotDiff) -> SlotDiff:
    return SlotDiff(
        slot_id=message.slot_id,
        kind=enum_from_proto(enum_name(message, "kind", message.kind), DiffKind, "DIFF_KIND_"),
        before=slot_from_proto(message.before) if message.HasField("before") else None,
        after=slot_from_proto(message.after) if message.HasField("after") else None,
    )


def _page(response: pb.ListSnapshotsResponse) -> SnapshotPage:
    return SnapshotPage(tuple(map(_snapshot, response.snapshots)), response.next_page_token)


def _diff_page(response: pb.DiffSnapshotsResponse) -> SlotDiffPage:
    return SlotDiffPage(tuple(map(_diff, response.diffs)), response.next_page_token)


def _create_request(
    client: BaseClient, name: str, description: str, namespace: str | None, request_id: str | None
) -> pb.CreateSnapshotRequest:
    with building("name"):
        return made(
            pb.CreateSnapshotRequest,
            namespace=client._namespace_or_own(namespace),
            name=name,
            description=description,
            request_id=new_request_id() if request_id is None else request_id,
        )


def _list_request(
    client: BaseClient, namespace: str | None, page_size: int | None, page_token: str
) -> pb.ListSnapshotsRequest:
    with building("list"):
        return made(
            pb.ListSnapshotsRequest,
            "",
            namespace=client._namespace_or_own(namespace),
            page_size=page_size,
            page_token=page_token,
        )


def _diff_request(
    client: BaseClient, name: str, other: str, namespace: str | None, page_size: int | None, page_token: str
) -> pb.DiffSnapshotsRequest:
    with building("name"):
        return made(
            pb.DiffSnapshotsRequest,
            "",
            namespace=client._namespace_or_own(namespace),
            name=name,
            other=other,
            page_size=page_size,
            page_token=page_token,
        )


def _delete_request(client: BaseClient, name: str, namespace: str | None) -> pb.DeleteSnapshotRequest:
    with building("name"):
        return made(pb.DeleteSnapshotRequest, namespace=client._namespace_or_own(namespace), name=name)


def _restore_request(
    client: BaseClient, name: str, namespace: str | None, request_id: str | None
) -> pb.RestoreSnapshotRequest:
    with building("name"):
        return made(
            pb.RestoreSnapshotRequest,
            namespace=client._namespace_or_own(namespace),
            name=name,
            request_id=new_request_id() if request_id is None else request_id,
        )


def _clone_request(
    client: BaseClient, target: str, snapshot: str, namespace: str | None, request_id: str | None
) -> pb.CloneNamespaceRequest:
    with building("target"):
        return made(
            pb.CloneNamespaceRequest,
            namespace=client._namespace_or_own(namespace),
            target=target,
            snapshot=snapshot,
            request_id=new_request_id() if request_id is None else request_id,
        )


class Snapshots:
    """Named states of namespaces. Making one is a small write; what changes behind it costs the space of its past."""

    def __init__(self, client: "Client") -> None:
        self._client = client
        self._stub = version_grpc.VersionServiceStub(client._channel)

    def create(
        self,
        name: str,
        *,
        description: str = "",
        namespace: str | None = None,
        request_id: str | None = None,
        timeout_s: float | NotGiven | None = NOT_GIVEN,
    ) -> Snapshot:
        """Names the present state of a namespace.

        Args:
            name: 1 to 128 characters of A-Z a-z 0-9 . _ : / @ + -, the first a letter or a digit.
            description: Free text.
            namespace: To keep. None: the client's.
            request_id: Makes the call idempotent for 24 hours. None: a random one.
            timeout_s: Limit of the call, retries included. None: none. Left out: the client's.

        Raises:
            SnapshotExistsError: The namespace has one of this name.
        """
        request = _create_request(self._client, name, description, namespace, request_id)
        return _snapshot(self._client._call(self._stub.CreateSnapshot, request, timeout_s).snapshot)

    def list_page(
        self,
        *,
        namespace: str | None = None,
        page_size: int | None = None,
        page_token: str = "",
        timeout_s: float | NotGiven | None = NOT_GIVEN,
    ) -> SnapshotPage:
        """One page of snapshots in the order of their names; at most 1000, 100 by default."""
        request = _list_request(self._client, namespace, page_size, page_token)
        return _page(self._client._call(self._stub.ListSnapshots, request, timeout_s))

    def list(
        self,
        *,
        namespace: str | None = None,
        page_size: int | None = None,
        timeout_s: float | NotGiven | None = NOT_GIVEN,
    ) -> Iterator[Snapshot]:
        """The snapshots of a namespace in the order of their names, fetched page by page."""
        token = ""
        while True:
            page = self.list_page(namespace=namespace, page_size=page_size, page_token=token, timeout_s=timeout_s)
            yield from page.snapshots
            if not (token := page.next_page_token):
                return

    def diff_page(
        self,
        name: str,
        other: str = "",
        *,
        namespace: str | None = None,
        page_size: int | None = None,
        page_token: str = "",
        timeout_s: float | NotGiven | None = NOT_GIVEN,
    ) -> SlotDiffPage:
        """One page of differences; at most 1000, 100 by default. Arguments and errors as in `diff`."""
        request = _diff_request(self._client, name, other, namespace, page_size, page_token)
        return _diff_page(self._client._call(self._stub.DiffSnapshots, request, timeout_s))

    def diff(
        self,
        name: str,
        other: str = "",
        *,
        namespace: str | None = None,
        page_size: int | None = None,
        timeout_s: float | NotGiven | None = NOT_GIVEN,
    ) -> Iterator[SlotDiff]:
        """The slots that differ between a snapshot and another state, in no particular order, fetched page by page.

        Args:
            name: The snapshot that is compared.
            other: The snapshot that it is compared with. "": the present state.
            namespace: Of both. None: the client's.
            page_size: Most slots of one page.
            timeout_s: Limit of each page. None: none. Left out: the client's.

        Raises:
            SnapshotNotFoundError: The namespace has none of this name.
        """
        token = ""
        while True:
            page = self.diff_page(
                name, other, namespace=namespace, page_size=page_size, page_token=token, timeout_s=timeout_s
            )
            yield from page.diffs
            if not (token := page.next_page_token):
                return

    def delete(self, name: str, *, namespace: str | None = None, timeout_s: float | NotGiven | None = NOT_GIVEN) -> int:
        """Deletes a snapshot and what it alone held: how many former versions. Never retried: it has no request id.

        Raises:
            SnapshotNotFoundError: The namespace has none of this name.
        """
        request = _delete_request(self._client, name, namespace)
        return self._client._call(self._stub.DeleteSnapshot, request, timeout_s).n_versions

    def restore(
        self,
        name: str,
        *,
        namespace: str | None = None,
        request_id: str | None = None,
        timeout_s: float | NotGiven | None = NOT_GIVEN,
    ) -> Job:
        """Starts making a namespace what it was, for all readers at once; what is there joins the history of its slots.

        The result has `n_added`, `n_changed` and `n_removed` slots; `client.jobs` waits for it.

        Raises:
            SnapshotNotFoundError: The namespace has none of this name.
            FailedPreconditionError: The namespace has another encoder than it had then.
            JobRunningError: A snapshot is being restored.
        """
        request = _restore_request(self._client, name, namespace, request_id)
        return job_from_proto(self._client._call(self._stub.RestoreSnapshot, request, timeout_s).job)

    def clone(
        self,
        target: str,
        *,
        snapshot: str = "",
        namespace: str | None = None,
        request_id: str | None = None,
        timeout_s: float | NotGiven | None = NOT_GIVEN,
    ) -> Job:
        """Starts copying a namespace to a new one, which appears when it is whole.

        It gets the slots, vectors, adapter and properties, but neither the history nor the snapshots.

        Args:
            target: The name of the new namespace.
            snapshot: What to copy. "": the state when the job begins.
            namespace: To copy. None: the client's.
            request_id: Makes the call idempotent for 24 hours. None: a random one.
            timeout_s: Limit of the call, retries included. None: none. Left out: the client's.

        Raises:
            NamespaceExistsError: There is a namespace of this name.
            SnapshotNotFoundError: The namespace has none of this name.
            JobRunningError: The namespace is being cloned.
        """
        request = _clone_request(self._client, target, snapshot, namespace, request_id)
        return job_from_proto(self._client._call(self._stub.CloneNamespace, request, timeout_s).job)


class AsyncSnapshots:
    """Named states of namespaces. Making one is a small write; what changes behind it costs the space of its past."""

    def __init__(self, client: "AsyncClient") -> None:
        self._client = client
        self._stub: version_grpc.VersionServiceAsyncStub = version_grpc.VersionServiceStub(client._channel)

    async def create(
        self,
        name: str,
        *,
        description: str = "",
        namespace: str | None = None,
        request_id: str | None = None,
        timeout_s: float | NotGiven | None = NOT_GIVEN,
    ) -> Snapshot:
        """Names the present state of a namespace.

        Args:
            name: 1 to 128 characters of A-Z a-z 0-9 . _ : / @ + -, the first a letter or a digit.
            description: Free text.
            namespace: To keep. None: the client's.
            request_id: Makes the call idempotent for 24 hours. None: a random one.
            timeout_s: Limit of the call, retries included. None: none. Left out: the client's.

        Raises:
            SnapshotExistsError: The namespace has one of this name.
        """
        request = _create_request(self._client, name, description, namespace, request_id)
        return _snapshot((await self._client._call(self._stub.CreateSnapshot, request, timeout_s)).snapshot)

    async def list_page(
        self,
        *,
        namespace: str | None = None,
        page_size: int | None = None,
        page_token: str = "",
        timeout_s: float | NotGiven | None = NOT_GIVEN,
    ) -> SnapshotPage:
        """One page of snapshots in the order of their names; at most 1000, 100 by default."""
        request = _list_request(self._client, namespace, page_size, page_token)
        return _page(await self._client._call(self._stub.ListSnapshots, request, timeout_s))

    async def list(
        self,
        *,
        namespace: str | None = None,
        page_size: int | None = None,
        timeout_s: float | NotGiven | None = NOT_GIVEN,
    ) -> AsyncIterator[Snapshot]:
        """The snapshots of a namespace in the order of their names, fetched page by page."""
        token = ""
        while True:
            page = await self.list_page(namespace=namespace, page_size=page_size, page_token=token, timeout_s=timeout_s)
            for each in page.snapshots:
                yield each
            if not (token := page.next_page_token):
                return

    async def diff_page(
        self,
        name: str,
        other: str = "",
        *,
        namespace: str | None = None,
        page_size: int | None = None,
        page_token: str = "",
        timeout_s: float | NotGiven | None = NOT_GIVEN,
    ) -> SlotDiffPage:
        """One page of differences; at most 1000, 100 by default. Arguments and errors as in `diff`."""
        request = _diff_request(self._client, name, other, namespace, page_size, page_token)
        return _diff_page(await self._client._call(self._stub.DiffSnapshots, request, timeout_s))

    async def diff(
        self,
        name: str,
        other: str = "",
        *,
        namespace: str | None = None,
        page_size: int | None = None,
        timeout_s: float | NotGiven | None = NOT_GIVEN,
    ) -> AsyncIterator[SlotDiff]:
        """The slots that differ between a snapshot and another state, in no particular order, fetched page by page.

        Args:
            name: The snapshot that is compared.
            other: The snapshot that it is compared with. "": the present state.
            namespace: Of both. None: the client's.
            page_size: Most slots of one page.
            timeout_s: Limit of each page. None: none. Left out: the client's.

        Raises:
            SnapshotNotFoundError: The namespace has none of this name.
        """
        token = ""
        while True:
            page = await self.diff_page(
                name, other, namespace=namespace, page_size=page_size, page_token=token, timeout_s=timeout_s
            )
            for each in page.diffs:
                yield each
            if not (token := page.next_page_token):
                return

    async def delete(
        self, name: str, *, namespace: str | None = None, timeout_s: float | NotGiven | None = NOT_GIVEN
    ) -> int:
        """Deletes a snapshot and what it alone held: how many former versions. Never retried: it has no request id.

        Raises:
            SnapshotNotFoundError: The namespace has none of this name.
        """
        request = _delete_request(self._client, name, namespace)
        return (await self._client._call(self._stub.DeleteSnapshot, request, timeout_s)).n_versions

    async def restore(
        self,
        name: str,
        *,
        namespace: str | None = None,
        request_id: str | None = None,
        timeout_s: float | NotGiven | None = NOT_GIVEN,
    ) -> Job:
        """Starts making a namespace what it was, for all readers at once; what is there joins the history of its slots.

        The result has `n_added`, `n_changed` and `n_removed` slots; `client.jobs` waits for it.

        Raises:
            SnapshotNotFoundError: The namespace has none of this name.
            FailedPreconditionError: The namespace has another encoder than it had then.
            JobRunningError: A snapshot is being restored.
        """
        request = _restore_request(self._client, name, namespace, request_id)
        return job_from_proto((await self._client._call(self._stub.RestoreSnapshot, request, timeout_s)).job)

    async def clone(
        self,
        target: str,
        *,
        snapshot: str = "",
        namespace: str | None = None,
        request_id: str | None = None,
        timeout_s: float | NotGiven | None = NOT_GIVEN,
    ) -> Job:
        """Starts copying a namespace to a new one, which appears when it is whole.

        It gets the slots, vectors, adapter and properties, but neither the history nor the snapshots.

        Args:
            target: The name of the new namespace.
            snapshot: What to copy. "": the state when the job begins.
            namespace: To copy. None: the client's.
            request_id: Makes the call idempotent for 24 hours. None: a random one.
            timeout_s: Limit of the call, retries included. None: none. Left out: the client's.

        Raises:
            NamespaceExistsError: There is a namespace of this name.
            SnapshotNotFoundError: The namespace has none of this name.
            JobRunningError: The namespace is being cloned.
        """
        request = _clone_request(self._client, target, snapshot, namespace, request_id)
        return job_from_proto((await self._client._call(self._stub.CloneNamespace, request, timeout_s)).job)
