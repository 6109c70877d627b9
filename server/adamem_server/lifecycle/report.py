"""The job "report": what is wrong with a namespace or too much of it, how large it is, and what mends it.

    slots       every slot is read once, with its use, and what `SlotFinder` finds is counted
    duplicates  the search of the job "deduplicate", of which nothing is merged or listed
    rest        history, model, snapshots, index and data file: what is known in numbers
    sizes       the records of each table are counted

It changes nothing. Memory: that of `DuplicateSearch`, some 70 bytes a slot; the rest does not grow with the namespace.
Each step reads a view of its own: a view that lasted would keep LMDB from using freed pages again. So what is written
meanwhile may or may not be counted.
"""

import mmap
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from copy import deepcopy
from itertools import islice
from typing import Any, Final

from adamem_server.embed.encoders import Encoders
from adamem_server.errors import FailedPreconditionError, NamespaceNotFoundError
from adamem_server.lifecycle.duplicate_search import DuplicateSearch
from adamem_server.lifecycle.findings import (
    DEFAULT_EXAMPLES,
    DEFAULT_STALE_DAYS,
    FindingKind,
    SlotFinder,
    command_of,
    listed,
    superseded,
    told,
)
from adamem_server.lifecycle.jobs import RunningJob
from adamem_server.memory.parts import EngineParts
from adamem_server.memory.reading import find_namespace
from adamem_server.memory.registry import ShardRegistry
from adamem_server.store import codec, keys
from adamem_server.store.history import read_history
from adamem_server.store.sizes import measure, parts_of, used_bytes
from adamem_server.store.slot_store import ReadView, SlotStore
from adamem_server.store.snapshots import read_snapshots
from adamem_server.types import DuplicateKind, Job, JobState, JsonObject, Namespace

# Slots of one view: some five milliseconds of work.
_CHUNK: Final = 100
_RECORDS: Final = 2_000
_CHECKPOINT_EVERY_S: Final = 0.5
# Through the slots: one of its own, two of the search for duplicates.
_WALKS: Final = 3
_PHASES: Final = ("slots", "duplicates", "rest", "sizes")
_FREE_SHARE: Final = 0.1
_FREE_BYTES: Final = 1 << 20
_DUPLICATES: Final = {
    DuplicateKind.EXACT: FindingKind.EXACT_DUPLICATES,
    DuplicateKind.NEAR: FindingKind.NEAR_DUPLICATES,
}
_INDEX_FILES: Final = {".cue": "cue_index", ".lex": "lexical_index"}


class Report:
    """Looks through a namespace. The checkpoint is the phase, and all that was found before it or, of slots, in it.

    Cut short in the search for duplicates, that begins anew.
    """

    name = "report"
    unit = "slots"

    def __init__(self, store: SlotStore, registry: ShardRegistry, encoders: Encoders, now: Callable[[], int]) -> None:
        self._store = store
        self._registry = registry
        self._encoders = encoders
        self._now = now

    def run(self, job: RunningJob) -> JsonObject:
        """See `JobKind.run`."""
        assert job.namespace is not None
        return _Run(self._store, self._registry, self._encoders, self._now, job, job.namespace).result()


class Reports:
    """Reads reports, and the slots of their findings. Thread-safe; `job` gives a job, or raises JobNotFoundError."""

    def __init__(self, parts: EngineParts, job: Callable[[str], Job]) -> None:
        self._store = parts.store
        self._now = parts.now
        self._job = job

    def get(self, job_id: str) -> Job:
        """A job of this kind that has succeeded; its result is the report.

        Raises:
            JobNotFoundError.
            FailedPreconditionError: It is of another kind, or has not succeeded.
        """
        job = self._job(job_id)
        if job.kind != Report.name:
            raise FailedPreconditionError(f"job_id: job {job_id} is of the kind {job.kind!r}, not a report")
        if job.state is not JobState.SUCCEEDED:
            raise FailedPreconditionError(
                f"job_id: the report {job_id} is {job.state}: only one that succeeded is read"
            )
        return job

    def slots(
        self, namespace: str, kind: FindingKind, stale_days: int, *, page_size: int, after: bytes
    ) -> tuple[list[tuple[str, str]], bytes]:
        """(slot id, note) of the slots of a finding as they are now; see `listed`.

        Raises:
            NamespaceNotFoundError, InvalidArgumentError.
        """
        with self._store.read() as view:
            target = find_namespace(view, namespace)
            finder = SlotFinder(self._now(), stale_days)
            return listed(view, target, kind, finder, page_size=page_size, after=after)


