"""Random lives of namespaces on a real server: every feature beside every other, with kills; what agrees afterwards.

A model holds what was acknowledged. Behind each phase a slot is exactly one of: present, absorbed, superseded, or
gone; all counts agree; what was erased is in no file.
"""

import random
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

import pytest

import adamem
from tests.integration.keeping import Keeping, Memory, marks
from tests.integration.process import ServerProcess
from tests.unit.embed.exports import text, write_export

MODELS: Final = ("test/one", "test/two")
NAMESPACES: Final = ("plain", "facts", "merging")
N_LIVES: Final = 8
N_STEPS: Final = 200
CHECK_EVERY: Final = 12


def settings(folder: Path) -> dict[str, str]:
    """Of the server: only what is asked for is archived and trained."""
    return {
        "ADAMEM_MODELS_DIR": str(folder / "models"),
        "EMBED_MODEL": MODELS[0],
        "ADAMEM_ARCHIVE_INTERVAL_S": "0",
        "ADAMEM_ADAPTER_AUTO_PAIRS": "0",
    }


class Life(Keeping):
    """A server, what was done to it, and what has to be there. Every choice comes from the seed, but for times."""

    def __init__(self, folder: Path, seed: int) -> None:
        self.chance = random.Random(seed)
        self.folder = folder
        self.n = 0
        self.counts: dict[str, int] = {}
        self.history: list[str] = []
        for name, output in zip(MODELS, ("token_embeddings", "sentence_embedding"), strict=True):
            (folder / "models" / name).mkdir(parents=True)
            write_export(folder / "models" / name, outputs=(output,))
        self.server = ServerProcess(folder, **settings(folder))
        self.server.start()
        self.memories: dict[str, Memory] = {}
        # Marks of texts that are erased, and said nowhere else.
        self.erased: set[str] = set()
        self.ever_expired: set[str] = set()
        # By namespace and slot id: what absorbed and what superseded it, and ids that were used again while absorbed.
        self.absorbers: dict[tuple[str, str], str] = {}
        self.superseders: dict[tuple[str, str], str] = {}
        self.reused: set[tuple[str, str]] = set()
        # Namespaces that had snapshots, which may hold what was absorbed.
        self.held: set[str] = set()
        # Where superseded facts of another model may wait for a restore of theirs.
        self.reembedded: set[str] = set()
        self.connect()
        for name in NAMESPACES:
            self.create(name)

    def connect(self) -> None:
        self.client = adamem.Client(self.server.address, timeout_s=30)

    def create(self, name: str) -> None:
        self.memories[name] = Memory()
        kind = name.split("-", maxsplit=1)[0]
        self.client.create_namespace(
            name,
            supersede=kind == "facts",
            history_versions=self.chance.choice((0, 2, 10)),
            duplicates={"on_duplicate": "merge"} if kind == "merging" else None,
        )

    # The steps

    def step(self) -> None:
        steps: list[tuple[int, Callable[[str], None]]] = [
            (30, self.write),
            (8, self.change),
            (5, self.repeat),
            (8, self.delete),
            (4, self.erase),
            (3, self.touch),
            (4, self.merge),
            (4, self.undo),
            (5, self.snapshot),
            (4, self.restore),
            (2, self.drop_snapshot),
            (2, self.clone),
            (3, self.restore_version),
            (2, self.reembed),
            (2, self.package),
            (1, self.compact),
            (1, self.compact_data),
            (2, self.kill),
            (1, self.back_up),
            (3, self.ask),
            (1, self.drop_namespace),
            (5, self.archive),
            (3, self.bring_back),
            (3, self.pin),
            (5, self.consolidate),
            (2, self.change_summary),
            (3, self.teach),
            (1, self.train),
            (1, self.roll_back),
            (2, self.keep_package),
            (2, self.merge_package),
        ]
        name = self.chance.choice(list(self.memories))
        work = self.chance.choices([each for _, each in steps], [weight for weight, _ in steps])[0]
        self.history.append(f"{work.__name__} {name}")
        self.counts[work.__name__] = self.counts.get(work.__name__, 0) + 1
        work(name)

    def new_text(self) -> str:
        self.n += 1
        words = [self.chance.randrange(1000) for _ in range(6)]
        return f"mark{self.n:07d}x {text(*words)}"

    def stored(self, name: str, slot_id: str, content: str, expires: float = 0.0) -> None:
        memory = self.memories[name]
        memory.alive[slot_id] = content
        memory.said.setdefault(slot_id, set()).add(content)
        memory.expires.pop(slot_id, None)
        if expires:
            memory.expires[slot_id] = expires
        self.erased -= marks(content)

    def write(self, name: str) -> None:
        n = self.chance.randrange(1, 5)
        items, ttls = [], []
        for _ in range(n):
            ttl = self.chance.choice((None,) * 8 + (0.3, 3600.0))
            item: dict[str, Any] = {"content": self.new_text(), "importance": round(self.chance.random(), 3)}
            item["pinned"] = self.chance.random() < 0.1
            if self.chance.random() < 0.5:
                item["conversation_id"] = f"c{self.chance.randrange(2)}"
            else:
                item["tags"] = [f"t{self.chance.randrange(2)}"]
            if self.chance.random() < 0.6:
                item["cue"] = f"what is {text(self.chance.randrange(8))}"
            if self.chance.random() < 0.3:
                item["created_at"] = f"2024-01-{self.chance.randrange(1, 29):02d}T00:00:00Z"
            if ttl is not None:
                item["ttl_s"] = ttl
            items.append(item)
            ttls.append(ttl)
        started = time.time()
        results = self.client.batch_update(items, namespace=name)
        for item, ttl, result in zip(items, ttls, results, strict=True):
            self.stored(name, result.slot_id, item["content"], started + ttl if ttl else 0.0)

    def change(self, name: str) -> None:
        memory = self.memories[name]
        if memory.alive:
            slot_id = self.chance.choice(list(memory.alive))
            content = self.new_text()
            cue = f"what is {text(self.chance.randrange(8))}" if self.chance.random() < 0.5 else ""
            if self.client.update(content, id=slot_id, cue=cue, namespace=name).created:
                # It was absorbed or superseded. What another one has absorbed of its id stays there.
                self.reused.add((name, slot_id))
            self.stored(name, slot_id, content)

    def repeat(self, name: str) -> None:
        memory = self.memories[name]
        if memory.alive:
            content = self.chance.choice(list(memory.alive.values()))
            result = self.client.update(content.upper(), namespace=name)
            if result.slot_id not in memory.alive:
                self.stored(name, result.slot_id, content.upper())
            else:
                # Its expiry is the later of both; what it was is kept in what it absorbed.
                memory.said[result.slot_id].add(content.upper())
                self.observe(name)

    def some(self, name: str) -> list[str]:
        alive = list(self.memories[name].alive)
        return self.chance.sample(alive, min(len(alive), self.chance.randrange(1, 4)))

    def delete(self, name: str) -> None:
        if ids := self.some(name):
            self.client.delete_slots(ids, namespace=name, keep_history=self.chance.random() < 0.4)
            self.resettle(name, ids)

    def erase(self, name: str) -> None:
        if not (ids := self.some(name)):
            return
        memory = self.memories[name]
        _, absorbed, _ = self.seen(name)
        under = {slot_id for slot_id in absorbed if self.absorbers[name, slot_id] in ids}
        result = self.client.delete_slots(ids, namespace=name, erase=True)
        assert result.receipt.erased_at is not None
        absorbed_elsewhere = self.resettle(name, ids)
        gone = set().union(*(memory.said.pop(slot_id, set()) for slot_id in ids if slot_id not in absorbed_elsewhere))
        if name not in self.held:
            # What it had absorbed is nowhere else, as no snapshot was ever made.
            taken = [each for each in under if each not in memory.alive and (name, each) not in self.reused]
            gone = gone.union(*(memory.said.pop(each, set()) for each in taken))
        for slot_id in self.unmerged(name, ids):
            gone |= memory.asked.pop(slot_id, set())
        for label, snapshot in memory.snapshots.items():
            memory.held[label] -= {*ids, *under}
            for slot_id in ids:
                snapshot.pop(slot_id, None)
        self.erased |= set().union(*map(marks, gone)) - self.left()

    def resettle(self, name: str, ids: list[str]) -> set[str]:
        """After a deletion: those, and what they had absorbed, are gone. Those that another one still has absorbed."""
        memory = self.memories[name]
        present, absorbed, superseded = self.seen(name)
        there = {*present, *absorbed, *superseded}
        for slot_id in ids:
            assert slot_id not in present, f"{slot_id} was deleted and is present"
            if slot_id not in there:
                memory.alive.pop(slot_id, None)
        for slot_id in set(memory.alive) - there:
            if self.absorbers.get((name, slot_id)) in ids:
                del memory.alive[slot_id]
        return set(ids) & set(absorbed)

    def touch(self, name: str) -> None:
        if ids := self.some(name):
            self.client.touch_slots(ids, ttl_s=3600, namespace=name)
            present = self.listed(name)
            for slot_id in set(ids) & set(present):
                if (expires_at := present[slot_id].expires_at) is not None:
                    self.memories[name].expires[slot_id] = expires_at.timestamp()

    def merge(self, name: str) -> None:
        job = self.client.jobs.wait(self.client.duplicates.merge(name))
        assert job.state is adamem.JobState.SUCCEEDED, job
        self.observe(name)

    def undo(self, name: str) -> None:
        _, absorbed, _ = self.seen(name)
        if absorbed:
            survivor = self.absorbers[name, self.chance.choice(list(absorbed))]
            with suppress(adamem.FailedPreconditionError, adamem.NotFoundError):
                self.client.jobs.wait(self.client.duplicates.undo(slot_id=survivor, namespace=name))
            self.observe(name)

    def snapshot(self, name: str) -> None:
        memory = self.memories[name]
        label = f"s{len(self.history)}"
        self.client.snapshots.create(label, namespace=name)
        self.held.add(name)
        present, absorbed, _ = self.seen(name)
        memory.snapshots[label] = dict(present)
        memory.held[label] = {each for each in absorbed if self.absorbers[name, each] in present}

    def restore(self, name: str) -> None:
        memory = self.memories[name]
        if not memory.snapshots:
            return
        label = self.chance.choice(list(memory.snapshots))
        try:
            job = self.client.snapshots.restore(label, namespace=name)
        except adamem.FailedPreconditionError:
            return
        if self.chance.random() < 0.3:
            self.kill(name)
        job = self.client.jobs.wait(job.id)
        assert job.state is adamem.JobState.SUCCEEDED, job
        expected = memory.snapshots[label]
        present = {slot_id: slot.content for slot_id, slot in self.listed(name).items()}
        assert not set(present) - set(expected), f"{label}: {set(present) - set(expected)} were not there"
        for slot_id, content in expected.items():
            if slot_id not in present:
                assert slot_id in memory.expires or slot_id in self.ever_expired, f"{label}: {slot_id} is not back"
            else:
                assert present[slot_id] == content
        memory.alive = {}
        self.observe(name, restored=True)
        _, absorbed, _ = self.seen(name)
        there = {*absorbed, *present}
        gone = {each for each in memory.held[label] if each not in there and self.absorbers[name, each] in present}
        assert not gone, f"{label}: {gone} were absorbed, and are not"

    def drop_snapshot(self, name: str) -> None:
        memory = self.memories[name]
        if memory.snapshots:
            label = self.chance.choice(list(memory.snapshots))
            self.client.snapshots.delete(label, namespace=name)
            del memory.snapshots[label]
            del memory.held[label]

    def clone(self, name: str) -> None:
        target = f"{name.split('-', maxsplit=1)[0]}-{len(self.history)}"
        memory = self.memories[name]
        if len(self.memories) > 5:
            return
        label = self.chance.choice(["", *memory.snapshots])
        try:
            job = self.client.snapshots.clone(target, snapshot=label, namespace=name)
            self.held.add(name)
        except adamem.FailedPreconditionError:
            return
        if self.chance.random() < 0.3:
            self.kill(name)
        job = self.client.jobs.wait(job.id)
        assert job.state is adamem.JobState.SUCCEEDED, job
        self.adopt(target, name, memory.snapshots[label] if label else None)

    def adopt(self, target: str, source: str, expected: dict[str, str] | None) -> None:
        """A new namespace with what another one had."""
        before, found = (self.listed(each, include_vectors=True) for each in (source, target))
        same_model = self.client.get_namespace(source).model == self.client.get_namespace(target).model
        wanted = expected if expected is not None else {slot_id: slot.content for slot_id, slot in before.items()}
        for slot_id in set(found) ^ set(wanted):
            told = self.memories[source].expires
            assert slot_id in told or slot_id in self.ever_expired, f"{target}: {slot_id}"
        for slot_id, slot in found.items():
            assert slot.content == wanted[slot_id]
            if expected is None and same_model:
                assert list(slot.vector) == list(before[slot_id].vector)
                was = before[slot_id]
                moved = replace(was, namespace=target, access_count=slot.access_count, accessed_at=slot.accessed_at)
                assert slot == moved, f"{slot} was {was}"
        if expected is None:
            ours, theirs = (
                {slot.id: (slot.content, slot.sources) for slot in self.summaries(each).values() if not slot.expires_at}
                for each in (source, target)
            )
            assert ours == theirs, f"{target}: not the same summaries"
        copy = self.memories[target] = Memory()
        # What it may hold: all that its source held.
        copy.said = {slot_id: set(texts) for slot_id, texts in self.memories[source].said.items()}
        copy.asked = {slot_id: set(texts) for slot_id, texts in self.memories[source].asked.items()}
        self.ever_expired |= set(self.memories[source].expires)
        # What has expired is copied too where it is not swept yet.
        copy.expires = dict(self.memories[source].expires)
        self.observe(target, restored=True)

    def restore_version(self, name: str) -> None:
        memory = self.memories[name]
        if not memory.said:
            return
        slot_id = self.chance.choice(list(memory.said))
        try:
            versions = list(self.client.history.list(slot_id, namespace=name))
            if len(versions) < 2:
                return
            chosen = self.chance.choice(versions[:-1])
            restored = self.client.history.restore(slot_id, chosen.version, namespace=name)
        except (adamem.NotFoundError, adamem.FailedPreconditionError):
            return
        assert restored.slot.content == chosen.slot.content
        self.observe(name)

    def reembed(self, name: str) -> None:
        model = self.client.get_namespace(name).model
        other = MODELS[1 - MODELS.index(model)]
        rollback = self.chance.random() < 0.4
        try:
            job = self.client.lifecycle.reembed(name, model="" if rollback else other, rollback=rollback)
        except adamem.FailedPreconditionError:
            return
        self.reembedded.add(name)
        self.write(name)
        if self.chance.random() < 0.3:
            self.kill(name)
        job = self.client.jobs.wait(job.id)
        assert job.state is adamem.JobState.SUCCEEDED, job

    def package(self, name: str) -> None:
        if len(self.memories) > 5:
            return
        file = self.folder / "package.zip"
        self.client.packages.export_namespace(file, namespace=name)
        target = f"{name.split('-', maxsplit=1)[0]}-{len(self.history)}"
        self.client.packages.import_namespace(file, namespace=target)
        self.adopt(target, name, None)
        for mode in ("merge", "replace"):
            self.client.packages.import_namespace(file, namespace=target, mode=mode)
            self.adopt(target, name, None)
        file.unlink()

    def compact(self, name: str) -> None:
        self.client.jobs.wait(self.client.lifecycle.compact(name))

    def compact_data(self, _: str) -> None:
        self.client.jobs.wait(self.client.lifecycle.compact_data())

    def kill(self, _: str) -> None:
        self.client.close()
        self.server.kill()
        self.server.start()
        self.connect()

    def back_up(self, _: str) -> None:
        """A backup, restored over what is there."""
        path = self.folder / f"backup{len(self.history)}"
        self.client.backups.save(path)
        self.client.close()
        self.server.stop()
        shutil.rmtree(self.server.data_dir)
        done = subprocess.run(
            [sys.executable, "-m", "adamem_server.cli", "restore", str(path), "--data-dir", str(self.server.data_dir)],
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        shutil.rmtree(path)
        self.server.start()
        self.connect()

    def drop_namespace(self, name: str) -> None:
        if "-" in name:
            erase = self.chance.random() < 0.5
            self.client.delete_namespace(name, erase=erase)
            gone = self.memories.pop(name)
            if erase:
                said = set().union(*gone.said.values(), *gone.asked.values())
                self.erased |= set().union(*map(marks, said)) - self.left()

    def ask(self, name: str) -> None:
        memory = self.memories[name]
        content = self.chance.choice(list(memory.alive.values()) or [text(1)])
        for mode in ("hybrid", "dense", "lexical"):
            for hit in self.client.query(content, namespace=name, top_k=10, mode=mode):
                assert hit.slot.id in memory.alive, f"{mode}: {hit.slot.id} is not there"
                assert hit.slot.archived_at is None

    # What holds

    def seen(self, name: str) -> tuple[dict[str, str], dict[str, str], dict[str, str]]:
        """Slots that are present, absorbed and superseded, with their contents."""
        client = self.client
        present = {slot_id: slot.content for slot_id, slot in self.listed(name).items()}
        absorbed: dict[str, str] = {}
        for slot_id in present:
            with suppress(adamem.NotFoundError):
                for each in client.duplicates.absorbed(slot_id, namespace=name):
                    assert each.slot.id not in absorbed, f"{each.slot.id} is absorbed twice"
                    absorbed[each.slot.id] = each.slot.content
                    self.absorbers[name, each.slot.id] = slot_id
        superseded: dict[str, str] = {}
        for slot_id in self.memories[name].said:
            if slot_id in present:
                continue
            with suppress(adamem.NotFoundError):
                last = list(client.history.list(slot_id, namespace=name))[-1]
                if last.ending is adamem.Ending.SUPERSEDED and client.get_slot(slot_id, namespace=name).validity:
                    superseded[slot_id] = last.slot.content
                    self.superseders[name, slot_id] = last.validity.superseded_by
        for slot_id, content in self.memories[name].alive.items():
            # What a superseded slot has absorbed cannot be listed, and is there.
            if slot_id not in present and self.absorbers.get((name, slot_id)) in superseded:
                absorbed.setdefault(slot_id, content)
        if set(self.listed(name)) != set(present):
            # A sweep came between: what has expired is gone, and what it had superseded is back.
            return self.seen(name)
        return present, absorbed, superseded

    def observe(self, name: str, *, restored: bool = False) -> None:
        """Take over what a job has made of the slots; none may be lost by it."""
        memory = self.memories[name]
        present, absorbed, superseded = self.seen(name)
        there = {**superseded, **absorbed, **present}
        if not restored:
            for slot_id in set(memory.alive) - set(there):
                assert slot_id in memory.expires or self.can_be_restored(name, slot_id), f"{name}: {slot_id} was lost"
        for slot in self.listed(name).values():
            memory.expires.pop(slot.id, None)
            if slot.expires_at is not None:
                memory.expires[slot.id] = slot.expires_at.timestamp()
        memory.alive = there
        for slot_id, content in there.items():
            memory.said.setdefault(slot_id, set()).add(content)

    def can_be_restored(self, name: str, slot_id: str) -> bool:
        """A fact of another model that a snapshot holds does not come back by itself, nor does what it had absorbed."""
        wanted = self.absorbers.get((name, slot_id), slot_id)
        is_held = name in self.reembedded and name in self.held
        return is_held and any(self.client.history.list(wanted, namespace=name))

    def check(self) -> None:
        """All of them, and all files."""
        client = self.client
        for name, memory in self.memories.items():
            present, absorbed, superseded = self.seen(name)
            both = set(present) & set(absorbed) | set(present) & set(superseded)
            both = {slot_id for slot_id in both if (name, slot_id) not in self.reused}
            assert not both, f"{name}: {both} are present and not"
            there = {**superseded, **absorbed, **present}
            now = time.time()
            for slot_id in set(memory.alive) - set(there):
                is_over = memory.expires.get(slot_id, now + 1) <= now
                assert is_over or self.can_be_restored(name, slot_id), f"{name}: {slot_id} was lost"
                self.ever_expired.add(slot_id)
                del memory.alive[slot_id]
            for slot_id in set(there) - set(memory.alive):
                raise AssertionError(f"{name}: {slot_id} is there and should not be")
            for slot_id in superseded:
                newer = self.superseders[name, slot_id]
                if memory.expires.get(newer, now + 1) <= now:
                    continue
                is_known = newer in there or self.can_be_restored(name, newer)
                assert is_known, f"{name}: {slot_id} is superseded by {newer}, which is nowhere"
            for slot_id, content in present.items():
                assert memory.alive[slot_id].lower() == content.lower()
                with suppress(adamem.NotFoundError):
                    assert client.get_slot(slot_id, namespace=name).content == content
            archived = {slot_id for slot_id, slot in self.listed(name).items() if slot.archived_at}
            described = client.get_namespace(name)
            # What expires is counted until it is swept.
            if not memory.expires:
                assert described.n_slots == len(present) + len(self.summaries(name))
            for mode in ("dense", "lexical"):
                found = client.query("mark w1 w2 w3", namespace=name, top_k=1000, mode=mode)
                extra = {hit.slot.id for hit in found} - set(present)
                # What an expired slot had absorbed or superseded comes back when that is swept.
                assert not extra or extra <= set(self.seen(name)[0]), mode
                if mode == "dense":
                    missing = set(present) - {hit.slot.id for hit in found} - set(memory.expires) - archived
                    assert not missing, f"{name}: {missing} are not found"
            for slot_id in list(present)[:5]:
                content = present[slot_id]
                hits = client.query(content, namespace=name, top_k=20, mode="lexical")
                if slot_id not in memory.expires and slot_id not in archived:
                    assert slot_id in {hit.slot.id for hit in hits}, f"{name}: {slot_id} is not found by its words"
            self.check_archive(name)
            self.check_summaries(name)
            self.check_learned(name)
            job = client.jobs.wait(client.lifecycle.verify(name))
            assert job.result["n_problems"] == 0, job.result
        if self.erased:
            wanted = [mark.encode() for mark in self.erased]
            for path in self.server.data_dir.rglob("*"):
                data = path.read_bytes().lower() if path.is_file() else b""
                left = [mark for mark in wanted if mark in data]
                assert not left, f"{left} in {path.name}"


@pytest.mark.slow
@pytest.mark.timeout(600)
@pytest.mark.parametrize("seed", range(N_LIVES))
def test_nothing_disagrees(tmp_path: Path, seed: int) -> None:
    life = Life(tmp_path, seed)
    try:
        for step in range(N_STEPS):
            life.step()
            if step % CHECK_EVERY == CHECK_EVERY - 1:
                life.check()
        life.check()
        assert not life.server.events("job_failed")
    except BaseException:
        # What a failure is found by; the ids of slots tell the rest.
        print(seed, life.history)
        raise
    finally:
        life.client.close()
        life.server.close()
