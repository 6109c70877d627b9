"""Fusion and context: the parts sum to the score, neither side loses what only it knows, and context stays in place."""

from dataclasses import fields, replace

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from adamem_server.memory.ranking import (
    FEW,
    NO_CONVERSATION,
    Candidates,
    QueryFeatures,
    Weights,
    dense_gap,
    dense_trust,
    language_trust,
    rank,
)

HOUR = 3_600_000_000
DAY = 24 * HOUR
QUERY = QueryFeatures()
ALL_ON = Weights(recency=0.5, importance=0.5)


def candidates(n: int, seed: int = 0, conversations: int = 3) -> Candidates:
    """Random candidates in conversations, the last of which is none; positions are unique, in order of time."""
    random = np.random.default_rng(seed)
    return Candidates(
        dense=random.random(n, dtype=np.float32),
        lexical=np.maximum(random.normal(0, 4, n), 0).astype(np.float32),
        conversation=random.integers(NO_CONVERSATION, conversations, n),
        position=(order := random.permutation(2 * n)[:n].astype(np.int64)),
        created_at_us=order * HOUR,
        importance=random.random(n, dtype=np.float32),
        speaker=random.random(n) < 0.5,
        question=random.random(n) < 0.3,
        traits=random.integers(0, 1 << 11, n).astype(np.uint16),
    )


def plain(dense, lexical) -> Candidates:
    """Slots without a conversation."""
    n = len(dense)
    return Candidates(
        dense=np.array(dense, dtype=np.float32),
        lexical=np.array(lexical, dtype=np.float32),
        conversation=np.full(n, NO_CONVERSATION, dtype=np.int64),
        position=np.zeros(n, dtype=np.int64),
        created_at_us=np.zeros(n, dtype=np.int64),
        importance=np.zeros(n, dtype=np.float32),
        speaker=np.zeros(n, dtype=np.bool_),
        question=np.zeros(n, dtype=np.bool_),
        traits=np.zeros(n, dtype=np.uint16),
    )


def dialogue(lexical) -> Candidates:
    """One conversation without a pause, ranked by the lexical side alone."""
    n = len(lexical)
    return replace(
        plain(np.zeros(n), lexical), conversation=np.zeros(n, dtype=np.int64), position=np.arange(n, dtype=np.int64)
    )


def shuffled(given: Candidates, order) -> Candidates:
    return Candidates(**{field.name: getattr(given, field.name)[order] for field in fields(given)})


@given(st.integers(0, 300), st.integers(0, 10**6))
def test_the_parts_sum_to_the_score(n, seed):
    found = rank(candidates(n, seed), QueryFeatures(time_ranges=((0, 9 * HOUR),)), ALL_ON, 400 * DAY)
    assert np.allclose(sum(found.parts.values()), found.score, atol=1e-4)
    assert np.isfinite(found.score).all()
    assert sorted(found.order) == list(range(n))
    assert (np.diff(found.score[found.order]) <= 0).all()


@given(st.integers(2, 120), st.integers(0, 10**6))
def test_the_order_of_the_candidates_does_not_matter(n, seed):
    given_ = candidates(n, seed)
    order = np.random.default_rng(seed + 1).permutation(n)
    here, there = rank(given_, QUERY, ALL_ON, DAY), rank(shuffled(given_, order), QUERY, ALL_ON, DAY)
    assert np.allclose(here.score[order], there.score, atol=1e-4)


@given(st.integers(2, 120), st.integers(0, 10**6), st.floats(0.1, 50))
def test_the_scale_of_bm25_does_not_matter(n, seed, factor):
    given_ = candidates(n, seed)
    other = replace(given_, lexical=given_.lexical * np.float32(factor))
    assert np.allclose(rank(given_, QUERY, ALL_ON, DAY).score, rank(other, QUERY, ALL_ON, DAY).score, atol=1e-2)


