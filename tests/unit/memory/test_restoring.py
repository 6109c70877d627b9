"""The lexical index comes back as the vector index does: from its file and the journal, or from the slots."""

import gc
import shutil
import weakref
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from structlog.testing import capture_logs

from adamem_server import _index
from adamem_server.memory import restoring
from adamem_server.memory import shard as shard_module
from adamem_server.memory import words as words_module
from adamem_server.memory.jobs import DeleteNamespaceJob
from adamem_server.memory.restoring import lexical_path, remove_snapshots
from adamem_server.memory.shard import Probe, Shard
from adamem_server.types import IndexKind
from tests.patience import PATIENCE_S
from tests.unit.memory.support import Gate, create, vector
from tests.unit.memory.test_maintenance import Rooms
from tests.unit.memory.test_shard import EVERYTHING, Memory, cut, empty, flip, garble, lengthen, make_folder, make_newer

N_LARGE = 40


class WordMemory(Memory):
    """Each shard that it opens has its words open too, unless they are left to the first question."""

    lazy = False

    def opened(self, snapshot: Path) -> Shard:
        shard = super().opened(snapshot)
        if not self.lazy:
            shard._words.index()
        return shard


@pytest.fixture(autouse=True)
def _three_slots_are_enough_for_a_snapshot() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(shard_module, "MIN_SNAPSHOT_SLOTS", 3)
        patch.setattr(restoring, "MIN_SNAPSHOT_SLOTS", 3)
        yield


@pytest.fixture
def memory(tmp_path: Path) -> Iterator[WordMemory]:
    memory = WordMemory(tmp_path)
    yield memory
    memory.close()


@pytest.fixture
def large(memory: WordMemory) -> WordMemory:
    """A saved namespace and, behind the file, a journal that adds, replaces and deletes."""
    memory.open()
    memory.update({n: 1000 + n for n in range(N_LARGE)})
    memory.checkpoint()
    memory.shard = None
    memory.update({1: 5001, N_LARGE: 1000 + N_LARGE})
    memory.delete([2, 3])
    return memory


def found(shard: Shard, text: str) -> dict[int, float]:
    return dict(zip(*shard.search_words(text, "", 1000, condition=None), strict=True))


def check_words(memory: WordMemory, shard: Shard) -> None:
    """A slot is found by the words that it has now, and by no others; scores are those of an index made anew."""
    rebuilt = memory.rebuilt()
    assert len(shard._words.index()) == len(memory.seeds)
    for n, seed in [*memory.seeds.items(), (-1, 4711)]:
        rows = found(shard, str(seed))
        assert rows == pytest.approx(found(rebuilt, str(seed)), rel=1e-5)
        assert (memory.row(n) in rows) if n >= 0 else not rows
    # The day is in all texts.
    assert len(found(shard, "November")) == len(memory.seeds)
    gathered = shard.gather(Probe("November", "", vector(1), True, None, None, ()), n_seeds=100, reach=3)
    assert gathered.rows.tolist() == sorted(memory.row(n) for n in memory.seeds)


numbers = st.integers(1, 8)
operations = st.one_of(
    st.tuples(st.just("update"), st.dictionaries(numbers, st.integers(100, 130), min_size=1, max_size=4)),
    st.tuples(st.just("delete"), st.lists(numbers, unique=True, max_size=4)),
    st.tuples(
        st.sampled_from(["ask", "checkpoint", "reopen", "close", "lose file", "keep file", "old file back"]), st.none()
    ),
)


@given(script=st.lists(operations, max_size=25), lazy=st.booleans())
def test_any_history_leaves_what_a_rebuild_gives(
    tmp_path_factory: pytest.TempPathFactory, script: list[tuple[str, object]], *, lazy: bool
) -> None:
    """The lexical file may be older than the other one, or gone, or never asked for."""
    memory = WordMemory(tmp_path_factory.mktemp("memory"))
    file = lexical_path(memory.snapshot)
    kept = file.with_name("kept")
    for operation, argument in script:
        match operation, argument:
            case "update", dict(seeds):
                memory.update(seeds)
            case "delete", list(deleted):
                memory.delete(deleted)
            case "checkpoint", _:
                memory.open() if memory.shard is None else memory.checkpoint()
            case "reopen", _:
                memory.open()
            case "close", _:
                memory.shard = None
            case "lose file", _:
                file.unlink(missing_ok=True)
            case "keep file", _ if file.exists():
                shutil.copy(file, kept)
            case "old file back", _ if kept.exists():
                shutil.copy(kept, file)
        if memory.shard is not None and (operation == "ask" or not lazy):
            check_words(memory, memory.shard)
    check_words(memory, memory.opened(memory.snapshot))
    memory.close()


def test_a_snapshot_and_the_journal_behind_it_give_what_a_rebuild_gives(large: WordMemory) -> None:
    with capture_logs() as logs:
        shard = large.open()
    assert logs == []
    check_words(large, shard)
    large.check(shard)


