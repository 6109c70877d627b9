"""DataFrames: records as one with its columns and dtypes, its rows as slots, vectors as a matrix."""

import asyncio
import io
import subprocess
import sys
import tracemalloc
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import grpc
import numpy as np
import pandas as pd
import pytest

import adamem
from adamem import frames
from adamem._codec import slot_from_proto, slot_to_proto
from adamem._record import Record, Table, row_type
from adamem._vectors import Vector
from adamem.v1 import types_pb2 as pb
from tests.unit.client.conftest import retry_after, status

MOMENT = datetime(2026, 1, 31, 9, 30, 0, 123456, UTC)
TEXT = "str" if int(pd.__version__.partition(".")[0]) >= 3 else "object"
SLOT_COLUMNS = {
    "id": TEXT,
    "namespace": TEXT,
    "content": TEXT,
    "cue": TEXT,
    "kind": TEXT,
    "user_id": TEXT,
    "agent_id": TEXT,
    "conversation_id": TEXT,
    "role": TEXT,
    "tags": "object",
    "metadata": "object",
    "importance": "float64",
    "created_at": "datetime64[us, UTC]",
    "updated_at": "datetime64[us, UTC]",
    "expires_at": "datetime64[us, UTC]",
    "access_count": "int64",
    "accessed_at": "datetime64[us, UTC]",
    "vector_supplied": "bool",
    "vector": "object",
    "language": TEXT,
    "recalled_from": TEXT,
    "sources": "object",
    "summaries": "object",
    "absorbed": "object",
    "ttl_s": "float64",
    "archived_at": "datetime64[us, UTC]",
    "pinned": "bool",
    "validity.valid_from": "datetime64[us, UTC]",
    "validity.valid_to": "datetime64[us, UTC]",
    "validity.superseded_by": TEXT,
}
HIT_COLUMNS = {"score": "float64", "score_parts": "object", "dense_score": "float64", "lexical_score": "float64"}


def slot(content: str = "tea", **changes: Any) -> adamem.Slot:
    message = pb.Slot(id="01", content=content, kind=pb.SLOT_KIND_PREFERENCE, tags=["drink"], importance=0.5)
    message.created_at.FromDatetime(MOMENT)
    message.metadata["lang"] = "en"
    return replace(slot_from_proto(message), **changes)


def result(*hits: adamem.Hit) -> adamem.QueryResult:
    return adamem.QueryResult(hits, adamem.QueryTimings(0.001, 0.002, 0.004), 0.8)


def dtypes(frame: pd.DataFrame) -> dict[str, str]:
    return {name: str(dtype) for name, dtype in frame.dtypes.items()}


def test_hits_have_their_columns_with_and_without_any() -> None:
    frame = result(
        adamem.Hit(slot(vector=Vector("f", [1, 2])), 0.5, {"dense": 0.5}), adamem.Hit(slot("x"), 0.25)
    ).to_pandas()
    assert dtypes(frame) == HIT_COLUMNS | SLOT_COLUMNS
    assert dtypes(result().to_pandas()) == HIT_COLUMNS | SLOT_COLUMNS
    assert (len(frame), len(result().to_pandas())) == (2, 0)
    first = frame.iloc[0]
    assert (first.score, first.score_parts, first.content, first.kind) == (0.5, {"dense": 0.5}, "tea", "preference")
    assert (first.tags, first.metadata, first.importance) == (["drink"], {"lang": "en"}, 0.5)
    assert first.created_at == pd.Timestamp(MOMENT)
    assert first.vector.dtype == np.float32
    assert first.vector.tolist() == [1, 2]
    assert frame.vector[1] is None
    assert frame.expires_at.isna().all()
    assert frame.ttl_s.isna().all()
    assert frame["validity.superseded_by"].isna().all()


