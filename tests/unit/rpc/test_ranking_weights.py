"""What a hybrid query asks: the ranges of every field and what is left out, and the answer with its parts."""

import math
from typing import Any

import numpy as np
import pytest
from google.protobuf.timestamp_pb2 import Timestamp
from hypothesis import given
from hypothesis import strategies as st

from adamem.v1 import admin_service_pb2 as admin_pb2
from adamem.v1 import memory_service_pb2 as memory_pb2
from adamem.v1 import types_pb2
from adamem_server.memory.policy import weights
from adamem_server.memory.ranking import Weights
from adamem_server.rpc.checks import check_language, check_share
from adamem_server.rpc.convert import RequestDecoder, encode_namespace, encode_query_result
from adamem_server.rpc.ranking import decode_ranking, encode_ranking
from adamem_server.rpc.slots import decode_slot, encode_slot
from adamem_server.types import (
    NO_ACCESS,
    NO_SCOPE,
    Hit,
    IndexKind,
    IndexParams,
    Metric,
    Namespace,
    NamespaceInfo,
    Query,
    QueryMode,
    QueryResult,
    Slot,
    SlotKind,
    SlotView,
    VectorType,
)
from tests.unit.rpc.support import LIMITS, NOW_US, ULID, refused, vector

DECODER = RequestDecoder(LIMITS, "main")
SPANS = {"session_gap_hours": 100_000.0, "half_life_days": 100_000.0}
RANGES = dict.fromkeys(types_pb2.Ranking.DESCRIPTOR.fields_by_name, 10.0) | SPANS | {"dense": 1.0}
SLOT = Slot(
    id=ULID, content="text", cue="", kind=SlotKind.FACT, scope=NO_SCOPE, role="", tags=(), metadata={},
    importance=0.5, created_at=NOW_US, updated_at=NOW_US, expires_at=0, vector_supplied=False, language="ru",
)  # fmt: skip


def query(**fields: Any) -> Query:
    message = memory_pb2.QueryRequest(**{"text": "a", **fields})
    return DECODER.query(memory_pb2.QueryRequest.FromString(message.SerializeToString()), None)


def ranking(**values: float) -> types_pb2.Ranking:
    return types_pb2.Ranking(**values)


# Weights


def test_weights_that_are_not_set_are_left_out() -> None:
    assert decode_ranking(ranking(), "ranking") == {}
    assert decode_ranking(ranking(recency=0.0), "ranking") == {"recency": 0.0}
    assert query().ranking == {}
    assert query(ranking=ranking(dense=0.3, time=2)).ranking == {"dense": 0.3, "time": 2.0}


@given(st.dictionaries(st.sampled_from(sorted(RANGES)), st.floats(0.0, 1.0, width=32)))
def test_weights_come_back(shares: dict[str, float]) -> None:
    given_weights = {name: max(share * RANGES[name], 0.001 if name in SPANS else 0.0) for name, share in shares.items()}
    decoded = decode_ranking(encode_ranking(given_weights), "ranking")
    assert decoded.keys() == given_weights.keys()
    assert decode_ranking(encode_ranking(decoded), "ranking") == decoded
    for name, value in decoded.items():
        assert np.float32(value) == np.float32(given_weights[name])
        assert len(repr(value)) <= len(repr(float(np.float32(value))))


@pytest.mark.parametrize("value", [0.1, 0.3, 1e-7, 99_999.99, 1e5, 1e-38])
def test_a_weight_is_the_shortest_decimal_of_its_float32(value: float) -> None:
    assert decode_ranking(ranking(half_life_days=value), "ranking") == {"half_life_days": value}


@pytest.mark.parametrize("name", SPANS)
@pytest.mark.parametrize("value", [1e-45, 1e-10, 4e-7])
def test_a_time_that_is_nearly_nothing_stays_above_nothing(name: str, value: float) -> None:
    """Ages are divided by it."""
    assert decode_ranking(ranking(**{name: value}), "ranking")[name] > 0.0


@pytest.mark.parametrize(("name", "high"), RANGES.items())
def test_the_ends_of_a_range_are_in_it(name: str, high: float) -> None:
    assert decode_ranking(ranking(**{name: high}), "ranking") == {name: high}
    if name not in SPANS:
        assert decode_ranking(ranking(**{name: 0.0}), "ranking") == {name: 0.0}


