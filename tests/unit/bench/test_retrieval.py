"""Retrieval's benchmark: its files are read right, and its arithmetic is right. No server is started."""

import json
from datetime import UTC, datetime
from itertools import combinations
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench.retrieval import adaptation, datasets, learning, locomo, show, speed, xquad
from bench.retrieval.datasets import DataError, Question, Turn
from bench.retrieval.measures import Judged, auc, fuse, summary

AT = datetime(2023, 5, 8, 13, 56, tzinfo=UTC)
NUMBERS = st.integers(1, 60)
RANKINGS = st.lists(st.integers(0, 30), unique=True, max_size=25)
SCORES = st.lists(st.integers(0, 5).map(float), min_size=1, max_size=20)


def turn(session: int, number: int) -> Turn:
    return Turn(f"D{session}:{number}", session, AT, "Ann: hello")


def talk() -> dict[str, object]:
    """One conversation in LoCoMo's form, with what must not be read beside it."""
    return {
        "sample_id": "conv-1",
        "conversation": {
            "speaker_a": "Ann",
            "speaker_b": "Bob",
            "session_10_date_time": "12:06 am on 11 November, 2022",
            "session_10": [{"speaker": "Ann", "dia_id": "D10:1", "text": "Bye!"}],
            "session_2_date_time": "1:56 pm on 8 May, 2022",
            "session_2": [
                {"speaker": "Ann", "dia_id": "D2:1", "text": "Look.", "blip_caption": "a dog", "query": "q"},
                {"speaker": "Bob", "dia_id": "D2:2", "text": "Nice"},
            ],
            "session_11_date_time": "1:56 pm on 8 May, 2024",
        },
        "qa": [
            {"question": "Which animal?", "answer": "dog", "evidence": "D2:1", "category": "4"},
            {"question": "Which two?", "answer": "x", "evidence": ["D:10:01; D2:02"], "category": 1},
            {"question": "Nowhere?", "answer": "x", "evidence": "D9:9 D", "category": 2},
            {"question": "Never said?", "adversarial_answer": "x", "evidence": ["D2:1"], "category": 5},
        ],
        "observation": {"text": "SECRET"},
        "session_summary": {"text": "SECRET"},
        "event_summary": {"text": "SECRET"},
    }


def file_of(folder: Path, name: str, content: object) -> Path:
    path = folder / name
    path.write_text(json.dumps(content), encoding="utf-8")
    return path


def squad(language: str, ids: list[list[str]]) -> dict[str, object]:
    paragraphs = [
        {
            "context": f"{language} {position}",
            "qas": [{"id": each, "question": f"{language} {each}?"} for each in group],
        }
        for position, group in enumerate(ids)
    ]
    return {"data": [{"title": "t", "paragraphs": [paragraph]} for paragraph in paragraphs]}


def test_a_conversation_is_read_in_the_order_of_its_sessions(tmp_path: Path) -> None:
    (read,) = datasets.read_locomo(file_of(tmp_path, "l.json", [talk()]))
    assert [each.text for each in read.turns] == ["Ann: Look. [picture: a dog]", "Bob: Nice", "Ann: Bye!"]
    assert [each.session for each in read.turns] == [2, 2, 10]
    assert read.asked_at == datetime(2022, 11, 11, 0, 6, tzinfo=UTC)
    assert [(each.text, each.evidence) for each in read.answerable] == [("Which animal?", (0,)), ("Which two?", (1, 2))]
    assert [each.text for each in read.adversarial] == ["Never said?"]
    assert "SECRET" not in repr(read)


@pytest.mark.parametrize("content", [{}, [{}], [{"conversation": {}, "qa": []}], [1], [talk() | {"qa": []}]])
def test_another_form_is_one_line(tmp_path: Path, content: object) -> None:
    with pytest.raises(DataError) as caught:
        datasets.read_locomo(file_of(tmp_path, "l.json", content))
    assert "\n" not in str(caught.value)
    assert "l.json" in str(caught.value)


def test_a_missing_file_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"cannot read .*nothing\.json"):
        datasets.read_locomo(tmp_path / "nothing.json")
    with pytest.raises(DataError, match=r"0 files xquad.ru\*.json"):
        datasets.read_xquad([tmp_path])
    (tmp_path / "text.json").write_text("{")
    with pytest.raises(DataError, match="is no JSON"):
        datasets.read_locomo(tmp_path / "text.json")


