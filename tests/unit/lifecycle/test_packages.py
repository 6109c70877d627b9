"""Export and import on one engine: all comes back as it was; merges, replacements, other encoders, crashes."""

import json
import resource
import sys
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import replace
from pathlib import Path
from threading import Thread
from typing import Any

import numpy as np
import pytest

from adamem_server.errors import (
    DimensionMismatchError,
    ModelMismatchError,
    NamespaceExistsError,
    NamespaceNotFoundError,
    PackageModelError,
    PackageTooLargeError,
    ShuttingDownError,
    StorageFullError,
)
from adamem_server.lifecycle.exporting import CHUNK_SLOTS, ExportSpec
from adamem_server.lifecycle.import_plan import ImportMode, ImportSpec
from adamem_server.memory.touching import NewExpiry
from adamem_server.memory.weights import WEIGHTS
from adamem_server.packages.manifest import MANIFEST, SLOTS, VECTORS
from adamem_server.packages.slots import PackagedSlot
from adamem_server.policies import NO_DUPLICATE_POLICY, DuplicateAction
from adamem_server.store.bulk import read_slots
from adamem_server.store.slot_store import SlotStore
from adamem_server.store.staging import all_staging
from adamem_server.store.teaching import read_adapter, read_learning, read_pairs
from adamem_server.types import Condition, NamespaceSpec, Operator, QueryMode, Slot, SlotInput, SlotKind, VectorType
from tests.unit.lifecycle.packs import MAX_PACKAGE_BYTES, NAME, Packer, fill, pack, sealed, unpack
from tests.unit.memory.engines import WORD_DIM, WordEmbedder
from tests.unit.memory.support import NOW

SKIPPING = replace(NO_DUPLICATE_POLICY, on_duplicate=DuplicateAction.SKIP)


@pytest.fixture
def packer(tmp_path: Path) -> Iterator[Packer]:
    made = Packer(tmp_path)
    yield made
    made.close()


def contents(store: SlotStore, name: str) -> dict[str, Any]:
    """All that is stored of a namespace, rows counted anew; bytes as bytes."""
    with store.read() as view:
        namespace = view.find_namespace(name)
        assert namespace is not None
        found = read_slots(view, namespace, 0, 10**6)
        ids = {row: slot.id for row, slot in zip(found.rows, found.slots, strict=True)}
        pairs = [
            (
                pair.query,
                tuple(ids[row] for row in pair.helped),
                tuple(ids[row] for row in pair.unhelpful),
                (pair.time, pair.weight, pair.is_cue),
                None if pair.vector is None else pair.vector.tobytes(),
            )
            for _, pair in read_pairs(view, namespace.number)
        ]
        learning, head = read_learning(view, namespace.number), view.head(namespace.number)
        return {
            "slots": found.slots,
            "accesses": found.accesses,
            "vectors": found.vectors,
            "with_cue": [ids[row] for row in sorted(found.with_cue)],
            "cue_vectors": found.cue_vectors,
            "expiring": [(at, ids[row]) for at, row in view.expiring(namespace.number)],
            "rows": [view.row(namespace.number, slot.id) is not None for slot in found.slots],
            "pairs": pairs,
            "report": learning.report(),
            "new_pairs": learning.next_pair - 1 - learning.trained_to,
            "adapter": read_adapter(view, namespace.number, namespace.adapter_version),
            "counts": (head.n_slots, head.n_bytes, head.n_cues),
            "namespace": (
                namespace.description,
                namespace.dim,
                namespace.metric,
                namespace.index_kind,
                namespace.index_params,
                namespace.vector_type,
                namespace.model,
                namespace.model_fingerprint,
                namespace.created_at,
                namespace.ranking,
                namespace.adapter_enabled,
                namespace.adapter_version,
                namespace.duplicates,
            ),
        }


def n_left(packer: Packer) -> int:
    with packer.lab.store.read() as view:
        return len(list(all_staging(view))) + len(list(packer.folder.iterdir()))


