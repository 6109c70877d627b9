"""Learning through the Python client and a real server with the bundled encoder: taught, promoted, served, set back."""

import pytest

import adamem
from tests.integration.conftest import NewServer
from tests.patience import wait_until

# Questions whose answers are told in other words; each is asked in several ways.
TOPICS = {
    "The badge opens the blue door at the rear.": "How do I get into the lab",
    "Reimbursements go to Marta by the tenth.": "Who pays my taxi back",
    "The spare projector is under the stairs.": "Where can I find something to show slides",
    "Lunch is at half past twelve, in the yard.": "When do people here eat",
    "Write to ops before touching the router.": "Whom do I ask when the network is slow",
    "Plants are watered by the night porter.": "Who looks after the green things",
    "The north lift stops only on even floors.": "Why can I not reach level three",
    "Printer paper is ordered every first Monday.": "What if we run out of sheets",
}
WAYS = ("{}?", "Tell me: {}?", "{}, please?", "I am new here. {}?")
UNHEARD = ("Could somebody tell me: {}?", "Hello! {}?")
OTHERS = [f"Room {n} was painted in {1950 + n}, and its door is number {7 * n}." for n in range(60)]


def first(client: adamem.Client, wording: str) -> list[tuple[str, str]]:
    return [(client.query(wording.format(q), top_k=1)[0].slot.content, answer) for answer, q in TOPICS.items()]


def n_right(client: adamem.Client) -> int:
    return sum(found == answer for wording in UNHEARD for found, answer in first(client, wording))


def test_a_namespace_learns(new_server: NewServer) -> None:
    server = new_server(ADAMEM_ADAPTER_AUTO_PAIRS="0").start()
    with adamem.Client(server.address, namespace="office") as client:
        ids = {answer: client.update(answer).slot_id for answer in TOPICS}
        others = [result.slot_id for result in client.batch_update(OTHERS)]
        before = n_right(client)
        for wording in WAYS:
            for answer, question in TOPICS.items():
                text = wording.format(question)
                told = client.feedback(text, helped=ids[answer], unhelpful=others[:1])
                assert told == adamem.FeedbackResult(2, 0)
        status = client.get_adapter()
        assert (status.n_pairs, status.n_new_pairs, status.version) == (len(WAYS) * len(TOPICS),) * 2 + (0,)
        status = client.train_adapter(wait=True)
        assert status.last_training is not None
        assert status.last_training.outcome is adamem.TrainingOutcome.PROMOTED
        assert status.last_training.candidate > status.last_training.baseline
        after = n_right(client)
        assert after > before
        assert client.get_namespace().adapter_version == status.version == 1
        assert client.query("x").adapter_version == 1
        assert client.query("x", use_adapter=False).adapter_version == 0
        assert "digits" in status.learned_weights
        (hit,) = client.query(next(iter(TOPICS.values())), top_k=1)
        assert sum(hit.score_parts.values()) == pytest.approx(hit.score, abs=1e-3)
        assert "learned" in hit.score_parts
    server.kill()
    server.start()
    with adamem.Client(server.address, namespace="office") as client:
        assert n_right(client) == after
        assert [each.serving for each in client.list_adapter_versions()] == [True]
        assert client.rollback_adapter(0).version == 0
        assert n_right(client) == before
        assert client.rollback_adapter(1).version == 1
        client.update_namespace("office", adapter_enabled=False)
        assert n_right(client) == before
        client.delete_slots(others[:1])
        client.delete_namespace("office")
        client.update("all new", namespace="office")
        assert client.get_adapter().n_pairs == 0
    assert server.stop() == 0


def test_it_learns_by_itself_and_from_cues(new_server: NewServer) -> None:
    server = new_server(ADAMEM_ADAPTER_AUTO_PAIRS="40").start()
    with adamem.Client(server.address, namespace="office") as client:
        client.batch_update(OTHERS)
        client.batch_update([{"content": answer, "cue": question} for answer, question in TOPICS.items()])
        ids = {slot.content: slot.id for slot in client.list_slots()}
        for wording in WAYS:
            for answer, question in TOPICS.items():
                client.feedback(wording.format(question), helped=ids[answer])
        assert client.get_adapter().n_pairs == len(TOPICS) * (1 + len(WAYS))
        wait_until(lambda: client.get_adapter().last_training is not None)
        last = client.get_adapter().last_training
        assert last is not None
        assert last.n_pairs > last.n_judged > 0
    assert server.stop() == 0
