"""A namespace learns which slots help by how they look; another one begins with that; nothing stays that should go."""

from collections.abc import Iterator
from pathlib import Path

import pytest
import structlog

from adamem_server.adapt.ranker import Seen
from adamem_server.errors import DataCorruptError
from adamem_server.memory.elsewhere import seen_elsewhere
from adamem_server.memory.learning import LearningSettings
from adamem_server.store.keys import adapter_key, number_key
from adamem_server.store.slot_store import ReadView
from adamem_server.types import Query, QueryMode, TrainingOutcome, TrainingReport
from tests.unit.memory.engines import Lab

N_TOPICS = 40
N_TAUGHT = 24


@pytest.fixture
def lab(tmp_path: Path) -> Iterator[Lab]:
    lab = Lab(tmp_path, learning=LearningSettings(auto_pairs=0, cpu_share=1.0))
    yield lab
    lab.close()


def fill(lab: Lab, namespace: str) -> list[str]:
    """Of each topic two slots that its question finds alike; the one that helps has a number."""
    lab.put(namespace, *(f"about {topic(n)} it was vague" for n in range(N_TOPICS)))
    return lab.put(namespace, *(f"about {topic(n)} it was {n + 10}" for n in range(N_TOPICS)))


def topic(n: int) -> str:
    """A word without a digit."""
    return (
        f"topic{chr(ord('a') + n // 26)}{chr(ord('a') + n % 26)}x was{chr(ord('a') + n // 26)}{chr(ord('a') + n % 26)}"
    )


def question(n: int) -> str:
    return f"about {topic(n)} it was vague"


def teach(lab: Lab, namespace: str, answers: list[str], topics: range) -> None:
    for n in topics:
        lab.now += 1
        lab.engine.adaptation.feedback(namespace, question(n), helped=[answers[n]])


def trained(lab: Lab, namespace: str) -> TrainingReport:
    report = lab.engine.adaptation.train_adapter(namespace, wait=True).last
    assert report is not None
    return report


def n_first(lab: Lab, namespace: str, answers: list[str], **fields: object) -> int:
    """How many questions that were not taught find their answer first."""
    found = (
        lab.engine.query(Query(namespaces=(namespace,), top_k=1, text=question(n), mode=QueryMode.HYBRID, **fields))
        for n in range(N_TAUGHT, N_TOPICS)
    )
    return sum(each.hits[0].view.slot.id == answer for each, answer in zip(found, answers[N_TAUGHT:], strict=True))


def test_how_answers_look_is_learned_and_explained(lab: Lab) -> None:
    answers = fill(lab, "n")
    before = n_first(lab, "n", answers)
    teach(lab, "n", answers, range(N_TAUGHT))
    assert trained(lab, "n").outcome is TrainingOutcome.PROMOTED
    assert n_first(lab, "n", answers) > before + 8
    assert n_first(lab, "n", answers, use_adapter=False) == before
    status = lab.engine.adaptation.get_adapter("n")
    assert status.learned_weights["digits"] == max(status.learned_weights.values()) > 0.05
    query = Query(namespaces=("n",), top_k=3, text=question(30), mode=QueryMode.HYBRID)
    for hit in lab.engine.query(query).hits:
        assert sum(hit.parts.values()) == pytest.approx(hit.score, abs=1e-4)
        assert hit.parts["learned"]
    # It was learned for the namespace's weights, not for those that a request brings.
    own = Query(namespaces=("n",), top_k=3, text=question(30), mode=QueryMode.HYBRID, ranking={"session": 0.3})
    assert not any("learned" in hit.parts for hit in lab.engine.query(own).hits)
    lab.engine.adaptation.rollback_adapter("n", 0)
    assert n_first(lab, "n", answers) == before
    assert not lab.engine.adaptation.get_adapter("n").learned_weights


def test_it_is_there_after_a_restart(lab: Lab) -> None:
    answers = fill(lab, "n")
    teach(lab, "n", answers, range(N_TAUGHT))
    trained(lab, "n")
    before = lab.engine.adaptation.get_adapter("n"), n_first(lab, "n", answers)
    lab.restart()
    assert (lab.engine.adaptation.get_adapter("n"), n_first(lab, "n", answers)) == before


def taught_elsewhere(lab: Lab) -> dict[str, float]:
    """What a namespace learns from a few questions where another one has learned from many."""
    first = fill(lab, "first")
    teach(lab, "first", first, range(N_TAUGHT))
    trained(lab, "first")
    teach(lab, "second", fill(lab, "second"), range(12))
    trained(lab, "second")
    return lab.engine.adaptation.get_adapter("second").learned_weights


def test_a_namespace_begins_with_what_others_learned(tmp_path: Path) -> None:
    found = {}
    for across in (True, False):
        settings = LearningSettings(auto_pairs=0, cpu_share=1.0, across_namespaces=across)
        lab = Lab(tmp_path / str(across), learning=settings)
        found[across] = taught_elsewhere(lab)["digits"]
        lab.close()
    assert found[True] > 1.2 * found[False] > 0.0


def undamaged(view: ReadView, number: int, error: DataCorruptError) -> None:
    pytest.fail(f"namespace {number}: {error}")


def elsewhere(lab: Lab, number: int) -> Seen:
    """What namespaces other than a number's tell; none is damaged."""
    with lab.store.read() as view:
        return seen_elsewhere(view, number, on_damage=undamaged)


def test_what_is_gone_teaches_nobody(lab: Lab) -> None:
    teach(lab, "first", fill(lab, "first"), range(N_TAUGHT))
    trained(lab, "first")
    number = lab.engine.get_namespace("first").namespace.number
    assert elsewhere(lab, 0).curvature.any()
    assert not elsewhere(lab, number).curvature.any()
    lab.engine.adaptation.rollback_adapter("first", 0)
    assert not elsewhere(lab, 0).curvature.any()
    lab.engine.adaptation.rollback_adapter("first", 1)
    assert elsewhere(lab, 0).curvature.any()
    lab.engine.delete_namespace("first")
    assert not elsewhere(lab, 0).curvature.any()


@pytest.mark.parametrize("table", ["learning", "adapters", "namespaces"])
def test_what_is_damaged_costs_only_itself(tmp_path: Path, table: str) -> None:
    lab = Lab(tmp_path, learning=LearningSettings(auto_pairs=0, cpu_share=1.0))
    for name in ("first", "second"):
        teach(lab, name, fill(lab, name), range(N_TAUGHT))
        trained(lab, name)
    number = lab.engine.get_namespace("first").namespace.number
    damaged = adapter_key(number, 1) if table == "adapters" else number_key(number)
    lab.store.write(lambda batch: batch.put(table, damaged, b"\x01damaged"))
    with structlog.testing.capture_logs() as logs:
        lab.restart()
        third = fill(lab, "third")
        for start in (0, 12):
            teach(lab, "third", third, range(start, start + 12))
            assert trained(lab, "third").n_pairs == start + 12
    told = [(log["namespace"], log["number"]) for log in logs if log["event"] == "record_damaged"]
    assert told == [("first", number)]
    # The other one still tells what it saw.
    with lab.store.read() as view:
        found = seen_elsewhere(view, view.namespace_number("third") or 0, on_damage=lambda view, number, error: None)
    assert found.curvature.any()
    lab.close()
