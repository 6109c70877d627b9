"""The index kind `usearch`: the package of that name (HNSW, float32 vectors), made to behave as the other kinds do.

What its users report is kept away from here. A removed or replaced vector is not removed from the graph: each vector
has a key that is never used again, and hits whose key is no longer bound to an id are passed over; so there are no
ghosts (usearch #355, #399) and no links that decay. The graph is built anew when it holds more dead vectors than live
ones, which gives their memory back (#726). A search asks for more until it has `k` live hits, and at last compares with
all (#445). A snapshot has a checksum of its own and replaces the old one at once (#458, #488).
"""

import json
import os
import threading
import zlib
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from usearch.index import Index as Graph
from usearch.index import MetricKind

from adamem_server import _index

_MAGIC: Final = b"ADAMEMUS"
_VERSION: Final = 1
# Dead vectors that are not worth a rebuild.
_SPARE: Final = 1_024
# Up to this many allowed vectors are compared one by one.
_MAX_SCANNED: Final = 5_000
_METRICS: Final = {"cosine": MetricKind.Cos, "dot": MetricKind.IP, "l2": MetricKind.L2sq}
_LIMITS: Final = {"m": (2, 256), "ef_construction": (1, 65_536), "ef_search": (1, 65_536)}


class UsearchIndex:
    """A usearch graph with the contract of `adamem_server._index.Index`. One call at a time works on it.

    Args:
        dim: Components of each vector.
        metric: `cosine`, `dot` or `l2`.
        m: usearch's `connectivity`, 2 to 256; 0: 16.
        ef_construction: usearch's `expansion_add`, 1 to 65,536; 0: 128.
        ef_search: usearch's `expansion_search`, 1 to 65,536; 0: 64.

    Raises:
        VectorIndexError: A parameter is out of its range.
    """

    kind: Final = "usearch"

    def __init__(self, dim: int, metric: str, m: int = 0, ef_construction: int = 0, ef_search: int = 0) -> None:
        self.dim = dim
        self.metric = metric
        self.params = {"m": m or 16, "ef_construction": ef_construction or 128, "ef_search": ef_search or 64}
        for name, value in self.params.items():
            low, high = _LIMITS[name]
            if not low <= value <= high:
                raise _index.VectorIndexError(f"{name}: {value} is not in {low}..{high}")
        self._lock = threading.Lock()
        self._graph = self._empty()
        self._key_of: dict[int, int] = {}
        self._id_of: dict[int, int] = {}
        self._next_key = 0

    def __len__(self) -> int:
        """Live vectors."""
        return len(self._key_of)

    def add(self, ids: NDArray[np.uint64], vectors: NDArray[np.float32]) -> None:
        """Adds vectors, replacing those whose ids are there already; of an id that repeats the last one stays."""
        with self._lock:
            last = {int(each): position for position, each in enumerate(ids)}
            keys = np.arange(self._next_key, self._next_key + len(last), dtype=np.uint64)
            self._graph.add(keys, vectors[list(last.values())], threads=1)
            self._next_key += len(last)
            for slot, key in zip(last, keys.tolist(), strict=True):
                self._unbind(slot)
                self._key_of[slot], self._id_of[key] = key, slot

    def remove(self, ids: NDArray[np.uint64]) -> int:
        """Removes ids; how many were there."""
        with self._lock:
            return sum(self._unbind(int(each)) for each in ids)

    def contains(self, ids: NDArray[np.uint64]) -> NDArray[np.bool_]:
        """Which ids are live."""
        return np.array([int(each) in self._key_of for each in ids], dtype=bool)

    def search(
        self,
        queries: NDArray[np.float32],
        k: int,
        *,
        ef_search: int | None = None,
        allowed: NDArray[np.uint64] | None = None,
    ) -> tuple[NDArray[np.uint64], NDArray[np.float32]]:
        """The nearest vectors of one query `[dim]`: ids and distances, ordered by (distance, id)."""
        with self._lock:
            live = self._key_of.keys() if allowed is None else self._key_of.keys() & set(allowed.tolist())
            k = min(k, len(live))
            if allowed is not None and len(live) <= _MAX_SCANNED:
                return self._scan(queries, k, list(live))
            self._graph.expansion_search = ef_search or self.params["ef_search"]
            n_asked = k
            while k > 0 and n_asked < len(self._graph):
                # usearch returns fewer than it has when the graph is worn: then what is asked for has no end.
                n_asked = min(2 * n_asked + 8, len(self._graph))
                found = self._graph.search(queries, n_asked, threads=1)
                hits = [
                    (self._distance(distance), self._id_of[key])
                    for key, distance in zip(found.keys.tolist(), found.distances.tolist(), strict=True)
                    if key in self._id_of and (allowed is None or self._id_of[key] in live)
                ]
                if len(hits) >= k:
                    hits = sorted(hits)[:k]
                    return np.array([hit[1] for hit in hits], np.uint64), np.array([hit[0] for hit in hits], np.float32)
            return self._scan(queries, k, list(live))

    def maintain(self, max_rows: int) -> int:
        """Builds the graph anew when most of it is dead, which takes as long as adding all; nothing is left."""
        del max_rows
        with self._lock:
            if len(self._graph) > 2 * len(self._key_of) + _SPARE:
                ids, keys = list(self._key_of), list(self._key_of.values())
                graph = self._empty()
                if keys:
                    graph.add(
                        np.array(keys, np.uint64), np.stack(self._graph.get(np.array(keys, np.uint64))), threads=1
                    )
                self._graph = graph
                self._id_of = dict(zip(keys, ids, strict=True))
        return 0

    def stats(self) -> dict[str, int]:
        """Sizes, named as those of the other kinds."""
        n_live, n_rows = len(self._key_of), len(self._graph)
        # A pair of dictionary entries and their numbers take some 200 bytes.
        memory_bytes = int(self._graph.memory_usage) + 200 * n_live
        return {
            "n_live": n_live,
            "n_unlinked": 0,
            "n_tombstones": n_rows - n_live,
            "n_rows": n_rows,
            "memory_bytes": memory_bytes,
        }

    def save(self, path: str, sequence: int) -> None:
        """Writes a snapshot beside `path`, synced, and puts it in its place.

        Raises:
            SnapshotIoError: It cannot be written.
        """
        with self._lock:
            content = bytes(self._graph.save())
            bound = np.array([*self._key_of, *self._key_of.values()], np.uint64).tobytes()
            head: dict[str, Any] = {"dim": self.dim, "metric": self.metric, "sequence": sequence, **self.params}
            head |= {"n": len(self._key_of), "next_key": self._next_key}
        text = json.dumps(head).encode()
        body = b"".join([_MAGIC, np.array([_VERSION, len(text)], np.uint64).tobytes(), text, bound, content])
        beside = Path(f"{path}.tmp")
        try:
            with beside.open("wb") as file:
                file.write(body)
                file.write(zlib.crc32(body).to_bytes(4, "little"))
                file.flush()
                os.fsync(file.fileno())
            beside.replace(path)
        except OSError as error:
            beside.unlink(missing_ok=True)
            raise _index.SnapshotIoError(str(error)) from error

    @classmethod
    def open(cls, path: str) -> "tuple[UsearchIndex, int]":
        """The index of a snapshot and the sequence that it was saved with.

        Raises:
            SnapshotCorruptError: The file is none of this kind, or damaged.
            SnapshotIoError: It cannot be read.
        """
        try:
            whole = Path(path).read_bytes()
        except OSError as error:
            raise _index.SnapshotIoError(str(error)) from error
        body = memoryview(whole)[:-4]
        if not whole.startswith(_MAGIC) or zlib.crc32(body) != int.from_bytes(whole[-4:], "little"):
            raise _index.SnapshotCorruptError(f"{path}: damaged, or no index of usearch")
        at = len(_MAGIC) + 16
        version, length = np.frombuffer(body[len(_MAGIC) : at], np.uint64).tolist()
        if version != _VERSION:
            raise _index.SnapshotVersionError(f"{path}: version {version}, known is {_VERSION}")
        head = json.loads(bytes(body[at : at + length]))
        at += length
        index = cls(head["dim"], head["metric"], *(head[name] for name in _LIMITS))
        ids, keys = np.frombuffer(body[at : at + 16 * head["n"]], np.uint64).reshape(2, -1).tolist()
        index._key_of = dict(zip(ids, keys, strict=True))
        index._id_of = dict(zip(keys, ids, strict=True))
        index._next_key = head["next_key"]
        index._graph.load(bytes(body[at + 16 * head["n"] :]))
        return index, head["sequence"]

    def _empty(self) -> Graph:
        return Graph(
            ndim=self.dim,
            metric=_METRICS[self.metric],
            dtype="f32",
            connectivity=self.params["m"],
            expansion_add=self.params["ef_construction"],
            expansion_search=self.params["ef_search"],
        )

    def _unbind(self, slot: int) -> bool:
        key = self._key_of.pop(slot, None)
        if key is not None:
            del self._id_of[key]
        return key is not None

    def _distance(self, distance: float) -> float:
        # usearch takes inner products off 1.
        return distance - 1.0 if self.metric == "dot" else distance

    def _scan(
        self, query: NDArray[np.float32], k: int, ids: list[int]
    ) -> tuple[NDArray[np.uint64], NDArray[np.float32]]:
        """Compares with each of some live vectors."""
        if not k:
            return np.empty(0, np.uint64), np.empty(0, np.float32)
        vectors = np.stack(self._graph.get(np.array([self._key_of[each] for each in ids], np.uint64)))
        if self.metric == "l2":
            distances = ((vectors - query) ** 2).sum(axis=1)
        else:
            distances = -(vectors @ query)
            if self.metric == "cosine":
                distances = 1 + distances / (np.linalg.norm(vectors, axis=1) * np.linalg.norm(query))
        order = np.lexsort((np.array(ids, np.uint64), distances))[:k]
        return np.array(ids, np.uint64)[order], distances[order].astype(np.float32)
