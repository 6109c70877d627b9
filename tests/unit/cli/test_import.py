"""`adamem import` of what other systems leave: what is recognised, what becomes what, what is counted as left out."""

import json
import sqlite3
from pathlib import Path
from typing import Any

import pytest

from adamem_server.cli.foreign import recognised
from tests.unit.cli.conftest import json_lines

FOREIGN = Path(__file__).parents[2] / "compat" / "foreign"
MEM0_ID = "7e2f2c3a-1b2d-4c5e-8f90-123456789abc"


def stored(server: Any) -> list[Any]:
    """The slots that the server got, in order."""
    return [slot for kept in server.slots.values() for slot in kept.values()]


def database(path: Path, script: str) -> Path:
    connection = sqlite3.connect(path)
    connection.executescript(script)
    connection.close()
    return path


def dumped(path: Path, data: Any) -> str:
    path.write_text(json.dumps(data), encoding="utf-8")
    return str(path)


def imported(run: Any, *arguments: str) -> dict[str, Any]:
    told: list[dict[str, Any]] = json_lines(run("import", *arguments, "--json"))
    assert len(told) == 1
    return told[0]


def test_a_chroma_folder(run, server, tmp_path) -> None:
    folder = tmp_path / "chroma"
    folder.mkdir()
    database(folder / "chroma.sqlite3", (FOREIGN / "chroma-1.5.sql").read_text())
    told = imported(run, str(folder), "--as", "mine")
    assert told["n_stored"] == 3
    assert told["dropped"] == {"vectors": 4, "entries without a document": 1}
    first, second, third = stored(server)
    assert (first.content, first.scope.user_id) == ("Ann drinks tea", "ann")
    assert dict(first.metadata) == {"n": 3, "ok": True, "x": 1.5, "chroma_id": "a", "collection": "notes"}
    assert first.created_at.ToJsonString() == "2026-11-27T16:56:17Z"
    assert second.content == "Bob lives in Vilnius"
    assert (third.content, third.metadata["collection"]) == ("Another a", "other")
    # The same id in two collections is two slots; the same entry is the same slot again.
    assert len({first.id, second.id, third.id}) == 3
    assert set(server.slots) == {"mine"}


def test_a_chroma_dump(run, server, tmp_path) -> None:
    dump = {
        "ids": ["a", "b", "c"],
        "documents": ["Ann drinks tea", None, "Bob"],
        "metadatas": [{"user_id": "ann", "k": 1}, None, None],
        "embeddings": [[1.0, 2.0], [1.0, 2.0], [1.0, 2.0]],
    }
    told = imported(run, dumped(tmp_path / "dump.json", dump))
    assert (told["n_stored"], told["dropped"]) == (2, {"vectors": 3, "entries without a document": 1})
    assert [slot.content for slot in stored(server)] == ["Ann drinks tea", "Bob"]
    assert dict(stored(server)[0].metadata) == {"k": 1, "chroma_id": "a"}


def test_mem0s_memories(run, server, tmp_path) -> None:
    memory = {
        "id": MEM0_ID,
        "memory": "Likes to play tennis",
        "hash": "abc",
        "metadata": {"category": "hobbies"},
        "created_at": "2024-07-01T10:00:00.5-07:00",
        "updated_at": "2024-07-02T10:00:00-07:00",
        "user_id": "alice",
        "run_id": "r1",
        "actor_id": "bob",
        "categories": ["sport"],
        "score": None,
        "expiration_date": "2199-01-01",
    }
    result = run(
        "import", dumped(tmp_path / "m.json", {"results": [memory, {"memory": None}], "relations": [{}, {}]}), "--json"
    )
    assert result.exit_code == 1
    told = json.loads(result.stdout)
    assert (told["n_stored"], told["n_problems"]) == (1, 1)
    assert told["dropped"] == {"relations": 2, "hash": 1, "updated_at": 1}
    assert "m.json#1: " in result.stderr
    (slot,) = stored(server)
    assert (slot.content, slot.scope.user_id, slot.scope.conversation_id) == ("Likes to play tennis", "alice", "r1")
    assert dict(slot.metadata) == {"category": "hobbies", "actor_id": "bob", "mem0_id": MEM0_ID}
    assert (list(slot.tags), slot.created_at.ToJsonString()) == (["sport"], "2024-07-01T17:00:00.500Z")
    assert slot.expires_at.ToJsonString() == "2199-01-01T00:00:00Z"
    # The bits of the id are kept.
    from ulid import ULID

    assert ULID.from_str(slot.id).hex == MEM0_ID.replace("-", "")


