"""The key layout: sorts as its numbers do, and is read back as it was written."""

from hypothesis import given
from hypothesis import strategies as st

from adamem_server.store import keys

u32 = st.integers(0, 2**32 - 1)
u64 = st.integers(0, 2**63 - 1)


@given(st.tuples(u32, u32), st.tuples(u32, u32))
def test_row_keys_sort_by_namespace_then_row(left: tuple[int, int], right: tuple[int, int]) -> None:
    assert (keys.row_key(*left) < keys.row_key(*right)) == (left < right)
    assert keys.row_of(keys.row_key(*left)) == left[1]


@given(u32, u64, u64)
def test_journal_keys_sort_by_sequence(number: int, left: int, right: int) -> None:
    assert (keys.journal_key(number, left) < keys.journal_key(number, right)) == (left < right)
    assert keys.sequence_of(keys.journal_key(number, left)) == left


@given(u32, u64, u32)
def test_expiry_keys_are_read_back(number: int, expires_at: int, row: int) -> None:
    key = keys.expiry_key(number, expires_at, row)
    assert key.startswith(keys.number_key(number))
    assert keys.expiry_of(key) == (expires_at, row)


@given(u64, u32, st.text(min_size=1))
def test_request_ages_name_their_request(time: int, number: int, request_id: str) -> None:
    key = keys.request_key(number, request_id)
    assert keys.request_age_of(keys.request_age_key(time, key)) == (time, key)
