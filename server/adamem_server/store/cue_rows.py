"""Which cue of whom a slot answers: the key under which the rows of facts on one cue are found (keys.py, cue_rows).

Kept in namespaces in which newer facts supersede older ones, for facts and preferences that have a cue.
"""

import unicodedata
from hashlib import blake2b
from typing import Final

from adamem_server.types import Slot, SlotKind

_KINDS: Final = frozenset({SlotKind.FACT, SlotKind.PREFERENCE})
_MARGINS: Final = " \t?!.,;:…¿¡\"'«»“”"
_N_KEY: Final = 16


def normal_cue(cue: str) -> str:
    """A cue without what makes no other question of it: case, width, spaces, punctuation at its ends."""
    folded = unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", cue).casefold())
    return " ".join(folded.split()).strip(_MARGINS)


def cue_key(slot: Slot) -> bytes | None:
    """16 bytes of the normal form of a slot's cue, its user and its agent; None where nothing can supersede it."""
    if slot.kind not in _KINDS or not slot.cue:
        return None
    cue = normal_cue(slot.cue)
    if not cue:
        return None
    said = f"{cue}\0{slot.scope.user_id}\0{slot.scope.agent_id}"
    return blake2b(said.encode(), digest_size=_N_KEY).digest()
