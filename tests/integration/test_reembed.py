"""A change of the model on a real server with two real encoders: under a load, killed on the way, taken back."""

import asyncio
import json
import subprocess
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from threading import Event, Thread
from typing import Self

import numpy as np
import pytest

import adamem
from adamem_server.embed.batcher import EmbedBatcher
from adamem_server.embed.catalog import BUNDLED, load
from tests.integration.conftest import NewServer
from tests.integration.process import ServerProcess
from tests.unit.embed.exports import DIM as SMALL_DIM
from tests.unit.embed.exports import N_WORDS, text, write_export

SMALL = "test/small"
LARGE = "all-MiniLM-L6-v2"
LARGE_DIM = 384
N_QUERIES = 16
# The bundled encoder is quantised while it runs: a text's vector differs a little with the batch that it is in.
ALIKE = 0.97

Vectors = Mapping[str, np.ndarray]


@pytest.fixture
def models(tmp_path: Path) -> Path:
    (tmp_path / "models" / SMALL).mkdir(parents=True)
    write_export(tmp_path / "models" / SMALL)
    return tmp_path / "models"


@pytest.fixture
def encoders(models: Path) -> Iterator[dict[int, EmbedBatcher]]:
    """The same encoders as the server's, by dimension."""
    made = {name: EmbedBatcher(load(name, models), threads=1, cache_size=0) for name in (LARGE, SMALL)}
    yield {encoder.info.dim: encoder for encoder in made.values()}
    for encoder in made.values():
        encoder.close()


def content(i: int) -> str:
    return text(i % N_WORDS, i // N_WORDS, (i * 37) % N_WORDS)


def fill(client: adamem.Client, n: int) -> None:
    report = client.bulk_update({"content": content(i), "cue": content(i + 7) if i % 5 == 0 else ""} for i in range(n))
    assert (report.n_created, report.n_failed) == (n, 0)


@dataclass
class Load:
    """Queries and writes until `stop`: what was seen, and what shall be there."""

    address: str
    n: int
    vectors: dict[int, Vectors]
    stop: Event = field(default_factory=Event)
    dims: list[int] = field(default_factory=list)
    expected: dict[str, str] = field(default_factory=dict)
    n_writes: int = 0
    problems: list[str] = field(default_factory=list)

    def __enter__(self) -> Self:
        self._threads = [Thread(target=self._guarded, args=(work,)) for work in (self._ask, self._ask, self._write)]
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *error: object) -> None:
        self.stop.set()
        for thread in self._threads:
            thread.join()

    def _guarded(self, work: object) -> None:
        try:
            with adamem.Client(self.address, namespace="anna") as client:
                assert callable(work)
                work(client)
        except Exception as error:  # noqa: BLE001 - told by the test
            self.problems.append(f"{type(error).__name__}: {error}")

    def _ask(self, client: adamem.Client) -> None:
        for i in self._until_stopped():
            asked = content(i % N_QUERIES)
            mode = "dense" if i % 2 else "hybrid"
            hits = client.query(asked, top_k=5, mode=mode, include_vectors=True)
            dims = {len(hit.slot.vector) for hit in hits if hit.slot.vector is not None}
            if len(dims) != 1 or len(hits) != 5:
                self.problems.append(f"{len(hits)} hits of dimensions {dims}")
                continue
            dim = dims.pop()
            self.dims.append(dim)
            for hit in hits:
                assert hit.slot.vector is not None
                # A slot is scored by the nearer of its content and its cue, so never by less than its content.
                own = float(self.vectors[dim][asked] @ hit.slot.vector)
                if hit.dense_score is None or hit.dense_score < own - (1 - ALIKE) or hit.dense_score > 1.001:
                    self.problems.append(f"dimension {dim}: {hit.dense_score} is told, {own} is right")

    def _write(self, client: adamem.Client) -> None:
        rows = [slot.id for slot in client.list_slots(page_size=1000)]
        for i in self._until_stopped():
            if i % 3 == 0:
                slot_id = client.update(content(self.n + i), cue=content(i) if i % 2 else "").slot_id
                self.expected[slot_id] = content(self.n + i)
            elif i % 3 == 1:
                slot_id = rows[(i * 31) % len(rows)]
                client.update(content(2 * self.n + i), id=slot_id)
                self.expected[slot_id] = content(2 * self.n + i)
            else:
                slot_id = rows.pop((i * 17) % len(rows))
                client.delete_slots([slot_id])
                self.expected[slot_id] = ""
            self.n_writes += 1

    def _until_stopped(self) -> Iterator[int]:
        i = 0
        while not self.stop.is_set():
            yield i
            i += 1


