import gzip
import json

import pytest

from adamem_server.cli.sources import MAX_JSON_LINE_CHARS, Problem, Reading, find_sources, read_slots
from tests.unit.cli.conftest import json_lines


def contents(server) -> list[str]:
    return [each.content for slots in server.slots.values() for each in slots.values()]


@pytest.fixture
def notes(tmp_path):
    (tmp_path / "a.md").write_text("# Tea\n\nGreen in the morning.\n\n## Milk\n\nNever.\n", encoding="utf-8")
    (tmp_path / "b.txt").write_text("Первый абзац.\n\n" + "Длинное предложение номер два. " * 40, encoding="utf-8")
    (tmp_path / "sub").mkdir()
    with gzip.open(tmp_path / "sub" / "c.jsonl.gz", "wt", encoding="utf-8") as file:
        file.write('{"content": "one", "user_id": "u", "lang": "ru"}\n\n{"text": "two", "metadata": {"lang": "en"}}\n')
    (tmp_path / "picture.png").write_bytes(b"\x89PNG")
    (tmp_path / ".hidden.txt").write_text("secret")
    return tmp_path


def test_a_directory(run, server, notes) -> None:
    counts = json_lines(run("ingest", str(notes), "--json", "--tag", "t", "--user-id", "v", "--metadata", '{"x": 1}'))[
        0
    ]
    assert (counts["n_files"], counts["n_ignored"], counts["n_failed"], counts["n_problems"]) == (3, 1, 0, 0)
    assert counts["n_stored"] == len(contents(server)) == 6
    slots = list(server.slots[""].values())
    assert slots[0].content == "# Tea\nGreen in the morning."
    assert list(slots[1].tags) == ["t", "Milk"]
    assert dict(slots[1].metadata) | {"headings": 0} == {
        "x": 1,
        "source": (notes / "a.md").as_posix(),
        "position": 1,
        "headings": 0,
    }
    assert list(slots[1].metadata["headings"]) == ["Tea", "Milk"]
    assert slots[2].kind == 4
    assert slots[4].scope.user_id == "u"
    assert dict(slots[4].metadata) == {"x": 1, "lang": "ru"}
    assert (slots[5].content, slots[5].scope.user_id) == ("two", "v")
    assert len({each.request_id for each in server.seen}) == 3


def test_ingesting_again_stores_nothing_twice(run, server, notes) -> None:
    for _ in range(2):
        run("ingest", str(notes))
    assert len(contents(server)) == 6
    run("ingest", str(notes), "--again")
    assert len(contents(server)) == 12


def test_standard_input(run, server) -> None:
    assert run("ingest", "-", "--lines", stdin="one\n\n two \nthree").exit_code == 0
    assert contents(server) == ["one", "two", "three"]
    assert run("ingest", "-", "--format", "jsonl", "--strict", stdin='{"content": "four"}').exit_code == 0
    assert contents(server)[3:] == ["four"]


BAD = """{"content": "good"}
{"content": ""}
{"text": 5}
{nonsense}
[1]
{"content": "x", "kind": "thought"}
{"content": "x", "tags": "one"}
{"content": "x", "metadata": []}
{"content": "bad"}
{"content": "fine", "importance": 0.7}
"""


def test_bad_lines_are_named_and_left_out(run, server, tmp_path) -> None:
    path = tmp_path / "bad.jsonl"
    path.write_text(BAD)
    result = run("ingest", str(path))
    assert result.exit_code == 1
    assert contents(server) == ["good", "fine"]
    named = [line for line in result.stderr.splitlines() if line.startswith(f"{path}:")]
    assert [int(line.split(":")[1]) for line in named] == [2, 3, 4, 5, 6, 7, 8, 9]
    assert "refused 1, unreadable 7" in result.stderr


def test_strict_stores_nothing_if_a_line_is_bad(run, server, tmp_path) -> None:
    path = tmp_path / "bad.jsonl"
    path.write_text(BAD)
    result = run("ingest", "--strict", str(path))
    assert result.exit_code == 2
    assert server.seen == []
    assert "nothing was stored" in result.stderr


