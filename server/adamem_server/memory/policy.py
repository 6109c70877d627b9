"""What a distance is worth: pure functions, without I/O."""

import numpy as np
from numpy.typing import NDArray

from adamem_server.types import Metric


def scores(metric: Metric, distances: NDArray[np.float32]) -> NDArray[np.float32]:
    """Turn distances (smaller is closer) into scores (larger is better), float32 [n], same order.

    cosine: 1 - distance, the cosine itself, -1..1. dot: -distance, the inner product. l2: the distance is the squared
    Euclidean one, and the score 1 / (1 + distance), 0..1.
    """
    match metric:
        case Metric.COSINE:
            result = 1.0 - distances
        case Metric.DOT:
            result = -distances
        case Metric.L2:
            result = 1.0 / (1.0 + distances)
    return result.astype(np.float32, copy=False)
