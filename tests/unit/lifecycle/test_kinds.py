"""The kinds of jobs, on a real engine: what they find, what they change, where they go on."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from adamem_server.lifecycle import compact, verify
from adamem_server.lifecycle.compact import Compact
from adamem_server.lifecycle.job_runner import JobRunner
from adamem_server.lifecycle.jobs import JobKind
from adamem_server.lifecycle.verify import Verify
from adamem_server.store import keys
from adamem_server.types import Condition, IndexKind, Job, JobState, NamespaceSpec, Operator, SlotInput
from tests.patience import wait_until
from tests.unit.lifecycle.labs import Meanwhile, StoppedAtCheckpoint, ended, runner
from tests.unit.memory.engines import Lab

DIM = 16
N = 10_000
EVEN = Condition("tags", Operator.EQ, "even")


@pytest.fixture
def lab(tmp_path: Path) -> Iterator[Lab]:
    lab = Lab(tmp_path)
    yield lab
    lab.close()


def rest(lab: Lab) -> None:
    """End the background's own work, which does the same as a compaction."""
    maintenance = lab.engine.parts.maintenance
    maintenance._stop.set()
    maintenance._thread.join()


def compacting(lab: Lab) -> Compact:
    parts = lab.engine.parts
    return Compact(parts.registry, parts.maintenance.save)


def done(jobs: JobRunner, kind: str, namespace: str) -> Job:
    job = ended(jobs, jobs.submit(kind, namespace=namespace))
    assert job.state is JobState.SUCCEEDED, job
    return job


def stopped(lab: Lab, kind: JobKind, namespace: str) -> Job:
    """A job as it is when it was stopped at its first checkpoint."""
    with runner(lab, StoppedAtCheckpoint(kind)) as jobs:
        job = jobs.submit(kind.name, namespace=namespace)
        wait_until(lambda: bool(jobs.get(job.id).checkpoint))
    assert not jobs.get(job.id).ended
    return jobs.get(job.id)


def fill(lab: Lab, name: str, n: int, kind: IndexKind = IndexKind.HNSW) -> None:
    spec = NamespaceSpec(name=name, dim=DIM, external_vectors=True, index_kind=kind)
    lab.engine.create_namespace(spec)
    vectors = np.random.default_rng(n).standard_normal((n, DIM)).astype(np.float32)
    for start in range(0, n, 1000):
        part = vectors[start : start + 1000]
        items = [
            SlotInput(content=f"thing {start + i}", tags=("even" if i % 2 == 0 else "odd",), vector=vector)
            for i, vector in enumerate(part)
        ]
        lab.engine.update(name, items)


def test_a_whole_namespace_has_no_problems(lab: Lab) -> None:
    lab.put("anna", *(f"thing {n}" for n in range(250)), expires_at=lab.now + 1_000_000)
    lab.put("anna", "tea", cue="What does she drink?")
    with runner(lab, Verify(lab.store)) as jobs:
        job = done(jobs, "verify", "anna")
    assert job.result == {"n_slots": 251, "n_problems": 0, "problems": []}
    assert (job.n_done, job.n_total, job.unit) == (251, 251, "slots")


def test_damage_is_found_and_told(lab: Lab) -> None:
    ids = lab.put("anna", *(f"thing {n}" for n in range(5)), expires_at=lab.now + 1_000_000)
    with lab.store.read() as view:
        number = view.namespace_number("anna")
        rows = [view.row(number, each) for each in ids]

    def damage(batch) -> bool:
        batch.put("slots", keys.row_key(number, rows[0]), b"\x09")
        batch.delete("vectors", keys.row_key(number, rows[1]))
        batch.put("vectors", keys.row_key(number, rows[2]), b"abc")
        batch.delete("expiries", keys.expiry_key(number, lab.now + 1_000_000, rows[3]))
        batch.put("vectors", keys.row_key(number, rows[4]), np.full(64, np.nan, "<f4").tobytes())
        return True

    lab.store.write(damage)
    with runner(lab, Verify(lab.store)) as jobs:
        result = done(jobs, "verify", "anna").result
    assert (result["n_slots"], result["n_problems"]) == (5, 5)
    for place, words in enumerate(
        ("cannot be read", "no vector", "cannot be read", "among those that expire", "NaN or infinity")
    ):
        assert words in result["problems"][place]
        assert f"row {rows[place]}" in result["problems"][place]


