"""The code blocks of the documentation, and how each of them is run.

| block | what is done with it |
| --- | --- |
| `bash` | run by bash, which ends at the first command that fails |
| `python` | run as a program |
| any with `title="FILE"` | written to FILE, which a later block uses |
| `text` | what the block before it prints; `...` stands for anything, alone on a line for any lines |
| `json` | settings of a host of MCP, whose command is started; else what the block before it prints, but for `"..."` |
| `go` | statements of a function: run by `clients/go/readme_test.go` |

The blocks of a page are run in their order, in one folder that is empty at first. A comment above a block says
otherwise: `<!-- not run: REASON -->`, `<!-- exit code: N -->`, or `<!-- serves: TEXT -->`, behind which the following
ones are run beside it, as soon as it has printed TEXT.
"""

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).resolve().parents[2]
READMES: Final = ("README.md", "clients/python/README.md", "clients/go/README.md")
LANGUAGES: Final = ("bash", "go", "json", "jsonl", "python", "text", "yaml")
_FENCE: Final = re.compile(
    r"(?:^[ ]*<!--[ ](?P<mark>[a-z ]+):[ ](?P<value>[^\n]+?)[ ]-->\n\n?)?"
    r"^(?P<indent>[ ]*)```(?P<language>[^\s`]*)(?:[ ]title=\"(?P<title>[^\"]+)\")?[ ]*\n(?P<text>.*?)^(?P=indent)```$",
    re.MULTILINE | re.DOTALL,
)


@dataclass(frozen=True, slots=True)
class Block:
    """A fenced block: where it is, what its first line says, the mark above it, its text."""

    page: str
    line: int
    language: str
    title: str
    mark: str
    value: str
    text: str

    @property
    def place(self) -> str:
        return f"{self.page}:{self.line}"

    @property
    def is_run(self) -> bool:
        return self.mark != "not run"


def pages() -> list[str]:
    """Every page with its path in the repository."""
    return [*READMES, *(str(path.relative_to(ROOT)) for path in sorted((ROOT / "docs").rglob("*.md")))]


def blocks(page: str) -> list[Block]:
    """The blocks of a page, in order."""
    content = (ROOT / page).read_text(encoding="utf-8")
    found = []
    for match in _FENCE.finditer(content):
        indent = match["indent"]
        text = "".join(line.removeprefix(indent) for line in match["text"].splitlines(keepends=True))
        line = content.count("\n", 0, match.start("language")) + 1
        found.append(
            Block(
                page,
                line,
                match["language"],
                match["title"] or "",
                match["mark"] or "",
                match["value"] or "",
                text,
            )
        )
    return found