def test_all_comes_back_as_it_was(packer: Packer) -> None:
    fill(packer)
    lab = packer.lab
    data = packer.export()
    before = contents(lab.store, NAME)
    assert any(slot.recalled_from for slot in before["slots"])
    asked = {"text": "Anna tea sugar", "top_k": 20}
    answers = lab.query(NAME, **asked)
    lab.engine.delete_namespace(NAME)
    result = packer.load(data)
    assert contents(lab.store, NAME) == before
    assert lab.query(NAME, **asked) == answers
    assert (result.n_created, result.n_embedded, result.adapter_version) == (len(before["slots"]), 0, 3)
    packer.restart()
    assert lab.query(NAME, **asked) == answers
    assert n_left(packer) == 0
    # Ids and rows go on where they were: what comes now is beside what was imported.
    (fresh,) = lab.put(NAME, "a new fact")
    assert lab.engine.get_slot(NAME, fresh).slot.content == "a new fact"
    assert len(lab.slots(NAME)) == len(before["slots"]) + 1


@pytest.mark.parametrize("vector_type", list(VectorType))
def test_vectors_of_clients_come_back_bit_by_bit(packer: Packer, vector_type: VectorType) -> None:
    lab = packer.lab
    spec = NamespaceSpec(name="ext", dim=5, vector_type=vector_type, external_vectors=True)
    lab.engine.create_namespace(spec)
    vectors = np.random.default_rng(0).standard_normal((50, 5)).astype(np.float32)
    lab.engine.update("ext", [SlotInput(content=f"n {i}", vector=vector) for i, vector in enumerate(vectors)])
    data = packer.export("ext")
    before = contents(lab.store, "ext")
    n_windows = lab.embedder.n_windows
    packer.load(data, "copy")
    assert contents(lab.store, "copy") == before
    assert lab.embedder.n_windows == n_windows
    with pytest.raises(DimensionMismatchError):
        lab.query("copy", vector=np.ones(6, np.float32))


def test_an_empty_namespace(packer: Packer) -> None:
    packer.lab.engine.create_namespace(NamespaceSpec(name="empty", description="nothing yet"))
    packer.load(packer.export("empty"), "again")
    info = packer.lab.engine.get_namespace("again")
    assert (info.n_slots, info.namespace.description) == (0, "nothing yet")
    packer.lab.put("again", "something")
    assert packer.lab.query("again", text="something") == ["something"]


def test_two_exports_of_the_same_are_the_same_but_for_their_id(packer: Packer) -> None:
    fill(packer)
    first, second = (unpack(packer.export(author="Ann", tags=("a", "b"))) for _ in range(2))
    told = [json.loads(each.pop(MANIFEST)) for each in (first, second)]
    assert first == second
    assert all(manifest.pop("package_id") for manifest in told)
    assert told[0] == told[1]
    assert (told[0]["author"], told[0]["tags"]) == ("Ann", ["a", "b"])


def test_what_has_expired_stays_out(packer: Packer) -> None:
    lab = packer.lab
    lab.put(NAME, "stays")
    lab.put(NAME, "goes", cue="what goes?", expires_at=lab.now + 10)
    lab.now += 11
    members = unpack(packer.export())
    assert b"stays" in members[SLOTS]
    assert not any(b"goes" in content for content in members.values())