class _Tally:
    """What is counted of each kind; goes into checkpoints as JSON."""

    def __init__(self, found: JsonObject, n_examples: int) -> None:
        self.found: dict[str, Any] = deepcopy(found)
        self._n_examples = n_examples

    def add(self, kind: FindingKind, example: tuple[str, str] | None, *, n: int = 1, n_bytes: int = 0) -> None:
        counted = self.found.setdefault(str(kind), {"n": 0, "n_bytes": 0, "examples": []})
        counted["n"] += n
        counted["n_bytes"] += n_bytes
        # Commands on snapshots name one, so that one is kept whatever is asked for.
        if example is not None and len(counted["examples"]) < max(self._n_examples, 1):
            counted["examples"].append(list(example))

    def forget(self, *kinds: FindingKind) -> None:
        for kind in kinds:
            self.found.pop(str(kind), None)


class _Run:
    """One run over one namespace."""

    def __init__(
        self,
        store: SlotStore,
        registry: ShardRegistry,
        encoders: Encoders,
        now: Callable[[], int],
        job: RunningJob,
        namespace: Namespace,
    ) -> None:
        self._store = store
        self._registry = registry
        self._encoders = encoders
        self._now = now
        self._job = job
        self._namespace = namespace
        self._stale_days = int(job.params.get("stale_days", DEFAULT_STALE_DAYS))
        self._n_examples = int(job.params.get("n_examples", DEFAULT_EXAMPLES))
        kept = job.checkpoint
        self._phase = str(kept.get("phase", _PHASES[0]))
        self._at = int(kept.get("at", 0)) or now()
        self._row, self._n_slots = int(kept.get("row", 0)), int(kept.get("n_slots", 0))
        self._n_total = 0
        self._tally = _Tally(kept.get("found", {}), self._n_examples)
        self._numbers: JsonObject = dict(kept.get("numbers", {}))
        self._finder = SlotFinder(self._at, self._stale_days)

    def result(self) -> JsonObject:
        steps = (self._slots, self._duplicates, self._rest)
        for phase, step in zip(_PHASES, steps, strict=False):
            if self._phase == phase:
                step()
                self._phase = _PHASES[_PHASES.index(phase) + 1]
                self._save()
        sizes = list(self._sizes())
        return {
            "namespace": self._namespace.name,
            "created_at": self._at,
            "stale_days": self._stale_days,
            "n_slots": self._n_slots,
            "findings": list(self._findings()),
            "sizes": sizes,
            "data_file": self._numbers["data_file"],
        }

    def _save(self) -> None:
        checkpoint: JsonObject = {
            "phase": self._phase,
            "at": self._at,
            "row": self._row,
            "n_slots": self._n_slots,
            "found": deepcopy(self._tally.found),
            "numbers": self._numbers,
        }
        self._job.progress(self._job.n_done, max(self._n_total, self._n_slots), checkpoint=checkpoint)

    def _slots(self) -> None:
        number = self._namespace.number
        vector_bytes = codec.vector_bytes(self._namespace.dim, self._namespace.vector_type)
        saved_at = time.monotonic()
        while True:
            with self._store.read() as view:
                n_total = view.head(number).n_slots
                start = keys.row_key(number, self._row + 1)
                page = list(islice(view.scan("slots", start, keys.number_key(number)), _CHUNK))
                for key, value in page:
                    self._row = keys.row_of(key)
                    slot = codec.decode_slot(value)
                    for kind, note in self._finder.find(slot, view.access(number, self._row)):
                        self._tally.add(kind, (slot.id, note), n_bytes=len(value) + vector_bytes)
            if not page:
                return
            self._n_slots += len(page)
            self._n_total = max(n_total, self._n_slots)
            self._job.walked(self._n_slots / self._n_total, self._n_total, n_walks=_WALKS)
            if time.monotonic() - saved_at >= _CHECKPOINT_EVERY_S:
                saved_at = time.monotonic()
                self._save()

    def _duplicates(self) -> None:
        self._tally.forget(*_DUPLICATES.values())
        search = DuplicateSearch(self._store, self._now, self._job, walk=1, n_walks=_WALKS)
        for pair in search.pairs():
            self._tally.add(_DUPLICATES[pair.match], (pair.duplicate_id, pair.survivor_id))

    def _rest(self) -> None:
        number, tally = self._namespace.number, self._tally
        with self._store.read() as view:
            namespace = self._current(view)
            self._model(view, namespace)
            history = read_history(view, number)
            for _, older, newer in islice(superseded(view, namespace), max(self._n_examples, 1)):
                tally.add(FindingKind.SUPERSEDED, (older, newer), n=0)
            if history.n_superseded:
                tally.add(FindingKind.SUPERSEDED, None, n=history.n_superseded)
            snapshots = [each for each in read_snapshots(view, number) if not (each.hidden or each.deleting)]
            used = used_bytes(view)
        for snapshot in snapshots:
            example = (snapshot.name, told(snapshot.created_at))
            if snapshot.model_fingerprint != namespace.model_fingerprint:
                tally.add(FindingKind.OTHER_MODEL_SNAPSHOTS, example)
            elif self._finder.is_stale(snapshot.created_at):
                tally.add(FindingKind.OLD_SNAPSHOTS, example)
        n_live = self._index()
        n_file = self._store.data_bytes()
        n_free = max(n_file - used, 0)
        if n_free >= max(_FREE_BYTES, _FREE_SHARE * n_file):
            tally.add(FindingKind.FREE_PAGES, None, n=n_free // mmap.PAGESIZE, n_bytes=n_free)
        self._numbers = {
            "data_file": {"n_bytes": n_file, "n_used_bytes": n_file - n_free, "n_free_bytes": n_free},
            "n_snapshots": len(snapshots),
            "n_versions": history.n_versions,
            "version_bytes": history.n_bytes,
            "n_live": n_live,
            "model": namespace.model,
        }

    def _current(self, view: ReadView) -> Namespace:
        """The namespace as it is now: another model may have taken over, or it may be gone."""
        namespace = view.namespace(self._namespace.number)
        if namespace is None:
            raise NamespaceNotFoundError(self._namespace.name)
        return namespace

    def _model(self, view: ReadView, namespace: Namespace) -> None:
        serving = self._encoders.serving.info
        n_slots = view.head(namespace.number).n_slots
        if namespace.model and namespace.model_fingerprint != serving.fingerprint and n_slots:
            self._tally.add(FindingKind.OTHER_MODEL, None, n=n_slots)

    def _index(self) -> int:
        """Counts what is deleted in the index of an open namespace; how many slots live in it."""
        shard = self._registry.find(self._namespace.number)
        if shard is None:
            return 0
        sizes = shard.sizes()
        if sizes["n_tombstones"]:
            self._tally.add(FindingKind.DELETED_IN_INDEX, None, n=sizes["n_tombstones"])
        return sizes["n_live"]

    def _sizes(self) -> Iterator[JsonObject]:
        with self._store.read() as view:
            namespace = self._current(view)
            parts = parts_of(view, namespace)
        for part in parts:
            n_records = n_bytes = 0
            after = b""
            while True:
                with self._store.read() as view:
                    n_more, more_bytes, after = measure(view, part, after, _RECORDS)
                n_records, n_bytes = n_records + n_more, n_bytes + more_bytes
                self._job.pace()
                if not after:
                    break
            if n_records:
                yield {"name": part.name, "n_records": n_records, "n_bytes": n_bytes}
        for file in self._registry.snapshot_files(namespace.number):
            name = _INDEX_FILES.get(file.suffix, "vector_index")
            prefix = "" if file.stem == str(namespace.vector_space) else "former_"
            # Saving an index puts another file in the place of the one that was found.
            with suppress(FileNotFoundError):
                yield {"name": f"{prefix}{name}_file", "n_records": 0, "n_bytes": file.stat().st_size}

    def _findings(self) -> Iterator[JsonObject]:
        for kind in FindingKind:
            counted = self._tally.found.get(str(kind))
            if counted is not None:
                examples = [(slot_id, note) for slot_id, note in counted["examples"]]
                yield {
                    "kind": str(kind),
                    "n": counted["n"],
                    "share": self._share(kind, counted),
                    "n_bytes": counted["n_bytes"],
                    "examples": [{"id": each, "note": note} for each, note in examples[: self._n_examples]],
                    "command": command_of(kind, self._namespace, self._stale_days, examples),
                    "detail": self._detail(kind),
                }

    def _share(self, kind: FindingKind, counted: JsonObject) -> float:
        numbers = self._numbers
        if kind is FindingKind.FREE_PAGES:
            return float(counted["n_bytes"] / numbers["data_file"]["n_bytes"])
        of_all = {
            FindingKind.OTHER_MODEL_SNAPSHOTS: numbers["n_snapshots"],
            FindingKind.OLD_SNAPSHOTS: numbers["n_snapshots"],
            FindingKind.SUPERSEDED: self._n_slots + counted["n"],
            FindingKind.DELETED_IN_INDEX: numbers["n_live"] + counted["n"],
        }.get(kind, self._n_slots)
        # Slots may have come or gone since they were counted.
        return min(counted["n"] / of_all, 1.0) if of_all else 1.0

    def _detail(self, kind: FindingKind) -> str:
        numbers = self._numbers
        if kind is FindingKind.OTHER_MODEL:
            return f"made by {numbers['model']}; this server embeds with {self._encoders.serving.info.name}"
        if kind is FindingKind.SUPERSEDED:
            return f"all {numbers['n_versions']:,} former versions of slots take {numbers['version_bytes']:,} bytes"
        return ""
