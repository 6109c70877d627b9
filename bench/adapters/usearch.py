"""usearch. Effort: `expansion_search`."""

from pathlib import Path

from usearch.index import Index

from bench.adapters.base import Effort, Ids, Options, Rows


class USearch:
    """`usearch.index.Index` with its default metric, the cosine: its kernels for inner products are slower."""

    def configure(self, dim: int, _n: int, options: Options) -> None:
        self.index = Index(ndim=dim, metric="cos", **options)

    def load(self, ids: Ids, vectors: Rows) -> None:
        self.index.add(ids.astype("u8"), vectors, threads=1)

    def remove(self, ids: Ids) -> None:
        self.index.remove(ids.astype("u8"), threads=1)

    def search(self, queries: Rows, k: int, effort: Effort) -> Ids:
        self.index.expansion_search = effort[0]
        matches = self.index.search(queries, k, threads=1)
        keys: Ids = matches.keys.view("i8").reshape(len(queries), -1)
        return keys

    def save(self, folder: Path) -> None:
        self.index.save(str(folder / "index"))

    def memory_bytes(self) -> int | None:
        return int(self.index.memory_usage)
