"""Memory of this process and of the machine."""

import ctypes
import gc
import resource
import sys
from pathlib import Path


def resident_bytes() -> int:
    """Resident memory of this process, freed memory given back before; 0 where that is not known."""
    gc.collect()
    if not sys.platform.startswith("linux"):
        return 0
    ctypes.CDLL(None).malloc_trim(0)
    return int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize()


def has_room(n_bytes: int) -> bool:
    """Whether so much memory is free; true where that is not known."""
    path = Path("/proc/meminfo")
    lines = path.read_text().splitlines() if path.exists() else []
    free = [1024 * int(line.split()[1]) for line in lines if line.startswith("MemAvailable")]
    return not free or free[0] >= n_bytes