def test_slots_of_an_iterator_and_of_a_page() -> None:
    slots = (slot(str(n), access_count=n) for n in range(3))
    frame = frames.to_pandas(slots)
    assert dtypes(frame) == SLOT_COLUMNS
    assert frame.content.tolist() == ["0", "1", "2"]
    assert frame.access_count.sum() == 3
    pd.testing.assert_frame_equal(
        adamem.SlotPage(tuple(slot(str(n), access_count=n) for n in range(3)), "").to_pandas(), frame
    )
    assert dtypes(frames.to_pandas(iter(()))) == SLOT_COLUMNS
    assert dtypes(frames.to_pandas([], of=adamem.Job)) == dtypes(adamem.JobPage((), "").to_pandas())


def tables() -> list[type[Table]]:
    found = [each for each in map(adamem.__dict__.get, adamem.__all__) if isinstance(each, type)]
    return [each for each in found if issubclass(each, Table)]


def records() -> list[type[Record]]:
    found = [each for each in map(adamem.__dict__.get, adamem.__all__) if isinstance(each, type)]
    return [each for each in found if issubclass(each, Record)]


def test_there_are_tables() -> None:
    assert {each.__name__ for each in tables()} == {
        *("QueryResult", "BatchUpdateResult", "SlotPage", "JobPage", "NamespacePage", "DuplicatePairPage"),
        *("AbsorbedSlotPage", "SlotVersionPage", "SnapshotPage", "SlotDiffPage"),
    }


@pytest.mark.parametrize("table", tables(), ids=lambda each: each.__name__)
def test_every_table_has_columns_without_rows(table: type[Table]) -> None:
    frame = frames.to_pandas((), of=row_type(table))
    assert len(frame) == 0
    assert len(frame.columns) == len(set(frame.columns)) >= 4


@pytest.mark.parametrize("record", records(), ids=lambda each: each.__name__)
def test_every_record_can_be_a_row(record: type[Record]) -> None:
    assert len(frames.to_pandas((), of=record).columns) > 0


def test_the_validity_of_a_version_is_its_own() -> None:
    now = adamem.Validity(MOMENT, None, "02")
    frame = adamem.SlotVersionPage((adamem.SlotVersion(3, slot(), now, adamem.Ending.SUPERSEDED),), "").to_pandas()
    assert frame.version.tolist() == [3]
    assert frame.ending.tolist() == ["superseded"]
    assert frame["validity.superseded_by"].tolist() == ["02"]
    assert frame.content.tolist() == ["tea"]


def test_a_record_that_may_be_missing_is_one_of_missing_values() -> None:
    diff = adamem.SlotDiff("01", adamem.DiffKind.ADDED, None, slot())
    frame = adamem.SlotDiffPage((diff,), "").to_pandas()
    assert frame["after.content"].tolist() == ["tea"]
    assert frame["after.access_count"].dtype == "Int64"
    assert frame["before.access_count"].isna().all()
    assert frame["before.vector_supplied"].isna().all()
    assert frame["before.content"].isna().all()


def test_a_job_that_failed_shows_why() -> None:
    error = adamem.NamespaceNotFoundError("there is no n")
    results = adamem.BatchUpdateResult((adamem.UpdateResult("", False, 0, error), adamem.UpdateResult("1", True, 2)), 2)
    assert results.to_pandas().error.tolist()[0] == "NAMESPACE_NOT_FOUND: there is no n"
    assert results.to_pandas().error.isna().tolist() == [False, True]


def test_rows_of_different_types_are_refused() -> None:
    with pytest.raises(TypeError, match="record 1 is a Hit, not a Slot"):
        frames.to_pandas([slot(), adamem.Hit(slot(), 1.0)])
    with pytest.raises(TypeError):
        frames.to_pandas(["tea"])  # type: ignore[list-item]


def test_vectors_are_one_matrix() -> None:
    slots = [slot(vector=Vector("f", [n, 1, 2])) for n in range(4)]
    matrix = frames.vectors(iter(slots))
    assert (matrix.dtype, matrix.shape, matrix.flags.c_contiguous) == (np.dtype("f4"), (4, 3), True)
    assert matrix[:, 0].tolist() == [0, 1, 2, 3]
    matrix[0, 0] = 5.0  # its own memory, not the slots'
    assert slots[0].vector is not None
    assert slots[0].vector[0] == 0.0
    assert frames.vectors(result(*(adamem.Hit(each, 1.0) for each in slots))).shape == (4, 3)
    assert frames.vectors([]).shape == (0, 0)


