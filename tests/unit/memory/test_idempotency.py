"""Requests sent again under their id: carried out once, answered the same; nothing else gets their answer."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

from adamem_server.errors import (
    AbortedError,
    DimensionMismatchError,
    InvalidArgumentError,
    ModelMismatchError,
    NamespaceExistsError,
    RequestIdReusedError,
)
from adamem_server.memory.jobs import REQUEST_MEMORY_US
from adamem_server.memory.pending import PendingUpdate
from adamem_server.types import NamespaceSpec, SlotInput, UpdateResult, WriteResult
from tests.unit.memory.engines import Lab, WordEmbedder, key, stored
from tests.unit.memory.support import NOW, slot_id

A = SlotInput(content="the cat sleeps")
DYING = SlotInput(content="gone soon", expires_at=NOW + 10)
BAD = SlotInput(content="another dimension", vector=np.ones(3, np.float32))


@pytest.fixture
def lab(tmp_path: Path) -> Iterator[Lab]:
    lab = Lab(tmp_path)
    yield lab
    lab.close()


def kinds(result: UpdateResult) -> list[type]:
    return [type(item) for item in result.results]


def test_an_update_is_carried_out_once(lab: Lab) -> None:
    first = lab.engine.update("anna", [A, A], request=key("r"))
    lab.now += 1000
    n_windows = lab.embedder.n_windows
    assert lab.engine.update("anna", [A, A], request=key("r")) == first
    pending = lab.engine.submit_update("anna", [A, A], request=key("r"))
    pending.write()
    assert pending.result() == first
    assert lab.embedder.n_windows == n_windows, "a known request is not embedded again"
    lab.restart()
    assert lab.engine.update("anna", [A, A], request=key("r")) == first
    assert lab.engine.get_namespace("anna").sequence == first.sequence == 1
    assert len(lab.slots("anna")) == 2


def test_the_answer_does_not_change_with_the_slot(lab: Lab) -> None:
    first = lab.engine.update("anna", [A], request=key("r"))
    lab.engine.delete_slots("anna", slot_ids=[stored(first.results[0])])
    assert lab.engine.update("anna", [A], request=key("r")) == first
    assert lab.slots("anna") == []


def test_an_id_of_another_request_is_refused(lab: Lab) -> None:
    lab.engine.update("anna", [A], request=key("r", "a"))
    for refused in (
        lambda: lab.engine.update("anna", [A], request=key("r", "b")),
        lambda: lab.engine.submit_update("anna", [A], request=key("r", "b")),
        lambda: lab.engine.delete_slots("anna", slot_ids=[slot_id(1)], request=key("r", "b")),
    ):
        with pytest.raises(RequestIdReusedError):
            refused()
    lab.engine.update("bert", [A], request=key("r", "b"))
    assert [len(lab.slots(name)) for name in ("anna", "bert")] == [1, 1]


def test_duplicates_at_once_are_written_once(lab: Lab) -> None:
    with lab.embedder.held():
        pending = [lab.engine.submit_update("anna", [A], request=key("r")) for _ in range(8)]
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(PendingUpdate.write, pending))
        results = list(pool.map(PendingUpdate.result, pending))
    assert len({stored(result.results[0]) for result in results}) == 1
    assert {result.sequence for result in results} == {1}
    assert len(lab.slots("anna")) == 1


def test_two_requests_at_once_with_one_id_are_not_both_carried_out(lab: Lab) -> None:
    with lab.embedder.held():
        first = lab.engine.submit_update("anna", [A], request=key("r", "a"))
        second = lab.engine.submit_update("anna", [A], request=key("r", "b"))
    first.write()
    second.write()
    first.result()
    with pytest.raises(RequestIdReusedError):
        second.result()
    assert len(lab.slots("anna")) == 1


def test_an_expiry_that_has_passed_since_changes_no_answer(lab: Lab) -> None:
    items = [BAD, DYING, A, DYING]
    first = lab.engine.update("anna", items, request=key("mixed"))
    alone = lab.engine.update("anna", [DYING], request=key("alone"))
    assert kinds(first)[0] is DimensionMismatchError
    assert len(lab.slots("anna")) == 4
    lab.now = NOW + 10
    for _ in range(2):
        again = lab.engine.update("anna", items, request=key("mixed"))
        assert (again.sequence, again.results[1:]) == (first.sequence, first.results[1:])
        assert isinstance(again.results[0], DimensionMismatchError)
        assert lab.engine.update("anna", [DYING], request=key("alone")) == alone
        lab.restart()
    assert lab.contents("anna") == [A.content]


def test_an_expiry_that_had_passed_at_first_is_refused_again(lab: Lab) -> None:
    lab.now = NOW + 10
    first = lab.engine.update("anna", [DYING, A], request=key("r"))
    lab.now = NOW + 11
    for result in (first, lab.engine.update("anna", [DYING, A], request=key("r"))):
        refused = result.results[0]
        assert isinstance(refused, InvalidArgumentError)
        assert refused.message == "slots[0].expires_at: has passed"
        assert result.results[1] == first.results[1]


def test_the_time_of_the_request_decides_not_that_of_its_execution(lab: Lab) -> None:
    lab.now = NOW + 10
    result = lab.engine.update("anna", [DYING], request=key("r"), received_at=NOW + 9)
    stored(result.results[0])
    assert lab.engine.update("anna", [DYING], request=key("r"), received_at=NOW + 10) == result
    pending = lab.engine.submit_update("anna", [DYING], received_at=NOW + 10)
    pending.write()
    assert kinds(pending.result()) == [InvalidArgumentError]


@pytest.mark.parametrize("first_first", [True, False])
def test_duplicates_prepared_before_and_after_an_expiry_get_one_answer(lab: Lab, first_first: bool) -> None:
    with lab.embedder.held():
        early = lab.engine.submit_update("anna", [DYING, A], request=key("r"))
        lab.now = NOW + 10
        late = lab.engine.submit_update("anna", [DYING, A], request=key("r"))
    pending = [early, late] if first_first else [late, early]
    for each in pending:
        each.write()
    results = [each.result() for each in pending]
    assert results[0].results[1] == results[1].results[1]
    for result in results:
        assert kinds(result) == [WriteResult if first_first else InvalidArgumentError, WriteResult]


def test_another_model_changes_no_answer(lab: Lab) -> None:
    supplied = SlotInput(content="with vector", vector=np.ones(64, np.float32))
    first = lab.engine.update("anna", [A, supplied], request=key("r"))
    lab.restart(WordEmbedder("other words"))
    assert lab.engine.update("anna", [A, supplied], request=key("r")) == first
    mixed = lab.engine.update("anna", [A, supplied], request=key("mixed"))
    assert kinds(mixed)[0] is ModelMismatchError
    again = lab.engine.update("anna", [A, supplied], request=key("mixed"))
    assert (kinds(again), again.results[1]) == (kinds(mixed), mixed.results[1])
    lab.restart(WordEmbedder())
    with pytest.raises(AbortedError):
        lab.engine.update("anna", [A, supplied], request=key("mixed"))


def test_an_answer_that_cannot_be_told_any_more(lab: Lab) -> None:
    """With other limits the server takes another part of the same request."""
    lab.engine.update("anna", [A, A], request=key("r"))
    with pytest.raises(AbortedError):
        lab.engine.update("anna", [A], request=key("r"))
    assert len(lab.slots("anna")) == 2


def test_requests_are_forgotten_after_a_day(lab: Lab) -> None:
    first = lab.engine.update("anna", [A], request=key("r"))
    lab.now = NOW + REQUEST_MEMORY_US
    lab.engine.update("anna", [A], request=key("other"))
    assert lab.engine.update("anna", [A], request=key("r")) == first
    lab.now += 1
    lab.engine.update("anna", [A], request=key("one more"))
    assert lab.engine.update("anna", [A], request=key("r")) != first
    assert len(lab.slots("anna")) == 4


def test_a_namespace_made_again_knows_no_request_of_the_old_one(lab: Lab) -> None:
    first = lab.engine.update("anna", [A], request=key("r"))
    lab.engine.delete_namespace("anna")
    assert lab.engine.update("anna", [A], request=key("r")).results != first.results
    assert len(lab.slots("anna")) == 1


def test_duplicates_around_the_deletion_of_their_namespace(lab: Lab) -> None:
    with lab.embedder.held():
        pending = lab.engine.submit_update("anna", [A], request=key("r"))
    lab.engine.delete_namespace("anna")
    pending.write()
    first = pending.result()
    assert lab.engine.update("anna", [A], request=key("r")) == first
    assert len(lab.slots("anna")) == 1


def test_a_deletion_is_carried_out_once(lab: Lab) -> None:
    ids = [*lab.put("anna", "a", "b"), slot_id(1)]
    first = lab.engine.delete_slots("anna", slot_ids=ids, request=key("r"))
    assert (first.n_deleted, first.n_not_found) == (2, 1)
    lab.put("anna", "again", id=ids[0])
    assert lab.engine.delete_slots("anna", slot_ids=ids, request=key("r")) == first
    lab.restart()
    assert lab.engine.delete_slots("anna", slot_ids=ids, request=key("r")) == first
    assert lab.contents("anna") == ["again"]


def test_a_namespace_is_created_once(lab: Lab) -> None:
    spec = NamespaceSpec(name="anna", description="mine")
    first = lab.engine.create_namespace(spec, request=key("r"))
    assert lab.engine.create_namespace(spec, request=key("r")) == first
    lab.restart()
    assert lab.engine.create_namespace(spec, request=key("r")) == first
    with pytest.raises(RequestIdReusedError):
        lab.engine.create_namespace(NamespaceSpec(name="bert"), request=key("r", "other"))
    with pytest.raises(NamespaceExistsError):
        lab.engine.create_namespace(spec, request=key("another"))


def test_an_update_of_no_namespace_has_nothing_to_do_with_their_creation(lab: Lab) -> None:
    lab.engine.create_namespace(NamespaceSpec(name="anna"), request=key("r", "create"))
    assert kinds(lab.engine.update("bert", [BAD], request=key("r", "update"))) == [DimensionMismatchError]
