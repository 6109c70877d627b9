"""What a namespace was taught, but for what is damaged of it."""

from collections.abc import Callable
from typing import TypeAlias

from adamem_server.errors import DataCorruptError
from adamem_server.store import keys
from adamem_server.store.codec import decode_pair
from adamem_server.store.slot_store import ReadView
from adamem_server.types import TaughtPair

# Hears of a damaged record of a namespace, by its number.
OnDamage: TypeAlias = Callable[[ReadView, int, DataCorruptError], None]


def taught_pairs(view: ReadView, number: int, on_damage: OnDamage) -> list[tuple[int, TaughtPair]]:
    """(pair number, pair) in the order in which they were taught, of those that can be read."""
    found = []
    prefix = keys.number_key(number)
    for key, value in view.scan("pairs", prefix, prefix):
        try:
            found.append((keys.pair_of(key), decode_pair(value)))
        except DataCorruptError as error:
            on_damage(view, number, error)
    return found
