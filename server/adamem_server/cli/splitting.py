"""Cuts text and Markdown into passages of a size that one slot should hold. Pure functions over lines.

Every character that is no white space ends up in exactly one passage, in order. Passages end where a reader would
pause: at a heading, else between paragraphs, else between sentences, else between words, else anywhere.
"""

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Final

DEFAULT_MAX_CHARS: Final = 800
# A passage shorter than this share of the longest is not left alone before a paragraph that has to be cut anyway.
SHORT_SHARE: Final = 0.25
# A paragraph without an end is cut here, so that memory stays bounded.
MAX_BLOCK_CHARS: Final = 64 * 1024

_HEADING: Final = re.compile(r" {0,3}(#{1,6})(?:[ \t]+(.*))?$")
_UNDERLINE: Final = re.compile(r" {0,3}(=+|-+)[ \t]*$")
_FENCE: Final = re.compile(r" {0,3}(`{3,}|~{3,})")
_STOPS: Final = ".!?…。！？"  # noqa: RUF001
_CLOSING: Final = "\"'”’»)]"  # noqa: RUF001
# A stop, what closes after it, white space; not the number of a list item; in Chinese and Japanese no space is needed.
_SENTENCE_END: Final = re.compile(
    rf"(?<=[{_STOPS}])(?<!^\d\.)(?<!^\d\d\.)[{re.escape(_CLOSING)}]*\s+|(?<=[{_STOPS[4:]}])(?=\S)", re.MULTILINE
)
_LIST_ITEM: Final = re.compile(r"\n(?=[ \t]*(?:[-*+]|\d{1,3}[.)])[ \t])")
_LINE_END: Final = re.compile(r"\n")
_WHITE_SPACE: Final = re.compile(r"\s+")
# Where a block that is too long is cut, the best place first, unless the piece before it were shorter than this share.
_CUTS: Final = ((_LIST_ITEM, 0.4), (_SENTENCE_END, 0.25), (_LINE_END, 0.25), (_WHITE_SPACE, 0.0))


@dataclass(frozen=True, slots=True)
class Passage:
    """A piece of a document. `headings` are those above it, the outermost first."""

    text: str
    headings: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class _Block:
    """A paragraph (level 0) or a heading of level 1 to 6, whose words are in `title`."""

    text: str
    level: int = 0
    title: str = ""


def split_text(lines: Iterable[str], max_chars: int = DEFAULT_MAX_CHARS) -> Iterator[Passage]:
    """Passages of plain text: paragraphs, short ones together, long ones cut; none longer than `max_chars`."""
    return _pack(_paragraphs(lines), max_chars)


def split_markdown(lines: Iterable[str], max_chars: int = DEFAULT_MAX_CHARS) -> Iterator[Passage]:
    """Passages of Markdown: like text, and none reaches beyond its heading, which opens the section's first one."""
    return _pack(_markdown_blocks(lines), max_chars)


def split_lines(lines: Iterable[str]) -> Iterator[Passage]:
    """One passage a line; empty ones are left out."""
    for line in lines:
        if text := line.strip():
            yield Passage(text)


def _paragraphs(lines: Iterable[str]) -> Iterator[_Block]:
    kept: list[str] = []
    n_chars = 0
    for line in lines:
        if line.strip():
            kept.append(line.rstrip())
            n_chars += len(line)
        if kept and (not line.strip() or n_chars > MAX_BLOCK_CHARS):
            yield _Block("\n".join(kept))
            kept, n_chars = [], 0
    if kept:
        yield _Block("\n".join(kept))


def _markdown_blocks(lines: Iterable[str]) -> Iterator[_Block]:
    kept: list[str] = []
    fence = ""
    n_chars = 0
    for raw in lines:
        line = raw.rstrip()
        underlined = "" if fence else _underlined(line, kept)
        heading = None if fence else _HEADING.match(line)
        if underlined:
            yield _Block(f"{underlined}\n{line}", 1 if "=" in line else 2, underlined.strip())
            kept, n_chars = [], 0
            continue
        if kept and (heading or (not line and not fence) or n_chars > MAX_BLOCK_CHARS):
            yield _Block("\n".join(kept))
            kept, n_chars = [], 0
        if heading:
            yield _Block(line, len(heading[1]), _title(heading[2] or ""))
        elif line or fence:
            fence = _fence_after(line, fence)
            kept.append(line)
            n_chars += len(line) + 1
    if kept:
        yield _Block("\n".join(kept))


def _underlined(line: str, before: list[str]) -> str:
    """The single line before this one, which this one makes a heading by underlining it; "" where it does not."""
    is_heading = len(before) == 1 and _UNDERLINE.match(line) and not _FENCE.match(before[0])
    return before[0] if is_heading else ""


def _title(text: str) -> str:
    """A heading's words, without the signs that close it. No pattern: one would take a minute for a line of spaces."""
    words = text.rstrip("#")
    return words.rstrip() if words != text and (not words or words[-1] in " \t") else text


def _fence_after(line: str, fence: str) -> str:
    """The marker of the code block that is open after this line, or ""."""
    match = _FENCE.match(line)
    if not match:
        return fence
    if not fence:
        return match[1]
    closes = match[1].startswith(fence) and not line.strip().strip(fence[0])
    return "" if closes else fence


def _pack(blocks: Iterable[_Block], max_chars: int) -> Iterator[Passage]:
    """Fills passages with whole blocks; a block that fits none by itself is cut."""
    path: list[tuple[int, str]] = []
    current = ""
    only_headings = True
    for block in blocks:
        if block.level:
            if current and not only_headings:
                yield Passage(current, _titles(path))
                current = ""
            path = [each for each in path if each[0] < block.level]
            path.append((block.level, block.title))
            only_headings = True
        separator = "\n" if block.level or only_headings else "\n\n"
        joined = current + separator + block.text if current else block.text
        if len(joined) <= max_chars:
            current = joined
        else:
            if len(current) > max_chars * SHORT_SHARE and not only_headings:
                yield Passage(current, _titles(path))
                joined = block.text
            *full, current = _cut(joined, max_chars)
            for each in full:
                yield Passage(each, _titles(path))
        only_headings = only_headings and bool(block.level)
    if current:
        yield Passage(current, _titles(path))


def _titles(path: list[tuple[int, str]]) -> tuple[str, ...]:
    return tuple(title for _, title in path if title)


def _cut(text: str, max_chars: int) -> list[str]:
    """Pieces of at most `max_chars`, each as long as its place to cut allows."""
    pieces: list[str] = []
    rest = text.strip()
    while len(rest) > max_chars:
        cut = _last_cut(rest, max_chars)
        pieces.append(rest[:cut].rstrip())
        rest = rest[cut:].lstrip()
    pieces.append(rest)
    return [each for each in pieces if each] or [""]


def _last_cut(text: str, max_chars: int) -> int:
    head = text[: max_chars + 1]
    for pattern, least in _CUTS:
        cuts = [each.start() for each in pattern.finditer(head) if max_chars * least < each.start() <= max_chars]
        if cuts:
            return _after_quotes(text, cuts[-1], max_chars) if pattern is _SENTENCE_END else cuts[-1]
    return max_chars


def _after_quotes(text: str, cut: int, max_chars: int) -> int:
    """Past the quotation marks and brackets that close the sentence."""
    while cut < min(len(text), max_chars) and text[cut] in _CLOSING:
        cut += 1
    return cut
