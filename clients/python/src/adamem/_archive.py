"""`client.archive`: keeps a namespace within its limits, and brings back what was archived; for both clients."""

from collections.abc import Iterable
from typing import TYPE_CHECKING

from adamem._archive_types import MarkResult
from adamem._base import BaseClient, ids_or_filter, new_request_id
from adamem._codec import building, made
from adamem._jobs import job_from_proto
from adamem.filters import filter_to_proto
from adamem.types import NOT_GIVEN, FilterLike, Job, NotGiven
from adamem.v1 import archive_service_pb2 as pb
from adamem.v1 import archive_service_pb2_grpc as archive_grpc

if TYPE_CHECKING:
    from adamem._async_client import AsyncClient
    from adamem._client import Client


def _run_request(
    client: BaseClient, namespace: str | None, dry_run: bool, request_id: str | None
) -> pb.ArchiveNamespaceRequest:
    with building("archive"):
        return made(
            pb.ArchiveNamespaceRequest,
            namespace=client._namespace_or_own(namespace),
            dry_run=dry_run,
            request_id=new_request_id() if request_id is None else request_id,
        )


def _restore_request(
    client: BaseClient,
    slot_ids: str | Iterable[str] | None,
    filter: FilterLike | None,  # noqa: A002
    namespace: str | None,
    request_id: str | None,
) -> pb.RestoreArchivedRequest:
    with building("slot_ids"):
        return made(
            pb.RestoreArchivedRequest,
            namespace=client._namespace_or_own(namespace),
            slot_ids=ids_or_filter(slot_ids, filter),
            filter=None if filter is None else filter_to_proto(filter),
            request_id=new_request_id() if request_id is None else request_id,
        )


def _pin_request(
    client: BaseClient,
    slot_ids: str | Iterable[str] | None,
    filter: FilterLike | None,  # noqa: A002
    namespace: str | None,
    request_id: str | None,
    *,
    unpin: bool,
) -> pb.PinSlotsRequest:
    with building("slot_ids"):
        return made(
            pb.PinSlotsRequest,
            namespace=client._namespace_or_own(namespace),
            slot_ids=ids_or_filter(slot_ids, filter),
            filter=None if filter is None else filter_to_proto(filter),
            unpin=unpin,
            request_id=new_request_id() if request_id is None else request_id,
        )


def _marked(message: pb.RestoreArchivedResponse | pb.PinSlotsResponse) -> MarkResult:
    return MarkResult(message.n_changed, message.n_unchanged, message.n_not_found, message.sequence)


class Archive:
    """Archiving, restoring and pinning slots. The limits are the namespace's `archive`: see `ArchivePolicy`."""

    def __init__(self, client: "Client") -> None:
        self._client = client
        self._stub = archive_grpc.ArchiveServiceStub(client._channel)

    def run(
        self,
        namespace: str | None = None,
        *,
        dry_run: bool = False,
        request_id: str | None = None,
        timeout_s: float | NotGiven | None = NOT_GIVEN,
    ) -> Job:
        """Starts archiving what falls under the limits of a namespace; the server does so by itself from time to time.

        The result has `n_slots` and `n_bytes` that were not archived before it, `n_archived` and `archived_bytes` of
        them, `n_pinned`, `limits_met` (false: pinned slots are too many) and `slots`, the first 100 that were archived,
        each with its `id` and the `importance` that was left of its own.

        Args:
            namespace: To archive from. None: the client's, else the server's default.
            dry_run: Change nothing; the result tells what would be archived.
            request_id: Makes the call idempotent for 24 hours. None: a random one.
            timeout_s: Limit of the call, retries included. None: none. Left out: the client's.

        Raises:
            FailedPreconditionError: The namespace has no limits.
            JobRunningError: It is being archived from.
        """
        request = _run_request(self._client, namespace, dry_run, request_id)
        return job_from_proto(self._client._call(self._stub.ArchiveNamespace, request, timeout_s).job)

    def restore(
        self,
        slot_ids: str | Iterable[str] | None = None,
        *,
        filter: FilterLike | None = None,  # noqa: A002
        namespace: str | None = None,
        request_id: str | None = None,
        timeout_s: float | NotGiven | None = NOT_GIVEN,
    ) -> MarkResult:
        """Lets archived slots be found again. That counts as a use: they are not what is archived next.

        Args:
            slot_ids: One id or several. Exactly one of `slot_ids` and `filter` is given.
            filter: Restores every archived slot that passes it; an empty one is refused.
            namespace: Of the slots. None: the client's.
            request_id: As in `run`.
            timeout_s: Limit of the call, retries included. None: none. Left out: the client's.
        """
        request = _restore_request(self._client, slot_ids, filter, namespace, request_id)
        response = self._client._call(self._stub.RestoreArchived, request, timeout_s)
        return _marked(response)

    def pin(
        self,
        slot_ids: str | Iterable[str] | None = None,
        *,
        filter: FilterLike | None = None,  # noqa: A002
        namespace: str | None = None,
        request_id: str | None = None,
        timeout_s: float | NotGiven | None = NOT_GIVEN,
    ) -> MarkResult:
        """Lets slots never be archived; one that is archived already stays so. Arguments are those of `restore`."""
        request = _pin_request(self._client, slot_ids, filter, namespace, request_id, unpin=False)
        response = self._client._call(self._stub.PinSlots, request, timeout_s)
        return _marked(response)

    def unpin(
        self,
        slot_ids: str | Iterable[str] | None = None,
        *,
        filter: FilterLike | None = None,  # noqa: A002
        namespace: str | None = None,
        request_id: str | None = None,
        timeout_s: float | NotGiven | None = NOT_GIVEN,
    ) -> MarkResult:
        """Lets pinned slots be archived again. Arguments are those of `restore`."""
        request = _pin_request(self._client, slot_ids, filter, namespace, request_id, unpin=True)
        response = self._client._call(self._stub.PinSlots, request, timeout_s)
        return _marked(response)


