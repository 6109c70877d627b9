"""Jobs: they run, tell how far they are, are cancelled, and go on after a restart where they were."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from ulid import ULID

from adamem_server.errors import (
    InvalidArgumentError,
    JobNotFoundError,
    JobRunningError,
    NamespaceNotFoundError,
    RequestIdReusedError,
    ShuttingDownError,
    StorageFullError,
)
from adamem_server.lifecycle.job_runner import JobRunner
from adamem_server.lifecycle.jobs import JobSettings
from adamem_server.types import Job, JobState
from tests.unit.lifecycle.labs import QUICK, Counting, ended, runner
from tests.unit.memory.engines import Lab, key


@pytest.fixture
def lab(tmp_path: Path) -> Iterator[Lab]:
    lab = Lab(tmp_path)
    lab.put("anna", "tea", "coffee")
    yield lab
    lab.close()


def count(jobs: JobRunner, to: int = 3, namespace: str = "anna", request_id: str = "") -> Job:
    request = key(request_id) if request_id else None
    return jobs.submit("count", namespace=namespace, params={"to": to}, request=request)


def test_a_job_runs_and_its_record_stays(lab: Lab) -> None:
    with runner(lab, Counting()) as jobs:
        job = count(jobs)
        assert (job.state, job.kind, job.namespace, job.unit, job.created_at) == (
            JobState.QUEUED,
            "count",
            "anna",
            "numbers",
            lab.now,
        )
        done = ended(jobs, job)
        assert (done.state, done.result, done.n_done, done.n_total) == (JobState.SUCCEEDED, {"counted": 3}, 3, 3)
        assert done.started_at == done.finished_at == lab.now
    lab.restart()
    with runner(lab, Counting()) as jobs:
        assert jobs.get(job.id) == done


def test_what_is_unknown_is_refused(lab: Lab) -> None:
    with runner(lab, Counting()) as jobs:
        with pytest.raises(JobNotFoundError):
            jobs.get(str(ULID()))
        with pytest.raises(JobNotFoundError):
            jobs.cancel(str(ULID()))
        with pytest.raises(NamespaceNotFoundError):
            count(jobs, namespace="nobody")


def test_one_unfinished_job_of_a_kind_and_namespace(lab: Lab) -> None:
    lab.put("ben", "milk")
    kind = Counting()
    gate = kind.hold(1)
    with runner(lab, kind) as jobs:
        first = count(jobs)
        gate.wait_reached()
        with pytest.raises(JobRunningError, match=first.id) as refused:
            count(jobs)
        assert refused.value.metadata == {"kind": "count", "namespace": "anna", "job_id": first.id}
        other = count(jobs, namespace="ben")
        own = count(jobs, namespace="")
        with pytest.raises(JobRunningError, match="the server"):
            count(jobs, namespace="")
        gate.open()
        assert [ended(jobs, job).state for job in (first, other, own)] == [JobState.SUCCEEDED] * 3
        assert ended(jobs, count(jobs)).state is JobState.SUCCEEDED


def test_a_request_sent_again_is_answered_with_its_job(lab: Lab) -> None:
    with runner(lab, Counting()) as jobs:
        job = count(jobs, request_id="r")
        assert count(jobs, request_id="r").id == job.id
        ended(jobs, job)
        assert count(jobs, request_id="r").id == job.id
        with pytest.raises(RequestIdReusedError):
            jobs.submit("count", namespace="anna", params={"to": 1}, request=key("r", "other"))
        assert len(jobs.list(page_size=10)[0]) == 1


def test_watching_tells_every_state_once_and_ends(lab: Lab) -> None:
    kind = Counting()
    gate = kind.hold(2)
    with runner(lab, kind) as jobs:
        job = count(jobs)
        gate.wait_reached()
        seen = []
        for told in jobs.watch(job.id, is_wanted=lambda: True):
            seen.append((told.state, told.n_done))
            gate.open()
        assert seen[0] == (JobState.RUNNING, 2)
        assert seen[-1] == (JobState.SUCCEEDED, 3)
        assert list(jobs.watch(job.id, is_wanted=lambda: False)) == []


def test_a_running_job_is_cancelled_at_its_next_step(lab: Lab) -> None:
    kind = Counting()
    gate = kind.hold(1)
    with runner(lab, kind) as jobs:
        job = count(jobs)
        gate.wait_reached()
        asked = jobs.cancel(job.id)
        assert (asked.state, asked.cancelling) == (JobState.RUNNING, True)
        gate.open()
        done = ended(jobs, job)
        assert (done.state, done.n_done) == (JobState.CANCELLED, 2)
        assert jobs.cancel(job.id) == done


def test_a_waiting_job_is_cancelled_at_once(lab: Lab) -> None:
    kind = Counting()
    gate = kind.hold(0)
    with runner(lab, kind) as jobs:
        first, waiting = count(jobs), count(jobs, namespace="")
        gate.wait_reached()
        assert jobs.cancel(waiting.id).state is JobState.CANCELLED
        gate.open()
        assert ended(jobs, first).state is JobState.SUCCEEDED
        assert kind.begun == [0]


def test_a_job_goes_on_from_its_checkpoint_after_a_stop(lab: Lab) -> None:
    kind = Counting()
    gate = kind.hold(2)
    with runner(lab, kind) as jobs:
        job, waiting = count(jobs, 5), count(jobs, 1, namespace="")
        gate.wait_reached()
        jobs._unfinished[job.id].stop.set()
        gate.open()
    lab.restart()
    kind = Counting()
    with runner(lab, kind) as jobs:
        done = ended(jobs, job)
        assert kind.begun[0] == 3
        assert (done.state, done.n_resumes, done.result) == (JobState.SUCCEEDED, 1, {"counted": 5})
        assert ended(jobs, waiting).n_resumes == 0


def test_what_a_killed_server_leaves_is_taken_up(lab: Lab) -> None:
    """A record as a kill leaves it: running, or asked to stop, and nobody at work."""
    with runner(lab, Counting()) as jobs:
        done, other = ended(jobs, count(jobs)), ended(jobs, count(jobs, namespace=""))

    def leave(batch) -> bool:
        from adamem_server.store.jobs import put_job

        put_job(batch, replace(done, state=JobState.RUNNING, finished_at=0, checkpoint={"n": 2}, result={}))
        put_job(batch, replace(other, state=JobState.RUNNING, finished_at=0, cancelling=True))
        return True

    lab.store.write(leave)
    lab.restart()
    kind = Counting()
    with runner(lab, kind) as jobs:
        again = ended(jobs, done)
        assert (again.state, again.n_resumes, kind.begun) == (JobState.SUCCEEDED, 1, [2])
        assert jobs.get(other.id).state is JobState.CANCELLED


def test_what_a_job_fails_of_is_told(lab: Lab) -> None:
    kind = Counting()
    with runner(lab, kind) as jobs:
        kind.error = InvalidArgumentError("to", "is odd", limit="2")
        failed = ended(jobs, count(jobs))
        assert (failed.state, failed.error_reason, failed.error_message) == (
            JobState.FAILED,
            "INVALID_ARGUMENT",
            "to: is odd",
        )
        assert failed.error_metadata == {"field": "to", "limit": "2"}
        kind.error = RuntimeError("secret")
        failed = ended(jobs, count(jobs))
        assert (failed.error_reason, "secret" in failed.error_message) == ("INTERNAL", False)
        kind.error = None
        assert ended(jobs, count(jobs)).state is JobState.SUCCEEDED


def test_a_job_whose_namespace_or_kind_is_gone_fails(lab: Lab) -> None:
    kind = Counting()
    gate = kind.hold(0)
    with runner(lab, kind) as jobs:
        first, waiting = count(jobs, namespace=""), count(jobs)
        gate.wait_reached()
        lab.engine.delete_namespace("anna")
        jobs._unfinished[first.id].stop.set()
        gate.open()
        assert ended(jobs, waiting).error_reason == "NAMESPACE_NOT_FOUND"
    with runner(lab) as jobs:
        assert ended(jobs, first).error_reason == "FAILED_PRECONDITION"


def test_jobs_are_listed_the_newest_first_and_filtered(lab: Lab) -> None:
    lab.put("ben", "milk")
    with runner(lab, Counting()) as jobs:
        made = [ended(jobs, count(jobs, namespace=name)) for name in ("anna", "ben", "anna", "", "ben")]
        everything, after = jobs.list(page_size=5)
        assert (everything, after) == (made[::-1], "")
        pages, before = [], ""
        while True:
            page, before = jobs.list(page_size=2, before=before)
            pages.append(page)
            if not before:
                break
        assert [len(page) for page in pages] == [2, 2, 1]
        assert [job for page in pages for job in page] == made[::-1]
        assert jobs.list(namespace="ben", page_size=9)[0] == [made[4], made[1]]
        assert jobs.list(kind="other", page_size=9)[0] == []
        assert jobs.list(states=[JobState.FAILED], page_size=9)[0] == []
        assert len(jobs.list(states=[JobState.FAILED, JobState.SUCCEEDED], page_size=9)[0]) == 5


def test_ended_jobs_are_forgotten_by_number_and_by_age(lab: Lab) -> None:
    with runner(lab, Counting(), settings=JobSettings(cpu_share=1.0, max_finished=2, retention_s=60.0)) as jobs:
        made = [ended(jobs, count(jobs)) for _ in range(4)]
        assert jobs.list(page_size=9)[0] == made[:1:-1]
        lab.now += 61_000_000
        last = ended(jobs, count(jobs))
        assert jobs.list(page_size=9)[0] == [last]


def test_a_full_disk_refuses_a_job_and_ends_a_running_one(lab: Lab) -> None:
    kind = Counting()
    gate = kind.hold(1)
    with runner(lab, kind) as jobs:
        job = count(jobs)
        gate.wait_reached()
        lab.store.full = True
        with pytest.raises(StorageFullError):
            count(jobs, namespace="")
        gate.open()
        failed = ended(jobs, job)
        assert (failed.state, failed.error_reason) == (JobState.FAILED, "STORAGE_FULL")
        lab.store.full = False
    with runner(lab, Counting()) as jobs:
        # Its end could not be stored.
        assert ended(jobs, job).state is JobState.SUCCEEDED


def test_a_waiting_job_that_is_cancelled_on_a_full_disk_ends_for_who_watches_it(lab: Lab) -> None:
    kind = Counting()
    gate = kind.hold(0)
    with runner(lab, kind) as jobs:
        count(jobs)
        gate.wait_reached()
        waiting = count(jobs, namespace="")
        lab.store.full = True
        with pytest.raises(StorageFullError):
            jobs.cancel(waiting.id)
        assert ended(jobs, waiting).state is JobState.CANCELLED
        lab.store.full = False
        gate.open()


def test_watchers_are_let_go_and_nothing_starts_once_it_closes(lab: Lab) -> None:
    kind = Counting()
    gate = kind.hold(0)
    with runner(lab, kind) as jobs:
        job = count(jobs)
        gate.wait_reached()
        watch = jobs.watch(job.id, is_wanted=lambda: True)
        next(watch)
        jobs.drain()
        with pytest.raises(ShuttingDownError):
            next(watch)
        gate.open()
        ended_or_not = jobs.get(job.id)
        assert ended_or_not.id == job.id
    with pytest.raises(ShuttingDownError):
        count(jobs)


def test_jobs_wait_while_queries_run(lab: Lab) -> None:
    with runner(lab, Counting(), settings=QUICK) as jobs, lab.engine.parts.activity.counted():
        # They do not wait for ever.
        assert ended(jobs, count(jobs, 20)).state is JobState.SUCCEEDED
