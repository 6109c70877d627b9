"""Every argument of every call: a value that cannot be sent is refused by its name, and nothing else is raised."""

import inspect
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import adamem

GROUPS = ("", "archive", "duplicates", "history", "jobs", "lifecycle", "packages", "snapshots")
# What a call needs beside the argument that is wrong.
NEEDED = {
    "content": "x",
    "helped": ["0" * 26],
    "items": ["x"],
    "job": "0" * 26,
    "job_id": "0" * 26,
    "kind": "stale",
    "name": "x",
    "slot_id": "0" * 26,
    "slot_ids": ["0" * 26],
    "target": "x",
    "text": "x",
    "version": 1,
}
# Each two of which exclude each other.
ALTERNATIVES = {"filter": "slot_ids", "vector": "text"}
# The caller's own code, files, and items, of which each has its own failure.
NOT_SENT = {"on_progress", "batch_key", "file", "items"}
# How the protocol calls some of them.
FIELDS = {"ttl_s": "ttl", "default_ttl_s": "default_ttl", "namespace": "namespaces", "id": "slot.id"}
WRONG = [object(), -1, 2**80, 1e400, float("nan"), "half a \ud800", [None], {"a": object()}, b"\xff", (), 3.5]


def calls() -> Iterator[Any]:
    with adamem.Client("localhost:1") as client:
        for group in GROUPS:
            for name, method in inspect.getmembers(getattr(client, group) if group else client, inspect.ismethod):
                if not name.startswith("_") and name not in ("close", "wait_until_ready"):
                    yield pytest.param(group, name, inspect.signature(method), id=f"{group}.{name}".lstrip("."))


def refusal(method: Any, arguments: dict[str, Any]) -> adamem.InvalidArgumentError | None:
    """How the client refuses a call; None where it sends it, and what a server says of it is another matter."""
    try:
        answer = method(**arguments)
        if isinstance(answer, Iterator):
            list(answer)
    except adamem.InvalidArgumentError as error:
        return error
    except (adamem.UnavailableError, adamem.DeadlineExceededError):
        pass
    return None


@pytest.mark.parametrize(("group", "name", "signature"), list(calls()))
def test_what_cannot_be_sent_is_refused_by_its_name(
    group: str, name: str, signature: inspect.Signature, tmp_path: Path
) -> None:
    package = tmp_path / "package.zip"
    package.write_bytes(b"x")
    given = {**NEEDED, "file": package}
    parameters = signature.parameters
    with adamem.Client(f"unix:{tmp_path}/no.socket", max_attempts=1) as client:
        method = getattr(getattr(client, group) if group else client, name)
        for argument in parameters.keys() - NOT_SENT:
            needed = {each: given[each] for each in parameters if each in given}
            if name == "update":
                del needed["kind"]  # of a slot, not of a finding
            needed.pop(ALTERNATIVES.get(argument, ""), None)
            if name == "undo":
                needed.pop("slot_id" if argument != "slot_id" else "job_id")
            for value in WRONG:
                error = refusal(method, {**needed, argument: value})
                if error is not None:
                    named = argument in error.field or FIELDS.get(argument, argument) in error.field
                    assert named, f"{argument}={value!r}: {error}"
                    assert error.message.startswith(f"{error.field}: "), error
