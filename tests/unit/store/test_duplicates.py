"""What the store keeps of duplicates: forms, absorbed slots, lists of pairs; old records stay readable."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from adamem_server.errors import DataCorruptError
from adamem_server.store import duplicate_codec as codec
from adamem_server.store import duplicates
from adamem_server.store.slot_store import SlotStore, WriteBatch
from adamem_server.types import Absorbed, Access, DuplicateKind, DuplicatePair, Durability
from tests.unit.store.test_codec import GOLDEN, SLOT

ABSORBED = Absorbed(
    slot=SLOT,
    row=70_000,
    access=Access(3, 1_700_000_000_000_000),
    vector=b"\x00\x3c" * 3,
    cue_vector=b"\x00\x40" * 3,
    model_fingerprint="ab" * 32,
    match=DuplicateKind.NEAR,
    similarity=0.9375,
    job_id="01ARZ3NDEKTSV4RRFFQ69G5FAX",
    absorbed_at=1_700_000_000_000_003,
    survivor_before=replace(SLOT, id="01ARZ3NDEKTSV4RRFFQ69G5FAY"),
)
MERGE = DuplicatePair("01ARZ3NDEKTSV4RRFFQ69G5FAY", SLOT.id, DuplicateKind.EXACT, 1.0)
FORMS = (b"form-one", b"form-two")
JOB = "01ARZ3NDEKTSV4RRFFQ69G5FAZ"


def test_records_of_version_1_stay_as_they_are() -> None:
    for name, unset in (
        ("absorbed.v1.bin", {"ttl": 0, "archived_at": 0, "pinned": False, "sources": ()}),
        ("absorbed.v1.2.bin", {"archived_at": 0, "pinned": False, "sources": ()}),
        ("absorbed.v1.3.bin", {"archived_at": 0, "pinned": False}),
    ):
        before = replace(ABSORBED.survivor_before, **unset)
        older = replace(ABSORBED, slot=replace(SLOT, **unset), survivor_before=before)
        assert codec.decode_absorbed((GOLDEN / name).read_bytes()) == older
    golden = (GOLDEN / "absorbed.v1.4.bin").read_bytes()
    assert codec.encode_absorbed(ABSORBED) == golden
    assert codec.decode_absorbed(golden) == ABSORBED
    golden = (GOLDEN / "merge.v1.bin").read_bytes()
    assert codec.encode_merge(MERGE) == golden
    assert codec.decode_merge(golden) == MERGE
    with pytest.raises(DataCorruptError):
        codec.decode_merge(golden[:-1])
    with pytest.raises(DataCorruptError):
        codec.decode_absorbed(b"\x09" + golden[1:])


@pytest.fixture
def store(tmp_path: Path) -> Iterator[SlotStore]:
    store = SlotStore(tmp_path, durability=Durability.ASYNC)
    yield store
    store.close()


def test_rows_of_a_form_come_newest_first(store: SlotStore) -> None:
    def work(batch: WriteBatch) -> None:
        for number in (1, 2):
            for row in (1, 300, 70_000):
                duplicates.put_forms(batch, number, row, FORMS if row == 300 else FORMS[:1])
        duplicates.put_forms(batch, 1, 1, FORMS[1:])

    store.write(work)
    with store.read() as view:
        assert duplicates.rows_of_form(view, 1, FORMS[0], 9) == [70_000, 300]
        assert duplicates.rows_of_form(view, 1, FORMS[1], 9) == [300, 1]
        assert duplicates.rows_of_form(view, 2, FORMS[0], 2) == [70_000, 300]
        assert duplicates.rows_of_form(view, 2, b"form-aaa", 2) == []
        assert duplicates.rows_of_form(view, 3, FORMS[0], 2) == []
    assert not store.write(lambda batch: duplicates.clear_forms(batch, 1, 3))
    assert store.write(lambda batch: duplicates.clear_forms(batch, 1, 99))
    with store.read() as view:
        assert duplicates.rows_of_form(view, 1, FORMS[0], 9) == []
        assert duplicates.rows_of_form(view, 2, FORMS[0], 9) == [70_000, 300, 1]


def test_absorbed_slots_stay_in_order(store: SlotStore) -> None:
    def work(batch: WriteBatch) -> None:
        for row in (5, 6, 5):
            duplicates.add_absorbed(batch, 1, row, replace(ABSORBED, row=row + 100))

    store.write(work)
    with store.read() as view:
        assert [n for n, _ in duplicates.absorbed_by(view, 1, 5)] == [1, 2]
        assert [n for n, _ in duplicates.absorbed_by(view, 1, 5, after=1)] == [2]
        assert (duplicates.last_absorbed(view, 1, 6), duplicates.last_absorbed(view, 1, 7)) == (1, 0)
        assert duplicates.last_absorbed(view, 2, 5) == 0
    store.write(lambda batch: duplicates.remove_absorbed(batch, 1, 5, 1))
    with store.read() as view:
        assert list(duplicates.absorbed_by(view, 1, 5)) == [(2, replace(ABSORBED, row=105))]


def test_pairs_of_jobs_and_of_dry_runs_are_apart(store: SlotStore) -> None:
    def work(batch: WriteBatch) -> None:
        for n in (1, 2, 3):
            duplicates.put_merge(batch, 1, JOB, n, MERGE, dry_run=n == 3)

    store.write(work)
    with store.read() as view:
        assert list(duplicates.merges(view, 1, JOB, dry_run=False)) == [(1, MERGE), (2, MERGE)]
        assert list(duplicates.merges(view, 1, JOB, dry_run=True)) == [(3, MERGE)]
        assert duplicates.last_merge(view, 1, JOB, dry_run=False) == 2
        assert duplicates.last_merge(view, 1, SLOT.id, dry_run=False) == 0
    assert store.write(lambda batch: duplicates.clear_dry_runs(batch, 1, 9))
    store.write(lambda batch: duplicates.delete_merge(batch, 1, JOB, 1))
    with store.read() as view:
        assert list(duplicates.merges(view, 1, JOB, dry_run=True)) == []
        assert list(duplicates.merges(view, 1, JOB, dry_run=False)) == [(2, MERGE)]
