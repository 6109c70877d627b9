"""When a namespace is consolidated by itself: after so many slots, after so much time, at a quiet moment."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from adamem_server.errors import JobRunningError
from adamem_server.lifecycle.consolidate import Consolidate
from adamem_server.lifecycle.schedule import Schedule, is_due
from adamem_server.policies import ConsolidationPolicy, ConsolidationPolicyChange
from adamem_server.store.codec import Head
from adamem_server.store.summaries import Consolidated, read_consolidated
from adamem_server.types import Job
from tests.unit.lifecycle.labs import ended, runner
from tests.unit.memory.engines import Lab
from tests.unit.memory.support import PLAN

HOUR = 3_600_000_000
TEA = [f"Ann likes {colour} tea" for colour in ("green", "black", "white")]


@pytest.fixture
def lab(tmp_path: Path) -> Iterator[Lab]:
    lab = Lab(tmp_path)
    yield lab
    lab.close()


def due(policy: ConsolidationPolicy, head: Head, last: Consolidated, now: int) -> bool:
    from dataclasses import replace

    return is_due(replace(PLAN, consolidation=policy), last, head, now)


def test_what_is_due() -> None:
    last = Consolidated(time=HOUR, next_row=10, sequence=5)
    nothing, something = Head(sequence=5, next_row=10), Head(sequence=6, next_row=12)
    assert not due(ConsolidationPolicy(), something, last, 99 * HOUR)
    assert not due(ConsolidationPolicy(after_slots=3), something, last, 99 * HOUR)
    assert due(ConsolidationPolicy(after_slots=2), something, last, HOUR)
    assert not due(ConsolidationPolicy(every=HOUR), nothing, last, 99 * HOUR)
    assert not due(ConsolidationPolicy(every=HOUR), something, last, 2 * HOUR - 1)
    assert due(ConsolidationPolicy(every=HOUR), something, last, 2 * HOUR)


class Started:
    """What a schedule started, carried out at once."""

    def __init__(self, lab: Lab) -> None:
        self.lab = lab
        self.jobs: list[Job] = []
        self.refuses = False
        parts = lab.engine.parts
        self.schedule = Schedule(parts.store, parts.activity, self.submit, now=lambda: lab.now)

    def submit(self, name: str) -> Job:
        if self.refuses:
            raise JobRunningError(name, "consolidate", "01ARZ3NDEKTSV4RRFFQ69G5FAV")
        with runner(self.lab, Consolidate(self.lab.engine.parts, None, 65_536)) as jobs:
            self.jobs.append(ended(jobs, jobs.submit("consolidate", namespace=name)))
        return self.jobs[-1]


def test_it_starts_what_is_due_once(lab: Lab) -> None:
    started = Started(lab)
    lab.put("ns", *TEA)
    lab.put("other", *TEA)
    started.schedule.step()
    assert started.jobs == []
    change = ConsolidationPolicyChange(after_slots=3)
    lab.engine.update_namespace("ns", description=None, ef_search=None, consolidation=change)
    started.refuses = True
    started.schedule.step()
    started.refuses = False
    started.schedule.step()
    (job,) = started.jobs
    assert (job.namespace, job.result["n_summaries"]) == ("ns", 1)
    # What it wrote itself is nothing new, also for a server that starts anew.
    for _ in range(2):
        started.schedule.step()
        lab.restart()
        started = Started(lab)
    assert started.jobs == []
    lab.put("ns", *(text + " now" for text in TEA))
    started.schedule.step()
    assert len(started.jobs) == 1


def test_what_lost_its_summary_is_new_again(lab: Lab) -> None:
    started = Started(lab)
    ids = lab.put("ns", *TEA, "Ann likes cold tea")
    change = ConsolidationPolicyChange(after_slots=4)
    lab.engine.update_namespace("ns", description=None, ef_search=None, consolidation=change)
    started.schedule.step()
    lab.engine.delete_slots("ns", slot_ids=ids[:1])
    with lab.store.read() as view:
        number = view.namespace_number("ns")
        assert number is not None
        assert view.head(number).next_row - read_consolidated(view, number).next_row == 4


def test_it_waits_for_a_quiet_moment(lab: Lab) -> None:
    started = Started(lab)
    lab.put("ns", *TEA)
    change = ConsolidationPolicyChange(every=HOUR)
    lab.engine.update_namespace("ns", description=None, ef_search=None, consolidation=change)
    with lab.engine.parts.activity.counted():
        started.schedule.step()
        assert started.jobs == []