def test_a_namespace_that_is_written_while_it_is_read(packer: Packer) -> None:
    lab = packer.lab
    n = 2 * CHUNK_SLOTS + 100
    ids = lab.put(NAME, *(f"slot {i}" for i in range(n)))
    with packer.packages.export(NAME, ExportSpec()) as export:
        steps = export.read()
        next(steps)
        # Of the part that was read: one changes, one gets a cue, one goes; and one that is to come, and a new one.
        lab.engine.update(NAME, [SlotInput(content="changed, and longer than before", id=ids[5])])
        lab.engine.update(NAME, [SlotInput(content="slot 6", id=ids[6], cue="what is six?")])
        lab.engine.delete_slots(NAME, slot_ids=[ids[0], ids[7], ids[999], ids[n - 1]])
        lab.put(NAME, "new")
        # Others are renewed and pinned, which makes no version of them.
        lab.engine.toucher.touch_slots(NAME, NewExpiry(ttl=10**12), slot_ids=[ids[8]])
        lab.engine.marker.pin_slots(NAME, pinned=True, slot_ids=[ids[9]])
        for _ in steps:
            pass
        data = b"".join(export.chunks())
    before = contents(lab.store, NAME)
    packer.load(data, "copy")
    after = contents(lab.store, "copy")
    assert [slot.content for slot in after["slots"]][:6] == [
        "slot 1",
        "slot 2",
        "slot 3",
        "slot 4",
        "changed, and longer than before",
        "slot 6",
    ]
    for name in ("slots", "vectors", "with_cue", "cue_vectors", "counts"):
        assert after[name] == before[name], name


def test_a_namespace_that_is_deleted_while_it_is_read(packer: Packer) -> None:
    packer.lab.put(NAME, *(f"slot {i}" for i in range(CHUNK_SLOTS + 1)))
    with packer.packages.export(NAME, ExportSpec()) as export:
        steps = export.read()
        next(steps)
        packer.lab.engine.delete_namespace(NAME)
        with pytest.raises(NamespaceNotFoundError):
            list(steps)
    assert n_left(packer) == 0


def test_a_journal_that_is_cut_while_it_is_read(packer: Packer) -> None:
    from adamem_server.memory.jobs import StoreJob
    from adamem_server.store.slot_store import WriteBatch

    lab = packer.lab
    ids = lab.put(NAME, *(f"slot {i}" for i in range(CHUNK_SLOTS + 1)))
    with packer.packages.export(NAME, ExportSpec()) as export:
        steps = export.read()
        next(steps)
        lab.engine.update(NAME, [SlotInput(content="changed", id=ids[5])])

        def cut(batch: WriteBatch) -> bool:
            number = batch.namespace_number(NAME)
            assert number is not None
            head = batch.head(number)
            batch.put_head(number, head.saved_upto(head.sequence))
            return batch.trim_journal(number, head.sequence, 10**6)

        lab.engine.parts.writer.submit(StoreJob(cut, frees=True)).result()
        for _ in steps:
            pass
        lines = unpack(b"".join(export.chunks()))[SLOTS].splitlines()
    assert json.loads(lines[5])["content"] == "changed"
    assert len(lines) == len(ids)


def test_a_namespace_that_exists_is_refused(packer: Packer) -> None:
    fill(packer)
    data = packer.export()
    before = contents(packer.lab.store, NAME)
    for name in ("", NAME):
        with pytest.raises(NamespaceExistsError):
            packer.load(data, name)
    assert contents(packer.lab.store, NAME) == before
    assert n_left(packer) == 0


def test_replacing(packer: Packer) -> None:
    fill(packer)
    lab = packer.lab
    data = packer.export()
    before = contents(lab.store, NAME)
    lab.put(NAME, "will be gone")
    assert packer.load(data, mode=ImportMode.REPLACE).replaced
    assert contents(lab.store, NAME) == before
    assert "will be gone" not in lab.query(NAME, text="will be gone")
    assert not packer.load(data, "fresh", mode=ImportMode.REPLACE).replaced


def test_until_all_is_there_the_old_one_answers(packer: Packer) -> None:
    lab = packer.lab
    lab.put(NAME, *(f"new {i}" for i in range(300)))
    data = packer.export()
    lab.engine.delete_namespace(NAME)
    lab.put(NAME, "old")
    spec = ImportSpec(mode=ImportMode.REPLACE)
    with packer.packages.upload(spec) as upload:
        upload.write(data)
        upload.end()
        for _ in packer.packages.import_from(upload, spec).run():
            assert lab.query(NAME, text="old", top_k=1) == ["old"]
            lab.put(NAME, "written meanwhile")
    assert len(lab.slots(NAME)) == 300
    # It takes writes as before, under the same name.
    lab.put(NAME, "after")
    assert lab.query(NAME, text="after", top_k=1) == ["after"]


