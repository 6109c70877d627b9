"""The systems of the index benchmark: their options, and the settings of search that are tried.

A kind of ours is one line of `OURS`; one that this build of the index does not know is left out. Peers have the
settings that their documentation recommends.
"""

from dataclasses import dataclass
from importlib import import_module
from typing import cast

from bench.adapters.base import DEFAULT, Adapter, Effort, Options

EF = (10, 15, 20, 25, 30, 40, 50, 65, 80, 100, 130, 160, 200, 260, 320, 400, 500, 650, 800, 1000, 1300, 1600)
GRAPH: tuple[Effort, ...] = tuple((ef,) for ef in EF)
BUFFER: tuple[Effort, ...] = tuple((ef, ef + ef * extra // 2) for ef in EF for extra in (0, 1, 2))
REFINED: tuple[Effort, ...] = tuple((0, factor) for factor in (1, 2, 3, 4, 6, 8, 12, 16, 24, 32, 48))
CELLS: tuple[Effort, ...] = tuple(
    (nprobe, factor)
    for nprobe in (4, 8, 12, 16, 24, 32, 48, 64, 96, 128, 192, 256, 384, 512)
    for factor in (4, 8, 16, 32)
)


@dataclass(frozen=True)
class System:
    """A system as it is measured."""

    adapter: str
    """`module.Class` in bench.adapters."""
    package: str
    options: Options
    efforts: tuple[Effort, ...]

    def make(self) -> Adapter:
        """The adapter; ImportError when the package is not installed."""
        module, _, name = self.adapter.partition(".")
        return cast("Adapter", getattr(import_module(f"bench.adapters.{module}"), name)())


OURS: dict[str, Options] = {  # the first one that is there is "ours" in the ratios, flat aside
    "qg": {"kind": "qg"},
    "hnsw": {"kind": "hnsw"},
    "qg-compact": {"kind": "qg-compact"},
    "pq": {"kind": "pq"},
    "qg-avx2": {"kind": "qg", "simd": "avx2"},
    "spiral": {"kind": "spiral"},
    "flat": {"kind": "flat"},
}

PEERS: dict[str, System] = {
    "hnswlib": System("hnswlib.HnswLib", "hnswlib", {"M": 16, "ef_construction": 200}, GRAPH),
    "symqg": System("rabitqlib.SymphonyQG", "rabitqlib", {"max_degree": 32, "ef_construction": 200}, GRAPH),
    "svs-lvq4x8": System("svs.Svs", "scalable-vs", {"degree": 32, "window": 200, "data": "lvq4x8"}, BUFFER),
    "svs-f16": System("svs.Svs", "scalable-vs", {"degree": 32, "window": 200, "data": "f16"}, GRAPH),
    "faiss-hnsw": System("faiss.Faiss", "faiss-cpu", {"factory": "HNSW16", "efConstruction": 200}, GRAPH),
    "faiss-hnsw-sq8": System("faiss.Faiss", "faiss-cpu", {"factory": "HNSW16_SQ8", "efConstruction": 200}, GRAPH),
    "faiss-ivfpq": System("faiss.Faiss", "faiss-cpu", {"factory": "IVF{lists},PQ{parts}x4fs,RFlat"}, CELLS),
    "faiss-pq": System("faiss.Faiss", "faiss-cpu", {"factory": "PQ{parts}x4fs,RFlat"}, REFINED),
    "usearch-f32": System("usearch.USearch", "usearch", {"dtype": "f32", "connectivity": 16}, GRAPH),
    "usearch-bf16": System("usearch.USearch", "usearch", {"dtype": "bf16", "connectivity": 16}, GRAPH),
    "usearch-i8": System("usearch.USearch", "usearch", {"dtype": "i8", "connectivity": 16}, GRAPH),
}


def ours(name: str) -> System:
    """One of our kinds."""
    efforts = (DEFAULT,) if name == "flat" else (DEFAULT, *GRAPH)
    return System("adamem.AdaMem", "adamem-server", OURS[name], efforts)


def system(name: str) -> System:
    """A system by its name."""
    return ours(name) if name in OURS else PEERS[name]
