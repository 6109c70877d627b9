"""What this process takes from the machine."""

import resource
from pathlib import Path
from typing import Final

_STATUS: Final = Path("/proc/self/status")


def memory_bytes() -> int:
    """Memory that the process holds for itself, in bytes; pages of files, which the system can drop, are not counted.

    On systems that do not tell (macOS), the largest resident size so far.
    """
    if not _STATUS.exists():
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    lines = _STATUS.read_text(encoding="ascii").splitlines()
    return next(int(line.split()[1]) << 10 for line in lines if line.startswith("RssAnon:"))
