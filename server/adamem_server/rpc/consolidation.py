"""Policies of consolidation, requests for one, and what one would write: to and from messages."""

from typing import Final

from adamem.v1 import consolidation_pb2 as pb
from adamem.v1.lifecycle_service_pb2 import ConsolidateNamespaceRequest, PreviewConsolidationRequest
from adamem_server.errors import InvalidArgumentError
from adamem_server.lifecycle.summarising import Planned
from adamem_server.policies import ConsolidationMethod, ConsolidationPolicy, ConsolidationPolicyChange
from adamem_server.rpc.checks import check_duration, check_enum, check_range, check_share
from adamem_server.rpc.slots import encode_duration
from adamem_server.types import MAX_AFTER_SLOTS, MAX_EVERY_US, MAX_SUMMARY_CHARS, MIN_SUMMARY_CHARS

_METHODS: Final = {
    pb.CONSOLIDATION_METHOD_UNSPECIFIED: None,
    pb.CONSOLIDATION_METHOD_AUTO: ConsolidationMethod.AUTO,
    pb.CONSOLIDATION_METHOD_EXTRACTIVE: ConsolidationMethod.EXTRACTIVE,
    pb.CONSOLIDATION_METHOD_LLM: ConsolidationMethod.LLM,
}
_METHOD_NUMBERS: Final = {method: number for number, method in _METHODS.items() if method is not None}


def decode_consolidation_policy(message: pb.ConsolidationPolicy, field: str) -> ConsolidationPolicyChange:
    """What to change of a policy, checked; `field` is its path in the request.

    Raises:
        InvalidArgumentError: The first value found that is wrong.
    """
    after_slots = every = None
    if message.HasField("after_slots"):
        after_slots = check_range(message.after_slots, f"{field}.after_slots", 0, MAX_AFTER_SLOTS)
    if message.HasField("every"):
        every = 0
        if message.every.seconds or message.every.nanos:
            every = check_duration(message.every, f"{field}.every")
        if every > MAX_EVERY_US:
            raise InvalidArgumentError(f"{field}.every", "is more than 366 days", limit="366 days")
    how = decode_consolidation(message, f"{field}.")
    return ConsolidationPolicyChange(
        after_slots=after_slots, every=every, method=how.method, max_chars=how.max_chars, threshold=how.threshold
    )


def decode_consolidation(
    message: pb.ConsolidationPolicy | ConsolidateNamespaceRequest | PreviewConsolidationRequest, place: str = ""
) -> ConsolidationPolicyChange:
    """How to consolidate, where it is said; `place` stands before the names of the fields.

    Raises:
        InvalidArgumentError: The first value found that is wrong.
    """
    max_chars = threshold = None
    if message.HasField("max_chars"):
        max_chars = check_range(message.max_chars, f"{place}max_chars", MIN_SUMMARY_CHARS, MAX_SUMMARY_CHARS)
    if message.HasField("threshold"):
        threshold = check_share(message.threshold, f"{place}threshold")
    method = check_enum(message.method, f"{place}method", _METHODS)
    return ConsolidationPolicyChange(method=method, max_chars=max_chars, threshold=threshold)


def encode_consolidation_policy(policy: ConsolidationPolicy) -> pb.ConsolidationPolicy:
    """A policy as it is described."""
    return pb.ConsolidationPolicy(
        after_slots=policy.after_slots,
        every=encode_duration(policy.every),
        method=_METHOD_NUMBERS[policy.method],
        max_chars=policy.max_chars,
        threshold=policy.threshold,
    )


def encode_planned(planned: Planned) -> pb.PlannedSummary:
    """A summary that a consolidation would write."""
    return pb.PlannedSummary(
        content=planned.text,
        made_by=planned.made_by,
        sources=[slot.id for slot in planned.sources],
        replaces=sorted(planned.replaced),
        problem=planned.problem,
    )
