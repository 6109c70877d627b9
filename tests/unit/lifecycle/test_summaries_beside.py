"""Summaries and what is taught beside histories, erasures, packages and clones: nothing tells what is not so."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from adamem_server.lifecycle.consolidate import Consolidate
from adamem_server.lifecycle.erasure import Erasure
from adamem_server.lifecycle.import_plan import ImportMode
from adamem_server.lifecycle.slot_history import VersionView
from adamem_server.store import keys
from adamem_server.store.history import read_history
from adamem_server.store.summaries import summaries_of
from adamem_server.store.teaching import read_learning, read_pairs
from adamem_server.types import NamespaceSpec, Scope, Slot, SlotInput, SlotKind
from tests.unit.lifecycle.labs import ended, runner
from tests.unit.lifecycle.packs import Packer
from tests.unit.lifecycle.test_snapshots import World, operations
from tests.unit.memory.engines import Lab, stored

SECOND = 1_000_000
MOVE = (
    "Ann: We are moving to Riga in June. It will be great.",
    "Bob: I can lend you my old van then.",
    "Ann: The movers come at nine on the first of June.",
)


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    lab = Lab(tmp_path)
    lifecycle = operations(lab, tmp_path)
    lifecycle.start()
    lab.engine.create_namespace(NamespaceSpec(name="ann"))
    yield World(lab, lifecycle)
    lifecycle.close()
    lab.close()


@pytest.fixture
def packer(tmp_path: Path) -> Iterator[Packer]:
    packer = Packer(tmp_path)
    yield packer
    packer.close()


def say(lab: Lab, *contents: str) -> list[str]:
    """Turns of one session."""
    scope = Scope(conversation_id="c")
    items = [SlotInput(content=content, scope=scope, created_at=lab.now + i) for i, content in enumerate(contents)]
    return [stored(result) for result in lab.engine.update("ann", items).results]


def consolidate(lab: Lab, name: str = "ann") -> Slot:
    """The one summary that there is then."""
    with runner(lab, Consolidate(lab.engine.parts, None, 65_536)) as jobs:
        ended(jobs, jobs.submit("consolidate", namespace=name))
    (summary,) = summaries(lab, name)
    return summary


def summaries(lab: Lab, name: str = "ann") -> list[Slot]:
    return [view.slot for view in lab.slots(name) if view.slot.sources]


def change(lab: Lab, summary: Slot) -> None:
    lab.now += SECOND
    lab.engine.update("ann", [SlotInput(id=summary.id, content="My own words", kind=SlotKind.SUMMARY)])


def test_what_a_summary_said_before_a_client_changed_it_is_erased_with_its_sources(world: World) -> None:
    lab = world.lab
    ids = say(lab, *MOVE)
    summary = consolidate(lab)
    world.lifecycle.snapshots.create("ann", "then")
    change(lab, summary)
    assert [each.version.slot.content for each in versions(world, summary.id)] == [summary.content, "My own words"]
    erasure = Erasure(lab.engine)
    erasure.start()
    try:
        erasure.delete_slots("ann", slot_ids=ids[:1], erase=True)
    finally:
        erasure.close()
    assert [each.version.slot.content for each in versions(world, summary.id)] == ["My own words"]
    data = b"".join(path.read_bytes() for path in lab.store.path.rglob("*") if path.is_file())
    assert b"moving to Riga" not in data
    assert b"My own words" in data
    check_history(world)


def check_history(world: World) -> None:
    """What is counted of the versions is what is stored of them."""
    number = world.lab.engine.get_namespace("ann").namespace.number
    prefix = keys.number_key(number)
    with world.lab.store.read() as view:
        history = read_history(view, number)
        sizes = [len(value) for _, value in view.scan("version_vectors", prefix, prefix)]
        assert len(sizes) == history.n_versions
        assert history.n_bytes >= sum(sizes)
        assert (history.n_bytes > 0) is bool(sizes)


def versions(world: World, slot_id: str) -> list[VersionView]:
    return world.lifecycle.slot_history.list_versions("ann", slot_id, page_size=10, after=0, include_vectors=False)[0]


def test_a_former_summary_comes_back_as_a_slot_of_the_client(world: World) -> None:
    """Its sources may say something else by now, so it is not linked to them."""
    lab = world.lab
    ids = say(lab, *MOVE)
    summary = consolidate(lab)
    change(lab, summary)
    lab.put("ann", "Ann: We stay in Oslo", id=ids[0])
    world.lifecycle.slot_history.restore("ann", summary.id, 1)
    back = lab.engine.get_slot("ann", summary.id).slot
    assert (back.content, back.sources) == (summary.content, ())
    assert lab.engine.get_slot("ann", ids[0]).summaries == ()
    lab.engine.delete_slots("ann", slot_ids=ids)
    assert lab.contents("ann") == [summary.content]
    check_history(world)


@pytest.mark.parametrize("there", ["changed", "summed up", "superseded", "the same"])
def test_a_package_brings_no_summary_of_what_is_not_so(packer: Packer, there: str) -> None:
    lab = packer.lab
    lab.engine.create_namespace(NamespaceSpec(name="ann", supersede=True))
    ids = say(lab, *MOVE)
    lab.put("ann", MOVE[0], id=ids[0], cue="Where to?", scope=Scope(conversation_id="c"))
    summary = consolidate(lab)
    data = packer.export("ann")
    lab.now += SECOND
    if there == "changed":
        lab.put("ann", "Ann: We stay in Oslo", id=ids[0])
    elif there == "summed up":
        lab.engine.delete_slots("ann", slot_ids=[summary.id])
        consolidate(lab)
    elif there == "superseded":
        lab.put("ann", "Ann: We stay in Oslo", cue="Where to?")
    packer.load(data, "ann", ImportMode.MERGE)
    found = summaries(lab)
    assert [each.id for each in found] == ([summary.id] if there == "the same" else [each.id for each in found])
    assert len(found) == (there in ("summed up", "the same"))
    present = {view.slot.id: view.slot.content for view in lab.slots("ann")}
    for each in found:
        assert set(each.sources) <= set(present)
    with lab.store.read() as view:
        number = view.namespace_number("ann")
        assert number is not None
        assert all(len(summaries_of(view, number, slot_id)) == len(found) for slot_id in ids)


def test_a_copy_of_a_snapshot_was_taught_nothing_of_slots_that_came_later(world: World) -> None:
    """Its next slots take the rows that these have in the source."""
    lab = world.lab
    (first,) = lab.put("ann", "thing one")
    world.lifecycle.snapshots.create("ann", "one")
    (second,) = lab.put("ann", "thing two")
    lab.engine.adaptation.feedback("ann", "which is it?", helped=[first, second])
    lab.engine.adaptation.feedback("ann", "and the other?", helped=[second])
    world.clone("copy", "one")
    (new,) = lab.put("copy", "thing three")
    with lab.store.read() as view:
        number = view.namespace_number("copy")
        assert number is not None
        row = view.row(number, first)
        assert [(pair.query, pair.helped) for _, pair in read_pairs(view, number)] == [("which is it?", (row,))]
        assert read_learning(view, number).n_pairs == 1
    lab.engine.delete_slots("copy", slot_ids=[new])
    assert lab.engine.adaptation.get_adapter("copy").n_pairs == 1
    lab.engine.delete_slots("copy", slot_ids=[first])
    assert lab.engine.adaptation.get_adapter("copy").n_pairs == 0
