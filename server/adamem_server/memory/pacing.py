"""How background work keeps out of the way: it waits while queries run, and takes no more than a share of a core."""

import os
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from threading import Event, Lock, get_native_id
from typing import Final

# Work is done in slices of about this much time on a core.
_SLICE_S: Final = 0.002
_LOOK_S: Final = 0.0005
# Under steady queries the work still goes on, a slice after each of these.
_MOST_PATIENCE_S: Final = 0.005
_NICE: Final = 10
# Queries that ended so long ago will be followed by others.
_RECENT_S: Final = 1.0
_BREATH_S: Final = 50e-6


def lower_priority() -> None:
    """Let the calling thread have only the time that queries and the encoder leave, where the system can do that."""
    if sys.platform == "linux":
        # Added to the niceness of the process, which may be started with one: it cannot be lowered again.
        os.setpriority(os.PRIO_PROCESS, get_native_id(), os.getpriority(os.PRIO_PROCESS, 0) + _NICE)


def now_us() -> int:
    """The wall clock, microseconds since the epoch."""
    return time.time_ns() // 1000


class Activity:
    """How many queries are under way. Thread-safe."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._n = 0
        self._ended_at = -_RECENT_S

    @contextmanager
    def counted(self) -> Iterator[None]:
        """Inside, one more is."""
        with self._lock:
            self._n += 1
        try:
            yield
        finally:
            with self._lock:
                self._n -= 1
                self._ended_at = time.monotonic()

    def busy(self) -> bool:
        """Whether there is any."""
        return self._n > 0

    def was_busy(self) -> bool:
        """Whether there is any, or was a moment ago."""
        return self._n > 0 or time.monotonic() - self._ended_at < _RECENT_S

    def breathe(self) -> None:
        """Let go of the interpreter for a moment, if there is any: to yield it is not enough, as nobody is woken."""
        if self._n > 0:
            time.sleep(_BREATH_S)

    def wait_idle(self, stop: Event) -> None:
        """Wait until there is none, for some milliseconds at most."""
        give_up_at = time.monotonic() + _MOST_PATIENCE_S
        while self.busy() and time.monotonic() < give_up_at and not stop.wait(_LOOK_S):
            pass


class Pacer:
    """Called between small steps of one thread: waits as long as it should, and says whether to stop.

    Args:
        activity: While it is busy, nothing is done.
        share: Of a core that the thread may take, above 0 to 1.
        stop: Ends it.
    """

    def __init__(self, activity: Activity, share: float, stop: Event) -> None:
        self._activity = activity
        self._rest_per_s = 1.0 / share - 1.0
        self._stop = stop
        self._since = time.thread_time()

    def __call__(self) -> bool:
        """True to stop."""
        worked = time.thread_time() - self._since
        if worked >= _SLICE_S:
            self._stop.wait(worked * self._rest_per_s)
            self._activity.wait_idle(self._stop)
            self._since = time.thread_time()
        return self._stop.is_set()
