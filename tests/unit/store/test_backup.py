"""Copies of a store in use, and what is made of a backup that is whole, damaged, cut short or something else."""

import json
import os
import shutil
from collections.abc import Callable, Iterator
from dataclasses import replace
from hashlib import sha256
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest

from adamem_server.errors import (
    BackupInvalidError,
    DataDirectoryInUseError,
    DataDirectoryNotEmptyError,
    UnavailableError,
)
from adamem_server.store import environment as environment_module
from adamem_server.store.backup import open_backup, restore_backup, verify_backup
from adamem_server.store.codec import Change, Head
from adamem_server.store.environment import TABLES
from adamem_server.store.manifest import TRAILER, Member, decode_manifest, encode_manifest, new_manifest
from adamem_server.store.slot_store import SlotStore, WriteBatch
from adamem_server.types import Durability
from tests.unit.store.test_codec import NAMESPACE, SLOT

GOLDEN = Path(__file__).resolve().parents[2] / "compat/backups/backup.v1"
N_SLOTS = 40


def put_slots(store: SlotStore, first: int, n_slots: int, content: str = "the gate code is 4711") -> None:
    """Slots of the rows from `first` on, each with a vector, in one write."""

    def work(batch: WriteBatch) -> None:
        batch.put_namespace(NAMESPACE)
        head = batch.head(NAMESPACE.number)
        for row in range(first, first + n_slots):
            slot = replace(SLOT, id=f"01ARZ3NDEKTSV4RRFFQ6{row:06d}", content=content, expires_at=0)
            batch.put_slot(NAMESPACE.number, row, slot, np.ones(NAMESPACE.dim, np.float32), NAMESPACE.vector_type, None)
        sequence = head.sequence + 1
        batch.put_change(NAMESPACE.number, sequence, Change(5, tuple(range(first, first + n_slots))))
        batch.put_head(NAMESPACE.number, Head(sequence, first + n_slots, head.n_slots + n_slots, 0))

    store.write(work)


def write_backup(store: SlotStore, folder: Path) -> None:
    """As the client does, in the form of a folder."""
    folder.mkdir()
    with store.file.copy() as copy:
        data = b"".join(copy.chunks())
        assert len(data) <= copy.total_bytes
        (folder / "data.mdb").write_bytes(data)
        member = Member("data.mdb", len(data), sha256(data).hexdigest())
        manifest = new_manifest(
            copy.contents,
            member,
            server_version="0.1.0",
            created_at="2026-11-27T16:00:00+00:00",
            model="all-MiniLM-L6-v2",
            model_fingerprint="f" * 64,
            dim=384,
        )
        (folder / "manifest.json").write_bytes(encode_manifest(manifest))


def as_file(folder: Path) -> bytes:
    manifest = (folder / "manifest.json").read_bytes()
    return (folder / "data.mdb").read_bytes() + manifest + TRAILER.pack(len(manifest), b"adamem-backup-1\n")


