"""The low-rank layer that a namespace puts on its queries, and its bytes.

`q' = normalise(q + B A q)` (LoRA: Hu et al. 2021, arXiv:2106.09685, section 4.1, applied to the encoder's output).
Stored vectors are never changed, so an index stays valid whatever adapter serves.
"""

import json
from dataclasses import dataclass, field
from typing import Final

import numpy as np
from safetensors import SafetensorError
from safetensors.numpy import load, save

from adamem_server.adapt.ranker import Ranker
from adamem_server.errors import DataCorruptError
from adamem_server.types import FloatVector

MAX_DENSE_SHIFT: Final = 0.2

_TINY: Final = 1e-12
# A safetensors file begins with the length of its JSON header, eight bytes, little endian.
_LENGTH_BYTES: Final = 8


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class Adapter:
    """A query adapter; immutable, so threads may share it.

    Args:
        lora_A: float32 [rank, dim], C order: what of a query is looked at.
        lora_B: float32 [dim, rank], C order: where it is moved. All zero: the adapter does nothing.
        model: Name of the encoder whose queries it was trained on.
        model_revision: The encoder's fingerprint.
        version: Counts the adapters of a namespace, from 1; 0 before it has a place there.
        n_pairs: How many pairs it was trained on.
        dense_shift: What is added to the dense side's share in the fusion, -MAX_DENSE_SHIFT to MAX_DENSE_SHIFT.
        ranker: Weights of the ranking's signals; None where it has learned none.

    Raises:
        ValueError: Shapes do not fit each other, a number is not finite, or the shift is out of range.
    """

    lora_A: FloatVector  # noqa: N815 - the field's name for it, and the tensor's in the file
    lora_B: FloatVector  # noqa: N815
    model: str
    model_revision: str
    version: int = 0
    n_pairs: int = 0
    dense_shift: float = 0.0
    ranker: Ranker | None = None
    _is_zero: bool = field(init=False, repr=False)

    def __post_init__(self) -> None:
        a, b = self.lora_A, self.lora_B
        if a.ndim != 2 or b.shape != a.shape[::-1] or not a.size:
            raise ValueError(f"lora_A {a.shape} and lora_B {b.shape} are not [rank, dim] and [dim, rank]")
        if a.dtype != np.float32 or b.dtype != np.float32:
            raise ValueError(f"lora_A and lora_B must be float32, not {a.dtype} and {b.dtype}")
        if not (np.isfinite(a).all() and np.isfinite(b).all()):
            raise ValueError("lora_A and lora_B must be finite")
        if not abs(self.dense_shift) <= MAX_DENSE_SHIFT:
            raise ValueError(f"dense_shift {self.dense_shift} is not within {MAX_DENSE_SHIFT} of 0")
        object.__setattr__(self, "_is_zero", not b.any())

    @property
    def rank(self) -> int:
        """Rows of lora_A."""
        return int(self.lora_A.shape[0])

    @property
    def dim(self) -> int:
        """Dimension of the queries."""
        return int(self.lora_A.shape[1])

    def apply(self, queries: FloatVector) -> FloatVector:
        """Adapted queries: float32 [dim] or [n, dim] of unit norm in, the same shape and unit norm out.

        Where lora_B is zero, and for a query that the adapter would turn into nothing, the query comes back bit by bit.
        Cost: `O(rank * dim)` a query.
        """
        if self._is_zero:
            return queries
        moved = queries + (queries @ self.lora_A.T) @ self.lora_B.T
        norms = np.linalg.norm(moved, axis=-1, keepdims=True)
        adapted = moved / np.maximum(norms, _TINY)
        return np.where(norms > _TINY, adapted, queries).astype(np.float32, copy=False)

    def to_bytes(self) -> bytes:
        """A safetensors file: tensors `lora_A` and `lora_B`, those of the ranker, and other fields as its metadata."""
        metadata = {
            "model": self.model,
            "model_revision": self.model_revision,
            "dim": str(self.dim),
            "rank": str(self.rank),
            "version": str(self.version),
            "n_pairs": str(self.n_pairs),
            "dense_shift": repr(self.dense_shift),
        }
        tensors = {"lora_A": np.ascontiguousarray(self.lora_A), "lora_B": np.ascontiguousarray(self.lora_B)}
        if self.ranker is not None:
            metadata["signals"] = " ".join(self.ranker.signals)
            tensors |= self.ranker.tensors()
        return bytes(save(tensors, metadata))

    @classmethod
    def from_bytes(cls, data: bytes) -> "Adapter":
        """Read what `to_bytes` wrote.

        Raises:
            DataCorruptError: It is no such file, or its parts contradict each other.
        """
        try:
            tensors = load(data)
            length = int.from_bytes(data[:_LENGTH_BYTES], "little")
            metadata = json.loads(data[_LENGTH_BYTES : _LENGTH_BYTES + length])["__metadata__"]
            adapter = cls(
                lora_A=tensors["lora_A"],
                lora_B=tensors["lora_B"],
                model=metadata["model"],
                model_revision=metadata["model_revision"],
                version=int(metadata["version"]),
                n_pairs=int(metadata["n_pairs"]),
                dense_shift=float(metadata["dense_shift"]),
                ranker=Ranker.of_tensors(metadata["signals"].split(), tensors) if "signals" in metadata else None,
            )
            stated = (int(metadata["rank"]), int(metadata["dim"]))
        except (SafetensorError, KeyError, TypeError, ValueError) as error:
            raise DataCorruptError(f"not an adapter: {error}") from error
        if stated != (adapter.rank, adapter.dim):
            raise DataCorruptError(f"an adapter that says rank and dim {stated} has {(adapter.rank, adapter.dim)}")
        return adapter
