"""Consolidation between Python and the protocol; the calls are `client.lifecycle`'s."""

from adamem._base import BaseClient, new_request_id
from adamem._codec import building, consolidation_method, made
from adamem._consolidation_types import ConsolidationMethod, PlannedSummary
from adamem.v1 import consolidation_pb2 as pb
from adamem.v1 import lifecycle_service_pb2 as lifecycle_pb


def consolidate_request(
    client: BaseClient,
    namespace: str | None,
    method: ConsolidationMethod | str | None,
    max_chars: int | None,
    threshold: float | None,
    request_id: str | None,
) -> lifecycle_pb.ConsolidateNamespaceRequest:
    """What starts a consolidation."""
    with building("consolidate"):
        return made(
            lifecycle_pb.ConsolidateNamespaceRequest,
            "",
            namespace=client._namespace_or_own(namespace),
            request_id=new_request_id() if request_id is None else request_id,
            method=consolidation_method(method, "method"),
            max_chars=max_chars,
            threshold=threshold,
        )


def preview_request(
    client: BaseClient,
    namespace: str | None,
    method: ConsolidationMethod | str | None,
    max_chars: int | None,
    threshold: float | None,
) -> lifecycle_pb.PreviewConsolidationRequest:
    """What asks for a preview."""
    with building("preview_consolidation"):
        return made(
            lifecycle_pb.PreviewConsolidationRequest,
            "",
            namespace=client._namespace_or_own(namespace),
            method=consolidation_method(method, "method"),
            max_chars=max_chars,
            threshold=threshold,
        )


def planned_from_proto(message: pb.PlannedSummary) -> PlannedSummary:
    """A summary that would be written."""
    return PlannedSummary(
        content=message.content,
        made_by=message.made_by,
        sources=tuple(message.sources),
        replaces=tuple(message.replaces),
        problem=message.problem,
    )
