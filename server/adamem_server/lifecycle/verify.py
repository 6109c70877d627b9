"""The job "verify": reads every slot of a namespace and checks that its records are whole and agree."""

import time
from typing import Final

from adamem_server.errors import NamespaceNotFoundError
from adamem_server.lifecycle.jobs import RunningJob
from adamem_server.store.slot_store import SlotStore
from adamem_server.store.verification import problems_of, rows_after
from adamem_server.types import JsonObject

# Some five milliseconds of work, in one read view: what is seen of a slot is of one moment.
_CHUNK: Final = 100
_CHECKPOINT_EVERY_S: Final = 0.5
_MAX_TOLD: Final = 100


class Verify:
    """Checks the stored slots; the checkpoint is the row reached, with what was found before it."""

    name = "verify"
    unit = "slots"

    def __init__(self, store: SlotStore) -> None:
        self._store = store

    def run(self, job: RunningJob) -> JsonObject:
        """See `JobKind.run`."""
        namespace = job.namespace
        assert namespace is not None
        row, n_slots, n_problems, told = 0, 0, 0, list[str]()
        if job.checkpoint:
            row, n_slots = job.checkpoint["row"], job.checkpoint["n_slots"]
            n_problems, told = job.checkpoint["n_problems"], list(job.checkpoint["problems"])
        saved_at = time.monotonic()
        while True:
            with self._store.read() as view:
                # As of this view: vectors of another model may serve since.
                present = view.namespace(namespace.number)
                if present is None:
                    raise NamespaceNotFoundError(namespace.name)
                n_total = view.head(namespace.number).n_slots
                rows = rows_after(view, namespace.number, row, _CHUNK)
                problems = [problem for each in rows for problem in problems_of(view, present, each)]
            if not rows:
                return {"n_slots": n_slots, "n_problems": n_problems, "problems": told}
            row, n_slots, n_problems = rows[-1], n_slots + len(rows), n_problems + len(problems)
            told += problems[: _MAX_TOLD - len(told)]
            checkpoint = None
            if time.monotonic() - saved_at >= _CHECKPOINT_EVERY_S:
                saved_at = time.monotonic()
                checkpoint = {"row": row, "n_slots": n_slots, "n_problems": n_problems, "problems": told}
            job.progress(n_slots, max(n_total, n_slots), checkpoint=checkpoint)
