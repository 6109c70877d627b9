"""Compaction: a smaller file with the same records, beside readers, and what is left when it cannot be done."""

from pathlib import Path
from threading import Event, Thread

import pytest

from tests.patience import PATIENCE_S
from tests.unit.store.test_scrub import Database


@pytest.fixture
def database(tmp_path: Path) -> Database:
    database = Database(tmp_path)
    database.write({("slots", b"%06d" % i): b"%d " % i * 400 for i in range(3000)})
    database.write({}, {each for each in database.expected if int(each[1]) % 10})
    return database


def test_the_file_is_smaller_and_the_records_are_the_same(database: Database) -> None:
    before, after = database.environment.compact()
    assert after == database.environment.data_bytes() < before / 4
    database.check()
    database.write({("slots", b"%06d" % i): b"new" for i in range(10, 40)})
    database.check()
    assert database.environment.compact()[0] < before
    database.check()
    assert sorted(path.name for path in database.path.iterdir()) == ["LOCK", "data.mdb", "lock.mdb"]
    database.environment.close()
    reopened = Database(database.path)
    reopened.expected = database.expected
    reopened.check()
    reopened.environment.close()


def test_it_waits_for_readers_who_see_what_they_saw(database: Database) -> None:
    begun, go_on, compacted = Event(), Event(), Event()
    seen: list[int] = []

    def read() -> None:
        with database.environment.read() as txn:
            begun.set()
            assert go_on.wait(PATIENCE_S)
            seen.append(sum(1 for _ in txn.cursor(db=database.environment.tables["slots"])))
            seen.append(compacted.is_set())

    def compact() -> None:
        database.environment.compact()
        compacted.set()

    reader, writer = Thread(target=read), Thread(target=compact)
    reader.start()
    assert begun.wait(PATIENCE_S)
    writer.start()
    go_on.set()
    reader.join()
    writer.join()
    assert seen == [300, False]
    database.check()
    database.environment.close()


def test_what_cannot_be_done_changes_nothing(database: Database) -> None:
    (database.path / "data.mdb.compacted").mkdir()
    with pytest.raises(OSError, match="Is a directory"):
        database.environment.compact()
    database.check()
    database.write({("slots", b"after"): b"it"})
    database.check()
    database.environment.close()


@pytest.mark.parametrize("name", ["data.mdb.compacted", "data.mdb.restoring"])
def test_what_a_compaction_or_a_restore_left_that_was_cut_short_is_removed(database: Database, name: str) -> None:
    database.environment.close()
    (database.path / name).write_bytes(b"half")
    reopened = Database(database.path)
    reopened.expected = database.expected
    reopened.check()
    assert not (database.path / name).exists()
    reopened.environment.close()
