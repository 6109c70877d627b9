"""The reference has all that the sources have: what is added to them is in the site by itself, or this fails."""

import importlib
import re
from collections.abc import Callable, Iterator
from types import ModuleType

import click
import pytest

import adamem
from adamem_server.cli.main import main
from adamem_server.http.routes import FILES, ROUTES
from tests.docs.blocks import ROOT

Script = Callable[[str], ModuleType]


@pytest.fixture
def script(monkeypatch: pytest.MonkeyPatch) -> Script:
    """The scripts that make the pages, by name."""
    monkeypatch.syspath_prepend(str(ROOT / ".ci"))
    return importlib.import_module


def commands(command: click.Command, path: str) -> Iterator[str]:
    yield path
    if isinstance(command, click.Group):
        for name in command.list_commands(click.Context(command)):
            child = command.get_command(click.Context(command), name)
            assert child is not None
            yield from commands(child, f"{path} {name}")


def test_every_command_is_there(script: Script) -> None:
    page = script("docs_cli").page()
    assert [path for path in commands(main, "adamem") if f"\n## {path}\n" not in page] == []
    assert "env var: MEMORY_QUERY_TOP_K" in page


def test_every_method_message_and_field_is_there(script: Script) -> None:
    page = script("docs_protocol").page()
    for module in FILES:
        for service in module.DESCRIPTOR.services_by_name.values():
            assert f"{{ #{service.full_name} }}" in page
            for method in service.methods:
                assert f"\n| `{method.name}` |" in page
                for message in (method.input_type, method.output_type):
                    section = page.partition(f"{{ #{message.full_name} }}")[2].partition("\n## ")[0]
                    assert section, message.full_name
                    assert [f.name for f in message.fields if f"\n| `{f.name}` | {f.number} |" not in section] == []
    # A comment for each: the names are those of the file of comments.
    assert not re.search(r"\n\| `\w+` \| \d+ \| [^|]+ \|  \|", page)


def test_every_route_is_there(script: Script) -> None:
    page = script("docs_http").pages()["reference/http.md"]
    assert [route for route in ROUTES if f"\n## {route.verb} {route.path}\n" not in page] == []


def test_every_exported_name_of_go_is_there(script: Script) -> None:
    page = script("docs_go").page(ROOT / "clients/go")
    source = "".join(
        path.read_text(encoding="utf-8")
        for path in (ROOT / "clients/go").glob("*.go")
        if not path.name.endswith("_test.go")
    )
    types = re.findall(r"^type ([A-Z]\w*)", source, re.MULTILINE)
    functions = re.findall(r"^func ([A-Z]\w*)", source, re.MULTILINE)
    methods = re.findall(r"^func \(\w* ?\*?([A-Z]\w*)(?:\[\w+\])?\) ([A-Z]\w*)", source, re.MULTILINE)
    assert min(len(types), len(functions), len(methods)) >= 4
    assert [name for name in types if f"\n## {name}\n" not in page] == []
    assert [name for name in functions if f"\n### {name} {{" not in page] == []
    assert [pair for pair in methods if f"### {pair[1]} {{ #{pair[0]}.{pair[1]} }}" not in page] == []


def test_every_name_of_the_python_client_is_there(script: Script) -> None:
    docs_python = script("docs_python")
    entries = set(re.findall(r"^::: adamem\.(\w+)$", "".join(docs_python.pages().values()), re.MULTILINE))
    assert set(adamem.__all__) - entries == {"__version__"}
    for module in map(importlib.import_module, (f"adamem.{name}" for name in docs_python.EXPORTED)):
        own = {name for name, value in vars(module).items() if getattr(value, "__module__", "") == module.__name__}
        assert {name for name in own if isinstance(vars(module)[name], type)} - set(adamem.__all__) <= {"NotGiven"}
    with adamem.Client("localhost:1") as client:
        groups = {name: type(value).__qualname__ for name, value in vars(client).items() if not name.startswith("_")}
    assert groups == {name: path.rpartition(".")[2] for name, path in docs_python.GROUPS.items()}