def test_merging_keeps_the_newer_of_two(packer: Packer) -> None:
    lab = packer.lab
    both = lab.put(NAME, "one, early", "two, early", "three")
    data_early = packer.export()
    lab.now += 10
    lab.engine.update(NAME, [SlotInput(content="one, late", id=both[0], cue="which is one?")])
    lab.engine.delete_slots(NAME, slot_ids=[both[2]])
    lab.put(NAME, "only here")
    before = contents(lab.store, NAME)
    result = packer.load(data_early, mode=ImportMode.MERGE)
    assert (result.n_created, result.n_replaced, result.n_kept) == (1, 0, 2)
    assert sorted(view.slot.content for view in lab.slots(NAME)) == ["one, late", "only here", "three", "two, early"]
    assert len(before["slots"]) == 3
    data_late = packer.export()
    lab.engine.delete_namespace(NAME)
    packer.load(data_early)
    shown = lab.query(NAME, text="one")
    assert "one, early" in shown
    result = packer.load(data_late, mode=ImportMode.MERGE)
    assert (result.n_created, result.n_replaced, result.n_kept) == (1, 1, 2)
    assert sorted(view.slot.content for view in lab.slots(NAME)) == ["one, late", "only here", "three", "two, early"]
    assert lab.query(NAME, text="which is one?", top_k=1) == ["one, late"]
    assert lab.query(NAME, text="only here", top_k=1) == ["only here"]
    with lab.store.read() as view:
        namespace = view.find_namespace(NAME)
        assert namespace is not None
        assert [pair.query for _, pair in read_pairs(view, namespace.number)] == ["which is one?"]
        head = view.head(namespace.number)
        assert (head.n_slots, head.n_cues) == (4, 1)
    packer.restart()
    assert lab.query(NAME, text="which is one?", top_k=1) == ["one, late"]
    assert n_left(packer) == 0


def test_merging_takes_in_what_feedback_taught_once(packer: Packer) -> None:
    fill(packer)
    data = packer.export()
    lab = packer.lab
    lab.put("other", "here before")
    for _ in range(2):
        packer.load(data, "other", mode=ImportMode.MERGE)
    assert sorted(pair[0] for pair in contents(lab.store, "other")["pairs"]) == [
        "How many lines?",
        "What does Anna drink?",
        "tea or coffee?",
        "which one is corrected?",
    ]


def test_a_merge_that_its_caller_leaves_is_carried_through(packer: Packer) -> None:
    lab = packer.lab
    lab.put(NAME, *(f"slot {i}" for i in range(500)))
    data = packer.export()
    lab.put("other", "here before")
    spec = ImportSpec(name="other", mode=ImportMode.MERGE)
    with packer.packages.upload(spec) as upload:
        upload.write(data)
        upload.end()
        with closing(packer.packages.import_from(upload, spec).run()) as steps:
            next(step for step in steps if step.merging)
        assert len(lab.slots("other")) < 501
    # The thread that carries it on ends with what it was given before it is stopped.
    packer.packages._unfinished.put(None)
    packer.packages._thread.join()
    assert len(lab.slots("other")) == 501
    assert n_left(packer) == 0


def test_a_merge_that_was_cut_short_goes_on_at_the_next_start(packer: Packer) -> None:
    lab = packer.lab
    lab.put(NAME, *(f"slot {i}" for i in range(500)))
    data = packer.export()
    lab.put("other", "here before")
    spec = ImportSpec(name="other", mode=ImportMode.MERGE)
    packer.packages.close()
    with packer.packages.upload(spec) as upload:
        upload.write(data)
        upload.end()
        with closing(packer.packages.import_from(upload, spec).run()) as steps:
            next(step for step in steps if step.merging)
    assert len(lab.slots("other")) < 501
    packer.restart()
    packer.packages._unfinished.put(None)
    packer.packages._thread.join()
    assert sorted(view.slot.content for view in lab.slots("other")) == sorted(
        ["here before", *(f"slot {i}" for i in range(500))]
    )
    assert n_left(packer) == 0


