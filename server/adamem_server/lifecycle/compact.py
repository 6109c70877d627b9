"""The job "compact": takes deleted slots out of a namespace's index now, and saves it."""

import time
from collections.abc import Callable
from typing import Final

from adamem_server.errors import ShardStaleError
from adamem_server.lifecycle.jobs import RunningJob
from adamem_server.memory.registry import ShardRegistry
from adamem_server.memory.shard import Shard
from adamem_server.types import JsonObject

_ROWS: Final = 64
# The index is saved on the way, so that a crash loses little; that shall take a tenth of the time at most.
_SAVE_EVERY_S: Final = 2.0
_WORK_PER_SAVE: Final = 10.0


class Compact:
    """Drives the index's own work to its end; the background does the same, where queries leave it time.

    The checkpoint is how much was done when the index was saved: it is opened in that state again.

    Args:
        registry: Where the shards are.
        save: Saves a shard's index.
    """

    name = "compact"
    unit = "rows"

    def __init__(self, registry: ShardRegistry, save: Callable[[Shard], None]) -> None:
        self._registry = registry
        self._save = save

    def run(self, job: RunningJob) -> JsonObject:
        """See `JobKind.run`."""
        assert job.namespace is not None
        with self._registry.use(job.namespace) as shard:
            before = job.checkpoint.get("before") or shard.sizes()
            n_done = int(job.checkpoint.get("n_done", 0))
            self._work(job, shard, before, n_done)
            self._save(shard)
            self._registry.measure(shard)
            after = shard.sizes()
        return {name: {"before": before[name], "after": after[name]} for name in ("n_tombstones", "memory_bytes")}

    def _work(self, job: RunningJob, shard: Shard, before: dict[str, int], n_done: int) -> None:
        saved_at, save_s = time.monotonic(), 0.0
        left = shard.maintain(0)
        while left:
            try:
                now_left = shard.maintain(_ROWS)
            except ShardStaleError:
                self._registry.discard(shard)
                raise
            # New writes bring new work: it is counted as it comes.
            n_done += max(left - now_left, 0)
            left = now_left
            checkpoint = None
            if time.monotonic() - saved_at >= max(_SAVE_EVERY_S, _WORK_PER_SAVE * save_s):
                started = time.monotonic()
                self._save(shard)
                saved_at = time.monotonic()
                save_s = saved_at - started
                checkpoint = {"n_done": n_done, "before": before}
            job.progress(n_done, n_done + left, checkpoint=checkpoint)
