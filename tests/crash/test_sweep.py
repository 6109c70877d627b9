"""SIGKILL while thousands of expired slots are swept: none comes back, and none that lives is lost.

A sweep takes them out of the indexes first, all at once, and then out of the store, step by step; both in the
background. Kills fall before, between and behind: what a round met is told by how many the store still had.
"""

import random
import time
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

import numpy as np
import pytest
from ulid import ULID

import adamem
from tests.integration.process import ServerProcess
from tests.patience import wait_until

N_EXPIRING = 6_000
N_LIVING = 600
DIM = 8
PATIENCE_S = 20


@dataclass
class Round:
    """One namespace: who expires, who lives, with the vector of each."""

    name: str
    vectors: dict[str, "np.ndarray[tuple[int], np.dtype[np.float32]]"]
    expiring: set[str]
    living: dict[str, str] = field(default_factory=dict)


def begin(client: adamem.Client, name: str, rng: random.Random, expires_at: float) -> Round:
    """Store slots that expire at a time among some that do not, some of which expired otherwise and were renewed."""
    client.create_namespace(name, dim=DIM, external_vectors=True)
    n = N_EXPIRING + N_LIVING
    vectors = np.random.default_rng(rng.randrange(2**32)).standard_normal((n, DIM)).astype(np.float32)
    moment = datetime.fromtimestamp(expires_at, UTC)
    ends = [True] * N_EXPIRING + [False] * N_LIVING
    rng.shuffle(ends)
    ids = [str(ULID()) for _ in ends]
    items = [
        {
            "id": slot_id,
            "content": f"note {place} of {name}",
            "vector": vector,
            **({"expires_at": moment} if end else {}),
        }
        for place, (slot_id, vector, end) in enumerate(zip(ids, vectors, ends, strict=True))
    ]
    assert client.bulk_update(items, namespace=name).n_created == n
    contents = {slot_id: f"note {place} of {name}" for place, slot_id in enumerate(ids)}
    made = Round(name, dict(zip(ids, vectors, strict=True)), {i for i, end in zip(ids, ends, strict=True) if end})
    made.living = {slot_id: content for slot_id, content in contents.items() if slot_id not in made.expiring}
    renewed = rng.sample(sorted(made.expiring), 50)
    assert client.touch_slots(renewed, ttl_s=3600, namespace=name).n_touched == len(renewed)
    made.expiring -= set(renewed)
    made.living |= {slot_id: contents[slot_id] for slot_id in renewed}
    return made


def write_beside(client: adamem.Client, made: Round, rng: random.Random) -> None:
    """An id whose slot has expired is used again, and something new is stored, while the sweep runs."""
    slot_id = rng.choice(sorted(made.expiring))
    client.update("again", id=slot_id, vector=made.vectors[slot_id], namespace=made.name)
    made.expiring.discard(slot_id)
    made.living[slot_id] = "again"
    vector = np.array([rng.gauss(0, 1) for _ in range(DIM)], np.float32)
    new = client.update("new", vector=vector, namespace=made.name).slot_id
    made.vectors[new], made.living[new] = vector, "new"


def check(client: adamem.Client, made: Round, rng: random.Random) -> None:
    """All that lives is there and found; nothing that expired is, by id, by listing, by vector or by words."""
    listed = {slot.id: slot.content for slot in client.list_slots(namespace=made.name, page_size=1000)}
    assert listed.keys() == made.living.keys()
    assert listed == made.living
    for slot_id in rng.sample(sorted(made.living), 10):
        (hit,) = client.query(vector=made.vectors[slot_id], namespace=made.name, top_k=1)
        assert hit.slot.id == slot_id
    for slot_id in rng.sample(sorted(made.expiring), 10):
        with pytest.raises(adamem.SlotNotFoundError):
            client.get_slot(slot_id, namespace=made.name)
        hits = client.query(vector=made.vectors[slot_id], namespace=made.name, top_k=20)
        assert {hit.slot.id for hit in hits} <= made.living.keys()
        assert len(hits) == 20
    found = client.query(f"note of {made.name}", namespace=made.name, top_k=1000, mode="lexical")
    assert {hit.slot.id for hit in found} == {i for i, content in made.living.items() if content.startswith("note")}


def is_later(moment: float) -> bool:
    return time.time() > moment


def is_swept_to(client: adamem.Client, name: str, n_slots: int) -> bool:
    return client.get_namespace(name).n_slots <= n_slots


def kill_rounds(folder: Path, n_rounds: int) -> None:
    server, rng = ServerProcess(folder), random.Random(n_rounds)
    left_at_kill: list[int] = []
    try:
        server.start()
        for number in range(n_rounds):
            with adamem.Client(server.address, timeout_s=PATIENCE_S) as client:
                expires_at = time.time() + 3
                made = begin(client, f"round-{number}", rng, expires_at)
                n_all = client.get_namespace(made.name).n_slots
                wait_until(partial(is_later, expires_at))
                check(client, made, rng)
                # So far into the deletions it is killed, the indexes may have been saved before.
                if rng.random() < 0.5:
                    client.lifecycle.compact(made.name)
                wanted = rng.choice([0, 0, rng.randrange(N_EXPIRING)])
                write_beside(client, made, rng)
                wait_until(partial(is_swept_to, client, made.name, n_all - wanted))
                n_left = client.get_namespace(made.name).n_slots
                server.kill()
            left_at_kill.append(n_left - len(made.living))
            server.start()
            with adamem.Client(server.address, timeout_s=PATIENCE_S) as client:
                check(client, made, rng)
                wait_until(partial(is_swept_to, client, made.name, len(made.living)))
                check(client, made, rng)
                job = client.jobs.wait(client.lifecycle.verify(made.name))
                assert job.result["n_problems"] == 0
                client.delete_namespace(made.name)
        # A kill that met no sweep tells nothing.
        assert sum(n_left > 0 for n_left in left_at_kill) >= n_rounds // 2, left_at_kill
    finally:
        server.close()


def test_a_sweep_survives_kills(tmp_path: Path) -> None:
    kill_rounds(tmp_path, 2)


@pytest.mark.crash
@pytest.mark.timeout(600)
def test_a_sweep_survives_15_kills(tmp_path: Path) -> None:
    kill_rounds(tmp_path, 15)
