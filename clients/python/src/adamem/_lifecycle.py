"""`client.lifecycle`: work on what a namespace keeps, which runs as jobs; for `Client` and `AsyncClient`."""

from collections.abc import AsyncIterator, Iterator
from typing import TYPE_CHECKING

import grpc

from adamem._base import BaseClient, new_request_id
from adamem._codec import building, made
from adamem._consolidation import consolidate_request, planned_from_proto, preview_request
from adamem._consolidation_types import ConsolidationMethod, PlannedSummary
from adamem._jobs import job_from_proto
from adamem._reports import AsyncReporting, Reporting
from adamem.types import NOT_GIVEN, Job, NotGiven
from adamem.v1 import lifecycle_service_pb2 as pb
from adamem.v1 import lifecycle_service_pb2_grpc as lifecycle_grpc

if TYPE_CHECKING:
    from adamem._async_client import AsyncClient
    from adamem._client import Client


def _verify_request(client: BaseClient, namespace: str | None, request_id: str | None) -> pb.VerifyNamespaceRequest:
    with building("verify"):
        return made(
            pb.VerifyNamespaceRequest,
            namespace=client._namespace_or_own(namespace),
            request_id=new_request_id() if request_id is None else request_id,
        )


def _compact_request(client: BaseClient, namespace: str | None, request_id: str | None) -> pb.CompactNamespaceRequest:
    with building("compact"):
        return made(
            pb.CompactNamespaceRequest,
            namespace=client._namespace_or_own(namespace),
            request_id=new_request_id() if request_id is None else request_id,
        )


def _compact_data_request(request_id: str | None) -> pb.CompactDataRequest:
    with building("compact_data"):
        return made(pb.CompactDataRequest, request_id=new_request_id() if request_id is None else request_id)


def _reembed_request(
    client: BaseClient, namespace: str | None, model: str, rollback: bool, request_id: str | None
) -> pb.ReembedNamespaceRequest:
    with building("reembed"):
        return made(
            pb.ReembedNamespaceRequest,
            namespace=client._namespace_or_own(namespace),
            request_id=new_request_id() if request_id is None else request_id,
            model=model,
            rollback=rollback,
        )


