"""The vector index and the lexical index, compiled from rust_index/py: numpy arrays in, numpy arrays out.

All methods may be called from any thread and let other Python threads run meanwhile. Searches run beside everything;
mutations of one index wait for each other. A vector is found by each search that begins after its `add` returned, and
by none that begins after its `remove` returned.

Distances, smaller is closer, never NaN:

- `cosine`: 1 - cos, 0 to 2. Vectors are stored with unit norm.
- `dot`: the negated inner product.
- `l2`: the squared Euclidean distance.

Arrays must have the stated dtype and be C-contiguous; nothing is converted silently.

Errors:
    VectorIndexError
    +-- ArrayError                argument, expected
    +-- DimensionMismatchError    expected, received
    +-- LengthMismatchError       n_ids, n_vectors
    +-- NonFiniteVectorError      position
    +-- ZeroVectorError           position
    +-- InvalidParameterError     name, received, minimum, maximum
    +-- UnknownNameError          what, received
    +-- UnsupportedSimdError      level
    +-- ReservedIdError           id
    +-- UnknownIdError            id
    +-- IndexFullError            limit
    +-- PoisonedError
    +-- SnapshotCorruptError      path, block, offset
    +-- SnapshotVersionError      path, found, supported
    +-- SnapshotAnalysisError     path, found, expected
    +-- SnapshotIoError           path, errno
"""

from os import PathLike
from typing import Self, final

import numpy as np
from numpy.typing import NDArray

__all__ = [
    "ArrayError",
    "DimensionMismatchError",
    "IdSet",
    "Index",
    "IndexFullError",
    "InvalidParameterError",
    "LengthMismatchError",
    "LexicalIndex",
    "NonFiniteVectorError",
    "PoisonedError",
    "ReservedIdError",
    "SnapshotAnalysisError",
    "SnapshotCorruptError",
    "SnapshotIoError",
    "SnapshotVersionError",
    "UnknownIdError",
    "UnknownNameError",
    "UnsupportedSimdError",
    "VectorIndexError",
    "ZeroVectorError",
    "simd_level",
]

def simd_level() -> str:
    """The instruction set that new indexes use: `avx512`, `avx2`, `neon` or `scalar`."""

@final
class IdSet:
    """Ids that a search may return, kept with the rows that hold them.

    Searching with a set again costs nothing as long as the index does not change; an array of ids is looked up by each
    search, in some 5 ns an id where they follow each other.
    """

    def __new__(cls, ids: NDArray[np.uint64]) -> Self:
        """Makes a set of ids.

        Args:
            ids: uint64 `[n]`, in any order; they may repeat. The array is copied.

        Raises:
            ArrayError: `ids` is not uint64 `[n]`.
        """

    def __len__(self) -> int:
        """How many ids were given."""

