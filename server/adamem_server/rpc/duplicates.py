"""Policies on duplicates and absorbed slots, to and from messages."""

from collections.abc import Iterable
from typing import Final

from adamem.v1 import duplicates_pb2 as pb
from adamem.v1.lifecycle_service_pb2 import DeduplicateNamespaceRequest
from adamem_server.errors import InvalidArgumentError
from adamem_server.lifecycle.duplicates import PairView
from adamem_server.policies import DuplicateAction, DuplicatePolicy, DuplicatePolicyChange, RecalledAction, ScopeField
from adamem_server.rpc.checks import check_enum, check_share
from adamem_server.rpc.slots import encode_slot, encode_time
from adamem_server.types import Absorbed, DuplicateKind, JsonObject, SlotView

_MAX_ABSORBED_BYTES: Final = 1_000_000

_ACTIONS: Final = {
    pb.DUPLICATE_ACTION_UNSPECIFIED: None,
    pb.DUPLICATE_ACTION_KEEP: DuplicateAction.KEEP,
    pb.DUPLICATE_ACTION_SKIP: DuplicateAction.SKIP,
    pb.DUPLICATE_ACTION_MERGE: DuplicateAction.MERGE,
}
_RECALLED: Final = {
    pb.RECALLED_ACTION_UNSPECIFIED: None,
    pb.RECALLED_ACTION_MARK: RecalledAction.MARK,
    pb.RECALLED_ACTION_SKIP: RecalledAction.SKIP,
}
_SCOPE: Final = {
    pb.DUPLICATE_SCOPE_NAMESPACE: ScopeField.NAMESPACE,
    pb.DUPLICATE_SCOPE_USER_ID: ScopeField.USER_ID,
    pb.DUPLICATE_SCOPE_AGENT_ID: ScopeField.AGENT_ID,
    pb.DUPLICATE_SCOPE_CONVERSATION_ID: ScopeField.CONVERSATION_ID,
    pb.DUPLICATE_SCOPE_KIND: ScopeField.KIND,
    pb.DUPLICATE_SCOPE_ROLE: ScopeField.ROLE,
    pb.DUPLICATE_SCOPE_SOURCE: ScopeField.SOURCE,
    pb.DUPLICATE_SCOPE_TIME: ScopeField.TIME,
}
_MATCH_NUMBERS: Final = {
    DuplicateKind.EXACT: pb.DUPLICATE_MATCH_EXACT,
    DuplicateKind.NEAR: pb.DUPLICATE_MATCH_NEAR,
}
_ACTION_NUMBERS: Final = {action: number for number, action in _ACTIONS.items() if action is not None}
_RECALLED_NUMBERS: Final = {action: number for number, action in _RECALLED.items() if action is not None}
_SCOPE_NUMBERS: Final = {field: number for number, field in _SCOPE.items()}


def decode_policy(message: pb.DuplicatePolicy, field: str) -> DuplicatePolicyChange:
    """What to change of a policy, checked; `field` is its path in the request.

    Raises:
        InvalidArgumentError: The first value found that is wrong.
    """
    return DuplicatePolicyChange(
        on_duplicate=check_enum(message.on_duplicate, f"{field}.on_duplicate", _ACTIONS),
        on_recalled=check_enum(message.on_recalled, f"{field}.on_recalled", _RECALLED),
        threshold=check_share(message.threshold, f"{field}.threshold") if message.HasField("threshold") else None,
        scope=decode_scope(message.scope, f"{field}.scope") or None,
    )


def decode_scope(values: Iterable[pb.DuplicateScope], field: str) -> tuple[ScopeField, ...]:
    """What must agree between duplicates, each once.

    Raises:
        InvalidArgumentError: A value is unknown or stands there twice.
    """
    scope: list[ScopeField] = []
    for i, value in enumerate(values):
        part = check_enum(value, f"{field}[{i}]", _SCOPE)
        if part in scope:
            raise InvalidArgumentError(f"{field}[{i}]", f"{part} stands in {field}[{scope.index(part)}] already")
        scope.append(part)
    return tuple(scope)


def encode_policy(policy: DuplicatePolicy) -> pb.DuplicatePolicy:
    """A policy as it is described."""
    return pb.DuplicatePolicy(
        on_duplicate=_ACTION_NUMBERS[policy.on_duplicate],
        on_recalled=_RECALLED_NUMBERS[policy.on_recalled],
        threshold=policy.threshold,
        scope=[_SCOPE_NUMBERS[field] for field in policy.scope],
    )


def encode_absorbed(namespace: str, absorbed: Iterable[Absorbed]) -> list[pb.AbsorbedSlot]:
    """What a slot has absorbed, a megabyte of it at most but one at least."""
    messages: list[pb.AbsorbedSlot] = []
    n_bytes = 0
    for each in absorbed:
        message = encode_absorbed_slot(namespace, each)
        n_bytes += message.ByteSize()
        if messages and n_bytes > _MAX_ABSORBED_BYTES:
            break
        messages.append(message)
    return messages


def encode_absorbed_slot(namespace: str, absorbed: Absorbed) -> pb.AbsorbedSlot:
    """One slot that another absorbed."""
    return pb.AbsorbedSlot(
        slot=encode_slot(SlotView(namespace, absorbed.slot, absorbed.access)),
        match=_MATCH_NUMBERS[absorbed.match],
        similarity=absorbed.similarity,
        job_id=absorbed.job_id,
        absorbed_at=encode_time(absorbed.absorbed_at),
    )


def encode_pair(view: PairView) -> pb.DuplicatePair:
    """Two slots that a job merged, or would merge."""
    pair = view.pair
    return pb.DuplicatePair(
        survivor=None if view.survivor is None else encode_slot(view.survivor),
        duplicate=None if view.duplicate is None else encode_slot(view.duplicate),
        survivor_id=pair.survivor_id,
        duplicate_id=pair.duplicate_id,
        match=_MATCH_NUMBERS[pair.match],
        similarity=pair.similarity,
    )


def decode_deduplication(message: DeduplicateNamespaceRequest) -> JsonObject:
    """The parameters of a job "deduplicate", those that are set.

    Raises:
        InvalidArgumentError: The first value found that is wrong.
    """
    params: JsonObject = {"dry_run": message.dry_run, "exact_only": message.exact_only}
    if message.HasField("threshold"):
        params["threshold"] = check_share(message.threshold, "threshold")
    if message.scope:
        params["scope"] = list(map(str, decode_scope(message.scope, "scope")))
    return params