@pytest.fixture(scope="module")
def backup(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A backup in the form of a folder; not to be changed."""
    folder = tmp_path_factory.mktemp("backup")
    store = SlotStore(folder / "data")
    put_slots(store, 1, N_SLOTS)
    write_backup(store, folder / "backup")
    store.close()
    return folder / "backup"


@pytest.fixture
def store(tmp_path: Path) -> Iterator[SlotStore]:
    store = SlotStore(tmp_path / "data", durability=Durability.ASYNC)
    yield store
    store.close()


def test_a_copy_holds_what_was_committed_before_it_and_nothing_after(store: SlotStore, tmp_path: Path) -> None:
    put_slots(store, 1, 3)
    (tmp_path / "backup").mkdir()
    with store.file.copy() as copy:
        put_slots(store, 4, 5)
        data = b"".join(copy.chunks())
        (namespace,) = copy.contents.namespaces
    assert namespace.n_slots == copy.contents.tables["slots"] == 3
    restored_dir = tmp_path / "restored"
    restored_dir.mkdir()
    (restored_dir / "data.mdb").write_bytes(data)
    restored = SlotStore(restored_dir)
    with restored.read() as view:
        assert [row for row, _ in view.slots(NAMESPACE.number)] == [1, 2, 3]
    restored.close()


def test_a_copy_under_way_holds_up_no_write_though_the_map_must_grow(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(environment_module, "_FIRST_MAP_BYTES", 1 << 20)
    store = SlotStore(tmp_path / "data")
    put_slots(store, 1, 3)
    with store.file.copy() as copy:
        before = store._environment._env.info()["map_size"]
        for i in range(8):
            put_slots(store, 4 + 200 * i, 200, content="x" * 2000)
        assert store._environment._env.info()["map_size"] > before
        assert len(b"".join(copy.chunks())) > 0
    store.close()


def test_pages_that_a_stopped_copy_held_are_used_again(store: SlotStore) -> None:
    put_slots(store, 1, 1000, content="x" * 2000)
    with store.file.copy() as copy:
        chunks = copy.chunks()
        next(chunks)
        copy.stop()
        with pytest.raises(UnavailableError, match="the copy failed"):
            list(chunks)
    assert "no active readers" in store._environment._env.readers()


def test_a_backup_is_verified_and_restored(backup: Path, tmp_path: Path) -> None:
    single = tmp_path / "backup.adamem"
    single.write_bytes(as_file(backup))
    for source in (backup, single):
        manifest, n_records = verify_backup(source)
        assert manifest.n_slots == N_SLOTS
        assert n_records == sum(manifest.contents.tables.values())
        target = tmp_path / f"of-{source.name}"
        steps: list[str] = []
        assert restore_backup(source, target, progress=lambda step, *_, to=steps: to.append(step)) == (
            manifest,
            n_records,
        )
        assert steps[0] == "copying"
        assert steps[-1] == "records"
        restored = SlotStore(target)
        with restored.read() as view:
            slots = list(view.slots(NAMESPACE.number))
            rows, vectors = view.vectors(NAMESPACE, [row for row, _ in slots])
        assert len(slots) == len(rows) == N_SLOTS
        assert np.array_equal(vectors, np.ones((N_SLOTS, NAMESPACE.dim)))
        put_slots(restored, N_SLOTS + 1, 1)
        restored.close()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["backup.adamem", "of-backup", "of-backup.adamem"]


def test_a_directory_with_something_in_it_is_replaced_only_when_told(backup: Path, tmp_path: Path) -> None:
    target = tmp_path / "data"
    store = SlotStore(target)
    put_slots(store, 1, 2)
    for force in (False, True):
        with pytest.raises(DataDirectoryInUseError):
            restore_backup(backup, target, force=force)
    store.close()
    (target / "index").mkdir()
    (target / "index" / "7.idx").write_bytes(b"of the old data")
    before = (target / "data.mdb").read_bytes()
    with pytest.raises(DataDirectoryNotEmptyError, match="--force"):
        restore_backup(backup, target)
    assert (target / "data.mdb").read_bytes() == before
    restore_backup(backup, target, force=True)
    assert not (target / "index").exists()
    store = SlotStore(target)
    with store.read() as view:
        assert view.head(NAMESPACE.number).n_slots == N_SLOTS
    store.close()


def test_a_foreign_directory_is_left_as_it_is(backup: Path, tmp_path: Path) -> None:
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos" / "cat.jpg").write_bytes(b"cat")
    with pytest.raises(DataDirectoryNotEmptyError):
        restore_backup(backup, tmp_path / "photos")
    assert [path.name for path in (tmp_path / "photos").iterdir()] == ["cat.jpg"]


def flip(path: Path, at: int, bit: int) -> None:
    with path.open("r+b") as file:
        file.seek(at)
        byte = file.read(1)[0]
        file.seek(at)
        file.write(bytes([byte ^ 1 << bit]))


def refused(source: Path, folder: Path, match: str = ".") -> None:
    """Refused by both commands, with a reason that names the place, and nothing is left behind."""
    target = folder / "never"
    there = sorted(folder.iterdir())
    with pytest.raises(BackupInvalidError, match=match):
        verify_backup(source)
    with pytest.raises(BackupInvalidError, match=match) as caught:
        restore_backup(source, target)
    assert caught.value.metadata["member"]
    assert sorted(folder.iterdir()) == there


@pytest.mark.parametrize("seed", range(60))
def test_a_flipped_bit_anywhere_is_found(backup: Path, tmp_path: Path, seed: int) -> None:
    rng = np.random.default_rng(seed)
    copy = tmp_path / "copy"
    if seed % 3 == 0:
        copy.write_bytes(as_file(backup))
        damaged = copy
    else:
        shutil.copytree(backup, copy)
        damaged = copy / ("data.mdb" if seed % 3 == 1 else "manifest.json")
    size = damaged.stat().st_size
    # Those of one file are near its end half of the time: its manifest and its trailer.
    first = size - 1500 if seed % 6 == 0 else 0
    flip(damaged, int(rng.integers(first, size)), int(rng.integers(8)))
    refused(copy, tmp_path)


@pytest.mark.parametrize(
    "cut", [lambda _: 0, lambda _: 1, lambda _: 23, lambda _: 24, lambda n: n // 3, lambda n: n - 200, lambda n: n - 2]
)
def test_a_backup_that_is_cut_short_is_refused(backup: Path, tmp_path: Path, cut: Callable[[int], int]) -> None:
    whole = as_file(backup)
    single = tmp_path / "cut"
    single.write_bytes(whole[: cut(len(whole))])
    refused(single, tmp_path)
    for member in ("data.mdb", "manifest.json"):
        copy = tmp_path / f"folder-{member}"
        shutil.copytree(backup, copy)
        # Of the manifest the last byte is a new line, which would not be missed.
        os.truncate(copy / member, cut((copy / member).stat().st_size))
        refused(copy, tmp_path, match=member)


def changed(backup: Path, copy: Path, change: Callable[[dict[str, Any]], None]) -> None:
    """A copy whose manifest says something else, and has the checksum of that."""
    shutil.copytree(backup, copy)
    plain = json.loads((backup / "manifest.json").read_bytes())
    change(plain)
    plain.pop("checksum")
    checksum = sha256(json.dumps(plain, sort_keys=True, separators=(",", ":")).encode()).hexdigest()
    (copy / "manifest.json").write_text(json.dumps({**plain, "checksum": checksum}))


@pytest.mark.parametrize(
    ("change", "match"),
    [
        (lambda plain: plain.update(format=2), "format 2, this version reads format 1"),
        (lambda plain: plain.update(kind="adamem-package"), "is not that of a backup"),
        (lambda plain: plain["contents"]["tables"].update(slots=1), "table slots has 40 records"),
        (lambda plain: plain["contents"]["namespaces"].clear(), "the manifest says None"),
        (lambda plain: plain["members"][0].update(name="../../etc/passwd"), "must list data.mdb and nothing else"),
        (lambda plain: plain["members"].append(plain["members"][0]), "must list data.mdb and nothing else"),
        (lambda plain: plain["members"][0].update(n_bytes=10), "the manifest says 10"),
        (lambda plain: plain["contents"].update(namespaces="none"), "cannot be read"),
    ],
)
def test_a_manifest_that_says_something_else_is_refused(
    backup: Path, tmp_path: Path, change: Callable[[dict[str, Any]], None], match: str
) -> None:
    changed(backup, tmp_path / "copy", change)
    refused(tmp_path / "copy", tmp_path, match)


def test_records_are_read_though_the_checksums_are_right(backup: Path, tmp_path: Path) -> None:
    """A database that was damaged before it was backed up."""
    store = SlotStore(tmp_path / "data")
    put_slots(store, 1, 3)
    store._environment.write(
        lambda txn: txn.put(b"\0\0\0\x07\0\0\0\x02", b"\x01broken", db=store._environment.tables["slots"])
    )
    write_backup(store, tmp_path / "backup")
    store.close()
    with pytest.raises(BackupInvalidError, match="table slots: a stored record cannot be read"):
        verify_backup(tmp_path / "backup")


# Of these tables the values are empty, vectors, or forms of texts.
UNREAD = {
    *("request_ages", "expiries", "pair_rows", "forms", "stale", "superseded", "former_expiries", "cue_rows"),
    *("summarized", "archived", "vectors", "cue_vectors", "version_vectors", "row_forms", "form_builds"),
    *("meta", "doomed"),
}


@pytest.mark.parametrize("table", sorted(set(TABLES) - UNREAD - {"names"}))
@pytest.mark.parametrize("value", [b"\x01\xc1", b"\x09", b""])
def test_a_record_of_any_table_that_cannot_be_read_is_found(tmp_path: Path, table: str, value: bytes) -> None:
    store = SlotStore(tmp_path / "data", durability=Durability.ASYNC)
    put_slots(store, 1, 2)
    store.write(lambda batch: batch.put(table, b"\0\0\0\x7f" * 4, value))
    write_backup(store, tmp_path / "backup")
    store.close()
    with pytest.raises(BackupInvalidError, match=f"table {table}"):
        verify_backup(tmp_path / "backup")


def test_a_name_that_leads_nowhere_is_found(backup: Path, tmp_path: Path) -> None:
    """It is met before any record is read."""
    shutil.copytree(backup, tmp_path / "copy")
    store = SlotStore(tmp_path / "data", durability=Durability.ASYNC)
    store.write(lambda batch: batch.put("names", b"ann", b"\0"))
    store.close()
    shutil.copy(tmp_path / "data/data.mdb", tmp_path / "copy/data.mdb")
    manifest = decode_manifest((backup / "manifest.json").read_bytes())
    data = (tmp_path / "copy/data.mdb").read_bytes()
    member = Member("data.mdb", len(data), sha256(data).hexdigest())
    (tmp_path / "copy/manifest.json").write_bytes(encode_manifest(msgspec.structs.replace(manifest, members=(member,))))
    with pytest.raises(BackupInvalidError, match="cannot be read"):
        verify_backup(tmp_path / "copy")


def test_what_is_no_backup_is_refused(tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    refused(tmp_path / "folder", tmp_path, "has no manifest.json")
    (tmp_path / "file").write_bytes(b"PK\x03\x04" + bytes(1000))
    refused(tmp_path / "file", tmp_path, "is no backup, or its end is cut off")


def test_a_backup_of_the_first_format_is_read() -> None:
    """One slot of one namespace, as version 0.1.0 wrote it."""
    manifest, n_records = verify_backup(GOLDEN)
    (namespace,) = manifest.contents.namespaces
    assert (namespace.name, namespace.n_slots, manifest.model) == (NAMESPACE.name, 1, "all-MiniLM-L6-v2")
    assert n_records == sum(manifest.contents.tables.values())
    described = open_backup(GOLDEN).manifest
    assert decode_manifest(encode_manifest(described)) == described
