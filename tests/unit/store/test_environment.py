"""The data directory: one process, one format, a map that grows, a limit that is kept."""

import errno
import os
import resource
import signal
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from adamem_server.errors import DataDirectoryInUseError, DataFormatError, StartupError, StorageFullError
from adamem_server.store import environment as module
from adamem_server.store.environment import Environment
from adamem_server.store.keys import encode_u32
from adamem_server.types import Durability
from tests.patience import PATIENCE_S, wait_until


def open_environment(path: Path, max_bytes: int = 0) -> Environment:
    return Environment(path, durability=Durability.SYNC, max_bytes=max_bytes)


def fill(environment: Environment, start: int, count: int, size: int = 4000) -> None:
    table = environment.tables["slots"]

    def work(txn: module.ReadTransaction) -> None:
        for i in range(start, start + count):
            txn.put(i.to_bytes(8, "big"), bytes(size), db=table)

    environment.write(work)


def count(environment: Environment) -> int:
    with environment.read() as txn:
        return int(txn.stat(environment.tables["slots"])["entries"])


def test_second_process_is_refused(tmp_path: Path) -> None:
    environment = open_environment(tmp_path)
    code = (
        "import sys; from pathlib import Path\n"
        "from adamem_server.store.environment import Environment\n"
        "from adamem_server.types import Durability\n"
        "from adamem_server.errors import DataDirectoryInUseError\n"
        "try: Environment(Path(sys.argv[1]), durability=Durability.SYNC, max_bytes=0)\n"
        "except DataDirectoryInUseError: sys.exit(42)\n"
    )
    assert subprocess.run([sys.executable, "-c", code, str(tmp_path)], check=False).returncode == 42
    environment.close()
    open_environment(tmp_path).close()


def test_same_process_is_refused_too(tmp_path: Path) -> None:
    environment = open_environment(tmp_path)
    with pytest.raises(DataDirectoryInUseError):
        open_environment(tmp_path)
    environment.close()


def test_newer_format_is_refused_and_left_alone(tmp_path: Path) -> None:
    environment = open_environment(tmp_path)
    table = environment.tables["meta"]
    environment.write(lambda txn: txn.put(b"format", encode_u32(module.FORMAT + 1), db=table))
    environment.close()
    before = (tmp_path / "data.mdb").read_bytes()
    with pytest.raises(DataFormatError, match=f"format {module.FORMAT + 1}"):
        open_environment(tmp_path)
    assert (tmp_path / "data.mdb").read_bytes() == before


def test_a_file_in_place_of_the_directory_is_a_clear_error(tmp_path: Path) -> None:
    (tmp_path / "data").write_text("not a directory")
    with pytest.raises(StartupError, match="cannot use the data directory"):
        open_environment(tmp_path / "data")


def test_a_damaged_file_is_a_clear_error(tmp_path: Path) -> None:
    open_environment(tmp_path).close()
    (tmp_path / "data.mdb").write_bytes(b"garbage" * 2000)
    with pytest.raises(StartupError, match="cannot open"):
        open_environment(tmp_path)


