"""The job "deduplicate": finds duplicates among what is stored and merges them, or lists what it would merge.

Memory: that of `DuplicateSearch`. A run that was cut short begins anew, and finds what is not merged yet.
"""

from collections.abc import Callable, Sequence
from typing import Final

from adamem_server.lifecycle.duplicate_search import DuplicateSearch
from adamem_server.lifecycle.jobs import RunningJob
from adamem_server.lifecycle.transaction import write
from adamem_server.memory.merging import MergeJob
from adamem_server.memory.registry import ShardRegistry
from adamem_server.memory.writer import Writer
from adamem_server.policies import ScopeField
from adamem_server.store.duplicates import clear_dry_runs, last_merge, merges, put_merge
from adamem_server.store.slot_store import SlotStore, WriteBatch
from adamem_server.types import DuplicateKind, DuplicatePair, JsonObject, Namespace

# Pairs of one transaction.
_MERGES: Final = 50
_LISTED: Final = 500


class Deduplicate:
    """Finds and merges duplicates. The pairs are listed under the job's id, in the order of their survivors' rows."""

    name = "deduplicate"
    unit = "slots"

    def __init__(self, store: SlotStore, writer: Writer, registry: ShardRegistry, now: Callable[[], int]) -> None:
        self._store = store
        self._writer = writer
        self._registry = registry
        self._now = now

    def run(self, job: RunningJob) -> JsonObject:
        """See `JobKind.run`."""
        assert job.namespace is not None
        run = _Run(self._store, self._writer, self._registry, self._now, job, job.namespace)
        return run.result()


class _Run:
    """One run over one namespace."""

    def __init__(
        self,
        store: SlotStore,
        writer: Writer,
        registry: ShardRegistry,
        now: Callable[[], int],
        job: RunningJob,
        namespace: Namespace,
    ) -> None:
        self._store = store
        self._writer = writer
        self._registry = registry
        self._now = now
        self._job = job
        self._namespace = namespace
        params = job.params
        self._dry_run = bool(params.get("dry_run"))
        threshold = params.get("threshold")
        self._search = DuplicateSearch(
            store,
            now,
            job,
            exact_only=bool(params.get("exact_only")),
            threshold=None if threshold is None else float(threshold),
            scope=tuple(map(ScopeField, params.get("scope") or ())),
        )
        self._n_left_out = 0

    def result(self) -> JsonObject:
        if self._dry_run:
            while not write(self._writer, lambda batch: clear_dry_runs(batch, self._namespace.number, _LISTED)):
                self._job.pace()
        pairs: list[DuplicatePair] = []
        for pair in self._search.pairs():
            pairs.append(pair)
            if len(pairs) == _MERGES:
                self._settle(pairs)
                pairs = []
        self._settle(pairs)
        found = dict.fromkeys(DuplicateKind, 0)
        with self._store.read() as view:
            for _, pair in merges(view, self._namespace.number, self._job.id, dry_run=self._dry_run):
                found[pair.match] += 1
        return {
            "dry_run": self._dry_run,
            "n_slots": self._search.n_scanned,
            "n_duplicates": sum(found.values()),
            "n_exact": found[DuplicateKind.EXACT],
            "n_near": found[DuplicateKind.NEAR],
            "n_left_out": self._n_left_out,
        }

    def _settle(self, pairs: Sequence[DuplicatePair]) -> None:
        """Merge pairs, or list them."""
        if not pairs:
            return
        number, job_id = self._namespace.number, self._job.id
        if self._dry_run:

            def put(batch: WriteBatch) -> None:
                n = last_merge(batch, number, job_id, dry_run=True)
                for place, pair in enumerate(pairs, n + 1):
                    put_merge(batch, number, job_id, place, pair, dry_run=True)

            write(self._writer, put)
            return
        merge = MergeJob(
            self._registry,
            self._namespace,
            pairs,
            self._now(),
            job_id=job_id,
            threshold=self._search.threshold,
            scope=self._search.scope,
        )
        self._n_left_out += self._writer.submit(merge).result().n_left_out
