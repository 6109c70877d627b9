"""How a text looks, whatever it is about: what feedback may find to be typical of slots that help.

Packed into 16 bits a slot. What each trait is worth is not said here: a namespace learns that, or nothing comes of it.
"""

# ruff: noqa: RUF001 - Russian words
import re
from typing import Final

import numpy as np
from numpy.typing import NDArray

TRAITS: Final = ("names_time", "names", "digits", "greeting", "exclaims", "asks")
# Of each trait: its lowest bit, the largest number that is counted, which has all its bits set, and what a signal of 1
# stands for: about the deviation among turns of dialogues, so that one prior fits all.
_LAYOUT: Final = ((0, 1, 0.35), (1, 7, 0.6), (4, 1, 0.15), (5, 1, 0.5), (6, 7, 0.8), (9, 3, 0.5))
_BITS: Final = np.array([bit for bit, _, _ in _LAYOUT], np.uint16)
_MOST: Final = np.array([most for _, most, _ in _LAYOUT], np.uint16)
_UNITS: Final = np.array([unit for _, _, unit in _LAYOUT], np.float32)
_MAX_LETTERS: Final = 4_000
_TIMES: Final = re.compile(
    r"\b(?:january|february|march|april|may|june|july|august|september|october|november|december|monday|tuesday"
    r"|wednesday|thursday|friday|saturday|sunday|yesterday|today|tomorrow|week|weekend|month|year|ago|last|next"
    r"|morning|night"
    r"|январ[ьяе]|феврал[ьяе]|марта?|апрел[ьяе]|ма[йяе]|июн[ьяе]|июл[ьяе]|августа?|сентябр[ьяе]|октябр[ьяе]|ноябр[ьяе]"
    r"|декабр[ьяе]|понедельник|вторник|сред[ау]|четверг|пятниц[ау]|суббот[ау]|воскресенье|вчера|сегодня|завтра"
    r"|недел[яюеи]|месяца?|год[ау]?|назад|утром|вечером|ночью|(?:прошл|следующ)\w+)\b",
    re.IGNORECASE,
)
_GREETING: Final = re.compile(
    r"(?:hi|hey|hello|thanks|thank|bye|wow|cool|great|awesome|good|nice|glad|congrats|congratulations|sure|yeah|yes"
    r"|absolutely|totally|sounds|take care|see you"
    r"|привет|здравствуй(?:те)?|спасибо|пока|ого|круто|отлично|здорово|хорошо|рада?|поздравляю|конечно|да)\b",
    re.IGNORECASE,
)
# A word that begins with a capital and does not begin a sentence.
_NAME: Final = re.compile(r"(?<=[\w,;] )[^\W\d_]\w+")
_SPEAKER: Final = re.compile(r"\s*[^\W\d_][\w .'’-]{0,39}:\s")
_DIGIT: Final = re.compile(r"\d")


def traits_of(text: str) -> int:
    """The traits of a text, packed: of its first 4,000 letters, without "Ann: " and a caption in brackets at its end.

    Cost: some 10 microseconds for 100 letters.
    """
    spoken = text[:_MAX_LETTERS]
    speaker = _SPEAKER.match(spoken)
    spoken = spoken[speaker.end() :] if speaker else spoken.lstrip()
    if spoken.endswith("]") and (opened := spoken.rfind("[")) > 0:
        spoken = spoken[:opened]
    counts = (
        _TIMES.search(spoken) is not None,
        sum(word[0].isupper() and word[1].islower() for word in _NAME.findall(spoken)),
        _DIGIT.search(spoken) is not None,
        _GREETING.match(spoken) is not None,
        spoken.count("!"),
        spoken.count("?"),
    )
    return sum(min(count, most) << bit for count, (bit, most, _) in zip(counts, _LAYOUT, strict=True))


def trait_signals(packed: NDArray[np.uint16]) -> NDArray[np.float32]:
    """The traits of n texts as numbers around 1: float32 [n, len(TRAITS)]."""
    return np.asarray(((packed[:, None] >> _BITS) & _MOST) / _UNITS, np.float32)
