"""What a namespace was taught, pair by pair, and the adapters that were made of it."""

from collections.abc import Iterator
from dataclasses import replace
from typing import TYPE_CHECKING

from adamem_server.store import codec, keys
from adamem_server.store.codec import Learning
from adamem_server.types import AdapterVersion, FloatVector, TaughtPair

if TYPE_CHECKING:
    from adamem_server.store.slot_store import ReadView, WriteBatch


def read_learning(view: "ReadView", number: int) -> Learning:
    """What a namespace was taught, and how its last training ended."""
    value = view.get("learning", keys.number_key(number))
    return Learning() if value is None else codec.decode_learning(value)


def taught_namespaces(view: "ReadView") -> Iterator[int]:
    """The numbers of all namespaces that were taught anything."""
    return (keys.decode_u32(key) for key, _ in view.scan("learning", b"", b""))


def put_learning(batch: "WriteBatch", number: int, learning: Learning) -> None:
    """Store what a namespace was taught, and how its last training ended."""
    batch.put("learning", keys.number_key(number), codec.encode_learning(learning))


def read_pairs(view: "ReadView", number: int) -> Iterator[tuple[int, TaughtPair]]:
    """(pair number, pair) of a namespace, in the order in which they were taught."""
    prefix = keys.number_key(number)
    for key, value in view.scan("pairs", prefix, prefix):
        yield keys.pair_of(key), codec.decode_pair(value)


def read_pair(view: "ReadView", number: int, pair: int) -> TaughtPair | None:
    """One pair."""
    value = view.get("pairs", keys.pair_key(number, pair))
    return None if value is None else codec.decode_pair(value)


def pairs_of(view: "ReadView", number: int, row: int) -> list[int]:
    """The numbers of the pairs that name a row."""
    prefix = keys.row_key(number, row)
    return [keys.pair_row_of(key)[1] for key, _ in view.scan("pair_rows", prefix, prefix)]


def teach(batch: "WriteBatch", number: int, taught: TaughtPair) -> int:
    """Add a pair; its number."""
    learning = read_learning(batch, number)
    _put_new(batch, number, learning.next_pair, taught)
    put_learning(batch, number, learning.with_pairs(1))
    return learning.next_pair


def unteach(batch: "WriteBatch", number: int, pair: int) -> None:
    """Remove a pair; nothing when it is gone."""
    stored = read_pair(batch, number, pair)
    if stored is None:
        return
    batch.delete("pairs", keys.pair_key(number, pair))
    for row in {*stored.helped, *stored.unhelpful}:
        batch.delete("pair_rows", keys.pair_row_key(number, row, pair))
    put_learning(batch, number, read_learning(batch, number).with_pairs(-1))


def forget_row(batch: "WriteBatch", number: int, row: int) -> None:
    """Take a row out of the pairs that name it; one that names none any more goes."""
    for pair in pairs_of(batch, number, row):
        stored = read_pair(batch, number, pair)
        if stored is None:
            continue
        helped, unhelpful = (tuple(each for each in rows if each != row) for rows in (stored.helped, stored.unhelpful))
        if helped or unhelpful:
            batch.delete("pair_rows", keys.pair_row_key(number, row, pair))
            _put(batch, number, pair, replace(stored, helped=helped, unhelpful=unhelpful))
        else:
            unteach(batch, number, pair)


def put_pair_vector(batch: "WriteBatch", number: int, pair: int, query: str, vector: FloatVector) -> None:
    """Store the vector of a pair's question; nothing when the pair is gone, or asks something else."""
    stored = read_pair(batch, number, pair)
    if stored is not None and stored.query == query:
        _put(batch, number, pair, replace(stored, vector=vector))


def forget_pair_vectors(batch: "WriteBatch", number: int) -> None:
    """Let all pairs get their vectors anew, and count as new: another model serves."""
    for pair, stored in list(read_pairs(batch, number)):
        _put(batch, number, pair, replace(stored, vector=None))
    put_learning(batch, number, read_learning(batch, number).untrained())


def read_adapter(view: "ReadView", number: int, version: int) -> tuple[AdapterVersion, bytes] | None:
    """A version of a namespace's adapter and its safetensors file."""
    value = view.get("adapters", keys.adapter_key(number, version))
    return None if value is None else codec.decode_adapter(version, value)


def read_adapters(view: "ReadView", number: int) -> Iterator[tuple[AdapterVersion, bytes]]:
    """The versions of a namespace's adapter, oldest first."""
    prefix = keys.number_key(number)
    for key, value in view.scan("adapters", prefix, prefix):
        yield codec.decode_adapter(keys.version_of(key), value)


def put_adapter(batch: "WriteBatch", number: int, version: AdapterVersion, data: bytes, most: int, keep: int) -> None:
    """Store a version of an adapter and its safetensors file; of more than `most` the oldest go, but not `keep`."""
    batch.put("adapters", keys.adapter_key(number, version.version), codec.encode_adapter(version, data))
    prefix = keys.number_key(number)
    versions = (keys.version_of(key) for key, _ in batch.scan("adapters", prefix, prefix))
    others = [each for each in versions if each not in (version.version, keep)]
    n_others = most - 1 - (keep not in (0, version.version))
    for other in others[: max(len(others) - max(n_others, 0), 0)]:
        batch.delete("adapters", keys.adapter_key(number, other))


def copy_taught(batch: "WriteBatch", number: int, to: int) -> None:
    """What a namespace was taught and learned, for a copy of it: of its slots that the copy has, by the rows there.

    Bounded by settings of the server.
    """

    def moved(rows: tuple[int, ...]) -> tuple[int, ...]:
        slots = (batch.slot(number, row) for row in rows)
        there = (None if slot is None else batch.row(to, slot.id) for slot in slots)
        return tuple(row for row in there if row is not None)

    n_lost = 0
    for pair, taught in list(read_pairs(batch, number)):
        helped, unhelpful = moved(taught.helped), moved(taught.unhelpful)
        if helped or unhelpful:
            _put_new(batch, to, pair, replace(taught, helped=helped, unhelpful=unhelpful))
        else:
            n_lost += 1
    if batch.get("learning", keys.number_key(number)) is not None:
        put_learning(batch, to, read_learning(batch, number).with_pairs(-n_lost))
    for version, data in list(read_adapters(batch, number)):
        batch.put("adapters", keys.adapter_key(to, version.version), codec.encode_adapter(version, data))


def _put_new(batch: "WriteBatch", number: int, pair: int, taught: TaughtPair) -> None:
    """Store a pair that is not counted yet, and let the rows that it names know it."""
    _put(batch, number, pair, taught)
    for row in {*taught.helped, *taught.unhelpful}:
        batch.put("pair_rows", keys.pair_row_key(number, row, pair), b"")


def _put(batch: "WriteBatch", number: int, pair: int, taught: TaughtPair) -> None:
    batch.put("pairs", keys.pair_key(number, pair), codec.encode_pair(taught))
