"""What a REPL and a notebook show of results: the essential in a few short lines, and nothing that they would obey."""

import re
import typing
from dataclasses import fields, is_dataclass
from datetime import UTC, datetime
from enum import Enum
from types import UnionType
from typing import Any, get_args, get_origin, get_type_hints

import pytest

import adamem
import adamem.types
from adamem._codec import slot_from_proto
from adamem._printing import shortened
from adamem._record import Record
from adamem._vectors import Vector
from adamem.v1 import types_pb2 as pb

LONG = "word " * 2000
MOMENT = datetime(2026, 1, 31, 9, 30, tzinfo=UTC)


def records() -> list[type[Record]]:
    found = [getattr(adamem, name) for name in adamem.__all__]
    return [each for each in found if isinstance(each, type) and issubclass(each, Record)]


def full(hint: Any) -> Any:
    """A large value of a type."""
    origin, arguments = get_origin(hint), get_args(hint)
    if origin in (typing.Union, UnionType):
        return full(next(each for each in arguments if each is not type(None)))
    if origin is tuple:
        return (full(arguments[0]),) * 500
    if origin is not None:
        return {f"key {n}": 0.125 for n in range(500)} if len(arguments) == 2 else [LONG] * 500
    if is_dataclass(hint):
        return made(hint)  # type: ignore[arg-type]
    if issubclass(hint, Enum):
        return next(iter(hint))
    examples: dict[Any, Any] = {int: 7, float: 0.123456789012, bool: True, str: LONG, datetime: MOMENT, bytes: b"x"}
    if hint in examples:
        return examples[hint]
    return hint("f", [0.5] * 1000) if hint is Vector else adamem.NamespaceNotFoundError("no such namespace")


def made(record: type[Record]) -> Record:
    hints = get_type_hints(record, localns=vars(adamem.types))
    values = {}
    for each in fields(record):  # type: ignore[arg-type]
        # An absorbed slot has no absorbed ones of its own here.
        values[each.name] = () if each.name == "absorbed" and record is adamem.Slot else full(hints[each.name])
    return record(**values)


@pytest.mark.parametrize("record", records(), ids=lambda each: each.__name__)
def test_even_a_large_one_prints_in_a_few_short_lines(record: type[Record]) -> None:
    lines = repr(made(record)).splitlines()
    assert lines[0].startswith(record.__name__)
    assert len(lines) <= 15
    assert max(map(len, lines)) < (3000 if len(lines) == 1 else 400)
    assert sum(map(len, lines)) < 3000


def slot(content: str = "The gate code is 4711", **scope: str) -> adamem.Slot:
    message = pb.Slot(id="01", namespace="house", content=content, kind=pb.SLOT_KIND_FACT, importance=0.5)
    message.created_at.FromDatetime(MOMENT)
    message.vector.values = bytes(16)
    return slot_from_proto(message)


def found(*contents: str) -> adamem.QueryResult:
    hits = tuple(adamem.Hit(slot(each), 0.91234) for each in contents)
    return adamem.QueryResult(hits, adamem.QueryTimings(0.001, 0.002, 0.0042), 0.834)


def test_a_slot() -> None:
    assert repr(slot()) == (
        "Slot(id='01', namespace='house', content='The gate code is 4711', kind='fact', importance=0.5,"
        " created_at=2026-01-31T09:30:00+00:00, vector=Vector(float32[4]: 0, 0, 0, ...))"
    )


def test_a_query_result() -> None:
    assert repr(found("The gate code is 4711", "Ann likes tea")).splitlines() == [
        "QueryResult of 2, confidence 0.83, 4.2 ms",
        "    0.912  The gate code is 4711  (fact, 01)",
        "    0.912  Ann likes tea  (fact, 01)",
    ]
    assert repr(found()) == "QueryResult of 0, confidence 0.83, 4.2 ms"
    assert repr(found(*"abcdefghijklm")).splitlines()[-1] == "  ... 3 more"
    assert repr(found("x")[0]) == "Hit(0.912, 'x', kind='fact', id='01')"


def test_a_page() -> None:
    lines = repr(adamem.SlotPage((slot(),), "abc")).splitlines()
    assert lines[0] == "SlotPage of 1, next_page_token='abc'"
    assert lines[1].startswith("  Slot(id='01', namespace='house', content='The gate code is 4711'")


@pytest.mark.parametrize("text", ["a\x1b[31mred\x07", "a\r\nb\n\nc", "a\u202eb\u0000c"])
def test_control_characters_of_a_memory_do_not_reach_the_terminal(text: str) -> None:
    for shown in (repr(found(text)), repr(slot(text)), repr(adamem.SlotPage((slot(text),), "")), repr(found(text)[0])):
        assert all(line.isprintable() for line in shown.split("\n"))
    assert len(repr(found(text)).split("\n")) == 2


@pytest.mark.parametrize("n", [0, 1, 79, 80, 81, 1000])
def test_a_shortened_text_keeps_its_begin_and_end(n: int) -> None:
    text = "".join(chr(97 + i % 26) for i in range(n))
    short = shortened(text)
    assert len(short) == min(n, 80)
    assert short[:50] == text[:50]
    assert short[-20:] == text[-20:]


@pytest.mark.parametrize("kind", ["query", "page"])
def test_a_notebook_gets_text_and_no_html_of_a_memory(kind: str) -> None:
    text = "<script>alert('x')</script> & <img src=x onerror=y> \"quoted\""
    html = found(text)._repr_html_() if kind == "query" else adamem.SlotPage((slot(text),), "")._repr_html_()
    assert "&lt;script&gt;alert(&#x27;x&#x27;)&lt;/script&gt; &amp; &lt;img src=x onerror=y&gt;" in html
    tags = set(re.findall(r"<(/?\w+)", html))
    assert {tag.lstrip("/") for tag in tags} == {"table", "caption", "thead", "tbody", "tr", "th", "td"}
    assert len(found(LONG, *"abc")._repr_html_()) < 3000
    assert found(*"x" * 50)._repr_html_().count("<tr>") == 21


def test_a_report_prints_a_line_for_each_finding() -> None:
    finding = adamem.Finding(adamem.FindingKind.SECRETS, 3, 0.25, 0, (), "adamem slots delete --finding secrets", "")
    report = adamem.HealthReport("n", "01", MOMENT, 90, 12, (finding,), (), adamem.DataFileSize(1, 1, 0))
    head, line = repr(report).splitlines()
    assert head == "HealthReport of 'n': 12 slots, 1 findings"
    assert line.strip().startswith("secrets")
    assert "data file" in str(report)
