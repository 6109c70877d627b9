"""Pages of lists: how large they get, and their tokens, opaque to clients and good only for the request they came from.

Token: base64url, unpadded, of checksum[8] || position in UTF-8. The checksum is BLAKE2b over the position and the
request without its page_size and page_token. It has no key: it finds mistakes, and a position is checked all the same.
"""

import base64
import binascii
import re
from collections.abc import Callable
from hashlib import blake2b
from typing import Final, TypeAlias, TypeVar

from google.protobuf.message import Message

from adamem.v1.admin_service_pb2 import ListNamespacesRequest
from adamem.v1.job_service_pb2 import ListJobsRequest
from adamem.v1.lifecycle_service_pb2 import (
    ListAbsorbedSlotsRequest,
    ListDuplicatePairsRequest,
    ListFindingSlotsRequest,
)
from adamem.v1.memory_service_pb2 import ListSlotsRequest
from adamem.v1.version_service_pb2 import DiffSnapshotsRequest, ListSlotVersionsRequest, ListSnapshotsRequest
from adamem_server.errors import InvalidArgumentError

RowsRequest: TypeAlias = (
    ListSlotsRequest | ListDuplicatePairsRequest | ListAbsorbedSlotsRequest | ListSlotVersionsRequest
)
ListRequest: TypeAlias = (
    ListNamespacesRequest
    | ListJobsRequest
    | RowsRequest
    | ListSnapshotsRequest
    | DiffSnapshotsRequest
    | ListFindingSlotsRequest
)

# gRPC's clients take messages of 4 MiB unless told otherwise.
MAX_PAGE_BYTES: Final = 4_000_000

_N_CHECKSUM: Final = 8
_ROW: Final = re.compile(r"[0-9]{1,10}")
# Rows are u32, and a listing goes on at the next one.
_LAST_ROW: Final = 2**32 - 2


_Page = TypeVar("_Page", bound=Message)


def fitting(page_size: int, read: Callable[[int], tuple[_Page, int]]) -> _Page:
    """A page with fewer items than asked for where they are large, so that every client takes it.

    Args:
        page_size: The most items.
        read: Makes the page of so many items at most; also tells how many it has.

    Returns:
        A message of at most MAX_PAGE_BYTES, or with one item.
    """
    while True:
        page, n = read(page_size)
        n_bytes = page.ByteSize()
        if n <= 1 or n_bytes <= MAX_PAGE_BYTES:
            return page
        page_size = max(1, n * MAX_PAGE_BYTES // (2 * n_bytes))


def encode_page_token(request: ListRequest, position: str) -> str:
    """The token that goes on from a position; an empty position is the end, and has no token."""
    if not position:
        return ""
    data = position.encode()
    return base64.urlsafe_b64encode(_checksum(request, data) + data).rstrip(b"=").decode()


def decode_page_token(request: ListRequest) -> str:
    """The position of the request's token; empty for the first page.

    Raises:
        InvalidArgumentError: The token is damaged, or was made for another request.
    """
    token = request.page_token
    if not token:
        return ""
    try:
        raw = base64.b64decode(token.encode() + b"=" * (-len(token) % 4), altchars=b"-_", validate=True)
    except (binascii.Error, ValueError):
        raw = b""
    checksum, data = raw[:_N_CHECKSUM], raw[_N_CHECKSUM:]
    if checksum != _checksum(request, data):
        raise _refusal()
    try:
        return data.decode()
    except UnicodeDecodeError as error:
        raise _refusal() from error


def decode_row(request: RowsRequest) -> int:
    """The row, or another number from 1, to go on from; 0 for the first page. Raises as `decode_page_token`."""
    position = decode_page_token(request) or "0"
    if _ROW.fullmatch(position) is None or int(position) > _LAST_ROW:
        raise _refusal()
    return int(position)


def decode_position(request: DiffSnapshotsRequest | ListFindingSlotsRequest) -> bytes:
    """The position to go on from, of bytes; b"" for the first page. Raises as `decode_page_token`."""
    try:
        return bytes.fromhex(decode_page_token(request))
    except ValueError as error:
        raise _refusal() from error


def _refusal() -> InvalidArgumentError:
    return InvalidArgumentError(
        "page_token", "is not a token of this server for these fields; send next_page_token of the page before"
    )


def _checksum(request: ListRequest, position: bytes) -> bytes:
    plain = type(request).FromString(request.SerializeToString())
    plain.ClearField("page_token")
    plain.ClearField("page_size")
    name = type(request).__name__.encode()
    return blake2b(
        b"\0".join((name, plain.SerializeToString(deterministic=True), position)), digest_size=_N_CHECKSUM
    ).digest()
