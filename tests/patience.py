"""How long a test waits for what is to come: far longer than that takes on a slow machine that does much else."""

import time
from collections.abc import Callable

PATIENCE_S = 120


def wait_until(condition: Callable[[], bool]) -> None:
    """Wait for what another thread or process is about to do and cannot tell."""
    give_up_at = time.monotonic() + PATIENCE_S
    while not condition():
        assert time.monotonic() < give_up_at
        time.sleep(0.001)
