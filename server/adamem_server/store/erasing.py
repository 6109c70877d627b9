"""What an erasure reads and writes besides the deletion: counts, survivors, adapters, and that it is not complete yet.

The table `meta` holds `erasing` while bytes of deleted records may have to be overwritten: the numbers u32 of the
namespaces that they are of, big endian.
"""

from collections.abc import Iterator
from collections.abc import Set as AbstractSet
from dataclasses import replace
from typing import Final

from adamem_server.store import keys
from adamem_server.store.archive import archive_count
from adamem_server.store.duplicate_codec import decode_absorbed
from adamem_server.store.generations import read_generations
from adamem_server.store.history import read_history
from adamem_server.store.slot_store import OF_NAMESPACE, OF_SPACES, ReadView, WriteBatch
from adamem_server.store.teaching import read_adapters, read_learning, read_pairs

_ERASING: Final = b"erasing"
_NUMBER_BYTES: Final = 4


def count_records(view: ReadView, number: int) -> dict[str, int]:
    """How many records a namespace has in each table. Cost: O(records), some millions a second."""
    namespace = view.namespace(number)
    others = read_generations(view, number)
    spaces = {number} | {each.space for each in (others.next, others.former) if each is not None}
    if namespace is not None:
        spaces.add(namespace.vector_space)
    return {
        table: sum(
            1
            for each in (spaces if table in OF_SPACES else {number})
            for _ in _keys(view, table, keys.number_key(each))
        )
        for table in OF_NAMESPACE
    }


def known_counts(view: ReadView, number: int) -> dict[str, int]:
    """The same for the tables whose count is kept."""
    head = view.head(number)
    n_pairs = read_learning(view, number).n_pairs
    slots = dict.fromkeys(("slots", "vectors", "rows"), head.n_slots)
    history = read_history(view, number)
    versions = dict.fromkeys(("versions", "version_vectors", "version_times"), history.n_versions)
    superseded = {"superseded": history.n_superseded, "archived": archive_count(view, number).n_slots}
    return {**slots, "cue_vectors": head.n_cues, "pairs": n_pairs, **versions, **superseded}


def survivors_of(view: ReadView, number: int, slot_ids: AbstractSet[str]) -> list[int]:
    """The rows of slots that have absorbed one of some others. Cost: O(absorbed)."""
    prefix = keys.number_key(number)
    n_bytes = len(keys.row_key(number, 0))
    found = (
        keys.row_of(key[:n_bytes])
        for key, value in view.scan("absorbed", prefix, prefix)
        if decode_absorbed(value).slot.id in slot_ids
    )
    return list(dict.fromkeys(found))


def forget_adapters(batch: WriteBatch, number: int) -> int:
    """Remove the versions of an adapter of which no pair is left that they can have learned from; how many.

    Where the one that serves is among them, none serves.
    """
    namespace = batch.namespace(number)
    if namespace is None:
        return 0
    oldest = min((pair.time for _, pair in read_pairs(batch, number)), default=None)
    gone = [
        version.version for version, _ in read_adapters(batch, number) if oldest is None or version.created_at < oldest
    ]
    for version in gone:
        batch.delete("adapters", keys.adapter_key(number, version))
    if namespace.adapter_version in gone:
        batch.put_namespace(replace(namespace, adapter_version=0))
    return len(gone)


def erasing(view: ReadView) -> list[int]:
    """The namespaces with an erasure that is not complete."""
    value = view.get("meta", _ERASING) or b""
    starts = range(0, len(value), _NUMBER_BYTES)
    return [keys.decode_u32(value[start : start + _NUMBER_BYTES]) for start in starts]


def put_erasing(batch: WriteBatch, number: int) -> None:
    """Note that an erasure in a namespace begins."""
    numbers = sorted({*erasing(batch), number})
    batch.put("meta", _ERASING, b"".join(map(keys.encode_u32, numbers)))


def end_erasing(batch: WriteBatch) -> None:
    """Note that all erasures are complete."""
    batch.delete("meta", _ERASING)


def _keys(view: ReadView, table: str, prefix: bytes) -> Iterator[bytes]:
    cursor = view.cursor(table)
    if cursor.set_range(prefix):
        for key in cursor.iternext(values=False):
            if not key.startswith(prefix):
                return
            yield key
