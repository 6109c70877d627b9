"""A cross-encoder reads pairs, in batches, within its window and its time; what is no cross-encoder is refused."""

import time
from pathlib import Path

import pytest

from adamem_server.embed.cross_encoder import CrossEncoder
from adamem_server.errors import ModelError, ModelFileMissingError
from tests.unit.embed.exports import text
from tests.unit.embed.pairs import write_cross_encoder


@pytest.mark.parametrize(("n_columns", "less"), [(1, 0), (2, 100)])
def test_scores_are_those_of_the_pairs_in_their_order(tmp_path: Path, n_columns: int, less: int) -> None:
    model = CrossEncoder(write_cross_encoder(tmp_path, n_columns=n_columns))
    texts = [text(*range(n % 7), 100 + n) for n in range(40)]
    scores = model.score(text(500, 600), texts)
    assert scores is not None
    assert scores.tolist() == [sum(range(n % 7)) + 100 + n - less for n in range(40)]


def test_no_texts_have_no_scores(tmp_path: Path) -> None:
    scores = CrossEncoder(write_cross_encoder(tmp_path)).score("w1", [])
    assert scores is not None
    assert scores.tolist() == []


def test_what_does_not_fit_the_window_is_cut(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text('{"max_position_embeddings": 16}')
    scores = CrossEncoder(write_cross_encoder(tmp_path)).score("w5", [text(*[1] * 100)])
    assert scores is not None
    # Of 16 places three are special tokens and one is the query's.
    assert scores.tolist() == [12]


def test_a_deadline_that_has_passed_ends_it(tmp_path: Path) -> None:
    model = CrossEncoder(write_cross_encoder(tmp_path))
    assert model.score("w1", ["w2"] * 20, time.monotonic() - 1) is None
    assert model.score("w1", ["w2"] * 20, time.monotonic() + 60) is not None


def test_what_cannot_be_used_is_named(tmp_path: Path) -> None:
    with pytest.raises(ModelFileMissingError, match=r"lacks model\.onnx"):
        CrossEncoder(tmp_path)
    write_cross_encoder(tmp_path, n_columns=3)
    with pytest.raises(ModelError, match="has 3 numbers a pair, not one or two"):
        CrossEncoder(tmp_path)
    (tmp_path / "tokenizer.json").write_text("{}")
    with pytest.raises(ModelError, match=r"tokenizer\.json"):
        CrossEncoder(tmp_path)