@given(st.integers(2, 120), st.integers(0, 10**6), st.data())
def test_a_better_side_never_lowers_a_slot_without_conversation(n, seed, data):
    given_ = replace(candidates(n, seed), conversation=np.full(n, NO_CONVERSATION, dtype=np.int64))
    best = int(rank(given_, QUERY, Weights(), 0).order[0])
    assume(given_.lexical.any())
    lexical = given_.lexical.copy()
    lexical[best] += np.float32(data.draw(st.floats(0, 5)))
    assert rank(replace(given_, lexical=lexical), QUERY, Weights(), 0).order[0] == best


def test_a_side_that_tells_nothing_leaves_all_to_the_other():
    dense, lexical = [0.1, 0.11, 0.12, 0.13], [3.0, 2.0, 1.0, 0.0]
    only_dense = rank(plain(dense, np.zeros(4)), QueryFeatures(language_trust=0.0), Weights(), 0)
    only_lexical = rank(plain(np.zeros(4), lexical), QUERY, Weights(), 0)
    assert (only_dense.dense_share, list(only_dense.order)) == (1.0, [3, 2, 1, 0])
    assert (only_lexical.dense_share, list(only_lexical.order)) == (0.0, [0, 1, 2, 3])


def test_a_dense_side_that_tells_all_texts_alike_is_not_trusted():
    n = 200
    alike = np.linspace(0.40, 0.45, n)
    assert dense_trust(alike.astype(np.float32), QUERY, Weights()) == 0.0
    assert dense_trust(np.array([*alike, 0.9], dtype=np.float32), QUERY, Weights()) == 1.0
    assert dense_trust(alike.astype(np.float32), QueryFeatures(cosine=False), Weights()) == 1.0
    lexical = np.zeros(n)
    lexical[7] = 5.0
    assert rank(plain(alike, lexical), QUERY, Weights(), 0).order[0] == 7


def test_one_common_word_does_not_beat_a_close_text():
    dense, lexical = np.full(200, 0.1), np.zeros(200)
    dense[3], lexical[7] = 0.6, 1.0
    assert rank(plain(dense, lexical), QueryFeatures(lexical_limit=20.0), Weights(), 0).order[0] == 3
    assert rank(plain(dense, lexical), QueryFeatures(lexical_limit=1.5), Weights(), 0).order[0] == 7


@given(st.integers(1, 200), st.integers(0, 10**6), st.floats(0, 1), st.floats(0, 99))
def test_shares_are_shares_and_more_trust_is_not_less_share(n, seed, trust, limit):
    given_ = candidates(n, seed)
    share = rank(given_, QueryFeatures(language_trust=trust, lexical_limit=limit), Weights(), 0).dense_share
    full = rank(given_, QueryFeatures(language_trust=1.0, lexical_limit=limit), Weights(), 0).dense_share
    assert 0.0 <= share <= full <= 1.0


@given(st.lists(st.floats(-1, 1, width=32), max_size=50), st.lists(st.floats(-1, 1), max_size=FEW))
def test_the_gap_is_a_share(dense, unrelated):
    query = QueryFeatures(unrelated=tuple(unrelated))
    assert 0.0 <= dense_gap(np.array(dense, dtype=np.float32), query) <= 1.0


def test_a_slot_alone_is_compared_with_texts_that_have_nothing_to_do_with_the_query():
    query = QueryFeatures(unrelated=tuple(np.linspace(0.0, 0.2, FEW)))
    score = [float(rank(plain([dense], [0.0]), query, Weights(), 0).score[0]) for dense in (0.05, 0.1, 0.3, 0.6)]
    assert score == sorted(score)
    assert score[1] < 0.5 < 2.0 < score[2]
    assert dense_gap(np.array([0.6], np.float32), query) > 0.5
    # Words do not count alone where the meaning tells something too.
    assert 0.0 < rank(plain([0.6], [2.0]), query, Weights(), 0).dense_share < 1.0


@given(st.integers(FEW, 200), st.integers(0, 10**6))
def test_many_candidates_need_no_other_texts(n, seed):
    given_ = candidates(n, seed)
    alone, beside = (rank(given_, query, ALL_ON, 0) for query in (QUERY, QueryFeatures(unrelated=(0.5,) * FEW)))
    assert (alone.score == beside.score).all()


