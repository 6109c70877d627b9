"""Newer facts take over from older ones on their cue, come back when the newer goes, and are found as of their time."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from adamem_server.errors import DataCorruptError, SlotNotFoundError
from adamem_server.memory import as_of
from adamem_server.store.history import read_history, read_versions
from adamem_server.store.keys import row_key
from adamem_server.store.version_types import Trace
from adamem_server.types import (
    Condition,
    NamespaceSpec,
    Operator,
    Query,
    QueryMode,
    Scope,
    SlotInput,
    SlotKind,
    SlotView,
)
from tests.patience import wait_until
from tests.unit.memory.engines import Lab
from tests.unit.memory.support import NOW

DAY = 86_400_000_000
ANN = Scope(user_id="ann")
CITY = "Where does Ann live?"


@pytest.fixture
def lab(tmp_path: Path) -> Iterator[Lab]:
    lab = Lab(tmp_path)
    lab.engine.create_namespace(NamespaceSpec(name="ann", supersede=True))
    yield lab
    lab.close()


def tell(lab: Lab, content: str, day: int, cue: str = CITY, scope: Scope = ANN, **fields: object) -> str:
    (slot_id,) = lab.put("ann", content, cue=cue, scope=scope, created_at=NOW - 100 * DAY + day * DAY, **fields)
    return slot_id


def found(lab: Lab, day: float | None = None, mode: QueryMode = QueryMode.HYBRID, **fields: object) -> list[str]:
    at = 0 if day is None else NOW - 100 * DAY + int(day * DAY)
    return lab.query("ann", text="Ann lives in which city", mode=mode, as_of=at, **fields)


def get(lab: Lab, slot_id: str) -> SlotView:
    return lab.engine.get_slot("ann", slot_id)


def check_counts(lab: Lab) -> None:
    """The head and the history count what is stored, and a shard opened anew finds the same."""
    info = lab.engine.get_namespace("ann")
    with lab.store.read() as view:
        number = info.namespace.number
        slots = list(view.slots(number))
        assert info.n_slots == len(slots)
        tables = ("slots", "vectors", "cue_vectors")
        assert info.n_bytes == sum(
            len(view.get(table, row_key(number, row)) or b"") for table in tables for row, _ in slots
        )
        history = read_history(view, number)
        prefix = number.to_bytes(4, "big")
        assert history.n_versions == len(list(view.scan("versions", prefix, prefix)))
        assert history.n_versions == len(list(view.scan("version_times", prefix, prefix)))
        assert history.n_versions == len(list(view.scan("version_vectors", prefix, prefix)))
        assert history.n_superseded == len(list(view.scan("superseded", prefix, prefix)))
        assert view.head(number).n_cues == len(list(view.scan("cue_vectors", prefix, prefix)))
    before = sorted(found(lab))
    lab.restart()
    assert sorted(found(lab)) == before


def test_a_newer_fact_supersedes_the_older_one_on_its_cue(lab: Lab) -> None:
    riga = tell(lab, "Ann lives in Riga", 1)
    oslo = tell(lab, "Ann lives in Oslo", 11, cue="  where does ANN live ")
    assert lab.contents("ann") == ["Ann lives in Oslo"]
    assert found(lab) == found(lab, mode=QueryMode.DENSE) == found(lab, mode=QueryMode.LEXICAL) == ["Ann lives in Oslo"]
    validity = get(lab, riga).validity
    assert validity is not None
    assert (validity.start, validity.end) == (NOW - 99 * DAY, NOW - 89 * DAY)
    assert validity.superseded_by == oslo
    assert get(lab, oslo).validity is None
    check_counts(lab)


@pytest.mark.parametrize(
    "other",
    [
        {"cue": "Where does Ann work?"},
        {"scope": Scope(user_id="bob")},
        {"scope": Scope(user_id="ann", agent_id="butler")},
        {"kind": SlotKind.MESSAGE},
        {"cue": ""},
    ],
)
def test_other_facts_stay(lab: Lab, other: dict[str, object]) -> None:
    tell(lab, "Ann lives in Riga", 1)
    tell(lab, "Ann lives in Oslo", 2, **other)  # type: ignore[arg-type]
    assert len(lab.contents("ann")) == 2


def test_nothing_is_superseded_unless_the_namespace_says_so(lab: Lab) -> None:
    for city in ("Riga", "Oslo"):
        lab.put("plain", f"Ann lives in {city}", cue=CITY)
    assert len(lab.contents("plain")) == 2
    # Turned on later, it knows the facts that were there.
    lab.engine.update_namespace("plain", description=None, ef_search=None, supersede=True)
    lab.now += DAY
    lab.put("plain", "Ann lives in Rome", cue=CITY)
    assert lab.contents("plain") == ["Ann lives in Rome"]
    lab.engine.update_namespace("plain", description=None, ef_search=None, supersede=False)
    lab.put("plain", "Ann lives in Bonn", cue=CITY)
    assert len(lab.contents("plain")) == 2


def test_order_is_that_of_the_facts_and_not_of_their_arrival(lab: Lab) -> None:
    oslo = tell(lab, "Ann lives in Oslo", 20)
    riga = tell(lab, "Ann lives in Riga", 1)
    assert lab.contents("ann") == ["Ann lives in Oslo"]
    rome = tell(lab, "Ann lives in Rome", 10)
    assert lab.contents("ann") == ["Ann lives in Oslo"]
    validities = [get(lab, slot_id).validity for slot_id in (riga, rome)]
    assert [validity and validity.superseded_by for validity in validities] == [rome, oslo]
    assert found(lab, 5) == ["Ann lives in Riga"]
    assert found(lab, 15) == ["Ann lives in Rome"]
    check_counts(lab)


def test_in_one_batch_the_last_one_stays(lab: Lab) -> None:
    lab.put("ann", *(f"Ann lives in {city}" for city in ("Riga", "Oslo", "Rome")), cue=CITY, scope=ANN)
    assert lab.contents("ann") == ["Ann lives in Rome"]
    check_counts(lab)
    assert lab.query("ann", text="Oslo Riga", mode=QueryMode.LEXICAL) == []


def test_deleting_the_newer_brings_back_the_older(lab: Lab) -> None:
    riga = tell(lab, "Ann lives in Riga", 1)
    rome = tell(lab, "Ann lives in Rome", 5)
    oslo = tell(lab, "Ann lives in Oslo", 11)
    lab.engine.delete_slots("ann", slot_ids=[oslo])
    assert found(lab) == ["Ann lives in Rome"]
    assert get(lab, rome).validity is None
    # A superseded one is deleted from the middle: what it had superseded is so by the next.
    tell(lab, "Ann lives in Bonn", 12)
    assert lab.engine.delete_slots("ann", slot_ids=[rome]).n_deleted == 1
    with pytest.raises(SlotNotFoundError):
        get(lab, rome)
    validity = get(lab, riga).validity
    assert validity is not None
    assert validity.end == NOW - 88 * DAY
    check_counts(lab)


def test_a_deletion_by_filter_takes_the_superseded_too(lab: Lab) -> None:
    riga = tell(lab, "Ann lives in Riga", 1)
    tell(lab, "Ann lives in Oslo", 2)
    tell(lab, "Bob lives in Oslo", 2, scope=Scope(user_id="bob"))
    result = lab.engine.delete_slots("ann", filter=Condition("user_id", Operator.EQ, "ann"))
    assert result.n_deleted == 2
    assert lab.contents("ann") == ["Bob lives in Oslo"]
    with pytest.raises(SlotNotFoundError):
        get(lab, riga)
    check_counts(lab)


def test_when_the_newer_expires_the_older_is_back(lab: Lab) -> None:
    tell(lab, "Ann lives in Riga", 1)
    tell(lab, "Ann lives in a hotel", 2, expires_at=NOW + DAY)
    assert found(lab) == ["Ann lives in a hotel"]
    lab.now += 2 * DAY
    # The sweep that removes the newer brings it back.
    wait_until(lambda: found(lab) == ["Ann lives in Riga"])
    check_counts(lab)


def records(lab: Lab) -> bytes:
    """All that is stored of slots, present and former."""
    prefix = lab.engine.get_namespace("ann").namespace.number.to_bytes(4, "big")
    with lab.store.read() as view:
        tables = ("slots", "versions", "former_expiries")
        return b"".join(value or key for table in tables for key, value in view.scan(table, prefix, prefix))


def test_what_is_gone_and_kept_goes_when_it_expires(lab: Lab) -> None:
    """A superseded fact, a slot deleted with its history kept, and one that a snapshot holds; not what came anew."""
    tell(lab, "Ann lives in Riga", 1, expires_at=NOW + DAY)
    tell(lab, "Ann lives in Oslo", 2)
    kept, anew, held = lab.put("ann", "the cat", "the bird", "the dog", expires_at=NOW + DAY)
    lab.engine.delete_slots("ann", slot_ids=[kept, anew], trace=Trace.HISTORY)
    lab.put("ann", "the fish", id=anew)
    number = lab.engine.get_namespace("ann").namespace.number
    lab.store.write(lambda batch: batch.trail(number).set_pins(((batch.head(number).sequence, 100),)))
    lab.engine.delete_slots("ann", slot_ids=[held])
    texts = (b"Riga", b"Oslo", b"cat", b"bird", b"fish", b"dog")
    assert [text in records(lab) for text in texts] == [True] * 6
    lab.now += 2 * DAY
    wait_until(lambda: b"dog" not in records(lab) and b"Riga" not in records(lab))
    wait_until(lambda: [text in records(lab) for text in texts] == [False, True, False, True, True, False])
    with lab.store.read() as view:
        assert not list(view.scan("former_expiries", b"", b""))
    assert sorted(lab.contents("ann")) == ["Ann lives in Oslo", "the fish"]
    check_counts(lab)


def test_a_chain_of_facts_holds_when_one_in_its_middle_expires(lab: Lab) -> None:
    tell(lab, "Ann lives in Riga", 1)
    tell(lab, "Ann lives in a hotel", 2, expires_at=NOW + DAY)
    oslo = tell(lab, "Ann lives in Oslo", 3)
    lab.now += 2 * DAY
    wait_until(lambda: b"hotel" not in records(lab))
    lab.engine.delete_slots("ann", slot_ids=[oslo])
    assert found(lab) == ["Ann lives in Riga"]
    check_counts(lab)


def test_a_fact_that_expired_is_in_no_answer_about_its_time(lab: Lab) -> None:
    tell(lab, "Ann lives in Riga", 1, expires_at=NOW + DAY)
    tell(lab, "Ann lives in Oslo", 5)
    for mode in QueryMode:
        assert found(lab, 3, mode=mode) == ["Ann lives in Riga"]
    lab.now += 2 * DAY
    for mode in QueryMode:
        assert found(lab, 3, mode=mode) == []
        assert found(lab, mode=mode) == ["Ann lives in Oslo"]


def test_the_id_of_a_superseded_slot_can_be_written_again(lab: Lab) -> None:
    riga = tell(lab, "Ann lives in Riga", 1)
    oslo = tell(lab, "Ann lives in Oslo", 2)
    tell(lab, "Ann lives in Riga again", 3, id=riga)
    assert lab.contents("ann") == ["Ann lives in Riga again"]
    lab.engine.delete_slots("ann", slot_ids=[riga])
    assert lab.contents("ann") == ["Ann lives in Oslo"]
    assert get(lab, oslo).validity is None
    check_counts(lab)


@pytest.mark.parametrize("mode", QueryMode)
def test_as_of_answers_from_what_was_valid_then(lab: Lab, mode: QueryMode) -> None:
    tell(lab, "Ann lives in Riga", 1)
    tell(lab, "Ann lives in Oslo", 11)
    tell(lab, "Ann lives with a cat in this city", 6, cue="")
    assert found(lab, 0.5, mode) == []
    assert found(lab, 5, mode) == ["Ann lives in Riga"]
    assert sorted(found(lab, 7, mode)) == ["Ann lives in Riga", "Ann lives with a cat in this city"]
    assert sorted(found(lab, 12, mode)) == ["Ann lives in Oslo", "Ann lives with a cat in this city"]
    bob = Condition("user_id", Operator.EQ, "bob")
    assert found(lab, 7, mode, filter=bob) == []


@pytest.mark.parametrize("mode", QueryMode)
def test_as_of_sees_slots_as_they_were_before_an_update(lab: Lab, mode: QueryMode) -> None:
    (slot_id,) = lab.put("ann", "Ann lives in Riga", created_at=NOW - 5 * DAY)
    lab.now += DAY
    lab.put("ann", "Ann lives in Oslo", id=slot_id)
    lab.now += DAY

    def at(time: int) -> list[str]:
        return lab.query("ann", text="Ann lives in", mode=mode, as_of=time)

    assert at(NOW) == ["Ann lives in Riga"]
    assert at(NOW + DAY) == ["Ann lives in Oslo"]
    assert at(NOW - 6 * DAY) == []
    hits = lab.engine.query(Query(namespaces=("ann",), top_k=1, text="Ann", mode=mode, as_of=NOW)).hits
    assert hits[0].view.validity is not None
    assert hits[0].view.validity.end == NOW + DAY


def test_words_of_former_facts_weigh_as_those_of_present_ones(lab: Lab) -> None:
    tell(lab, "Ann lives in Riga", 1)
    tell(lab, "Ann lives in Oslo", 11)
    lab.put("ann", *(f"Ann wrote letter {i}" for i in range(50)), created_at=NOW - 100 * DAY)
    query = Query(namespaces=("ann",), top_k=3, text="Riga Ann", mode=QueryMode.LEXICAL, as_of=NOW - 95 * DAY)
    hits = lab.engine.query(query).hits
    assert hits[0].view.slot.content == "Ann lives in Riga"
    assert hits[0].score > 3 * hits[1].score


def test_more_former_versions_than_are_looked_at_are_told(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(as_of, "MAX_FORMER", 1)
    for day in (1, 2, 3):
        tell(lab, f"Ann lives in house {day}", day, cue=f"{day}?")
        tell(lab, f"Ann lives in flat {day}", day + 10, cue=f"{day}?")
    for mode in QueryMode:
        query = Query(namespaces=("ann",), top_k=9, text="Ann lives in", mode=mode, as_of=NOW - 95 * DAY)
        result = lab.engine.query(query)
        assert "former" in result.skipped
        assert [hit.view.slot.content for hit in result.hits] == ["Ann lives in house 3"]


def test_history_is_bounded_and_can_be_turned_off(lab: Lab) -> None:
    lab.engine.update_namespace("ann", description=None, ef_search=None, history_versions=2)
    (slot_id,) = lab.put("ann", "0")
    number = lab.engine.get_namespace("ann").namespace.number

    def kept() -> list[tuple[int, str]]:
        with lab.store.read() as view:
            return [(version.number, version.slot.content) for version in read_versions(view, number, slot_id)]

    for i in range(1, 5):
        lab.now += DAY
        lab.put("ann", str(i), id=slot_id)
    assert kept() == [(3, "2"), (4, "3")]
    # The same again is no other version.
    lab.put("ann", "4", id=slot_id)
    assert kept() == [(3, "2"), (4, "3")]
    lab.engine.update_namespace("ann", description=None, ef_search=None, history_versions=0)
    lab.put("ann", "5", id=slot_id)
    assert kept() == [(3, "2"), (4, "3")]
    check_counts(lab)


@pytest.mark.parametrize("keep", [False, True])
def test_a_deletion_takes_the_history_unless_it_is_kept(lab: Lab, keep: bool) -> None:
    (slot_id,) = lab.put("ann", "first")
    lab.put("ann", "second", id=slot_id)
    lab.engine.delete_slots("ann", slot_ids=[slot_id], trace=Trace.HISTORY if keep else Trace.NOTHING)
    number = lab.engine.get_namespace("ann").namespace.number
    with lab.store.read() as view:
        versions = list(read_versions(view, number, slot_id))
    assert [version.slot.content for version in versions] == (["first", "second"] if keep else [])
    with pytest.raises(SlotNotFoundError):
        get(lab, slot_id)
    # What is erased by hand is counted.
    erased = lab.store.write(lambda batch: batch.trail(number).erase(slot_id, also_held=True))
    assert erased == len(versions)
    check_counts(lab)


@pytest.mark.parametrize("history_versions", [0, 1])
def test_a_superseded_fact_is_kept_as_far_as_the_namespace_keeps_a_history(lab: Lab, history_versions: int) -> None:
    lab.engine.update_namespace("ann", description=None, ef_search=None, history_versions=history_versions)
    riga = tell(lab, "Ann lives in Riga", 1)
    lab.put("ann", "Ann lives in Riga, Latvia", id=riga, cue=CITY, scope=ANN, created_at=NOW - 99 * DAY)
    oslo = tell(lab, "Ann lives in Oslo", 2)
    assert lab.engine.delete_slots("ann", slot_ids=[riga], trace=Trace.HISTORY).n_deleted == 1
    number = lab.engine.get_namespace("ann").namespace.number
    with lab.store.read() as view:
        kept = [version.slot.content for version in read_versions(view, number, riga)]
    assert kept == ["Ann lives in Riga, Latvia"][:history_versions]
    lab.engine.delete_slots("ann", slot_ids=[oslo])
    assert lab.contents("ann") == []
    check_counts(lab)


def test_a_second_deletion_takes_the_history_that_the_first_one_kept(lab: Lab) -> None:
    (slot_id,) = lab.put("ann", "first")
    lab.engine.delete_slots("ann", slot_ids=[slot_id], trace=Trace.HISTORY)
    assert lab.engine.delete_slots("ann", slot_ids=[slot_id], trace=Trace.HISTORY).n_not_found == 1
    assert lab.engine.get_namespace("ann").n_versions == 1
    result = lab.engine.delete_slots("ann", slot_ids=[slot_id])
    assert (result.n_deleted, result.n_not_found) == (1, 0)
    assert lab.engine.get_namespace("ann").n_versions == 0
    assert lab.engine.delete_slots("ann", slot_ids=[slot_id]).n_not_found == 1


def test_an_erasure_by_filter_finds_what_is_gone(lab: Lab) -> None:
    """Deleted with its history kept, held by a snapshot alone, superseded: nothing at all stays of Ann."""
    tell(lab, "Ann lives in Riga", 1)
    tell(lab, "Ann lives in Oslo", 2)
    kept = tell(lab, "Ann has a cat", 3, cue="")
    held = tell(lab, "Ann has a dog", 4, cue="")
    bob = tell(lab, "Bob has a dog", 4, cue="", scope=Scope(user_id="bob"))
    number = lab.engine.get_namespace("ann").namespace.number
    lab.store.write(lambda batch: batch.trail(number).set_pins(((batch.head(number).sequence, 100),)))
    lab.engine.delete_slots("ann", slot_ids=[kept, bob], trace=Trace.HISTORY)
    lab.engine.delete_slots("ann", slot_ids=[held])
    condition = Condition("user_id", Operator.EQ, "ann")
    result = lab.engine.delete_slots("ann", filter=condition, trace=Trace.NOTHING_AT_ALL)
    assert result.n_deleted == 4
    prefix = number.to_bytes(4, "big")
    with lab.store.read() as view:
        left = [value for table in ("slots", "versions") for _, value in view.scan(table, prefix, prefix)]
    assert len(left) == 1
    assert b"Bob" in left[0]
    check_counts(lab)


def test_a_damaged_history_refuses_the_whole_update(lab: Lab) -> None:
    (slot_id,) = lab.put("ann", "first")
    lab.put("ann", "second", id=slot_id)
    number = lab.engine.get_namespace("ann").namespace.number
    prefix = number.to_bytes(4, "big")
    with lab.store.read() as view:
        key, value = next(view.scan("versions", prefix, prefix))
    lab.store.write(lambda batch: batch.put("versions", key, value[:5]))
    items = [SlotInput(content="other"), SlotInput(content="third", id=slot_id)]
    with lab.store.held() as gate:
        # Both wait for one transaction, in which the sound one is stored nevertheless.
        futures = [
            lab.engine.submit_update("ann", items),
            lab.engine.submit_update("ann", [SlotInput(content="sound")]),
        ]
        for future in futures:
            future.write()
        gate.wait_reached()
    with pytest.raises(DataCorruptError):
        futures[0].result()
    futures[1].result()
    assert sorted(lab.contents("ann")) == ["second", "sound"]