def test_map_grows_while_readers_come_and_go(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_FIRST_MAP_BYTES", 1 << 20)
    environment = open_environment(tmp_path)
    stop = threading.Event()
    seen: list[int] = []

    def read() -> None:
        while True:
            seen.append(count(environment))
            # A pause between reads: two threads that never rest would leave the writer hardly any of the GIL.
            if stop.wait(0.002):
                return

    readers = [threading.Thread(target=read) for _ in range(2)]
    for reader in readers:
        reader.start()
    for i in range(20):
        # Few and large: each put lets go of the GIL, which the readers then keep for a while.
        fill(environment, i * 10, 10, size=80_000)
    stop.set()
    for reader in readers:
        reader.join()
    assert count(environment) == 200
    assert environment.data_bytes() > 8 << 20
    assert max(seen) <= 200
    environment.close()


class Growing(Environment):
    """Tells when its map is about to grow."""

    grows: threading.Event

    def _resize(self, size: int) -> None:
        self.grows.set()
        super()._resize(size)


def test_a_long_read_holds_up_no_others_while_the_map_waits_to_grow(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_FIRST_MAP_BYTES", 1 << 20)
    environment = Growing(tmp_path, durability=Durability.SYNC, max_bytes=0)
    environment.grows = threading.Event()
    with ThreadPoolExecutor(2) as pool:
        with environment.read() as txn:
            wait_until(environment.has_long_read)
            written = pool.submit(fill, environment, 0, 100, 80_000)
            assert environment.grows.wait(PATIENCE_S)
            for _ in range(100):
                assert pool.submit(count, environment).result(PATIENCE_S) == 0
            assert not written.done()
            assert txn.stat(environment.tables["slots"])["entries"] == 0
        written.result(PATIENCE_S)
    assert not environment.has_long_read()
    assert count(environment) == 100
    environment.close()


@pytest.mark.skipif(sys.platform != "linux", reason="RLIMIT_AS is not kept elsewhere")
def test_the_map_is_as_large_as_the_system_lets_it_be(tmp_path: Path) -> None:
    code = (
        "import resource, sys; from pathlib import Path\n"
        "from adamem_server.store.environment import Environment\n"
        "from adamem_server.store.offline import OfflineDatabase\n"
        "from adamem_server.types import Durability\n"
        "path = Path(sys.argv[1])\n"
        "def size():\n"
        "    environment = Environment(path, durability=Durability.SYNC, max_bytes=0)\n"
        "    found = environment._env.info()['map_size']\n"
        "    environment.close()\n"
        "    return found\n"
        "print(size())\n"
        "resource.setrlimit(resource.RLIMIT_AS, (16 << 30, 16 << 30))\n"
        "print(size())\n"
        "with OfflineDatabase(path, shared=False) as offline, offline.read(): pass\n"
    )
    found = subprocess.run([sys.executable, "-c", code, str(tmp_path)], check=True, capture_output=True).stdout.split()
    free, bounded = map(int, found)
    assert free == 256 << 30
    assert 1 << 30 <= bounded < 16 << 30


def test_limit_of_the_file_is_kept_and_changes_nothing(tmp_path: Path) -> None:
    environment = open_environment(tmp_path, max_bytes=16 << 20)
    fill(environment, 0, 100)
    with pytest.raises(StorageFullError, match="ADAMEM_MAX_DATA_BYTES"):
        fill(environment, 100, 10_000)
    assert count(environment) == 100
    fill(environment, 100, 100)
    assert count(environment) == 200
    environment.close()


@pytest.mark.skipif(sys.platform != "linux", reason="RLIMIT_FSIZE stands in for a full disk")
def test_full_disk_changes_nothing_and_writes_go_on_after_it(tmp_path: Path) -> None:
    environment = open_environment(tmp_path)
    fill(environment, 0, 100)
    old_handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    try:
        resource.setrlimit(resource.RLIMIT_FSIZE, (environment.data_bytes() + (1 << 20), hard))
        with pytest.raises(StorageFullError, match="full"):
            fill(environment, 100, 2000)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        signal.signal(signal.SIGXFSZ, old_handler)
    assert count(environment) == 100
    fill(environment, 100, 2000)
    assert count(environment) == 2100
    environment.close()


@pytest.mark.skipif(sys.platform != "linux", reason="files are not allocated ahead elsewhere")
def test_a_full_disk_is_met_before_lmdb_maps_a_file_that_has_no_place_on_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A first start on a full disk ended in SIGBUS, at the first write into the table of readers."""
    open_environment(tmp_path / "room").close()
    stat = (tmp_path / "room" / "lock.mdb").stat()
    assert stat.st_blocks * 512 >= stat.st_size

    def full(*_: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "posix_fallocate", full)
    with pytest.raises(StartupError, match="No space left"):
        open_environment(tmp_path / "none")
