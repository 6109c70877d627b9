"""`changed_fields`: what an update has to be given so that the rest of a slot stays."""

from array import array
from datetime import UTC, datetime
from math import inf

from adamem import Slot, SlotInput, SlotKind
from adamem.changes import changed_fields

TIME = datetime(2026, 1, 31, tzinfo=UTC)
SLOT = Slot(
    id="01KA0000000000000000000000",
    namespace="n",
    content="old",
    cue="what?",
    kind=SlotKind.PREFERENCE,
    user_id="u",
    agent_id="a",
    conversation_id="c",
    role="user",
    tags=("t",),
    metadata={"k": 1},
    importance=0.7,
    created_at=TIME,
    updated_at=TIME,
    expires_at=None,
    access_count=3,
    accessed_at=TIME,
    vector_supplied=True,
    vector=array("f", [1.0, 2.0]),
    language="en",
)


def test_all_that_an_update_takes_is_kept() -> None:
    fields = changed_fields(SLOT)
    assert fields.pop("ttl_s") == inf
    assert fields == {name: getattr(SLOT, name) for name in fields}
    # What is missing is the time to live, which is given where the slot does not expire, and when it does.
    assert set(SlotInput.__dataclass_fields__) - fields.keys() == {"ttl_s", "expires_at"}


def test_a_vector_stays_with_its_content_alone() -> None:
    assert changed_fields(SLOT, tags=["x"])["vector"] is SLOT.vector
    assert "vector" not in changed_fields(SLOT, content="new")
    assert "vector" in changed_fields(SLOT, content="old")


def test_changes_win() -> None:
    fields = changed_fields(SLOT, content="new", ttl_s=60, importance=None)
    assert (fields["content"], fields["ttl_s"], fields["importance"]) == ("new", 60, None)
    assert "expires_at" not in fields
