"""The job "reembed" on a real engine with encoders of words: what it changes, what it leaves, where it goes on."""

from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

from adamem_server.adapt.adapter import Adapter
from adamem_server.config import Settings
from adamem_server.errors import (
    AdaMemError,
    FailedPreconditionError,
    ModelMismatchError,
    ModelNotFoundError,
    NamespaceNotFoundError,
)
from adamem_server.lifecycle import reembed, verify
from adamem_server.lifecycle.jobs import JobInterruptedError, RunningJob
from adamem_server.lifecycle.operations import Lifecycle
from adamem_server.lifecycle.packaging import Packages
from adamem_server.lifecycle.reembed import Reembed
from adamem_server.memory.learning import LearningSettings
from adamem_server.store import keys
from adamem_server.store.generations import read_generations
from adamem_server.store.teaching import read_adapters, read_pairs
from adamem_server.store.version_types import SlotVersion
from adamem_server.types import (
    FloatVector,
    Job,
    JobState,
    JsonObject,
    Namespace,
    NamespaceSpec,
    Query,
    QueryMode,
    SlotInput,
    SlotView,
    VectorType,
)
from tests.patience import wait_until
from tests.unit.lifecycle.labs import QUICK, Meanwhile, StoppedAtCheckpoint, ended, runner
from tests.unit.memory import lessons
from tests.unit.memory.engines import WORD_DIM, Lab, WordEmbedder, key

DAY_US = 86_400_000_000
OTHER = "wide"
OTHER_DIM = 96
N = 300
UNHEARD = range(10, 13)


@pytest.fixture
def lab(tmp_path: Path) -> Iterator[Lab]:
    lab = Lab(tmp_path, others=[WordEmbedder(OTHER, OTHER_DIM)], learning=LearningSettings(auto_pairs=0))
    yield lab
    lab.close()


@pytest.fixture
def lifecycle(lab: Lab) -> Iterator[Lifecycle]:
    lifecycle = operations(lab)
    lifecycle.start()
    yield lifecycle
    lifecycle.close()


def operations(lab: Lab, *, keep_former_s: float = 7 * 86_400.0) -> Lifecycle:
    packages = Packages(
        lab.engine.parts,
        lab.store.path / "packages",
        limits=Settings().limits(),
        max_bytes=1 << 30,
        exported_by="tests",
    )
    return Lifecycle(lab.engine, QUICK, packages, server_version="0", keep_former_s=keep_former_s)


def fill(lab: Lab, name: str = "anna", n: int = N) -> list[str]:
    """Slots of which each third has a cue; their ids."""
    items = [SlotInput(content=f"thing w{i}", cue=f"where is w{i}" if i % 3 == 0 else "") for i in range(n)]
    lab.engine.update(name, items)
    return [view.slot.id for view in lab.slots(name)]


def done(lifecycle: Lifecycle, job: Job) -> Job:
    job = ended(lifecycle.jobs, job)
    assert job.state is JobState.SUCCEEDED, job
    return job


def namespace(lab: Lab, name: str = "anna") -> Namespace:
    return lab.engine.get_namespace(name).namespace


def views(lab: Lab, name: str = "anna") -> list[SlotView]:
    page, _ = lab.engine.list_slots(name, filter=None, page_size=10_000, after=0, include_vectors=True)
    return page


def check(lab: Lab, embedder: WordEmbedder, name: str = "anna") -> None:
    """Every slot has the vectors of this encoder's, each of its present texts; the counts are right; all are found."""
    found = namespace(lab, name)
    assert (found.model, found.model_fingerprint, found.dim) == (
        embedder.info.name,
        embedder.info.fingerprint,
        embedder.info.dim,
    )
    n_bytes = n_cues = 0
    with lab.store.read() as view:
        head = view.head(found.number)
        for row, slot in view.slots(found.number):
            expected = [unit(embedder, slot.content)] + ([unit(embedder, slot.cue)] if slot.cue else [])
            for vector, of in zip(expected, ("vectors", "cue_vectors"), strict=False):
                _, stored = view.vectors(found, [row], of="vectors" if of == "vectors" else "cue_vectors")
                np.testing.assert_allclose(stored[0], vector, atol=1e-3)
            assert len(view.vectors(found, [row], of="cue_vectors")[0]) == len(expected) - 1
            n_cues += len(expected) - 1
            data = view.get("slots", keys.row_key(found.number, row))
            assert data is not None
            n_bytes += len(data) + len(expected) * found.dim * (4 if found.vector_type is VectorType.FLOAT32 else 2)
    assert (head.n_bytes, head.n_cues) == (n_bytes, n_cues)
    for each in views(lab, name)[::17]:
        hits = lab.engine.query(
            Query(namespaces=(name,), text=each.slot.content, top_k=3, mode=QueryMode.DENSE, include_vectors=True)
        ).hits
        assert hits[0].view.slot.content == each.slot.content
        assert hits[0].score == pytest.approx(1.0, abs=1e-3)
        assert all(hit.view.vector is not None and len(hit.view.vector) == found.dim for hit in hits)


