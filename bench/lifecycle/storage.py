"""What a backup and an erasure cost: their rates, and what queries and writes feel of them."""

import json
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Final, TypeVar

import numpy as np

import adamem
from adamem_server.store.backup import restore_backup, verify_backup
from bench.ingest import server

SIZES: Final = {"storage_slots": 100_000, "storage_deleted": 1_000}

_DIM: Final = 384
# About a kilobyte.
_TEXT: Final = "It was agreed that the kettle is descaled with vinegar once a month, by turns. " * 12
_QUIET_S: Final = 5.0
_AT_ONCE: Final = 1000
_T = TypeVar("_T")


def figures(sizes: Mapping[str, int]) -> dict[str, float]:
    """Measure on one server of its own."""
    n_slots, n_deleted = sizes["storage_slots"], sizes["storage_deleted"]
    with (
        tempfile.TemporaryDirectory() as folder,
        server(Path(folder)) as (endpoint, _),
        adamem.Client(endpoint, namespace="storage", timeout_s=600) as client,
    ):
        client.create_namespace("storage", dim=_DIM, external_vectors=True, index_kind="qg")
        client.bulk_update(_slots(n_slots))
        _settle(client)
        quiet = _Times(client)
        time.sleep(_QUIET_S)
        quiet_query_ms, quiet_write_ms = quiet.stop()
        found, n_bytes = _measured(client, lambda: _backup(endpoint, Path(folder) / "backup"))
        measured = {
            "storage_backup_mb_per_s": n_bytes / 1e6 / found[0],
            "storage_backup_query_p99_ratio": found[1] / quiet_query_ms,
            "storage_backup_write_p99_ratio": found[2] / quiet_write_ms,
        }
        started = time.perf_counter()
        verify_backup(Path(folder) / "backup")
        measured["storage_verify_mb_per_s"] = n_bytes / 1e6 / (time.perf_counter() - started)
        started = time.perf_counter()
        restore_backup(Path(folder) / "backup", Path(folder) / "restored")
        measured["storage_restore_mb_per_s"] = n_bytes / 1e6 / (time.perf_counter() - started)
        ids = [slot.id for slot in client.list_slots_page(page_size=_AT_ONCE).slots]
        ids = ids[:n_deleted]
        started = time.perf_counter()
        client.delete_slots(ids[: len(ids) // 2])
        measured["storage_delete_s"] = time.perf_counter() - started
        found, result = _measured(client, lambda: client.delete_slots(ids[len(ids) // 2 :], erase=True))
        data_bytes = client.server_info().data_bytes
        assert result.receipt.erased_at is not None
        return measured | {
            "storage_data_mb": data_bytes / 1e6,
            "storage_erase_s": found[0],
            "storage_erase_mb_per_s": data_bytes / 1e6 / found[0],
            "storage_erase_query_p99_ratio": found[1] / quiet_query_ms,
            "storage_erase_write_p99_ratio": found[2] / quiet_write_ms,
            "storage_erase_write_max_ms": found[3],
            "storage_quiet_query_p99_ms": quiet_query_ms,
            "storage_quiet_write_p99_ms": quiet_write_ms,
        }


def _slots(n: int) -> Iterator[adamem.SlotInput]:
    rng = np.random.default_rng(5)
    for i in range(n):
        yield adamem.SlotInput(content=f"{i} {_TEXT}", vector=rng.standard_normal(_DIM).astype(np.float32))


def _backup(endpoint: str, path: Path) -> int:
    """By a process of its own, as a user does it; the size of the database in it."""
    command = [str(Path(sys.executable).with_name("adamem")), "--endpoint", endpoint, "--json", "backup", str(path)]
    return int(json.loads(subprocess.run(command, check=True, capture_output=True).stdout)["n_bytes"])


def _settle(client: adamem.Client) -> None:
    """Wait until the index has taken in all and is saved."""
    client.query(vector=np.ones(_DIM, np.float32))
    client.jobs.wait(client.lifecycle.compact("storage").id)


class _Times:
    """Times of queries and writes, one client each, until `stop`."""

    def __init__(self, client: adamem.Client) -> None:
        self._client = client
        self._stop = threading.Event()
        self.query_ms: list[float] = []
        self.write_ms: list[float] = []
        rng = np.random.default_rng(6)
        vectors = rng.standard_normal((100, _DIM)).astype(np.float32)
        self._threads = [
            threading.Thread(
                target=self._repeat, args=(self.query_ms, lambda i: client.query(vector=vectors[i % 100], top_k=10))
            ),
            threading.Thread(
                target=self._repeat, args=(self.write_ms, lambda i: client.update(_TEXT, vector=vectors[i % 100]))
            ),
        ]
        for thread in self._threads:
            thread.start()

    def _repeat(self, times: list[float], call: Callable[[int], object]) -> None:
        number = 0
        while not self._stop.is_set():
            started = time.perf_counter()
            call(number)
            times.append(1e3 * (time.perf_counter() - started))
            number += 1
            self._stop.wait(0.002)

    def stop(self) -> tuple[float, float]:
        """(p99 of queries, of writes) in milliseconds."""
        self._stop.set()
        for thread in self._threads:
            thread.join()
        return float(np.percentile(self.query_ms, 99)), float(np.percentile(self.write_ms, 99))


def _measured(client: adamem.Client, work: Callable[[], _T]) -> tuple[tuple[float, float, float, float], _T]:
    """((seconds, p99 of queries and of writes beside it, longest write) in milliseconds, what it returned)."""
    times = _Times(client)
    started = time.perf_counter()
    result = work()
    seconds = time.perf_counter() - started
    query_ms, write_ms = times.stop()
    return (seconds, query_ms, write_ms, max(times.write_ms)), result
