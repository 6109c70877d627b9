"""Idempotent requests that were carried out: found by their ids, forgotten with age or with slots that they name."""

from collections.abc import Collection
from collections.abc import Set as AbstractSet
from typing import TYPE_CHECKING

from adamem_server.store import codec, keys
from adamem_server.store.codec import Request

if TYPE_CHECKING:
    from adamem_server.store.slot_store import ReadView, WriteBatch


def read_request(view: "ReadView", number: int, request_id: str) -> Request | None:
    """What a request did, None when it is not known."""
    value = view.get("requests", keys.request_key(number, request_id))
    return None if value is None else codec.decode_request(value)


def requests_naming(view: "ReadView", number: int, slot_ids: AbstractSet[str] | None, upto: int) -> list[bytes]:
    """Keys of the requests up to a time that brought one of some slots that are gone; None: of all.

    Also of feedback on one of them, if no other slot that it named is there: with it would stay what it taught.
    Cost: O(requests).
    """
    prefix = keys.number_key(number)
    found: list[bytes] = []
    for key, value in view.scan("requests", prefix, prefix):
        request = codec.decode_request(value)
        if slot_ids is None or (request.time <= upto and _names(view, number, request, slot_ids)):
            found.append(key)
    return found


def _names(view: "ReadView", number: int, request: Request, slot_ids: AbstractSet[str]) -> bool:
    if slot_ids.isdisjoint(request.slot_ids):
        return False
    return not request.n_taught or all(view.row(number, each) is None for each in request.slot_ids)


def put_request(batch: "WriteBatch", number: int, request_id: str, request: Request) -> None:
    """Remember a request."""
    key = keys.request_key(number, request_id)
    batch.put("requests", key, codec.encode_request(request))
    batch.put("request_ages", keys.request_age_key(request.time, key), b"")


def forget_requests(batch: "WriteBatch", request_keys: Collection[bytes]) -> None:
    """Remove requests, so that nothing tells what they were or did."""
    for key in request_keys:
        value = batch.get("requests", key)
        if value is not None:
            batch.delete("requests", key)
            batch.delete("request_ages", keys.request_age_key(codec.decode_request(value).time, key))


def forget_old_requests(batch: "WriteBatch", before: int, most: int) -> None:
    """Remove up to `most` requests that were carried out before a time in microseconds."""
    cursor = batch.cursor("request_ages")
    found = cursor.first()
    while found and most > 0 and cursor.key():
        time, key = keys.request_age_of(cursor.key())
        if time >= before:
            return
        batch.delete("requests", key)
        found = cursor.delete()
        most -= 1
