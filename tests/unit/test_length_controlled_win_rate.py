"""The length-controlled win rate against the reference's regression, and against worlds whose quality and length bias are known."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence

import numpy as np
import pytest

from sharpen.measures.length_controlled_win_rate import Duel, LengthControlledWinRate, length_controlled_win_rate
from sharpen.stats.logistic import Regression, fitted_logistic
from sharpen.types import Score

WINS = [0.9, 0.2, 0.7, 0.6, 1.0, 0.4, 0.8, 0.1, 0.55, 0.95, 0.3, 0.65]
LENGTHS = [900, 300, 820, 450, 1200, 380, 700, 260, 520, 990, 610, 480]
BASELINE = [400, 500, 300, 480, 350, 420, 690, 500, 300, 410, 450, 470]
HARD = [0.5, -1.0, 0.2, 0.0, 1.5, -0.3, 0.8, -1.2, 0.1, 0.9, -0.4, 0.3]
GAMED = [
    *(Duel(copy="long", preference=p, length=n, baseline_length=m, difficulty=d) for p, n, m, d in
      [(0.7, 1400, 400, 0.5), (0.6, 1200, 500, -1.0), (0.8, 1500, 300, 0.2)]),
    *(Duel(copy="short", preference=p, length=n, baseline_length=m, difficulty=d) for p, n, m, d in
      [(0.3, 100, 400, 0.5), (0.35, 90, 500, -1.0), (0.2, 60, 300, 0.2)]),
]  # fmt: skip


def sigmoid(value: float) -> float:
    return 1.0 / (1.0 + math.exp(-value))


def taken(
    wins: Sequence[Score],
    lengths: Sequence[int] = LENGTHS,
    baseline: Sequence[int] = BASELINE,
    hard: Sequence[float] | None = None,
) -> LengthControlledWinRate:
    return length_controlled_win_rate(wins, lengths, baseline, difficulties=hard, num_resamples=19)


@pytest.mark.parametrize(
    ("hard", "gamed", "strength", "coefficients", "rate"),
    [
        (False, False, 21.54434690031882, [1.817387, -0.029396], 49.26516),
        (False, True, 21.54434690031882, [1.687753, -0.003792], 49.9052),
        (True, False, 21.54434690031882, [0.237973, 0.212328, 1.942418], 58.09016),
        (True, True, 166.81005372000558, [0.616228, 0.141826, 1.670166], 56.60147),
    ],
)
def test_the_regression_is_that_of_the_reference(
    hard: bool, gamed: bool, strength: float, coefficients: list[float], rate: float
) -> None:
    """Made with scikit-learn 1.9.1: LogisticRegression(penalty="l1", solver="liblinear", fit_intercept=False), each row there twice, with its
    share and the rest as weights, as in the authors' code; the strength by the same folds."""
    found = length_controlled_win_rate(
        WINS, LENGTHS, BASELINE, difficulties=HARD if hard else None, gamed=GAMED if gamed else (), num_resamples=9
    )
    assert found.strength == pytest.approx(strength, rel=1e-9)
    told = [found.length, found.quality, *([found.difficulty] if found.difficulty is not None else [])]
    assert told == pytest.approx(coefficients, abs=2e-5)
    assert found.length_controlled == pytest.approx(rate, abs=2e-3)
    assert found.win_rate == pytest.approx(100 * sum(WINS) / 12)


def test_a_fold_counts_by_its_rows_and_not_by_their_weights() -> None:
    """Here the strength would be another if it did; made as above."""
    wins = [0.5, 0.0, 0.4, 0.5, 0.9, 0.7, 0.4, 0.2, 0.0, 0.3, 0.1, 0.2]
    ours = [600, 800, 300, 300, 1200, 500, 200, 100, 1100, 1100, 1000, 1100]
    theirs = [700, 200, 200, 900, 1000, 600, 900, 1000, 1100, 300, 300, 300]
    found = length_controlled_win_rate(wins, ours, theirs, gamed=GAMED, num_resamples=9)
    assert found.strength == pytest.approx(2.782559402207126, rel=1e-9)
    assert [found.length, found.quality] == pytest.approx([-0.085590, -0.482991], abs=2e-5)
    assert found.length_controlled == pytest.approx(38.15460, abs=2e-3)


