"""What a JSON text takes when it is decoded, told from its marks before it is: empty objects take 75 times their bytes.

A request of many small values would take gigabytes within the limits of its bytes. One that takes much, and far more
than its bytes, is refused.
"""

import re
from typing import Final

from adamem_server.errors import InvalidArgumentError

# Bytes of an object or list, of a name, and of a value, as they are parsed and as a message has them; about.
_CONTAINER_BYTES: Final = 240
_NAME_BYTES: Final = 64
_VALUE_BYTES: Final = 32
# So much any request may take; above it, so many times its own bytes.
_FREE_BYTES: Final = 16 << 20
_MAX_RATIO: Final = 20
# A string, to the end of the text where it has none. Linear: what it has matched it never gives back.
_STRING: Final = re.compile(rb'"(?:[^"\\]++|\\.?)*+"?', re.DOTALL)


def check_weight(text: bytes, field: str) -> None:
    """Refuse a text that takes far more memory than its bytes. Cost: some passes over a text of more than 70 kB.

    Raises:
        InvalidArgumentError.
    """
    most = max(_FREE_BYTES, _MAX_RATIO * len(text))
    # Marks in strings count too at first: few texts have so many.
    if len(text) * _CONTAINER_BYTES > most and _weight(text) > most and _weight(_STRING.sub(b"", text)) > most:
        limit = f"{_MAX_RATIO} times its bytes"
        raise InvalidArgumentError(
            field, f"has so many small values that it takes more than {limit} of memory: send less at once", limit=limit
        )


def _weight(text: bytes) -> int:
    n_containers = text.count(b"{") + text.count(b"[")
    return _CONTAINER_BYTES * n_containers + _NAME_BYTES * text.count(b":") + _VALUE_BYTES * text.count(b",")
