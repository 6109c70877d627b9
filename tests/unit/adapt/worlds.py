"""Small worlds in which something can be learned: slots, and questions a fixed turn away from their answers."""

import numpy as np
from numpy.typing import NDArray

from adamem_server.adapt.pairs import Example

DIM = 24


def unit(values: NDArray[np.floating]) -> NDArray[np.float32]:
    return np.asarray(values / np.linalg.norm(values, axis=-1, keepdims=True), np.float32)


def rows(n: int, seed: int, dim: int = DIM) -> NDArray[np.float32]:
    return unit(np.random.default_rng(seed).standard_normal((n, dim)))


def slots(n: int = 200, seed: int = 1) -> NDArray[np.float32]:
    """Vectors that share a strong direction, as the texts of one conversation do."""
    return unit(rows(n, seed) + 1.5 * rows(1, 99))


def turned(answers: NDArray[np.float32]) -> NDArray[np.float32]:
    """The question of each answer: its first coordinates are swapped with its last ones."""
    return np.ascontiguousarray(answers[:, ::-1])


def taught(vectors: NDArray[np.float32], numbers: range) -> list[Example]:
    questions = turned(vectors)
    none = np.empty((0, vectors.shape[1]), np.float32)
    return [Example(query=questions[i], positives=vectors[i : i + 1], negatives=none) for i in numbers]


def never() -> bool:
    return False
