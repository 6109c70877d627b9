"""What a random life does with the archive, with summaries and with what is learned, and what holds of these."""

import random
import re
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import adamem

_MARK = re.compile(r"mark\d+x")
_TRAIN_S = 60


def marks(content: str) -> set[str]:
    """The words of a text that no other one has."""
    return set(_MARK.findall(content.lower()))


@dataclass
class Memory:
    """What is known of a namespace: `alive` slots by id, those that may have expired, and what was said under an id.

    `held` are those that were absorbed at a snapshot, but for those that an erasure took out. `asked` are
    questions by the slot that answers them. `package` was exported at some time.
    """

    alive: dict[str, str] = field(default_factory=dict)
    expires: dict[str, float] = field(default_factory=dict)
    said: dict[str, set[str]] = field(default_factory=dict)
    snapshots: dict[str, dict[str, str]] = field(default_factory=dict)
    held: dict[str, set[str]] = field(default_factory=dict)
    asked: dict[str, set[str]] = field(default_factory=dict)
    package: Path | None = None


class Keeping:
    """The part of a life that archives, sums up and learns."""

    client: adamem.Client
    chance: random.Random
    folder: Path
    memories: dict[str, Memory]
    erased: set[str]
    reused: set[tuple[str, str]]
    absorbers: dict[tuple[str, str], str]

    def new_text(self) -> str:
        raise NotImplementedError

    def observe(self, name: str, *, restored: bool = False) -> None:
        raise NotImplementedError

    def stored(self, name: str, slot_id: str, content: str, expires: float = 0.0) -> None:
        raise NotImplementedError

    def seen(self, name: str) -> tuple[dict[str, str], dict[str, str], dict[str, str]]:
        raise NotImplementedError

    def kill(self, name: str) -> None:
        raise NotImplementedError

    def some(self, name: str) -> list[str]:
        raise NotImplementedError

    def listed(self, name: str, **options: Any) -> dict[str, adamem.Slot]:
        """Its slots, archived or not, but for summaries."""
        found = self.client.list_slots(namespace=name, archived="include", **options)
        return {slot.id: slot for slot in found if not slot.sources}

    def summaries(self, name: str) -> dict[str, adamem.Slot]:
        found = self.client.list_slots(namespace=name, archived="include")
        return {slot.id: slot for slot in found if slot.sources}

    def left(self) -> set[str]:
        """The marks of all that is or may be somewhere."""
        said = (content for each in self.memories.values() for texts in each.said.values() for content in texts)
        asked = (content for each in self.memories.values() for texts in each.asked.values() for content in texts)
        return {mark for texts in (said, asked) for content in texts for mark in marks(content)}

    def finished(self, name: str, job: adamem.Job) -> adamem.Job:
        """A job at its end; on the way the server may be killed."""
        if self.chance.random() < 0.3:
            self.kill(name)
        done = self.client.jobs.wait(job.id)
        assert done.state is adamem.JobState.SUCCEEDED, done
        return done

    # The archive

    def archive(self, name: str) -> None:
        """Archive by a limit of slots, bytes or importance; nothing of a slot changes but that it is archived."""
        described = self.client.get_namespace(name)
        limit = self.chance.choice(
            (
                {"max_slots": self.chance.randrange(1, 40)},
                {"max_bytes": max(1, described.n_bytes * self.chance.randrange(30, 90) // 100)},
                {"min_importance": self.chance.random() * 0.5},
            )
        )
        self.client.update_namespace(name, archive={"max_slots": 0, "max_bytes": 0, "min_importance": 0.0, **limit})
        before = self.listed(name, include_vectors=True)
        watched = self.chance.choice(list(before)) if before else ""
        n_versions = self.n_versions(name, watched)
        told = self.client.jobs.wait(self.client.archive.run(name, dry_run=True))
        # A fact is back when the one that had superseded it has expired.
        assert set(self.listed(name)) <= set(before) | set(self.memories[name].said)
        done = self.finished(name, self.client.archive.run(name))
        assert done.result["n_archived"] <= told.result["n_archived"]
        after = self.listed(name, include_vectors=True)
        for slot_id, slot in after.items():
            was = before.get(slot_id, slot)
            # Uses are counted a little later.
            same = replace(
                was, archived_at=slot.archived_at, access_count=slot.access_count, accessed_at=slot.accessed_at
            )
            assert slot == same, f"{slot} was {was}"
            assert not (slot.pinned and slot.archived_at and not was.archived_at), f"{slot_id} is pinned"
            assert slot.archived_at or not was.archived_at, f"{slot_id} is back"
        for slot_id in set(before) - set(after):
            assert slot_id in self.memories[name].expires, f"{slot_id} was lost by the archive"
        if watched in after:
            assert self.n_versions(name, watched) == n_versions, "archiving made a version"
        if "max_slots" in limit and done.result["limits_met"]:
            assert sum(not slot.archived_at for slot in self.client.list_slots(namespace=name)) <= limit["max_slots"]

    def n_versions(self, name: str, slot_id: str) -> int:
        with suppress(adamem.NotFoundError):
            return len(list(self.client.history.list(slot_id, namespace=name))) if slot_id else 0
        return 0

    def bring_back(self, name: str) -> None:
        """Archived slots are found again, as they were; some by their ids, or all by a filter."""
        before = self.listed(name, include_vectors=True)
        archived = [slot_id for slot_id, slot in before.items() if slot.archived_at]
        if not archived:
            return
        if self.chance.random() < 0.3:
            self.client.archive.restore(filter={"importance": {"$gte": 0}}, namespace=name)
            chosen = set(archived)
        else:
            chosen = set(self.chance.sample(archived, self.chance.randrange(1, len(archived) + 1)))
            self.client.archive.restore(list(chosen), namespace=name)
        after = self.listed(name, include_vectors=True)
        for slot_id in chosen & set(after):
            was, slot = before[slot_id], after[slot_id]
            assert slot.archived_at is None
            same = replace(was, archived_at=None, access_count=slot.access_count, accessed_at=slot.accessed_at)
            assert slot == same, f"{slot} was {was}"

    def pin(self, name: str) -> None:
        if ids := self.some(name):
            call = self.client.archive.pin if self.chance.random() < 0.5 else self.client.archive.unpin
            call(ids, namespace=name)

    # Summaries

    def consolidate(self, name: str) -> None:
        threshold = self.chance.choice((0.2, 0.5, 0.8))
        self.finished(name, self.client.lifecycle.consolidate(name, threshold=threshold))

    def change_summary(self, name: str) -> None:
        """A summary that a client changes is its own from then on; or it is deleted."""
        found = list(self.summaries(name))
        if not found:
            return
        slot_id = self.chance.choice(found)
        if self.chance.random() < 0.5:
            self.client.delete_slots(slot_id, namespace=name)
            assert slot_id not in self.summaries(name)
        else:
            content = self.new_text()
            self.client.update(content, id=slot_id, kind="summary", namespace=name)
            self.stored(name, slot_id, content)

    # What is learned

    def teach(self, name: str) -> None:
        present = list(self.listed(name))
        for slot_id in self.chance.sample(present, min(len(present), 12)):
            topic = self.chance.randrange(20)
            question = f"{self.new_text()} ask w{500 + topic}"
            told = self.client.feedback(question, helped=slot_id, namespace=name)
            if told.n_taught:
                self.memories[name].asked.setdefault(slot_id, set()).add(question)

    def train(self, name: str) -> None:
        status = self.client.train_adapter(namespace=name, wait=True, timeout_s=_TRAIN_S)
        assert status.last_training is not None
        assert status.last_training.outcome is not adamem.TrainingOutcome.FAILED

    def roll_back(self, name: str) -> None:
        versions = [each.version for each in self.client.list_adapter_versions(namespace=name)]
        chosen = self.chance.choice([0, *versions])
        assert self.client.rollback_adapter(chosen, namespace=name).version == chosen
        self.client.update_namespace(name, adapter_enabled=self.chance.random() < 0.7)

    # Packages of some time ago

    def keep_package(self, name: str) -> None:
        memory = self.memories[name]
        memory.package = self.folder / f"{name}.zip"
        memory.package.unlink(missing_ok=True)
        self.client.packages.export_namespace(memory.package, namespace=name)

    def merge_package(self, name: str) -> None:
        """What was there then comes back beside what is there now; what is newer stays."""
        memory = self.memories[name]
        if memory.package is None or not memory.package.exists():
            return
        before = self.listed(name)
        _, absorbed, _ = self.seen(name)
        try:
            self.client.packages.import_namespace(memory.package, namespace=name, mode="merge")
        except adamem.FailedPreconditionError:
            # It is of one model, the namespace of another, which is not the server's.
            return
        after = self.listed(name)
        for slot_id in set(before) - set(after):
            with suppress(adamem.NotFoundError):
                last = list(self.client.history.list(slot_id, namespace=name))[-1]
                assert last.ending is adamem.Ending.SUPERSEDED or slot_id in memory.expires, f"{slot_id} was lost"
        for slot_id in set(before) & set(after):
            times = [slots[slot_id].updated_at for slots in (before, after)]
            assert times == sorted(filter(None, times))
        self.reused |= {(name, slot_id) for slot_id in absorbed if slot_id in after}
        self.observe(name, restored=True)
        self.erased -= self.left()

    # What holds

    def check_archive(self, name: str) -> None:
        """No archived slot is found unless that is asked for, then all are; listings and counts agree."""
        client, slots = self.client, self.listed(name)
        is_steady = not self.memories[name].expires
        archived = {slot_id for slot_id, slot in slots.items() if slot.archived_at}
        assert not archived & {slot.id for slot in client.list_slots(namespace=name)}
        told = {slot.id: slot for slot in client.list_slots(namespace=name, archived="only")}
        assert archived <= set(told) | set(self.memories[name].expires)
        for mode in ("hybrid", "dense", "lexical"):
            found = {hit.slot.id for hit in client.query("mark w1 w2 w3", namespace=name, top_k=1000, mode=mode)}
            assert not found & archived, f"{name}: {found & archived} are archived, and found ({mode})"
            more = client.query("mark w1 w2 w3", namespace=name, top_k=1000, mode=mode, include_archived=True)
            assert {hit.slot.id for hit in more} <= set(slots), mode
            if mode == "dense" and is_steady:
                assert {hit.slot.id for hit in more} == set(slots)
        for slot_id in list(archived)[:3]:
            with suppress(adamem.NotFoundError):
                assert client.get_slot(slot_id, namespace=name).archived_at is not None
        if is_steady:
            described = client.get_namespace(name)
            assert described.n_archived == len(told), (described.n_archived, len(told))

    def check_summaries(self, name: str) -> None:
        """A summary says what its sources say, of which none is gone; they know it, and queries leave it out."""
        client, now = self.client, time.time()
        summaries, slots = self.summaries(name), self.listed(name)
        of_source: dict[str, str] = {}
        for summary in summaries.values():
            if summary.expires_at is not None and summary.expires_at.timestamp() < now + 1:
                continue
            gone = set(summary.sources) - set(slots)
            assert not gone, f"{name}: {summary.id} sums up {gone}, which are gone"
            known = {mark for source in summary.sources for mark in marks(slots[source].content)}
            assert marks(summary.content) <= known, f"{name}: {summary.id} says more than its sources"
            for source in summary.sources:
                assert source not in of_source, f"{name}: {source} has two summaries"
                of_source[source] = summary.id
        for source, summary_id in list(of_source.items())[:5]:
            with suppress(adamem.NotFoundError):
                assert client.get_slot(source, namespace=name).summaries == (summary_id,)
        found = {hit.slot.id for hit in client.query("mark w1 w2", namespace=name, top_k=1000, mode="dense")}
        assert not found & set(summaries), f"{name}: {found & set(summaries)} are summaries, and found"

    def check_learned(self, name: str) -> None:
        """The version that serves is one of those that are kept."""
        status = self.client.get_adapter(namespace=name)
        assert status.version in {0, *(each.version for each in self.client.list_adapter_versions(namespace=name))}
        assert status.n_pairs >= 0
        assert status.n_new_pairs <= status.n_pairs

    def unmerged(self, name: str, slot_ids: list[str]) -> Iterator[str]:
        """Those that nothing has ever absorbed: what was taught of them is taught of nothing else."""
        return (slot_id for slot_id in slot_ids if (name, slot_id) not in self.absorbers)