def check(client: adamem.Client, encoder: EmbedBatcher, expected: Mapping[str, str]) -> None:
    """Every slot has the vector of this encoder's, and what was written is there."""
    slots = list(client.list_slots(page_size=1000, include_vectors=True))
    found = {slot.id: slot.content for slot in slots}
    for slot_id, wanted in expected.items():
        assert found.get(slot_id, "") == wanted
    vectors = encoder.embed_documents([slot.content for slot in slots])
    stored = np.array([slot.vector for slot in slots])
    assert stored.shape == vectors.shape
    assert float(np.einsum("nd,nd->n", vectors, stored).min()) > ALIKE
    described = client.get_namespace()
    assert (described.model, described.dim) == (encoder.info.name, encoder.info.dim)
    assert described.n_slots == len(slots)
    job = client.jobs.wait(client.lifecycle.verify())
    assert job.result["n_problems"] == 0


def under_load(server: ServerProcess, encoders: dict[int, EmbedBatcher], n: int) -> None:
    asked = [content(i) for i in range(N_QUERIES)]
    vectors = {dim: dict(zip(asked, encoder.embed_documents(asked), strict=True)) for dim, encoder in encoders.items()}
    with adamem.Client(server.address, namespace="anna", timeout_s=60) as client:
        fill(client, n)
        expected: dict[str, str] = {}
        for model, dim in ((SMALL, SMALL_DIM), (LARGE, LARGE_DIM)):
            with Load(server.address, n, vectors) as load_:
                job = client.jobs.wait(client.lifecycle.reembed(model=model), timeout_s=None)
                n_seen = len(load_.dims)
                # And a while behind the switch.
                while not load_.problems and len(load_.dims) < n_seen + 4:
                    client.get_namespace()
            assert not load_.problems, load_.problems[:5]
            assert job.result["model"] == model
            assert set(load_.dims) <= {SMALL_DIM, LARGE_DIM}
            assert load_.dims[-1] == dim
            assert load_.n_writes
            expected |= load_.expected
            check(client, encoders[dim], expected)


def killed(server: ServerProcess, encoders: dict[int, EmbedBatcher], n: int, n_kills: int = 10) -> None:
    expected: dict[str, str] = {}
    with adamem.Client(server.address, namespace="anna") as client:
        fill(client, n)
        budget = client.server_info().memory_budget_bytes
        job = client.lifecycle.reembed(model=LARGE)
        # The other encoder takes its memory from the namespaces'.
        assert client.server_info().memory_budget_bytes < budget - (10 << 20)
    for kill in range(n_kills):
        with adamem.Client(server.address, namespace="anna") as client:
            for told in client.jobs.watch(job):
                assert told.state in {adamem.JobState.QUEUED, adamem.JobState.RUNNING}, told
                # Half of it is left at the last kill: the job must not be over before that comes.
                if told.n_done >= n * (kill + 1) // (2 * n_kills):
                    break
            slot_id = client.update(content(3 * n + kill)).slot_id
            expected[slot_id] = content(3 * n + kill)
            assert client.get_namespace().model == SMALL
            server.kill()
        server.start()
    with adamem.Client(server.address, namespace="anna") as client:
        # Once more where all is embedded: before the switch, behind it, or behind the end.
        next(told for told in client.jobs.watch(job) if told.n_done >= n or told.ended)
        server.kill()
    server.start()
    with adamem.Client(server.address, namespace="anna") as client:
        done = client.jobs.wait(job, timeout_s=None)
        assert done.state is adamem.JobState.SUCCEEDED
        assert n_kills <= done.n_resumes <= n_kills + 1
        check(client, encoders[LARGE_DIM], expected)
        assert [each.slot.content for each in client.query(content(3), top_k=1)] == [content(3)]


