"""Which summaries were made of a slot, which of them tell what is not so any more, and when a namespace had its last.

A summary lists its sources in its own record; the table `summarized` is the way back.
"""

from collections.abc import Iterator
from typing import TYPE_CHECKING, Final

import msgspec

from adamem_server.store import codec, keys
from adamem_server.types import Slot

if TYPE_CHECKING:
    from adamem_server.store.slot_store import ReadView, WriteBatch

_VERSION: Final = b"\x01"
_LINKS: Final = "summarized"
_LAST: Final = "consolidated"


class Consolidated(msgspec.Struct, array_like=True, frozen=True):
    """The last consolidation of a namespace: when it ended, microseconds (0: there was none), and what it had seen.

    `next_row` and `sequence` are those of the namespace's head then, after what it wrote itself.
    """

    time: int = 0
    next_row: int = 1
    sequence: int = 0


_encode: Final = msgspec.msgpack.Encoder().encode
_decoder: Final = msgspec.msgpack.Decoder(Consolidated)


def encode_consolidated(consolidated: Consolidated) -> bytes:
    """The last consolidation, as stored."""
    return _VERSION + _encode(consolidated)


def decode_consolidated(data: bytes) -> Consolidated:
    """The inverse of `encode_consolidated`."""
    return codec.decode_record(_decoder, data)


def read_consolidated(view: "ReadView", number: int) -> Consolidated:
    """The last consolidation of a namespace."""
    value = view.get(_LAST, keys.number_key(number))
    return Consolidated() if value is None else decode_consolidated(value)


def all_consolidated(view: "ReadView") -> Iterator[tuple[int, Consolidated]]:
    """(number, last consolidation) of the namespaces that had one, or are to have some by themselves."""
    for key, value in view.cursor(_LAST):
        yield keys.decode_u32(key), decode_consolidated(value)


def put_consolidated(batch: "WriteBatch", number: int, consolidated: Consolidated) -> None:
    """Note the last consolidation of a namespace."""
    batch.put(_LAST, keys.number_key(number), encode_consolidated(consolidated))


def summaries_of(view: "ReadView", number: int, slot_id: str) -> list[str]:
    """The ids of the summaries that were made of a slot, in order."""
    prefix = keys.slot_id_key(number, codec.slot_id_bytes(slot_id))
    return [codec.slot_id_text(keys.summary_of(key)) for key, _ in view.scan(_LINKS, prefix, prefix)]


def has_summaries(view: "ReadView", number: int) -> bool:
    """Whether a namespace has any."""
    prefix = keys.number_key(number)
    return any(True for _ in view.scan(_LINKS, prefix, prefix))


def told(slot: Slot) -> tuple[object, ...]:
    """What of a slot its summaries tell, or who may see them depends on."""
    return slot.content, slot.kind, slot.scope, slot.role, frozenset(slot.tags), slot.created_at


def link_sources(batch: "WriteBatch", number: int, slot: Slot) -> None:
    """Let the sources of a summary know it; nothing of other slots."""
    for key in _link_keys(number, slot):
        batch.put(_LINKS, key, b"")


class Untold:
    """Gathers, during one transaction, the summaries of slots that were changed or are gone; keeps the links right.

    A slot that expires sooner counts as changed: no summary shall outlive it.
    """

    __slots__ = ("_batch", "_found", "_linked")

    def __init__(self, batch: "WriteBatch") -> None:
        self._batch = batch
        self._found: dict[int, dict[str, None]] = {}
        # Whether a namespace has summaries.
        self._linked: dict[int, bool] = {}

    def changed(self, number: int, before: Slot | None, after: Slot | None) -> None:
        """A slot is stored, changed or removed."""
        old, new = (() if slot is None else slot.sources for slot in (before, after))
        if old != new or before is None:
            if before is not None:
                for key in _link_keys(number, before):
                    self._batch.delete(_LINKS, key)
            if after is not None and new:
                link_sources(self._batch, number, after)
                self._linked[number] = True
        if before is None or not self._has_links(number):
            return
        if after is None or told(before) != told(after) or _is_sooner(before, after):
            summaries = summaries_of(self._batch, number, before.id)
            if summaries:
                self._found.setdefault(number, {}).update(dict.fromkeys(summaries))

    def take(self) -> dict[int, list[str]]:
        """By namespace, what was gathered since this was asked last."""
        found, self._found = self._found, {}
        return {number: list(slot_ids) for number, slot_ids in found.items()}

    def _has_links(self, number: int) -> bool:
        known = self._linked.get(number)
        if known is None:
            known = self._linked[number] = has_summaries(self._batch, number)
        return known


def _is_sooner(before: Slot, after: Slot) -> bool:
    return after.expires_at != 0 and (before.expires_at == 0 or after.expires_at < before.expires_at)


def _link_keys(number: int, slot: Slot) -> Iterator[bytes]:
    summary = codec.slot_id_bytes(slot.id)
    return (keys.summarized_key(number, codec.slot_id_bytes(source), summary) for source in slot.sources)
