"""Which slots are duplicates: pure functions over their texts, vectors and scopes; nothing is read or changed here.

Two slots are duplicates if they are in the same scope and
- exact: their normal forms are equal, or
- near: they say the same words in the same order up to where words are split and a few that say nothing, with the
  same numbers, symbols and negations; and the cosine of their vectors reaches a threshold. A vector alone cannot tell
  5 May from 6 May.

Both are symmetric. The scope is what must agree besides; see `same_scope`.
"""

import re
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from hashlib import blake2b
from typing import Final

import numpy as np
from ulid import ULID

from adamem_server.policies import ScopeField
from adamem_server.types import DuplicateKind, FloatVector, Slot, SlotKind

# Texts of one or two words ("Thanks!", "yes") are said again and again: each is a turn of its own.
FORMULA_WORDS: Final = 2
FORMULA_APART_US: Final = 1_000_000
# A longer message that the same speaker says again in the same conversation is another turn when it comes later.
TURN_APART_US: Final = 3600 * 1_000_000
# A time that is neither that of the write nor that of the id was stated by the client.
_CLOCK_US: Final = 60 * 1_000_000
# Of a slot's metadata: who said it, and which message it was.
SOURCE_KEYS: Final = ("speaker", "author", "sender", "dia_id", "turn_id", "message_id")

_MARKS: Final = "".join(chr(code) for code in range(0x300, 0x10000) if unicodedata.category(chr(code))[0] == "M")
_W: Final = rf"[\w{re.escape(_MARKS)}]"
# A word with what belongs to it: "don't", "3.5", "10:30", "-5", "$5", "ann@x.org", "f(x)", "c#", "50%", "a-" (a grade).
_WORD: Final = (
    rf"(?:(?<!{_W})(?<!\.)\.(?={_W})|(?<!{_W})-(?=[$€£¥₽]?\.?\d))?[$€£¥₽]?"
    rf"{_W}+(?:(?:'(?={_W})|(?<=\d)[.,:/-](?=\d)|[@*](?={_W})|[(\[](?={_W})){_W}+)*"
    rf"(?:(?<=\d)%|#|(?<!{_W}{_W})(?<=[^\W\d_])-(?!{_W}|-))?"
)
_TOKEN: Final = re.compile(rf"<3(?!{_W})|[:;]'?-?[(\[](?!{_W})|{_WORD}|[^\w\s]")
_SIGNS: Final = re.compile(r"\d[\d.,:/%-]*|[$€£¥₽@*#(\[]|^[.-]|[^\W\d_]-$")
_APOSTROPHES: Final = str.maketrans(
    dict.fromkeys("\u2018\u2019\u02bc\uff07\u00b4`", "'") | dict.fromkeys("\u2010\u2011\u2012\u2212\ufe63\uff0d", "-")
)
_INVISIBLE: Final = re.compile("[\u00ad\u200b-\u200f\u2060\ufe00-\ufe0f\ufeff]")
# Opaque words, of which the case counts: letters of both cases and digits, as in keys and passwords.
_OPAQUE: Final = re.compile(r"\b(?=\w*\d)(?=\w*[a-z])(?=\w*[A-Z])[A-Za-z0-9_]{6,}\b")
# Parts of the scope that are no fields which must be equal.
_NOT_EQUAL: Final = (ScopeField.NAMESPACE, ScopeField.SOURCE, ScopeField.TIME)
_SAD: Final = "☹"
_HEART: Final = "♥"

# Short forms that another word looks like once their apostrophe is left out keep it.
_KEEP_APOSTROPHE: Final = frozenset(
    ("we're", "we'll", "i'll", "i'd", "he'll", "she'll", "we'd", "she'd", "who're", "they'd", "it'll")
)
_JOINED_AFTER: Final = {
    "m": frozenset({"i"}),
    "re": frozenset({"we", "you", "they", "what", "who"}),
    "ve": frozenset({"i", "we", "you", "they", "would", "could", "should", "might", "must", "who"}),
    "ll": frozenset({"i", "you", "he", "she", "it", "we", "they", "that", "there", "who", "what"}),
    "d": frozenset({"i", "you", "he", "she", "it", "we", "they", "that", "there", "who"}),
    "s": frozenset({"he", "she", "it", "that", "there", "here", "what", "who", "where", "how", "let"}),
}
_LONG: Final = {
    "im": ("i", "am"),
    "ive": ("i", "have"),
    "youre": ("you", "are"),
    "youve": ("you", "have"),
    "we're": ("we", "are"),
    "weve": ("we", "have"),
    "theyre": ("they", "are"),
    "theyve": ("they", "have"),
    "i'll": ("i", "will"),
    "we'll": ("we", "will"),
    "he'll": ("he", "will"),
    "she'll": ("she", "will"),
    "youll": ("you", "will"),
    "theyll": ("they", "will"),
    "dont": ("do", "not"),
    "doesnt": ("does", "not"),
    "didnt": ("did", "not"),
    "isnt": ("is", "not"),
    "arent": ("are", "not"),
    "wasnt": ("was", "not"),
    "werent": ("were", "not"),
    "havent": ("have", "not"),
    "hasnt": ("has", "not"),
    "hadnt": ("had", "not"),
    "couldnt": ("could", "not"),
    "wouldnt": ("would", "not"),
    "shouldnt": ("should", "not"),
    "cannot": ("can", "not"),
}
_EMPTY_WORDS: Final = frozenset({"a", "an", "the", "um", "uh", "er", "erm", "oh", "ah", "hm", "hmm", "ну", "э", "эм"})
_NEGATIONS: Final = frozenset(
    (
        "no",
        "not",
        "none",
        "never",
        "nor",
        "neither",
        "nobody",
        "nothing",
        "nowhere",
        "without",
        "cannot",
        "cant",
        "wont",
        "dont",
        "doesnt",
        "didnt",
        "isnt",
        "arent",
        "wasnt",
        "werent",
        "havent",
        "hasnt",
        "hadnt",
        "couldnt",
        "wouldnt",
        "shouldnt",
        "aint",
        "не",
        "ни",
        "нет",
        "никогда",
        "никто",
        "ничто",
        "ничего",
        "нигде",
        "никуда",
        "без",
        "нельзя",
    )
)


