"""The DBG score: worked-out numbers, a judge with a planted liking for itself, and one that is only good."""

from __future__ import annotations

import numpy as np
import pytest

from sharpen.measures.dbg_score import dbg_score
from sharpen.types import Score


def test_a_judge_that_calls_seven_of_ten_its_own_where_gold_calls_five_and_a_half() -> None:
    own = [[0.9, 0.6]] * 7 + [[0.2, 0.4]] * 3
    gold = [[1, 1, 0]] * 5 + [[1, 0]] + [[0, 0, 1]] * 4
    found = dbg_score(own, gold)
    assert (found.own_win_rate, found.gold_win_rate) == pytest.approx((70, 55))
    assert found.score == pytest.approx(15)
    assert (found.num_pairs, found.favoured, found.wronged) == (10, 2, 0)
    assert found.interval is not None
    assert -2 < found.interval.low < 15 < found.interval.high < 40


def test_the_orders_are_averaged_before_the_winner_is_called() -> None:
    """0.9 and 0.2 mean 0.55, a win, though one order says no; 0.7 and 0.3 are a tie."""
    found = dbg_score([[0.9, 0.2], [0.7, 0.3]], [[0], [0]])
    assert (found.own_win_rate, found.score) == (75, 75)


def test_gold_votes_of_all_judges_and_orders_are_one_election() -> None:
    """Two judges of three say no in both orders: 2 votes of 6. A tie vote is for neither."""
    found = dbg_score([[0.9]] * 3, [[1, 1, 0, 0, 0, 0], [1, 0.5, 0, 0.5], [1, 0.5, 0.5]])
    assert found.gold_win_rate == pytest.approx(50)
    assert found.score == pytest.approx(50)


def test_a_judge_that_says_what_gold_says_has_no_bias_however_good_its_answers_are() -> None:
    gold = [[1.0]] * 9 + [[0.0]]
    own = [[0.8, 0.7]] * 9 + [[0.3, 0.1]]
    found = dbg_score(own, gold)
    assert (found.own_win_rate, found.score, found.favoured, found.wronged) == (90, 0, 0, 0)


def test_a_planted_liking_is_found_and_its_absence_too() -> None:
    """A judge sees the true lead with noise; the liking is 1 in log-odds."""
    rng = np.random.default_rng(0)
    lead = rng.normal(size=400)
    gold: list[list[Score]] = [[float(one > 0)] for one in lead]

    def judged(liking: float) -> list[list[Score]]:
        logits = 2 * lead[:, None] + liking + rng.normal(size=(400, 2))
        return (1 / (1 + np.exp(-logits))).tolist()

    fair, partial = dbg_score(judged(0.0), gold), dbg_score(judged(1.0), gold)
    assert fair.interval is not None
    assert partial.interval is not None
    assert fair.interval.low <= 0 <= fair.interval.high
    assert partial.interval.low > 5


def test_pairs_without_a_judgement_are_left_out_and_counted() -> None:
    found = dbg_score([[None, None], [0.9, None], [0.1]], [[1], [None, 1], [None]])
    assert (found.num_pairs, found.num_left_out, found.score, found.interval) == (1, 2, 0, None)
    one_prompt = dbg_score([[0.9], [0.9]], [[0], [1]], clusters=["a", "a"])
    assert (one_prompt.score, one_prompt.interval) == (50, None)


def test_a_wrong_call_is_one_sentence() -> None:
    with pytest.raises(ValueError, match="judgements of 1 pairs and gold votes on 2"):
        dbg_score([[0.5]], [[1], [0]])
    with pytest.raises(ValueError, match=r"probability for pair 0 is 1\.5"):
        dbg_score([[1.5]], [[1]])
    with pytest.raises(ValueError, match="a gold vote on pair 0 is 2"):
        dbg_score([[0.5]], [[2]])
    with pytest.raises(ValueError, match="1 clusters are given for 2 pairs"):
        dbg_score([[0.5], [1.0]], [[1], [0]], clusters=["a"])
    with pytest.raises(ValueError, match="none of 1 pairs"):
        dbg_score([[None]], [[1]])
