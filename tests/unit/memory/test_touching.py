"""Renewing slots, and the time to live of a namespace: what expires when, and what a shard and a restart see of it."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from adamem_server.errors import InvalidArgumentError, NamespaceNotFoundError, RequestIdReusedError, SlotNotFoundError
from adamem_server.memory import touching
from adamem_server.memory.touching import NewExpiry
from adamem_server.store.history import read_versions
from adamem_server.types import (
    MAX_TIME_US,
    NO_EXPIRY,
    Condition,
    NamespaceSpec,
    Operator,
    QueryMode,
    SlotInput,
    TouchResult,
)
from tests.patience import wait_until
from tests.unit.memory.engines import Lab, key, stored
from tests.unit.memory.support import NOW, slot_id

RENEW = NewExpiry()
MODES = [QueryMode.DENSE, QueryMode.LEXICAL, QueryMode.HYBRID]


@pytest.fixture
def lab(tmp_path: Path) -> Iterator[Lab]:
    lab = Lab(tmp_path)
    yield lab
    lab.close()


def tagged(tag: str) -> Condition:
    return Condition("tags", Operator.EQ, tag)


def expiry_of(lab: Lab, slot: str) -> tuple[int, int]:
    found = lab.engine.get_slot("anna", slot).slot
    return found.expires_at, found.ttl


def touch(lab: Lab, expiry: NewExpiry, *ids: str, **options: object) -> TouchResult:
    return lab.engine.toucher.touch_slots("anna", expiry, slot_ids=ids, **options)


def test_by_id_to_a_time_a_ttl_and_never(lab: Lab) -> None:
    (first,) = lab.put("anna", "tea", expires_at=NOW + 10, ttl=10)
    assert touch(lab, NewExpiry(expires_at=NOW + 50), first) == TouchResult(1, 0, 0, 2)
    assert expiry_of(lab, first) == (NOW + 50, 0)
    lab.now = NOW + 5
    assert touch(lab, NewExpiry(ttl=30), first, slot_id(1)) == TouchResult(1, 0, 1, 3)
    assert expiry_of(lab, first) == (NOW + 35, 30)
    lab.now = NOW + 30
    assert touch(lab, RENEW, first).n_touched == 1
    assert expiry_of(lab, first) == (NOW + 60, 30)
    assert touch(lab, NewExpiry(expires_at=NO_EXPIRY), first).n_touched == 1
    assert expiry_of(lab, first) == (0, 0)
    # Nothing to renew.
    assert touch(lab, RENEW, first) == TouchResult(0, 1, 0, 5)
    assert lab.engine.get_slot("anna", first).slot.updated_at == NOW


def test_what_has_expired_stays_so(lab: Lab) -> None:
    (gone,) = lab.put("anna", "tea", tags=("x",), expires_at=NOW + 10)
    lab.now = NOW + 10
    assert touch(lab, NewExpiry(ttl=100), gone).n_not_found == 1
    assert touch(lab, NewExpiry(ttl=100), filter=tagged("x")) == TouchResult(0, 0, 0, 1)
    with pytest.raises(SlotNotFoundError):
        lab.engine.get_slot("anna", gone)


def test_what_expires_while_a_renewal_waits_stays_so(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    """A sweep may have taken it out of the indexes meanwhile, to which a renewal tells nothing."""
    first, second = lab.put("anna", "tea", "milk", expires_at=NOW + 10)
    (late,) = lab.put("anna", "jam", expires_at=NOW + 100)
    times = iter([NOW + 9, NOW + 10])
    monkeypatch.setattr(lab.engine.toucher, "_now", lambda: next(times))
    assert touch(lab, NewExpiry(ttl=1000), first, second, late) == TouchResult(1, 0, 2, 3)


def test_what_left_the_indexes_stays_expired_when_the_clock_is_set_back(lab: Lab) -> None:
    (first,) = lab.put("anna", "tea", expires_at=NOW + 10)
    lab.query("anna", text="tea")
    (opened,) = lab.engine.parts.registry.open_shards()
    lab.now = NOW + 20
    opened.expel(opened.expiries.begin_expelling(lab.now), lab.now)
    lab.now = NOW + 5
    # Renewed, it would be there and never be found.
    assert touch(lab, NewExpiry(ttl=30), first) == TouchResult(0, 0, 1, 1)


def test_bad_requests(lab: Lab) -> None:
    (first,) = lab.put("anna", "tea")
    with pytest.raises(InvalidArgumentError, match="expires_at: has passed"):
        touch(lab, NewExpiry(expires_at=NOW), first)
    with pytest.raises(NamespaceNotFoundError):
        lab.engine.toucher.touch_slots("nobody", RENEW, slot_ids=[first])


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("is_open", [True, False])
def test_a_renewed_slot_is_found_as_before_and_gone_when_it_ends(lab: Lab, mode: QueryMode, is_open: bool) -> None:
    (first,) = lab.put("anna", "green tea", cue="what does she drink", tags=("x",), expires_at=NOW + 10)
    lab.put("anna", "black coffee", tags=("x",))
    at_ten = Condition("expires_at", Operator.LE, NOW + 10)
    if is_open:
        lab.query("anna", text="tea", mode=mode)
        assert lab.query("anna", text="tea", mode=mode, filter=at_ten) == ["green tea"]
    touch(lab, NewExpiry(expires_at=NOW + 50), first)
    assert lab.query("anna", text="tea", mode=mode, filter=at_ten) == []
    lab.now = NOW + 40
    assert "green tea" in lab.query("anna", text="tea", mode=mode)
    assert lab.query("anna", text="what does she drink", mode=QueryMode.DENSE, top_k=1) == ["green tea"]
    lab.restart()
    assert lab.query("anna", text="what does she drink", mode=QueryMode.DENSE, top_k=1) == ["green tea"]
    lab.now = NOW + 50
    assert "green tea" not in lab.query("anna", text="tea", mode=mode)
    assert lab.contents("anna") == ["black coffee"]
    wait_until(lambda: lab.engine.get_namespace("anna").n_slots == 1)
    lab.restart()
    assert lab.contents("anna") == ["black coffee"]


def test_by_filter_in_several_transactions(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(touching, "_CHUNK", 3)
    lab.put("anna", *(f"thing {n}" for n in range(7)), tags=("x",), expires_at=NOW + 10)
    lab.put("anna", "other")
    result = touch(lab, NewExpiry(ttl=100), filter=tagged("x"), request=key("r"))
    assert result == TouchResult(7, 0, 0, 5)
    assert touch(lab, NewExpiry(ttl=100), filter=tagged("x"), request=key("r")) == result
    with pytest.raises(RequestIdReusedError):
        touch(lab, NewExpiry(ttl=100), filter=tagged("x"), request=key("r", "other"))
    lab.now = NOW + 99
    assert len(lab.contents("anna")) == 8
    lab.now = NOW + 100
    assert lab.contents("anna") == ["other"]


def test_the_time_to_live_of_a_namespace(lab: Lab) -> None:
    info = lab.engine.create_namespace(NamespaceSpec(name="anna", default_ttl=100))
    assert info.namespace.default_ttl == 100
    plain, own, never = (
        stored(result)
        for result in lab.engine.update(
            "anna",
            [
                SlotInput(content="plain"),
                SlotInput(content="own", expires_at=NOW + 500, ttl=500),
                SlotInput(content="never", expires_at=NO_EXPIRY),
            ],
        ).results
    )
    assert [expiry_of(lab, each) for each in (plain, own, never)] == [(NOW + 100, 0), (NOW + 500, 500), (0, 0)]
    lab.now = NOW + 50
    assert touch(lab, RENEW, plain, own, never) == TouchResult(2, 1, 0, 2)
    assert [expiry_of(lab, each) for each in (plain, own, never)] == [(NOW + 150, 0), (NOW + 550, 500), (0, 0)]
    changed = lab.engine.update_namespace("anna", description=None, ef_search=None, default_ttl=0)
    assert changed.namespace.default_ttl == 0
    assert touch(lab, RENEW, plain).n_unchanged == 1
    assert expiry_of(lab, lab.put("anna", "later")[0]) == (0, 0)
    kept = lab.engine.update_namespace("anna", description="d", ef_search=None)
    assert kept.namespace.default_ttl == 0


def test_a_time_to_live_of_thousands_of_years_ends_with_the_calendar(lab: Lab) -> None:
    (first,) = lab.put("anna", "tea", expires_at=MAX_TIME_US, ttl=MAX_TIME_US - NOW)
    lab.now = NOW + 5
    assert touch(lab, RENEW, first).n_touched == 1
    assert expiry_of(lab, first)[0] == MAX_TIME_US


def test_an_expired_slot_that_is_written_again_is_new(lab: Lab) -> None:
    (first,) = lab.put("anna", "tea", expires_at=NOW + 10)
    lab.now = NOW + 10
    (result,) = lab.engine.update("anna", [SlotInput(id=first, content="coffee")]).results
    assert getattr(result, "created", None)
    found = lab.engine.get_slot("anna", first).slot
    assert (found.content, found.created_at) == ("coffee", NOW + 10)
    assert lab.engine.get_namespace("anna").n_slots == 1


@pytest.mark.parametrize("mode", MODES)
def test_queries_find_what_lives_among_many_that_are_dead(lab: Lab, mode: QueryMode) -> None:
    """Nothing is swept: the disk is full. The dead ones fit best."""
    lab.put("anna", *["rain"] * 300, tags=("x",), expires_at=NOW + 10)
    lab.put("anna", *(f"rain {word}" for word in ("today", "again", "later")), tags=("x",))
    assert lab.query("anna", text="rain", top_k=3, mode=mode) == ["rain"] * 3
    lab.store.full = True
    lab.now = NOW + 10
    for condition in (None, tagged("x")):
        found = lab.query("anna", text="rain", top_k=3, mode=mode, filter=condition)
        assert sorted(found) == ["rain again", "rain later", "rain today"]
    assert lab.engine.get_namespace("anna").n_slots == 303
    lab.store.full = False
    wait_until(lambda: lab.engine.get_namespace("anna").n_slots == 3)
    assert len(lab.query("anna", text="rain", top_k=9, mode=mode)) == 3


def test_a_renewal_is_no_version_of_a_slot(lab: Lab) -> None:
    (first,) = lab.put("anna", "tea", expires_at=NOW + 10, ttl=10)
    assert touch(lab, NewExpiry(ttl=30), first).n_touched == 1
    assert lab.engine.get_namespace("anna").n_versions == 0
    lab.put("anna", "coffee", id=first)
    # What was replaced is kept with the expiry that it had been given by then.
    number = lab.engine.get_namespace("anna").namespace.number
    with lab.store.read() as view:
        assert [each.slot.expires_at for each in read_versions(view, number, first)] == [NOW + 30]
