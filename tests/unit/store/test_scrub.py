"""A scrub leaves no byte of what was deleted, and every byte of what was not; also beside readers, and cut short."""

import os
from collections.abc import Iterator
from pathlib import Path
from threading import Event, Thread

import numpy as np
import pytest

from adamem_server.errors import DataCorruptError
from adamem_server.store.environment import Environment
from adamem_server.store.scrub import scrub
from adamem_server.types import Durability
from tests.patience import PATIENCE_S

SECRET = b"the secret of "


class Database:
    """An environment with records of many sizes, and what they should be."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.environment = Environment(path, durability=Durability.ASYNC, max_bytes=0)
        self.expected: dict[tuple[str, bytes], bytes] = {}

    def write(self, puts: dict[tuple[str, bytes], bytes], deletes: set[tuple[str, bytes]] = frozenset()) -> None:  # type: ignore[assignment]
        tables = self.environment.tables

        def work(txn: object) -> None:
            for (table, key), value in puts.items():
                txn.put(key, value, db=tables[table])  # type: ignore[attr-defined]
            for table, key in deletes:
                txn.delete(key, db=tables[table])  # type: ignore[attr-defined]

        self.environment.write(work)
        self.expected |= puts
        for each in deletes:
            del self.expected[each]

    def scrub(self, most: int = 7) -> int:
        """A whole pass, in slices; bytes overwritten."""
        last = self.environment.renew()
        assert self.environment.oldest_read() >= last
        page, n_bytes = 0, 0
        held: tuple[int, ...] = ()
        while True:
            with self.environment.scrubbing() as (fd, page_bytes, oldest):
                done = scrub(fd, page_bytes, page, most, oldest)
            page, n_bytes, held = done.next_page, n_bytes + done.n_bytes, held + done.held
            if page >= done.n_pages:
                assert held == ()
                return n_bytes

    def traces(self) -> int:
        return (self.path / "data.mdb").read_bytes().count(SECRET)

    def check(self) -> None:
        found = {}
        with self.environment.read() as txn:
            for table in ("slots", "vectors"):
                for key, value in txn.cursor(db=self.environment.tables[table]):
                    found[table, bytes(key)] = bytes(value)
        assert found == self.expected


@pytest.fixture
def database(tmp_path: Path) -> Iterator[Database]:
    database = Database(tmp_path)
    yield database
    database.environment.close()


def secret(size: int, i: int) -> bytes:
    return (SECRET + b"%d " % i * 2) * (size // 18 + 1)


@pytest.mark.parametrize("seed", range(8))
def test_no_byte_of_what_was_deleted_is_left_and_all_others_are(database: Database, seed: int) -> None:
    rng = np.random.default_rng(seed)
    for _ in range(12):
        puts, deletes = {}, set()
        for _ in range(int(rng.integers(1, 80))):
            i = int(rng.integers(150))
            size = int(rng.choice([1, 40, 500, 1900, 2100, 3000, 4060, 4100, 9000]))
            is_secret = i % 3 == 0
            key = (str(rng.choice(["slots", "vectors"])), b"%06d" % i)
            puts[key] = secret(size, i) if is_secret else b"ordinary" * (size // 8 + 1)
        for key in sorted(database.expected):
            if rng.random() < 0.2 and key not in puts:
                deletes.add(key)
        database.write(puts, deletes)
    database.write({}, {key for key, value in database.expected.items() if SECRET in value})
    assert database.traces()
    assert database.scrub(most=int(rng.integers(1, 60)))
    assert database.traces() == 0
    database.check()
    # A second pass finds nothing to do but the pages of the first one's own opening.
    assert database.scrub() < 1000
    # What is written next comes from clean buffers, and finds its pages.
    database.write({("slots", b"%06d" % i): os.urandom(2500) for i in range(200, 260)})
    assert database.traces() == 0
    database.check()
    database.environment.close()
    database.environment = Environment(database.path, durability=Durability.SYNC, max_bytes=0)
    database.check()


def test_a_slice_may_begin_inside_of_a_value_that_was_written_across_its_first_page(database: Database) -> None:
    """Between two slices others write: where the last one ended nothing need begin any more."""
    database.write({("slots", b"%d" % i): secret(9000, i) for i in range(20)})
    database.write({}, set(database.expected))
    database.scrub()
    database.write({("slots", b"large%d" % i): b"x" * 50_000 for i in range(3)})
    n_pages = (database.path / "data.mdb").stat().st_size // 4096
    for page in range(2, n_pages):
        with database.environment.scrubbing() as (fd, page_bytes, oldest):
            done = scrub(fd, page_bytes, page, 1, oldest)
        assert done.next_page > page
    database.check()


def test_the_end_of_a_value_with_a_page_of_its_own_is_cleared(database: Database) -> None:
    """It is written from the buffer of another page, which LMDB does not clear."""
    database.write({("slots", b"%d" % i): secret(3900, i) for i in range(50)})
    database.write({}, set(database.expected))
    database.write({("slots", b"s%d" % i): b"x" * 2100 for i in range(50)})
    ends = [value for value in _ends(database) if SECRET in value]
    assert ends, "the test shows nothing where LMDB clears its buffers"
    database.scrub()
    assert not [value for value in _ends(database) if any(value)]
    assert database.traces() == 0
    database.check()


def _ends(database: Database) -> list[bytes]:
    """What is behind the values in the pages of the file that hold a value alone."""
    data = (database.path / "data.mdb").read_bytes()
    pages = [data[i : i + 4096] for i in range(0, len(data), 4096)]
    return [page[16 + 2100 :] for page in pages if page[16 : 16 + 2100] == b"x" * 2100]


def test_what_a_reader_still_sees_is_left_until_it_ends(database: Database) -> None:
    database.write({("slots", b"%d" % i): b"seen" * 100 for i in range(300)})
    database.scrub()
    seen, go_on = Event(), Event()
    read: list[bytes] = []

    def reader() -> None:
        with database.environment.read() as txn:
            cursor = txn.cursor(db=database.environment.tables["slots"])
            seen.set()
            assert go_on.wait(PATIENCE_S)
            read.extend(bytes(value) for _, value in cursor)

    thread = Thread(target=reader)
    thread.start()
    assert seen.wait(PATIENCE_S)
    before = dict(database.expected)
    database.write({}, set(database.expected))
    with database.environment.scrubbing() as (fd, page_bytes, oldest):
        done = scrub(fd, page_bytes, 0, 100_000, oldest)
    assert len(done.held) > 30
    go_on.set()
    thread.join()
    assert read == [before[key] for key in sorted(before)]


def test_a_file_that_is_not_as_it_should_be_is_left_alone(database: Database) -> None:
    database.write({("slots", b"%d" % i): b"x" * 500 for i in range(100)})
    with database.environment.scrubbing() as (fd, page_bytes, oldest):
        n_pages = os.fstat(fd).st_size // page_bytes
        pages = [number for number in range(2, n_pages) if os.pread(fd, 11, number * page_bytes)[10] == 2]
        place = pages[-1] * page_bytes
        header = os.pread(fd, 16, place)
        os.pwrite(fd, b"\xff" * 8, place)
        before = os.pread(fd, 1 << 30, 0)
        with pytest.raises(DataCorruptError, match=f"page {pages[-1]} of the data file is not as it should be"):
            scrub(fd, page_bytes, 0, 100_000, oldest)
        assert os.pread(fd, 1 << 30, 0) == before
        os.pwrite(fd, header, place)
        os.pwrite(fd, b"\0\0\0\0", 16)
        with pytest.raises(DataCorruptError, match=r"not one of LMDB 0\.9"):
            scrub(fd, page_bytes, 0, 100_000, oldest)
        os.pwrite(fd, bytes.fromhex("dec0efbe"), 16)
