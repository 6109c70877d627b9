"""What the writer carries out to give a namespace the vectors of another model: begin, store, switch, drop.

The next generation is made beside the one that serves. Writes that come meanwhile store vectors of the model that
serves and leave a mark; the switch is one transaction that embeds the last of those, so that nothing is missing.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from enum import Enum
from typing import Final, Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

from adamem_server.embed.base import ModelInfo
from adamem_server.errors import AbortedError, NamespaceNotFoundError
from adamem_server.memory.indexes import VectorIndex, new_index
from adamem_server.memory.registry import ShardRegistry
from adamem_server.memory.restoring import remove_snapshots
from adamem_server.memory.writer import UnseenJob
from adamem_server.store.codec import Change, Generation, decode_vectors, encode_vector, vector_bytes
from adamem_server.store.generations import all_generations, put_vectors, stale_rows
from adamem_server.store.keys import row_key
from adamem_server.store.slot_store import SlotStore, WriteBatch
from adamem_server.store.staging import all_staging
from adamem_server.store.teaching import forget_pair_vectors, read_adapter
from adamem_server.types import FloatVector, Namespace, Slot

Place: TypeAlias = Literal["next", "former"]
# Texts of so many slots are embedded by the writer itself at a switch, which others wait for.
LAST_ROWS: Final = 32


def texts_of(slots: Sequence[Slot]) -> list[str]:
    """What is embedded of slots: of each its content, then its cue if it has one."""
    return [text for slot in slots for text in ((slot.content, slot.cue) if slot.cue else (slot.content,))]


@dataclass(frozen=True, slots=True)
class Embedded:
    """Slots with the vectors of their texts as they were read; `gone` are rows that held none any more."""

    rows: list[int]
    slots: list[Slot]
    vectors: FloatVector
    gone: list[int] = field(default_factory=list)

    def pairs(self) -> list[tuple[int, Slot, FloatVector, FloatVector | None]]:
        """(row, slot, vector of its content, that of its cue)."""
        each = iter(self.vectors)
        return [
            (row, slot, next(each), next(each) if slot.cue else None)
            for row, slot in zip(self.rows, self.slots, strict=True)
        ]


class GenerationIndex:
    """The vector indexes of a generation that does not serve yet. Used by one thread at a time."""

    def __init__(self, namespace: Namespace, dim: int) -> None:
        self._namespace = namespace
        self._dim = dim
        self.vectors: Final = self._new()
        self.cues: VectorIndex | None = None

    def add(self, rows: Sequence[int], vectors: FloatVector) -> None:
        """Take in vectors of contents."""
        self.vectors.add(np.array(rows, np.uint64), vectors)

    def add_cues(self, rows: Sequence[int], vectors: FloatVector) -> None:
        """Take in vectors of cues."""
        if len(rows):
            if self.cues is None:
                self.cues = self._new()
            self.cues.add(np.array(rows, np.uint64), vectors)

    def take(self, embedded: Embedded) -> None:
        """Take in slots as they were stored, in the place of what was there of them; gone and archived ones go."""
        pairs = [pair for pair in embedded.pairs() if not pair[1].archived_at]
        gone = [*embedded.gone, *(row for row, slot, _, _ in embedded.pairs() if slot.archived_at)]
        if pairs:
            self.add([row for row, *_ in pairs], self._as_stored([vector for _, _, vector, _ in pairs]))
        if gone:
            self.vectors.remove(_ids(gone))
        with_cue = [(row, cue) for row, _, _, cue in pairs if cue is not None]
        if self.cues is not None:
            self.cues.remove(_ids([*gone, *(row for row, _, _, cue in pairs if cue is None)]))
        if with_cue:
            self.add_cues([row for row, _ in with_cue], self._as_stored([cue for _, cue in with_cue]))

    def maintain(self, most: int) -> int:
        """Link up to `most` rows of each; an estimate of what is left."""
        return self.vectors.maintain(most) + (0 if self.cues is None else self.cues.maintain(most))

    def _new(self) -> VectorIndex:
        namespace = self._namespace
        return new_index(self._dim, namespace.metric, namespace.index_kind, namespace.index_params)

    def _as_stored(self, vectors: Sequence[FloatVector]) -> FloatVector:
        vector_type = self._namespace.vector_type
        return decode_vectors([encode_vector(vector, vector_type) for vector in vectors], self._dim, vector_type)


class BeginJob(UnseenJob):
    """Begin the next generation of a namespace, or find the one that the same job began."""

    def __init__(self, namespace: Namespace, model: ModelInfo, job_id: str) -> None:
        self._namespace = namespace
        self._model = model
        self._job_id = job_id

    def run(self, batch: WriteBatch) -> Generation:
        """See `Job.run`."""
        namespace = _present(batch, self._namespace)
        spaces = batch.spaces(namespace.number)
        found = spaces.generations.next
        if found is not None:
            if (found.job_id, found.model_fingerprint) == (self._job_id, self._model.fingerprint):
                return found
            batch.doom_space(found.space)
        model = self._model
        begun = Generation(batch.new_namespace_number(), model.name, model.fingerprint, model.dim, job_id=self._job_id)
        spaces.put("next", begun)
        return begun


class KeepFormerJob(UnseenJob):
    """Find the former generation of a namespace, and keep it from now until `expires_at`."""

    def __init__(self, namespace: Namespace, expires_at: int) -> None:
        self._namespace = namespace
        self._expires_at = expires_at

    def run(self, batch: WriteBatch) -> Generation | None:
        """See `Job.run`. None where none is kept."""
        namespace = _present(batch, self._namespace)
        spaces = batch.spaces(namespace.number)
        former = spaces.generations.former
        if former is not None:
            former = former.kept_until(self._expires_at)
            spaces.put("former", former)
        return former


class DropNextJob(UnseenJob):
    """Let the generation go that a job has begun and will not finish."""

    frees = True

    def __init__(self, number: int, job_id: str) -> None:
        self._number = number
        self._job_id = job_id

    def run(self, batch: WriteBatch) -> bool:
        """See `Job.run`. Whether there was one."""
        spaces = batch.spaces(self._number)
        found = spaces.generations.next
        if found is None or found.job_id != self._job_id:
            return False
        spaces.put("next", None)
        batch.doom_space(found.space)
        return True


class StoreVectorsJob(UnseenJob):
    """Store vectors of a generation that does not serve, of those slots whose texts are still the ones embedded."""

    def __init__(self, namespace: Namespace, place: Place, space: int, embedded: Embedded) -> None:
        self._namespace = namespace
        self._place = place
        self._space = space
        self._embedded = embedded
        self.weight = max(1, len(embedded.rows))

    def run(self, batch: WriteBatch) -> Embedded:
        """See `Job.run`. Returns what was stored, and which rows hold no slot any more."""
        namespace = _present(batch, self._namespace)
        return store_vectors(batch, namespace, self._place, self._space, self._embedded)


@dataclass(frozen=True, slots=True)
class Switched:
    """A switch: the namespace after it, what was embedded last, and the space that served before."""

    namespace: Namespace
    last: Embedded
    sequence: int
    former_space: int


class Unready(Enum):
    """Why a switch was not made.

    BEHIND: more is stale than may be embedded in it. INCOMPLETE: slots have no vector, though none of them is marked.
    BUSY: a package is being merged, whose vectors are of the model that serves.
    """

    BEHIND = "behind"
    INCOMPLETE = "incomplete"
    BUSY = "busy"


class SwitchJob:
    """Let a generation serve that has a vector of every slot, but for a few which this embeds.

    The one that served is kept until `expires_at`; what was kept before goes. Nothing is done where more than `most`
    slots are to be embedded.

    Args:
        registry: Of the open shards.
        namespace: Any reading of it.
        place: Where the generation is.
        space: Its number.
        index: Its indexes, up to date but for what is stale.
        embed: Makes its vectors.
        expires_at: Microseconds; 0: the generation that served goes at once.
        now: Microseconds.
        most: Slots that may be embedded in the transaction.
    """

    frees = False
    weight = LAST_ROWS

    def __init__(
        self,
        registry: ShardRegistry,
        namespace: Namespace,
        place: Place,
        space: int,
        index: GenerationIndex,
        embed: Callable[[Sequence[str]], FloatVector],
        *,
        expires_at: int,
        now: int,
        most: int = LAST_ROWS,
    ) -> None:
        self._registry = registry
        self._namespace = namespace
        self._place: Place = place
        self._space = space
        self._index = index
        self._embed = embed
        self._expires_at = expires_at
        self._now = now
        self._most = most

    def run(self, batch: WriteBatch) -> Switched | Unready:
        """See `Job.run`."""
        namespace = _present(batch, self._namespace)
        number = namespace.number
        if any(staging.target == number for _, staging in all_staging(batch)):
            return Unready.BUSY
        rows = stale_rows(batch, self._space, self._most + 1)
        if len(rows) > self._most:
            return Unready.BEHIND
        last = store_vectors(batch, namespace, self._place, self._space, self._read(batch, rows))
        spaces = batch.spaces(number)
        generations = spaces.generations
        target = _at(generations.next if self._place == "next" else generations.former, self._space)
        head = batch.head(number)
        if target.n_vectors != head.n_slots:
            return Unready.INCOMPLETE
        for other in (generations.next, generations.former):
            if other is not None and other.space != self._space:
                batch.doom_space(other.space)
        served = Generation(
            namespace.vector_space,
            namespace.model,
            namespace.model_fingerprint,
            namespace.dim,
            namespace.adapter_version,
            head.n_slots,
            head.n_cues,
            self._expires_at,
        )
        if not self._expires_at:
            batch.doom_space(served.space)
        version = target.adapter_version
        changed = replace(
            namespace,
            space=target.space,
            model=target.model,
            model_fingerprint=target.model_fingerprint,
            dim=target.dim,
            adapter_version=version if version and read_adapter(batch, number, version) is not None else 0,
        )
        spaces.put("next", None)
        spaces.put("former", served if self._expires_at else None)
        batch.put_namespace(changed)
        forget_pair_vectors(batch, number)
        batch.archive(number).recount_cues(target.space)
        before, after = (vector_bytes(dim, namespace.vector_type) for dim in (namespace.dim, target.dim))
        n_bytes = head.n_bytes + after * (head.n_slots + target.n_cues) - before * (head.n_slots + head.n_cues)
        # A change of no rows: an index that was saved before it is known to be older.
        sequence = head.sequence + 1
        batch.put_change(number, sequence, Change(self._now))
        batch.put_head(number, head.at(sequence).with_slots(head.n_slots, n_bytes, target.n_cues))
        return Switched(changed, last, sequence, served.space)

    def committed(self, result: Switched | Unready, done: Callable[[], None]) -> None:
        """Put the new shard in the place of the old one."""
        if isinstance(result, Switched):
            number = result.namespace.number
            try:
                self._index.take(result.last)
                self._registry.swap(
                    number,
                    lambda shard: shard.regenerated(
                        result.namespace, self._index.vectors, self._index.cues, result.sequence
                    ),
                )
            except BaseException:
                # The store is right: the next use opens it from there.
                self._registry.drop(number)
                raise
            remove_snapshots(self._registry.snapshot_path(result.former_space))
        done()

    def _read(self, batch: WriteBatch, rows: Sequence[int]) -> Embedded:
        read = [(row, batch.slot(self._namespace.number, row)) for row in rows]
        there = [(row, slot) for row, slot in read if slot is not None]
        slots = [slot for _, slot in there]
        vectors = self._embed(texts_of(slots))
        return Embedded([row for row, _ in there], slots, vectors, [row for row, slot in read if slot is None])


def store_vectors(batch: WriteBatch, namespace: Namespace, place: Place, space: int, embedded: Embedded) -> Embedded:
    """Store vectors of those slots whose texts are still the ones embedded; what was stored, and which rows are gone.

    Raises:
        AbortedError: The generation went meanwhile.
    """
    number, vector_type = namespace.number, namespace.vector_type
    spaces = batch.spaces(number)
    generations = spaces.generations
    generation = _at(generations.next if place == "next" else generations.former, space)
    stored: list[tuple[int, Slot, list[FloatVector]]] = []
    gone = list(embedded.gone)
    for row, slot, vector, cue_vector in embedded.pairs():
        present = batch.slot(number, row)
        if present is None:
            gone.append(row)
        elif (present.content, present.cue) == (slot.content, slot.cue):
            cue = None if cue_vector is None else encode_vector(cue_vector, vector_type)
            generation = put_vectors(batch, generation, row, encode_vector(vector, vector_type), cue)
            stored.append((row, slot, [vector] if cue_vector is None else [vector, cue_vector]))
    for row in gone:
        batch.delete("stale", row_key(space, row))
    spaces.put(place, generation)
    vectors = [vector for _, _, each in stored for vector in each]
    return Embedded(
        [row for row, _, _ in stored],
        [slot for _, slot, _ in stored],
        np.stack(vectors) if vectors else np.empty((0, generation.dim), np.float32),
        gone,
    )


def drop_expired(store: SlotStore, run: Callable[[Callable[[WriteBatch], None]], object], now: int) -> None:
    """Let former generations go whose time is over."""
    with store.read() as view:
        due = [
            number
            for number, generations in all_generations(view)
            if generations.former is not None and generations.former.expires_at <= now
        ]

    def drop(batch: WriteBatch) -> None:
        for number in due:
            spaces = batch.spaces(number)
            former = spaces.generations.former
            if former is not None and former.expires_at <= now:
                spaces.put("former", None)
                batch.doom_space(former.space)

    if due:
        run(drop)


def _present(batch: WriteBatch, namespace: Namespace) -> Namespace:
    found = batch.namespace(namespace.number)
    if found is None:
        raise NamespaceNotFoundError(namespace.name)
    return found


def _at(generation: Generation | None, space: int) -> Generation:
    if generation is None or generation.space != space:
        raise AbortedError("the generation that was being made went meanwhile")
    return generation


def _ids(rows: Sequence[int]) -> NDArray[np.uint64]:
    return np.array(rows, np.uint64)