@pytest.mark.parametrize("vector", [None, Vector("f", [1])])
def test_a_slot_without_a_vector_of_the_size_is_named(vector: Vector | None) -> None:
    with pytest.raises(adamem.InvalidArgumentError) as caught:
        frames.vectors([slot(vector=Vector("f", [1, 2])), slot(vector=vector)])
    assert caught.value.field == "slots[1].vector"


# Rows as slots

FRAME = pd.DataFrame(
    {
        "content": ["tea", "oven", "rain"],
        "cue": ["What?", None, np.nan],
        "kind": pd.Categorical(["fact", None, "message"]),
        "user_id": ["ann", None, pd.NA],
        "tags": [["a", "b"], None, np.asarray(["c"])],
        "metadata": [{"a": 1}, None, None],
        "metadata.n": [1, np.nan, 3],
        "metadata.ok": pd.array([True, None, False], dtype="boolean"),
        "metadata.at": pd.to_datetime(["2026-01-31T12:30:00+03:00", None, None]),
        "importance": np.asarray([0.5, np.nan, 1.0], "f4"),
        "vector": [*np.eye(2), None],
        "created_at": pd.to_datetime(
            ["2026-01-31T09:30:00Z", None, "2026-02-01T00:00:00.000001999Z"], format="ISO8601"
        ),
        "expires_at": pd.to_datetime([None, "2027-01-31T12:30:00+03:00", None]).tz_convert("Europe/Riga"),
        "ttl_s": [pd.Timedelta(hours=1), pd.NaT, None],
        "pinned": [True, None, False],
    },
    index=["x", "y", "z"],
)


def test_rows_become_slots_without_what_is_absent() -> None:
    first, second, third = frames.rows(FRAME)
    assert first == {
        "content": "tea",
        "cue": "What?",
        "kind": "fact",
        "user_id": "ann",
        "tags": ["a", "b"],
        "metadata": {"a": 1, "n": 1.0, "ok": True, "at": datetime(2026, 1, 31, 9, 30, tzinfo=UTC)},
        "importance": 0.5,
        "vector": first["vector"],
        "created_at": datetime(2026, 1, 31, 9, 30, tzinfo=UTC),
        "ttl_s": 3600.0,
        "pinned": True,
    }
    assert set(second) == {"content", "vector", "expires_at"}
    assert third["tags"] == ["c"]
    assert third["metadata"] == {"n": 3.0, "ok": False}
    assert third["created_at"] == datetime(2026, 2, 1, 0, 0, 0, 1, UTC)
    sent = [slot_to_proto(each) for each in (first, second, third)]
    assert sent[0].vector.values == np.asarray([1, 0], "<f4").tobytes()
    assert sent[1].expires_at.ToJsonString() == "2027-01-31T09:30:00Z"
    assert not sent[1].HasField("importance")


@pytest.mark.parametrize(
    ("frame", "field", "problem"),
    [
        (FRAME.assign(lang="en"), "column 'lang'", "metadata.lang"),
        (FRAME.assign(**{"metadata.": 1}), "column 'metadata.'", "no field"),
        (FRAME.rename(columns={"cue": 5}), "column 5", "no field"),
        (FRAME.drop(columns="content"), "column 'content'", "is required; there are 'cue', "),
        (pd.DataFrame(), "column 'content'", "no columns"),
        (FRAME[["content", "cue", "content"]], "column 'content'", "more than once"),
        (FRAME.assign(created_at=pd.Timestamp("2026-01-31")), "column 'created_at'", "tz_localize('UTC')"),
        ([1], "frames", "a DataFrame is expected, not int"),
    ],
    ids=lambda each: each if isinstance(each, str) else "",
)
def test_columns_that_do_not_fit_are_refused_before_anything_is_sent(endpoint, server, frame, field, problem) -> None:
    with pytest.raises(adamem.InvalidArgumentError) as caught:
        list(frames.rows(frame))
    assert caught.value.field == field
    assert problem in str(caught.value)
    if isinstance(frame, pd.DataFrame):
        with adamem.Client(endpoint) as client, pytest.raises(adamem.InvalidArgumentError):
            client.bulk_update(frame)
        assert server.seen == []


