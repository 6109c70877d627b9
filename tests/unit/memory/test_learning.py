"""Namespaces learn from what they are taught, serve only what helps, and can be set back."""

import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import structlog

from adamem_server.adapt.adapter import Adapter
from adamem_server.errors import (
    AbortedError,
    AdapterVersionNotFoundError,
    DataCorruptError,
    DeadlineExceededError,
    ModelMismatchError,
    NamespaceNotFoundError,
    RequestIdReusedError,
)
from adamem_server.memory.adapter_jobs import NewAdapter, TrainedJob
from adamem_server.memory.learning import LearningSettings
from adamem_server.memory.training import Training
from adamem_server.store.keys import adapter_key, number_key, pair_key
from adamem_server.store.teaching import put_adapter, read_pairs
from adamem_server.types import (
    FeedbackResult,
    Namespace,
    NamespaceSpec,
    Query,
    QueryMode,
    SlotInput,
    TrainingOutcome,
    TrainingReport,
)
from tests.patience import PATIENCE_S, wait_until
from tests.unit.memory.engines import WORD_DIM, Lab, WordEmbedder, key
from tests.unit.memory.lessons import N_TOPICS, fill, n_found, questions, teach
from tests.unit.memory.support import slot_id
from tests.unit.store.test_codec import ADAPTER

ASKED_ONLY = LearningSettings(auto_pairs=0, cpu_share=1.0)
NEW = range(10, 13)


@pytest.fixture
def lab(tmp_path: Path) -> Iterator[Lab]:
    lab = Lab(tmp_path, learning=ASKED_ONLY)
    yield lab
    lab.close()


def trained(lab: Lab, namespace: str = "n") -> TrainingReport:
    report = lab.engine.adaptation.train_adapter(namespace, wait=True).last
    assert report is not None
    return report


def stored(lab: Lab, namespace: str = "n") -> Namespace:
    return lab.engine.get_namespace(namespace).namespace


@pytest.fixture
def taught(lab: Lab) -> Lab:
    """A namespace that has learned."""
    teach(lab, "n", fill(lab, "n"), range(3))
    assert trained(lab).outcome is TrainingOutcome.PROMOTED
    return lab


@pytest.mark.parametrize("mode", [QueryMode.HYBRID, QueryMode.DENSE])
def test_questions_never_heard_find_their_answers(lab: Lab, mode: QueryMode) -> None:
    answers = fill(lab, "n")
    before = n_found(lab, "n", NEW, mode=mode)
    teach(lab, "n", answers, range(3))
    report = trained(lab)
    assert (report.outcome, report.version) == (TrainingOutcome.PROMOTED, 1)
    assert report.n_pairs == report.n_judged == 3 * N_TOPICS
    assert report.candidate > report.baseline + 0.3
    assert report.probability > 0.9
    assert report.cpu_s > 0
    after = n_found(lab, "n", NEW, mode=mode)
    assert after > 0.5 * len(questions(NEW)) > 0.2 * len(questions(NEW)) > before
    status = lab.engine.adaptation.get_adapter("n")
    assert (status.version, status.n_pairs, status.n_new_pairs, status.training) == (1, 3 * N_TOPICS, 0, False)


def test_it_is_there_after_a_restart(taught: Lab) -> None:
    before = n_found(taught, "n", NEW, mode=QueryMode.HYBRID)
    taught.restart()
    assert n_found(taught, "n", NEW, mode=QueryMode.HYBRID) == before
    assert stored(taught).adapter_version == 1


def test_a_query_says_whether_it_uses_it(taught: Lab) -> None:
    def version(mode: QueryMode = QueryMode.HYBRID, use_adapter: bool | None = None) -> int:
        query = Query(namespaces=("n",), top_k=1, text="ask1", mode=mode, use_adapter=use_adapter)
        return taught.engine.query(query).adapter_version

    assert [version(mode) for mode in (QueryMode.HYBRID, QueryMode.DENSE, QueryMode.LEXICAL)] == [1, 1, 0]
    assert version(use_adapter=False) == 0
    taught.engine.update_namespace("n", description=None, ef_search=None, adapter_enabled=False)
    assert [version(use_adapter=use) for use in (None, True, False)] == [0, 1, 0]
    taught.engine.update_namespace("n", description="d", ef_search=None)
    assert not stored(taught).adapter_enabled


