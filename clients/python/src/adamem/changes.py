"""A stored slot as the arguments of `update`, for changing some of its fields and keeping the others."""

from math import inf
from typing import Any, Final

from adamem.types import Slot

_KEPT: Final = (
    "id",
    "content",
    "cue",
    "kind",
    "user_id",
    "agent_id",
    "conversation_id",
    "role",
    "tags",
    "metadata",
    "importance",
    "created_at",
    "language",
    "pinned",
)


def changed_fields(slot: Slot, **changes: Any) -> dict[str, Any]:
    """The arguments of `Client.update` that store `slot` again with `changes`.

        memory.update(**changed_fields(memory.get_slot(slot_id, include_vector=True), tags=["work"]))

    What an update replaces as a whole stays as it was: also when the slot expires or that it never does, and a vector
    that a client supplied, as long as the content stays and the slot was read with it. Only the time to live that it
    was given, by which `touch_slots` renews it, is not kept: an update takes either that or a time of expiry.

    Args:
        slot: As it was read.
        changes: Arguments of `Client.update` that differ.
    """
    fields: dict[str, Any] = {name: getattr(slot, name) for name in _KEPT}
    if slot.vector_supplied and slot.vector is not None and changes.get("content", slot.content) == slot.content:
        fields["vector"] = slot.vector
    if "expires_at" not in changes and "ttl_s" not in changes:
        # Without either it would get the namespace's default.
        fields |= {"ttl_s": inf} if slot.expires_at is None else {"expires_at": slot.expires_at}
    return fields | changes