@pytest.mark.parametrize(
    "damage",
    [cut, empty, garble, lengthen, make_newer, make_folder, *(flip(position / 7) for position in range(8))],
)
def test_an_unusable_file_is_made_anew_and_the_vectors_are_kept(
    large: WordMemory, damage: Callable[[Path], None]
) -> None:
    damage(lexical_path(large.snapshot))
    with capture_logs() as logs:
        shard = large.open()
    assert [line["event"] for line in logs] == ["lexical_snapshot_unusable", "lexical_index_rebuilt"]
    assert [line["log_level"] for line in logs] == ["warning", "info"]
    assert logs[1]["n_slots"] == len(large.seeds)
    check_words(large, shard)
    large.check(shard)


@pytest.mark.parametrize("damage", [cut, empty, garble, flip(0.5)])
def test_unusable_vectors_are_made_anew_and_the_words_are_kept(
    large: WordMemory, damage: Callable[[Path], None]
) -> None:
    damage(large.snapshot)
    with capture_logs() as logs:
        shard = large.open()
    assert [line["event"] for line in logs] == ["index_snapshot_unusable", "index_rebuilt"]
    check_words(large, shard)


def test_a_missing_file_is_made_anew(large: WordMemory) -> None:
    """As after an update from a version without one."""
    lexical_path(large.snapshot).unlink()
    with capture_logs() as logs:
        shard = large.open()
    assert [line["event"] for line in logs] == ["lexical_index_rebuilt"]
    check_words(large, shard)


@pytest.mark.parametrize("sequence", [0, 99], ids=["older than the journal", "newer than the store"])
def test_a_file_of_another_time_is_made_anew(large: WordMemory, sequence: int) -> None:
    _index.LexicalIndex().save(str(lexical_path(large.snapshot)), sequence)
    with capture_logs() as logs:
        shard = large.open()
    assert [line["event"] for line in logs] == ["lexical_snapshot_outdated", "lexical_index_rebuilt"]
    check_words(large, shard)


def test_a_file_with_another_number_of_slots_is_made_anew(large: WordMemory) -> None:
    foreign = _index.LexicalIndex()
    foreign.add(np.arange(500, dtype=np.uint64), ["foreign"] * 500)
    foreign.save(str(lexical_path(large.snapshot)), large.sequence())
    with capture_logs() as logs:
        shard = large.open()
    assert [line["event"] for line in logs] == ["lexical_snapshot_disagrees", "lexical_index_rebuilt"]
    assert (logs[0]["found"], logs[0]["expected"]) == (500, len(large.seeds))
    check_words(large, shard)
    assert not found(shard, "foreign")


def test_a_vector_index_in_its_place_is_no_lexical_index(large: WordMemory) -> None:
    shutil.copy(large.snapshot, lexical_path(large.snapshot))
    with capture_logs() as logs:
        shard = large.open()
    assert logs[0]["event"] == "lexical_snapshot_unusable"
    check_words(large, shard)


def test_a_rebuilt_shard_saves_a_file_that_serves(large: WordMemory) -> None:
    lexical_path(large.snapshot).write_bytes(b"no index")
    large.open()
    large.checkpoint()
    with capture_logs() as logs:
        shard = large.open()
    assert logs == []
    check_words(large, shard)


def test_small_namespaces_have_no_files_and_lose_those_that_they_had(memory: WordMemory) -> None:
    shard = memory.open()
    memory.update({1: 1, 2: 2})
    assert shard.save(memory.snapshot) is None
    assert not lexical_path(memory.snapshot).exists()
    memory.update({3: 3})
    assert shard.save(memory.snapshot) == 2
    assert memory.snapshot.exists()
    assert lexical_path(memory.snapshot).exists()
    memory.delete([1])
    assert shard.save(memory.snapshot) is None
    assert list(memory.snapshot.parent.iterdir()) == []


def test_files_are_removed_together_and_need_not_be_there(large: WordMemory) -> None:
    for _ in range(2):
        remove_snapshots(large.snapshot)
        assert list(large.snapshot.parent.iterdir()) == []


def test_the_memory_of_the_words_is_counted(memory: WordMemory) -> None:
    shard = memory.open()
    before, words_before = shard.memory_bytes(), shard._words.memory_bytes()
    memory.update({n: n for n in range(1000, 3000)})
    grown = shard._words.memory_bytes() - words_before
    assert grown > 2000 * 8
    assert shard.memory_bytes() - before >= grown + 2000 * 8 * 4
    counted = shard.memory_bytes()
    shard.gather(Probe("text", "", None, True, None, None, ()), n_seeds=1, reach=3)
    assert shard.memory_bytes() >= counted + 2000 * 40


def test_a_closed_shard_is_freed_at_once(memory: WordMemory) -> None:
    """Its memory counts as given back when it is closed; cycles would keep it until a collection."""
    memory.update({n: 1000 + n for n in range(8)})
    shard = memory.open()
    shard.gather(Probe("text", "", vector(1), True, EVERYTHING, None, ()), n_seeds=1, reach=3)
    memory.update({1: 5001})
    freed = weakref.ref(shard)
    gc.disable()
    try:
        memory.shard = None
        del shard
        assert freed() is None
    finally:
        gc.enable()


