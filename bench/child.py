"""A process of its own for each system: one core, its own memory, kept alive and told over a pipe what to do.

What a call names is a function of a module, which runs in the child on the child's state.
"""

import os
import pickle
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Concatenate, ParamSpec, TypeVar

from bench.adapters.base import Adapter, Ids, Rows

P = ParamSpec("P")
T = TypeVar("T")
THREAD_SETTINGS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")


class ChildError(Exception):
    """What a child was told to do could not be done."""


CLOCKS = {"wall": time.perf_counter, "cpu": time.process_time}
"""The second leaves out what other processes took, for a machine that is not idle."""


@dataclass(frozen=True)
class Place:
    """The core that children run on, the clock by which they are measured, and for how long at least each time."""

    core: int
    clock: str = "wall"
    min_s: float = 0.25


@dataclass
class State:
    """What a child keeps between calls."""

    clock: Callable[[], float]
    """Seconds."""
    min_s: float
    adapter: Adapter
    queries: Rows
    part: Rows
    """Queries of the filter at hand."""
    ways: dict[str, Callable[[Rows], Ids]]
    """Ways to search with that filter."""


def once(place: Place, function: Callable[Concatenate[State, P], T], *args: P.args, **keywords: P.kwargs) -> T:
    """One call in a child of its own."""
    child = Child(place)
    try:
        return child.call(function, *args, **keywords)
    finally:
        child.end()


class Child:
    """A child process, pinned to one core."""

    def __init__(self, place: Place) -> None:
        command = [sys.executable, "-m", "bench.child", str(place.core), place.clock, str(place.min_s)]
        environment = os.environ | dict.fromkeys(THREAD_SETTINGS, "1")
        pipe = subprocess.PIPE
        self._log = tempfile.TemporaryFile()  # noqa: SIM115 - closed in `end`
        self._process = subprocess.Popen(command, stdin=pipe, stdout=pipe, stderr=self._log, env=environment)

    def call(self, function: Callable[Concatenate[State, P], T], *args: P.args, **keywords: P.kwargs) -> T:
        """Runs a function in the child."""
        assert self._process.stdin
        assert self._process.stdout
        try:
            pickle.dump((function, args, keywords), self._process.stdin)
            self._process.stdin.flush()
            failure, value = pickle.load(self._process.stdout)
        except (EOFError, BrokenPipeError) as error:
            code = self._process.wait()
            raise ChildError(f"the process ended by itself, with code {code}: {self._last_words()}") from error
        if failure:
            raise ChildError(failure)
        result: T = value
        return result

    def end(self) -> None:
        """Ends the process."""
        self._process.kill()
        self._process.communicate()
        self._log.close()

    def _last_words(self) -> str:
        self._log.seek(0)
        lines = self._log.read().decode(errors="replace").split("\n")
        return next((line for line in reversed(lines) if line), "")


def cores() -> list[int]:
    """The cores that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return sorted(os.sched_getaffinity(0))
    return list(range(os.cpu_count() or 1))


def pin(chosen: set[int]) -> None:
    """Keeps this process on some cores, where the system can."""
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, chosen)


def main() -> None:
    """Serve calls until the parent closes the pipe."""
    pin({int(sys.argv[1])})
    replies = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # what libraries print goes to standard error
    state = State.__new__(State)
    state.clock, state.min_s = CLOCKS[sys.argv[2]], float(sys.argv[3])
    while True:
        try:
            function, args, keywords = pickle.load(sys.stdin.buffer)
        except EOFError:
            return
        reply: tuple[str, Any]
        try:
            reply = "", function(state, *args, **keywords)
        except Exception as error:  # noqa: BLE001 - the parent says what failed, and goes on with the others
            reply = f"{type(error).__name__}: {error}", None
        pickle.dump(reply, replies)
        replies.flush()


if __name__ == "__main__":
    from bench.child import main as serve  # functions are pickled with the module's own name

    serve()
