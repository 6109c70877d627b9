from base64 import b64encode
from collections.abc import Iterator
from urllib.parse import quote

import pytest
from google.rpc.error_details_pb2 import BadRequest, ErrorInfo, RetryInfo
from google.rpc.status_pb2 import Status
from grpc import StatusCode

from adamem_server import errors
from adamem_server.errors import AdaMemError
from adamem_server.rpc.errors import STATUS_CODES, error_status, internal_error, relocated, status_code


def classes(parent: type[AdaMemError] = AdaMemError) -> Iterator[type[AdaMemError]]:
    yield parent
    for child in parent.__subclasses__():
        yield from classes(child)


def details(status: Status) -> list[ErrorInfo | BadRequest | RetryInfo]:
    unpacked = []
    for packed in status.details:
        for kind in (ErrorInfo, BadRequest, RetryInfo):
            if packed.Is(kind.DESCRIPTOR):
                detail = kind()
                packed.Unpack(detail)
                unpacked.append(detail)
    assert len(unpacked) == len(status.details)
    return unpacked


@pytest.mark.parametrize("cls", list(classes()), ids=lambda cls: cls.__name__)
def test_every_error_has_a_status_code(cls: type[AdaMemError]) -> None:
    assert STATUS_CODES[cls] not in (StatusCode.OK, StatusCode.UNKNOWN)


def test_the_table_has_no_row_without_a_class() -> None:
    assert set(STATUS_CODES) == set(classes())


def test_reasons_are_unique_and_written_as_constants() -> None:
    reasons = [cls.reason for cls in classes()]
    assert len(set(reasons)) == len(reasons)
    assert all(reason.isupper() and reason.replace("_", "").isalpha() for reason in reasons)


def test_the_tree_in_the_docstring_is_the_tree() -> None:
    assert errors.__doc__ is not None
    assert all(cls.__name__ in errors.__doc__ for cls in classes())


def test_a_status_has_one_error_info() -> None:
    status = error_status(errors.SlotNotFoundError("global", "01"))
    assert status.code == StatusCode.NOT_FOUND.value[0]
    assert status.message == "namespace 'global' has no slot '01'"
    (info,) = details(status)
    assert isinstance(info, ErrorInfo)
    assert (info.reason, info.domain) == ("SLOT_NOT_FOUND", "adamem")
    assert dict(info.metadata) == {"namespace": "global", "slot_id": "01"}


def test_an_invalid_argument_names_the_field() -> None:
    info, bad = details(error_status(errors.InvalidArgumentError("top_k", "is 0", limit="1..9")))
    assert isinstance(info, ErrorInfo)
    assert dict(info.metadata) == {"field": "top_k", "limit": "1..9"}
    assert isinstance(bad, BadRequest)
    assert [(violation.field, violation.description) for violation in bad.field_violations] == [("top_k", "is 0")]


@pytest.mark.parametrize(
    "error", [errors.ShuttingDownError(), errors.OverloadedError("full"), errors.ShardStaleError("stale")]
)
def test_what_may_be_sent_again_says_when(error: AdaMemError) -> None:
    (retry,) = [detail for detail in details(error_status(error)) if isinstance(detail, RetryInfo)]
    assert retry.retry_delay.seconds > 0


def test_a_full_disk_is_not_to_be_tried_again() -> None:
    assert not any(isinstance(detail, RetryInfo) for detail in details(error_status(errors.StorageFullError("full"))))


def test_an_unexpected_error_tells_only_its_request_id() -> None:
    error = internal_error("abc")
    assert status_code(error) is StatusCode.INTERNAL
    (info,) = details(error_status(error))
    assert isinstance(info, ErrorInfo)
    assert (info.reason, dict(info.metadata)) == ("INTERNAL", {"request_id": "abc"})


@pytest.mark.parametrize("letter", ["a", "я", "€", "😀"])
def test_long_values_are_cut_to_fit_the_trailers(letter: str) -> None:
    error = errors.InvalidArgumentError(letter * 10_000, letter * 10_000, limit=letter * 10_000)
    status = error_status(error)
    # As they go over the wire: the message percent-encoded, the details in base64.
    assert len(quote(status.message)) + len(b64encode(status.SerializeToString())) < 5_000
    assert status.message.startswith(letter * 100)


def test_paths_of_the_engine_become_paths_of_the_request() -> None:
    error = relocated(errors.DimensionMismatchError("slots[0].vector.values", 3, 2), "slots[0]", "slot")
    assert error.metadata["field"] == "slot.vector.values"
    assert error.message.startswith("slot.vector.values: has 2 values")
    moved = relocated(errors.InvalidArgumentError("slots[1].vector.values", "is bad"), "slots[1]", "slots[12]")
    assert isinstance(moved, errors.InvalidArgumentError)
    assert moved.field == moved.metadata["field"] == "slots[12].vector.values"