class Lifecycle(Reporting):
    """Work on what a namespace keeps. It runs as jobs, which `client.jobs` watches, waits for and cancels."""

    def __init__(self, client: "Client") -> None:
        self._client = client
        self._stub = lifecycle_grpc.LifecycleServiceStub(client._channel)

    def verify(
        self,
        namespace: str | None = None,
        *,
        request_id: str | None = None,
        timeout_s: float | NotGiven | None = NOT_GIVEN,
    ) -> Job:
        """Starts a check of every slot: that its records are whole and agree. Changes nothing.

        The result has `n_slots`, `n_problems` and `problems`, the first 100 in words.

        Args:
            namespace: To check. None: the client's, else the server's default.
            request_id: Makes the call idempotent for 24 hours. None: a random one.
            timeout_s: Limit of the call, retries included. None: none. Left out: the client's.

        Raises:
            JobRunningError: The namespace is being checked.
        """
        request = _verify_request(self._client, namespace, request_id)
        return job_from_proto(self._client._call(self._stub.VerifyNamespace, request, timeout_s).job)

    def compact(
        self,
        namespace: str | None = None,
        *,
        request_id: str | None = None,
        timeout_s: float | NotGiven | None = NOT_GIVEN,
    ) -> Job:
        """Starts taking deleted slots out of the index, and saves it; else that is done where queries leave time.

        The result has `n_tombstones` and `memory_bytes` of the index, each with `before` and `after`.
        Arguments and errors are those of `verify`.
        """
        request = _compact_request(self._client, namespace, request_id)
        return job_from_proto(self._client._call(self._stub.CompactNamespace, request, timeout_s).job)

    def compact_data(self, *, request_id: str | None = None, timeout_s: float | NotGiven | None = NOT_GIVEN) -> Job:
        """Starts writing the server's data file anew, without the pages that deletions freed.

        Writes wait meanwhile, some seconds for a gigabyte of live data; reads go on. The disk needs room for a second
        file. The result has `data_bytes`, with `before` and `after`.

        Args:
            request_id: Makes the call idempotent for 24 hours. None: a random one.
            timeout_s: Limit of the call, retries included. None: none. Left out: the client's.

        Raises:
            JobRunningError: It is being compacted.
        """
        request = _compact_data_request(request_id)
        return job_from_proto(self._client._call(self._stub.CompactData, request, timeout_s).job)

    def reembed(
        self,
        namespace: str | None = None,
        *,
        model: str = "",
        rollback: bool = False,
        request_id: str | None = None,
        timeout_s: float | NotGiven | None = NOT_GIVEN,
    ) -> Job:
        """Starts giving a namespace the vectors of another model; those that serve go on to serve until all are there.

        The result has `model`, `model_fingerprint` and `dim` that serve now, `n_slots`, `n_embedded` of them in this
        job, `former_model`, and `former_kept_s`, for how many seconds its vectors are kept.

        Args:
            namespace: To embed anew. None: the client's, else the server's default.
            model: Bundled, or pulled on the server's machine. "": the server's own.
            rollback: Take the last change back; what was written since is embedded by the former model.
            request_id: Makes the call idempotent for 24 hours. None: a random one.
            timeout_s: Limit of the call, retries included. None: none. Left out: the client's.

        Raises:
            JobRunningError: The namespace is being embedded anew.
            NotFoundError: There is no such namespace, or the model is not on the server's machine.
            FailedPreconditionError: Clients supply the vectors, that model has made them, or none are kept.
        """
        request = _reembed_request(self._client, namespace, model, rollback, request_id)
        return job_from_proto(self._client._call(self._stub.ReembedNamespace, request, timeout_s).job)

    def consolidate(
        self,
        namespace: str | None = None,
        *,
        method: ConsolidationMethod | str | None = None,
        max_chars: int | None = None,
        threshold: float | None = None,
        request_id: str | None = None,
        timeout_s: float | NotGiven | None = NOT_GIVEN,
    ) -> Job:
        """Starts writing summaries of slots that belong together; the slots stay as they are.

        These are sessions of conversations, and other slots of one user, agent and tags that are alike. The result has
        `n_slots` looked at, `n_summaries` written, `n_replaced`, `n_left_out` groups, `n_fallbacks` summaries of
        sentences in the place of the language model's, and `language_model_problem`, the last one.

        Args:
            namespace: To sum up. None: the client's, else the server's default.
            method: auto, extractive or llm. None: the namespace's.
            max_chars: Most characters of a summary, 100..10000. None: the namespace's.
            threshold: Least cosine of slots outside of conversations, 0..1. None: the namespace's.
            request_id: Makes the call idempotent for 24 hours. None: a random one.
            timeout_s: Limit of the call, retries included. None: none. Left out: the client's.

        Raises:
            JobRunningError: The namespace is being summed up.
            FailedPreconditionError: Clients supply the vectors, or the server has no language model that is asked for.
        """
        request = consolidate_request(self._client, namespace, method, max_chars, threshold, request_id)
        return job_from_proto(self._client._call(self._stub.ConsolidateNamespace, request, timeout_s).job)

    def preview_consolidation(
        self,
        namespace: str | None = None,
        *,
        method: ConsolidationMethod | str | None = None,
        max_chars: int | None = None,
        threshold: float | None = None,
        timeout_s: float | None = None,
    ) -> Iterator[PlannedSummary]:
        """The summaries that `consolidate` would write now, one by one; nothing is stored, and a call is not retried.

        Arguments and errors are those of `consolidate`; `timeout_s` limits the whole. None: none.
        """
        request = preview_request(self._client, namespace, method, max_chars, threshold)
        limit = self._client._attempts(timeout_s, 1)
        answers = self._stub.PreviewConsolidation(request, timeout=limit.remaining_s(), metadata=self._client._metadata)
        try:
            for answer in answers:
                yield planned_from_proto(answer.summary)
        except grpc.RpcError as error:
            raise limit.failure(error) from error
        finally:
            answers.cancel()


