"""FAISS by factory strings. Effort: `efSearch` of a graph; `nprobe`, 0 where there are no cells, and the refinement's
`k_factor`."""

from pathlib import Path

import faiss
import numpy as np

from bench.adapters.base import Effort, Ids, Options, Rows

NAMES = {1: ("efSearch",), 2: ("nprobe", "k_factor_rf")}
"""Names of the parameters by their number, as `faiss.ParameterSpace` knows them."""


class Faiss:
    """`faiss.index_factory`: in the string, `{lists}` and `{parts}` follow the size and the dimension."""

    def configure(self, dim: int, n: int, options: Options) -> None:
        faiss.omp_set_num_threads(1)
        # The wiki's guideline: 4 to 16 times the root of n lists; a power of two.
        lists = 1 << round(np.log2(4 * np.sqrt(n)))
        factory = str(options["factory"]).format(lists=lists, parts=dim // 4)
        self.index = faiss.index_factory(dim, factory, faiss.METRIC_INNER_PRODUCT)
        if "efConstruction" in options:
            faiss.ParameterSpace().set_index_parameter(self.index, "efConstruction", options["efConstruction"])
        self.effort: Effort = ()

    def load(self, ids: Ids, vectors: Rows) -> None:
        self.ids = ids.copy()
        self.index.train(vectors)
        self.index.add(vectors)

    def search(self, queries: Rows, k: int, effort: Effort) -> Ids:
        if effort != self.effort:
            named = zip(NAMES[len(effort)], effort, strict=True)
            for name, value in ((name, value) for name, value in named if value):
                faiss.ParameterSpace().set_index_parameter(self.index, name, value)
            self.effort = effort
        found = self.index.search(queries, k)[1]
        return np.where(found < 0, -1, self.ids[found])

    def save(self, folder: Path) -> None:
        faiss.write_index(self.index, str(folder / "index"))

    def memory_bytes(self) -> int | None:
        return None