@pytest.mark.parametrize(
    ("evidence", "expected"),
    [
        ("D8:6; D9:17", [(8, 6, 6), (9, 17, 17)]),
        ("D9:1 D4:4 D4:6", [(9, 1, 1), (4, 4, 4), (4, 6, 6)]),
        ("D:11:26", [(11, 26, 26)]),
        ("D30:05", [(30, 5, 5)]),
        ("D1:3-5", [(1, 3, 5)]),
        ("D1:3-D1:5", [(1, 3, 5)]),
        ("D1:5 - D1:3, D2:1", [(1, 3, 5), (2, 1, 1)]),
        ("D1:3-D2:5", [(1, 3, 3), (2, 5, 5)]),
        ("D", []),
        ("", []),
    ],
)
def test_evidence_is_normalised(evidence: str, expected: list[tuple[int, int, int]]) -> None:
    assert datasets.spans(evidence) == expected


@given(st.lists(st.tuples(NUMBERS, NUMBERS), max_size=8), st.sampled_from([" ", ";", "; ", ", "]), st.booleans())
def test_evidence_in_one_text_is_that_of_several(wanted: list[tuple[int, int]], between: str, padded: bool) -> None:
    turns = [turn(session, number) for session in range(1, 61, 7) for number in range(1, 61, 5)]
    texts = [f"D{session}:{number:02}" if padded else f"D{session}:{number}" for session, number in wanted]
    expected = tuple(at for at, each in enumerate(turns) if each.dia_id in {f"D{a}:{b}" for a, b in wanted})
    assert datasets.positions(texts, turns) == datasets.positions([between.join(texts)], turns) == expected


@given(NUMBERS, NUMBERS, NUMBERS)
def test_a_range_is_all_its_turns(session: int, first: int, last: int) -> None:
    turns = [turn(of, number) for of in (session, session + 1) for number in range(1, 61)]
    found = datasets.positions([f"D{session}:{first}-{last}"], turns)
    assert found == tuple(range(min(first, last) - 1, max(first, last)))


def test_paragraphs_and_questions_across_languages(tmp_path: Path) -> None:
    file_of(tmp_path, "xquad.ru.dev.json", squad("ru", [["a", "b"], ["c"], ["lost"]]))
    file_of(tmp_path, "xquad.en.dev.json", squad("en", [["c"], ["b", "a"]]))
    russian, english = datasets.read_xquad([tmp_path])
    assert russian.texts == ("ru 0", "ru 1", "ru 2")
    assert xquad.across(russian, russian) == (["ru a?", "ru b?", "ru c?", "ru lost?"], [0, 0, 1, 2])
    assert xquad.across(russian, english) == (["ru a?", "ru b?", "ru c?"], [1, 1, 0])
    assert datasets.read_xquad([tmp_path / f"xquad.{each}.dev.json" for each in ("ru", "en")]) == (russian, english)
    other = file_of(tmp_path, "xquad.de.json", squad("de", [["b"]]))
    pair = datasets.read_xquad([other, tmp_path / "xquad.en.dev.json"])
    assert [each.language for each in pair] == ["de", "en"]
    with pytest.raises(DataError, match="of one language"):
        datasets.read_xquad([other, other])
    file_of(tmp_path, "xquad.en.more.json", {})
    with pytest.raises(DataError, match="2 files"):
        datasets.read_xquad([tmp_path])


def test_two_files_without_a_common_question_are_refused(tmp_path: Path) -> None:
    file_of(tmp_path, "xquad.ru.json", squad("ru", [["a"]]))
    file_of(tmp_path, "xquad.en.json", squad("en", [["b"]]))
    with pytest.raises(DataError, match="no question id in common"):
        datasets.read_xquad([tmp_path])


def test_summary() -> None:
    judged = [Judged([9, 1, 2], [1, 2]), Judged([1, 9, 8], [1, 7]), Judged([], [3])]
    means = summary(judged, (1, 2, 3))
    assert [means[f"r{k}"] for k in (1, 2, 3)] == pytest.approx([0.5 / 3, 1 / 3, 1.5 / 3])
    assert [means[f"any_r{k}"] for k in (1, 2, 3)] == pytest.approx([1 / 3, 2 / 3, 2 / 3])
    assert [means[f"all_r{k}"] for k in (1, 2, 3)] == pytest.approx([0, 0, 1 / 3])
    assert summary([]) == {}


@given(st.lists(st.tuples(RANKINGS, st.sets(st.integers(0, 30), min_size=1)), min_size=1, max_size=10))
def test_recall_is_between_all_and_any_and_grows(pairs: list[tuple[list[int], set[int]]]) -> None:
    means = summary([Judged(found, evidence) for found, evidence in pairs])
    for k in (5, 10, 20):
        assert means[f"all_r{k}"] - 1e-9 <= means[f"r{k}"] <= means[f"any_r{k}"] + 1e-9
    for less, more in ((5, 10), (10, 20)):
        assert all(means[f"{kind}r{less}"] <= means[f"{kind}r{more}"] for kind in ("", "any_", "all_"))


