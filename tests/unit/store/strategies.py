"""Hypothesis strategies for stored values."""

from hypothesis import strategies as st
from ulid import ULID

from adamem_server.types import Scope, Slot, SlotKind

json_values = st.recursive(
    st.none() | st.booleans() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=6,
)
times = st.integers(1, 2**52)
slot_ids = st.binary(min_size=16, max_size=16).map(lambda data: str(ULID.from_bytes(data)))


def slots(metadata: st.SearchStrategy[object] | None = None) -> st.SearchStrategy[Slot]:
    """Any slot that can be stored."""
    names = st.sampled_from(["", "anna", "боб", "x"])
    return st.builds(
        Slot,
        id=slot_ids,
        content=st.text(min_size=1, max_size=20),
        cue=st.text(max_size=5),
        kind=st.sampled_from(SlotKind),
        scope=st.builds(Scope, names, names, names),
        role=names,
        tags=st.lists(st.sampled_from(["a", "b", "теги"]), unique=True).map(tuple),
        metadata=st.dictionaries(st.text(max_size=5), json_values, max_size=3) if metadata is None else metadata,
        importance=st.floats(0, 1, width=32),
        created_at=times,
        updated_at=times,
        expires_at=st.just(0) | times,
        vector_supplied=st.booleans(),
        sources=st.lists(slot_ids, unique=True, max_size=3).map(tuple),
        archived_at=st.just(0) | times,
        pinned=st.booleans(),
    )
