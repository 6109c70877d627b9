"""Intel's Scalable Vector Search. Effort: search window and capacity of the search buffer.

Its compressed forms (LVQ) run on processors of its vendor only: elsewhere the library ends the process.
"""

import tempfile
from pathlib import Path

import numpy as np
import svs

from bench.adapters.base import Effort, Ids, Options, Rows


class Svs:
    """`svs.Vamana` of inner products; its ids are the positions of the rows."""

    def configure(self, dim: int, _n: int, options: Options) -> None:
        self.dim, self.options = dim, options
        self.effort: Effort = ()

    def load(self, ids: Ids, vectors: Rows) -> None:
        self.ids = ids.copy()
        parameters = svs.VamanaBuildParameters(
            graph_max_degree=self.options["degree"], window_size=self.options["window"], alpha=0.95
        )
        if self.options["data"] == "f16":
            self.index = svs.Vamana.build(parameters, vectors.astype(np.float16), svs.MIP, num_threads=1)
            return
        primary, residual = (int(bits) for bits in str(self.options["data"]).removeprefix("lvq").split("x"))
        with tempfile.TemporaryDirectory() as folder:
            path = f"{folder}/base.fvecs"
            svs.write_vecs(vectors, path)
            rows = svs.VectorDataLoader(path, svs.DataType.float32, dims=self.dim)
            data = svs.LVQLoader(rows, primary=primary, residual=residual)
            self.index = svs.Vamana.build(parameters, data, svs.MIP, num_threads=1)

    def search(self, queries: Rows, k: int, effort: Effort) -> Ids:
        if effort != self.effort:
            parameters = self.index.search_parameters
            parameters.buffer_config = svs.SearchBufferConfig(*effort)
            self.index.search_parameters = parameters
            self.effort = effort
        found: Ids = self.ids[self.index.search(queries, k)[0].view(np.int64)]
        return found

    def save(self, folder: Path) -> None:
        self.index.save(*(str(folder / part) for part in ("config", "graph", "data")))

    def memory_bytes(self) -> int | None:
        return None
