"""A guard against recall loops: what a query returned a short while ago, and is stored again, is told from new.

Bounded: the last hits of the namespaces that were asked last, by id and form, in memory alone; some 400 bytes a hit.
"""

from collections import OrderedDict
from collections.abc import Sequence
from threading import Lock
from typing import Final

from adamem_server.memory.duplicates import form, is_formula, texts_alike
from adamem_server.memory.filters import is_expired
from adamem_server.store.slot_store import ReadView
from adamem_server.types import Hit, Namespace, SlotInput

MAX_RECALLED: Final = 256
MAX_NAMESPACES: Final = 256
WINDOW_US: Final = 600 * 1_000_000


class _Recalled:
    """The last hits of one namespace: when each was returned, and its forms, which are made when first needed."""

    def __init__(self) -> None:
        self.times: OrderedDict[str, int] = OrderedDict()
        self._forms: dict[str, tuple[bytes, ...]] = {}
        self._by_form: dict[bytes, dict[str, None]] = {}

    def add(self, slot_id: str, now: int) -> None:
        self.times[slot_id] = now
        self.times.move_to_end(slot_id)
        if len(self.times) > MAX_RECALLED:
            self._forget(self.times.popitem(last=False)[0])

    def read(self, view: ReadView, number: int) -> None:
        """Make the forms that are missing."""
        for slot_id in self.times:
            if slot_id not in self._forms:
                row = view.row(number, slot_id)
                slot = None if row is None else view.slot(number, row)
                forms = self._forms[slot_id] = () if slot is None else form(slot.content).keys
                for key in forms:
                    self._by_form.setdefault(key, {})[slot_id] = None

    def candidates(self, content: str, since: int) -> list[str]:
        """Slots with a form of a text, those returned last first."""
        found = {slot_id for key in form(content).keys for slot_id in self._by_form.get(key, ())}
        recent = [slot_id for slot_id in found if self.times[slot_id] >= since]
        return sorted(recent, key=lambda slot_id: (-self.times[slot_id], slot_id))

    def _forget(self, slot_id: str) -> None:
        for key in self._forms.pop(slot_id, ()):
            self._by_form[key].pop(slot_id, None)
            if not self._by_form[key]:
                del self._by_form[key]


class Recalls:
    """What queries returned within the last ten minutes. Thread-safe."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._recalled: OrderedDict[str, _Recalled] = OrderedDict()

    def note(self, hits: Sequence[Hit], now: int) -> None:
        """Remember what a query returned. Cost: about a microsecond a hit."""
        with self._lock:
            for hit in reversed(hits[:MAX_RECALLED]):
                name = hit.view.namespace
                self._recalled.setdefault(name, _Recalled()).add(hit.view.slot.id, now)
                self._recalled.move_to_end(name)
            while len(self._recalled) > MAX_NAMESPACES:
                self._recalled.popitem(last=False)

    def sources(self, view: ReadView, namespace: Namespace, items: Sequence[SlotInput], now: int) -> list[str]:
        """For each item the recalled slot that says the same, exactly or nearly in its words; "" for none.

        Texts of one or two words are none: people say them again and again. Cost: some tens of microseconds for each
        item, and once for each slot that was recalled.
        """
        with self._lock:
            recalled = self._recalled.get(namespace.name)
            if recalled is None:
                return [""] * len(items)
            recalled.read(view, namespace.number)
            since = now - WINDOW_US
            candidates = [
                [] if is_formula(item.content) else recalled.candidates(item.content, since) for item in items
            ]
        return [
            next((slot_id for slot_id in found if _says(view, namespace, slot_id, item.content, now)), "")
            for item, found in zip(items, candidates, strict=True)
        ]


def _says(view: ReadView, namespace: Namespace, slot_id: str, content: str, now: int) -> bool:
    """Whether a slot, as it is now, says the same."""
    row = view.row(namespace.number, slot_id)
    slot = None if row is None else view.slot(namespace.number, row)
    return slot is not None and not is_expired(slot, now) and texts_alike(slot.content, content) is not None