@dataclass(frozen=True, slots=True)
class Form:
    """A text as it is compared: `texts_alike` says how.

    `normal` is what exact duplicates have in common: Unicode NFKC, lower case, white space and punctuation gone;
    apostrophes too, where no other word comes of it. What means something stays: signs and points of numbers ("-5",
    "$5", "3.5", "50%"), symbols ("C++", "C#", emoji), "&", "_" and "(" inside code, superscripts, the case of words
    such as keys, "we're" beside "were", a sad face. Of a text without any word all stays. "?" goes: a question and a
    statement in the same words are the same here.

    `keys` are hashes of its letters; `signs` its numbers, symbols and negations, `pictures` its emoji, in order.
    """

    normal: str
    keys: tuple[bytes, ...]
    signs: tuple[str, ...]
    pictures: tuple[str, ...]
    n_words: int


@lru_cache(maxsize=4096)
def form(text: str) -> Form:
    """A text's form. Cost: some 30 us for a sentence."""
    words = _words(text)
    if not words:
        verbatim = unicodedata.normalize("NFKC", text).strip()
        return Form(verbatim, (_key(verbatim),), (verbatim,), (), 0)
    normal, core = " ".join(words), []
    for word in words:
        core += [part for part in _LONG.get(word, (word,)) if part not in _EMPTY_WORDS]
    spelled, said = _letters(words), _letters(core)
    keys = [_key(letters) for letters in dict.fromkeys((spelled, said)) if letters]
    pictures = tuple(word for word in words if _is_picture(word))
    n_words = sum(any(map(str.isalnum, word)) for word in words)
    return Form(normal, tuple(keys or [_key(normal)]), _signs(words), pictures, n_words)


def texts_alike(one: str, other: str) -> DuplicateKind | None:
    """EXACT, NEAR as far as words can tell, or None."""
    a, b = form(one), form(other)
    if a.normal == b.normal:
        return DuplicateKind.EXACT
    # A picture may be missing, but not be another.
    pictures = a.pictures == b.pictures or (
        not (a.pictures and b.pictures) and min(a.n_words, b.n_words) > FORMULA_WORDS
    )
    if pictures and a.signs == b.signs and not set(a.keys).isdisjoint(b.keys):
        return DuplicateKind.NEAR
    return None


def compare(
    one: Slot, other: Slot, cosine: float, *, threshold: float, scope: Sequence[ScopeField]
) -> DuplicateKind | None:
    """Whether two slots are duplicates, and of which kind; `cosine` is that of their vectors, -1..1."""
    if not same_scope(one, other, scope):
        return None
    alike = texts_alike(one.content, other.content)
    if alike is DuplicateKind.NEAR and cosine < threshold:
        return None
    # A cue is part of what a slot says: another question is another slot.
    if one.cue and other.cue and texts_alike(one.cue, other.cue) is not DuplicateKind.EXACT:
        return None
    return alike


def cosine(one: FloatVector, other: FloatVector) -> float:
    """Cosine of the angle of two vectors, -1..1; 0 where one is all zero."""
    norm = float(np.linalg.norm(one)) * float(np.linalg.norm(other))
    return float(np.clip(float(one @ other) / norm, -1.0, 1.0)) if norm else 0.0


def same_scope(one: Slot, other: Slot, scope: Sequence[ScopeField]) -> bool:
    """Whether the fields of `scope` agree: equal, but for SOURCE and TIME.

    SOURCE: of the metadata `SOURCE_KEYS`, those that both have are equal. TIME, which tells the same from a repetition:
    - messages: said within an hour, those of one or two words ("Thanks!") within a second. Where the client stated the
      time of one alone, only the short ones are told apart;
    - other kinds: where the client stated the times of both, they are within an hour.
    """
    for field in scope:
        if field is ScopeField.SOURCE:
            if not _same_source(one, other):
                return False
        elif field is ScopeField.TIME:
            if not _same_time(one, other):
                return False
        elif field is not ScopeField.NAMESPACE and _value(one, field) != _value(other, field):
            return False
    return True


