"""A namespace gets the vectors of another model while queries and writes go on: how fast, and what queries feel of it.

The other model is the bundled one with a shorter window: its vectors have another stamp, and cost as much to make.
"""

import json
import shutil
import tempfile
import threading
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Final

import numpy as np

import adamem
from adamem_server.embed.catalog import BUNDLED
from bench.ingest import server

SIZES: Final = {"reembed_slots": 20_000, "reembed_quiet_s": 10}

_MODEL: Final = "bench/short"
_WORDS: Final = 12
_WRITE_EVERY_S: Final = 0.05
_TOP_K: Final = 5


def figures(sizes: Mapping[str, int]) -> dict[str, float]:
    """Measure on one server of its own: `reembed_slots_per_s`, and p99 of queries beside it over that of quiet ones."""
    with tempfile.TemporaryDirectory() as folder:
        models = Path(folder) / "models"
        shutil.copytree(BUNDLED / "all-MiniLM-L6-v2", models / _MODEL)
        (models / _MODEL / "sentence_bert_config.json").write_text(json.dumps({"max_seq_length": 128}))
        with (
            server(Path(folder), "--models-dir", str(models)) as (endpoint, _),
            adamem.Client(endpoint, namespace="reembed", timeout_s=600) as client,
        ):
            return _measure(client, sizes["reembed_slots"], sizes["reembed_quiet_s"])


def _measure(client: adamem.Client, n_slots: int, quiet_s: int) -> dict[str, float]:
    client.bulk_update(_text(i) for i in range(n_slots))
    client.jobs.wait(client.lifecycle.compact(), timeout_s=None)
    client.query(_text(0), top_k=_TOP_K)
    quiet = _Load(client, n_slots)
    time.sleep(quiet_s)
    quiet_ms = quiet.stop()
    load = _Load(client, n_slots)
    started = time.perf_counter()
    done = client.jobs.wait(client.lifecycle.reembed(model=_MODEL), timeout_s=None)
    seconds = time.perf_counter() - started
    busy_ms = load.stop()
    assert done.result["model"] == _MODEL, done
    started = time.perf_counter()
    client.jobs.wait(client.lifecycle.reembed(rollback=True), timeout_s=None)
    return {
        "reembed_slots_per_s": done.result["n_slots"] / seconds,
        "reembed_query_p99_ratio": busy_ms / quiet_ms,
        "reembed_query_quiet_p99_ms": quiet_ms,
        "reembed_query_p99_ms": busy_ms,
        "reembed_writes_meanwhile": float(load.n_writes),
        "reembed_rollback_s": time.perf_counter() - started,
    }


class _Load:
    """Queries one after the other, and some writes; none may fail."""

    def __init__(self, client: adamem.Client, n_slots: int) -> None:
        self._client = client
        self._n_slots = n_slots
        self._stopped = threading.Event()
        self._times: list[float] = []
        self._problems: list[Exception] = []
        self.n_writes = 0
        self._threads = [threading.Thread(target=self._guarded, args=(work,)) for work in (self._ask, self._write)]
        for thread in self._threads:
            thread.start()

    def stop(self) -> float:
        """End; p99 of the queries in milliseconds."""
        self._stopped.set()
        for thread in self._threads:
            thread.join()
        if self._problems:
            raise self._problems[0]
        return float(np.percentile(self._times, 99))

    def _guarded(self, work: Callable[[], None]) -> None:
        try:
            work()
        except Exception as error:  # noqa: BLE001 - told by `stop`
            self._problems.append(error)

    def _ask(self) -> None:
        i = 0
        while not self._stopped.is_set():
            i += 1
            started = time.perf_counter()
            result = self._client.query(f"{_text(i % self._n_slots)} {i}", top_k=_TOP_K)
            self._times.append(1e3 * (time.perf_counter() - started))
            assert len(result) == _TOP_K, result

    def _write(self) -> None:
        while not self._stopped.wait(_WRITE_EVERY_S):
            self._client.update(_text(self._n_slots + self.n_writes))
            self.n_writes += 1


def _text(i: int) -> str:
    chosen = np.random.default_rng(i).integers(0, len(_VOCABULARY), _WORDS)
    return " ".join(_VOCABULARY[word] for word in chosen)


_VOCABULARY: Final = (  # noqa: SIM905 - words
    "ann bob kettle garden river letter train doctor winter paper window music bridge market ticket dinner cousin"
    " lamp stone cloud street basket engine pocket mirror carpet holiday teacher orange silver"
).split()