class AsyncArchive:
    """Archiving, restoring and pinning slots. The limits are the namespace's `archive`: see `ArchivePolicy`."""

    def __init__(self, client: "AsyncClient") -> None:
        self._client = client
        self._stub: archive_grpc.ArchiveServiceAsyncStub = archive_grpc.ArchiveServiceStub(client._channel)

    async def run(
        self,
        namespace: str | None = None,
        *,
        dry_run: bool = False,
        request_id: str | None = None,
        timeout_s: float | NotGiven | None = NOT_GIVEN,
    ) -> Job:
        """Starts archiving what falls under the limits of a namespace; the server does so by itself from time to time.

        The result has `n_slots` and `n_bytes` that were not archived before it, `n_archived` and `archived_bytes` of
        them, `n_pinned`, `limits_met` (false: pinned slots are too many) and `slots`, the first 100 that were archived,
        each with its `id` and the `importance` that was left of its own.

        Args:
            namespace: To archive from. None: the client's, else the server's default.
            dry_run: Change nothing; the result tells what would be archived.
            request_id: Makes the call idempotent for 24 hours. None: a random one.
            timeout_s: Limit of the call, retries included. None: none. Left out: the client's.

        Raises:
            FailedPreconditionError: The namespace has no limits.
            JobRunningError: It is being archived from.
        """
        request = _run_request(self._client, namespace, dry_run, request_id)
        return job_from_proto((await self._client._call(self._stub.ArchiveNamespace, request, timeout_s)).job)

    async def restore(
        self,
        slot_ids: str | Iterable[str] | None = None,
        *,
        filter: FilterLike | None = None,  # noqa: A002
        namespace: str | None = None,
        request_id: str | None = None,
        timeout_s: float | NotGiven | None = NOT_GIVEN,
    ) -> MarkResult:
        """Lets archived slots be found again. That counts as a use: they are not what is archived next.

        Args:
            slot_ids: One id or several. Exactly one of `slot_ids` and `filter` is given.
            filter: Restores every archived slot that passes it; an empty one is refused.
            namespace: Of the slots. None: the client's.
            request_id: As in `run`.
            timeout_s: Limit of the call, retries included. None: none. Left out: the client's.
        """
        request = _restore_request(self._client, slot_ids, filter, namespace, request_id)
        response = await self._client._call(self._stub.RestoreArchived, request, timeout_s)
        return _marked(response)

    async def pin(
        self,
        slot_ids: str | Iterable[str] | None = None,
        *,
        filter: FilterLike | None = None,  # noqa: A002
        namespace: str | None = None,
        request_id: str | None = None,
        timeout_s: float | NotGiven | None = NOT_GIVEN,
    ) -> MarkResult:
        """Lets slots never be archived; one that is archived already stays so. Arguments are those of `restore`."""
        request = _pin_request(self._client, slot_ids, filter, namespace, request_id, unpin=False)
        response = await self._client._call(self._stub.PinSlots, request, timeout_s)
        return _marked(response)

    async def unpin(
        self,
        slot_ids: str | Iterable[str] | None = None,
        *,
        filter: FilterLike | None = None,  # noqa: A002
        namespace: str | None = None,
        request_id: str | None = None,
        timeout_s: float | NotGiven | None = NOT_GIVEN,
    ) -> MarkResult:
        """Lets pinned slots be archived again. Arguments are those of `restore`."""
        request = _pin_request(self._client, slot_ids, filter, namespace, request_id, unpin=True)
        response = await self._client._call(self._stub.PinSlots, request, timeout_s)
        return _marked(response)
