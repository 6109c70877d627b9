"""A guard against recall loops: what a query returned a short while ago, and is stored again, is told from new.

Bounded: the last hits of the namespaces that were asked last, by slot id, in memory alone.
"""

from collections import OrderedDict
from collections.abc import Sequence
from threading import Lock
from typing import Final

from adamem_server.memory.duplicates import form, is_formula, texts_alike
from adamem_server.memory.reading import is_expired
from adamem_server.store.slot_store import ReadView
from adamem_server.types import Hit, Namespace, SlotInput

MAX_RECALLED: Final = 256
MAX_NAMESPACES: Final = 256
WINDOW_US: Final = 600 * 1_000_000


class Recalls:
    """What queries returned within the last ten minutes. Thread-safe."""

    def __init__(self) -> None:
        self._lock = Lock()
        # By namespace and slot id: when.
        self._recalled: OrderedDict[str, OrderedDict[str, int]] = OrderedDict()

    def note(self, hits: Sequence[Hit], now: int) -> None:
        """Remember what a query returned. Cost: O(hits)."""
        with self._lock:
            for hit in reversed(hits[:MAX_RECALLED]):
                recalled = self._recalled.setdefault(hit.view.namespace, OrderedDict())
                self._recalled.move_to_end(hit.view.namespace)
                recalled[hit.view.slot.id] = now
                recalled.move_to_end(hit.view.slot.id)
                if len(recalled) > MAX_RECALLED:
                    recalled.popitem(last=False)
            while len(self._recalled) > MAX_NAMESPACES:
                self._recalled.popitem(last=False)

    def sources(self, view: ReadView, namespace: Namespace, items: Sequence[SlotInput], now: int) -> list[str]:
        """For each item the recalled slot that says the same, exactly or nearly in its words; "" for none.

        Texts of one or two words are none: people say them again and again. Cost: some microseconds for each slot that
        was recalled, the first time some tens.
        """
        with self._lock:
            known = self._recalled.get(namespace.name)
            recent = [] if known is None else [slot_id for slot_id, at in known.items() if now - at <= WINDOW_US]
        if not recent:
            return [""] * len(items)
        by_key: dict[bytes, list[tuple[str, str]]] = {}
        for slot_id in reversed(recent):
            row = view.row(namespace.number, slot_id)
            slot = None if row is None else view.slot(namespace.number, row)
            if slot is not None and not is_expired(slot, now):
                for key in form(slot.content).keys:
                    by_key.setdefault(key, []).append((slot_id, slot.content))
        return [_source(item, by_key) for item in items]


def _source(item: SlotInput, by_key: dict[bytes, list[tuple[str, str]]]) -> str:
    if is_formula(item.content):
        return ""
    candidates = [each for key in form(item.content).keys for each in by_key.get(key, ())]
    return next((slot_id for slot_id, content in candidates if texts_alike(content, item.content)), "")