def unit(embedder: WordEmbedder, text: str) -> np.ndarray:
    [[window]] = embedder.tokenize([text], role=None)  # type: ignore[arg-type]
    vector = embedder.run([window])[0]
    return np.asarray(vector / np.linalg.norm(vector))


def n_keys(lab: Lab, table: str, number: int) -> int:
    prefix = keys.number_key(number)
    with lab.store.read() as view:
        return sum(1 for key, _ in view.cursor(table) if key.startswith(prefix))


def purged(lab: Lab, *spaces: int) -> None:
    """Wait until nothing is left of these spaces."""
    wait_until(
        lambda: not any(n_keys(lab, table, each) for each in spaces for table in ("vectors", "cue_vectors", "stale"))
    )


def test_a_namespace_gets_the_vectors_of_another_model_and_of_another_dimension(lab: Lab, lifecycle: Lifecycle) -> None:
    fill(lab)
    before = namespace(lab)
    check(lab, lab.embedder)
    job = done(lifecycle, lifecycle.reembed("anna", model=OTHER, request=key("r")))
    assert lifecycle.reembed("anna", model=OTHER, request=key("r")).id == job.id
    assert (job.n_done, job.n_total, job.unit) == (N, N, "slots")
    assert job.result == {
        "model": OTHER,
        "model_fingerprint": f"{OTHER}: fingerprint",
        "dim": OTHER_DIM,
        "n_slots": N,
        "n_embedded": N,
        "former_model": "words",
        "former_kept_s": 7 * 86_400,
    }
    check(lab, lab.others[OTHER])
    after = namespace(lab)
    assert after.vector_space != before.vector_space == before.number
    # New texts go to the new model, also behind a restart, which opens the index from the store.
    lab.put("anna", "thing w901", cue="where is w901")
    lifecycle.close()
    lab.restart()
    check(lab, lab.others[OTHER])


def test_what_is_written_meanwhile_is_there_after_the_switch(lab: Lab, lifecycle: Lifecycle) -> None:
    ids = fill(lab)
    other = lab.others[OTHER]
    with other.held() as gate:
        job = lifecycle.reembed("anna", model=OTHER)
        gate.wait_reached()
        assert namespace(lab).model == "words"
        for i in range(0, N, 7):
            lab.engine.update(
                "anna", [SlotInput(id=ids[i], content=f"changed x{i}", cue="where is x" if i % 2 else "")]
            )
        lab.engine.delete_slots("anna", slot_ids=ids[3::11])
        lab.put("anna", *(f"new y{i}" for i in range(100)), cue="new cue")
        assert lab.query("anna", text="changed x7", mode=QueryMode.DENSE, top_k=1) == ["changed x7"]
    contents = sorted(lab.contents("anna"))
    done(lifecycle, job)
    assert sorted(lab.contents("anna")) == contents
    check(lab, other)
    deleted = {view.slot.content for view in views(lab)}
    assert not deleted & {f"thing w{i}" for i in range(3, N, 11)}


def test_a_request_that_began_before_the_switch_is_made_anew_behind_it(lab: Lab, lifecycle: Lifecycle) -> None:
    fill(lab)
    lab.query("anna", text="thing w5", mode=QueryMode.DENSE)
    with ThreadPoolExecutor(4) as pool, lab.embedder.held() as gate:
        queries = [
            pool.submit(
                lab.engine.query,
                Query(namespaces=("anna",), text="thing w5", top_k=3, mode=mode, include_vectors=True),
            )
            for mode in (QueryMode.DENSE, QueryMode.HYBRID)
        ]
        update = pool.submit(lab.put, "anna", "late w1000", cue="how late")
        gate.wait_reached()
        done(lifecycle, lifecycle.reembed("anna", model=OTHER))
        gate.open()
        for query in queries:
            hits = query.result().hits
            assert hits[0].view.slot.content == "thing w5"
            assert {len(hit.view.vector) for hit in hits if hit.view.vector is not None} == {OTHER_DIM}
        update.result()
    assert "late w1000" in lab.contents("anna")
    check(lab, lab.others[OTHER])