def test_fusion() -> None:
    assert fuse([[1, 2, 3], [2, 4]]) == [2, 1, 4, 3]
    assert fuse([[5, 6], [6, 5]]) == [5, 6]


@given(RANKINGS, RANKINGS)
def test_fusion_keeps_what_both_agree_on(one: list[int], other: list[int]) -> None:
    fused = fuse([one, other])
    assert sorted(fused) == sorted({*one, *other})
    assert fused == fuse([other, one])
    assert fuse([one, one]) == one
    for first, second in combinations(fused, 2):  # what both put first stays first
        if all(second in each and first in each for each in (one, other)):
            assert any(each.index(first) < each.index(second) for each in (one, other)) or first < second


@given(SCORES, SCORES)
def test_auc_counts_pairs(positive: list[float], negative: list[float]) -> None:
    pairs = [(p > n) + (p == n) / 2 for p in positive for n in negative]
    assert auc(positive, negative) == pytest.approx(np.mean(pairs))
    assert auc(positive, negative) + auc(negative, positive) == pytest.approx(1)


def test_auc_without_a_sort_is_not_a_number() -> None:
    assert np.isnan(auc([], [1.0]))


@given(st.integers(1, 30), st.integers(0, 9))
def test_half_of_the_questions_teach(n: int, number: int) -> None:
    questions = tuple(Question(str(each), 4, (each % 5,)) for each in range(n))
    conversation = datasets.Conversation("c", (turn(1, 1),), questions)
    taught, tested = adaptation.split(conversation, number)
    assert sorted(taught + tested) == list(range(n))
    assert len(tested) - len(taught) in {0, 1}
    assert (taught, tested) == adaptation.split(conversation, number)
    fresh = adaptation.untaught([questions[each] for each in taught], [questions[each] for each in tested])
    known = {each % 5 for each in taught}
    assert fresh == [each % 5 not in known for each in tested]


def test_figures_of_adapters() -> None:
    before, after = [Judged([1], [1]), Judged([1], [2])], [Judged([1], [1]), Judged([2], [2])]
    values = adaptation.figures(before, after, [False, True])
    assert values["locomo_tested_r5"] == 0.5
    assert values["locomo_adapted_r5"] == values["locomo_untaught_gain_r5"] == 1
    assert values["locomo_adapted_gain_r5"] == 0.5
    assert "locomo_untaught_gain_r5" not in adaptation.figures(before, after, [False, False])


def test_figures_by_system_and_category(tmp_path: Path) -> None:
    conversations = datasets.read_locomo(file_of(tmp_path, "l.json", [talk(), talk()]))
    right, wrong = [Judged([0], [0]), Judged([1, 2], [1, 2])], [Judged([1], [0]), Judged([0], [1, 2])]
    found = locomo.Found({"hybrid": [right, right], "peer_bm25": [right, wrong]}, ([0.9, 0.8], [0.1]))
    values = locomo.figures(found)
    assert values["locomo_r5"] == values["locomo_all_r10"] == values["locomo_confidence_auc"] == 1
    assert values["peer_bm25_locomo_r5"] == 0.5
    table = locomo.by_category(found, conversations)
    assert table["peer_bm25"]["multi_hop"]["n"] == 2
    assert set(table["hybrid"]) == {"multi_hop", "single_hop"}
    assert adaptation.of_peers(found, conversations)["peer_bm25_locomo_adapted_r5"] == 0.5
    assert any(line.startswith("AdaMem, hybrid") and "1.000" in line for line in show.table(values))


@given(st.integers(1, 3000))
def test_tags_have_their_share(n: int) -> None:
    tags = speed.tags_of(n)
    for name, share in speed.SELECTIVITIES.items():
        assert sum(name in each for each in tags) == max(1, round(share * n))
    assert tags == speed.tags_of(n)


def test_a_mirror_image_keeps_norms_and_comes_back() -> None:
    vectors = np.random.default_rng(5).standard_normal((50, 8)).astype(np.float32) + 1
    image = learning.mirrored(vectors)
    assert np.linalg.norm(image, axis=1) == pytest.approx(np.linalg.norm(vectors, axis=1), rel=1e-5)
    assert np.linalg.matrix_rank(image - vectors, tol=1e-3) == 1
    assert learning.mirrored(image) == pytest.approx(vectors, abs=1e-4)