def test_files_that_are_no_text_are_named(run, server, tmp_path) -> None:
    (tmp_path / "a.txt").write_bytes(b"\xff\xfe\xfa")
    (tmp_path / "b.txt.gz").write_bytes(b"no gzip")
    (tmp_path / "c.txt").write_bytes(b"\xef\xbb\xbfwith a mark")
    packed = gzip.compress(b"some text")
    (tmp_path / "d.txt.gz").write_bytes(packed[:10] + b"\xff" * 8 + packed[18:])
    (tmp_path / "e.txt.gz").write_bytes(packed[:-9])
    result = run("ingest", str(tmp_path))
    assert result.exit_code == 1
    assert "a.txt: is no UTF-8 text" in result.stderr
    for name in "bde":
        assert f"{name}.txt.gz: cannot be read" in result.stderr
    assert contents(server) == ["with a mark"]


def test_a_line_of_json_that_is_too_long_is_left_out(tmp_path) -> None:
    path = tmp_path / "long.jsonl"
    path.write_text('{"content": "' + "x" * (2 * MAX_JSON_LINE_CHARS) + '"}\n{"content": "after"}\n')
    reading = Reading(max_chars=800, by_lines=False, fields={})
    problem, slot = read_slots(find_sources([str(path)], None)[0][0], reading, lambda _: None)
    assert isinstance(problem, Problem)
    assert problem.place.endswith(":1")
    assert isinstance(slot, tuple)
    assert slot[0].endswith(":2")


def test_a_listing_can_be_ingested(run, server, tmp_path) -> None:
    slot_id = run("update", "kept", "--tag", "a", "--created-at", "2026-01-01T00:00:00Z").stdout.strip()
    path = tmp_path / "export.jsonl"
    path.write_text(run("slots", "list", "--json").stdout)
    before = server.slots[""].pop(slot_id)
    assert run("ingest", str(path)).exit_code == 0
    restored = server.slots[""][slot_id]
    assert (restored.content, restored.created_at, list(restored.tags)) == ("kept", before.created_at, ["a"])
    assert not restored.HasField("metadata")
    assert "updated_at" not in json.dumps(dict(restored.metadata))


@pytest.mark.parametrize("expiry", [{"ttl_s": 0.0}, {"ttl_s": 60.0, "expires_at": "2100-01-01T00:00:00Z"}])
def test_slots_of_a_package_can_be_ingested(run, server, tmp_path, expiry) -> None:
    line = {"content": "kept", "created_at": "2026-01-01T00:00:00Z", "updated_at": "2026-01-01T00:00:00Z", **expiry}
    path = tmp_path / "slots.jsonl"
    path.write_text(json.dumps(line) + "\n")
    assert run("ingest", str(path)).exit_code == 0
    (slot,) = server.slots[""].values()
    assert slot.HasField("expires_at") is ("expires_at" in expiry)
    assert not slot.HasField("ttl")


def test_progress_is_told_without_a_terminal(run, notes) -> None:
    result = run("ingest", str(notes))
    assert "ingest: 100% 6 slots" in result.stderr
    assert result.stdout == ""


def test_a_huge_file_is_read_as_it_is_sent(tmp_path) -> None:
    path = tmp_path / "huge.txt"
    path.write_text("A paragraph of some words.\n\n" * 100_000)
    read: list[int] = []
    slots = read_slots(
        find_sources([str(path)], None)[0][0], Reading(max_chars=800, by_lines=False, fields={}), read.append
    )
    next(slots)
    assert read[-1] < path.stat().st_size / 50


def test_long_headings_are_cut_as_tags_but_not_in_the_text(run, server, tmp_path) -> None:
    path = tmp_path / "long.md"
    path.write_text(f"# {'ж' * 300}\n\nText.\n", encoding="utf-8")
    assert run("ingest", str(path)).exit_code == 0
    (slot,) = server.slots[""].values()
    assert slot.content.count("ж") == 300
    assert len(slot.tags[0].encode()) <= 256
