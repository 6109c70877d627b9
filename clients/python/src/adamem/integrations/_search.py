"""Hits that also pass what the server cannot check."""

from collections.abc import Callable, Iterator
from typing import Any, Final

from adamem._client import Client
from adamem.errors import NamespaceNotFoundError
from adamem.types import Hit, Slot

_MAX_TOP_K: Final = 1000


def passing_hits(client: Client, n: int, passes: Callable[[Slot], bool], **query: Any) -> Iterator[Hit]:
    """Best first; at least `n` where there are so many among the best 1,000, and none in a namespace that is not there.

    Args:
        client: Asked, again for twice as many while some did not pass.
        n: How many are wanted.
        passes: What the server does not check.
        query: Arguments of `Client.query`.
    """
    seen: set[str] = set()
    n_passed, top_k = 0, min(n, _MAX_TOP_K)
    while top_k:
        try:
            result = client.query(**query, top_k=top_k)
        except NamespaceNotFoundError:
            return
        for hit in result:
            if hit.id not in seen and passes(hit.slot):
                n_passed += 1
                yield hit
            seen.add(hit.id)
        if len(result) < top_k or top_k == _MAX_TOP_K or n_passed >= n:
            return
        top_k = min(2 * top_k, _MAX_TOP_K)