def test_a_model_against_itself_has_exactly_half() -> None:
    found = taken([0.5] * 12, baseline=LENGTHS, hard=HARD)
    assert (found.win_rate, found.length_controlled, found.length, found.quality) == (50.0, 50.0, 0.0, 0.0)
    assert not found.extreme


@pytest.mark.parametrize("hard", [None, HARD])
def test_swapping_the_two_models_turns_the_rate_round(hard: list[float] | None) -> None:
    one, other = taken(WINS, hard=hard), taken([1 - win for win in WINS], BASELINE, LENGTHS, hard)
    assert one.length_controlled + other.length_controlled == pytest.approx(100, abs=1e-6)
    assert one.length == pytest.approx(other.length, abs=1e-6)


@pytest.mark.parametrize("bias", [-1.0, 0.0, 1.2, 3.0])
def test_a_lead_of_a_half_in_log_odds_gives_62_whatever_length_brings(bias: float) -> None:
    ahead = np.array(LENGTHS, dtype=float) - np.array(BASELINE)
    wins = [sigmoid(0.5 + bias * math.tanh(one)) for one in ahead / ahead.std(ddof=1)]
    found = taken(wins)
    assert found.length_controlled == pytest.approx(62.2459, abs=0.02)  # sigmoid(1/2), but for what the penalty takes
    assert found.length == pytest.approx(bias, abs=0.01)


def test_a_judge_that_only_counts_characters_is_seen_through() -> None:
    rng = np.random.default_rng(0)
    ours, theirs = rng.integers(500, 1500, 400), rng.integers(200, 1200, 400)
    wins = (rng.random(400) < 1 / (1 + np.exp(-3.0 * np.tanh((ours - theirs) / np.std(ours - theirs, ddof=1))))).astype(float)
    found = length_controlled_win_rate(wins.tolist(), ours.tolist(), theirs.tolist(), num_resamples=99)
    assert found.win_rate > 65
    assert found.length_controlled_interval is not None
    assert found.length_controlled_interval.low < 50 < found.length_controlled_interval.high
    assert found.win_rate_interval is not None
    assert found.win_rate_interval.low > 60
    assert found.extreme


def test_prompts_without_a_preference_are_counted_and_answers_of_one_length_need_no_spread() -> None:
    found = taken([1.0, None, 1.0, 0.0], [10] * 4, [10] * 4)
    assert (found.num_prompts, found.num_left_out, found.length) == (3, 1, 0.0)
    assert found.length_controlled == pytest.approx(100 * sigmoid(found.quality))
    single = taken([1.0], [10], [5])
    assert (single.win_rate, single.win_rate_interval, single.length_controlled_interval) == (100.0, None, None)


def test_a_wrong_call_is_one_sentence() -> None:
    with pytest.raises(ValueError, match="12 preferences, 3 and 12 lengths"):
        taken(WINS, [1, 2, 3])
    with pytest.raises(ValueError, match="12 preferences, 12 and 12 lengths, and 2 difficulties"):
        taken(WINS, hard=[0.1, 0.2])
    with pytest.raises(ValueError, match=r"the preference of duel 1 is 70\.0"):
        length_controlled_win_rate(WINS, LENGTHS, BASELINE, gamed=[GAMED[0], dataclasses.replace(GAMED[1], preference=70.0)])
    with pytest.raises(ValueError, match=r"preference 1 is 1\.5"):
        taken([0.0, 1.5], [1, 2], [1, 2])
    with pytest.raises(ValueError, match="none of 1 prompts has a preference"):
        taken([None], [1], [2])


def test_the_fit_has_no_slope_left_beyond_the_penalty() -> None:
    """At the least value each slope is the penalty's, or within it where the coefficient is 0."""
    rng = np.random.default_rng(3)
    data = Regression(features=rng.normal(size=(60, 4)), shares=rng.random(60), weights=rng.random(60))
    for strength in (0.3, 3.0, 300.0):
        found = fitted_logistic(data, strength=strength)
        chances = 1 / (1 + np.exp(-data.features @ found))
        slope = strength * (data.features.T @ (data.weights * (chances - data.shares)))
        for one, value in zip(found, slope, strict=True):
            assert abs(value) <= 1 + 1e-5 if one == 0 else value == pytest.approx(-np.sign(one), abs=1e-4)
