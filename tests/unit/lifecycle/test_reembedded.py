"""What else is done to a namespace that was embedded anew, or is being: packages, duplicates, erasure, backups."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from unittest.mock import Mock

import pytest

from adamem_server.errors import GenerationChangedError
from adamem_server.lifecycle import reembed as reembed_module
from adamem_server.lifecycle.deduplicate import Deduplicate
from adamem_server.lifecycle.erasure import Erasure
from adamem_server.lifecycle.exporting import CHUNK_SLOTS, ExportSpec
from adamem_server.lifecycle.import_plan import ImportMode
from adamem_server.lifecycle.jobs import JobInterruptedError
from adamem_server.lifecycle.reembed import Reembed
from adamem_server.lifecycle.slot_history import SlotHistory
from adamem_server.lifecycle.snapshots import Snapshots
from adamem_server.lifecycle.undo_deduplicate import UndoDeduplicate
from adamem_server.lifecycle.verify import Verify
from adamem_server.memory.jobs import StoreJob
from adamem_server.packages.manifest import VECTORS
from adamem_server.store.codec import Staging
from adamem_server.store.history import read_history
from adamem_server.store.keys import number_key
from adamem_server.store.offline import OfflineDatabase
from adamem_server.store.slot_store import WriteBatch
from adamem_server.store.staging import abandon_staging, begin_staging, put_staging
from adamem_server.types import (
    Condition,
    Job,
    JobState,
    JsonObject,
    Namespace,
    NamespaceSpec,
    Operator,
    QueryMode,
    SlotInput,
)
from tests.patience import wait_until
from tests.unit.lifecycle.labs import ended, runner
from tests.unit.lifecycle.packs import NAME, Packer, unpack
from tests.unit.memory.engines import Lab, WordEmbedder

OTHER = "wide"
OTHER_DIM = 96


@pytest.fixture
def packer(tmp_path: Path) -> Iterator[Packer]:
    packer = Packer(tmp_path)
    packer.lab.others[OTHER] = WordEmbedder(OTHER, OTHER_DIM)
    yield packer
    packer.close()


@pytest.fixture
def lab(packer: Packer) -> Lab:
    return packer.lab


def run(lab: Lab, kind: str, **params: object) -> Job:
    parts = lab.engine.parts
    kinds = (
        Reembed(parts, 3600.0),
        Verify(parts.store),
        Deduplicate(parts.store, parts.writer, parts.registry, parts.now),
        UndoDeduplicate(parts.store, parts.writer, parts.registry, parts.encoders, parts.now),
    )
    with runner(lab, *kinds) as jobs:
        job = ended(jobs, jobs.submit(kind, namespace=NAME, params=params))
    assert job.state is JobState.SUCCEEDED, job
    return job


def reembed(lab: Lab, **params: object) -> Job:
    return run(lab, "reembed", **({"model": OTHER, "rollback": False} | params))


def namespace(lab: Lab) -> Namespace:
    return lab.engine.get_namespace(NAME).namespace


def sound(lab: Lab) -> None:
    assert run(lab, "verify").result["n_problems"] == 0
    for content in lab.contents(NAME):
        assert content in lab.query(NAME, text=content, mode=QueryMode.DENSE, top_k=2)


def test_a_package_has_the_vectors_that_serve_and_is_merged_into_them(packer: Packer, lab: Lab) -> None:
    lab.put(NAME, "green tea", "black coffee", cue="what is drunk")
    early = packer.export()
    reembed(lab)
    lab.put(NAME, "cold milk")
    data = packer.export()
    assert len(unpack(data)[VECTORS]) > len(unpack(early)[VECTORS])
    packer.load(data, name="bella")
    # The copy is of the server's own encoder, or refused; either way it is whole.
    assert sorted(lab.contents("bella")) == sorted(lab.contents(NAME))
    lab.engine.delete_slots(NAME, filter=None, slot_ids=[view.slot.id for view in lab.slots(NAME)][:1])
    result = packer.load(data, mode=ImportMode.MERGE)
    assert (result.n_created, result.n_kept) == (1, 2)
    sound(lab)
    assert namespace(lab).dim == OTHER_DIM


def test_a_switch_waits_for_a_package_that_is_being_merged(lab: Lab) -> None:
    lab.put(NAME, "green tea")
    number = namespace(lab).number
    staged: list[int] = []

    def stage(batch: WriteBatch) -> bool:
        staged[:] = [begin_staging(batch)]
        put_staging(batch, staged[0], Staging(number))
        return True

    lab.engine.parts.writer.submit(StoreJob(stage, frees=False)).result()
    with runner(lab, Reembed(lab.engine.parts, 3600.0)) as jobs:
        params: JsonObject = {"model": OTHER, "rollback": False}
        job = jobs.submit("reembed", namespace=NAME, params=params)
        wait_until(lambda: jobs.get(job.id).n_done == 1)
        assert namespace(lab).model == "words"

        def unstage(batch: WriteBatch) -> bool:
            abandon_staging(batch, staged[0])
            return True

        lab.engine.parts.writer.submit(StoreJob(unstage, frees=False)).result()
        assert ended(jobs, job).state is JobState.SUCCEEDED
    assert namespace(lab).model == OTHER


def test_an_export_beside_a_change_of_the_model_is_of_one_of_the_two(packer: Packer, lab: Lab) -> None:
    lab.put(NAME, *(f"thing {i}" for i in range(50)))
    with lab.others[OTHER].held() as gate, ThreadPoolExecutor(1) as pool:
        changed = pool.submit(reembed, lab)
        gate.wait_reached()
        whole = packer.export()
        gate.open()
        changed.result()
    assert len(unpack(whole)[VECTORS]) > 50 * 4
    with lab.store.read() as view:
        old = view.find_namespace(NAME)
    assert old is not None
    reembed(lab, model="", rollback=True)
    from adamem_server.store.bulk import read_slots

    with lab.store.read() as view, pytest.raises(GenerationChangedError):
        read_slots(view, old, 0, 10)


def test_an_export_that_meets_the_switch_begins_anew(packer: Packer, lab: Lab) -> None:
    n = CHUNK_SLOTS + 10
    lab.put(NAME, *(f"thing {i}" for i in range(n)))
    with packer.packages.export(NAME, ExportSpec()) as export:
        steps = export.read()
        next(steps)
        reembed(lab)
        for _ in steps:
            pass
        data = b"".join(export.chunks())
    assert len(unpack(data)[VECTORS]) >= 4 * OTHER_DIM * n
    assert packer.load(data, name="bella").n_created == n


def test_what_was_absorbed_under_another_model_comes_back_with_vectors_of_the_one_that_serves(lab: Lab) -> None:
    lab.put(NAME, "Ann is allergic to peanuts", "ann is allergic to PEANUTS!", "likes tea")
    merged = run(lab, "deduplicate")
    assert merged.result["n_duplicates"] == 1
    reembed(lab)
    run(lab, "undo_deduplicate", job_id=merged.id)
    assert len(lab.contents(NAME)) == 3
    sound(lab)
    again = run(lab, "deduplicate")
    assert again.result["n_duplicates"] == 1
    sound(lab)


def test_an_erasure_counts_and_takes_all_generations(lab: Lab) -> None:
    ids = lab.put(NAME, "green tea", "black coffee", "cold milk", cue="what is drunk")
    before = namespace(lab)
    reembed(lab)
    after = namespace(lab)
    erasure = Erasure(lab.engine)
    erasure.start()
    receipt = erasure.delete_slots(NAME, slot_ids=ids[:1], erase=True).receipt
    assert receipt is not None
    counts = {each.name: (each.n_before, each.n_after) for each in receipt.structures}
    assert (counts["slots"], counts["vectors"], counts["cue_vectors"]) == ((3, 2), (6, 4), (6, 4))
    _, receipt = erasure.delete_namespace(NAME, erase=True)
    counts = {each.name: (each.n_before, each.n_after) for each in receipt.structures}
    assert (counts["vectors"], counts["generations"]) == ((4, 0), (1, 0))
    with lab.store.read() as view:
        assert not view.doomed()
        left = [key for key, _ in view.cursor("vectors")]
        assert not [key for key in left if key[:4] in {number.to_bytes(4) for number in (before.number, after.space)}]
    erasure.close()


def test_a_backup_with_two_generations_is_sound(packer: Packer, lab: Lab, tmp_path: Path) -> None:
    ids = lab.put(NAME, "green tea", "black coffee", cue="what is drunk")
    reembed(lab)
    lab.engine.update(NAME, [SlotInput(id=ids[0], content="greener tea")])
    lab.put(NAME, "cold milk")
    packer.packages.close()
    lab.close()
    with OfflineDatabase(tmp_path, shared=False) as database:
        with database.read() as txn:
            contents = database.contents(txn)
        assert database.check(contents) > 10
    lab._open()
    packer._start()
    sound(lab)


def test_a_former_version_comes_back_with_a_vector_of_the_model_that_serves_the_namespace(lab: Lab) -> None:
    (tea,) = lab.put(NAME, "green tea", cue="what is drunk")
    lab.put(NAME, "cold milk", id=tea)
    reembed(lab)
    SlotHistory(lab.engine.parts).restore(NAME, tea, 1)
    assert lab.contents(NAME) == ["green tea"]
    sound(lab)


@pytest.mark.parametrize("rollback", [False, True])
def test_a_superseded_fact_comes_back_by_itself_with_a_vector_of_the_model_that_serves(
    lab: Lab, rollback: bool
) -> None:
    lab.engine.create_namespace(NamespaceSpec(name=NAME, supersede=True))
    for n in range(40):
        for content in (f"tea{n} green", f"tea{n} black"):
            lab.now += 1
            (newer,) = lab.put(NAME, content, cue=f"which tea{n}?")
    reembed(lab)
    if rollback:
        reembed(lab, rollback=True, model="")
    lab.engine.delete_slots(NAME, slot_ids=[newer])
    assert "tea39 green" in lab.contents(NAME)
    sound(lab)
    lab.engine.delete_slots(NAME, filter=Condition("tags", Operator.EXISTS, False))
    lab.restart()
    sound(lab)
    number = namespace(lab).number
    with lab.store.read() as view:
        history = read_history(view, number)
        prefix = number_key(number)
        assert history.n_versions == len(list(view.scan("version_vectors", prefix, prefix)))


def test_superseded_facts_are_embedded_when_a_kill_came_behind_the_switch(
    lab: Lab, monkeypatch: pytest.MonkeyPatch
) -> None:
    lab.engine.create_namespace(NamespaceSpec(name=NAME, supersede=True))
    lab.put(NAME, "green tea", cue="which?")
    lab.now += 1
    (newer,) = lab.put(NAME, "black tea", cue="which?")
    interrupted = Mock(side_effect=JobInterruptedError)
    with monkeypatch.context() as patch, runner(lab, Reembed(lab.engine.parts, 3600.0)) as jobs:
        patch.setattr(reembed_module, "embed_superseded", interrupted)
        job = jobs.submit("reembed", namespace=NAME, params={"model": OTHER, "rollback": False})
        wait_until(lambda: interrupted.called)
    with runner(lab, Reembed(lab.engine.parts, 3600.0)) as jobs:
        assert ended(jobs, job).state is JobState.SUCCEEDED
    lab.engine.delete_slots(NAME, slot_ids=[newer])
    assert lab.contents(NAME) == ["green tea"]
    sound(lab)


def test_a_fact_that_a_snapshot_holds_keeps_the_vectors_of_the_snapshots_model(lab: Lab) -> None:
    lab.engine.create_namespace(NamespaceSpec(name=NAME, supersede=True))
    (older,) = lab.put(NAME, "green tea", cue="which?")
    snapshots = Snapshots(lab.engine.parts)
    snapshots.create(NAME, "then")
    lab.now += 1
    (newer,) = lab.put(NAME, "black tea", cue="which?")
    with lab.store.read() as view:
        before = list(view.scan("version_vectors", b"", b""))
    reembed(lab)
    with lab.store.read() as view:
        assert list(view.scan("version_vectors", b"", b"")) == before
    lab.engine.delete_slots(NAME, slot_ids=[newer])
    assert lab.contents(NAME) == []
    SlotHistory(lab.engine.parts).restore(NAME, older, 0)
    assert lab.contents(NAME) == ["green tea"]
    sound(lab)
