"""Texts that have nothing to do with a query: far from it, embedded once, and never waited for too long."""

from pathlib import Path

import numpy as np
import pytest

from adamem_server.embed import catalog
from adamem_server.embed.batcher import EmbedBatcher
from adamem_server.embed.unrelated import Unrelated
from tests.patience import PATIENCE_S, wait_until
from tests.unit.memory.engines import WordEmbedder


def test_they_are_far_from_a_query_as_the_bundled_encoder_sees_it(tmp_path: Path) -> None:
    encoder, unrelated = EmbedBatcher(catalog.load("all-MiniLM-L6-v2", tmp_path), threads=1, cache_size=0), Unrelated()
    for text in ("How do I open the gate?", "Who wrote the second volume?"):
        scores = unrelated.scores(encoder, text, encoder.embed_query(text), PATIENCE_S)
        assert len(scores) == 16
        assert np.mean(scores) < 0.15
        assert max(scores) < 0.35
    encoder.close()


def test_they_are_embedded_once_for_an_encoder_and_a_script() -> None:
    embedder, unrelated = WordEmbedder(), Unrelated()
    encoder = EmbedBatcher(embedder, threads=1, cache_size=0)
    vector = encoder.embed_query("gate")
    before = embedder.n_windows
    latin = [unrelated.scores(encoder, text, vector, None) for text in ("gate", "the gate")]
    cyrillic = [unrelated.scores(encoder, text, vector, None) for text in ("ворота", "мои ворота")]
    assert latin[0] == latin[1] != cyrillic[0] == cyrillic[1]
    assert embedder.n_windows - before == len(latin[0]) + len(cyrillic[0])
    encoder.close()


def test_a_query_in_a_hurry_goes_without_and_the_next_has_them() -> None:
    embedder, unrelated = WordEmbedder(), Unrelated()
    encoder = EmbedBatcher(embedder, threads=1, cache_size=0)
    vector = encoder.embed_query("gate")
    with embedder.held():
        assert unrelated.scores(encoder, "gate", vector, 0.01) == ()
    wait_until(lambda: unrelated.scores(encoder, "gate", vector, 0.01) != ())
    encoder.close()


def test_what_failed_is_tried_again(monkeypatch: pytest.MonkeyPatch) -> None:
    embedder, unrelated = WordEmbedder(), Unrelated()
    encoder = EmbedBatcher(embedder, threads=1, cache_size=0)
    vector = encoder.embed_query("gate")

    def fail(_windows: object) -> None:
        raise RuntimeError("no memory")

    with monkeypatch.context() as patch:
        patch.setattr(embedder, "run", fail)
        with pytest.raises(RuntimeError, match="no memory"):
            unrelated.scores(encoder, "gate", vector, PATIENCE_S)
    assert unrelated.scores(encoder, "gate", vector, PATIENCE_S)
    encoder.close()