@pytest.mark.parametrize(
    ("column", "value", "problem"),
    [
        ("content", None, "is required"),
        ("content", 5, "text is expected, not int"),
        ("user_id", 5.0, "text is expected, not float"),
        ("cue", "\ud800", "surrogate"),
        ("tags", "a", "a list of texts is expected, not str"),
        ("tags", 5, "a list of texts is expected, not int"),
        ("kind", "memory", "is none of fact"),
        ("importance", "high", "a number is expected, not str"),
        ("created_at", "yesterday", "no RFC 3339 time"),
        ("created_at", pd.Timestamp("2026-01-01"), "no time zone"),
        ("vector", "[1, 2]", "not str"),
        ("vector", [1.0, np.nan], "value 1 is nan"),
        ("metadata", 5, "a dictionary is expected"),
        ("metadata", {"a": np.float64("inf")}, ""),
        ("ttl_s", "soon", "a finite number of seconds"),
    ],
    ids=lambda each: repr(each)[:20],
)
@pytest.mark.parametrize("twin", ["plain", "async"])
def test_a_cell_that_does_not_fit_is_named_by_row_and_column(endpoint, server, twin, column, value, problem) -> None:
    frame = pd.DataFrame({"content": ["a", "b", "c"]}, dtype="object", index=[10, 20, 30])
    frame[column] = pd.Series(
        [*frame[column][:2], value] if column == "content" else [None, None, value], [10, 20, 30], "object"
    )
    done = bulk_update(twin, endpoint, frame, namespace="n")
    assert (done.n_created, done.n_failed) == (2, 1)
    (failure,) = done.failures
    assert failure.index == 2
    assert isinstance(failure.error, adamem.InvalidArgumentError)
    assert failure.error.field.startswith(f"rows[2].{column}")
    assert problem in str(failure.error)
    with adamem.Client(endpoint) as client, pytest.raises(adamem.InvalidArgumentError, match=rf"rows\[2\]\.{column}"):
        client.batch_update(frame)


def bulk_update(twin: str, endpoint: str, items: Any, **options: Any) -> adamem.BulkResult:
    if twin == "plain":
        with adamem.Client(endpoint) as client:
            return client.bulk_update(items, **options)

    async def work() -> adamem.BulkResult:
        async with adamem.AsyncClient(endpoint) as client:
            return await client.bulk_update(items, **options)

    return asyncio.run(work())


@pytest.mark.parametrize("twin", ["plain", "async"])
def test_a_frame_is_loaded_over_a_stream_that_breaks(endpoint, server, twin) -> None:
    frame = pd.DataFrame({"content": [f"{n}" for n in range(1000)], "importance": np.linspace(0, 1, 1000)})
    server.break_stream_after = 2
    done = bulk_update(twin, endpoint, frame, namespace="n", batch_size=30)
    assert done.n_created == 1000
    assert [each.content for each in server.slots["n"].values()] == frame.content.tolist()


@pytest.mark.parametrize("twin", ["plain", "async"])
def test_chunks_are_read_as_they_are_sent(endpoint, server, twin) -> None:
    text = "content,user_id\n" + "".join(f"text {n},u{n % 3}\n" for n in range(500))
    with pd.read_csv(io.StringIO(text), chunksize=100) as reader:
        done = bulk_update(twin, endpoint, frames.rows(reader), namespace="n", batch_size=50)
    assert done.n_created == 500
    assert [each.scope.user_id for each in server.slots["n"].values()][:4] == ["u0", "u1", "u2", "u0"]


