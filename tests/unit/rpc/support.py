"""What the tests of this room share: limits that are small enough to cross, and a way to say what must be refused."""

from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import pytest

from adamem.v1 import types_pb2
from adamem_server.errors import InvalidArgumentError
from adamem_server.types import Limits

LIMITS = Limits(
    max_content_bytes=100,
    max_metadata_bytes=60,
    max_tags=3,
    max_batch=5,
    max_top_k=10,
    max_filter_depth=4,
    max_filter_nodes=8,
    max_query_namespaces=3,
    max_message_bytes=1 << 20,
)
NOW_US = 1_800_000_000_000_000
ULID = "01ARZ3NDEKTSV4RRFFQ69G5FAV"


@contextmanager
def refused(field: str, problem: str = "", *, limit: str | None = None) -> Iterator[None]:
    with pytest.raises(InvalidArgumentError) as caught:
        yield
    error = caught.value
    assert error.field == error.metadata["field"] == field
    assert problem in error.problem
    assert error.metadata.get("limit") == limit


def vector(*values: float) -> types_pb2.Vector:
    return types_pb2.Vector(values=np.array(values, "<f4").tobytes())
