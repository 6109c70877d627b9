"""hnswlib. Effort: `ef`."""

from pathlib import Path

import hnswlib

from bench.adapters.base import Effort, Ids, Options, Rows


class HnswLib:
    """`hnswlib.Index` of inner products; rows that were removed are replaced by those that come."""

    def configure(self, dim: int, n: int, options: Options) -> None:
        self.index = hnswlib.Index(space="ip", dim=dim)
        self.index.init_index(max_elements=n, allow_replace_deleted=True, **options)
        self.index.set_num_threads(1)
        self.n_removed = 0

    def load(self, ids: Ids, vectors: Rows) -> None:
        self.index.add_items(vectors, ids, num_threads=1, replace_deleted=self.n_removed > 0)
        self.n_removed = max(0, self.n_removed - len(ids))

    def remove(self, ids: Ids) -> None:
        for label in ids.tolist():
            self.index.mark_deleted(label)
        self.n_removed += len(ids)

    def search(self, queries: Rows, k: int, effort: Effort) -> Ids:
        self.index.set_ef(effort[0])
        labels: Ids = self.index.knn_query(queries, k, num_threads=1)[0].view("i8")
        return labels

    def save(self, folder: Path) -> None:
        self.index.save_index(str(folder / "index"))

    def memory_bytes(self) -> int | None:
        return int(self.index.index_file_size())
