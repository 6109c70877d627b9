"""How background work keeps out of the way: it waits while queries run, and takes no more than a share of a core."""

import ctypes
import os
import platform
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from threading import Event, Lock, get_native_id
from typing import Final

# Work is done in slices of about this much time on a core.
_SLICE_S: Final = 0.002
_LOOK_S: Final = 0.0005
# Under steady queries the work still goes on, a slice after each of these.
_MOST_PATIENCE_S: Final = 0.005
_NICE: Final = 10
_MOST_NICE: Final = 19
# The longest slice that Linux gives.
_SLICE_NS: Final = 100_000_000
# The number of the call, which the C library may lack.
_SCHED_SETATTR: Final = {"x86_64": 314, "aarch64": 274}
# Queries that ended so long ago will be followed by others.
_RECENT_S: Final = 1.0
# Steps of some 10 microseconds that hold the interpreter, between two queries.
_STEPS: Final = 12
# A query that was answered here still has to be encoded and sent.
_LEAVING_S: Final = 300e-6
# Where no query ends, some steps are taken after so long.
_GAP_PATIENCE_S: Final = 0.002
# Of what others wait for, so much is done at least.
_LEAST_STEPS: Final = 2 * _STEPS


class _SchedAttr(ctypes.Structure):
    """Linux' struct sched_attr, in its first form."""

    _fields_ = (
        ("size", ctypes.c_uint32),
        ("sched_policy", ctypes.c_uint32),
        ("sched_flags", ctypes.c_uint64),
        ("sched_nice", ctypes.c_int32),
        ("sched_priority", ctypes.c_uint32),
        ("sched_runtime", ctypes.c_uint64),
        ("sched_deadline", ctypes.c_uint64),
        ("sched_period", ctypes.c_uint64),
    )


def lower_priority() -> None:
    """Let the calling thread have only the time that queries and the encoder leave, where the system can do that."""
    if sys.platform == "linux":
        # Added to the niceness of the process, which may be started with one: it cannot be lowered again.
        nice = min(os.getpriority(os.PRIO_PROCESS, 0) + _NICE, _MOST_NICE)
        os.setpriority(os.PRIO_PROCESS, get_native_id(), nice)
        # A thread that wakes up takes the core at once from one with longer slices than its own, since Linux 6.12; from
        # another one, however nice, only when its slice is over, some milliseconds later. Where that cannot be set the
        # call does nothing.
        attributes = _SchedAttr(size=ctypes.sizeof(_SchedAttr), sched_nice=nice, sched_runtime=_SLICE_NS)
        number = _SCHED_SETATTR.get(platform.machine())
        if number is not None:
            ctypes.CDLL(None).syscall(number, 0, ctypes.byref(attributes), 0)


def now_us() -> int:
    """The wall clock, microseconds since the epoch."""
    return time.time_ns() // 1000


class Activity:
    """How many queries are under way. Thread-safe."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._n = 0
        self._ended_at = -_RECENT_S
        self._ended = Event()

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
                if not self._n and not self._ended.is_set():
                    self._ended.set()

    def busy(self) -> bool:
        """Whether there is any."""
        return self._n > 0

    def was_busy(self) -> bool:
        """Whether there is any, or was a moment ago."""
        return self._n > 0 or time.monotonic() - self._ended_at < _RECENT_S

    def wait_end(self, most_s: float) -> bool:
        """Wait until the last one that is or comes under way has ended, for so long at most; whether one has."""
        self._ended.clear()
        return self._ended.wait(most_s)

    def wait_idle(self, stop: Event) -> None:
        """Wait until there is none, for some milliseconds at most."""
        give_up_at = time.monotonic() + _MOST_PATIENCE_S
        while self.busy() and time.monotonic() < give_up_at and not stop.wait(_LOOK_S):
            pass


class Gaps:
    """Lets one thread work between queries; called before each small step that holds the interpreter.

    A thread that wants the interpreter is not woken in the moments in which another lets go of it: a query that arrives
    would wait for many of them. So some steps are taken behind the end of a query, when its client is busy with the
    answer, and none until the next one has ended too, or none has for a while.

    Args:
        activity: Of queries.
        is_awaited: Whether others wait for what the thread does.
    """

    def __init__(self, activity: Activity, is_awaited: Callable[[], bool]) -> None:
        self._activity = activity
        self._is_awaited = is_awaited
        # Whether steps were left for those who wait.
        self.is_cut = False

    def wait(self) -> None:
        """Return when it is time for some steps."""
        if self._activity.was_busy() and self._activity.wait_end(_GAP_PATIENCE_S):
            time.sleep(_LEAVING_S)

    def __call__(self, n_done: int) -> bool:
        """Before the step after so many: True to leave the others, for those who wait."""
        if n_done % _STEPS == 0:
            if n_done >= _LEAST_STEPS and self._is_awaited():
                self.is_cut = True
                return True
            self.wait()
        return False


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
