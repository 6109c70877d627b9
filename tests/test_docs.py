"""What README.md promises holds: its paths exist, its table is that of the code. Its examples are run by tests/docs."""

import re
import subprocess
from pathlib import Path

from adamem_server.config import markdown_table

ROOT = Path(__file__).resolve().parent.parent
README = (ROOT / "README.md").read_text(encoding="utf-8")


def between(name: str) -> str:
    """The text between the markers of a generated or checked part."""
    found = re.search(rf"<!-- {name}[^>]*-->\n+(.*?)\n*<!-- /{name} -->", README, re.DOTALL)
    assert found, f"README.md has no part {name}"
    return found[1]


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