@final
class Index:
    """A set of vectors with ids, to be searched by nearness.

    Where a mapped file (see `open`) proves to be damaged, every call that reads rows raises `SnapshotCorruptError` from
    then on, and what the call had stored may be lost: build the index anew. An integer that is negative or above
    2**64 - 1 raises `OverflowError`, as elsewhere in Python.
    """

    def __new__(
        cls,
        *,
        dim: int,
        metric: str = "cosine",
        kind: str = "hnsw",
        m: int | None = None,
        ef_construction: int | None = None,
        ef_search: int | None = None,
        scan_threshold: int | None = None,
        subvector_dim: int | None = None,
        seed: int = 0,
        n_threads: int = 1,
        deferred: bool = False,
        simd: str | None = None,
    ) -> Self:
        """Makes an empty index.

        Args:
            dim: Components of each vector, 1 to 65,536.
            metric: `cosine`, `dot` or `l2`.
            kind: `qg`, a quantised graph, the fastest; `qg-compact`, the same in a third of the memory; `hnsw`; `pq`,
                product quantisation without a graph, the smallest; `spiral`, `qg` with other codes of the neighbours;
                or `flat` for exact search. All but `flat` and `hnsw` keep twelve bits a component: their distances are
                right to about a thousandth of the vectors' size.
            m: Links that a new node of the graph asks for, 2 to 256; of `hnsw` only, others ignore it.
            ef_construction: Candidates kept while linking, 1 to 65,536: more is a better graph and slower linking.
                `pq` and `flat` ignore it.
            ef_search: Candidates kept while searching, or looked at closer by `pq`, 1 to 65,536: more is better recall
                and slower search. Twelve bits set the end of that: some .998 where many are about as near.
            scan_threshold: Live vectors from which on a graph is kept, or codebooks by `pq`, 2 and more; fewer are
                scanned. 20,000 unless said for `qg`, `qg-compact` and `spiral`; `params` tells.
            subvector_dim: Components that four bits stand for, 2 to 16; of `pq` only, others ignore it.
            seed: The same seed and the same calls in the same order give the same index.
            n_threads: Threads that link vectors of `qg`, `qg-compact` and `spiral`, 1 to 256.
            deferred: Leave linking to `maintain`, so that `add` takes microseconds; until then vectors are scanned.
            simd: Instruction set, for tests; the best of this processor when absent.

        Raises:
            InvalidParameterError: A number is out of its range.
            UnknownNameError: No metric, kind or instruction set has the name.
            UnsupportedSimdError: This processor lacks the instruction set.
        """

    @property
    def dim(self) -> int:
        """Components of each vector."""

    @property
    def metric(self) -> str:
        """Name of the metric."""

    @property
    def kind(self) -> str:
        """Name of the kind."""

    @property
    def params(self) -> dict[str, int]:
        """Parameters of the kind by name; empty for `flat`."""

    def __len__(self) -> int:
        """Number of live vectors."""

    def add(self, ids: NDArray[np.uint64], vectors: NDArray[np.float32]) -> None:
        """Adds vectors, replacing those whose ids are there already; all or nothing.

        The vectors can be found at once. A tenth of a millisecond or so a vector; microseconds where the index is
        deferred or has no graph. The call that brings the index to `scan_threshold` links all vectors, some seconds;
        a deferred index leaves that to `maintain`.

        Args:
            ids: uint64 `[n]`; the last of equal ids wins. 2**64 - 1 is reserved.
            vectors: float32 `[n, dim]`, C order, of any length other than zero for `cosine`.

        Raises:
            ArrayError: An array is not as stated.
            LengthMismatchError: There are not as many ids as vectors.
            DimensionMismatchError: The vectors have another dimension.
            NonFiniteVectorError: A component is NaN or infinite.
            ZeroVectorError: The metric is `cosine` and a vector is all zero.
            ReservedIdError: An id is the reserved one.
            IndexFullError: There are 2**31 - 1 rows.
        """

    def remove(self, ids: NDArray[np.uint64]) -> int:
        """Removes vectors and returns how many were there. Microseconds a vector; `maintain` repairs the graph.

        Raises:
            ArrayError: `ids` is not uint64 `[n]`.
        """

    def contains(self, ids: NDArray[np.uint64]) -> NDArray[np.bool_]:
        """Tells which ids are live: bool `[n]`.

        Raises:
            ArrayError: `ids` is not uint64 `[n]`.
        """

    def vectors(self, ids: NDArray[np.uint64]) -> NDArray[np.float32]:
        """Returns stored vectors: float32 `[n, dim]`, of unit norm for `cosine`, as they came otherwise.

        Those of `flat` and `hnsw` are the same bits. Other kinds keep twelve bits a component, of which these are made:
        keep your own where you need them exactly.

        Raises:
            ArrayError: `ids` is not uint64 `[n]`.
            UnknownIdError: An id is not live.
        """

    def search(
        self,
        queries: NDArray[np.float32],
        k: int,
        *,
        ef_search: int | None = None,
        allowed: NDArray[np.uint64] | IdSet | None = None,
    ) -> tuple[NDArray[np.uint64], NDArray[np.float32]]:
        """Finds the nearest vectors.

        Args:
            queries: float32 `[dim]` for one query or `[n, dim]` for a batch, C order.
            k: Results wanted, 1 to 65,536.
            ef_search: Candidates kept, never fewer than `k`; the index's own when absent. `flat` ignores it.
            allowed: uint64 `[m]`, ids that may be returned, in any order; unknown ones are ignored. Which rows they are
                is looked up once for the last four arrays, as long as the index does not change; an `IdSet` need not
                be compared with these either.

        Returns:
            Ids (uint64) and distances (float32), ordered by (distance, id). For one query both have the shape
            `[min(k, number of live vectors that are allowed)]`; for a batch `[n, k]`, padded with id 2**64-1 and
            distance infinity.

        Raises:
            ArrayError: An array is not as stated.
            DimensionMismatchError: The queries have another dimension.
            NonFiniteVectorError: A component is NaN or infinite.
            ZeroVectorError: The metric is `cosine` and a query is all zero.
            InvalidParameterError: `k` or `ef_search` is out of its range.
        """

    def maintain(self, max_rows: int) -> int:
        """Does up to about `max_rows` vectors' worth of deferred work: links, repairs, frees.

        Some 0.1 ms a vector. Searches go on meanwhile, and a mutation waits for one vector at most.

        Returns:
            An estimate of what remains; 0 when there is nothing to do.
        """

    def stats(self) -> dict[str, int]:
        """Sizes: `n_live`, `n_unlinked` (live and scanned), `n_tombstones` (removed, still in the graph), `n_rows` (in
        use or free for use) and `memory_bytes`."""

    def save(self, path: str | PathLike[str], sequence: int) -> None:
        """Writes a snapshot beside `path` and puts it in its place when it is durable.

        Searches go on meanwhile; mutations wait until the file is written, though not until it is synced.

        Args:
            path: The file; its folder must exist.
            sequence: A number of the caller's, 0 to 2**64 - 1, that `open` returns.

        Raises:
            SnapshotIoError: The operating system refused.
        """

    @staticmethod
    def open(path: str | PathLike[str], *, n_threads: int = 1, deferred: bool = False) -> tuple[Index, int]:
        """Opens a snapshot; one of `qg`, `qg-compact`, `spiral` or `pq` is mapped, not read. The file must not be
        written to while the index is in use; `save` to the same path puts another file in its place.

        Args:
            n_threads: As for a new index.
            deferred: As for a new index.

        Returns:
            The index and the sequence number that it was saved with.

        Raises:
            InvalidParameterError: `n_threads` is out of its range.
            SnapshotCorruptError: A byte is damaged, missing or too many. Of a mapped file above 64 MiB most is checked
                later: a search, `maintain` or another call that meets the damage raises this.
            SnapshotVersionError: The format is newer than this build.
            SnapshotIoError: The operating system refused.
        """

