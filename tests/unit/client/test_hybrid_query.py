"""Arguments of hybrid queries become the request, and the answer becomes hits with their parts."""

import asyncio
import json
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest

import adamem
from adamem._codec import namespace_from_proto, query_result_from_proto, ranking_to_proto, slot_from_proto
from adamem.v1 import admin_service_pb2 as admin_pb
from adamem.v1 import memory_service_pb2 as memory_pb
from adamem.v1 import types_pb2 as pb

MODES = {
    "hybrid": pb.QUERY_MODE_HYBRID,
    "dense": pb.QUERY_MODE_DENSE,
    "lexical": pb.QUERY_MODE_LEXICAL,
}


def test_what_is_not_given_is_not_set(client: adamem.Client, server) -> None:
    client.query("tea")
    request = server.seen[-1]
    assert request.mode == pb.QUERY_MODE_UNSPECIFIED
    assert request.language == ""
    for field in ("ranking", "diversity", "asked_at"):
        assert not request.HasField(field)


def test_all_arguments(client: adamem.Client, server) -> None:
    moment = datetime(2023, 5, 7, 12, tzinfo=timezone(timedelta(hours=3)))
    client.query(
        "tea", mode="hybrid", language="ru", ranking={"recency": 1, "dense": 0.25}, diversity=0.5, asked_at=moment
    )
    request = server.seen[-1]
    assert (request.mode, request.language, request.diversity) == (pb.QUERY_MODE_HYBRID, "ru", 0.5)
    assert request.ranking == pb.Ranking(recency=1.0, dense=0.25)
    assert request.asked_at.ToDatetime(UTC) == moment


def test_the_asynchronous_client_sends_the_same(endpoint: str, server) -> None:
    arguments: dict[str, Any] = {
        "mode": adamem.QueryMode.LEXICAL,
        "language": "en",
        "ranking": {"time": 2.0},
        "diversity": 1.0,
        "asked_at": "2023-05-07T12:00:00Z",
    }

    async def ask() -> None:
        async with adamem.AsyncClient(endpoint, timeout_s=120.0) as client:
            await client.query("tea", **arguments)
            await client.update("tea", language="en")
            await client.update_namespace("n", ranking={"time": 2.0})

    with adamem.Client(endpoint, timeout_s=120.0) as client:
        client.query("tea", **arguments)
        client.update("tea", language="en")
        client.update_namespace("n", ranking={"time": 2.0})
    asyncio.run(ask())
    first, second = server.seen[:3], server.seen[3:]
    for message in (first[1], second[1]):
        message.request_id = ""
    assert first == second
    assert first[0].mode == pb.QUERY_MODE_LEXICAL
    assert first[1].slot.language == "en"
    assert first[2].ranking == pb.Ranking(time=2.0)


@pytest.mark.parametrize("mode", MODES)
def test_modes(client: adamem.Client, server, mode: str) -> None:
    for each in (mode, adamem.QueryMode(mode)):
        client.query("tea", mode=each)
        assert server.seen[-1].mode == MODES[mode]


@pytest.mark.parametrize(
    ("arguments", "field"),
    [
        ({"mode": "fuzzy"}, "mode"),
        ({"mode": 3}, "mode"),
        ({"ranking": {"freshness": 1.0}}, "ranking.freshness"),
        ({"ranking": {"recency": "much"}}, "ranking.recency"),
        ({"ranking": {"recency": True}}, "ranking.recency"),
        ({"ranking": ["recency"]}, "ranking"),
        ({"asked_at": "yesterday"}, "asked_at"),
        ({"asked_at": datetime(2023, 5, 7)}, "asked_at"),  # noqa: DTZ001 - without a zone it is refused
        ({"diversity": "much"}, "diversity"),
        ({"language": 7}, "language"),
    ],
)
def test_what_cannot_be_sent_is_refused_here(
    client: adamem.Client, server, arguments: dict[str, Any], field: str
) -> None:
    with pytest.raises(adamem.InvalidArgumentError) as caught:
        client.query("tea", **arguments)
    assert caught.value.field == field
    assert server.seen == []


def test_a_weight_that_there_is_not_names_those_that_there_are() -> None:
    with pytest.raises(adamem.InvalidArgumentError, match=r"dense, neighbours, .*time"):
        ranking_to_proto({"freshness": 1.0})


def test_the_language_of_slots(client: adamem.Client, server) -> None:
    client.update("чай", language="ru")
    client.batch_update([{"content": "tea", "language": "en"}, adamem.SlotInput("thé", language="fr"), "té"])
    assert [slot.language for slot in server.slots[""].values()] == ["ru", "en", "fr", ""]
    assert [slot.language for slot in client.list_slots()] == ["ru", "en", "fr", ""]
    assert slot_from_proto(pb.Slot(language="ru", kind=pb.SLOT_KIND_FACT)).to_dict()["language"] == "ru"


def test_weights_of_a_namespace(client: adamem.Client, server) -> None:
    client.update_namespace("n", description="text")
    assert not server.seen[-1].HasField("ranking")
    client.update_namespace("n", ranking={})
    assert server.seen[-1].HasField("ranking")
    assert server.seen[-1].ranking == pb.Ranking()
    message = admin_pb.Namespace(name="n", ranking=pb.Ranking(recency=0.1, half_life_days=0.0))
    described = namespace_from_proto(message)
    assert described.ranking == {"recency": 0.1, "half_life_days": 0.0}
    assert json.loads(json.dumps(described.to_dict()))["ranking"] == {"recency": 0.1, "half_life_days": 0.0}
    assert ranking_to_proto(described.ranking) == message.ranking


def test_an_answer_in_full() -> None:
    hit = pb.Hit(
        slot=pb.Slot(kind=pb.SLOT_KIND_FACT),
        score=1.5,
        score_parts={"dense": 1.0, "time": 0.5},
        dense_score=0.0,
        lexical_score=2.0,
    )
    result = query_result_from_proto(
        memory_pb.QueryResponse(hits=[hit], confidence=0.0, skipped_stages=["context", "diversity"])
    )
    assert (result.confidence, result.skipped_stages) == (0.0, ("context", "diversity"))
    assert (result[0].dense_score, result[0].lexical_score) == (0.0, 2.0)
    assert result[0].score_parts == {"dense": 1.0, "time": 0.5}
    plain = json.loads(json.dumps(result.to_dict()))
    assert plain["hits"][0]["score_parts"] == {"dense": 1.0, "time": 0.5}
    assert (plain["confidence"], plain["skipped_stages"]) == (0.0, ["context", "diversity"])


def test_what_was_not_asked_is_none() -> None:
    result = query_result_from_proto(memory_pb.QueryResponse(hits=[pb.Hit(slot=pb.Slot(kind=pb.SLOT_KIND_FACT))]))
    assert (result.confidence, result.skipped_stages) == (None, ())
    assert (result[0].dense_score, result[0].lexical_score, result[0].score_parts) == (None, None, {})