@pytest.mark.parametrize(("name", "high"), RANGES.items())
@pytest.mark.parametrize("place", ["query", "namespace"])
def test_weights_out_of_range_are_refused(name: str, high: float, place: str) -> None:
    bad = [-0.001, float(np.nextafter(np.float32(high), np.float32(np.inf))), math.inf, -math.inf, math.nan]
    for value in [*bad, 0.0] if name in SPANS else bad:
        message = ranking(**{name: value})
        with refused(f"ranking.{name}", "the range is", limit=f"0..{high:g}"):
            if place == "query":
                query(ranking=message)
            else:
                DECODER.update_namespace(admin_pb2.UpdateNamespaceRequest(name="n", ranking=message))


def test_each_weight_of_the_protocol_is_one_of_the_ranking() -> None:
    for name, high in RANGES.items():
        changed = weights({name: high})
        assert changed != Weights()
        value = getattr(changed, name)
        assert (value[0] if name == "neighbours" else value) == high


def test_later_settings_override_earlier_ones() -> None:
    assert weights({"recency": 1.0, "time": 2.0}, {"recency": 3.0}) == Weights(recency=3.0, time=2.0)
    assert weights() == Weights()
    assert weights({"neighbours": 0.9}).neighbours == pytest.approx((0.9, 0.6, 0.3))


# Queries


@pytest.mark.parametrize(
    ("mode", "expected"),
    [
        (types_pb2.QUERY_MODE_UNSPECIFIED, QueryMode.HYBRID),
        (types_pb2.QUERY_MODE_HYBRID, QueryMode.HYBRID),
        (types_pb2.QUERY_MODE_DENSE, QueryMode.DENSE),
        (types_pb2.QUERY_MODE_LEXICAL, QueryMode.LEXICAL),
    ],
)
def test_modes_of_a_text(mode: "types_pb2.QueryMode", expected: QueryMode) -> None:
    assert query(mode=mode).mode is expected


@pytest.mark.parametrize("mode", [types_pb2.QUERY_MODE_UNSPECIFIED, types_pb2.QUERY_MODE_DENSE])
def test_a_vector_is_dense(mode: "types_pb2.QueryMode") -> None:
    decoded = DECODER.query(memory_pb2.QueryRequest(vector=vector(1, 2), mode=mode), None)
    assert decoded.mode is QueryMode.DENSE


@pytest.mark.parametrize("mode", [types_pb2.QUERY_MODE_HYBRID, types_pb2.QUERY_MODE_LEXICAL])
def test_a_vector_has_no_words(mode: "types_pb2.QueryMode") -> None:
    with refused("mode", "needs a text"):
        DECODER.query(memory_pb2.QueryRequest(vector=vector(1, 2), mode=mode), None)


def test_a_query_without_settings() -> None:
    assert query() == Query(namespaces=("main",), top_k=4, text="a", mode=QueryMode.HYBRID)


def test_a_query_with_all_settings() -> None:
    decoded = query(
        mode=types_pb2.QUERY_MODE_HYBRID,
        language="RU",
        ranking=ranking(recency=1),
        diversity=0.5,
        asked_at=Timestamp(seconds=5, nanos=7_999),
    )
    assert (decoded.language, decoded.ranking, decoded.diversity) == ("ru", {"recency": 1.0}, 0.5)
    assert decoded.asked_at == 5_000_007


@pytest.mark.parametrize(
    ("fields", "field", "problem", "limit"),
    [
        ({"mode": 4}, "mode", "has no value 4", None),
        ({"mode": -1}, "mode", "has no value -1", None),
        ({"language": "r"}, "language", "two letters", "2"),
        ({"language": "rus"}, "language", "two letters", "2"),
        ({"language": "ру"}, "language", "two letters", "2"),
        ({"language": "r1"}, "language", "two letters", "2"),
        ({"language": "  "}, "language", "two letters", "2"),
        ({"diversity": -0.1}, "diversity", "is -0.1", "0..1"),
        ({"diversity": 1.1}, "diversity", "is 1.1", "0..1"),
        ({"diversity": math.nan}, "diversity", "is nan", "0..1"),
        ({"asked_at": Timestamp()}, "asked_at", "later than 1970", "1970..9999"),
        ({"asked_at": Timestamp(seconds=-1)}, "asked_at", "later than 1970", "1970..9999"),
        ({"asked_at": Timestamp(seconds=253_402_300_800)}, "asked_at", "before the year 10000", "1970..9999"),
        ({"asked_at": Timestamp(seconds=1, nanos=-1)}, "asked_at", "later than 1970", "1970..9999"),
    ],
)
def test_settings_out_of_range_are_refused(fields: dict[str, Any], field: str, problem: str, limit: str | None) -> None:
    with refused(field, problem, limit=limit):
        query(**fields)


