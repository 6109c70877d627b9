"""The page of the Go client: its exported declarations with their comments, as gofmt lays them out. Needs no Go."""

import re
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import Final

# The comment, if there is one, and the declaration up to a line that ends it.
_DECLARATION: Final = re.compile(
    r"^(?P<comment>(?://[^\n]*\n)*)"
    r"(?P<code>(?:func |type |const |var )(?:[^\n]*[({]\n(?:[ \t][^\n]*\n|\n)*[)}][^\n]*|[^\n]*))$",
    re.MULTILINE,
)
_NAME: Final = re.compile(
    r"^(?:type|const|var) ([A-Z]\w*)|^func (?:\(\w* ?\*?([A-Za-z]\w*)(?:\[[^\]]*\])?\) )?([A-Z]\w*)"
)


def page(module: Path) -> str:
    """The package's comment, then types with their functions and methods, by name."""
    groups: dict[str, list[str]] = defaultdict(list)
    types: dict[str, str] = {}
    about = ""
    for path in sorted(module.glob("*.go")):
        if path.name.endswith("_test.go"):
            continue
        source = path.read_text(encoding="utf-8")
        if path.name == "doc.go":
            about = _prose(source.partition("\npackage ")[0])
        for kind, owner, text in _declarations(source):
            if kind == "type":
                types[owner] = text
            else:
                groups[owner].append(text)
    loose = "".join(groups.pop("", []))
    parts = [f"# Go client\n\n{about}\n\n## Functions, constants and variables\n\n{loose}"]
    parts += (f"\n## {name}\n\n{types[name]}{''.join(groups[name])}" for name in sorted(types))
    return "".join(parts)


def _declarations(source: str) -> Iterator[tuple[str, str, str]]:
    """Kind, the type that it belongs to, and its Markdown."""
    for found in _DECLARATION.finditer(source):
        code = found["code"]
        if code.startswith(("const (", "var (")):
            if re.search(r"^\t[A-Z]\w*", code, re.MULTILINE):
                yield "values", _typed(code), _markdown(found["comment"], code)
            continue
        name = _NAME.match(code)
        if name is None:
            continue
        if name[1]:
            kind = code.split()[0]
            yield kind, name[1] if kind == "type" else "", _markdown(found["comment"], _exported(code))
        elif name[2] is None or name[2][0].isupper():
            signature = re.sub(r" \{(?:\n.*| .*)?$", "", code, flags=re.DOTALL)
            yield (
                "func",
                name[2] or _made(signature),
                f"### {name[3]} {{ #{name[2] or ''}.{name[3]} }}\n\n" + _markdown(found["comment"], signature),
            )


def _typed(block: str) -> str:
    """The type of the constants in a block; empty: none of ours."""
    found = re.search(r"^\t[A-Z]\w* +([A-Z]\w*) +=", block, re.MULTILINE)
    return found[1] if found else ""


def _made(signature: str) -> str:
    """The type that a function makes: what New... returns; empty: none."""
    found = re.match(r"func New\w*\(.*\) \(?\*?([A-Z]\w*)", signature)
    return found[1] if found else ""


def _exported(code: str) -> str:
    """A struct without its fields of lower case."""
    return re.sub(r"^(?:\t//[^\n]*\n)*\t[a-z_]\w*[ ,][^\n]*\n", "", code, flags=re.MULTILINE)


def _prose(comment: str) -> str:
    return re.sub(r"^// ?", "", comment, flags=re.MULTILINE).strip().replace("[", "\\[")


def _markdown(comment: str, code: str) -> str:
    return f"```go\n{code}\n```\n\n{_prose(comment)}\n\n"
