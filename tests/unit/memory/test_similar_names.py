"""What is told of a namespace that there is not: the one that was probably meant, and none that only looks like it."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from adamem_server.errors import NamespaceNotFoundError
from adamem_server.types import NamespaceSpec
from tests.unit.memory.engines import Lab


@pytest.fixture
def lab(tmp_path: Path) -> Iterator[Lab]:
    lab = Lab(tmp_path)
    yield lab
    lab.close()


def make(lab: Lab, *names: str) -> None:
    for name in names:
        lab.engine.create_namespace(NamespaceSpec(name=name))


def told(lab: Lab, name: str) -> str:
    """The message of the failure, which has what it names in its metadata."""
    with pytest.raises(NamespaceNotFoundError) as caught:
        lab.engine.get_namespace(name)
    similar = caught.value.metadata.get("similar", "")
    hint = f"; did you mean {similar!r}?" if similar else ""
    assert caught.value.message == f"namespace {name!r} does not exist{hint}"
    return similar


def test_a_misspelt_namespace_is_told_the_one_that_it_resembles(lab: Lab) -> None:
    make(lab, "team-blue", "main", "customer-support", "user-17", "user-18")
    meant = {
        "tema-blue": "team-blue",
        "teamblue": "team-blue",
        "Team_Blue": "team-blue",
        "mian": "main",
        "custmer_support": "customer-support",
        "customer.supports": "customer-support",
        "usr-17": "user-17",
    }
    assert {name: told(lab, name) for name in meant} == meant
    # Another number is another thing, and what is alike by chance is not meant.
    assert [told(lab, name) for name in ("user-19", "user-1", "team-red", "none", "a", "x" * 128)] == [""] * 6


def test_each_call_that_names_it_tells(lab: Lab) -> None:
    make(lab, "team-blue")
    for call in (
        lambda: lab.query("tema-blue", text="text"),
        lambda: lab.engine.delete_namespace("tema-blue"),
        lambda: lab.engine.update_namespace("tema-blue", description="new", ef_search=None),
    ):
        with pytest.raises(NamespaceNotFoundError, match="did you mean 'team-blue'"):
            call()


def test_among_many_only_those_with_the_same_beginning_are_compared(lab: Lab) -> None:
    make(lab, *(f"{letter}{letter}/user{n}" for letter in "abcdefg" for n in range(50)))
    make(lab, "aa/orders", "house", *(f"zone{n}z" for n in range(700)))
    assert lab.engine.info().n_namespaces > 1000
    assert [told(lab, name) for name in ("aa/ordrs", "hosue", "aa/usre7")] == ["aa/orders", "house", "aa/user7"]
    assert told(lab, "znoe17z") == "zone17z"
    # Where too many begin alike, they are not looked through.
    make(lab, *(f"zebra{n}z" for n in range(400)))
    assert told(lab, "znoe17z") == ""


def test_a_deleted_namespace_is_not_told(lab: Lab) -> None:
    make(lab, "team-blue")
    lab.engine.delete_namespace("team-blue")
    assert told(lab, "tema-blue") == ""
