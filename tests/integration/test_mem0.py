"""`adamem.integrations.mem0`: mem0's arguments and shapes, as its own class documents them, before a real server."""

import hashlib
import json
import subprocess
import sys
from collections.abc import Iterator
from datetime import datetime
from itertools import count
from pathlib import Path
from typing import Any
from uuid import UUID

import anyio
import pytest

import adamem
from adamem.integrations.mem0 import AsyncMemory, Memory
from tests.integration.process import ServerProcess

_numbers = count()
ANN = {"user_id": "ann"}


@pytest.fixture
def client(server: ServerProcess) -> Iterator[adamem.Client]:
    with adamem.Client(server.address) as made:
        yield made


@pytest.fixture
def memory(client: adamem.Client) -> Memory:
    return Memory(client, namespace=f"mem0-{next(_numbers)}")


def texts(answer: dict[str, Any]) -> list[str]:
    return [each["memory"] for each in answer["results"]]


def test_add_and_get(memory: Memory, client: adamem.Client) -> None:
    added = memory.add("Ann likes tea", user_id="ann", agent_id="a1", run_id="r1", metadata={"topic": "food", "n": 1})
    (result,) = added["results"]
    assert result.keys() == {"id", "memory", "event", "actor_id", "role"}
    assert (result["memory"], result["event"], result["actor_id"], result["role"]) == (
        "Ann likes tea",
        "ADD",
        None,
        "user",
    )
    UUID(result["id"])
    item = memory.get(result["id"])
    assert item is not None
    assert datetime.fromisoformat(item.pop("created_at")) <= datetime.fromisoformat(item.pop("updated_at"))
    assert item == {
        "id": result["id"],
        "memory": "Ann likes tea",
        "hash": hashlib.md5(b"Ann likes tea").hexdigest(),
        "metadata": {"topic": "food", "n": 1},
        "score": None,
        "user_id": "ann",
        "agent_id": "a1",
        "run_id": "r1",
        "role": "user",
    }
    assert memory.get("0d9b2e0a-0000-4000-8000-000000000000") is None
    assert memory.get("no id") is None
    (slot,) = client.list_slots(namespace=memory._namespace)
    assert (slot.user_id, slot.agent_id, slot.conversation_id, slot.kind) == ("ann", "a1", "r1", "message")


def test_messages(memory: Memory) -> None:
    messages = [
        {"role": "system", "content": "You are helpful"},
        {"role": "user", "name": "Ann", "content": "I moved to Riga"},
        {"role": "assistant", "content": "How nice"},
        {"role": "user"},
    ]
    added = memory.add(messages, user_id="ann")["results"]
    assert [(each["memory"], each["role"], each["actor_id"]) for each in added] == [
        ("I moved to Riga", "user", "Ann"),
        ("How nice", "assistant", None),
    ]
    assert (memory.get(added[0]["id"]) or {})["actor_id"] == "Ann"
    assert memory.add({"role": "user", "content": "one"}, run_id="r")["results"][0]["memory"] == "one"
    assert memory.add([], user_id="ann") == {"results": []}


def test_search(memory: Memory) -> None:
    memory.add("Ann is allergic to peanuts", **ANN, metadata={"topic": "health"})
    memory.add("Ann works in Riga", **ANN, metadata={"topic": "work"})
    memory.add("Bob is allergic to cats", user_id="bob")
    found = memory.search("What can Ann not eat?", filters=ANN)
    assert texts(found)[0] == "Ann is allergic to peanuts"
    assert set(texts(found)) == {"Ann is allergic to peanuts", "Ann works in Riga"}
    scores = [each["score"] for each in found["results"]]
    assert scores == sorted(scores, reverse=True)
    assert all(0 <= score <= 1 for score in scores)
    assert found["results"][0].keys() >= {
        "id",
        "memory",
        "hash",
        "metadata",
        "score",
        "created_at",
        "updated_at",
        "user_id",
    }
    assert texts(memory.search("allergic", top_k=1, filters=ANN)) == ["Ann is allergic to peanuts"]
    assert memory.search("allergic", top_k=0, filters=ANN) == {"results": []}
    assert texts(memory.search("allergic", filters=ANN, threshold=1.0)) == []
    (explained,) = memory.search("peanuts", top_k=1, filters=ANN, explain=True)["results"]
    assert explained["score_details"]["bm25_score"] > 0
    assert memory.search("anything", filters={"user_id": "nobody"}) == {"results": []}


