"""What a text looks like, and what there is to learn of a ranking."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from adamem_server.memory.ranking import QueryFeatures, Weights, rank
from adamem_server.memory.signals import SIGNALS, signals, weighed
from adamem_server.memory.traits import TRAIT_SIGNALS, TRAITS, traits_of
from tests.unit.memory.test_ranking import HOUR, candidates, shuffled


def traits(text: str) -> dict[str, float]:
    values = TRAIT_SIGNALS[:, traits_of(text)]
    return {name: round(float(value), 2) for name, value in zip(TRAITS, values, strict=True) if value}


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", set()),
        ("Ann: it is nothing", set()),
        ("Ann: we met on Friday", {"names_time", "names"}),
        ("мы виделись вчера", {"names_time"}),
        ("I went with Marta to Rome", {"names"}),
        ("room 12", {"digits"}),
        ("Ann: Hey, how are you?", {"greeting", "asks"}),
        ("Привет!", {"greeting", "exclaims"}),
        ("so it goes [picture: Anna and 3 cats!]", set()),
    ],
)
def test_traits(text: str, expected: set[str]) -> None:
    assert set(traits(text)) == expected


@given(st.text(max_size=200))
def test_any_text_has_traits_that_fit(text: str) -> None:
    assert 0 <= traits_of(text) < TRAIT_SIGNALS.shape[1]
    assert traits_of("!" * 8) == traits_of("!" * 900)
    assert len(TRAIT_SIGNALS) == len(TRAITS)
    assert ((TRAIT_SIGNALS >= 0) & (TRAIT_SIGNALS < 13)).all()


@given(st.integers(0, 200), st.integers(0, 10**6))
def test_signals_are_the_parts_and_finite(n: int, seed: int) -> None:
    given_, query = candidates(n, seed), QueryFeatures(time_ranges=((0, 9 * HOUR),))
    ranked = rank(given_, query, Weights(), 0)
    found = signals(given_, ranked)
    assert found.shape == (n, len(SIGNALS))
    assert np.isfinite(found).all()
    column = {name: found[:, i] for i, name in enumerate(SIGNALS)}
    for name in ("dense", "lexical", "session", "speaker", "question", "time"):
        assert (column[name] == ranked.parts[name]).all()
    np.testing.assert_allclose(column["before"] + column["after"], ranked.parts["neighbours"], atol=1e-5)
    assert not column["follows_question"][given_.conversation < 0].any()


@given(st.integers(2, 60), st.integers(0, 1000))
def test_signals_do_not_depend_on_the_order(n: int, seed: int) -> None:
    given_, order = candidates(n, seed), np.random.default_rng(seed).permutation(n)
    other = shuffled(given_, order)
    query = QueryFeatures()
    here = signals(given_, rank(given_, query, Weights(), 0))
    there = signals(other, rank(other, query, Weights(), 0))
    np.testing.assert_allclose(here[order], there, atol=1e-3)


@given(st.integers(0, 200), st.integers(0, 10**6))
def test_weighed_is_the_sum_of_weighed_signals(n: int, seed: int) -> None:
    given_, weights = candidates(n, seed), np.random.default_rng(seed).standard_normal(len(SIGNALS)).astype(np.float32)
    ranked = rank(given_, QueryFeatures(), Weights(), 0)
    expected = signals(given_, ranked) @ weights
    np.testing.assert_allclose(weighed(given_, ranked, weights), expected, rtol=1e-4, atol=1e-4)
