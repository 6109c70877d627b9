"""What a namespace keeps found, and which slots are meant, to and from messages."""

from typing import Final

from adamem.v1 import archive_pb2 as pb
from adamem_server.archive_types import ArchivedSlots, ArchivePolicy, ArchivePolicyChange
from adamem_server.rpc.checks import check_enum, check_range, check_share
from adamem_server.rpc.ranges import MAX_KEPT
from adamem_server.rpc.slots import decode_span, encode_span

ARCHIVED: Final = {
    pb.ARCHIVED_SLOTS_UNSPECIFIED: ArchivedSlots.EXCLUDE,
    pb.ARCHIVED_SLOTS_EXCLUDE: ArchivedSlots.EXCLUDE,
    pb.ARCHIVED_SLOTS_INCLUDE: ArchivedSlots.INCLUDE,
    pb.ARCHIVED_SLOTS_ONLY: ArchivedSlots.ONLY,
}


def decode_archived(value: pb.ArchivedSlots, field: str) -> ArchivedSlots:
    """Which slots are meant.

    Raises:
        InvalidArgumentError: The value is unknown.
    """
    return check_enum(value, field, ARCHIVED)


def decode_archive_policy(message: pb.ArchivePolicy, field: str) -> ArchivePolicyChange:
    """What to change of a policy, checked; `field` is its path in the request.

    Raises:
        InvalidArgumentError: The first value found that is wrong.
    """
    n_slots, n_bytes = message.max_slots, message.max_bytes
    return ArchivePolicyChange(
        max_slots=check_range(n_slots, f"{field}.max_slots", 0, MAX_KEPT) if message.HasField("max_slots") else None,
        max_bytes=check_range(n_bytes, f"{field}.max_bytes", 0, MAX_KEPT) if message.HasField("max_bytes") else None,
        min_importance=(
            check_share(message.min_importance, f"{field}.min_importance")
            if message.HasField("min_importance")
            else None
        ),
        half_life=decode_span(message.half_life, f"{field}.half_life") if message.HasField("half_life") else None,
    )


def encode_archive_policy(policy: ArchivePolicy) -> pb.ArchivePolicy:
    """A policy as it is described."""
    return pb.ArchivePolicy(
        max_slots=policy.max_slots,
        max_bytes=policy.max_bytes,
        min_importance=policy.min_importance,
        half_life=encode_span(policy.half_life),
    )