def test_verified_while_the_model_is_changed_it_has_no_problems(
    lab: Lab, lifecycle: Lifecycle, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Slots that are written behind the switch have no vector of the former model."""
    monkeypatch.setattr(verify, "_CHUNK", 10)
    fill(lab)

    def change() -> None:
        done(lifecycle, lifecycle.reembed("anna", model=OTHER))
        lab.put("anna", "late w1000", cue="how late")

    with runner(lab, Meanwhile(verify.Verify(lab.store), change)) as jobs:
        job = ended(jobs, jobs.submit("verify", namespace="anna"))
    assert job.result == {"n_slots": N + 1, "n_problems": 0, "problems": []}


def test_a_version_that_is_restored_while_the_model_is_changed_gets_vectors_of_the_new_one(
    lab: Lab, lifecycle: Lifecycle, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Not of the same letter: the beginning of a fingerprint tells versions of two encoders apart.
    other = lab.others["broad"] = WordEmbedder("broad", OTHER_DIM)
    ids = fill(lab, n=20)
    lab.engine.update("anna", [SlotInput(id=ids[3], content="changed x3")])
    history = lifecycle.slot_history
    new_vectors = history._new_vectors
    changes = [lambda: done(lifecycle, lifecycle.reembed("anna", model="broad"))]

    def between(namespace: Namespace, version: SlotVersion) -> Sequence[FloatVector]:
        found = new_vectors(namespace, version)
        if changes:
            changes.pop()()
        return found

    monkeypatch.setattr(history, "_new_vectors", between)
    history.restore("anna", ids[3], 1)
    assert "thing w3" in lab.contents("anna")
    # The namespace's encoder makes them, though another one serves.
    check(lab, other)


@pytest.mark.parametrize("cancelled", ["waiting", "running"])
def test_cancelled_it_leaves_the_namespace_as_it_was(lab: Lab, lifecycle: Lifecycle, cancelled: str) -> None:
    fill(lab)
    before = namespace(lab)
    with lab.others[OTHER].held() as gate:
        job = lifecycle.reembed("anna", model=OTHER)
        gate.wait_reached()
        with lab.store.read() as view:
            begun = read_generations(view, before.number).next
        assert begun is not None
        lab.put("anna", "changed meanwhile")
        assert n_keys(lab, "stale", begun.space) == 1
        if cancelled == "waiting":
            fill(lab, "bella", 3)
            behind = lifecycle.reembed("bella", model=OTHER)
            assert lifecycle.jobs.cancel(behind.id).state is JobState.CANCELLED
        lifecycle.jobs.cancel(job.id)
    assert ended(lifecycle.jobs, job).state is JobState.CANCELLED
    assert namespace(lab) == before
    check(lab, lab.embedder)
    with lab.store.read() as view:
        assert read_generations(view, before.number).next is None
    purged(lab, begun.space)
    assert namespace(lab) == before


def test_stopped_it_goes_on_where_it_was(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reembed, "_CHECKPOINT_EVERY_S", 0.0)
    fill(lab)
    number = namespace(lab).number
    other = lab.others[OTHER]
    kind = Reembed(lab.engine.parts, 3600.0)
    params = {"model": OTHER, "rollback": False}
    with runner(lab, kind, start=False) as jobs:
        job = jobs.submit(Reembed.name, namespace="anna", params=params)
    seen: list[int] = []
    checkpoint: JsonObject = {}
    for _ in range(5):
        # Each run is stopped at its first checkpoint, as a kill would end it anywhere.
        with runner(lab, StoppedAtCheckpoint(kind)) as jobs:
            wait_until(lambda jobs=jobs, last=checkpoint: jobs.get(job.id).checkpoint != last)  # type: ignore[misc]
            checkpoint = jobs.get(job.id).checkpoint
        with runner(lab, kind, start=False) as jobs, lab.store.read() as view:
            found = read_generations(view, number).next
            assert found is not None
            seen.append(found.n_vectors)
        lab.put("anna", f"between {len(seen)}")
        lab.restart()
        kind = Reembed(lab.engine.parts, 3600.0)
    assert seen == sorted(seen)
    n_before = other.n_windows
    with runner(lab, kind) as jobs:
        assert ended(jobs, job).state is JobState.SUCCEEDED
    assert other.n_windows - n_before <= (N + 5 - seen[-1]) * 4 / 3 + 64
    check(lab, other)


class StoppedBehindTheSwitch(Reembed):
    """The server is stopped between the switch and the record of the job's end."""

    def run(self, job: RunningJob) -> JsonObject:
        super().run(job)
        raise JobInterruptedError


@pytest.mark.parametrize("rollback", [False, True])
def test_stopped_behind_the_switch_it_does_not_switch_again(lab: Lab, rollback: bool) -> None:
    fill(lab)
    parts = lab.engine.parts
    params: JsonObject = {"model": OTHER, "rollback": False}
    if rollback:
        with runner(lab, Reembed(parts, 3600.0)) as jobs:
            assert ended(jobs, jobs.submit(Reembed.name, namespace="anna", params=params)).state is JobState.SUCCEEDED
        params = {"model": "", "rollback": True}
    model = "words" if rollback else OTHER
    with runner(lab, StoppedBehindTheSwitch(parts, 3600.0)) as jobs:
        job = jobs.submit(Reembed.name, namespace="anna", params=params)
        wait_until(lambda: namespace(lab).model == model)
    sequence = lab.engine.get_namespace("anna").sequence
    with runner(lab, Reembed(parts, 3600.0)) as jobs:
        done = ended(jobs, job)
    assert (done.state, done.result["model"], done.n_resumes) == (JobState.SUCCEEDED, model, 1)
    assert lab.engine.get_namespace("anna").sequence == sequence
    check(lab, lab.embedder if rollback else lab.others[OTHER])


def test_a_change_is_taken_back_with_what_was_written_since(lab: Lab, lifecycle: Lifecycle) -> None:
    ids = fill(lab)
    done(lifecycle, lifecycle.reembed("anna", model=OTHER))
    lab.engine.update("anna", [SlotInput(id=ids[5], content="since x5", cue="what is since")])
    lab.engine.delete_slots("anna", slot_ids=[ids[6]])
    lab.put("anna", "since new")
    job = done(lifecycle, lifecycle.reembed("anna", rollback=True))
    assert (job.result["model"], job.result["former_model"], job.result["n_embedded"]) == ("words", OTHER, 2)
    check(lab, lab.embedder)
    assert namespace(lab).vector_space == namespace(lab).number
    # And that is taken back again.
    lab.put("anna", "once more")
    done(lifecycle, lifecycle.reembed("anna", rollback=True))
    check(lab, lab.others[OTHER])


def test_the_former_vectors_go_in_time_and_what_is_deleted_goes_from_them_at_once(
    lab: Lab, lifecycle: Lifecycle
) -> None:
    ids = fill(lab)
    number = namespace(lab).number
    done(lifecycle, lifecycle.reembed("anna", model=OTHER))
    assert n_keys(lab, "vectors", number) == N
    lab.engine.delete_slots("anna", slot_ids=ids[:10])
    assert n_keys(lab, "vectors", number) == N - 10
    lab.now += 8 * DAY_US
    lab.engine.parts.maintenance._last_flush = 0.0
    purged(lab, number)
    with pytest.raises(FailedPreconditionError, match="no former vectors"):
        lifecycle.reembed("anna", rollback=True)
    check(lab, lab.others[OTHER])
    assert len(lab.contents("anna")) == N - 10


def test_nothing_is_left_of_a_deleted_namespace(lab: Lab, lifecycle: Lifecycle) -> None:
    fill(lab)
    done(lifecycle, lifecycle.reembed("anna", model=OTHER))
    found = namespace(lab)
    lab.put("anna", "one more")
    lab.engine.delete_namespace("anna")
    purged(lab, found.number, found.vector_space)
    wait_until(lambda: not any(n_keys(lab, table, found.number) for table in ("slots", "generations", "heads")))


def test_an_adapter_is_trained_anew_from_the_pairs_that_taught_it(lab: Lab, lifecycle: Lifecycle) -> None:
    lessons.teach(lab, "anna", lessons.fill(lab, "anna"), range(3))
    adaptation = lab.engine.adaptation
    assert adaptation.train_adapter("anna", wait=True).version == 1
    found = namespace(lab)
    before = lessons.n_found(lab, "anna", UNHEARD)
    assert pair_dims(lab, found) == {WORD_DIM}
    with lab.others[OTHER].held() as gate:
        job = lifecycle.reembed("anna", model=OTHER)
        gate.wait_reached()
        assert namespace(lab).adapter_version == 1
    done(lifecycle, job)
    # Nobody asks for it.
    wait_until(lambda: namespace(lab).adapter_version == 2)
    assert pair_dims(lab, found) == {OTHER_DIM}
    with lab.store.read() as view:
        adapters = {version.version: Adapter.from_bytes(data) for version, data in read_adapters(view, found.number)}
    assert {version: adapter.model for version, adapter in adapters.items()} == {1: "words", 2: OTHER}
    assert lessons.n_found(lab, "anna", UNHEARD) > before / 2
    with pytest.raises(FailedPreconditionError, match="another model"):
        adaptation.rollback_adapter("anna", 1)
    done(lifecycle, lifecycle.reembed("anna", rollback=True))
    assert namespace(lab).adapter_version == 1
    assert lessons.n_found(lab, "anna", UNHEARD) == before
    with pytest.raises(FailedPreconditionError, match="another model"):
        adaptation.rollback_adapter("anna", 2)


def pair_dims(lab: Lab, of: Namespace) -> set[int]:
    """The dimensions of the questions' vectors, 0 for none."""
    with lab.store.read() as view:
        return {0 if pair.vector is None else len(pair.vector) for _, pair in read_pairs(view, of.number)}


def test_a_namespace_of_a_model_that_is_gone_is_refused_with_the_command_that_mends_it(lab: Lab) -> None:
    fill(lab, n=40)
    lab.restart(WordEmbedder("newer", 48))
    with pytest.raises(ModelMismatchError, match="adamem namespace reembed anna"):
        lab.query("anna", text="thing w5")
    refused = lab.engine.update("anna", [SlotInput(content="thing")]).results[0]
    assert isinstance(refused, AdaMemError)
    lifecycle = operations(lab)
    lifecycle.start()
    job = done(lifecycle, lifecycle.reembed("anna"))
    assert job.result["model"] == "newer"
    check(lab, lab.embedder)
    with pytest.raises(ModelMismatchError):
        lifecycle.reembed("anna", rollback=True)
    lifecycle.close()


def test_a_namespace_of_the_former_model_is_served_where_that_is_at_hand(lab: Lab) -> None:
    fill(lab, n=40)
    old = lab.embedder
    lab.others[old.info.name] = old
    lab.restart(WordEmbedder("newer", 48))
    check(lab, old)
    lab.put("anna", "thing w77", cue="where is w77")
    check(lab, old)
    lab.put("bella", "thing w77")
    with pytest.raises(FailedPreconditionError, match="different models"):
        lab.query("anna", "bella", text="thing w77")


def test_what_cannot_be_is_refused_at_once(lab: Lab, lifecycle: Lifecycle) -> None:
    fill(lab, n=3)
    lab.engine.create_namespace(NamespaceSpec(name="theirs", dim=4, external_vectors=True))
    with pytest.raises(FailedPreconditionError, match="supplied by its clients"):
        lifecycle.reembed("theirs", model=OTHER)
    with pytest.raises(FailedPreconditionError, match="'words' already"):
        lifecycle.reembed("anna")
    with pytest.raises(ModelNotFoundError):
        lifecycle.reembed("anna", model="nowhere")
    with pytest.raises(FailedPreconditionError, match="no former vectors"):
        lifecycle.reembed("anna", rollback=True)
    with pytest.raises(NamespaceNotFoundError):
        lifecycle.reembed("nobody", model=OTHER)
    assert lifecycle.jobs.list(page_size=10) == ([], "")


def test_half_precision_and_small_namespaces(lab: Lab, lifecycle: Lifecycle) -> None:
    lab.engine.create_namespace(NamespaceSpec(name="anna", vector_type=VectorType.FLOAT16))
    assert done(lifecycle, lifecycle.reembed("anna", model=OTHER)).result["n_slots"] == 0
    fill(lab, n=50)
    done(lifecycle, lifecycle.reembed("anna"))
    check(lab, lab.embedder)


def test_with_no_time_to_keep_the_former_vectors_go_at_once(lab: Lab) -> None:
    fill(lab, n=20)
    lifecycle = operations(lab, keep_former_s=0.0)
    lifecycle.start()
    number = namespace(lab).number
    job = done(lifecycle, lifecycle.reembed("anna", model=OTHER))
    assert (job.result["former_model"], job.result["former_kept_s"]) == ("", 0.0)
    purged(lab, number)
    check(lab, lab.others[OTHER])
    lifecycle.close()
