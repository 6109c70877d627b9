"""The ranges of whole numbers in requests, for a face such as JSON's, whose numbers are wider than the protocol's."""

from collections.abc import Mapping
from typing import Final

from adamem_server.lifecycle.findings import MAX_EXAMPLES, MAX_STALE_DAYS
from adamem_server.rpc.checks import MAX_DIM, MAX_PAGE_SIZE
from adamem_server.types import (
    MAX_AFTER_SLOTS,
    MAX_HISTORY_VERSIONS,
    MAX_SUMMARY_CHARS,
    MIN_SUMMARY_CHARS,
    Limits,
)

MAX_EF_SEARCH: Final = 10_000
MAX_RERANK: Final = 100
MIN_M: Final = 4
DEFAULT_M: Final = 16
MAX_M: Final = 64
MAX_EF_CONSTRUCTION: Final = 1000
# Of slots and bytes that a namespace keeps found.
MAX_KEPT: Final = 2**53


def integer_ranges(limits: Limits) -> Mapping[str, tuple[int, int]]:
    """The least and the greatest value by the name of the field, which is the same in all requests that have it."""
    return {
        "top_k": (1, limits.max_top_k),
        "ef_search": (1, MAX_EF_SEARCH),
        "rerank": (0, MAX_RERANK),
        "page_size": (0, MAX_PAGE_SIZE),
        "dim": (0, MAX_DIM),
        "m": (MIN_M, MAX_M),
        "ef_construction": (MIN_M, MAX_EF_CONSTRUCTION),
        "history_versions": (0, MAX_HISTORY_VERSIONS),
        "max_slots": (0, MAX_KEPT),
        "max_bytes": (0, MAX_KEPT),
        "after_slots": (0, MAX_AFTER_SLOTS),
        "max_chars": (MIN_SUMMARY_CHARS, MAX_SUMMARY_CHARS),
        "stale_days": (1, MAX_STALE_DAYS),
        "n_examples": (0, MAX_EXAMPLES),
    }
