"""Other ways to find the same texts: Chroma, a BM25 library, and the two fused."""

import importlib.util
import uuid
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bench.datasets import exact
from bench.retrieval.measures import fuse

Vectors = NDArray[np.float32]
Rankings = list[list[int]]

DEPTH = 100
"""Ranks that are fused, of each side."""
STEMMERS = {
    "ar": "arabic",
    "de": "german",
    "el": "greek",
    "en": "english",
    "es": "spanish",
    "fr": "french",
    "hi": "hindi",
    "it": "italian",
    "ro": "romanian",
    "ru": "russian",
    "tr": "turkish",
}
STOP_WORDS = {"de", "en", "es", "fr", "it", "ru", "tr", "zh"}
"""Languages whose stop words bm25s has, among those of XQuAD and a few more."""
PACKAGES = ("chromadb", "bm25s", "PyStemmer")
_BATCH = 1000


def missing() -> dict[str, str]:
    """The peers that cannot be measured here, and why."""
    wanted = {"peer_chroma": ("chromadb",), "peer_bm25": ("bm25s", "Stemmer")}
    wanted["peer_rrf"] = wanted["peer_bm25"]
    reasons = {}
    for peer, modules in wanted.items():
        if lacking := [name for name in modules if importlib.util.find_spec(name) is None]:
            reasons[peer] = f"not installed: {', '.join(lacking)}"
    return reasons


def rank(
    texts: Sequence[str],
    vectors: Vectors,
    queries: Sequence[str],
    query_vectors: Vectors,
    language: str,
    top_k: int,
) -> dict[str, Rankings]:
    """What each peer that is installed finds for each query: positions of texts, best first.

    Where Chroma is not installed, exact search of the same vectors stands for it under the name `peer_dense`.

    Args:
        texts: What is searched.
        vectors: Of the texts, float32 [n, dim], unit norm.
        queries: Questions.
        query_vectors: Of the questions.
        language: Of the texts (ISO 639-1), which a user of the BM25 library must name; without stop words or a stemmer
            for it, texts go without.
        top_k: Most positions for each query.
    """
    absent = missing()
    depth = max(DEPTH, top_k)
    if "peer_chroma" in absent:
        found = {"peer_dense": exact(vectors, query_vectors, min(depth, len(texts))).tolist()}
    else:
        found = {"peer_chroma": _chroma(vectors, query_vectors, depth)}
    if "peer_bm25" not in absent:
        (dense,) = found.values()
        found["peer_bm25"] = _bm25(texts, queries, language, depth)
        found["peer_rrf"] = [fuse(each) for each in zip(dense, found["peer_bm25"], strict=True)]
    return {name: [ranking[:top_k] for ranking in rankings] for name, rankings in found.items()}


def _chroma(vectors: Vectors, queries: Vectors, depth: int) -> Rankings:
    """Chroma in this process, at its defaults but for the cosine, which its users choose for such an encoder."""
    import chromadb
    from chromadb.config import Settings

    client = chromadb.EphemeralClient(Settings(anonymized_telemetry=False))
    name = f"bench-{uuid.uuid4().hex}"
    collection = client.create_collection(name, configuration={"hnsw": {"space": "cosine"}}, embedding_function=None)
    for start in range(0, len(vectors), _BATCH):
        batch = vectors[start : start + _BATCH]
        collection.add(ids=[str(start + offset) for offset in range(len(batch))], embeddings=batch)
    found: Mapping[str, Any] = {"ids": []}
    if len(queries):
        found = collection.query(query_embeddings=queries, n_results=min(depth, len(vectors)), include=[])
    client.delete_collection(name)
    return [[int(each) for each in ids] for ids in found["ids"]]


def _bm25(texts: Sequence[str], queries: Sequence[str], language: str, depth: int) -> Rankings:
    """bm25s at its defaults, with its stop words and the Snowball stemmer of the language; a score of 0 is no hit."""
    import bm25s
    import Stemmer

    stemmer = Stemmer.Stemmer(STEMMERS[language]) if language in STEMMERS else None
    stop_words = language if language in STOP_WORDS else None
    options = {"stopwords": stop_words, "stemmer": stemmer, "show_progress": False}
    index = bm25s.BM25()
    corpus = bm25s.tokenize(list(texts), **options)
    if not any(corpus.ids):
        return [[] for _ in queries]
    index.index(corpus, show_progress=False)
    # As lists of words: a vocabulary of their own would not match the index's.
    words = bm25s.tokenize(list(queries), return_ids=False, **options)
    rankings: Rankings = []
    for query in words:
        if not query:
            rankings.append([])
            continue
        ids, scores = index.retrieve([query], k=min(depth, len(texts)), show_progress=False)
        rankings.append([int(each) for each, score in zip(ids[0], scores[0], strict=True) if score > 0])
    return rankings
