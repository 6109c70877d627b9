"""`client.duplicates`: duplicates of a namespace, merged, listed and brought back; for `Client` and `AsyncClient`."""

from collections.abc import AsyncIterator, Iterator, Sequence
from typing import TYPE_CHECKING

from adamem._base import BaseClient, new_request_id
from adamem._codec import absorbed_from_proto, building, made, pair_from_proto, scope_to_proto
from adamem._convert import invalid
from adamem._duplicate_types import (
    AbsorbedSlot,
    AbsorbedSlotPage,
    DuplicatePair,
    DuplicatePairPage,
    DuplicateScope,
)
from adamem._jobs import job_from_proto
from adamem.types import (
    NOT_GIVEN,
    Job,
    NotGiven,
)
from adamem.v1 import lifecycle_service_pb2 as pb
from adamem.v1 import lifecycle_service_pb2_grpc as lifecycle_grpc

if TYPE_CHECKING:
    from adamem._async_client import AsyncClient
    from adamem._client import Client


def _merge_request(
    client: BaseClient,
    namespace: str | None,
    dry_run: bool,
    exact_only: bool,
    threshold: float | None,
    scope: Sequence[DuplicateScope | str],
    request_id: str | None,
) -> pb.DeduplicateNamespaceRequest:
    with building("merge"):
        return made(
            pb.DeduplicateNamespaceRequest,
            "",
            namespace=client._namespace_or_own(namespace),
            dry_run=dry_run,
            exact_only=exact_only,
            threshold=threshold,
            scope=scope_to_proto(scope),
            request_id=new_request_id() if request_id is None else request_id,
        )


def _undo_request(
    client: BaseClient, job_id: str, slot_id: str, namespace: str | None, request_id: str | None
) -> pb.UndoDeduplicationRequest:
    if (job_id == "") == (slot_id == ""):
        raise invalid("job_id", "exactly one of job_id and slot_id is expected")
    with building("undo"):
        return made(
            pb.UndoDeduplicationRequest,
            namespace=client._namespace_or_own(namespace),
            job_id=job_id,
            slot_id=slot_id,
            request_id=new_request_id() if request_id is None else request_id,
        )


def _pairs_request(
    client: BaseClient, job_id: str, namespace: str | None, page_size: int | None, page_token: str
) -> pb.ListDuplicatePairsRequest:
    with building("pairs"):
        return made(
            pb.ListDuplicatePairsRequest,
            "",
            namespace=client._namespace_or_own(namespace),
            job_id=job_id,
            page_size=page_size,
            page_token=page_token,
        )


def _absorbed_request(
    client: BaseClient, slot_id: str, namespace: str | None, page_size: int | None, page_token: str
) -> pb.ListAbsorbedSlotsRequest:
    with building("absorbed"):
        return made(
            pb.ListAbsorbedSlotsRequest,
            "",
            namespace=client._namespace_or_own(namespace),
            slot_id=slot_id,
            page_size=page_size,
            page_token=page_token,
        )


