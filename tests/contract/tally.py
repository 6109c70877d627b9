"""How many cases passed through each face, by its name, and how many were tried."""

from collections import Counter
from typing import Final

passed: Final[Counter[str]] = Counter()
total: Final[Counter[str]] = Counter()