def test_without_it_all_is_as_before(taught: Lab) -> None:
    fill(taught, "fresh")
    for question, _ in questions(NEW):
        query = {"text": question, "top_k": 20, "mode": QueryMode.HYBRID}
        assert taught.query("n", **query, use_adapter=False) == taught.query("fresh", **query)


def test_a_vector_is_compared_as_it_is(taught: Lab) -> None:
    vector = taught.engine.get_slot("n", taught.slots("n")[0].slot.id, include_vector=True).vector
    found = taught.engine.query(Query(namespaces=("n",), top_k=1, vector=vector))
    assert found.adapter_version == 0
    assert found.hits[0].score == pytest.approx(1.0, abs=1e-5)


def test_a_weight_of_the_request_is_not_shifted(taught: Lab) -> None:
    def shares(**fields: object) -> list[float]:
        query = Query(namespaces=("n",), top_k=5, text="ask1 about1", mode=QueryMode.HYBRID, **fields)
        return [hit.parts.get("lexical", 0.0) for hit in taught.engine.query(query).hits]

    # With nothing for the dense side, its shift would show in the lexical part.
    assert any(shares())
    alone = {"ranking": {"dense": 0.0}}
    by_row = [sorted(shares(**alone, use_adapter=use)) for use in (True, False)]
    assert max(by_row[0]) == pytest.approx(max(by_row[1]), abs=1e-5)


def test_versions_and_rollback(taught: Lab) -> None:
    adaptation = taught.engine.adaptation
    answers = [view.slot.id for view in taught.slots("n")[:N_TOPICS]]
    teach(taught, "n", answers, range(3, 4))
    assert trained(taught).version == 2
    versions, serving = adaptation.list_adapter_versions("n")
    assert ([each.version for each in versions], serving) == ([1, 2], 2)
    assert [each.n_pairs for each in versions] == [3 * N_TOPICS, 4 * N_TOPICS]
    assert adaptation.rollback_adapter("n", 1).version == 1
    assert adaptation.rollback_adapter("n", 0).version == 0
    bare = n_found(taught, "n", NEW, mode=QueryMode.HYBRID)
    assert adaptation.rollback_adapter("n", 2).version == 2
    assert n_found(taught, "n", NEW, mode=QueryMode.HYBRID) > bare
    with pytest.raises(AdapterVersionNotFoundError):
        adaptation.rollback_adapter("n", 3)
    with pytest.raises(NamespaceNotFoundError):
        adaptation.rollback_adapter("nobody", 0)
    # The next one has a number of its own, whatever serves.
    adaptation.rollback_adapter("n", 0)
    assert trained(taught).version == 3


def test_old_versions_go(tmp_path: Path) -> None:
    lab = Lab(tmp_path, learning=LearningSettings(auto_pairs=0, cpu_share=1.0, max_versions=2))
    answers = fill(lab, "n")
    for _ in range(3):
        teach(lab, "n", answers, range(3))
        trained(lab)
    assert [each.version for each in lab.engine.adaptation.list_adapter_versions("n")[0]] == [2, 3]
    lab.close()


def test_a_training_on_nothing_new_pushes_no_version_out(lab: Lab) -> None:
    teach(lab, "n", fill(lab, "n"), range(3))
    assert trained(lab).outcome is TrainingOutcome.PROMOTED
    assert trained(lab).outcome is TrainingOutcome.NOT_BETTER
    assert [each.version for each in lab.engine.adaptation.list_adapter_versions("n")[0]] == [1]


