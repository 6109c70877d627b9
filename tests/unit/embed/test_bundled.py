"""The bundled encoder and its batcher."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

from adamem_server.embed import catalog
from adamem_server.embed.batcher import MAX_CACHED_CHARS, EmbedBatcher
from adamem_server.errors import EmbedderClosedError, ModelFileMissingError, ModelNotFoundError


@pytest.fixture(scope="module")
def batcher(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EmbedBatcher]:
    made = EmbedBatcher(catalog.load("all-MiniLM-L6-v2", tmp_path_factory.mktemp("models")), threads=2, cache_size=4)
    yield made
    made.close()


def test_related_texts_are_nearer_than_others(batcher: EmbedBatcher) -> None:
    vectors = batcher.embed_documents(["The cat sleeps on the sofa.", "Interest rates rose again.", "чай"])
    assert vectors.shape == (3, 384)
    assert vectors.dtype == np.float32
    assert np.allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-5)
    query = batcher.embed_query("Where is the kitten resting?")
    assert vectors[0] @ query > vectors[1] @ query + 0.2


def test_callers_get_their_own_vectors(batcher: EmbedBatcher) -> None:
    texts = [f"note number {i} about " + "rain and wind " * (i % 7) for i in range(120)]
    alone = np.stack([batcher.embed_documents([text])[0] for text in texts])
    with ThreadPoolExecutor(6) as pool:
        together = np.concatenate(
            list(pool.map(batcher.embed_documents, [texts[i : i + 20] for i in range(0, 120, 20)]))
        )
        queried = np.stack(list(pool.map(batcher.embed_query, texts)))
    # Scales are fixed, so a vector does not depend on its batch but for the rounding of sums.
    assert np.einsum("ij,ij->i", alone, together).min() > 0.9999
    assert np.einsum("ij,ij->i", alone, queried).min() > 0.9999


def test_the_end_of_a_long_text_counts(batcher: EmbedBatcher) -> None:
    start = "The harbour froze in the winter of that year. " * 60
    plain, ended = batcher.embed_documents([start, start + "Bake the bread at high heat. " * 60])
    bread = batcher.embed_query("How hot should the oven be for bread?")
    assert ended @ bread > plain @ bread + 0.1


def test_vectors_of_the_last_short_queries_are_kept(batcher: EmbedBatcher) -> None:
    texts = [f"query {i}" for i in range(5)]
    first, *kept = [batcher.embed_query(text) for text in texts]
    assert all(batcher.embed_query(text) is vector for text, vector in zip(texts[1:], kept, strict=True))
    assert batcher.embed_query(texts[0]) is not first
    # Thousands of these would take more memory than the encoder.
    long = "word " * (MAX_CACHED_CHARS // 5 + 1)
    assert batcher.embed_query(long) is not batcher.embed_query(long)


def test_closed_encoder_refuses(tmp_path: Path) -> None:
    made = EmbedBatcher(catalog.load("all-MiniLM-L6-v2", tmp_path), threads=1, cache_size=0)
    made.close()
    with pytest.raises(EmbedderClosedError):
        made.embed_query("late")
    with pytest.raises(EmbedderClosedError):
        made.embed_documents(["late"])


def test_unknown_and_incomplete_models_are_clear_errors(tmp_path: Path) -> None:
    with pytest.raises(ModelNotFoundError, match="all-MiniLM-L6-v2"):
        catalog.load("no-such-model", tmp_path)
    (tmp_path / "empty").mkdir()
    with pytest.raises(ModelFileMissingError, match=r"lacks model\.onnx"):
        catalog.load(str(tmp_path / "empty"), tmp_path)
