"""The job "undo_deduplicate": brings absorbed slots back, those of one job or of one survivor, the last one first."""

from collections.abc import Callable, Sequence
from typing import Final

from adamem_server.embed.encoders import Encoders
from adamem_server.lifecycle.jobs import RunningJob
from adamem_server.memory.merging import RestoreJob, Vectors
from adamem_server.memory.registry import ShardRegistry
from adamem_server.memory.writer import Writer
from adamem_server.store.duplicates import absorbed_by, last_merge, merge
from adamem_server.store.jobs import put_checkpoint
from adamem_server.store.slot_store import SlotStore, WriteBatch
from adamem_server.types import Absorbed, DuplicatePair, JsonObject, Namespace

_CHUNK: Final = 50


class UndoDeduplicate:
    """Restores absorbed slots with their ids, times and vectors; their vectors are made anew if the model is another.

    The checkpoint is how many were restored, stored by the transactions that restore them. Left out are those whose
    survivor is gone, or whose id is in use again: a run that is taken up tries, and counts, all that are not restored.
    """

    name = "undo_deduplicate"
    unit = "slots"

    def __init__(
        self, store: SlotStore, writer: Writer, registry: ShardRegistry, encoders: Encoders, now: Callable[[], int]
    ) -> None:
        self._store = store
        self._writer = writer
        self._registry = registry
        self._encoders = encoders
        self._now = now

    def run(self, job: RunningJob) -> JsonObject:
        """See `JobKind.run`."""
        assert job.namespace is not None
        merged_by = str(job.params.get("job_id", ""))
        pairs = self._of_job(job.namespace, merged_by) if merged_by else self._of_slot(job)
        n_restored, n_left_out = int(job.checkpoint.get("n_restored", 0)), 0
        n_total = n_restored + len(pairs)
        for start in range(0, len(pairs), _CHUNK):
            chunk = pairs[start : start + _CHUNK]
            vectors = self._new_vectors(job.namespace, [pair for _, pair in chunk])

            def note(batch: WriteBatch, n_done: int, before: int = n_restored) -> None:
                put_checkpoint(batch, job.id, {"n_restored": before + n_done})

            restore = RestoreJob(
                self._registry, job.namespace, chunk, self._now(), merged_by=merged_by, new_vectors=vectors, note=note
            )
            done = self._writer.submit(restore).result()
            n_restored, n_left_out = n_restored + done.n_done, n_left_out + done.n_left_out
            job.progress(n_restored + n_left_out, n_total, checkpoint={"n_restored": n_restored})
        return {"n_restored": n_restored, "n_left_out": n_left_out}

    def _of_job(self, namespace: Namespace, job_id: str) -> list[tuple[int, DuplicatePair]]:
        """(n, pair) that a job merged, the last one first."""
        with self._store.read() as view:
            last = last_merge(view, namespace.number, job_id, dry_run=False)
            listed = ((n, merge(view, namespace.number, job_id, n)) for n in range(last, 0, -1))
            return [(n, pair) for n, pair in listed if pair is not None]

    def _of_slot(self, job: RunningJob) -> list[tuple[int, DuplicatePair]]:
        assert job.namespace is not None
        number, survivor_id = job.namespace.number, str(job.params["slot_id"])
        with self._store.read() as view:
            row = view.row(number, survivor_id)
            entries = [] if row is None else list(absorbed_by(view, number, row))
        return [
            (0, DuplicatePair(survivor_id, each.slot.id, each.match, each.similarity)) for _, each in reversed(entries)
        ]

    def _new_vectors(self, namespace: Namespace, pairs: Sequence[DuplicatePair]) -> dict[str, Vectors]:
        """Vectors of the slots that were absorbed under another model, by id, made by the one that serves."""
        stale: list[Absorbed] = []
        with self._store.read() as view:
            for pair in pairs:
                row = view.row(namespace.number, pair.survivor_id)
                entries = [] if row is None else [each for _, each in absorbed_by(view, namespace.number, row)]
                stale += [
                    each
                    for each in entries
                    if each.slot.id == pair.duplicate_id and each.model_fingerprint != namespace.model_fingerprint
                ]
        encoder = self._encoders.of(namespace.model, namespace.model_fingerprint)
        if not stale or encoder is None:
            return {}
        texts = [text for each in stale for text in (each.slot.content, each.slot.cue or each.slot.content)]
        made = encoder.embed_documents(texts)
        return {
            each.slot.id: (made[2 * place], made[2 * place + 1] if each.slot.cue else None)
            for place, each in enumerate(stale)
        }