@final
class LexicalIndex:
    """A set of texts with ids, to be searched by their words: BM25.

    Words are compared without case, accents of Latin letters and endings, the latter by the Snowball stemmer of the
    word's script and the text's language. Identifiers, numbers and addresses are found whole and by their parts. A word
    counts some more where it is written the same, and a little where only its first four sounds are the same, in Latin,
    Cyrillic or Greek letters: so names find each other across scripts.
    """

    def __new__(cls, *, k1: float | None = None, b: float | None = None) -> Self:
        """Makes an empty index.

        Args:
            k1: How soon repetitions of a term count no more, 0 to 100.
            b: How much longer texts are held back, 0 to 1.

        Raises:
            InvalidParameterError: A number is out of its range.
        """

    @property
    def params(self) -> dict[str, float]:
        """`k1` and `b`."""

    def __len__(self) -> int:
        """Number of live texts."""

    def add(self, ids: NDArray[np.uint64], texts: list[str], languages: list[str] | None = None) -> None:
        """Adds texts, replacing those whose ids are there already.

        The texts can be found at once; some 20 microseconds for 100 bytes. A search beside it sees each text as a
        whole, but maybe a part of them.

        Args:
            ids: uint64 `[n]`; the last of equal ids wins. 2**64 - 1 is reserved.
            texts: `n` texts of up to 16 MiB of UTF-8; of a word the first 64 characters count.
            languages: `n` ISO 639-1 codes, maybe with a region. Empty, or without a stemmer: Latin words are stemmed as
                English and Cyrillic ones as Russian.

        Raises:
            ArrayError: `ids` is not uint64 `[n]`.
            LengthMismatchError: There are not as many ids as texts or languages.
            InvalidParameterError: A text is too long.
            ReservedIdError: An id is the reserved one.
            IndexFullError: There are 2**26 texts.
        """

    def remove(self, ids: NDArray[np.uint64]) -> int:
        """Removes texts and returns how many were there. Some 10 microseconds a text.

        Raises:
            ArrayError: `ids` is not uint64 `[n]`.
        """

    def contains(self, ids: NDArray[np.uint64]) -> NDArray[np.bool_]:
        """Tells which ids are live: bool `[n]`.

        Raises:
            ArrayError: `ids` is not uint64 `[n]`.
        """

    def search(
        self,
        query: str,
        k: int,
        language: str = "",
        allowed: NDArray[np.uint64] | IdSet | None = None,
    ) -> tuple[NDArray[np.uint64], NDArray[np.float32]]:
        """Finds the texts with the best scores among those that have a word of the query.

        A repeated word counts once; stop words (English, Russian) only where the query has nothing else.

        Args:
            query: Up to 16 MiB of UTF-8; the first 1,024 distinct terms count.
            k: Results wanted, 1 to 65,536.
            language: As of a text. Words are looked for as they are stemmed in this language, in English or Russian,
                and in each language that was ever added.
            allowed: As in `Index.search`; one `IdSet` serves both.

        Returns:
            Ids (uint64) and scores (float32, above 0, larger is better), ordered by (score, id), both of shape
            `[min(k, number of allowed texts with a word of the query)]`.

        Raises:
            ArrayError: `allowed` is not as stated.
            InvalidParameterError: `k` is out of its range or the query is too long.
        """

    def score(self, query: str, ids: NDArray[np.uint64], language: str = "") -> NDArray[np.float32]:
        """Returns the scores of given texts: float32 `[n]`, the same as `search` gives; 0 where no word of the query
        occurs and for unknown ids.

        Raises:
            ArrayError: `ids` is not uint64 `[n]`.
            InvalidParameterError: The query is too long.
        """

    def terms(self, query: str, language: str = "") -> list[tuple[str, float]]:
        """Returns what a search for the query asks for: terms with the most that each can add to a score, which is its
        inverse document frequency and shares of those of the word's other forms.

        Raises:
            InvalidParameterError: The query is too long.
        """

    def memory_bytes(self) -> int:
        """Bytes asked of the allocator."""

    def stats(self) -> dict[str, int]:
        """Sizes: `n_documents`, `n_terms`, `n_words` (stop words are not counted) and `memory_bytes`."""

    def save(self, path: str | PathLike[str], sequence: int) -> None:
        """Writes a snapshot beside `path` and puts it in its place when it is durable.

        Searches go on meanwhile; mutations wait until the content is copied to memory, some 0.2 s at 100,000 texts.

        Args:
            path: The file; its folder must exist.
            sequence: A number of the caller's, 0 to 2**64 - 1, that `open` returns.

        Raises:
            SnapshotIoError: The operating system refused.
        """

    @staticmethod
    def open(path: str | PathLike[str]) -> tuple[LexicalIndex, int]:
        """Reads a snapshot, in some 4 microseconds a text, and returns it with its sequence number.

        Raises:
            SnapshotCorruptError: A byte is damaged, missing or too many.
            SnapshotVersionError: The format is newer than this build.
            SnapshotAnalysisError: This build makes other terms of texts: add them to a new index.
            SnapshotIoError: The operating system refused.
        """

