"""Filters: the columns give what the definition gives, through every change."""

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from adamem_server.memory.columns import FilterColumns, SlotChange
from adamem_server.memory.filters import matches
from adamem_server.types import AllOf, AnyOf, Condition, Filter, Not, Operator, Slot
from tests.patience import PATIENCE_S
from tests.unit.store.strategies import slots

scalars = st.none() | st.booleans() | st.sampled_from([0.0, 1.0, 2.5, "a", "b", ""])
metadata = st.dictionaries(
    st.sampled_from(["k", "n"]),
    scalars | st.lists(scalars, max_size=2) | st.fixed_dictionaries({"m": scalars}),
    max_size=2,
)
some_slots = slots(metadata)


def conditions(known: list[Slot]) -> st.SearchStrategy[Condition]:
    """Conditions whose values have a fair chance to occur."""
    equality = st.sampled_from([Operator.EQ, Operator.NE])
    order = st.sampled_from([Operator.LT, Operator.LE, Operator.GT, Operator.GE])
    paths = st.sampled_from(["metadata.k", "metadata.n", "metadata.k.m", "metadata.absent"])
    times = st.sampled_from([1000, 2000] + [slot.created_at for slot in known])
    return st.one_of(
        st.builds(Condition, paths, equality, scalars),
        st.builds(Condition, paths, order, st.sampled_from([1.0, 2.0, "a"])),
        st.builds(Condition, paths, st.just(Operator.IN), st.lists(scalars, min_size=1, max_size=3).map(tuple)),
        st.builds(
            Condition,
            paths | st.sampled_from(["user_id", "tags", "expires_at", "role", "id"]),
            st.just(Operator.EXISTS),
            st.booleans(),
        ),
        st.builds(
            Condition, st.sampled_from(["user_id", "agent_id", "role"]), equality, st.sampled_from(["anna", "боб"])
        ),
        st.builds(Condition, st.just("tags"), equality, st.sampled_from(["a", "теги"])),
        st.builds(Condition, st.just("kind"), equality, st.sampled_from(["fact", "message"])),
        st.builds(Condition, st.just("importance"), order | equality, st.sampled_from([0.0, 0.5, 1.0])),
        st.builds(Condition, st.sampled_from(["created_at", "updated_at", "expires_at"]), order | equality, times),
        st.builds(Condition, st.just("id"), equality, st.sampled_from([slot.id for slot in known] or ["0" * 26])),
    )


def filters(known: list[Slot]) -> st.SearchStrategy[Filter]:
    return st.recursive(
        conditions(known),
        lambda inner: st.one_of(
            st.builds(AllOf, st.lists(inner, min_size=1, max_size=3).map(tuple)),
            st.builds(AnyOf, st.lists(inner, min_size=1, max_size=3).map(tuple)),
            st.builds(Not, inner),
        ),
        max_leaves=4,
    )


def of_row(row: int, slot: Slot) -> Slot:
    """The slot under an id that no other row has, as in the store."""
    return replace(slot, id=f"{row:026}")


class Table:
    """Slots by row, as the store would give them."""

    def __init__(self) -> None:
        self.slots: dict[int, Slot] = {}
        self.during_scan: list[tuple[int, Slot | None]] = []
        self.columns = FilterColumns(self.scan, self.row_of)

    def fill(self, slots: list[Slot]) -> None:
        for row, slot in enumerate(slots, 1):
            self.slots[row] = of_row(row, slot)

    def scan(self) -> list[tuple[int, Slot]]:
        found = list(self.slots.items())
        for row, slot in self.during_scan:
            self.change(row, slot)
        self.during_scan = []
        return found

    def row_of(self, slot_id: str) -> int | None:
        return next((row for row, slot in self.slots.items() if slot.id == slot_id), None)

    def change(self, row: int, slot: Slot | None) -> None:
        before = self.slots.pop(row, None)
        if slot is not None:
            slot = self.slots[row] = of_row(row, slot)
        if before is not None or slot is not None:
            self.columns.apply([SlotChange(row, before, slot)])

    def check(self, condition: Filter) -> None:
        passing = {row for row, slot in self.slots.items() if matches(condition, slot)}
        assert set(self.columns.rows(condition)) == passing


@given(st.data())
def test_columns_agree_with_the_definition_through_changes(data: st.DataObject) -> None:
    table = Table()
    table.fill(data.draw(st.lists(some_slots, max_size=8), "slots"))
    for _ in range(3):
        known = list(table.slots.values())
        table.check(data.draw(filters(known), "filter"))
        changes = st.lists(st.tuples(st.integers(1, 9), st.none() | some_slots), max_size=3)
        for row, after in data.draw(changes, "changes"):
            table.change(row, after)


@given(st.data())
def test_changes_during_the_first_scan_are_not_lost(data: st.DataObject) -> None:
    table = Table()
    table.fill(data.draw(st.lists(some_slots, min_size=1, max_size=5), "slots"))
    table.during_scan = data.draw(st.lists(st.tuples(st.integers(1, 6), st.none() | some_slots), max_size=4), "during")
    condition = data.draw(filters(list(table.slots.values())), "filter")
    table.columns.rows(condition)
    table.check(condition)


def test_types_are_never_mixed() -> None:
    slot = replace(_slot(), metadata={"flag": True, "one": 1.0, "text": "1"})
    table = Table()
    table.slots[1] = slot
    for field, value, expected in [
        ("metadata.flag", True, True),
        ("metadata.flag", 1.0, False),
        ("metadata.one", 1.0, True),
        ("metadata.one", True, False),
        ("metadata.text", 1.0, False),
        ("metadata.text", "1", True),
    ]:
        condition = Condition(field, Operator.EQ, value)
        assert matches(condition, slot) is expected, condition
        table.check(condition)


def test_range_over_many_rows_is_exact() -> None:
    table = Table()
    rng = np.random.default_rng(0)
    for row in range(1, 2000):
        table.slots[row] = replace(_slot(), importance=float(rng.integers(0, 100)) / 100, created_at=row * 1000)
    table.check(Condition("importance", Operator.GE, 0.5))
    table.check(AllOf((Condition("created_at", Operator.LT, 1_000_000), Condition("importance", Operator.EQ, 0.25))))
    for row in range(1, 2000, 3):
        table.change(row, None)
    for row in range(2, 2000, 3):
        table.change(row, replace(table.slots[row], importance=0.99))
    table.check(Condition("importance", Operator.GE, 0.5))


def _slot() -> Slot:
    from tests.unit.store.test_codec import SLOT

    return SLOT


def test_the_size_of_columns_is_told_while_a_filter_is_evaluated() -> None:
    """Who reads the store while it asks for the size would else wait for who waits for the store."""
    table = Table()
    with ThreadPoolExecutor(1) as pool:

        def row_of(slot_id: str) -> int | None:
            assert pool.submit(table.columns.memory_bytes).result(PATIENCE_S) == 0
            return None

        table.columns = FilterColumns(table.scan, row_of)
        assert not table.columns.rows(Condition("id", Operator.EQ, "none"))