def test_frames_are_read_no_further_than_asked_for() -> None:
    n_read = 0

    def chunks() -> Iterator[pd.DataFrame]:
        nonlocal n_read
        for n in range(1000):
            n_read += 1
            yield pd.DataFrame({"content": [f"{n}"] * 10})

    rows = frames.rows(chunks())
    for _ in range(25):
        next(rows)
    assert n_read == 3


@pytest.mark.parametrize("twin", ["plain", "async"])
def test_a_batch_of_a_frame(endpoint, server, twin) -> None:
    if twin == "plain":
        with adamem.Client(endpoint) as client:
            done = client.batch_update(FRAME, namespace="n")
    else:

        async def work() -> adamem.BatchUpdateResult:
            async with adamem.AsyncClient(endpoint) as client:
                return await client.batch_update(FRAME, namespace="n")

        done = asyncio.run(work())
    assert [each.ok for each in done] == [True, True, True]
    assert [each.content for each in server.slots["n"].values()] == ["tea", "oven", "rain"]


def test_a_server_that_refuses_a_row_is_told_by_its_place(endpoint, server) -> None:
    frame = pd.DataFrame({"content": ["bad" if n == 7 else f"{n}" for n in range(20)]})
    done = bulk_update("plain", endpoint, frame, namespace="n", batch_size=5)
    assert [each.index for each in done.failures] == [7]
    assert frame.content.iloc[done.failures[0].index] == "bad"


def test_a_batch_that_fails_as_a_whole_raises(endpoint, server) -> None:
    server.failures = [status(grpc.StatusCode.RESOURCE_EXHAUSTED, "full", retry_after(0.0))]
    with pytest.raises(adamem.ResourceExhaustedError):
        bulk_update("plain", endpoint, pd.DataFrame({"content": ["a"]}))


def test_what_a_query_found_can_be_stored_elsewhere(client, server) -> None:
    client.batch_update([{"content": f"{n}", "tags": ["t"], "metadata": {"n": n}} for n in range(3)], namespace="a")
    found = client.query("x", namespace="a").to_pandas()
    client.bulk_update(found[["content", "kind", "tags", "metadata", "importance"]], namespace="b")
    kept = [(each.content, list(each.tags), each.metadata["n"]) for each in server.slots["b"].values()]
    assert kept == [(f"{n}", ["t"], n) for n in range(3)]


def test_all_slots_of_both_clients(endpoint, client, server) -> None:
    client.batch_update([f"{n}" for n in range(250)], namespace="a")

    async def work() -> pd.DataFrame:
        async with adamem.AsyncClient(endpoint) as twin:
            return frames.to_pandas([slot async for slot in twin.list_slots(namespace="a")])

    frame = frames.to_pandas(client.list_slots(namespace="a"))
    assert len(frame) == 250
    pd.testing.assert_frame_equal(frame, asyncio.run(work()))
    assert len(client.list_slots_page(namespace="a", page_size=7).to_pandas()) == 7
    assert len(client.list_namespaces_page().to_pandas()) == 1


WITHOUT = """
import sys
import tracemalloc
sys.modules["pandas"] = None  # as if it was not installed
import adamem
from adamem import frames
assert not frames.is_frame([])
try:
    adamem.SlotPage((), "").to_pandas()
except ModuleNotFoundError as error:
    print(error)
"""


def test_without_pandas_the_extra_is_named() -> None:
    done = subprocess.run([sys.executable, "-c", WITHOUT], capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == "No module named 'pandas': it comes with `pip install 'adamem-client[pandas]'`"


def test_a_long_frame_is_read_in_flat_memory() -> None:
    n = 50_000
    frame = pd.DataFrame(
        {
            "content": "text",
            "importance": np.linspace(0, 1, n),
            "created_at": pd.date_range("2026-01-01", periods=n, freq="s", tz="UTC"),
            "metadata.n": np.arange(n),
        }
    )
    sum(1 for _ in frames.rows(frame.head(10)))
    tracemalloc.start()
    try:
        n_read = sum(1 for _ in frames.rows(frame))
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert n_read == n
    # A list of the rows would take ten times as much.
    assert peak < 4e6