class VectorIndexError(Exception):
    """Parent of all errors of this module."""

class ArrayError(VectorIndexError):
    """An array has the wrong type, number of dimensions or memory order."""

    argument: str
    expected: str

class DimensionMismatchError(VectorIndexError):
    """A vector has another dimension than the index."""

    expected: int
    received: int

class LengthMismatchError(VectorIndexError):
    """The numbers of ids and of vectors differ."""

    n_ids: int
    n_vectors: int

class NonFiniteVectorError(VectorIndexError):
    """A component is NaN or infinite."""

    position: int

class ZeroVectorError(VectorIndexError):
    """An all-zero vector has no cosine."""

    position: int

class InvalidParameterError(VectorIndexError):
    """A parameter is out of its range."""

    name: str
    received: int
    minimum: int
    maximum: int

class UnknownNameError(VectorIndexError):
    """No metric, kind or SIMD level has this name."""

    what: str
    received: str

class UnsupportedSimdError(VectorIndexError):
    """The processor lacks a SIMD level."""

    level: str

class ReservedIdError(VectorIndexError):
    """The id pads short results and cannot be stored."""

    id: int

class UnknownIdError(VectorIndexError):
    """No live vector has this id."""

    id: int

class IndexFullError(VectorIndexError):
    """The index has as many rows as it can number."""

    limit: int

class PoisonedError(VectorIndexError):
    """The index was left half changed by a panic and must be rebuilt."""

class SnapshotCorruptError(VectorIndexError):
    """A snapshot is damaged."""

    path: str
    block: str
    offset: int

class SnapshotVersionError(VectorIndexError):
    """A snapshot has a format that this build does not read."""

    path: str
    found: int
    supported: int

class SnapshotAnalysisError(VectorIndexError):
    """A snapshot of a lexical index has terms that this build would not make."""

    path: str
    found: int
    expected: int

class SnapshotIoError(VectorIndexError):
    """The operating system refused to read or write a snapshot."""

    path: str
    errno: int | None
