"""What MkDocs does beside its own work (mkdocs.yml): pages made from the sources, pages that lie elsewhere, links.

Links are written as they work in the repository. Those to files that are no pages lead to the repository's site.
"""

import posixpath
import re
import sys
from pathlib import Path
from typing import Any, Final

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.exceptions import PluginError
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

# MkDocs loads this file by its path.
sys.path.insert(0, str(Path(__file__).parent))

import docs_cli
import docs_go
import docs_http
import docs_protocol
import docs_python

from adamem_server.config import markdown_table

ROOT: Final = Path(__file__).resolve().parent.parent
# Files of the repository that are pages as they are.
INCLUDED: Final = {
    "CHANGELOG.md": "changelog.md",
    "README.md": "readme.md",
    "clients/go/README.md": "clients/go.md",
    "clients/python/README.md": "clients/python.md",
}
SETTINGS: Final = (
    "# Settings\n\nThe server reads these variables once, at start; `adamem serve --help` shows them, and options for"
    " the common ones. An unknown variable that begins with `ADAMEM_` is an error.\n\n"
)
_LINK: Final = re.compile(r"(?<=\]\()(?!https?:|#|mailto:)([^)#\s]+)(?=[)#])")
_FENCED: Final = re.compile(r"^( *```.*?^ *```$)", re.MULTILINE | re.DOTALL)
_FROM_ELSEWHERE: Final = re.compile(
    r"<(?:script|img|iframe)[^>]+src=\"?(?:https?:)?//|<link[^>]+stylesheet[^>]+href=\"?(?:https?:)?//"
)


def generated() -> dict[str, str]:
    """Pages and files that are made from the sources, by their place in the site."""
    return {
        **docs_python.pages(),
        **docs_http.pages(),
        "reference/cli.md": docs_cli.page(),
        "reference/go.md": docs_go.page(ROOT / "clients/go"),
        "reference/protocol.md": docs_protocol.page(),
        "reference/settings.md": SETTINGS + markdown_table(),
    }


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Adds the pages that are not in docs/."""
    for source, place in INCLUDED.items():
        files.append(File.generated(config, place, content=(ROOT / source).read_text(encoding="utf-8")))
    for place, content in generated().items():
        files.append(File.generated(config, place, content=content))
    return files


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Turns links of the repository into links of the site."""
    place = page.file.src_uri
    source = next((path for path, to in INCLUDED.items() if to == place), f"docs/{place}")

    def turned(link: re.Match[str]) -> str:
        target = posixpath.normpath(posixpath.join(posixpath.dirname(source), link[1]))
        uri = INCLUDED.get(target, target.removeprefix("docs/") if target.startswith("docs/") else "")
        if uri and files.get_file_from_path(uri):
            return posixpath.relpath(uri, posixpath.dirname(place) or ".")
        return config.extra["source_url"] + target if (ROOT / target).exists() else link[1]

    parts = _FENCED.split(markdown)
    return "".join(part if part.lstrip().startswith("```") else _LINK.sub(turned, part) for part in parts)


def on_post_page(output: str, page: Page, **_: Any) -> str:
    """Refuses a page that would load something from elsewhere."""
    if found := _FROM_ELSEWHERE.search(output):
        raise PluginError(f"{page.file.src_uri} loads from elsewhere: {output[found.start() : found.end() + 60]}")
    return output
