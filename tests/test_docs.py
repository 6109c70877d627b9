"""What README.md promises holds: its paths exist, its table is that of the code, its examples run as they stand."""

import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from adamem_server.config import markdown_table

ROOT = Path(__file__).resolve().parent.parent
BIN = Path(sys.executable).parent
README = (ROOT / "README.md").read_text(encoding="utf-8")
HTTP = (ROOT / "docs" / "http.md").read_text(encoding="utf-8")


def fenced(info: str) -> list[str]:
    """Contents of the code blocks that start with ```info."""
    return re.findall(rf"^```{re.escape(info)}\n(.*?)^```$", README, re.MULTILINE | re.DOTALL)


def between(name: str) -> str:
    """The text between the markers of a generated or checked part."""
    found = re.search(rf"<!-- {name}[^>]*-->\n+(.*?)\n*<!-- /{name} -->", README, re.DOTALL)
    assert found, f"README.md has no part {name}"
    return found[1]


def test_the_index_alone_works_as_shown(tmp_path: Path) -> None:
    text = (ROOT / "docs" / "index.md").read_text(encoding="utf-8")
    (code,) = re.findall(r"^```python\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)
    subprocess.run([sys.executable, "-c", code], cwd=tmp_path, check=True)


def test_settings_table_is_that_of_the_code() -> None:
    assert between("settings") == markdown_table().strip(), "run `.venv/bin/python .ci/readme.py`"


def test_every_path_of_the_map_exists() -> None:
    paths = re.findall(r"^\| `([^`]+)` \|", between("map"), re.MULTILINE)
    assert len(paths) > 10
    assert [path for path in paths if not (ROOT / path).exists()] == []


def test_every_room_is_on_the_map() -> None:
    folders = subprocess.run(["git", "ls-files"], cwd=ROOT, check=True, capture_output=True, text=True).stdout
    tops = {line.split("/")[0] for line in folders.splitlines() if "/" in line}
    rooms = {path.parent.name for path in (ROOT / "server/adamem_server").glob("*/__init__.py")}
    listed = between("map")
    assert [top for top in sorted(tops) if f"`{top}/" not in listed] == []
    assert [room for room in sorted(rooms) if f"`server/adamem_server/{room}/`" not in listed] == []


def test_every_link_to_a_file_exists() -> None:
    links = re.findall(r"\]\((?!https?:|#)([^)#]+)", README)
    assert [link for link in links if not (ROOT / link).exists()] == []


def test_every_make_target_exists() -> None:
    named = set(re.findall(r"`make ([a-z-]+)", README))
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    assert [name for name in sorted(named) if not re.search(rf"^{name}:", makefile, re.MULTILINE)] == []


@pytest.fixture(scope="module")
def endpoint(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, str]]:
    """A server as a user starts it, on free ports: its addresses for gRPC and HTTP."""
    folder = tmp_path_factory.mktemp("readme")
    command = [str(BIN / "adamem"), "serve", "--port", "0", "--http-port", "0", "--data-dir", str(folder / "data")]
    with (
        (folder / "log").open("wb") as log,
        subprocess.Popen(command, stdout=subprocess.PIPE, stderr=log, text=True) as server,
    ):
        try:
            assert server.stdout
            # The line is printed once the server answers; nothing comes when it has ended.
            found = re.search(r"serves gRPC on (\S+:\d+) and HTTP on (\S+:\d+),", server.stdout.readline())
            assert found, f"the server did not start:\n{(folder / 'log').read_text(encoding='utf-8')}"
            yield found[1], found[2]
        finally:
            server.terminate()
            server.wait(timeout=30)


def run(command: list[str], endpoint: tuple[str, str], folder: Path) -> str:
    """Runs an example in an empty folder, with our commands in PATH."""
    path = f"{BIN}{os.pathsep}{os.environ['PATH']}"
    # curl is to fail where the server refuses.
    (folder / ".curlrc").write_text("fail\nsilent\nshow-error\n")
    environment = os.environ | {"MEMORY_ENDPOINT": endpoint[0], "PATH": path, "CURL_HOME": str(folder)}
    done = subprocess.run(
        [part.replace("localhost:9000", endpoint[1]) for part in command],
        cwd=folder,
        env=environment,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
        timeout=50,
    )
    assert done.returncode == 0, f"{command}\n{done.stdout}\n{done.stderr}"
    return done.stdout


def test_python_example(endpoint: tuple[str, str], tmp_path: Path) -> None:
    examples = fenced("python")
    assert examples
    for example in examples:
        assert run([sys.executable, "-W", "error", "-c", example], endpoint, tmp_path)


def test_shell_example(endpoint: tuple[str, str], tmp_path: Path) -> None:
    examples = fenced("bash")
    assert examples
    for example in examples:
        assert run(["bash", "-euo", "pipefail", "-c", example], endpoint, tmp_path)


def test_http_examples(endpoint: tuple[str, str], tmp_path: Path) -> None:
    examples = re.findall(r"^```sh\n(.*?)^```$", HTTP, re.MULTILINE | re.DOTALL)
    assert examples
    for example in examples:
        assert run(["bash", "-euo", "pipefail", "-c", example], endpoint, tmp_path)


def test_the_problem_of_the_http_page_is_one(endpoint: tuple[str, str], tmp_path: Path) -> None:
    (shown,) = re.findall(r"^```json\n(.*?)^```$", HTTP, re.MULTILINE | re.DOTALL)
    call = 'curl --no-fail --json \'{"query": "gate", "top_k": 0}\' localhost:9000/query'
    real = json.loads(run(["bash", "-c", call], endpoint, tmp_path))
    assert {**json.loads(shown), "request_id": ""} == {**real, "request_id": ""}
