"""Which namespace may have been meant by a name that there is not; looked for after the failure alone."""

import re
from itertools import islice
from typing import Final

from adamem_server.store.slot_store import ReadView

# Reading and comparing so many takes some milliseconds.
_MAX_COMPARED: Final = 1000
_DIGITS: Final = re.compile(r"\d+")
_SEPARATORS: Final = str.maketrans("", "", "-_. ")


def similar_name(view: ReadView, name: str) -> str:
    """The name of a namespace that differs by case, separators and at most one character more; "": none does.

    Where there are many, only names with a long common beginning are compared. Names that differ in numbers alone are
    of different things. Whoever may call may list all names: this tells nobody more.
    """
    compared: list[str] = []
    for end in range(len(name) - 1, 0, -1) if view.n_namespaces() > _MAX_COMPARED else (0,):
        found = list(islice(view.namespace_names(name[:end], ""), _MAX_COMPARED + 1))
        if len(found) > _MAX_COMPARED:
            break
        compared = found
    given, numbered = _plain(name), _DIGITS.sub("0", name)
    similar = (each for each in compared if _differ_by_one(given, _plain(each)) and _DIGITS.sub("0", each) != numbered)
    return next(similar, "")


def _plain(name: str) -> str:
    return name.lower().translate(_SEPARATORS)


def _differ_by_one(a: str, b: str) -> bool:
    """Equal, or one character is more, less or another one, or two stand in each other's place."""
    if abs(len(a) - len(b)) > 1:
        return False
    n = min(len(a), len(b))
    head = next((i for i in range(n) if a[i] != b[i]), n)
    tail = next((i for i in range(n - head) if a[-1 - i] != b[-1 - i]), n - head)
    a, b = a[head : len(a) - tail], b[head : len(b) - tail]
    return max(len(a), len(b)) <= 1 or (len(a) == len(b) == 2 and a == b[::-1])
