"""`client.history`: the versions of slots, and their return; for `Client` and `AsyncClient`."""

from collections.abc import AsyncIterator, Iterator
from typing import TYPE_CHECKING

from adamem._base import BaseClient, new_request_id
from adamem._codec import building, enum_name, made, slot_from_proto, validity_from_proto
from adamem._convert import enum_from_proto
from adamem.types import NOT_GIVEN, NotGiven
from adamem.v1 import version_service_pb2 as pb
from adamem.v1 import version_service_pb2_grpc as version_grpc
from adamem.version_types import Ending, RestoredSlot, SlotVersion, SlotVersionPage

if TYPE_CHECKING:
    from adamem._async_client import AsyncClient
    from adamem._client import Client


def _version(message: pb.SlotVersion) -> SlotVersion:
    ending = None
    if message.ending:
        ending = enum_from_proto(enum_name(message, "ending", message.ending), Ending, "SLOT_VERSION_ENDING_")
    return SlotVersion(
        version=message.version,
        slot=slot_from_proto(message.slot),
        validity=validity_from_proto(message.validity),
        ending=ending,
    )


def _page(response: pb.ListSlotVersionsResponse) -> SlotVersionPage:
    return SlotVersionPage(tuple(map(_version, response.versions)), response.next_page_token)


def _list_request(
    client: BaseClient,
    slot_id: str,
    namespace: str | None,
    include_vectors: bool,
    page_size: int | None,
    page_token: str,
) -> pb.ListSlotVersionsRequest:
    with building("slot_id"):
        return made(
            pb.ListSlotVersionsRequest,
            "",
            namespace=client._namespace_or_own(namespace),
            slot_id=slot_id,
            include_vectors=include_vectors,
            page_size=page_size,
            page_token=page_token,
        )


def _restore_request(
    client: BaseClient, slot_id: str, version: int, namespace: str | None, request_id: str | None
) -> pb.RestoreSlotVersionRequest:
    with building("version"):
        return made(
            pb.RestoreSlotVersionRequest,
            "",
            namespace=client._namespace_or_own(namespace),
            slot_id=slot_id,
            version=version,
            request_id=new_request_id() if request_id is None else request_id,
        )


def _restored(response: pb.RestoreSlotVersionResponse) -> RestoredSlot:
    return RestoredSlot(slot_from_proto(response.slot), response.created, response.sequence)


class History:
    """The former versions of slots. How many are kept is the namespace's: `history_versions`."""

    def __init__(self, client: "Client") -> None:
        self._client = client
        self._stub = version_grpc.VersionServiceStub(client._channel)

    def list_page(
        self,
        slot_id: str,
        *,
        namespace: str | None = None,
        include_vectors: bool = False,
        page_size: int | None = None,
        page_token: str = "",
        timeout_s: float | NotGiven | None = NOT_GIVEN,
    ) -> SlotVersionPage:
        """One page of versions; at most 1000, 100 by default. Arguments and errors as in `list`."""
        request = _list_request(self._client, slot_id, namespace, include_vectors, page_size, page_token)
        return _page(self._client._call(self._stub.ListSlotVersions, request, timeout_s))

    def list(
        self,
        slot_id: str,
        *,
        namespace: str | None = None,
        include_vectors: bool = False,
        page_size: int | None = None,
        timeout_s: float | NotGiven | None = NOT_GIVEN,
    ) -> Iterator[SlotVersion]:
        """The versions of a slot that are kept, oldest first, the present one last, fetched page by page.

        Args:
            slot_id: Of a slot that is present, was superseded, or was deleted with `keep_history`.
            namespace: Of the slot. None: the client's.
            include_vectors: Return the vectors too; those of another encoder are left out.
            page_size: Most versions of one page.
            timeout_s: Limit of each page. None: none. Left out: the client's.

        Raises:
            SlotNotFoundError: There is neither such a slot nor a history of one.
        """
        token = ""
        while True:
            page = self.list_page(
                slot_id,
                namespace=namespace,
                include_vectors=include_vectors,
                page_size=page_size,
                page_token=token,
                timeout_s=timeout_s,
            )
            yield from page.versions
            if not (token := page.next_page_token):
                return

    def restore(
        self,
        slot_id: str,
        version: int = 0,
        *,
        namespace: str | None = None,
        request_id: str | None = None,
        timeout_s: float | NotGiven | None = NOT_GIVEN,
    ) -> RestoredSlot:
        """Makes a former version the present one, with its vector; what is present joins the history.

        Args:
            slot_id: As in `list`.
            version: Its number. 0: the last former one.
            namespace: Of the slot. None: the client's.
            request_id: Makes the call idempotent for 24 hours. None: a random one.
            timeout_s: Limit of the call, retries included. None: none. Left out: the client's.

        Raises:
            SlotNotFoundError: There is neither such a slot nor a history of one.
            SlotVersionNotFoundError: It has no such version, or it is not kept any more.
            FailedPreconditionError: The version has expired, or its vector was supplied for another encoder.
        """
        request = _restore_request(self._client, slot_id, version, namespace, request_id)
        return _restored(self._client._call(self._stub.RestoreSlotVersion, request, timeout_s))


