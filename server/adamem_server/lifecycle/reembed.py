"""The job "reembed": gives a namespace the vectors of another model, beside those that serve until all are there.

    walk     every slot that the new generation lacks is embedded and stored, in the order of rows
    index    what is stored is put into new indexes, and linked
    follow   what was written meanwhile is embedded, again and again, until little is left
    switch   one transaction embeds the rest and lets the new generation serve; the open shard is swapped
    facts    what newer facts superseded is embedded, so that it comes back when these go

A rollback begins at `index`, with the former generation, which has marks of all that was written since.
"""

import time
from collections import deque
from collections.abc import Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from typing import Final

import numpy as np
import structlog

from adamem_server.embed.batcher import EmbedBatcher
from adamem_server.errors import DataCorruptError, FailedPreconditionError, ModelMismatchError
from adamem_server.lifecycle.jobs import RunningJob
from adamem_server.lifecycle.superseded_vectors import embed_superseded
from adamem_server.memory.generations import (
    LAST_ROWS,
    BeginJob,
    DropNextJob,
    Embedded,
    GenerationIndex,
    KeepFormerJob,
    Place,
    StoreVectorsJob,
    Switched,
    SwitchJob,
    Unready,
    texts_of,
)
from adamem_server.memory.parts import EngineParts
from adamem_server.memory.reading import find_namespace
from adamem_server.memory.shard import checked_params
from adamem_server.store.archive import archived_rows
from adamem_server.store.codec import Generation
from adamem_server.store.generations import lacks, read_generations, stale_rows, vectors_after
from adamem_server.store.keys import MAX_ROW
from adamem_server.store.slot_store import ReadView
from adamem_server.store.verification import rows_after
from adamem_server.types import FloatVector, Job, JsonObject, Namespace, Slot

# Slots that are embedded together: some 100 ms of a core. Two such chunks are under way, so that the encoder has work
# while one is stored.
_CHUNK: Final = 32
_AHEAD: Final = 2
_INDEX_CHUNK: Final = 256
_LINK_ROWS: Final = 64
_CHECKPOINT_EVERY_S: Final = 0.5
# Where what is stale shrinks by less than this from one round to the next, the switch embeds more of it itself.
_SHRINKS: Final = 2
_MAX_WALKS: Final = 3
# A switch waits for a package that is being merged: so often it is tried.
_BUSY_S: Final = 0.05
_US: Final = 1_000_000

_log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class _Target:
    """Where a run puts vectors, and what makes them."""

    namespace: Namespace
    place: Place
    generation: Generation
    encoder: EmbedBatcher

    @property
    def space(self) -> int:
        return self.generation.space


