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


@given(st.tuples(u32, u32, u64), st.tuples(u32, u32, u64))
def test_pairs_of_a_row_stand_together(left: tuple[int, int, int], right: tuple[int, int, int]) -> None:
    assert (keys.pair_row_key(*left) < keys.pair_row_key(*right)) == (left < right)
    assert keys.pair_row_key(*left).startswith(keys.row_key(*left[:2]))
    assert keys.pair_row_of(keys.pair_row_key(*left)) == left[1:]


@given(st.tuples(u32, u64), st.tuples(u32, u64))
def test_pair_keys_sort_by_number(left: tuple[int, int], right: tuple[int, int]) -> None:
    assert (keys.pair_key(*left) < keys.pair_key(*right)) == (left < right)
    assert keys.pair_of(keys.pair_key(*left)) == left[1]


@given(st.tuples(u32, u32), st.tuples(u32, u32))
def test_adapter_keys_sort_by_version(left: tuple[int, int], right: tuple[int, int]) -> None:
    assert (keys.adapter_key(*left) < keys.adapter_key(*right)) == (left < right)
    assert keys.version_of(keys.adapter_key(*left)) == left[1]


@given(u64, u32, st.text(min_size=1))
def test_request_ages_name_their_request(time: int, number: int, request_id: str) -> None:
    key = keys.request_key(number, request_id)
    assert keys.request_age_of(keys.request_age_key(time, key)) == (time, key)
