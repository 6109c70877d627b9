import base64

import pytest
from hypothesis import given
from hypothesis import strategies as st

from adamem.v1.admin_service_pb2 import ListNamespacesRequest, ListNamespacesResponse, Namespace
from adamem.v1.memory_service_pb2 import ListSlotsRequest
from adamem_server.errors import InvalidArgumentError
from adamem_server.rpc import pages
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


@given(st.lists(st.integers(0, 750), min_size=1, max_size=20), st.integers(1, 30))
def test_large_items_make_pages_smaller(sizes: list[int], page_size: int) -> None:
    asked: list[int] = []

    def read(most: int) -> tuple[ListNamespacesResponse, int]:
        asked.append(most)
        namespaces = [Namespace(description="x" * size) for size in sizes[:most]]
        return ListNamespacesResponse(namespaces=namespaces), len(namespaces)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(pages, "MAX_PAGE_BYTES", 1000)
        page = pages.fitting(page_size, read)
    assert asked[0] == page_size
    assert asked == sorted(set(asked), reverse=True)
    assert page.ByteSize() <= 1000 or len(page.namespaces) == 1
    assert all(sum(sizes[:most]) > 800 for most in asked[:-1])