class AsyncLifecycle(AsyncReporting):
    """Work on what a namespace keeps. It runs as jobs, which `client.jobs` watches, waits for and cancels."""

    def __init__(self, client: "AsyncClient") -> None:
        self._client = client
        self._stub: lifecycle_grpc.LifecycleServiceAsyncStub = lifecycle_grpc.LifecycleServiceStub(client._channel)

    async def verify(
        self,
        namespace: str | None = None,
        *,
        request_id: str | None = None,
        timeout_s: float | NotGiven | None = NOT_GIVEN,
    ) -> Job:
        """Starts a check of every slot: that its records are whole and agree. Changes nothing.

        The result has `n_slots`, `n_problems` and `problems`, the first 100 in words.

        Args:
            namespace: To check. None: the client's, else the server's default.
            request_id: Makes the call idempotent for 24 hours. None: a random one.
            timeout_s: Limit of the call, retries included. None: none. Left out: the client's.

        Raises:
            JobRunningError: The namespace is being checked.
        """
        request = _verify_request(self._client, namespace, request_id)
        return job_from_proto((await self._client._call(self._stub.VerifyNamespace, request, timeout_s)).job)

    async def compact(
        self,
        namespace: str | None = None,
        *,
        request_id: str | None = None,
        timeout_s: float | NotGiven | None = NOT_GIVEN,
    ) -> Job:
        """Starts taking deleted slots out of the index, and saves it; else that is done where queries leave time.

        The result has `n_tombstones` and `memory_bytes` of the index, each with `before` and `after`.
        Arguments and errors are those of `verify`.
        """
        request = _compact_request(self._client, namespace, request_id)
        return job_from_proto((await self._client._call(self._stub.CompactNamespace, request, timeout_s)).job)

    async def compact_data(
        self, *, request_id: str | None = None, timeout_s: float | NotGiven | None = NOT_GIVEN
    ) -> Job:
        """Starts writing the server's data file anew, without the pages that deletions freed.

        Writes wait meanwhile, some seconds for a gigabyte of live data; reads go on. The disk needs room for a second
        file. The result has `data_bytes`, with `before` and `after`.

        Args:
            request_id: Makes the call idempotent for 24 hours. None: a random one.
            timeout_s: Limit of the call, retries included. None: none. Left out: the client's.

        Raises:
            JobRunningError: It is being compacted.
        """
        request = _compact_data_request(request_id)
        return job_from_proto((await self._client._call(self._stub.CompactData, request, timeout_s)).job)

    async def reembed(
        self,
        namespace: str | None = None,
        *,
        model: str = "",
        rollback: bool = False,
        request_id: str | None = None,
        timeout_s: float | NotGiven | None = NOT_GIVEN,
    ) -> Job:
        """Starts giving a namespace the vectors of another model; those that serve go on to serve until all are there.

        The result has `model`, `model_fingerprint` and `dim` that serve now, `n_slots`, `n_embedded` of them in this
        job, `former_model`, and `former_kept_s`, for how many seconds its vectors are kept.

        Args:
            namespace: To embed anew. None: the client's, else the server's default.
            model: Bundled, or pulled on the server's machine. "": the server's own.
            rollback: Take the last change back; what was written since is embedded by the former model.
            request_id: Makes the call idempotent for 24 hours. None: a random one.
            timeout_s: Limit of the call, retries included. None: none. Left out: the client's.

        Raises:
            JobRunningError: The namespace is being embedded anew.
            NotFoundError: There is no such namespace, or the model is not on the server's machine.
            FailedPreconditionError: Clients supply the vectors, that model has made them, or none are kept.
        """
        request = _reembed_request(self._client, namespace, model, rollback, request_id)
        return job_from_proto((await self._client._call(self._stub.ReembedNamespace, request, timeout_s)).job)

    async def consolidate(
        self,
        namespace: str | None = None,
        *,
        method: ConsolidationMethod | str | None = None,
        max_chars: int | None = None,
        threshold: float | None = None,
        request_id: str | None = None,
        timeout_s: float | NotGiven | None = NOT_GIVEN,
    ) -> Job:
        """Starts writing summaries of slots that belong together; the slots stay as they are.

        These are sessions of conversations, and other slots of one user, agent and tags that are alike. The result has
        `n_slots` looked at, `n_summaries` written, `n_replaced`, `n_left_out` groups, `n_fallbacks` summaries of
        sentences in the place of the language model's, and `language_model_problem`, the last one.

        Args:
            namespace: To sum up. None: the client's, else the server's default.
            method: auto, extractive or llm. None: the namespace's.
            max_chars: Most characters of a summary, 100..10000. None: the namespace's.
            threshold: Least cosine of slots outside of conversations, 0..1. None: the namespace's.
            request_id: Makes the call idempotent for 24 hours. None: a random one.
            timeout_s: Limit of the call, retries included. None: none. Left out: the client's.

        Raises:
            JobRunningError: The namespace is being summed up.
            FailedPreconditionError: Clients supply the vectors, or the server has no language model that is asked for.
        """
        request = consolidate_request(self._client, namespace, method, max_chars, threshold, request_id)
        return job_from_proto((await self._client._call(self._stub.ConsolidateNamespace, request, timeout_s)).job)

    async def preview_consolidation(
        self,
        namespace: str | None = None,
        *,
        method: ConsolidationMethod | str | None = None,
        max_chars: int | None = None,
        threshold: float | None = None,
        timeout_s: float | None = None,
    ) -> AsyncIterator[PlannedSummary]:
        """The summaries that `consolidate` would write now, one by one; nothing is stored, and a call is not retried.

        Arguments and errors are those of `consolidate`; `timeout_s` limits the whole. None: none.
        """
        request = preview_request(self._client, namespace, method, max_chars, threshold)
        limit = self._client._attempts(timeout_s, 1)
        answers = self._stub.PreviewConsolidation(request, timeout=limit.remaining_s(), metadata=self._client._metadata)
        try:
            with self._client._telling_close():
                async for answer in answers:
                    yield planned_from_proto(answer.summary)
        except grpc.RpcError as error:
            raise limit.failure(error) from error
        finally:
            answers.cancel()
