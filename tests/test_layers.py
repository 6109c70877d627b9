"""Who may import whom, where import-linter does not see it: the compiled module, single files, and the Rust crates."""

import ast
import tomllib
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
SERVER = ROOT / "server/adamem_server"


def imports(file: Path) -> Iterator[str]:
    """Full names of all that a file imports, wherever in it."""
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def test_only_memory_uses_the_compiled_index() -> None:
    users = {file for file in SERVER.rglob("*.py") if any("adamem_server._index" in name for name in imports(file))}
    assert users, "nobody uses the index: has it moved?"
    # `adamem_server.rpc` may tell its SIMD level no more than any other room: it asks the engine.
    assert {file.relative_to(SERVER).parts[0] for file in users} <= {"memory"}


def test_policy_does_no_input_or_output() -> None:
    allowed = {"math", "numpy", "dataclasses", "collections", "typing", "datetime", "enum", "heapq"}
    roots = {name.split(".")[0] for name in imports(SERVER / "memory/policy.py") if "adamem_server" not in name}
    assert roots <= allowed


def test_index_core_knows_no_python() -> None:
    manifest = tomllib.loads((ROOT / "rust_index/core/Cargo.toml").read_text(encoding="utf-8"))
    assert not {"pyo3", "numpy"} & {*manifest.get("dependencies", {}), *manifest.get("dev-dependencies", {})}


def test_files_are_small_enough_to_read() -> None:
    sources = [
        *SERVER.rglob("*.py"),
        *(ROOT / "clients/python/src").rglob("*.py"),
        *(ROOT / "rust_index").rglob("*.rs"),
    ]
    n_lines = {file: file.read_text(encoding="utf-8").count("\n") for file in sources if "/v1/" not in str(file)}
    assert {str(file.relative_to(ROOT)): n for file, n in n_lines.items() if n > 700} == {}
