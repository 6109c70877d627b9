"""Backups of a server that is written to, by its client and its command line; kills on both sides; restoring them."""

import asyncio
import json
import os
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest

import adamem
from adamem_server.store.backup import verify_backup
from tests.integration.conftest import NewServer
from tests.integration.process import ServerProcess
from tests.patience import PATIENCE_S, wait_until

CLI = (sys.executable, "-m", "adamem_server.cli")
N_BATCH = 5


def cli(*arguments: str, endpoint: str = "") -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "MEMORY_ENDPOINT": endpoint}
    command = [*CLI, *arguments]
    return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=120, check=False)


def dies_at(n_bytes: int, *arguments: str) -> list[str]:
    """A command line that is ended, without a chance to tidy up, when it writes a file beyond so many bytes."""
    code = (
        "import resource, signal, sys\n"
        "signal.signal(signal.SIGXFSZ, signal.SIG_DFL)\n"
        "resource.setrlimit(resource.RLIMIT_CORE, (0, 0))\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv.pop(1)),) * 2)\n"
        "from adamem_server.cli.main import main\n"
        "main()\n"
    )
    return [sys.executable, "-c", code, str(n_bytes), *arguments]


def killed(n_bytes: int, *arguments: str, endpoint: str = "") -> None:
    """Runs a command line that dies so."""
    done = subprocess.run(
        dies_at(n_bytes, *arguments),
        env={**os.environ, "MEMORY_ENDPOINT": endpoint},
        capture_output=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == -signal.SIGXFSZ, done.stderr


def serve_restored(folder: Path, data_dir: Path) -> ServerProcess:
    folder.mkdir()
    return ServerProcess(folder, ADAMEM_DATA_DIR=str(data_dir)).start()


class Writers:
    """Threads that store batches of equal contents, and note each once it is acknowledged."""

    def __init__(self, address: str) -> None:
        self.acknowledged: list[str] = []
        self._stop = threading.Event()
        self._address = address
        self._threads = [threading.Thread(target=self._write, args=(i,)) for i in range(2)]
        for thread in self._threads:
            thread.start()

    def _write(self, seed: int) -> None:
        vector = [1.0, float(seed)]
        with adamem.Client(self._address, namespace="busy") as client:
            number = 0
            while not self._stop.is_set():
                content = f"batch {number} of writer {seed}"
                number += 1
                items = [adamem.SlotInput(content=content, vector=vector) for _ in range(N_BATCH)]
                client.batch_update(items)
                self.acknowledged.append(content)

    def stop(self) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join()


def test_a_backup_under_writes_has_all_that_was_acknowledged_and_nothing_half(
    new_server: NewServer, tmp_path: Path
) -> None:
    server = new_server().start()
    with adamem.Client(server.address) as client:
        client.create_namespace("busy", dim=2, external_vectors=True)
        client.update("Ann is allergic to peanuts", namespace="ann")
        writers = Writers(server.address)
        try:
            wait_until(lambda: len(writers.acknowledged) > 20)
            before = list(writers.acknowledged)
            result = client.backups.save(tmp_path / "backup")
            n_after = len(writers.acknowledged)
            wait_until(lambda: len(writers.acknowledged) > n_after)
        finally:
            writers.stop()
    manifest, _ = verify_backup(tmp_path / "backup")
    assert (manifest.n_slots, manifest.data.sha256) == (result.n_slots, result.sha256)
    done = cli("restore", str(tmp_path / "backup"), "--data-dir", str(tmp_path / "data"), "--json")
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["n_slots"] == result.n_slots
    restored = serve_restored(tmp_path / "restored", tmp_path / "data")
    try:
        with adamem.Client(restored.address, namespace="busy") as client:
            counts: dict[str, int] = {}
            for slot in client.list_slots():
                counts[slot.content] = counts.get(slot.content, 0) + 1
            assert set(before) <= set(counts)
            assert set(counts.values()) == {N_BATCH}
            assert sum(counts.values()) + 1 == result.n_slots
            hits = client.query("What can Ann not eat?", namespace="ann")
            assert hits[0].slot.content == "Ann is allergic to peanuts"
            client.update("written after the restore", vector=[1.0, 0.0])
    finally:
        restored.close()


def test_the_command_line_makes_checks_and_restores_a_backup(server: ServerProcess, tmp_path: Path) -> None:
    with adamem.Client(server.address, namespace="cli") as client:
        client.update("The gate code is 4711")
    single = tmp_path / "backup.adamem"
    made = cli("backup", str(single), "--single-file", "--json", endpoint=server.address)
    assert made.returncode == 0, made.stderr
    assert json.loads(made.stdout)["path"] == str(single)
    again = cli("backup", str(single), "--single-file", endpoint=server.address)
    assert (again.returncode, "there is something already" in again.stderr) == (1, True)
    checked = cli("verify", str(single), "--json")
    assert json.loads(checked.stdout)["sha256"] == json.loads(made.stdout)["sha256"]
    in_use = cli("restore", str(single), "--data-dir", str(server.data_dir), "--force", "--json")
    assert (in_use.returncode, json.loads(in_use.stderr)["error"]["reason"]) == (1, "DATA_DIRECTORY_IN_USE")
    with single.open("r+b") as file:
        file.seek(9000)
        file.write(b"\xff\x00\xff\x00")
    damaged = cli("restore", str(single), "--data-dir", str(tmp_path / "data"), "--json")
    assert (damaged.returncode, json.loads(damaged.stderr.splitlines()[-1])["error"]["reason"]) == (1, "BACKUP_INVALID")
    assert [path.name for path in tmp_path.iterdir()] == ["backup.adamem"]


def test_the_asynchronous_client_makes_the_same(server: ServerProcess, tmp_path: Path) -> None:
    told: list[tuple[int, int]] = []

    async def save() -> adamem.BackupResult:
        async with adamem.AsyncClient(server.address, namespace="async") as client:
            await client.update("Ann likes tea")
            result = await client.backups.save(tmp_path / "backup", on_progress=lambda *each: told.append(each))
            with pytest.raises(FileExistsError):
                await client.backups.save(tmp_path / "backup")
        return result

    result = asyncio.run(save())
    manifest, _ = verify_backup(tmp_path / "backup")
    assert (manifest.data.sha256, manifest.data.n_bytes) == (result.sha256, result.n_bytes)
    assert told[-1][0] == result.n_bytes <= told[-1][1]


@pytest.fixture
def large(new_server: NewServer) -> ServerProcess:
    """A server with enough data that a backup of it takes a while."""
    server = new_server().start()
    with adamem.Client(server.address) as client:
        client.create_namespace("large", dim=2, external_vectors=True)
        items = ({"content": f"{i} " + "text " * 1500, "vector": [1.0, float(i)]} for i in range(6_000))
        assert client.bulk_update(items, namespace="large").n_created == 6_000
    return server


def test_a_backup_whose_client_or_server_is_killed_leaves_no_backup(large: ServerProcess, tmp_path: Path) -> None:
    dest = tmp_path / "backup"
    killed(1 << 20, "backup", str(dest), endpoint=large.address)
    # What is left of it is in nobody's way: the next one begins anew beside it, and leaves nothing.
    (left,) = tmp_path.glob(".backup.*")
    assert (left / "data.mdb").stat().st_size == 1 << 20
    assert not dest.exists()
    with adamem.Client(large.address) as client:
        wait_until(lambda: not _is_busy(client, tmp_path / "other"))

        failed: list[adamem.AdaMemError] = []

        def save() -> None:
            try:
                client.backups.save(dest, on_progress=lambda *_: large.process.kill())
            except adamem.AdaMemError as error:
                failed.append(error)

        thread = threading.Thread(target=save)
        thread.start()
        thread.join(PATIENCE_S)
        assert [type(error) for error in failed] == [adamem.UnavailableError]
    large.kill()
    assert not dest.exists()
    assert list(tmp_path.glob(".backup.*")) == [left]
    large.start()
    with adamem.Client(large.address) as client:
        result = client.backups.save(dest)
    assert verify_backup(dest)[0].n_slots == result.n_slots == 6_000


def _is_busy(client: adamem.Client, path: Path) -> bool:
    try:
        client.backups.save(path)
    except adamem.OverloadedError:
        return True
    return False


def test_a_second_backup_is_refused_and_a_cancelled_one_lets_go(large: ServerProcess, tmp_path: Path) -> None:
    seen: list[type[BaseException]] = []

    class GiveUpError(Exception):
        pass

    def give_up(n_done: int, n_total: int) -> None:
        with pytest.raises(adamem.OverloadedError, match="one is made at a time"):
            client.backups.save(tmp_path / "second")
        seen.append(GiveUpError)
        raise GiveUpError

    with adamem.Client(large.address) as client:
        with pytest.raises(GiveUpError):
            client.backups.save(tmp_path / "first", on_progress=give_up)
        assert seen == [GiveUpError]
        assert list(tmp_path.glob("*first*")) == list(tmp_path.glob("*second*")) == []
        wait_until(lambda: not _is_busy(client, tmp_path / "third"))
    assert large.stop() == 0


def test_a_restore_that_is_killed_leaves_the_old_data_or_the_new(large: ServerProcess, tmp_path: Path) -> None:
    backup, data_dir = tmp_path / "backup", tmp_path / "data"
    with adamem.Client(large.address) as client:
        client.backups.save(backup)
    old = ServerProcess(tmp_path, ADAMEM_DATA_DIR=str(data_dir)).start()
    with adamem.Client(old.address) as client:
        client.update("of the old data", namespace="old")
    assert old.stop() == 0
    part = data_dir / "data.mdb.restoring"
    for n_bytes in (1 << 20, 20_000_000):
        killed(n_bytes, "restore", str(backup), "--data-dir", str(data_dir), "--force")
        assert part.stat().st_size == n_bytes
        old.start()
        with adamem.Client(old.address) as client:
            assert [each.name for each in client.list_namespaces()] == ["old"]
        assert old.stop() == 0
    assert cli("restore", str(backup), "--data-dir", str(data_dir), "--force").returncode == 0
    assert not part.exists()
    old.start()
    with adamem.Client(old.address) as client:
        assert [(each.name, each.n_slots) for each in client.list_namespaces()] == [("large", 6_000)]
    old.close()
    fresh, beside = tmp_path / "fresh", tmp_path / ".fresh.restoring"
    killed(1 << 20, "restore", str(backup), "--data-dir", str(fresh))
    assert (beside / "data.mdb").stat().st_size == 1 << 20
    assert not fresh.exists()
    assert cli("restore", str(backup), "--data-dir", str(fresh)).returncode == 0
    assert not beside.exists()
