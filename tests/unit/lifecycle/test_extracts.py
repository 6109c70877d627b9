"""Sentences are cut where readers end them, and the ones that a summary takes are central, differ and fit."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from adamem_server.lifecycle.extracts import centrality, chosen
from adamem_server.lifecycle.sentences import split_sentences

CUT = [
    ("We moved to Riga. It rains.", ["We moved to Riga.", "It rains."]),
    ("Ask Dr. Smith! He knows J. R. Tolkien.", ["Ask Dr. Smith!", "He knows J. R. Tolkien."]),
    ("It costs $4.50, e.g. for tea. So do I. Go.", ["It costs $4.50, e.g. for tea.", "So do I.", "Go."]),
    ("The U.S. Army left at 5 p.m. Then it rained.", ["The U.S. Army left at 5 p.m.", "Then it rained."]),
    ("Wait... what? Yes!! No.", ["Wait... what?", "Yes!!", "No."]),
    ('"Stop!" she said. (It worked.) He left', ['"Stop!" she said.', "(It worked.)", "He left"]),
    ("See No. 5 and fig. 3. He said no. Then he left.", ["See No. 5 and fig. 3.", "He said no.", "Then he left."]),
    ("Мы живём в г. Рига. Там тепло.", ["Мы живём в г. Рига.", "Там тепло."]),
    ("Он родился в 1980 г. Потом уехал.", ["Он родился в 1980 г.", "Потом уехал."]),
    ("А. С. Пушкин, т. е. поэт, жил тут. Да!", ["А. С. Пушкин, т. е. поэт, жил тут.", "Да!"]),
    ("Хлеб, молоко и т.д. Цена 25 руб. Всё.", ["Хлеб, молоко и т.д.", "Цена 25 руб.", "Всё."]),
    ("Длина 180 см. Вес 70 кг. См. рис. 3 и стр. 5.", ["Длина 180 см.", "Вес 70 кг.", "См. рис. 3 и стр. 5."]),
    ("Он крикнул: «Стой!» и упал. «Ура!» Мы рады.", ["Он крикнул: «Стой!» и упал.", "«Ура!»", "Мы рады."]),
    ("ул. Ленина, д. 5, кв. 7. Дом жёлтый.", ["ул. Ленина, д. 5, кв. 7.", "Дом жёлтый."]),
    (
        "One line\nthat goes on\n\nAnother\n1. First\n- second",
        ["One line\nthat goes on", "Another", "1. First", "- second"],
    ),
    ("今日は。明日も！はい", ["今日は。", "明日も！", "はい"]),
    ("   ", []),
]


@pytest.mark.parametrize(("text", "sentences"), CUT)
def test_sentences_end_where_readers_end_them(text: str, sentences: list[str]) -> None:
    assert split_sentences(text) == sentences


@given(st.text(alphabet='Aa бЯ.!?\n"«»1…。', max_size=60))
def test_no_character_is_lost(text: str) -> None:
    assert "".join("".join(split_sentences(text)).split()) == "".join(text.split())


def unit(*rows: tuple[float, ...]) -> np.ndarray:
    vectors = np.array(rows, np.float32)
    return np.asarray(vectors / np.linalg.norm(vectors, axis=1, keepdims=True), np.float32)


def test_what_most_sentences_are_about_is_central() -> None:
    rank = centrality(unit((1, 0.1, 0), (1, 0, 0.1), (1, 0.1, 0.1), (0, 0, 1)))
    assert rank.argmax() == 2
    assert rank.argmin() == 3
    assert rank.max() == 1
    assert centrality(unit((1, 0))).tolist() == [1]
    assert np.allclose(centrality(unit((1, 0), (0, 1))), 1)


def test_a_second_copy_is_passed_over_for_something_else() -> None:
    vectors = unit((1, 0, 0.2), (1, 0, 0.2), (0.9, 0.1, 0.2), (0.2, 1, 0.3))
    assert chosen(vectors, [10] * 4, 20) in ([0, 3], [1, 3], [2, 3])


def test_what_is_chosen_fits_and_stands_in_order() -> None:
    vectors = unit((1, 0), (1, 0.1), (0.9, 0.2))
    assert chosen(vectors, [50, 60, 10], 60) in ([0, 2], [1])
    assert chosen(vectors, [50, 60, 70], 40) == []
    assert chosen(vectors, [1, 1, 1], 3) == [0, 1, 2]
