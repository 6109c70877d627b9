"""How a text looks, whatever it is about: what feedback may find to be typical of slots that help.

Packed into 11 bits a slot. What each trait is worth is not said here: a namespace learns that, or nothing comes of it.
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
_N_BITS: Final = 11
_MAX_LETTERS: Final = 1_000
_TIMES: Final = frozenset(
    """
    january february march april may june july august september october november december monday tuesday wednesday
    thursday friday saturday sunday yesterday today tomorrow week weekend month year ago last next morning night
    январь января январе февраль февраля феврале март марта марте апрель апреля апреле май мая мае июнь июня июне
    июль июля июле август августа августе сентябрь сентября сентябре октябрь октября октябре ноябрь ноября ноябре
    декабрь декабря декабре понедельник вторник среда среду четверг пятница пятницу суббота субботу воскресенье
    вчера сегодня завтра неделя неделю недели неделе месяц месяца год года году назад утром вечером ночью прошлый
    прошлая прошлую прошлой прошлом прошлого следующий следующая следующую следующей следующем следующего
    """.split()  # noqa: SIM905 - readable
)
_GREETINGS: Final = frozenset(
    """
    hi hey hello thanks thank bye wow cool great awesome good nice glad congrats congratulations sure yeah yes
    absolutely totally sounds привет здравствуй здравствуйте спасибо пока ого круто отлично здорово хорошо рад рада
    поздравляю конечно да
    """.split()  # noqa: SIM905 - readable
)
_WORD: Final = re.compile(r"\w+")
_SPEAKER: Final = re.compile(r"\s*[^\W\d_][\w .'’-]{0,39}:\s")
_DIGIT: Final = re.compile(r"\d")


def traits_of(text: str) -> int:
    """The traits of a text, packed: of its first 1,000 letters, without "Ann: " and a caption in brackets at its end.

    Cost: some 10 microseconds for 100 letters.
    """
    spoken = text[:_MAX_LETTERS]
    speaker = _SPEAKER.match(spoken)
    spoken = spoken[speaker.end() :] if speaker else spoken
    if spoken.endswith("]") and (opened := spoken.rfind("[")) > 0:
        spoken = spoken[:opened]
    words, lower = spoken.split(), _WORD.findall(spoken.lower())
    capitals = [i for i, word in enumerate(words) if word[0].isupper() and i]
    counts = (
        not _TIMES.isdisjoint(lower),
        sum(words[i][1:2].islower() and (words[i - 1][-1].isalnum() or words[i - 1][-1] in ",;") for i in capitals),
        _DIGIT.search(spoken) is not None,
        bool(lower) and lower[0] in _GREETINGS,
        spoken.count("!"),
        spoken.count("?"),
    )
    return sum(min(count, most) << bit for count, (bit, most, _) in zip(counts, _LAYOUT, strict=True))


def _signals(packed: NDArray[np.uint16]) -> NDArray[np.float32]:
    return np.asarray(((packed >> _BITS[:, None]) & _MOST[:, None]) / _UNITS[:, None], np.float32)


# Packed traits as numbers around 1: float32 [len(TRAITS), 2048], a column for each way of packing.
TRAIT_SIGNALS: Final = _signals(np.arange(1 << _N_BITS, dtype=np.uint16))
