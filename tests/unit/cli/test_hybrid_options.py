"""Options of hybrid queries reach the request; what the answer tells of scores and of time is shown."""

from typing import Any

import pytest

import adamem
from adamem.v1 import types_pb2 as pb
from tests.unit.cli.conftest import json_lines

TIMINGS = adamem.QueryTimings(0.001, 0.002, 0.003)


def a_hit(content: str, score: float, **parts: float) -> adamem.Hit:
    values: dict[str, Any] = dict.fromkeys(("created_at", "updated_at", "expires_at", "accessed_at"))
    values |= dict.fromkeys(("namespace", "cue", "user_id", "agent_id", "conversation_id", "role"), "")
    slot = adamem.Slot(
        id="0" * 26,
        content=content,
        kind=adamem.SlotKind.FACT,
        tags=(),
        metadata={},
        importance=0.5,
        access_count=0,
        vector_supplied=False,
        **values,
    )
    return adamem.Hit(slot, score, parts, 0.5, 0.0)


@pytest.fixture
def answer(monkeypatch: pytest.MonkeyPatch) -> None:
    """What every query is answered with."""
    hits = (a_hit("green tea", 1.25, dense=0.5, lexical=-0.25, time=1.0), a_hit("black\ntea", 0.0))
    result = adamem.QueryResult(hits, TIMINGS, 0.875, ("context", "diversity"))
    monkeypatch.setattr(adamem.Client, "query", lambda *_, **__: result)


def test_nothing_is_sent_that_is_not_given(run, server) -> None:
    run("query", "tea")
    request = server.seen[-1]
    assert (request.mode, request.language) == (pb.QUERY_MODE_UNSPECIFIED, "")
    for field in ("ranking", "diversity", "asked_at"):
        assert not request.HasField(field) or request.ranking == pb.Ranking()


def test_options(run, server) -> None:
    result = run(
        "query", "чай", "--mode", "hybrid", "--language", "ru", "--weight", "recency=1", "--weight", "dense=.25",
        "--diversity", "0.5", "--asked-at", "2023-05-07T12:00:00Z",
    )  # fmt: skip
    assert result.exit_code == 0, result.output
    request = server.seen[-1]
    assert (request.mode, request.language, request.diversity) == (pb.QUERY_MODE_HYBRID, "ru", 0.5)
    assert request.ranking == pb.Ranking(recency=1.0, dense=0.25)
    assert request.asked_at.ToJsonString() == "2023-05-07T12:00:00Z"


def test_options_come_from_the_environment(run, server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MEMORY_QUERY_MODE", "lexical")
    monkeypatch.setenv("MEMORY_QUERY_WEIGHT", "recency=1 time=2")
    run("query", "tea")
    assert server.seen[-1].mode == pb.QUERY_MODE_LEXICAL
    assert server.seen[-1].ranking == pb.Ranking(recency=1.0, time=2.0)


def test_the_language_of_what_is_stored(run, server) -> None:
    run("update", "чай", "--language", "ru")
    run("update", "tea")
    assert [slot.language for slot in server.slots[""].values()] == ["ru", ""]


def test_weights_of_a_namespace(run, server) -> None:
    assert run("namespace", "update", "a", "--weight", "recency=1", "--weight", "time=0").exit_code == 0
    assert server.seen[-1].ranking == pb.Ranking(recency=1.0, time=0.0)
    assert server.seen[-1].ranking.HasField("time")
    run("namespace", "update", "a", "--description", "text")
    assert not server.seen[-1].HasField("ranking")


@pytest.mark.parametrize(
    ("arguments", "problem"),
    [
        (("--mode", "fuzzy"), "fuzzy"),
        (("--weight", "recency"), "NAME=NUMBER"),
        (("--weight", "recency=much"), "NAME=NUMBER"),
        (("--weight", "=1"), ""),
        (("--weight", "freshness=1"), "freshness"),
        (("--diversity", "much"), "much"),
        (("--asked-at", "yesterday"), "yesterday"),
    ],
)
def test_what_cannot_be_sent_is_refused(run, server, arguments: tuple[str, str], problem: str) -> None:
    result = run("query", "tea", *arguments)
    assert result.exit_code != 0
    assert problem in result.stderr
    assert server.seen == []


@pytest.mark.usefixtures("answer")
def test_scores_are_explained_on_request(run) -> None:
    plain = run("query", "tea")
    assert plain.stdout.splitlines()[1:] == ["   green tea", "2. 0.0000  " + "0" * 26 + "  fact", "   black", "   tea"]
    explained = run("query", "tea", "--explain")
    assert explained.stdout.splitlines()[2] == "   = time +1.00  dense +0.50  lexical -0.25"
    assert explained.stdout.count(" = ") == 1, "a hit without parts has nothing to explain"


@pytest.mark.usefixtures("answer")
def test_confidence_and_what_was_skipped_are_told_aside(run) -> None:
    result = run("query", "tea")
    assert "confidence 0.88 that one of them answers" in result.stderr.splitlines()
    assert "no time for: context, diversity" in result.stderr.splitlines()
    assert "confidence" not in result.stdout


def test_neither_is_told_where_there_is_none(run, server) -> None:
    run("update", "green tea")
    result = run("query", "tea")
    assert "confidence" not in result.stderr
    assert "no time for" not in result.stderr


@pytest.mark.usefixtures("answer")
@pytest.mark.parametrize("explain", [(), ("--explain",)])
def test_json_holds_everything(run, explain: tuple[str, ...]) -> None:
    (found,) = json_lines(run("query", "tea", "--json", *explain))
    assert (found["confidence"], found["skipped_stages"]) == (0.875, ["context", "diversity"])
    assert found["hits"][0]["score_parts"] == {"dense": 0.5, "lexical": -0.25, "time": 1.0}
    assert (found["hits"][0]["dense_score"], found["hits"][0]["lexical_score"]) == (0.5, 0.0)
    assert found["hits"][1]["score_parts"] == {}
