# ruff: noqa: RUF001 - Russian words and the marks of many languages
"""Texts cut into sentences, Russian and English ones foremost: pure functions over characters.

A sentence ends at a stop that white space follows, and at the end of a line; not within abbreviations, initials,
numbers or quotations that go on. Where it cannot be told, two sentences stay together: both are kept or left out then.
"""

import re
from typing import Final

_STOPS: Final = ".!?…。！？"
_CLOSING: Final = "\"'”’»)]"
_OPENING: Final = "\"'“‘«„([—–- "
_END: Final = re.compile(
    rf"[{_STOPS}]+[{re.escape(_CLOSING)}]*(?=\s)|(?<=[{_STOPS[4:]}])[{re.escape(_CLOSING)}]*(?=\S)|\n"
)
# The word before a full stop, with stops within, such as e.g and U.S.
_WORD: Final = re.compile(r"[^\W\d_]+(?:[.-][^\W\d_]+)*$")
_LIST_ITEM: Final = re.compile(r"\s*(?:\d{1,3}|[^\W\d_])$")
# Before what they shorten: never at an end.
_BEFORE: Final = frozenset(
    (  # noqa: SIM905
        "dr mr mrs ms prof sr jr st mt vs e.g i.e cf al eds lt sgt capt gov sen approx dept"
        " т.е т.к т.н т.ч напр ул проф акад доц д-р гр просп пл бул наб обл р-н г-н г-жа"
    ).split()
)
# Before a number alone; else they are words, or shorten something else.
_BEFORE_NUMBER: Final = frozenset(
    (  # noqa: SIM905
        "no nos fig figs vol pp jan feb mar apr jun jul aug sep sept oct nov dec"
        " см рис табл гл разд стр ст п пп тел кв д"
    ).split()
)
# Behind a number: units, which may end a sentence.
_UNITS: Final = frozenset(
    (  # noqa: SIM905
        "г гг в вв см м мм км кг гр л мл ч мин сек с руб коп тыс млн млрд шт стр чел экз д"
        " min max sec hr hrs ft in lb oz"
    ).split()
)


def split_sentences(text: str) -> list[str]:
    """The sentences of a text, in order, without white space around them; joined they are the text but for that."""
    sentences: list[str] = []
    start = 0
    for found in _END.finditer(text):
        if _ends_here(text, start, found):
            sentences.append(text[start : found.end()].strip())
            start = found.end()
    sentences.append(text[start:].strip())
    return [sentence for sentence in sentences if sentence]


def _ends_here(text: str, start: int, found: "re.Match[str]") -> bool:
    after = text[found.end() :]
    if found[0] == "\n":
        before = text[start : found.start()].rstrip()
        # A line that was wrapped goes on in the next one.
        return not (before and before[-1] not in _STOPS + ":;" and after.lstrip(" \t")[:1].islower())
    if after.lstrip(_OPENING + "\n\t\r")[:1].islower():
        return False
    return not (found[0].rstrip(_CLOSING) == "." and _is_short(text, start, found.start()))


def _is_short(text: str, start: int, stop: int) -> bool:
    """Whether the word before a full stop is shortened, or a number of a list."""
    line = text.rfind("\n", 0, stop) + 1
    if _LIST_ITEM.fullmatch(text, max(start, line), stop):
        return True
    word = _WORD.search(text, max(start, stop - 24), stop)
    if word is None:
        return False
    said = word[0].casefold()
    behind_number = re.search(r"\d[\s-]*$", text[max(start, word.start() - 8) : word.start()]) is not None
    if behind_number and said in _UNITS:
        return False
    # Initials are capitals; the English pronoun is one too, and mostly ends what it stands at the end of.
    is_initials = all(len(part) == 1 and part.isupper() for part in word[0].split(".")) and word[0] != "I"
    if said in _BEFORE_NUMBER:
        return text[stop + 1 :].lstrip()[:1].isdigit()
    return is_initials or said in _BEFORE or said in ("г", "в")
