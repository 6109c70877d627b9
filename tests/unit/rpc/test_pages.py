import base64

import pytest
from hypothesis import given
from hypothesis import strategies as st

from adamem.v1.admin_service_pb2 import ListNamespacesRequest
from adamem.v1.memory_service_pb2 import ListSlotsRequest
from adamem_server.errors import InvalidArgumentError
from adamem_server.rpc.pages import _checksum, decode_page_token, decode_row, encode_page_token
from tests.unit.rpc.support import refused


@given(st.text(max_size=20, alphabet=st.characters(codec="utf-8")))
def test_round_trip(position: str) -> None:
    request = ListNamespacesRequest(prefix="a")
    token = encode_page_token(request, position)
    assert (token == "") == (position == "")
    assert decode_page_token(ListNamespacesRequest(prefix="a", page_token=token, page_size=3)) == position


def test_no_token_is_the_start() -> None:
    assert decode_page_token(ListSlotsRequest()) == ""


def test_a_token_fits_only_its_request() -> None:
    token = encode_page_token(ListSlotsRequest(namespace="a"), "17")
    assert decode_page_token(ListSlotsRequest(namespace="a", page_token=token)) == "17"
    for other in (
        ListSlotsRequest(namespace="b", page_token=token),
        ListSlotsRequest(namespace="a", include_vectors=True, page_token=token),
        ListNamespacesRequest(prefix="a", page_token=token),
    ):
        with refused("page_token", "is not a token"):
            decode_page_token(other)


@pytest.mark.parametrize("token", ["x", "*", "яяя", "A" * 11, "A" * 5000, base64.b64encode(b"17").decode()])
def test_damaged_tokens(token: str) -> None:
    with refused("page_token", "is not a token"):
        decode_page_token(ListSlotsRequest(page_token=token))


@given(st.binary(max_size=40))
def test_no_token_crashes(raw: bytes) -> None:
    token = base64.urlsafe_b64encode(raw).decode()
    try:
        decode_page_token(ListSlotsRequest(page_token=token))
    except InvalidArgumentError:
        return
    assert token == ""


def forged(position: bytes) -> ListSlotsRequest:
    """What somebody sends who has read how tokens are made."""
    request = ListSlotsRequest(namespace="a")
    raw = _checksum(request, position) + position
    request.page_token = base64.urlsafe_b64encode(raw).decode().rstrip("=")
    return request


@pytest.mark.parametrize("position", [b"x", b"\xff", b"-1", b" 1", b"1_0", "٣".encode(), b"4294967295", b"9" * 5000])
def test_forged_tokens(position: bytes) -> None:
    with refused("page_token", "is not a token"):
        decode_row(forged(position))


def test_rows() -> None:
    assert decode_row(ListSlotsRequest(namespace="a")) == 0
    assert decode_row(forged(b"17")) == 17
    assert decode_row(forged(b"4294967294")) == 2**32 - 2