@pytest.mark.parametrize(
    ("condition", "expected"),
    [
        ({}, "abcd"),
        ({"color": "red"}, "ab"),
        ({"color": {"eq": "red"}}, "ab"),
        ({"color": {"ne": "red"}}, "cd"),
        ({"n": {"gt": 1, "lte": 3}}, "bc"),
        ({"n": {"in": [1, 3]}}, "ac"),
        ({"n": {"nin": [1, 3]}}, "bd"),
        ({"color": "*"}, "abc"),
        ({"title": {"contains": "Tea"}}, "a"),
        ({"title": {"icontains": "TEA"}}, "ab"),
        ({"AND": [{"color": "red"}, {"title": {"contains": "tea"}}]}, "b"),
        ({"AND": [{"n": {"gte": 1}}, {"n": {"lt": 3}}]}, "ab"),
        ({"OR": [{"color": "blue"}, {"n": 1}]}, "ac"),
        ({"NOT": [{"color": "red"}, {"color": "blue"}]}, "d"),
        ({"run_id": "r1"}, "d"),
        ({"role": "user"}, "abcd"),
    ],
    ids=str,
)
def test_filters(filtered: Memory, condition: dict[str, Any], expected: str) -> None:
    condition = {**ANN, **condition}
    assert "".join(sorted(texts(filtered.get_all(filters=condition)))) == expected
    assert "".join(sorted(texts(filtered.search("letter", filters=condition, threshold=None)))) == expected


@pytest.fixture(scope="module")
def filtered(server: ServerProcess) -> Iterator[Memory]:
    memory = Memory(endpoint=server.address, namespace="mem0-filters")
    memory.add("a", **ANN, metadata={"color": "red", "n": 1, "title": "Tea time"})
    memory.add("b", **ANN, metadata={"color": "red", "n": 2, "title": "green tea"})
    memory.add("c", **ANN, metadata={"color": "blue", "n": 3})
    memory.add("d", **ANN, run_id="r1")
    memory.add("e", user_id="bob", metadata={"color": "red", "n": 1, "title": "Tea"})
    yield memory
    memory.close()


def test_get_all_is_cut_only_by_top_k(memory: Memory) -> None:
    memory.add([{"role": "user", "content": f"number {i}"} for i in range(250)], **ANN)
    assert texts(memory.get_all(filters=ANN)) == [f"number {i}" for i in range(20)]
    assert texts(memory.get_all(filters=ANN, top_k=1000)) == [f"number {i}" for i in range(250)]
    assert memory.get_all(filters=ANN, top_k=0) == {"results": []}
    assert "score" not in memory.get_all(filters=ANN)["results"][0]


def test_update_and_history(memory: Memory) -> None:
    (added,) = memory.add("Ann lives in Riga", **ANN, metadata={"a": 1}, run_id="r1")["results"]
    assert memory.update(added["id"], "Ann lives in Oslo", metadata={"b": 2}) == {
        "message": "Memory updated successfully!"
    }
    item = memory.get(added["id"]) or {}
    assert (item["memory"], item["metadata"], item["run_id"]) == ("Ann lives in Oslo", {"a": 1, "b": 2}, "r1")
    assert memory.delete(added["id"]) == {"message": "Memory deleted successfully!"}
    assert memory.get(added["id"]) is None
    events = memory.history(added["id"])
    told = [(each["event"], each["old_memory"], each["new_memory"], each["is_deleted"]) for each in events]
    assert told == [
        ("ADD", None, "Ann lives in Riga", False),
        ("UPDATE", "Ann lives in Riga", "Ann lives in Oslo", False),
        ("DELETE", "Ann lives in Oslo", None, True),
    ]
    assert all(each["memory_id"] == added["id"] and each["role"] == "user" for each in events)
    assert events[0].keys() == {
        "id", "memory_id", "old_memory", "new_memory", "event", "created_at", "updated_at", "is_deleted", "actor_id",
        "role",
    }  # fmt: skip
    assert memory.history("0d9b2e0a-0000-4000-8000-000000000000") == []
    assert memory.history("no id") == []


def test_delete_all_and_reset(memory: Memory) -> None:
    memory.add("a", **ANN)
    memory.add("b", **ANN, run_id="r1")
    memory.add("c", user_id="bob")
    assert memory.delete_all(run_id="r1") == {"message": "Memories deleted successfully!"}
    assert texts(memory.get_all(filters=ANN)) == ["a"]
    memory.delete_all(user_id="ann")
    assert memory.get_all(filters=ANN) == {"results": []}
    (left,) = memory.get_all(filters={"user_id": "bob"})["results"]
    memory.reset()
    assert memory.get_all(filters={"user_id": "bob"}) == {"results": []}
    assert memory.history(left["id"]) == []
    memory.reset()
    memory.add("again", **ANN)
    assert texts(memory.get_all(filters=ANN)) == ["again"]


def test_duplicates_are_told(memory: Memory, client: adamem.Client) -> None:
    client.create_namespace(memory._namespace, duplicates={"on_duplicate": "skip"})
    (first,) = memory.add("Ann likes tea", **ANN)["results"]
    (second,) = memory.add("Ann likes tea", **ANN)["results"]
    assert (second["event"], second["id"]) == ("NONE", first["id"])