class Duplicates:
    """Duplicates of a namespace: merged, listed, brought back. What is long is a job, which `client.jobs` watches."""

    def __init__(self, client: "Client") -> None:
        self._client = client
        self._stub = lifecycle_grpc.LifecycleServiceStub(client._channel)

    def merge(
        self,
        namespace: str | None = None,
        *,
        dry_run: bool = False,
        exact_only: bool = False,
        threshold: float | None = None,
        scope: Sequence[DuplicateScope | str] = (),
        request_id: str | None = None,
        timeout_s: float | NotGiven | None = NOT_GIVEN,
    ) -> Job:
        """Starts a job that merges duplicates without loss, or lists what it would merge; `pairs` reads the list.

        Its result has `n_slots`, `n_duplicates`, `n_exact`, `n_near` and `n_left_out` (changed or deleted meanwhile).

        Args:
            namespace: To search. None: the client's, else the server's default.
            dry_run: Change nothing.
            exact_only: Leave near duplicates alone.
            threshold: Least cosine of near duplicates, 0..1. None: as the namespace's policy says.
            scope: What must agree. (): as the namespace's policy says.
            request_id: Makes the call idempotent for 24 hours. None: a random one.
            timeout_s: Limit of the call, retries included. None: none. Left out: the client's.

        Raises:
            JobRunningError: Such a job of the namespace is unfinished.
        """
        request = _merge_request(self._client, namespace, dry_run, exact_only, threshold, scope, request_id)
        return job_from_proto(self._client._call(self._stub.DeduplicateNamespace, request, timeout_s).job)

    def undo(
        self,
        *,
        job_id: str = "",
        slot_id: str = "",
        namespace: str | None = None,
        request_id: str | None = None,
        timeout_s: float | NotGiven | None = NOT_GIVEN,
    ) -> Job:
        """Starts a job that brings back all that a job merged, or all that a slot absorbed.

        Its result has `n_restored` and `n_left_out`: slots whose survivor was deleted, or whose id is in use again.

        Args:
            job_id: Of a job of `merge`.
            slot_id: Of a survivor. Exactly one of both is given.
            namespace: Of the slots. None: the client's, else the server's default.
            request_id: As in `merge`.
            timeout_s: As in `merge`.

        Raises:
            JobNotFoundError: The job merged nothing here that is still merged.
            SlotNotFoundError, FailedPreconditionError: There is no such slot, or it has absorbed nothing.
        """
        request = _undo_request(self._client, job_id, slot_id, namespace, request_id)
        return job_from_proto(self._client._call(self._stub.UndoDeduplication, request, timeout_s).job)

    def pairs_page(
        self,
        job_id: str,
        *,
        namespace: str | None = None,
        page_size: int | None = None,
        page_token: str = "",
        timeout_s: float | NotGiven | None = NOT_GIVEN,
    ) -> DuplicatePairPage:
        """Reads one page of what a job merged or would merge; at most 1000, 100 by default.

        What a dry run found is kept until the next dry run in the namespace, what was merged until it is undone.
        """
        request = _pairs_request(self._client, job_id, namespace, page_size, page_token)
        response = self._client._call(self._stub.ListDuplicatePairs, request, timeout_s)
        return DuplicatePairPage(tuple(map(pair_from_proto, response.pairs)), response.next_page_token)

    def pairs(
        self,
        job_id: str,
        *,
        namespace: str | None = None,
        page_size: int | None = None,
        timeout_s: float | NotGiven | None = NOT_GIVEN,
    ) -> Iterator[DuplicatePair]:
        """All that a job merged or would merge, page by page as it is iterated."""
        token = ""
        while True:
            page = self.pairs_page(
                job_id, namespace=namespace, page_size=page_size, page_token=token, timeout_s=timeout_s
            )
            yield from page.pairs
            if not (token := page.next_page_token):
                return

    def absorbed_page(
        self,
        slot_id: str,
        *,
        namespace: str | None = None,
        page_size: int | None = None,
        page_token: str = "",
        timeout_s: float | NotGiven | None = NOT_GIVEN,
    ) -> AbsorbedSlotPage:
        """Reads one page of what a slot has absorbed, in the order in which it did; at most 1000, 100 by default."""
        request = _absorbed_request(self._client, slot_id, namespace, page_size, page_token)
        response = self._client._call(self._stub.ListAbsorbedSlots, request, timeout_s)
        return AbsorbedSlotPage(tuple(map(absorbed_from_proto, response.absorbed)), response.next_page_token)

    def absorbed(
        self,
        slot_id: str,
        *,
        namespace: str | None = None,
        page_size: int | None = None,
        timeout_s: float | NotGiven | None = NOT_GIVEN,
    ) -> Iterator[AbsorbedSlot]:
        """All that a slot has absorbed, page by page as it is iterated."""
        token = ""
        while True:
            page = self.absorbed_page(
                slot_id, namespace=namespace, page_size=page_size, page_token=token, timeout_s=timeout_s
            )
            yield from page.absorbed
            if not (token := page.next_page_token):
                return