def test_mem0s_history(run, server, tmp_path) -> None:
    path = database(
        tmp_path / "history.db",
        """
        CREATE TABLE history (id TEXT, memory_id TEXT, old_memory TEXT, new_memory TEXT, event TEXT, created_at TEXT,
            updated_at TEXT, is_deleted INTEGER, actor_id TEXT, role TEXT);
        INSERT INTO history VALUES ('1', 'm1', NULL, 'Tea', 'ADD', '2024-01-01T00:00:00+00:00', NULL, 0, NULL, 'user');
        INSERT INTO history VALUES ('2', 'm2', NULL, 'Gone', 'ADD', '2024-01-01T00:00:00+00:00', NULL, 0, NULL, NULL);
        INSERT INTO history VALUES ('3', 'm1', 'Tea', 'Green tea', 'UPDATE', NULL, '2024-02-01', 0, NULL, 'user');
        INSERT INTO history VALUES ('4', 'm2', 'Gone', NULL, 'DELETE', NULL, NULL, 1, NULL, NULL);
        """,
    )
    told = imported(run, str(path))
    assert (told["n_stored"], told["dropped"]) == (1, {"earlier versions": 2, "deleted memories": 1})
    (slot,) = stored(server)
    assert (slot.content, slot.role, slot.created_at.ToJsonString()) == ("Green tea", "user", "2024-01-01T00:00:00Z")


def test_a_langgraph_store(run, server, tmp_path) -> None:
    items = [
        {
            "namespace": ["users", "ann"],
            "key": "k1",
            "value": {"text": "Ann likes tea", "user_id": "ann", "rank": 2},
            "created_at": "2025-01-01T00:00:00+00:00",
            "updated_at": "2025-01-02T00:00:00+00:00",
            "score": 0.5,
        },
        {"namespace": ["users", "ann"], "key": "k2", "value": {"kind": "Memory", "content": {"content": "Ann runs"}}},
        {"namespace": ["users", "bob"], "key": "k1", "value": {"likes": ["tea"]}},
        {"namespace": None, "key": "k1", "value": {}},
    ]
    told = imported(run, dumped(tmp_path / "store.json", items))
    assert (told["n_stored"], told["dropped"]) == (
        3,
        {"updated_at": 1, "score": 1, "items without namespace and key": 1},
    )
    first, second, third = stored(server)
    assert (first.content, first.scope.user_id) == ("Ann likes tea", "ann")
    assert dict(first.metadata) == {"rank": 2, "langgraph_namespace": "users/ann", "langgraph_key": "k1"}
    assert second.content == "Ann runs"
    assert json.loads(third.content) == {"likes": ["tea"]}
    assert len({first.id, second.id, third.id}) == 3


def test_lines_of_texts_and_of_slots(run, server, tmp_path) -> None:
    path = tmp_path / "texts.jsonl"
    path.write_text('"A text alone"\n{"text": "With a field", "lang": "en"}\n{"content": "A slot", "tags": ["x"]}\n')
    assert imported(run, str(path), "--as", "mine")["n_stored"] == 3
    assert [slot.content for slot in stored(server)] == ["A text alone", "With a field", "A slot"]
    assert dict(stored(server)[1].metadata) == {"lang": "en"}


def test_people_are_told_what_was_left_out(run, server, tmp_path) -> None:
    result = run("import", dumped(tmp_path / "m.json", [{"id": "1", "memory": "Tea", "hash": "x"}]))
    assert result.exit_code == 0
    assert "not taken: 1 hash" in result.stderr
    assert "stored 1 slots" in result.stderr


@pytest.mark.parametrize(
    ("content", "says"),
    [
        ("hello", "cannot tell what"),
        ("{}", "cannot tell what"),
        ("[1, 2]", "cannot tell what"),
        ("[" * 100_000, "cannot tell what"),
        ("", "cannot tell what"),
        ("SQLite format 3\0", "cannot tell what"),
    ],
)
def test_what_is_not_recognised(run, tmp_path, content, says) -> None:
    path = tmp_path / "what.json"
    path.write_text(content)
    assert recognised(path) is None
    result = run("import", str(path))
    assert (result.exit_code, says in result.stderr) == (2, True)


@pytest.mark.parametrize("form", ["chroma", "mem0", "langgraph"])
@pytest.mark.parametrize(
    "content", ["", "{}", "[1]", '{"ids": ["a"], "documents": []}', '{"results": [3]}', "SQLite format 3\0"]
)
def test_what_is_not_what_it_is_said_to_be(run, server, tmp_path, form, content) -> None:
    path = tmp_path / "what.json"
    path.write_text(content)
    result = run("import", str(path), "--format", form)
    assert result.exit_code in (0, 1)
    assert stored(server) == []


@pytest.mark.parametrize("time", ["yesterday", 1e30, -1e30, float("inf")])
def test_a_time_that_is_none_is_told_and_the_others_are_stored(run, server, tmp_path, time) -> None:
    memories = [{"id": str(n), "memory": f"Tea {n}", "created_at": at} for n, at in enumerate([0, time, 1])]
    result = run("import", dumped(tmp_path / "m.json", memories))
    assert result.exit_code == 1
    assert f"m.json#1: created_at: {time!r} is no time" in result.stderr
    assert [slot.content for slot in stored(server)] == ["Tea 0", "Tea 2"]


def test_options_of_packages_are_refused_for_others(run, tmp_path) -> None:
    result = run("import", dumped(tmp_path / "m.json", [{"id": "1", "memory": "Tea"}]), "--merge")
    assert (result.exit_code, "for packages" in result.stderr) == (2, True)


def test_a_folder_is_no_package(run, tmp_path) -> None:
    result = run("import", str(tmp_path), "--format", "package")
    assert (result.exit_code, "a package is a file" in result.stderr) == (2, True)