class Reembed:
    """Changes the model of a namespace, or takes the change back.

    The checkpoint is the space and the row that the walk has reached: what is stored is not embedded again.

    Args:
        parts: Of the engine.
        keep_former_s: How long the generation that served before a switch is kept.
    """

    name = "reembed"
    unit = "slots"

    def __init__(self, parts: EngineParts, keep_former_s: float) -> None:
        self._parts = parts
        self._keep_former_us = int(keep_former_s * _US)

    def check(self, namespace: str, model: str, *, rollback: bool) -> None:
        """Refuse what would fail at once; an encoder that is not held yet is loaded.

        Raises:
            NamespaceNotFoundError, ModelNotFoundError, ModelFileMissingError, ModelError.
            FailedPreconditionError: Its vectors are its clients', this model has made them, or none are kept.
        """
        with self._parts.store.read() as view:
            target = find_namespace(view, namespace)
            former = read_generations(view, target.number).former
        self._check(target, model, former, rollback=rollback)

    def run(self, job: RunningJob) -> JsonObject:
        """See `JobKind.run`."""
        namespace = job.namespace
        assert namespace is not None
        rollback = bool(job.params["rollback"])
        if job.checkpoint.get("space") == namespace.vector_space:
            # It ended between the switch and the record of its end.
            encoder = self._parts.encoders.of(namespace.model, namespace.model_fingerprint)
            if encoder is not None:
                embed_superseded(self._parts, namespace, encoder, job.pace)
            return self._ended(namespace, int(job.checkpoint["n_done"]))
        target = self._target(job, namespace, str(job.params["model"]), rollback=rollback)
        n_done = 0 if rollback else self._walk(job, target)
        with self._parts.registry.use(namespace):
            # Kept open, so that there is a shard to swap.
            index = self._index(job, target)
            switched, n_followed = self._switch(job, target, index)
        self._learn(namespace, switched.namespace, rollback=rollback)
        embed_superseded(self._parts, switched.namespace, target.encoder, job.pace)
        return self._ended(switched.namespace, n_done + n_followed)

    def abandon(self, job: Job) -> None:
        """See `AbandonableKind.abandon`: what was made of the next generation goes; the one that serves stays."""
        self._parts.writer.submit(DropNextJob(job.namespace_number, job.id)).result()

    def _check(self, namespace: Namespace, model: str, former: Generation | None, *, rollback: bool) -> EmbedBatcher:
        if not namespace.model:
            raise FailedPreconditionError(
                f"the vectors of namespace {namespace.name!r} are supplied by its clients: no model has made them, and"
                " none can take their place",
                namespace=namespace.name,
            )
        if not rollback:
            encoder = self._parts.encoders.named(model)
            if encoder.info.fingerprint == namespace.model_fingerprint:
                raise FailedPreconditionError(
                    f"model: namespace {namespace.name!r} is embedded by {encoder.info.name!r} already",
                    namespace=namespace.name,
                    model=encoder.info.name,
                )
            checked_params(encoder.info.dim, namespace.index_params, namespace.index_kind)
            return encoder
        if former is None or (former.expires_at <= self._parts.now()):
            raise FailedPreconditionError(
                f"rollback: no former vectors of namespace {namespace.name!r} are kept", namespace=namespace.name
            )
        found = self._parts.encoders.of(former.model, former.model_fingerprint)
        if found is None:
            serving = self._parts.encoders.serving.info.name
            raise ModelMismatchError(namespace.name, former.model, serving)
        return found

    def _target(self, job: RunningJob, namespace: Namespace, model: str, *, rollback: bool) -> _Target:
        parts = self._parts
        with parts.store.read() as view:
            former = read_generations(view, namespace.number).former
        encoder = self._check(namespace, model, former, rollback=rollback)
        place: Place = "former" if rollback else "next"
        if rollback:
            generation = parts.writer.submit(KeepFormerJob(namespace, parts.now() + self._keep_former_us)).result()
        else:
            generation = parts.writer.submit(BeginJob(namespace, encoder.info, job.id)).result()
        if generation is None or generation.model_fingerprint != encoder.info.fingerprint:
            raise FailedPreconditionError(f"the vectors that namespace {namespace.name!r} kept went meanwhile")
        if job.checkpoint.get("space") != generation.space:
            job.progress(0, self._n_slots(namespace), checkpoint=_checkpoint(generation, 0, 0))
        return _Target(namespace, place, generation, encoder)

    def _walk(self, job: RunningJob, target: _Target) -> int:
        """Embed all slots from the checkpoint on; how many slots it has come by."""
        number = target.namespace.number
        row, n_done = int(job.checkpoint["row"]), int(job.checkpoint["n_done"])
        with self._parts.store.read() as view:
            # What is stored from now on is marked, and followed.
            last = view.head(number).next_row - 1
        under_way: deque[tuple[int, int, Embedding]] = deque()
        saved_at = time.monotonic()
        is_over = False
        while under_way or not is_over:
            if not is_over:
                with self._parts.store.read() as view:
                    rows = rows_after(view, number, row, _CHUNK)
                    read = _read(view, number, lacks(view, target.space, rows))
                is_over = not rows or rows[-1] >= last
                if rows:
                    row = rows[-1]
                    under_way.append((row, len(rows), Embedding(target.encoder, read)))
            if under_way and (is_over or len(under_way) >= _AHEAD):
                reached, n_rows, embedding = under_way.popleft()
                self._store(target, embedding.result())
                n_done += n_rows
                checkpoint = None
                if time.monotonic() - saved_at >= _CHECKPOINT_EVERY_S:
                    saved_at = time.monotonic()
                    checkpoint = _checkpoint(target.generation, reached, n_done)
                job.progress(n_done, max(n_done, self._n_slots(target.namespace)), checkpoint=checkpoint)
        job.progress(n_done, n_done, checkpoint=_checkpoint(target.generation, row, n_done))
        return n_done

    def _index(self, job: RunningJob, target: _Target) -> GenerationIndex:
        """The indexes of what is stored; what changes meanwhile is marked, and followed later."""
        namespace, generation = target.namespace, target.generation
        index = GenerationIndex(namespace, generation.dim)
        for of, add in (("vectors", index.add), ("cue_vectors", index.add_cues)):
            row = 0
            while True:
                with self._parts.store.read() as view:
                    rows, vectors = vectors_after(
                        view,
                        generation,
                        namespace.vector_type,
                        row,
                        _INDEX_CHUNK,
                        of="vectors" if of == "vectors" else "cue_vectors",
                    )
                    found = ~np.isin(rows, archived_rows(view, namespace.number))
                if not rows:
                    break
                if found.any():
                    add(np.array(rows)[found].tolist(), vectors[found])
                row = rows[-1]
                job.pace()
        while index.maintain(_LINK_ROWS):
            job.pace()
        return index

    def _switch(self, job: RunningJob, target: _Target, index: GenerationIndex) -> tuple[Switched, int]:
        """Follow the writes and switch; how many slots were followed."""
        n_followed = n_walks = n_before = 0
        most = LAST_ROWS
        while True:
            n_stale = self._n_stale(target)
            if n_stale > most:
                if 0 < n_before < _SHRINKS * n_stale:
                    # Writes come about as fast as they can be followed.
                    most *= 2
                n_before = n_stale
                n_followed += self._follow(job, target, index, n_stale)
                continue
            switched = self._parts.writer.submit(self._switch_job(target, index, most)).result()
            if isinstance(switched, Switched):
                return switched, n_followed + len(switched.last.rows)
            job.pace()
            if switched is Unready.BUSY:
                time.sleep(_BUSY_S)
            elif switched is Unready.INCOMPLETE:
                n_walks += 1
                if n_walks == _MAX_WALKS:
                    raise DataCorruptError(f"slots of namespace {target.namespace.name!r} stay without a vector")
                self._fill(job, target, index)

    def _switch_job(self, target: _Target, index: GenerationIndex, most: int) -> SwitchJob:
        now = self._parts.now()
        return SwitchJob(
            self._parts.registry,
            target.namespace,
            target.place,
            target.space,
            index,
            target.encoder.embed_documents,
            expires_at=now + self._keep_former_us if self._keep_former_us else 0,
            now=now,
            most=most,
        )

    def _follow(self, job: RunningJob, target: _Target, index: GenerationIndex, n_rows: int) -> int:
        """Embed what was written last, `n_rows` or a few more; of how many slots."""
        number, n_read, n_embedded = target.namespace.number, 0, 0
        while n_read < n_rows:
            with self._parts.store.read() as view:
                read = _read(view, number, stale_rows(view, target.space, _CHUNK))
            if not read:
                break
            stored = self._store(target, Embedding(target.encoder, read).result())
            index.take(stored)
            n_read += len(read)
            n_embedded += len(stored.rows)
            job.pace()
        return n_embedded

    def _fill(self, job: RunningJob, target: _Target, index: GenerationIndex) -> None:
        """Embed every slot that the generation lacks, marked or not."""
        row, number = 0, target.namespace.number
        while True:
            with self._parts.store.read() as view:
                rows = rows_after(view, number, row, _CHUNK)
                read = _read(view, number, lacks(view, target.space, rows))
            if not rows:
                return
            row = rows[-1]
            if read:
                index.take(self._store(target, Embedding(target.encoder, read).result()))
            job.pace()

    def _store(self, target: _Target, embedded: Embedded) -> Embedded:
        if not embedded.rows and not embedded.gone:
            return embedded
        job = StoreVectorsJob(target.namespace, target.place, target.space, embedded)
        return self._parts.writer.submit(job).result()

    def _n_stale(self, target: _Target) -> int:
        with self._parts.store.read() as view:
            return len(stale_rows(view, target.space, MAX_ROW))

    def _learn(self, before: Namespace, after: Namespace, *, rollback: bool) -> None:
        """An adapter belongs to its model: it is trained anew from the pairs that taught it, in the background."""
        if before.adapter_version and before.adapter_enabled and not (rollback and after.adapter_version):
            self._parts.learner.train(after.number)
        else:
            self._parts.learner.notice(after.number)

    def _n_slots(self, namespace: Namespace) -> int:
        with self._parts.store.read() as view:
            return view.head(namespace.number).n_slots

    def _ended(self, namespace: Namespace, n_embedded: int) -> JsonObject:
        with self._parts.store.read() as view:
            n_slots = view.head(namespace.number).n_slots
            former = read_generations(view, namespace.number).former
        _log.info("reembedded", namespace=namespace.name, model=namespace.model, dim=namespace.dim, n_slots=n_slots)
        return {
            "model": namespace.model,
            "model_fingerprint": namespace.model_fingerprint,
            "dim": namespace.dim,
            "n_slots": n_slots,
            "n_embedded": n_embedded,
            "former_model": "" if former is None else former.model,
            "former_kept_s": 0.0 if former is None else max(0.0, (former.expires_at - self._parts.now()) / _US),
        }


class Embedding:
    """Texts of slots on their way to being vectors."""

    def __init__(self, encoder: EmbedBatcher, read: Sequence[tuple[int, Slot | None]]) -> None:
        there = [(row, slot) for row, slot in read if slot is not None]
        self._rows = [row for row, _ in there]
        self._slots = [slot for _, slot in there]
        self._gone = [row for row, slot in read if slot is None]
        self._vectors: Future[FloatVector] = encoder.submit_documents(texts_of(self._slots))

    def result(self) -> Embedded:
        """Wait for them."""
        return Embedded(self._rows, self._slots, self._vectors.result(), self._gone)


def _read(view: ReadView, number: int, rows: Sequence[int]) -> list[tuple[int, Slot | None]]:
    return [(row, view.slot(number, row)) for row in rows]


def _checkpoint(generation: Generation, row: int, n_done: int) -> JsonObject:
    return {"space": generation.space, "row": row, "n_done": n_done}
