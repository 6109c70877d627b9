"""Where training begins: a query loses what all slots of its namespace share.

In one namespace most vectors point the same way (names of the speakers, the common subject), so cosines tell little
apart. Scaling a query down along the leading directions of the slots' second moment C is whitening (Su et al. 2021,
arXiv:2103.15316) on the query side alone and in low rank: `q' = (C + ridge)^-1 q` up to its length, for the first
`rank` eigenvectors of C. It needs no teaching. They are found by block power iteration in small steps: an exact
decomposition would hold a core for long.
"""

from collections.abc import Callable
from typing import Final

import numpy as np

from adamem_server.adapt.objective import Weights
from adamem_server.types import FloatVector

_CHUNK_ROWS: Final = 256
_ITERATIONS: Final = 16


def whitening(
    vectors: FloatVector, rank: int, ridge: float, seed: int, should_stop: Callable[[], bool]
) -> Weights | None:
    """Matrices a [rank, dim] and b [dim, rank] that whiten a query against `vectors`, float32 [n, dim], unit norm.

    With fewer than `2 * rank` vectors fewer directions are used: the remaining rows of a are random, those of b zero.

    Returns:
        The matrices, the same for the same seed; None once `should_stop` says so. Cost: `O((n + rank * 16) * dim^2)`.
    """
    n, dim = vectors.shape
    random = np.random.default_rng(seed)
    n_directions = min(rank, n // 2, dim - 1)
    a = (random.standard_normal((rank, dim)) / np.sqrt(dim)).astype(np.float32)
    b = np.zeros((dim, rank), np.float32)
    if n_directions < 1:
        return Weights(a, b)
    moment = np.zeros((dim, dim), np.float32)
    for first in range(0, n, _CHUNK_ROWS):
        if should_stop():
            return None
        rows = vectors[first : first + _CHUNK_ROWS]
        moment += rows.T @ rows
    moment /= n
    # One direction more than asked for: the last one sets the scale that all others are brought down to.
    basis = random.standard_normal((dim, n_directions + 1)).astype(np.float32)
    for _ in range(_ITERATIONS):
        if should_stop():
            return None
        basis, _ = np.linalg.qr(moment @ basis)
    values, rotation = np.linalg.eigh(basis.T @ moment @ basis)
    directions = (basis @ rotation)[:, ::-1]
    values = np.maximum(values[::-1], 0.0)
    kept = (values[-1] + ridge) / (values[:-1] + ridge)
    a[:n_directions] = directions[:, :-1].T
    b[:, :n_directions] = -directions[:, :-1] * (1.0 - kept)
    return Weights(a, b)