@pytest.mark.parametrize("kind", IndexKind)
def test_the_words_are_saved_beside_any_index(tmp_path: Path, kind: IndexKind) -> None:
    memory = WordMemory(tmp_path, index_kind=kind)
    memory.open()
    memory.update({n: 1000 + n for n in range(10)})
    memory.checkpoint()
    memory.update({3: 5003})
    with capture_logs() as logs:
        shard = memory.open()
    assert logs == []
    check_words(memory, shard)
    memory.close()


def test_words_that_nobody_asks_for_have_no_file_and_take_no_memory(memory: WordMemory) -> None:
    memory.lazy = True
    shard = memory.open()
    memory.update({n: n for n in range(1000, 1010)})
    assert shard.save(memory.snapshot) == 1
    assert not lexical_path(memory.snapshot).exists()
    assert shard._words.memory_bytes() == 0
    check_words(memory, shard)


def test_words_are_prepared_when_somebody_has_asked_for_them(memory: WordMemory) -> None:
    memory.lazy = True
    memory.update({n: 1000 + n for n in range(8)})
    shard = memory.open()
    shard.maintain(1)
    assert not shard._words.is_open()
    unsaved = shard.words_delay_s()
    assert 0.0 < unsaved < shard.context_delay_s()
    shard.maintain(1)
    assert (shard.words_delay_s(), shard.context_delay_s()) == (0.0, 0.0)
    memory.checkpoint()
    assert 0.0 < memory.open().words_delay_s() < unsaved, "what was saved is loaded sooner"


def test_writes_while_words_are_opened_are_not_lost(memory: WordMemory) -> None:
    memory.lazy = True
    memory.update({n: 1000 + n for n in range(8)})
    shard = memory.open()
    gate, restore = Gate(), shard._words._restore

    def held() -> _index.LexicalIndex:
        index = restore()
        gate.stop()
        return index

    shard._words._restore = held
    with ThreadPoolExecutor(3) as pool:
        asked = [pool.submit(found, shard, "November") for _ in range(3)]
        gate.wait_reached()
        memory.update({1: 5001, 8: 1008})
        memory.delete([2])
        memory.update({1: 6001})
        gate.open()
        for each in asked:
            assert len(each.result(PATIENCE_S)) == len(memory.seeds)
    check_words(memory, shard)


def test_words_that_cannot_be_opened_are_tried_again(memory: WordMemory) -> None:
    memory.lazy = True
    memory.update({1: 1001})
    shard = memory.open()
    restore, fails = shard._words._restore, [False, True]

    def failing() -> _index.LexicalIndex:
        if fails.pop():
            raise OSError("no disk")
        return restore()

    shard._words._restore = failing
    with pytest.raises(OSError, match="no disk"):
        found(shard, "November")
    memory.update({2: 1002})
    check_words(memory, shard)


def test_an_opening_that_fails_at_its_end_holds_up_nobody(memory: WordMemory, monkeypatch: pytest.MonkeyPatch) -> None:
    memory.lazy = True
    memory.update({1: 1001})
    shard = memory.open()

    def failing(*_: object) -> None:
        raise MemoryError

    with monkeypatch.context() as patch:
        patch.setattr(words_module, "_apply", failing)
        with pytest.raises(MemoryError):
            found(shard, "November")
    with ThreadPoolExecutor(1) as pool:
        assert len(pool.submit(found, shard, "November").result(PATIENCE_S)) == 1


# Beside the maintenance


def test_a_deleted_namespace_takes_both_files_along(tmp_path: Path) -> None:
    rooms = Rooms(tmp_path)
    namespace = create(rooms.store)
    path = rooms.registry.snapshot_path(namespace.number)
    rooms.put(namespace, 1, 2, 3)
    shard = rooms.open(namespace)
    shard._words.index()
    shard.save(path)
    assert path.exists()
    assert lexical_path(path).exists()
    rooms.writer.submit(DeleteNamespaceJob(rooms.registry, namespace.name)).result()
    rooms.maintenance.step()
    assert list(path.parent.iterdir()) == []
    rooms.close()


def test_a_missing_lexical_file_is_made_anew_after_a_restart(tmp_path: Path) -> None:
    """Without one, words that nobody adds to would be indexed again at each opening."""
    rooms = Rooms(tmp_path)
    namespace = create(rooms.store)
    path = lexical_path(rooms.registry.snapshot_path(namespace.number))
    rooms.put(namespace, 1, 2, 3)
    rooms.open(namespace)._words.index()
    rooms.close()
    assert path.exists()
    path.unlink()
    rooms = Rooms(tmp_path)
    rooms.open(namespace)._words.index()
    rooms.close()
    assert path.exists()