@pytest.mark.parametrize(("n_tokens", "n_words", "least", "most"), [(10, 10, 1, 1), (12, 9, 1, 1), (50, 10, 0.5, 0.5)])
def test_words_in_many_pieces_are_of_a_language_that_the_encoder_does_not_know(n_tokens, n_words, least, most):
    assert least <= language_trust(n_tokens, n_words) <= most
    assert language_trust(n_tokens + 1, n_words) <= language_trust(n_tokens, n_words)


def test_neighbours_share_by_distance_and_only_in_their_session():
    lexical = np.zeros(12)
    lexical[5] = 9.0
    given_ = dialogue(lexical)
    weights = Weights(neighbours=(0.3, 0.2), answer=0.0, session=0.0)
    parts = rank(given_, QUERY, weights, 0).parts
    gain = parts["neighbours"] - parts["neighbours"][2]
    assert gain[4] == pytest.approx(gain[6])
    assert gain[3] == pytest.approx(gain[7])
    assert gain[4] > gain[3] > 0
    assert gain[8:10] == pytest.approx(0, abs=1e-6)
    paused = replace(given_, created_at_us=np.where(np.arange(12) < 5, 0, 5 * HOUR))
    apart = rank(paused, QUERY, weights, 0).parts["neighbours"]
    assert apart[6] == pytest.approx(parts["neighbours"][6], rel=0.02)
    assert apart[4] < parts["neighbours"][4]


def test_neighbours_of_missing_turns_are_not_moved_together():
    lexical = np.zeros(10)
    lexical[5] = 9.0
    given_ = dialogue(lexical)
    weights = Weights(neighbours=(0.3, 0.2), answer=0.0, session=0.0)
    spread = replace(given_, position=given_.position * 10)
    assert rank(given_, QUERY, weights, 0).parts["neighbours"].any()
    assert not rank(spread, QUERY, weights, 0).parts["neighbours"].any()


def test_what_follows_a_question_gets_more():
    lexical = np.zeros(12)
    lexical[5] = 9.0
    question = np.zeros(12, dtype=np.bool_)
    question[5] = True
    asked = rank(replace(dialogue(lexical), question=question), QUERY, Weights(), 0)
    told = rank(dialogue(lexical), QUERY, Weights(), 0)
    assert asked.parts["neighbours"][6] > told.parts["neighbours"][6]
    assert asked.parts["neighbours"][4] == pytest.approx(told.parts["neighbours"][4])
    assert asked.parts["question"][5] < 0


def test_the_session_of_the_best_turn_gains_alike():
    lexical = np.zeros(12)
    lexical[1] = 9.0
    days = replace(dialogue(lexical), created_at_us=np.repeat([0, DAY], 6))
    session = rank(days, QUERY, Weights(), 0).parts["session"]
    assert len(set(session[:6])) == 1
    assert len(set(session[6:])) == 1
    assert session[0] > session[6]


def test_speaker_recency_importance_and_time_lift():
    flat = plain(np.zeros(3), [1.0, 1.0, 1.0])
    third = np.array([False, False, True])
    now = 100 * DAY
    assert rank(replace(flat, speaker=third), QUERY, Weights(), now).order[0] == 2
    assert rank(replace(flat, importance=third.astype(np.float32)), QUERY, Weights(importance=1.0), now).order[0] == 2
    recent = replace(flat, created_at_us=np.array([0, 40 * DAY, 70 * DAY]))
    assert list(rank(recent, QUERY, Weights(), now).order) == [0, 1, 2]
    assert list(rank(recent, QUERY, Weights(recency=1.0), now).order) == [2, 1, 0]
    assert rank(recent, QUERY, Weights(recency=1.0), now).parts["recency"][2] == pytest.approx(0.5)
    named = QueryFeatures(time_ranges=((40 * DAY, 41 * DAY),))
    assert list(rank(recent, named, Weights(), now).order) == [1, 0, 2]
