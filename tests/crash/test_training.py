"""SIGKILL at random moments of teaching and training: what was acknowledged is there, and it fits together."""

import random
import threading
import time
from pathlib import Path

import pytest

import adamem
from adamem_server.adapt.adapter import Adapter
from adamem_server.store.slot_store import SlotStore
from adamem_server.store.teaching import pairs_of, read_adapters, read_learning, read_pairs
from tests.integration.process import ServerProcess

NAMESPACE = "crash"
N_SLOTS = 80


class Ledger:
    """What the server acknowledged: questions taught, slots deleted, and what is open at the moment of the kill."""

    def __init__(self) -> None:
        self.taught: dict[str, str] = {}
        self.deleted: set[str] = set()
        self.open: set[str] = set()
        self.n_promoted = 0


def teach_until_killed(client: adamem.Client, ledger: Ledger, slots: dict[str, str], rng: random.Random) -> None:
    """Feedback, now and then a cue or a deletion, and trainings one after the other."""
    trainer = threading.Thread(target=train_until_killed, args=(client, ledger))
    trainer.start()
    try:
        while True:
            slot_id, content = rng.choice(list(slots.items()))
            if rng.random() < 0.03 and len(slots) > N_SLOTS // 2:
                ledger.open.add(slot_id)
                client.delete_slots(slot_id)
                ledger.open.discard(slot_id)
                ledger.deleted.add(slot_id)
                del slots[slot_id]
                continue
            question = f"what of {content}, number {len(ledger.taught)}"
            client.feedback(question, helped=slot_id)
            ledger.taught[question] = slot_id
            time.sleep(0.01)
    except adamem.AdaMemError:
        pass
    finally:
        trainer.join()


def train_until_killed(client: adamem.Client, ledger: Ledger) -> None:
    try:
        while True:
            last = client.train_adapter(wait=True).last_training
            ledger.n_promoted += last is not None and last.outcome is adamem.TrainingOutcome.PROMOTED
    except adamem.AdaMemError:
        pass


def check_files(data_dir: Path, ledger: Ledger) -> None:
    """The stored pairs and adapters, read without the server."""
    store = SlotStore(data_dir)
    try:
        with store.read() as view:
            namespace = view.find_namespace(NAMESPACE)
            assert namespace is not None
            number = namespace.number
            pairs = dict(read_pairs(view, number))
            learning = read_learning(view, number)
            assert learning.n_pairs == len(pairs)
            assert max(pairs, default=0) < learning.next_pair
            for each, pair in pairs.items():
                for row in (*pair.helped, *pair.unhelpful):
                    slot = view.slot(number, row)
                    assert slot is not None, "a pair names a slot that is gone"
                    assert each in pairs_of(view, number, row)
            queries = {pair.query for pair in pairs.values()}
            gone = ledger.deleted | ledger.open
            assert {query for query, slot_id in ledger.taught.items() if slot_id not in gone} <= queries
            assert not {query for query, slot_id in ledger.taught.items() if slot_id in ledger.deleted} & queries
            versions = {version.version: data for version, data in read_adapters(view, number)}
            assert all(Adapter.from_bytes(data).version == version for version, data in versions.items())
            assert namespace.adapter_version in {0, *versions}
            assert learning.next_version > max(versions, default=0)
            report = learning.report()
            assert report is None or report.version in {0, *versions}
    finally:
        store.close()


def kill_rounds(folder: Path, n_rounds: int) -> None:
    server = ServerProcess(
        folder,
        ADAMEM_ADAPTER_CPU_SHARE="1",
        ADAMEM_ADAPTER_AUTO_PAIRS="0",
        ADAMEM_ADAPTER_MAX_VERSIONS="3",
        ADAMEM_ADAPTER_MAX_FEEDBACK="10000",
    )
    ledger, rng = Ledger(), random.Random(n_rounds)
    slots: dict[str, str] = {}
    try:
        for _ in range(n_rounds):
            server.start()
            with adamem.Client(server.address, namespace=NAMESPACE, max_attempts=1, timeout_s=20) as client:
                if not slots:
                    contents = [f"thing {n} stands in room {n % 7}" for n in range(N_SLOTS)]
                    results = client.batch_update(contents)
                    slots = {each.slot_id: content for content, each in zip(contents, results, strict=True)}
                    for slot_id, content in list(slots.items())[:20]:
                        client.feedback(f"where is {content}", helped=slot_id)
                teacher = threading.Thread(target=teach_until_killed, args=(client, ledger, slots, rng))
                teacher.start()
                time.sleep(rng.uniform(0.1, 1.5))
                server.kill()
                teacher.join()
            # A deletion that was under way was carried out or not: both are right.
            check_files(server.data_dir, ledger)
            for slot_id in ledger.open:
                slots.pop(slot_id, None)
        server.start()
        with adamem.Client(server.address, namespace=NAMESPACE) as client:
            status = client.train_adapter(wait=True)
            assert status.last_training is not None
            assert status.last_training.outcome is not adamem.TrainingOutcome.FAILED
            serving = [each.version for each in client.list_adapter_versions() if each.serving]
            assert serving == ([status.version] if status.version else [])
            hit = client.query(next(iter(slots.values())), top_k=1)
            assert len(hit) == 1
            assert hit.adapter_version == status.version
    finally:
        server.close()
    assert not server.log_path.read_text(encoding="utf-8").count("training_failed")
    assert len(ledger.taught) > n_rounds


def test_what_was_learned_survives_kills(tmp_path: Path) -> None:
    kill_rounds(tmp_path, 3)


@pytest.mark.crash
def test_what_was_learned_survives_30_kills(tmp_path: Path) -> None:
    kill_rounds(tmp_path, 30)