def test_a_namespace_is_embedded_anew_under_a_load(
    new_server: NewServer, models: Path, encoders: dict[int, EmbedBatcher]
) -> None:
    under_load(new_server(ADAMEM_MODELS_DIR=str(models)).start(), encoders, 800)


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_20_000_slots_are_embedded_anew_under_a_load(
    new_server: NewServer, models: Path, encoders: dict[int, EmbedBatcher]
) -> None:
    under_load(new_server(ADAMEM_MODELS_DIR=str(models)).start(), encoders, 20_000)


def test_killed_ten_times_it_finishes(new_server: NewServer, models: Path, encoders: dict[int, EmbedBatcher]) -> None:
    killed(new_server(ADAMEM_MODELS_DIR=str(models), EMBED_MODEL=SMALL).start(), encoders, 1_200)


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_killed_ten_times_it_finishes_with_20_000_slots(
    new_server: NewServer, models: Path, encoders: dict[int, EmbedBatcher]
) -> None:
    killed(new_server(ADAMEM_MODELS_DIR=str(models), EMBED_MODEL=SMALL).start(), encoders, 20_000)


def test_an_upgrade_of_the_server_s_model_is_mended_by_the_command_that_it_names(
    new_server: NewServer, models: Path, encoders: dict[int, EmbedBatcher]
) -> None:
    own = models / "own"
    own.mkdir()
    write_export(own)
    server = new_server(ADAMEM_MODELS_DIR=str(models), EMBED_MODEL=str(own)).start()
    with adamem.Client(server.address, namespace="anna") as client:
        fill(client, 60)
    server.stop()
    server.start(EMBED_MODEL=str(BUNDLED / LARGE))
    with adamem.Client(server.address, namespace="anna") as client:
        with pytest.raises(adamem.ModelMismatchError, match="`adamem namespace reembed anna`"):
            client.query(content(1))
        done = cli(server, "namespace", "reembed", "anna", "--json")
        assert json.loads(done.stdout)["result"]["model"] == LARGE
        check(client, encoders[LARGE_DIM], {})
        # The files of the former model are not where it is found by its name.
        refused = cli(server, "namespace", "reembed", "anna", "--rollback", code=1)
        assert "'own'" in refused.stderr


def test_a_change_is_taken_back_from_the_command_line(
    new_server: NewServer, models: Path, encoders: dict[int, EmbedBatcher]
) -> None:
    server = new_server(ADAMEM_MODELS_DIR=str(models)).start()
    with adamem.Client(server.address, namespace="anna") as client:
        fill(client, 60)
        cli(server, "namespace", "reembed", "anna", "--model", SMALL)
        check(client, encoders[SMALL_DIM], {})
        written = {client.update(content(900)).slot_id: content(900)}
        done = cli(server, "namespace", "reembed", "anna", "--rollback", "--json")
        assert json.loads(done.stdout)["result"]["n_embedded"] == 1
        check(client, encoders[LARGE_DIM], written)
        with pytest.raises(adamem.FailedPreconditionError, match="already"):
            client.lifecycle.reembed()
        with pytest.raises(adamem.NotFoundError, match="adamem model pull"):
            client.lifecycle.reembed(model="../../etc")
        with pytest.raises(adamem.InvalidArgumentError, match="rollback"):
            client.lifecycle.reembed(model=SMALL, rollback=True)
        with pytest.raises(adamem.InvalidArgumentError, match="256"):
            client.lifecycle.reembed(model="x" * 257)
    cli(server, "namespace", "reembed", "anna", "--rollback", "--model", SMALL, code=2)


def test_the_asynchronous_client_does_the_same(new_server: NewServer, models: Path) -> None:
    server = new_server(ADAMEM_MODELS_DIR=str(models)).start()

    async def main() -> None:
        async with adamem.AsyncClient(server.address, namespace="anna") as client:
            await client.update(content(1))
            done = await client.jobs.wait(await client.lifecycle.reembed(model=SMALL))
            assert (done.result["dim"], done.result["former_model"]) == (SMALL_DIM, LARGE)
            done = await client.jobs.wait(await client.lifecycle.reembed(rollback=True))
            assert done.result["dim"] == LARGE_DIM

    asyncio.run(main())


def cli(server: ServerProcess, *arguments: str, code: int = 0) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "adamem_server.cli", "--endpoint", server.address, *arguments]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=120)
    assert done.returncode == code, done.stderr
    return done
