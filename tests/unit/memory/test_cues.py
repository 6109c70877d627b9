"""A slot that answers a question is found by either, once, whatever becomes of it."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from adamem_server.memory.restoring import MIN_SNAPSHOT_SLOTS
from adamem_server.types import (
    Condition,
    NamespaceSpec,
    Operator,
    Query,
    QueryMode,
    SlotInput,
    VectorType,
)
from tests.unit.memory.engines import WORD_DIM, Lab, stored

QUESTION = "which colour has the door"
ANSWER = "green paint everywhere"
OTHERS = ("stones are heavy", "rivers run slowly", "birds sing early")


@pytest.fixture
def lab(tmp_path: Path) -> Iterator[Lab]:
    lab = Lab(tmp_path)
    yield lab
    lab.close()


def finds(lab: Lab, text: str, content: str) -> bool:
    """Whether the best hit is this slot, with the vector of the text itself."""
    ((found, score),) = best(lab, text)
    return found == content and score > 0.999


def best(lab: Lab, text: str, mode: QueryMode = QueryMode.DENSE, top_k: int = 1) -> list[tuple[str, float]]:
    hits = lab.engine.query(Query(namespaces=("n",), top_k=top_k, text=text, mode=mode)).hits
    return [(hit.view.slot.content, hit.score if hit.dense is None else hit.dense) for hit in hits]


@pytest.mark.parametrize("mode", QueryMode)
def test_it_is_found_by_the_question_and_by_the_answer(lab: Lab, mode: QueryMode) -> None:
    lab.put("n", *OTHERS)
    lab.put("n", ANSWER, cue=QUESTION)
    for text in (QUESTION, ANSWER):
        found = best(lab, text, mode, top_k=10)
        assert found[0][0] == ANSWER
        assert [content for content, _ in found].count(ANSWER) == 1
        if mode is not QueryMode.LEXICAL:
            assert found[0][1] == pytest.approx(1.0, abs=1e-3)


def test_it_is_found_after_a_restart(lab: Lab) -> None:
    lab.put("n", ANSWER, cue=QUESTION)
    lab.put("n", *OTHERS)
    lab.restart()
    assert finds(lab, QUESTION, ANSWER)


def test_a_snapshot_and_the_journal_behind_it_hold_cues(lab: Lab, tmp_path: Path) -> None:
    items = [SlotInput(content=f"answer a{i}", cue=f"question q{i}") for i in range(MIN_SNAPSHOT_SLOTS)]
    ids = [stored(result) for result in lab.engine.update("n", items).results]
    # A namespace that nobody asked is not open, and leaves no snapshot.
    assert finds(lab, "question q3", "answer a3")
    lab.restart()
    assert list(tmp_path.glob("index/*.cue"))
    lab.engine.delete_slots("n", slot_ids=ids[:1])
    lab.engine.update(
        "n", [SlotInput(id=ids[1], content="answer a1"), SlotInput(id=ids[2], content="x", cue="new one")]
    )
    lab.restart()
    assert finds(lab, "question q3", "answer a3")
    assert finds(lab, "new one", "x")
    assert all(best(lab, f"question q{i}")[0][1] < 0.99 for i in (0, 1, 2))
    lab.engine.delete_namespace("n")


def test_a_slot_that_is_replaced_or_deleted_leaves_no_cue(lab: Lab) -> None:
    lab.put("n", *OTHERS)
    (slot_id,) = lab.put("n", ANSWER, cue=QUESTION)
    lab.engine.update("n", [SlotInput(id=slot_id, content=ANSWER)])
    assert best(lab, QUESTION)[0][1] < 0.9
    lab.engine.update("n", [SlotInput(id=slot_id, content=ANSWER, cue=QUESTION)])
    assert best(lab, QUESTION)[0][1] == pytest.approx(1.0, abs=1e-3)
    lab.engine.delete_slots("n", slot_ids=[slot_id])
    assert best(lab, QUESTION)[0][0] in OTHERS
    lab.restart()
    assert best(lab, QUESTION)[0][0] in OTHERS


def test_filters_hold_for_cues(lab: Lab) -> None:
    lab.put("n", ANSWER, cue=QUESTION, role="a")
    lab.put("n", *OTHERS, role="b")
    only_b = Condition("role", Operator.EQ, "b")
    for mode in QueryMode:
        assert ANSWER not in lab.query("n", text=QUESTION, filter=only_b, mode=mode)


def test_a_supplied_vector_and_a_cue(lab: Lab) -> None:
    vector = np.eye(WORD_DIM, dtype=np.float32)[0]
    lab.engine.create_namespace(NamespaceSpec(name="n", vector_type=VectorType.FLOAT16))
    lab.put("n", ANSWER, cue=QUESTION, vector=vector)
    assert lab.query("n", vector=vector, top_k=1) == [ANSWER]
    score = best(lab, QUESTION)[0][1]
    assert score == pytest.approx(1.0, abs=1e-3)
    lab.restart()
    assert best(lab, QUESTION)[0][1] == score


def test_sizes_count_cues(lab: Lab) -> None:
    (slot_id,) = lab.put("n", ANSWER)
    without = lab.engine.get_namespace("n").n_bytes
    lab.engine.update("n", [SlotInput(id=slot_id, content=ANSWER, cue=QUESTION)])
    assert lab.engine.get_namespace("n").n_bytes == without + len(QUESTION) + WORD_DIM * 4
    lab.engine.update("n", [SlotInput(id=slot_id, content=ANSWER)])
    assert lab.engine.get_namespace("n").n_bytes == without
    lab.engine.delete_slots("n", slot_ids=[slot_id])
    assert lab.engine.get_namespace("n").n_bytes == 0
