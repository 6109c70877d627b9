"""SIGKILL at random moments of a mixed load: acknowledged writes are found afterwards, deleted ones stay away."""

import random
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest

import adamem
from tests.integration.process import ServerProcess

N_WRITERS = 3


class Ledger:
    """What the server acknowledged: contents by slot id, deleted ids, and ids whose fate is open."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.stored: dict[str, str] = {}
        self.deleted: set[str] = set()
        self.open: set[str] = set()


def write_until_killed(client: adamem.Client, ledger: Ledger, seed: int, counter: Callable[[], int]) -> None:
    """Updates, replacements, batches and deletions, each noted before it is sent and after it is acknowledged."""
    rng = random.Random(seed)
    mine: list[str] = []
    while True:
        choice = rng.random()
        target: list[str] = []
        try:
            if choice < 0.2 and mine:
                target = [mine.pop(rng.randrange(len(mine)))]
                with ledger.lock:
                    ledger.open.update(target)
                client.delete_slots(target)
                with ledger.lock:
                    ledger.deleted.update(target)
                    ledger.stored.pop(target[0], None)
            elif choice < 0.4 and mine:
                target = [rng.choice(mine)]
                content = f"replaced note {counter()} of writer {seed}"
                with ledger.lock:
                    ledger.open.update(target)
                client.update(content, id=target[0])
                with ledger.lock:
                    ledger.stored[target[0]] = content
            else:
                contents = [f"note {counter()} of writer {seed}" for _ in range(rng.choice([1, 1, 5]))]
                for content, result in zip(contents, client.batch_update(contents), strict=True):
                    assert result.slot_id
                    mine.append(result.slot_id)
                    with ledger.lock:
                        ledger.stored[result.slot_id] = content
            with ledger.lock:
                ledger.open.difference_update(target)
        except adamem.AdaMemError:
            return


def check(client: adamem.Client, ledger: Ledger, rng: random.Random) -> None:
    """The slots are those acknowledged; queries find them and nothing that was deleted."""
    listed = {slot.id: slot.content for slot in client.list_slots()}
    for slot_id, content in ledger.stored.items():
        if slot_id not in ledger.open:
            assert listed.get(slot_id) == content
    assert not ledger.deleted & listed.keys()
    certain = sorted(ledger.stored.keys() - ledger.open)
    for slot_id in rng.sample(certain, min(10, len(certain))):
        assert client.get_slot(slot_id).content == ledger.stored[slot_id]
        hits = list(client.query(ledger.stored[slot_id], top_k=10))
        assert slot_id in {hit.slot.id for hit in hits}
        assert not ledger.deleted & {hit.slot.id for hit in hits}


def kill_rounds(folder: Path, n_rounds: int) -> None:
    server = ServerProcess(folder)
    ledger, rng = Ledger(), random.Random(n_rounds)
    numbers = iter(range(10**9))
    lock = threading.Lock()

    def counter() -> int:
        with lock:
            return next(numbers)

    try:
        for round_number in range(n_rounds):
            server.start()
            with adamem.Client(server.address, namespace="crash", max_attempts=1, timeout_s=20) as client:
                if round_number:
                    check(client, ledger, rng)
                # What was open is settled now: take it as the server has it.
                listed = {slot.id: slot.content for slot in client.list_slots()} if round_number else {}
                ledger.stored = dict(listed)
                ledger.open.clear()
                arguments = [(client, ledger, round_number * N_WRITERS + i, counter) for i in range(N_WRITERS)]
                writers = [threading.Thread(target=write_until_killed, args=each) for each in arguments]
                for writer in writers:
                    writer.start()
                time.sleep(rng.uniform(0.05, 0.8))
                server.kill()
                for writer in writers:
                    writer.join()
        server.start()
        with adamem.Client(server.address, namespace="crash") as client:
            check(client, ledger, rng)
    finally:
        server.close()
    assert len(ledger.stored) > n_rounds
    assert ledger.deleted


def test_acknowledged_writes_survive_kills(tmp_path: Path) -> None:
    kill_rounds(tmp_path, 4)


@pytest.mark.crash
def test_acknowledged_writes_survive_50_kills(tmp_path: Path) -> None:
    kill_rounds(tmp_path, 50)