def test_a_caller_who_leaves_leaves_nothing(packer: Packer) -> None:
    packer.lab.put(NAME, *(f"slot {i}" for i in range(500)))
    data = packer.export()
    before = packer.left_behind()
    spec = ImportSpec(name="other")
    with packer.packages.upload(spec) as upload:
        upload.write(data)
        upload.end()
        with closing(packer.packages.import_from(upload, spec).run()) as steps:
            next(steps)
            next(steps)
    assert packer.left_behind() == before


def test_what_a_crash_leaves_goes_at_the_next_start(packer: Packer) -> None:
    lab = packer.lab
    lab.put(NAME, *(f"slot {i}" for i in range(500)))
    data = packer.export()
    before = packer.left_behind()
    spec = ImportSpec(name="other")
    # Held open as a process that is killed leaves it: nothing is cleaned up.
    context = packer.packages.upload(spec)
    upload = context.__enter__()
    upload.write(data)
    upload.end()
    steps = packer.packages.import_from(upload, spec).run()
    next(steps)
    assert n_left(packer) > 1
    packer.restart()
    assert packer.left_behind() == before
    with pytest.raises(ShuttingDownError):
        steps.close()
    context.__exit__(None, None, None)


def test_a_full_disk_leaves_nothing(packer: Packer) -> None:
    lab = packer.lab
    lab.put(NAME, *(f"slot {i}" for i in range(500)))
    data = packer.export()
    before = packer.left_behind()
    spec = ImportSpec(name="other")
    with packer.packages.upload(spec) as upload:
        upload.write(data)
        upload.end()
        steps = packer.packages.import_from(upload, spec).run()
        next(steps)
        lab.store.full = True
        with pytest.raises(StorageFullError):
            for _ in steps:
                pass
        lab.store.full = False
    # What could not be forgotten on a full disk is forgotten at the next start.
    packer.restart()
    assert packer.left_behind() == before