def test_what_mem0_stored_keeps_its_ids(server: ServerProcess, tmp_path: Path) -> None:
    mem0_id = "0d9b2e0a-1111-4222-8333-444455556666"
    kept = {"id": mem0_id, "memory": "Ann likes tea", "user_id": "ann", "created_at": "2025-01-31T09:30:00+00:00"}
    (tmp_path / "mem0.json").write_text(json.dumps({"results": [kept]}))
    command = [sys.executable, "-m", "adamem_server.cli", "--endpoint", server.address]
    subprocess.run([*command, "import", str(tmp_path / "mem0.json"), "--as", "mem0-imported"], check=True, timeout=120)
    memory = Memory(endpoint=server.address, namespace="mem0-imported")
    item = memory.get(mem0_id) or {}
    assert (item["id"], item["memory"], item["user_id"]) == (mem0_id, "Ann likes tea", "ann")
    assert texts(memory.get_all(filters=ANN)) == ["Ann likes tea"]
    memory.update(mem0_id, "Ann likes coffee")
    assert [each["new_memory"] for each in memory.history(mem0_id)] == ["Ann likes tea", "Ann likes coffee"]
    memory.close()


@pytest.mark.parametrize(
    ("act", "problem"),
    [
        (lambda m: m.add("x"), "At least one of 'user_id'"),
        (lambda m: m.add("x", user_id=" "), "Invalid user_id"),
        (lambda m: m.add("x", user_id="a b"), "Invalid user_id: cannot contain whitespace"),
        (lambda m: m.add(5, user_id="ann"), "messages must be"),
        (lambda m: m.add(["x"], user_id="ann"), "messages must be"),
        (lambda m: m.add([{"role": "user", "content": [{"type": "image_url"}]}], user_id="ann"), "content: a text"),
        (lambda m: m.add("x", user_id="ann", infer=True), "infer is not supported"),
        (lambda m: m.add("x", user_id="ann", memory_type="procedural_memory"), "memory_type is not supported"),
        (lambda m: m.add("x", user_id="ann", metadata={"a": object()}), "metadata"),
        (lambda m: m.search(" ", filters=ANN), "non-empty"),
        (lambda m: m.search("x"), "filters must contain"),
        (lambda m: m.search("x", filters={"color": "red"}), "filters must contain"),
        (lambda m: m.search("x", user_id="ann"), "Top-level entity parameters"),
        (lambda m: m.search("x", filters=ANN, top_k=-1), "Invalid top_k"),
        (lambda m: m.search("x", filters=ANN, threshold=2), "Invalid threshold"),
        (lambda m: m.search("x", filters={**ANN, "n": {"near": 1}}), "near"),
        (lambda m: m.search("x", filters={**ANN, "OR": [{"a": {"contains": "x"}}]}), "within AND"),
        (lambda m: m.search("x", filters={**ANN, "OR": []}), "non-empty list"),
        (lambda m: m.get_all(), "filters must contain"),
        (lambda m: m.get_all(user_id="ann"), "Top-level entity parameters"),
        (lambda m: m.update("no id", "x"), "not found"),
        (lambda m: m.delete("no id"), "not found"),
        (lambda m: m.delete("0d9b2e0a-0000-4000-8000-000000000000"), "not found"),
        (lambda m: m.delete_all(), "At least one filter"),
    ],
)
def test_bad_input_is_a_value_error(memory: Memory, act, problem: str) -> None:
    with pytest.raises(ValueError, match=problem):
        act(memory)


def test_an_update_cannot_move_a_memory(memory: Memory) -> None:
    (added,) = memory.add("x", **ANN)["results"]
    with pytest.raises(ValueError, match="user_id cannot be changed"):
        memory.update(added["id"], "y", metadata={"user_id": "bob"})
    assert (memory.get(added["id"]) or {})["memory"] == "x"


def test_no_more_is_reranked_than_the_server_takes(memory: Memory) -> None:
    memory.add("Ann likes tea", user_id="ann")
    # There is no cross-encoder, which is what is told: not that 101 are too many.
    with pytest.raises(adamem.FailedPreconditionError):
        memory.search("tea", filters=ANN, top_k=101, rerank=True)


def test_unknown_arguments_are_refused(memory: Memory) -> None:
    with pytest.raises(TypeError, match="limit"):
        memory.search("x", filters=ANN, limit=3)


def test_asynchronously(server: ServerProcess) -> None:
    async def act() -> None:
        memory = AsyncMemory(endpoint=server.address, namespace="mem0-async")
        (added,) = (await memory.add("Ann likes tea", user_id="ann"))["results"]
        assert (await memory.get(added["id"]) or {})["memory"] == "Ann likes tea"
        assert texts(await memory.search("tea", filters=ANN)) == ["Ann likes tea"]
        await memory.update(added["id"], "Ann likes coffee")
        assert texts(await memory.get_all(filters=ANN)) == ["Ann likes coffee"]
        await memory.delete(added["id"])
        assert [each["event"] for each in await memory.history(added["id"])] == ["ADD", "UPDATE", "DELETE"]
        await memory.delete_all(user_id="ann")
        await memory.reset()
        memory.close()

    anyio.run(act)
