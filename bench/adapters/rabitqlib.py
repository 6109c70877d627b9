"""SymphonyQG in rabitqlib. Effort: `ef`. It cannot insert or remove once it is built."""

from pathlib import Path

import rabitqlib

from bench.adapters.base import Effort, Ids, Options, Rows


class SymphonyQG:
    """`rabitqlib.SymqgIndex`, whose ids are the positions of the rows."""

    def configure(self, dim: int, _n: int, options: Options) -> None:
        self.options = dict(options)
        degree, bits = self.options.pop("max_degree"), self.options.pop("quantization_bits", 0)
        self.index = rabitqlib.SymqgIndex(dim, degree, "ip", bits)

    def load(self, ids: Ids, vectors: Rows) -> None:
        self.ids = ids.copy()
        self.index.build(vectors, num_threads=1, **self.options)

    def search(self, queries: Rows, k: int, effort: Effort) -> Ids:
        found: Ids = self.ids[self.index.search_batch(queries, k, effort[0], 1)[0]]
        return found

    def save(self, folder: Path) -> None:
        self.index.save(str(folder / "index"))

    def memory_bytes(self) -> int | None:
        return None
