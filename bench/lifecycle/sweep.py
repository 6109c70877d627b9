"""Slots that expire together are swept while queries run: how much slower these are, and whether their room is reused.

Half of the slots that expire are in one namespace that is asked, beside slots that stay, the others in many that are
not open. All have vectors of their own, so that none is embedded. Rounds take turns: queries with nothing to do in the
background, then a part of the slots expires, and the same queries go on until it is swept. Each must have all of its
hits, and none that has expired. A last part is swept without queries; then slots are written again into the room.
"""

import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import partial
from itertools import product
from pathlib import Path

import numpy as np

import adamem
from bench.ingest import server

SIZES = {
    "sweep_slots": 100_000,
    "sweep_closed_namespaces": 100,
    "sweep_kept_slots": 10_000,
    "sweep_dim": 64,
    "sweep_rounds": 4,
    "sweep_quiet_s": 10,
}
OPEN = "sweep-open"
TOP_K = 10
# What expires in a round is told so long before, which must be enough to tell it; then it is waited for.
AHEAD_S = 3.0
TOUCHES_PER_S = 5_000
LOADED_PER_S = 6_000
# The threads of this process wait so long for each other at most: Python's own 5 ms would be the 99th percentile.
SWITCH_INTERVAL_S = 0.0005
# Words with frequencies as those of a language: some are in a sixth of the slots, most in few.
SYLLABLES = ("ka", "mo", "ri", "te", "su", "lan", "rok", "vin", "dar", "pel", "fo", "gim", "hul", "nes", "bot", "zay")
WORDS = ["".join(parts) for parts in product(SYLLABLES, SYLLABLES, SYLLABLES)]
FREQUENCIES = 1.0 / (10.0 + np.random.default_rng(3).permutation(len(WORDS)))
FREQUENCIES /= FREQUENCIES.sum()
# Asked are those that no small part of the slots lacks.
ASKED = np.argsort(-FREQUENCIES)[:50]
KEPT = "kept"


@dataclass
class Times:
    """Milliseconds that queries took, by their sort."""

    vector: list[float] = field(default_factory=list)
    words: list[float] = field(default_factory=list)

    def add(self, other: "Times") -> None:
        """Those of another time too."""
        self.vector += other.vector
        self.words += other.words

    def figures(self, when: str) -> dict[str, float]:
        """Percentiles and numbers."""
        return {
            f"sweep_{sort}_{when}_{name}": value
            for sort, each in (("vector", self.vector), ("words", self.words))
            for name, value in (
                ("p50_ms", float(np.percentile(each, 50))),
                ("p99_ms", float(np.percentile(each, 99))),
                ("n", float(len(each))),
            )
        }

    def p99_over(self, other: "Times") -> float:
        """The greater ratio of both sorts."""
        pairs = ((self.vector, other.vector), (self.words, other.words))
        return max(float(np.percentile(mine, 99) / np.percentile(theirs, 99)) for mine, theirs in pairs)


def figures(sizes: Mapping[str, int]) -> dict[str, float]:
    """See SIZES; `sweep_p99_ratio` is the greater of both sorts of queries, over all rounds."""
    interval = sys.getswitchinterval()
    sys.setswitchinterval(SWITCH_INTERVAL_S)
    try:
        return _measured(sizes)
    finally:
        sys.setswitchinterval(interval)


def _measured(sizes: Mapping[str, int]) -> dict[str, float]:
    with tempfile.TemporaryDirectory() as folder:
        options = ("--memory-budget-bytes", str(16 << 30))
        with server(Path(folder), *options) as (endpoint, _), adamem.Client(endpoint, timeout_s=600) as client:
            return _Sweeps(client, sizes).measure()


