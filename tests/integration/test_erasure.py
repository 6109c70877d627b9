"""What is erased is in no file of the data directory any more: not its text, not its vector, not what was derived."""

import json
import re
import threading
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

import numpy as np
import pytest

import adamem
from tests.integration.conftest import NewServer
from tests.integration.process import ServerProcess
from tests.integration.test_backup import cli
from tests.patience import wait_until

DIM = 384
MARK = np.float32(1234.567)
_TEXT = re.compile(rb"secret(\d{5})x|hush(\d{5})h")
_VECTOR = re.compile(re.escape(np.array([MARK, MARK], "<f4").tobytes()) + rb"(.{4})", re.DOTALL)


def traces(data_dir: Path, secrets: Iterable["Secret"]) -> dict[str, set[int]]:
    """The files of a data directory that hold any piece of some secrets, with the numbers of these."""
    wanted = {secret.number for secret in secrets}
    found: dict[str, set[int]] = {}
    for path in sorted(data_dir.rglob("*")):
        data = content(path)
        numbers = {int(each[1] or each[2]) for each in _TEXT.finditer(data)}
        numbers |= {int(np.frombuffer(each[1], "<f4")[0]) for each in _VECTOR.finditer(data)}
        if numbers & wanted:
            found[str(path.relative_to(data_dir))] = numbers & wanted
    return found


def content(path: Path) -> bytes:
    """Of a file; nothing of one that is put in the place of another one just now."""
    try:
        return path.read_bytes() if path.is_file() else b""
    except FileNotFoundError:
        return b""


def counts(receipt: adamem.DeletionReceipt) -> dict[str, tuple[int, int]]:
    return {each.name: (each.n_before, each.n_after) for each in receipt.structures}


class Secret:
    """A slot to be erased; each word, its cue and three places of its vector tell its number."""

    def __init__(self, number: int, *, n_words: int = 10) -> None:
        self.number = number
        self.content = " ".join(f"secret{number:05d}x{i:04d}q" for i in range(n_words))
        self.cue = f"what is hush{number:05d}hush?"
        self.vector = np.random.default_rng(number).standard_normal(DIM).astype(np.float32)
        for place in (0, 100, DIM - 3):
            self.vector[place : place + 3] = (MARK, MARK, number)
        self.slot_id = ""

    def slot(self) -> adamem.SlotInput:
        return adamem.SlotInput(content=self.content, cue=self.cue, vector=self.vector)


def store(client: adamem.Client, secrets: Sequence[Secret], n_at_once: int = 1000) -> None:
    for start in range(0, len(secrets), n_at_once):
        some = secrets[start : start + n_at_once]
        for secret, result in zip(some, client.batch_update([each.slot() for each in some]), strict=True):
            secret.slot_id = result.slot_id


def ordinary(n: int, n_words: int = 40) -> list[adamem.SlotInput]:
    rng = np.random.default_rng(n)
    return [
        adamem.SlotInput(
            content=f"ordinary {i} " + "words " * n_words, vector=rng.standard_normal(DIM).astype(np.float32)
        )
        for i in range(n)
    ]


@pytest.fixture
def server(new_server: NewServer) -> ServerProcess:
    return new_server(ADAMEM_SNAPSHOT_INTERVAL_S="0.1").start()


def test_erased_slots_leave_no_byte_in_any_file(server: ServerProcess) -> None:
    with adamem.Client(server.address, namespace="diary", timeout_s=120) as client:
        # With "dot" vectors are in the index as they were given.
        client.create_namespace("diary", metric="dot")
        client.bulk_update(ordinary(2_500))
        # Words that are first asked for behind the last change are not saved before the next one.
        client.query("words")
        # Of all sizes: in a page with others, in pages of their own.
        secrets = [Secret(i, n_words=1 + 40 * (i % 20)) for i in range(200)]
        store(client, secrets, n_at_once=20)
        assert secrets[3].content in {hit.slot.content for hit in client.query(secrets[3].content)}
        client.feedback("an ordinary question", helped=[secrets[5].slot_id, secrets[30].slot_id])
        # The indexes are saved with them.
        files = {"data.mdb", "index/1.idx"}
        wait_until(lambda: files <= traces(server.data_dir, secrets).keys() and _exists(server, "1.cue", "1.lex"))
        keep, gone = secrets[:20], secrets[20:]
        result = client.delete_slots([each.slot_id for each in gone], erase=True)
        assert traces(server.data_dir, gone) == {}
        assert traces(server.data_dir, keep)["data.mdb"] == {each.number for each in keep}
        receipt = counts(result.receipt)
        assert result.receipt.erased_at is not None
        assert result.receipt.n_bytes_erased > len(gone) * DIM * 4
        assert result.n_deleted == len(gone)
        for name in ("slots", "vectors", "rows", "vector_index", "lexical_index"):
            assert receipt[name] == (2_700, 2_520), name
        assert receipt["cue_vectors"] == receipt["cue_index"] == (200, 20)
        # Nine requests stored them, and the deletion is one itself. The feedback names a slot that stays.
        assert receipt["requests"][0] - receipt["requests"][1] == 9 - 1
        assert receipt["pairs"] == (201, 21)
        assert receipt["index_files"] == (3, 0)
        # What stays is whole; the server goes on to write, and nothing comes back.
        for each in keep:
            assert client.get_slot(each.slot_id).content == each.content
        client.bulk_update(ordinary(300))
        assert traces(server.data_dir, gone) == {}
    assert server.stop() == 0
    assert traces(server.data_dir, gone) == {}
    server.start()
    with adamem.Client(server.address, namespace="diary") as client:
        assert keep[7].content in {hit.slot.content for hit in client.query(keep[7].content)}
        # Saved again, of what is there.
        wait_until(lambda: _exists(server, "1.idx", "1.cue", "1.lex"))
        assert traces(server.data_dir, gone) == {}
        assert "index/1.idx" in traces(server.data_dir, keep)
        assert not {each.content for each in gone} & {slot.content for slot in client.list_slots()}