class AsyncHistory:
    """The former versions of slots. How many are kept is the namespace's: `history_versions`."""

    def __init__(self, client: "AsyncClient") -> None:
        self._client = client
        self._stub: version_grpc.VersionServiceAsyncStub = version_grpc.VersionServiceStub(client._channel)

    async def list_page(
        self,
        slot_id: str,
        *,
        namespace: str | None = None,
        include_vectors: bool = False,
        page_size: int | None = None,
        page_token: str = "",
        timeout_s: float | NotGiven | None = NOT_GIVEN,
    ) -> SlotVersionPage:
        """One page of versions; at most 1000, 100 by default. Arguments and errors as in `list`."""
        request = _list_request(self._client, slot_id, namespace, include_vectors, page_size, page_token)
        return _page(await self._client._call(self._stub.ListSlotVersions, request, timeout_s))

    async def list(
        self,
        slot_id: str,
        *,
        namespace: str | None = None,
        include_vectors: bool = False,
        page_size: int | None = None,
        timeout_s: float | NotGiven | None = NOT_GIVEN,
    ) -> AsyncIterator[SlotVersion]:
        """The versions of a slot that are kept, oldest first, the present one last, fetched page by page.

        Args:
            slot_id: Of a slot that is present, was superseded, or was deleted with `keep_history`.
            namespace: Of the slot. None: the client's.
            include_vectors: Return the vectors too; those of another encoder are left out.
            page_size: Most versions of one page.
            timeout_s: Limit of each page. None: none. Left out: the client's.

        Raises:
            SlotNotFoundError: There is neither such a slot nor a history of one.
        """
        token = ""
        while True:
            page = await self.list_page(
                slot_id,
                namespace=namespace,
                include_vectors=include_vectors,
                page_size=page_size,
                page_token=token,
                timeout_s=timeout_s,
            )
            for each in page.versions:
                yield each
            if not (token := page.next_page_token):
                return

    async def restore(
        self,
        slot_id: str,
        version: int = 0,
        *,
        namespace: str | None = None,
        request_id: str | None = None,
        timeout_s: float | NotGiven | None = NOT_GIVEN,
    ) -> RestoredSlot:
        """Makes a former version the present one, with its vector; what is present joins the history.

        Args:
            slot_id: As in `list`.
            version: Its number. 0: the last former one.
            namespace: Of the slot. None: the client's.
            request_id: Makes the call idempotent for 24 hours. None: a random one.
            timeout_s: Limit of the call, retries included. None: none. Left out: the client's.

        Raises:
            SlotNotFoundError: There is neither such a slot nor a history of one.
            SlotVersionNotFoundError: It has no such version, or it is not kept any more.
            FailedPreconditionError: The version has expired, or its vector was supplied for another encoder.
        """
        request = _restore_request(self._client, slot_id, version, namespace, request_id)
        return _restored(await self._client._call(self._stub.RestoreSlotVersion, request, timeout_s))