class AsyncDuplicates:
    """Duplicates of a namespace: merged, listed, brought back. What is long is a job, which `client.jobs` watches."""

    def __init__(self, client: "AsyncClient") -> None:
        self._client = client
        self._stub: lifecycle_grpc.LifecycleServiceAsyncStub = lifecycle_grpc.LifecycleServiceStub(client._channel)

    async def merge(
        self,
        namespace: str | None = None,
        *,
        dry_run: bool = False,
        exact_only: bool = False,
        threshold: float | None = None,
        scope: Sequence[DuplicateScope | str] = (),
        request_id: str | None = None,
        timeout_s: float | NotGiven | None = NOT_GIVEN,
    ) -> Job:
        """Starts a job that merges duplicates without loss, or lists what it would merge; `pairs` reads the list.

        Its result has `n_slots`, `n_duplicates`, `n_exact`, `n_near` and `n_left_out` (changed or deleted meanwhile).

        Args:
            namespace: To search. None: the client's, else the server's default.
            dry_run: Change nothing.
            exact_only: Leave near duplicates alone.
            threshold: Least cosine of near duplicates, 0..1. None: as the namespace's policy says.
            scope: What must agree. (): as the namespace's policy says.
            request_id: Makes the call idempotent for 24 hours. None: a random one.
            timeout_s: Limit of the call, retries included. None: none. Left out: the client's.

        Raises:
            JobRunningError: Such a job of the namespace is unfinished.
        """
        request = _merge_request(self._client, namespace, dry_run, exact_only, threshold, scope, request_id)
        return job_from_proto((await self._client._call(self._stub.DeduplicateNamespace, request, timeout_s)).job)

    async def undo(
        self,
        *,
        job_id: str = "",
        slot_id: str = "",
        namespace: str | None = None,
        request_id: str | None = None,
        timeout_s: float | NotGiven | None = NOT_GIVEN,
    ) -> Job:
        """Starts a job that brings back all that a job merged, or all that a slot absorbed.

        Its result has `n_restored` and `n_left_out`: slots whose survivor was deleted, or whose id is in use again.

        Args:
            job_id: Of a job of `merge`.
            slot_id: Of a survivor. Exactly one of both is given.
            namespace: Of the slots. None: the client's, else the server's default.
            request_id: As in `merge`.
            timeout_s: As in `merge`.

        Raises:
            JobNotFoundError: The job merged nothing here that is still merged.
            SlotNotFoundError, FailedPreconditionError: There is no such slot, or it has absorbed nothing.
        """
        request = _undo_request(self._client, job_id, slot_id, namespace, request_id)
        return job_from_proto((await self._client._call(self._stub.UndoDeduplication, request, timeout_s)).job)

    async def pairs_page(
        self,
        job_id: str,
        *,
        namespace: str | None = None,
        page_size: int | None = None,
        page_token: str = "",
        timeout_s: float | NotGiven | None = NOT_GIVEN,
    ) -> DuplicatePairPage:
        """Reads one page of what a job merged or would merge; at most 1000, 100 by default.

        What a dry run found is kept until the next dry run in the namespace, what was merged until it is undone.
        """
        request = _pairs_request(self._client, job_id, namespace, page_size, page_token)
        response = await self._client._call(self._stub.ListDuplicatePairs, request, timeout_s)
        return DuplicatePairPage(tuple(map(pair_from_proto, response.pairs)), response.next_page_token)

    async def pairs(
        self,
        job_id: str,
        *,
        namespace: str | None = None,
        page_size: int | None = None,
        timeout_s: float | NotGiven | None = NOT_GIVEN,
    ) -> AsyncIterator[DuplicatePair]:
        """All that a job merged or would merge, page by page as it is iterated."""
        token = ""
        while True:
            page = await self.pairs_page(
                job_id, namespace=namespace, page_size=page_size, page_token=token, timeout_s=timeout_s
            )
            for pair in page.pairs:
                yield pair
            if not (token := page.next_page_token):
                return

    async def absorbed_page(
        self,
        slot_id: str,
        *,
        namespace: str | None = None,
        page_size: int | None = None,
        page_token: str = "",
        timeout_s: float | NotGiven | None = NOT_GIVEN,
    ) -> AbsorbedSlotPage:
        """Reads one page of what a slot has absorbed, in the order in which it did; at most 1000, 100 by default."""
        request = _absorbed_request(self._client, slot_id, namespace, page_size, page_token)
        response = await self._client._call(self._stub.ListAbsorbedSlots, request, timeout_s)
        return AbsorbedSlotPage(tuple(map(absorbed_from_proto, response.absorbed)), response.next_page_token)

    async def absorbed(
        self,
        slot_id: str,
        *,
        namespace: str | None = None,
        page_size: int | None = None,
        timeout_s: float | NotGiven | None = NOT_GIVEN,
    ) -> AsyncIterator[AbsorbedSlot]:
        """All that a slot has absorbed, page by page as it is iterated."""
        token = ""
        while True:
            page = await self.absorbed_page(
                slot_id, namespace=namespace, page_size=page_size, page_token=token, timeout_s=timeout_s
            )
            for each in page.absorbed:
                yield each
            if not (token := page.next_page_token):
                return