@pytest.mark.parametrize("diversity", [0.0, 0.25, 1.0])
def test_shares(diversity: float) -> None:
    assert query(diversity=diversity).diversity == check_share(diversity, "x") == diversity


@pytest.mark.parametrize(("given_code", "code"), [("", ""), ("en", "en"), ("RU", "ru"), ("De", "de"), ("zz", "zz")])
def test_languages(given_code: str, code: str) -> None:
    assert query(language=given_code).language == check_language(given_code, "x") == code
    message = memory_pb2.SlotInput(content="text", language=given_code)
    assert decode_slot(message, "slot", LIMITS, NOW_US).language == code


@pytest.mark.parametrize("code", ["e", "eng", "en-US", "ру", "1a", " "])
def test_languages_of_slots_are_refused(code: str) -> None:
    with refused("slot.language", "two letters", limit="2"):
        decode_slot(memory_pb2.SlotInput(content="text", language=code), "slot", LIMITS, NOW_US)


# Answers


def test_an_answer_in_full() -> None:
    view = SlotView("n", SLOT, NO_ACCESS)
    hit = Hit(view, 1.5, {"dense": 1.0, "time": 0.5}, dense=0.75, lexical=0.0)
    response = encode_query_result(QueryResult((hit,), 0.1, 0.2, 0.3, 0.625, ("context", "diversity")))
    assert (response.confidence, list(response.skipped_stages)) == (0.625, ["context", "diversity"])
    (encoded,) = response.hits
    assert dict(encoded.score_parts) == {"dense": 1.0, "time": 0.5}
    assert (encoded.score, encoded.dense_score, encoded.lexical_score) == (1.5, 0.75, 0.0)
    assert encoded.HasField("lexical_score"), "no word in common is not the same as not asked"
    assert encoded.slot.language == "ru"


def test_what_was_not_asked_is_not_set() -> None:
    response = encode_query_result(QueryResult((Hit(SlotView("n", SLOT, NO_ACCESS), 1.0),), 0.0, 0.0, 0.0))
    (encoded,) = response.hits
    assert not response.HasField("confidence")
    assert not encoded.HasField("dense_score")
    assert not encoded.HasField("lexical_score")
    assert not encoded.score_parts
    assert not response.skipped_stages


def test_a_confidence_of_zero_is_one() -> None:
    assert encode_query_result(QueryResult((), 0.0, 0.0, 0.0, 0.0)).HasField("confidence")


@pytest.mark.parametrize("language", ["", "en"])
def test_the_language_of_a_slot_comes_back(language: str) -> None:
    decoded = decode_slot(memory_pb2.SlotInput(content="text", language=language), "slot", LIMITS, NOW_US)
    assert decoded.language == language
    assert encode_slot(SlotView("n", SLOT, NO_ACCESS)).language == "ru"


# Namespaces


def test_the_weights_of_a_namespace() -> None:
    def decode(**fields: Any) -> dict[str, float] | None:
        return DECODER.update_namespace(admin_pb2.UpdateNamespaceRequest(name="n", **fields))[3]

    assert decode() is None
    assert decode(ranking=ranking()) == {}, "an empty message takes all weights back"
    assert decode(ranking=ranking(recency=0.1)) == {"recency": 0.1}


def test_a_namespace_tells_its_weights() -> None:
    namespace = Namespace(
        number=1, name="n", description="", dim=2, metric=Metric.COSINE, index_kind=IndexKind.HNSW,
        index_params=IndexParams(), vector_type=VectorType.FLOAT32, model="", model_fingerprint="", created_at=NOW_US,
        ranking={"recency": 0.1, "half_life_days": 7.0},
    )  # fmt: skip
    info = NamespaceInfo(
        namespace=namespace, n_slots=0, n_bytes=0, sequence=0, snapshot_sequence=0, open=False, index_bytes=0
    )
    assert decode_ranking(encode_namespace(info).ranking, "ranking") == namespace.ranking
