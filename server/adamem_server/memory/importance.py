"""How much a slot matters after a time: its importance decays with age and is reinforced by use. Pure functions.

The curve is MemoryBank's (Zhong et al., "MemoryBank: Enhancing Large Language Models with Long-Term Memory", AAAI 2024,
section 2.3, after Ebbinghaus): what is retained falls exponentially with the time since the last use, the more slowly
the stronger the memory is, and each use makes it stronger and begins anew. The age is the one of the last use, as in
Generative Agents (Park et al., UIST 2023, section 4.1). There MemoryBank adds 1 to the strength for each use; here it
grows with the logarithm of their number, as the base level of ACT-R does (Anderson and Schooler, "Reflections of the
Environment in Memory", 1991), so that a slot that was asked for a thousand times fades within months, not in centuries.
"""

from typing import Final

import numpy as np
from numpy.typing import NDArray

from adamem_server.archive_types import ArchivePolicy

_SLACK: Final = 20


def retained_importance(
    importance: NDArray[np.float64], age_us: NDArray[np.int64], n_uses: NDArray[np.int64], half_life_us: int
) -> NDArray[np.float64]:
    """What is left of the importance of slots: importance * 2 ** (-age / (half_life * (1 + log2(1 + uses)))).

    Args:
        importance: As stored, 0 to 1, float64 [n].
        age_us: Microseconds since each was used or written last, int64 [n]; of a time to come it counts as 0.
        n_uses: How often it was used, from 0, int64 [n].
        half_life_us: After which one that was never used has half of it; 0: it does not decay.

    Returns:
        float64 [n], 0 to the importance. It never grows with age and never shrinks with uses.
    """
    if not half_life_us:
        return importance.astype(np.float64)
    strength = 1.0 + np.log2(1.0 + np.maximum(n_uses, 0))
    half_lives = np.maximum(age_us, 0) / (half_life_us * strength)
    return np.asarray(importance * np.exp2(-half_lives), np.float64)


def chosen_to_archive(
    retained: NDArray[np.float64],
    n_bytes: NDArray[np.int64],
    used_at: NDArray[np.int64],
    pinned: NDArray[np.bool_],
    policy: ArchivePolicy,
) -> tuple[NDArray[np.intp], bool]:
    """Which slots fall under the limits of a policy, least important first; of equal ones the longest unused first.

    All below its least importance do, and as many more as it takes to keep its most slots and bytes. Where one of these
    is passed, it is undercut by a twentieth, so that not each write that follows needs another choice.

    Args:
        retained: As `retained_importance` gives it, float64 [n].
        n_bytes: What each takes with its vectors, int64 [n].
        used_at: When each was used or written last, in microseconds, int64 [n].
        pinned: Those that are never chosen, bool [n].
        policy: The limits.

    Returns:
        Their places, and whether what is left keeps all limits: pinned slots may be too many.
    """
    n, total = len(retained), int(n_bytes.sum())
    free = np.flatnonzero(~pinned)
    order = free[np.lexsort((used_at[free], retained[free]))]
    n_chosen = int(np.count_nonzero(retained[order] < policy.min_importance))
    if policy.max_slots and n > policy.max_slots:
        n_chosen = max(n_chosen, n - policy.max_slots + policy.max_slots // _SLACK)
    if policy.max_bytes and total > policy.max_bytes:
        surplus = total - policy.max_bytes + policy.max_bytes // _SLACK
        n_chosen = max(n_chosen, int(np.searchsorted(np.cumsum(n_bytes[order]), surplus)) + 1)
    chosen = order[:n_chosen]
    bytes_left = total - int(n_bytes[chosen].sum())
    is_met = n - len(chosen) <= (policy.max_slots or n) and bytes_left <= (policy.max_bytes or total)
    return chosen, is_met