def _exists(server: ServerProcess, *names: str) -> bool:
    return all((server.data_dir / "index" / name).exists() for name in names)


def test_an_erased_namespace_leaves_no_byte_in_any_file(server: ServerProcess) -> None:
    secrets = [Secret(1000 + i, n_words=30) for i in range(50)]
    with adamem.Client(server.address, namespace="gone") as client:
        client.bulk_update(ordinary(500), namespace="stays")
        store(client, secrets)
        assert client.query(secrets[0].content)[0].slot.content == secrets[0].content
        assert traces(server.data_dir, secrets)
        result = client.delete_namespace("gone", erase=True)
        assert traces(server.data_dir, secrets) == {}
        assert result.n_slots == 50
        assert result.receipt.erased_at is not None
        assert {n_after for _, n_after in counts(result.receipt).values()} == {0}
        assert counts(result.receipt)["slots"] == (50, 0)
        assert client.get_namespace("stays").n_slots == 500


def test_a_deletion_without_erasure_says_that_bytes_may_remain(server: ServerProcess) -> None:
    secret = Secret(1)
    with adamem.Client(server.address, namespace="plain") as client:
        store(client, [secret])
        receipt = client.delete_slots([secret.slot_id]).receipt
        assert (receipt.erased_at, receipt.n_bytes_erased) == (None, 0)
        assert counts(receipt)["slots"] == counts(receipt)["vectors"] == (1, 0)
        assert traces(server.data_dir, [secret])
        assert counts(client.delete_namespace("plain").receipt)["slots"] == (0, 0)


def test_the_command_line_erases(server: ServerProcess) -> None:
    with adamem.Client(server.address, namespace="cli") as client:
        slot_id = client.update("the passphrase is xyzzy-plugh-4711").slot_id
        client.update("another", namespace="cli2")
    done = cli("-n", "cli", "slots", "delete", slot_id, "--erase", "--yes", "--json", endpoint=server.address)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["receipt"]["erased_at"]
    assert b"xyzzy-plugh-4711" not in (server.data_dir / "data.mdb").read_bytes()
    told = cli("-n", "cli", "slots", "delete", slot_id, "--yes", endpoint=server.address)
    assert "may remain on disk" in told.stderr
    done = cli("namespace", "delete", "cli2", "--erase", "--yes", endpoint=server.address)
    assert (done.returncode, "erased at" in done.stderr) == (0, True)


def test_reads_and_writes_go_on_during_erasures(server: ServerProcess) -> None:
    stop = threading.Event()
    failures: list[Exception] = []

    def repeat(work: Callable[[int], None]) -> threading.Thread:
        def loop() -> None:
            number = 0
            while not stop.is_set():
                try:
                    work(number)
                except Exception as error:  # noqa: BLE001 - asserted below
                    failures.append(error)
                    return
                number += 1

        thread = threading.Thread(target=loop)
        thread.start()
        return thread

    with adamem.Client(server.address, namespace="busy", timeout_s=120) as client:
        client.bulk_update(ordinary(3_000))
        vector = np.ones(DIM, np.float32)

        def write(number: int) -> None:
            written = client.update(f"number {number}", vector=vector)
            assert client.get_slot(written.slot_id).content == f"number {number}"

        def read(number: int) -> None:
            assert len(client.query(vector=vector, top_k=5)) == 5
            assert len(client.list_slots_page(page_size=200).slots) == 200

        threads = [repeat(write), repeat(write), repeat(read)]
        try:
            for number in range(8):
                secrets = [Secret(number * 10 + i, n_words=200) for i in range(10)]
                store(client, secrets)
                result = client.delete_slots([each.slot_id for each in secrets], erase=True)
                assert result.receipt.erased_at is not None
                assert traces(server.data_dir, secrets) == {}
        finally:
            stop.set()
            for thread in threads:
                thread.join()
    assert failures == []


def test_an_erasure_that_a_kill_cut_short_is_completed_by_the_next_start(new_server: NewServer) -> None:
    server = new_server().start()
    secrets = [Secret(i, n_words=100) for i in range(30)]
    with adamem.Client(server.address, namespace="killed", max_attempts=1) as client:
        for _ in range(6):
            client.bulk_update(ordinary(3_000, n_words=300))
        store(client, secrets)
        ids = [each.slot_id for each in secrets]

        def erase() -> None:
            with pytest.raises(adamem.UnavailableError):
                client.delete_slots(ids, erase=True, request_id="")

        thread = threading.Thread(target=erase)
        thread.start()
        # Deleted already, and not all overwritten.
        wait_until(lambda: not _is_there(server, ids[0]))
        server.kill()
        thread.join()
    assert traces(server.data_dir, secrets)
    server.start()
    wait_until(lambda: not traces(server.data_dir, secrets))
    with adamem.Client(server.address, namespace="killed") as client:
        assert client.get_namespace().n_slots == 18_000


def _is_there(server: ServerProcess, slot_id: str) -> bool:
    with adamem.Client(server.address, namespace="killed") as client:
        try:
            client.get_slot(slot_id)
        except adamem.SlotNotFoundError:
            return False
    return True