def test_verifying_goes_on_where_it_was(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(verify, "_CHUNK", 10)
    monkeypatch.setattr(verify, "_CHECKPOINT_EVERY_S", 0.0)
    lab.put("anna", *(f"thing {n}" for n in range(100)))
    reached = stopped(lab, Verify(lab.store), "anna")
    assert (reached.n_done, reached.checkpoint["n_slots"]) == (10, 10)
    # What was read is not read again.
    lab.engine.delete_slots("anna", slot_ids=[view.slot.id for view in lab.slots("anna")[:10]])
    lab.restart()
    with runner(lab, Verify(lab.store)) as jobs:
        again = ended(jobs, reached)
    assert (again.result["n_slots"], again.n_resumes) == (100, 1)


def test_a_namespace_that_is_deleted_while_it_is_verified_is_not_damaged(
    lab: Lab, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(verify, "_CHUNK", 10)
    lab.put("anna", *(f"thing {n}" for n in range(100)))
    kind = Meanwhile(Verify(lab.store), lambda: lab.engine.delete_namespace("anna"))
    with runner(lab, kind) as jobs:
        job = ended(jobs, jobs.submit("verify", namespace="anna"))
    assert (job.state, job.error_reason) == (JobState.FAILED, "NAMESPACE_NOT_FOUND")


@pytest.mark.parametrize("kind", [IndexKind.HNSW, IndexKind.QG, IndexKind.FLAT, IndexKind.PQ])
def test_compacting_takes_deleted_slots_out_of_the_index(lab: Lab, kind: IndexKind) -> None:
    fill(lab, "world", N, kind)
    rest(lab)
    with lab.engine.parts.registry.use(lab.engine.get_namespace("world").namespace) as shard:
        while shard.maintain(1000):
            pass
        assert lab.engine.delete_slots("world", filter=EVEN).n_deleted == N // 2
        before = shard.sizes()
        with runner(lab, compacting(lab)) as jobs:
            job = done(jobs, "compact", "world")
        after = shard.sizes()
        assert shard.maintain(0) == 0
    assert job.result == {
        name: {"before": before[name], "after": after[name]} for name in ("n_tombstones", "memory_bytes")
    }
    # Some are left alone: fewer than one in 25 nodes.
    assert after["n_tombstones"] <= max(32, N // 25)
    info = lab.engine.get_namespace("world")
    assert info.snapshot_sequence == info.sequence
    with runner(lab, compacting(lab)) as jobs:
        assert done(jobs, "compact", "world").n_done == 0


def test_compacting_goes_on_from_what_was_saved(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(compact, "_SAVE_EVERY_S", 0.0)
    monkeypatch.setattr(compact, "_WORK_PER_SAVE", 0.0)
    fill(lab, "world", N)
    rest(lab)
    with lab.engine.parts.registry.use(lab.engine.get_namespace("world").namespace) as shard:
        while shard.maintain(1000):
            pass
    lab.engine.delete_slots("world", filter=EVEN)
    reached = stopped(lab, compacting(lab), "world")
    assert reached.checkpoint["before"]["n_tombstones"] == N // 2
    lab.restart()
    rest(lab)
    with runner(lab, compacting(lab)) as jobs:
        again = ended(jobs, reached)
    assert again.state is JobState.SUCCEEDED
    assert again.result["n_tombstones"]["before"] == N // 2
    assert again.result["n_tombstones"]["after"] <= N // 25
    assert again.n_done >= reached.n_done


def test_an_empty_namespace_has_nothing_to_verify_or_compact(lab: Lab) -> None:
    lab.engine.create_namespace(NamespaceSpec(name="empty"))
    with runner(lab, Verify(lab.store), compacting(lab)) as jobs:
        assert done(jobs, "verify", "empty").result["n_slots"] == 0
        assert done(jobs, "compact", "empty").result["n_tombstones"] == {"before": 0, "after": 0}