def test_what_is_taught_behind_the_embedding_is_learned_next(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    answers = fill(lab, "n")
    teach(lab, "n", answers, range(3))
    learner = lab.engine.parts.learner
    embed = learner._embed

    def embed_first(*arguments: object) -> bool:
        done = embed(*arguments)  # type: ignore[arg-type]
        monkeypatch.undo()
        teach(lab, "n", answers, range(3, 5))
        return done

    monkeypatch.setattr(learner, "_embed", embed_first)
    first, second = trained(lab), trained(lab)
    assert (first.outcome, first.n_pairs) == (TrainingOutcome.PROMOTED, 3 * N_TOPICS)
    assert (second.outcome, second.n_pairs) == (TrainingOutcome.PROMOTED, 5 * N_TOPICS)
    assert second.version == 2


def test_what_does_not_help_does_not_serve(lab: Lab) -> None:
    """Answers that have nothing to do with their questions: nothing can be learned that holds for other questions."""
    lab.put("n", *(f"tell{n} about{n}" for n in range(80)))
    ids = [view.slot.id for view in lab.slots("n")]
    for n in range(40):
        # Found without any adapter: the words are the same.
        lab.engine.adaptation.feedback("n", f"tell{n} about{n}", helped=[ids[n]])
    report = trained(lab)
    assert report.outcome is TrainingOutcome.NOT_BETTER
    assert report.baseline > 0.99
    assert lab.engine.adaptation.list_adapter_versions("n") == ([], 0)


def test_too_few_pairs(lab: Lab) -> None:
    answers = fill(lab, "n")
    assert trained(lab).outcome is TrainingOutcome.TOO_FEW_PAIRS
    lab.engine.adaptation.feedback("n", "ask1", helped=answers[:1])
    report = trained(lab)
    assert (report.outcome, report.n_pairs, report.version) == (TrainingOutcome.TOO_FEW_PAIRS, 1, 0)


def test_an_adapter_that_does_harm_is_withdrawn(lab: Lab) -> None:
    lab.put("n", *(f"tell{n} about{n}" for n in range(80)))
    lab.engine.update_namespace("n", description=None, ef_search=None, ranking={"dense": 1.0})
    ids = [view.slot.id for view in lab.slots("n")]
    random = np.random.default_rng(0)
    harmful = Adapter(
        lora_A=random.standard_normal((8, WORD_DIM)).astype(np.float32),
        lora_B=random.standard_normal((WORD_DIM, 8)).astype(np.float32),
        model=lab.embedder.info.name,
        model_revision=lab.embedder.info.fingerprint,
        version=1,
    )
    data = harmful.to_bytes()
    version = replace(ADAPTER, version=1, created_at=lab.now, n_bytes=len(data))
    report = TrainingReport(outcome=TrainingOutcome.PROMOTED, finished_at=lab.now, version=1)
    job = TrainedJob(stored(lab), report, 0, NewAdapter(version, data), most=8)
    lab.store.write(job.run)
    assert stored(lab).adapter_version == 1
    lab.now += 1
    for n in range(40):
        lab.engine.adaptation.feedback("n", f"tell{n} about{n}", helped=[ids[n]])
    assert trained(lab).outcome is TrainingOutcome.WITHDRAWN
    assert lab.engine.adaptation.list_adapter_versions("n") == ([version], 0)
    # It is told by the pairs that are younger than it: without those it stays.
    lab.engine.adaptation.rollback_adapter("n", 1)
    late = replace(version, created_at=lab.now + 1)
    lab.store.write(lambda batch: put_adapter(batch, stored(lab).number, late, data, 8, 1))
    assert trained(lab).outcome is TrainingOutcome.NOT_BETTER
    assert stored(lab).adapter_version == 1


@pytest.mark.parametrize("data", [b"", b"no safetensors"])
def test_an_adapter_that_is_damaged_is_left_out(taught: Lab, data: bytes) -> None:
    bare = n_found(taught, "n", NEW, mode=QueryMode.HYBRID, use_adapter=False)
    (version,), _ = taught.engine.adaptation.list_adapter_versions("n")
    taught.store.write(lambda batch: put_adapter(batch, stored(taught).number, version, data, 8, 1))
    taught.restart()
    query = Query(namespaces=("n",), top_k=1, text="ask1", mode=QueryMode.HYBRID)
    assert taught.engine.query(query).adapter_version == 0
    assert n_found(taught, "n", NEW, mode=QueryMode.HYBRID) == bare


def test_a_record_of_an_adapter_that_is_damaged_is_left_out(taught: Lab) -> None:
    bare = n_found(taught, "n", NEW, mode=QueryMode.HYBRID, use_adapter=False)
    key = adapter_key(stored(taught).number, 1)
    taught.store.write(lambda batch: batch.put("adapters", key, b"\x01damaged"))
    taught.restart()
    assert n_found(taught, "n", NEW, mode=QueryMode.HYBRID) == bare
    status = taught.engine.adaptation.get_adapter("n")
    assert (status.version, status.learned_weights) == (1, {})
    # The next one takes its place.
    teach(taught, "n", [view.slot.id for view in taught.slots("n")[:N_TOPICS]], range(3, 4))
    assert trained(taught).version == 2
    assert n_found(taught, "n", NEW, mode=QueryMode.HYBRID) > bare


def test_feedback_is_taught_once(lab: Lab) -> None:
    answers = fill(lab, "n")
    adaptation = lab.engine.adaptation
    for _ in range(2):
        result = adaptation.feedback(
            "n", "ask", helped=[answers[0], slot_id(1)], unhelpful=[answers[1]], request=key("r", "x")
        )
        assert result == FeedbackResult(2, 1)
    with pytest.raises(RequestIdReusedError):
        adaptation.feedback("n", "other", helped=answers[:1], request=key("r", "y"))
    assert adaptation.get_adapter("n").n_pairs == 1
    assert adaptation.feedback("n", "ask", helped=[slot_id(1)]) == FeedbackResult(0, 1)
    assert adaptation.get_adapter("n").n_pairs == 1


def test_feedback_needs_the_encoder_of_the_namespace(lab: Lab) -> None:
    lab.engine.create_namespace(NamespaceSpec(name="external", external_vectors=True))
    for call in (
        lambda: lab.engine.adaptation.feedback("external", "ask", helped=[slot_id(1)]),
        lambda: lab.engine.adaptation.train_adapter("external", wait=False),
    ):
        with pytest.raises(ModelMismatchError):
            call()
    with pytest.raises(NamespaceNotFoundError):
        lab.engine.adaptation.feedback("nobody", "ask", helped=[slot_id(1)])
    lab.put("n", "a")
    lab.restart(WordEmbedder("others"))
    with pytest.raises(ModelMismatchError):
        lab.engine.adaptation.feedback("n", "ask", helped=[slot_id(1)])


def queries(lab: Lab, namespace: str = "n") -> list[tuple[str, bool]]:
    number = stored(lab, namespace).number
    with lab.store.read() as view:
        return [(pair.query, pair.is_cue) for _, pair in read_pairs(view, number)]


def test_a_cue_is_a_pair_as_long_as_it_stands_there(lab: Lab) -> None:
    (first,) = lab.put("n", "green", cue="which colour")
    lab.put("n", "no cue")
    lab.engine.adaptation.feedback("n", "what hue", helped=[first])
    assert queries(lab) == [("which colour", True), ("what hue", False)]
    lab.engine.update("n", [SlotInput(id=first, content="dark green", cue="which colour")])
    assert queries(lab) == [("which colour", True), ("what hue", False)]
    lab.engine.update("n", [SlotInput(id=first, content="dark green", cue="which paint")])
    assert queries(lab) == [("what hue", False), ("which paint", True)]
    lab.engine.update("n", [SlotInput(id=first, content="dark green")])
    assert queries(lab) == [("what hue", False)]
    lab.engine.delete_slots("n", slot_ids=[first])
    assert queries(lab) == []
    assert lab.engine.adaptation.get_adapter("n").n_pairs == 0


def test_cues_of_external_vectors_teach_nothing(lab: Lab) -> None:
    lab.engine.create_namespace(NamespaceSpec(name="n", external_vectors=True))
    vector = lab.embedder.run(lab.embedder.tokenize(["a"], None)[0])[0]  # type: ignore[arg-type]
    lab.put("n", "green", cue="which colour", vector=vector)
    assert queries(lab) == []


def test_cues_are_learned_from_and_do_not_judge(lab: Lab) -> None:
    answers = fill(lab, "n")
    lab.put("n", *(f"more{n}" for n in range(20)))
    for n in range(20):
        lab.put("n", f"even{n} more{n}", cue=f"ask more{n}")
    teach(lab, "n", answers, range(2))
    report = trained(lab)
    assert (report.n_pairs, report.n_judged) == (20 + 2 * N_TOPICS, 2 * N_TOPICS)


def test_it_learns_by_itself(tmp_path: Path) -> None:
    lab = Lab(tmp_path, learning=LearningSettings(auto_pairs=3 * N_TOPICS, cpu_share=1.0))
    answers = fill(lab, "n")
    teach(lab, "n", answers, range(2))
    lab.engine.update_namespace("n", description=None, ef_search=None, adapter_enabled=False)
    teach(lab, "n", answers, range(2, 3))
    lab.engine.update_namespace("n", description=None, ef_search=None, adapter_enabled=True)
    assert lab.engine.adaptation.get_adapter("n").last is None
    # What was due when it stopped is done when it starts.
    lab.restart()
    wait_until(lambda: stored(lab).adapter_version == 1)
    assert lab.engine.adaptation.get_adapter("n").n_new_pairs == 0
    lab.close()


def test_what_is_kept_is_bounded(tmp_path: Path) -> None:
    settings = LearningSettings(auto_pairs=0, cpu_share=1.0, max_feedback=8, max_cues=4)
    lab = Lab(tmp_path, learning=settings)
    answers = fill(lab, "n")
    teach(lab, "n", answers, range(2))
    lab.put("n", *(f"c{n}" for n in range(10)))
    for n in range(10):
        lab.put("n", f"content{n}", cue=f"cue{n}")
    trained(lab)
    kept = queries(lab)
    assert sum(is_cue for _, is_cue in kept) == 4
    assert sum(not is_cue for _, is_cue in kept) == 8
    assert ("cue9", True) in kept
    assert (questions(range(2))[-1][0], False) in kept
    lab.close()


def test_a_rollback_during_a_training_wins(taught: Lab) -> None:
    namespace = stored(taught)
    taught.engine.adaptation.rollback_adapter("n", 0)
    report = TrainingReport(outcome=TrainingOutcome.NOT_BETTER, finished_at=1)
    with pytest.raises(AbortedError):
        taught.store.write(TrainedJob(namespace, report, 1, None, most=8).run)
    assert stored(taught).adapter_version == 0


def test_a_training_that_fails_is_told_and_not_tried_again(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    teach(lab, "n", fill(lab, "n"), range(3))

    def fail(_: Training) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr(Training, "run", fail)
    assert trained(lab).outcome is TrainingOutcome.FAILED
    assert lab.engine.adaptation.get_adapter("n").n_new_pairs == 0
    monkeypatch.undo()
    assert trained(lab).outcome is TrainingOutcome.PROMOTED


def test_a_damaged_pair_costs_only_itself(lab: Lab) -> None:
    teach(lab, "n", fill(lab, "n"), range(3))
    number = stored(lab).number
    lab.store.write(lambda batch: batch.put("pairs", pair_key(number, 2), b"\x01damaged"))
    with structlog.testing.capture_logs() as logs:
        reports = [trained(lab) for _ in range(2)]
    assert reports[0].outcome is TrainingOutcome.PROMOTED
    assert [report.n_pairs for report in reports] == [3 * N_TOPICS - 1] * 2
    told = [(log["namespace"], log["number"]) for log in logs if log["event"] == "record_damaged"]
    assert told == [("n", number)]


def test_a_damaged_record_is_told_to_who_waits(lab: Lab) -> None:
    lab.engine.adaptation.feedback("n", "which?", helped=lab.put("n", "thing"))
    lab.store.write(lambda batch: batch.put("learning", number_key(stored(lab).number), b"\x09"))
    lab.restart()
    with pytest.raises(DataCorruptError):
        lab.engine.adaptation.train_adapter("n", wait=True, deadline_s=time.monotonic() + PATIENCE_S)


def test_waiting_ends_at_the_deadline(lab: Lab) -> None:
    teach(lab, "n", fill(lab, "n"), range(3))
    with lab.embedder.held() as gate:
        with pytest.raises(DeadlineExceededError):
            lab.engine.adaptation.train_adapter("n", wait=True, deadline_s=0.0)
        gate.wait_reached()
        assert lab.engine.adaptation.get_adapter("n").training
    wait_until(lambda: stored(lab).adapter_version == 1)


def test_a_namespace_deleted_meanwhile(taught: Lab) -> None:
    number = stored(taught).number
    taught.engine.delete_namespace("n")
    with pytest.raises(NamespaceNotFoundError):
        taught.engine._learner.train(number).result(PATIENCE_S)
    fill(taught, "n")
    assert taught.engine.adaptation.list_adapter_versions("n") == ([], 0)
    assert taught.engine.adaptation.get_adapter("n").n_pairs == 0


def test_closing_ends_a_training_at_once(lab: Lab) -> None:
    teach(lab, "n", fill(lab, "n"), range(3))
    future = lab.engine._learner.train(stored(lab).number)
    lab.restart()
    assert future.done()
    assert lab.engine.adaptation.get_adapter("n").n_pairs == 3 * N_TOPICS
    assert trained(lab).outcome is TrainingOutcome.PROMOTED