class _Sweeps:
    def __init__(self, client: adamem.Client, sizes: Mapping[str, int]) -> None:
        self.client = client
        self.sizes = sizes
        self.dim = sizes["sweep_dim"]
        # One part more is swept without queries.
        self.n_parts = sizes["sweep_rounds"] + 1
        self.closed = [f"sweep-closed-{i}" for i in range(sizes["sweep_closed_namespaces"])]
        self.n_open = max(TOP_K, sizes["sweep_slots"] // 2 // self.n_parts)
        self.n_closed = max(1, (sizes["sweep_slots"] // self.n_parts - self.n_open) // len(self.closed))
        self.n_part = self.n_open + self.n_closed * len(self.closed)
        self.n_kept = sizes["sweep_kept_slots"]
        self.asked = self._queries()
        self.loads: list[tuple[int, float]] = []

    def measure(self) -> dict[str, float]:
        """Load, rounds, and what is written again."""
        client, n_parts = self.client, self.n_parts
        for name in (OPEN, *self.closed):
            client.create_namespace(name, dim=self.dim, external_vectors=True)
        empty = client.server_info().data_bytes
        self._load(OPEN, self.n_kept, KEPT)
        for part in range(n_parts):
            self._load(OPEN, self.n_open, f"part-{part}")
        client.jobs.wait(client.lifecycle.compact(OPEN), timeout_s=3600)
        # The first question by words reads them.
        self._timed(_never, 1.0, n_gone=0)
        quiet, during = Times(), Times()
        ratios: list[float] = []
        swept_s: list[float] = []
        for part in range(n_parts):
            is_last = part == n_parts - 1
            before = Times() if is_last else self._timed(_never, self.sizes["sweep_quiet_s"], n_gone=part)
            self._expire(part)
            started = time.perf_counter()
            if is_last:
                while not self._is_swept(part):
                    time.sleep(0.05)
            else:
                after = self._timed(partial(self._is_swept, part), 3600, n_gone=part + 1)
                quiet.add(before)
                during.add(after)
                ratios.append(after.p99_over(before))
            swept_s.append(time.perf_counter() - started)
        n_open_closed = sum(client.get_namespace(name).open for name in self.closed)
        held = client.server_info().data_bytes
        self._load(OPEN, self.n_part, KEPT)
        grown = client.server_info().data_bytes - held
        bytes_each = (held - empty) / (self.n_kept + n_parts * self.n_open + self.n_closed * len(self.closed))
        n, s = (sum(each) for each in zip(*self.loads, strict=True))
        return {
            "sweep_p99_ratio": during.p99_over(quiet),
            "sweep_p99_ratio_worst_round": max(ratios),
            "sweep_slots_per_s": self.n_part * (n_parts - 1) / sum(swept_s[:-1]),
            "sweep_idle_slots_per_s": self.n_part / swept_s[-1],
            "sweep_pages_reused": 1.0 - grown / (bytes_each * self.n_part),
            "sweep_load_slots_per_s": n / s,
            "sweep_closed_that_were_opened": float(n_open_closed),
            **quiet.figures("quiet"),
            **during.figures("during"),
        }

    def _load(self, name: str, n: int, tag: str, expires_at: datetime | None = None) -> None:
        started = time.perf_counter()
        done = self.client.bulk_update(_items(n, tag, self.dim, expires_at), namespace=name)
        assert done.n_created == n, done.failures[:3]
        self.loads.append((n, time.perf_counter() - started))

    def _expire(self, part: int) -> None:
        """Let a part expire, of all namespaces at the same time, and wait for that."""
        n_closed = self.n_closed * len(self.closed)
        ahead_s = AHEAD_S + n_closed / LOADED_PER_S + self.n_open / TOUCHES_PER_S
        at = datetime.now(UTC) + timedelta(seconds=ahead_s)
        for name in self.closed:
            self._load(name, self.n_closed, f"part-{part}", at)
        touched = self.client.touch_slots(filter={"tags": f"part-{part}"}, expires_at=at, namespace=OPEN)
        assert touched.n_touched == self.n_open, touched
        assert datetime.now(UTC) < at, "too slow to load"
        while datetime.now(UTC) < at:
            time.sleep(0.01)

    def _is_swept(self, part: int) -> bool:
        n_left = self.n_kept + (self.n_parts - 1 - part) * self.n_open
        return self.client.get_namespace(OPEN).n_slots == n_left and not any(
            self.client.get_namespace(name).n_slots for name in self.closed
        )

    def _queries(self) -> Iterator[dict[str, object]]:
        """Without end: by vector and by words in turn."""
        rng = np.random.default_rng(7)
        while True:
            yield {"vector": rng.standard_normal(self.dim).astype(np.float32), "namespace": OPEN}
            words = rng.choice(ASKED, 3, replace=False)
            yield {"text": " ".join(WORDS[word] for word in words), "mode": "lexical", "namespace": OPEN}

    def _timed(self, is_done: Callable[[], bool], most_s: float, *, n_gone: int) -> Times:
        """Ask until it is done or the time is over; the first `n_gone` parts must not be found any more."""
        times = Times()
        gone = {f"part-{part}" for part in range(n_gone)}
        until, look_at = time.monotonic() + most_s, time.monotonic() + 0.5
        while time.monotonic() < until:
            if time.monotonic() >= look_at:
                if is_done():
                    break
                look_at = time.monotonic() + 0.5
            query = next(self.asked)
            started = time.perf_counter()
            result = self.client.query(top_k=TOP_K, **query)  # type: ignore[arg-type]
            (times.words if "text" in query else times.vector).append(1e3 * (time.perf_counter() - started))
            assert len(result) == TOP_K or (result and "text" in query), (query, len(result))
            assert not any(gone.intersection(hit.slot.tags) for hit in result), result
        return times


def _never() -> bool:
    return False


def _items(n: int, tag: str, dim: int, expires_at: datetime | None) -> Iterator[dict[str, object]]:
    rng = np.random.default_rng(n + sum(tag.encode()))
    for start in range(0, n, 1000):
        vectors = rng.standard_normal((min(1000, n - start), dim)).astype(np.float32)
        chosen = rng.choice(len(WORDS), (len(vectors), 12), p=FREQUENCIES)
        for i, vector in enumerate(vectors):
            text = " ".join(WORDS[word] for word in chosen[i])
            item = {"content": f"{text} {start + i}", "vector": vector, "tags": [tag]}
            yield item if expires_at is None else item | {"expires_at": expires_at}