@contextmanager
def full_disk(room: int) -> Iterator[None]:
    """Inside, no file grows beyond so many bytes."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (room, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


@pytest.mark.skipif(sys.platform != "linux", reason="RLIMIT_FSIZE stands in for a full disk")
def test_a_disk_without_room_for_a_package_is_told_and_left_as_it_was(packer: Packer) -> None:
    packer.lab.put(NAME, *(f"slot {i}" for i in range(4 * CHUNK_SLOTS)))
    data = packer.export()
    before = packer.left_behind()
    room = len(data) // 4
    with full_disk(room), pytest.raises(StorageFullError):
        packer.export()
    assert packer.left_behind() == before
    with full_disk(room), pytest.raises(StorageFullError):
        packer.load(data, name="other")
    assert packer.left_behind() == before
    assert packer.load(data, name="other").n_created == 4 * CHUNK_SLOTS


def test_a_package_that_is_too_large(packer: Packer) -> None:
    with pytest.raises(PackageTooLargeError):
        packer.load(b"\0" * (MAX_PACKAGE_BYTES + 1))
    assert n_left(packer) == 0


def test_another_encoder_embeds_anew(packer: Packer) -> None:
    fill(packer)
    data = packer.export()
    lab = packer.lab
    other = WordEmbedder("others")
    packer.restart(other)
    with pytest.raises(PackageModelError):
        packer.load(data, "copy", keep_vectors=True)
    result = packer.load(data, "copy")
    after = contents(lab.store, "copy")
    assert (result.n_embedded, result.adapter_version) == (len(after["slots"]), 0)
    info = lab.engine.get_namespace("copy")
    assert (info.namespace.model, info.namespace.adapter_version) == ("others", 0)
    # What was taught is kept; its vectors come anew, in the background.
    assert len(after["pairs"]) == 4
    assert after["report"] is None
    assert not any(slot.vector_supplied for slot in after["slots"])
    assert lab.query("copy", text="plain fact 7", top_k=1) == ["plain fact 7"]
    before = {slot.id: slot for slot in contents(lab.store, NAME)["slots"]}
    for slot in after["slots"]:
        old = before[slot.id]
        assert (slot.created_at, slot.updated_at, slot.expires_at) == (old.created_at, old.updated_at, old.expires_at)


def test_merging_embeds_anew_where_the_namespace_is_of_another_encoder(packer: Packer) -> None:
    fill(packer)
    data = packer.export()
    packer.restart(WordEmbedder("others"))
    packer.lab.put("mine", "mine before")
    result = packer.load(data, "mine", mode=ImportMode.MERGE)
    assert result.n_embedded == result.n_created > 30
    assert packer.lab.query("mine", text="plain fact 7", top_k=1) == ["plain fact 7"]
    with pytest.raises(PackageModelError):
        packer.load(data, "mine", mode=ImportMode.MERGE, keep_vectors=True)
    # The one that it came from is of an encoder that does not serve: nothing can be embedded for it.
    with pytest.raises(ModelMismatchError):
        packer.load(packer.export("mine"), NAME, mode=ImportMode.MERGE)


def test_vectors_of_clients_do_not_mix_with_an_encoders(packer: Packer) -> None:
    lab = packer.lab
    lab.engine.create_namespace(NamespaceSpec(name="ext", external_vectors=True))
    lab.engine.update("ext", [SlotInput(content="x", vector=np.ones(WORD_DIM, np.float32))])
    lab.put("model", "y")
    for source, target in (("ext", "model"), ("model", "ext")):
        with pytest.raises(PackageModelError):
            packer.load(packer.export(source), target, mode=ImportMode.MERGE)


def test_deflated_by_another_tool(packer: Packer, tmp_path: Path) -> None:
    import io
    import zipfile

    fill(packer)
    members = unpack(packer.export())
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as file:
        for name, content in members.items():
            file.writestr(name, content)
    before = contents(packer.lab.store, NAME)
    packer.load(buffer.getvalue(), "copy")
    assert contents(packer.lab.store, "copy") == before
    assert n_left(packer) == 0


def test_the_zip_is_one_to_others(packer: Packer, tmp_path: Path) -> None:
    import io
    import zipfile

    fill(packer)
    data = packer.export()
    with zipfile.ZipFile(io.BytesIO(data)) as file:
        assert file.testzip() is None
        vectors = np.load(io.BytesIO(file.read(VECTORS)), allow_pickle=False)
        lines = [json.loads(line) for line in file.read(SLOTS).decode().rstrip("\n").split("\n")]
    assert vectors.shape == (len(lines), WORD_DIM)
    assert lines[0]["tags"] == ["drinks", "чай"]


def test_every_field_of_a_slot_is_in_a_package() -> None:
    # A field that is added to slots and not here would be lost by an export: `packages/slots.py` takes it in.
    from dataclasses import fields

    flat = {"user_id", "agent_id", "conversation_id"}
    of_slot = {field.name for field in fields(Slot)} - {"scope", "ttl"} | flat | {"ttl_s"}
    assert of_slot | {"access_count", "accessed_at", "cue_embedded"} == set(PackagedSlot.__struct_fields__)


def test_every_property_of_a_namespace_is_in_a_manifest() -> None:
    from dataclasses import fields

    from adamem_server.packages.manifest import Manifest
    from adamem_server.types import Namespace

    elsewhere = {"number", "index_kind", "index_params", "model_fingerprint", "adapter_version", "default_ttl", "space"}
    assert "default_ttl_s" in Manifest.__struct_fields__
    assert {field.name for field in fields(Namespace)} - elsewhere <= set(Manifest.__struct_fields__)


def test_the_weights_are_those_of_the_protocol() -> None:
    from adamem.v1.types_pb2 import Ranking

    assert tuple(field.name for field in Ranking.DESCRIPTOR.fields) == WEIGHTS


def test_imports_and_writes_beside_each_other(packer: Packer) -> None:
    lab = packer.lab
    lab.put(NAME, *(f"slot {i}" for i in range(700)))
    data = packer.export()
    threads = [Thread(target=packer.load, args=(data, f"copy-{i}")) for i in range(3)]
    for thread in threads:
        thread.start()
    for i in range(50):
        lab.put("others", f"note {i}")
    for thread in threads:
        thread.join()
    assert [lab.engine.get_namespace(f"copy-{i}").n_slots for i in range(3)] == [700, 700, 700]
    assert len(lab.slots("others")) == 50
    assert pack(sealed(unpack(data)))  # the parts fit together again: what hostile packages are made of
    assert n_left(packer) == 0


def tell(packer: Packer, name: str, content: str, day: int) -> str:
    fields = {"kind": SlotKind.FACT, "cue": "Where does Ann live?", "created_at": NOW + day}
    (slot_id,) = packer.lab.put(name, content, **fields)
    return slot_id


def test_what_a_namespace_keeps_and_lets_supersede_goes_along(packer: Packer) -> None:
    lab = packer.lab
    lab.engine.create_namespace(NamespaceSpec(name="facts", history_versions=3, supersede=True))
    tell(packer, "facts", "Ann lives in Riga", 1)
    tell(packer, "facts", "Ann lives in Oslo", 2)
    packer.load(packer.export("facts"), "copy")
    copy = lab.engine.get_namespace("copy")
    assert (copy.namespace.history_versions, copy.namespace.supersede) == (3, True)
    # Its history stays where it was.
    assert (lab.contents("copy"), copy.n_versions) == (["Ann lives in Oslo"], 0)
    tell(packer, "copy", "Ann lives in Bergen", 3)
    assert lab.contents("copy") == ["Ann lives in Bergen"]


def test_merged_facts_supersede_each_other(packer: Packer) -> None:
    lab = packer.lab
    for name in ("facts", "older", "newer"):
        lab.engine.create_namespace(NamespaceSpec(name=name, supersede=name == "facts"))
    there = tell(packer, "facts", "Ann lives in Oslo", 5)
    tell(packer, "older", "Ann lives in Riga", 1)
    newer = tell(packer, "newer", "Ann lives in Bergen", 9)
    for name in ("older", "newer"):
        packer.load(packer.export(name), "facts", ImportMode.MERGE)
        before = lab.contents("facts")
        info = lab.engine.get_namespace("facts")
        assert info.n_slots == len(before) == 1
        for mode in QueryMode:
            assert lab.query("facts", text="Ann lives", mode=mode) == before
    assert before == ["Ann lives in Bergen"]
    validity = lab.engine.get_slot("facts", there).validity
    assert validity is not None
    assert validity.superseded_by == newer
    packer.restart()
    assert lab.query("facts", text="Ann lives") == before
    lab.engine.delete_slots("facts", slot_ids=[newer])
    assert lab.contents("facts") == ["Ann lives in Oslo"]


@pytest.mark.parametrize("mode", ImportMode)
def test_a_duplicate_of_what_was_imported_is_none(packer: Packer, mode: ImportMode) -> None:
    lab = packer.lab
    lab.engine.create_namespace(NamespaceSpec(name="once", duplicates=SKIPPING))
    lab.put("once", "Ann drinks tea without sugar")
    name = "copy" if mode is ImportMode.CREATE else "once"
    data = packer.export("once")
    if mode is ImportMode.MERGE:
        lab.engine.delete_slots("once", filter=Condition("kind", Operator.EQ, "fact"))
    packer.load(data, name, mode)
    lab.put(name, "Ann drinks tea without sugar.")
    assert lab.contents(name) == ["Ann drinks tea without sugar"]