def scope_keys(slot: Slot, scope: Sequence[ScopeField]) -> tuple[bytes, ...]:
    """8 bytes each: duplicates in a scope have one in common; others hardly ever do.

    The summary of a consolidation has none: it goes with its sources, and would take along what it had absorbed.
    """
    if slot.sources:
        return ()
    plain = "\0".join(_value(slot, field) for field in scope if field not in _NOT_EQUAL)
    prefix = blake2b(plain.encode(), digest_size=16).digest()
    return tuple(blake2b(prefix + key, digest_size=8).digest() for key in form(slot.content).keys)


def is_formula(text: str) -> bool:
    """Whether a text is so short that people say it again and again."""
    return form(text).n_words <= FORMULA_WORDS


def _value(slot: Slot, field: ScopeField) -> str:
    if field is ScopeField.KIND:
        return slot.kind
    if field is ScopeField.ROLE:
        return slot.role
    return str(getattr(slot.scope, field))


def _same_source(one: Slot, other: Slot) -> bool:
    a, b = one.metadata, other.metadata
    return all(a[key] == b[key] for key in SOURCE_KEYS if key in a and key in b)


def _same_time(one: Slot, other: Slot) -> bool:
    dated = (_is_dated(one), _is_dated(other))
    if SlotKind.MESSAGE not in (one.kind, other.kind):
        return not all(dated) or abs(one.created_at - other.created_at) <= TURN_APART_US
    short = max(form(one.content).n_words, form(other.content).n_words) <= FORMULA_WORDS
    if dated[0] != dated[1] and not short:
        return True
    return abs(one.created_at - other.created_at) <= (FORMULA_APART_US if short else TURN_APART_US)


def _is_dated(slot: Slot) -> bool:
    if slot.created_at == slot.updated_at:
        return False
    made_at = ULID.from_str(slot.id).milliseconds * 1000
    return abs(slot.created_at - made_at) > _CLOCK_US


def _words(text: str) -> list[str]:
    tokens: list[str] = []
    folded = _folded(text).strip()
    if folded[:1] == "_" == folded[-1:] and folded[1:2] != "_":
        folded = folded.strip("_")
    for word in _TOKEN.findall(folded):
        if len(word) > 1 and word[0] in ":;<":
            tokens.append(_HEART if word[0] == "<" else _SAD)
        elif len(word) == 1 and not word.isalnum() and word != "_":
            # "LGBT+" is written either way.
            if _means_something(word) and not (word == "+" and tokens and tokens[-1].startswith("lgbt")):
                tokens.append(word)
        elif tokens and _is_end(word, tokens[-1]):
            tokens[-1] = f"{tokens[-1]}'{word}"
        else:
            tokens.append(word)
    return [word if word in _KEEP_APOSTROPHE else word.replace("'", "") or word for word in tokens]


def _folded(text: str) -> str:
    """NFKC in lower case, but for opaque words; superscripts and fractions are set apart."""
    if not text.isascii():
        text = "".join(_set_apart(char) for char in text)
        text = _INVISIBLE.sub("", unicodedata.normalize("NFKC", text))
    text = text.translate(_APOSTROPHES)
    parts, end = [], 0
    for found in _OPAQUE.finditer(text):
        parts += [text[end : found.start()].casefold(), found.group()]
        end = found.end()
    # Case folding may leave a form that NFKC composes.
    return unicodedata.normalize("NFKC", "".join([*parts, text[end:].casefold()]))


@lru_cache(maxsize=4096)
def _set_apart(char: str) -> str:
    tag = unicodedata.decomposition(char).partition(" ")[0]
    return f" ^{char} " if tag in ("<super>", "<sub>", "<fraction>") else char


@lru_cache(maxsize=4096)
def _means_something(char: str) -> bool:
    return char in "&^" or unicodedata.category(char) in ("Sm", "Sc", "So")


def _is_end(word: str, before: str) -> bool:
    """Whether a word is the end of a short form whose apostrophe became a space: "don t"."""
    return (word == "t" and before + word in _NEGATIONS) or before in _JOINED_AFTER.get(word, ())


@lru_cache(maxsize=4096)
def _is_picture(word: str) -> bool:
    return len(word) == 1 and unicodedata.category(word) == "So"


def _letters(words: Sequence[str]) -> str:
    return "".join(
        char for word in words if not _is_picture(word) for char in word if char.isalnum() or char > "\u02ff"
    )


def _signs(words: Sequence[str]) -> tuple[str, ...]:
    """What makes texts of the same letters differ: numbers, symbols, negations, in order."""
    found: list[str] = []
    for word in words:
        if word in _NEGATIONS:
            found.append("not")
        elif not word.isalpha() and not _is_picture(word):
            found += _SIGNS.findall(word) or ([word] if len(word) == 1 and word != "&" else [])
    return tuple(found)


def _key(text: str) -> bytes:
    return blake2b(text.encode(), digest_size=16).digest()
