import pickle

import grpc
import pytest
from google.rpc import error_details_pb2

import adamem
import adamem_server.errors as server_errors
from adamem.errors import FieldViolation, error_from_rpc, error_from_status
from tests.unit.client.conftest import info, retry_after, status


def descendants(parent):
    return [each for child in parent.__subclasses__() for each in (child, *descendants(child))]


def of_requests():
    """The server's errors that a request can meet; the others end the server or a command before."""
    kept_home = {server_errors.StartupError, server_errors.ModelError}
    kept_home |= {each for parent in list(kept_home) for each in descendants(parent)}
    return [each for each in descendants(server_errors.AdaMemError) if each not in kept_home]


@pytest.mark.parametrize("server_class", of_requests(), ids=lambda each: each.__name__)
def test_each_reason_of_the_server_has_the_class_of_the_same_name(server_class) -> None:
    error = error_from_status(status(grpc.StatusCode.UNKNOWN, "m", info(server_class.reason, namespace="n")))
    assert type(error).__name__ == server_class.__name__
    assert (error.reason, error.metadata, error.message) == (server_class.reason, {"namespace": "n"}, "m")


def test_the_tree_in_the_docstring_is_the_tree() -> None:
    doc = adamem.errors.__doc__
    for each in descendants(adamem.AdaMemError):
        assert f"── {each.__name__}" in doc


def test_an_unknown_reason_falls_back_on_the_status_code() -> None:
    error = error_from_status(status(grpc.StatusCode.NOT_FOUND, "m", info("ADAPTER_NOT_FOUND")))
    assert type(error) is adamem.NotFoundError
    assert error.reason == "ADAPTER_NOT_FOUND"


def test_a_reason_of_another_domain_is_not_ours() -> None:
    error = error_from_status(status(grpc.StatusCode.UNAVAILABLE, "m", info("SLOT_NOT_FOUND", domain="proxy")))
    assert type(error) is adamem.UnavailableError
    assert error.reason == "UNAVAILABLE"


def test_a_code_without_a_class_is_the_parent() -> None:
    assert type(error_from_status(status(grpc.StatusCode.OUT_OF_RANGE))) is adamem.AdaMemError


def test_field_violations_and_retry_delay_are_read() -> None:
    bad = error_details_pb2.BadRequest(
        field_violations=[error_details_pb2.BadRequest.FieldViolation(field="slot.content", description="is empty")]
    )
    error = error_from_status(
        status(grpc.StatusCode.INVALID_ARGUMENT, "m", info("INVALID_ARGUMENT"), bad, retry_after(1.5))
    )
    assert error.violations == (FieldViolation("slot.content", "is empty"),)
    assert isinstance(error, adamem.InvalidArgumentError)
    assert error.field == "slot.content"
    assert error.retry_delay_s == 1.5


class Failed(grpc.RpcError):
    def __init__(self, trailer) -> None:
        self._trailer = trailer

    def trailing_metadata(self):
        return self._trailer

    def code(self):
        return grpc.StatusCode.DATA_LOSS

    def details(self):
        return "d"


@pytest.mark.parametrize("trailer", [None, (), (("x", "y"),), (("grpc-status-details-bin", b"\xff\xff\xff"),)])
def test_without_readable_details_the_status_code_decides(trailer) -> None:
    error = error_from_rpc(Failed(trailer))
    assert type(error) is adamem.DataCorruptError
    assert error.message == "d"


def test_errors_can_be_pickled() -> None:
    error = error_from_status(status(grpc.StatusCode.NOT_FOUND, "m", info("SLOT_NOT_FOUND", slot_id="x")))
    copy = pickle.loads(pickle.dumps(error))
    assert (type(copy), copy.reason, copy.metadata, str(copy)) == (type(error), error.reason, error.metadata, "m")


def test_an_error_of_a_call_carries_what_the_server_said(client) -> None:
    with pytest.raises(adamem.SlotNotFoundError) as caught:
        client.get_slot("0")
    assert caught.value.metadata == {"slot_id": "x"}
    assert caught.value.code is grpc.StatusCode.NOT_FOUND


def test_nobody_listens() -> None:
    with (
        adamem.Client("localhost:1", timeout_s=120.0, max_attempts=2) as client,
        pytest.raises(adamem.UnavailableError),
    ):
        client.server_info()


def test_a_deadline_is_also_a_timeout_error(client, server) -> None:
    server.awake.clear()
    with pytest.raises(TimeoutError):
        client.query("x", timeout_s=0.2)
