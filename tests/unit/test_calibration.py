"""Calibration and selective answering: figures worked out by hand, and what they must be in the limits."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sharpen.measures.calibration import calibration
from sharpen.stats import auroc, bootstrap_interval, rank_correlation, wilson_interval

ANSWERS = st.lists(
    st.tuples(st.sampled_from([0.0, 0.1, 0.3, 0.5, 0.75, 1.0]), st.sampled_from([0.0, 1.0])), min_size=1, max_size=12
)


def test_four_answers_worked_out_by_hand() -> None:
    """Bins: 0.95 right (gap 0.05), two of 0.85 half right (0.35), 0.35 wrong (0.35). Risks of the k surest: 0, 0.5/2, 1/3, 2/4."""
    found = calibration([0.85, 0.35, 0.95, 0.85], [1.0, 0.0, 1.0, 0.0])
    assert found.ece == pytest.approx(0.05 / 4 + 2 * 0.35 / 4 + 0.35 / 4)
    assert found.brier == pytest.approx((0.15**2 + 0.35**2 + 0.05**2 + 0.85**2) / 4)
    assert (found.accuracy, found.confidence, found.overconfidence) == pytest.approx((0.5, 0.75, 0.25))
    assert found.auroc is not None
    assert found.auroc.value == 0.875
    assert found.aurc == pytest.approx((0 + 0.25 + 1 / 3 + 0.5) / 4)
    assert found.excess_aurc == pytest.approx(found.aurc - (1 / 3 + 0.5) / 4)  # with both wrong ones last
    assert [(one.low, one.high, one.num_answers) for one in found.bins] == [(0.3, 0.4, 1), (0.8, 0.9, 2), (0.9, 1.0, 1)]
    assert [(one.confidence, one.accuracy) for one in found.bins] == [(0.35, 0.0), (0.85, 0.5), (0.95, 1.0)]
    assert [(one.threshold, one.coverage, one.risk) for one in found.curve] == [
        (0.95, 0.25, 0),
        (0.85, 0.75, 1 / 3),
        (0.35, 1, 0.5),
    ]
    assert found.curve[1].interval == wilson_interval(1, 3)


def test_one_confidence_that_is_the_accuracy_has_no_error_and_orders_nothing() -> None:
    found = calibration([0.25] * 8, [1.0, 0.0, 0.0, 0.0] * 2)
    assert (found.ece, found.overconfidence) == (0.0, 0.0)
    assert found.brier == pytest.approx(0.25 * 0.75)
    assert found.aurc == pytest.approx(0.75)
    assert found.auroc is not None
    assert found.auroc.value == 0.5


def test_knowing_all_is_free_of_risk_and_knowing_the_wrong_way_round_is_the_worst() -> None:
    knowing = calibration([1.0, 1.0, 0.0], [1.0, 1.0, 0.0])
    assert (knowing.ece, knowing.brier, knowing.excess_aurc) == (0.0, 0.0, 0.0)
    assert knowing.at_risk(0.0) == knowing.curve[0]
    worst = calibration([0.0, 0.0, 1.0], [1.0, 1.0, 0.0])
    assert (worst.ece, worst.brier) == (1.0, 1.0)
    assert worst.auroc is not None
    assert worst.auroc.value == 0.0
    assert worst.aurc == pytest.approx((1 + 1 / 2 + 1 / 3) / 3)
    assert worst.at_risk(0.1) is None


def test_answering_less_for_less_risk() -> None:
    found = calibration([0.9, 0.8, 0.8, 0.4], [1.0, 1.0, 0.0, 0.0])
    least, most = found.at_risk(0.0), found.at_risk(0.4)
    assert least is not None
    assert most is not None
    assert (least.coverage, most.coverage, most.threshold) == (0.25, 0.75, 0.8)
    assert found.at_coverage(0.5) == most
    assert found.at_coverage(1.0).risk == 0.5


def test_what_chance_alone_gives_is_the_mean_over_all_verdicts() -> None:
    """Two answers of confidence 1/2 in one bin: both right or both wrong half of the time, a gap of 1/2, else none."""
    found = calibration([0.5, 0.5], [1.0, 1.0])
    assert found.ece == 0.5
    assert found.ece_by_chance == pytest.approx(0.25, abs=0.02)
    assert found.ece_p == pytest.approx(0.5, abs=0.04)
    assert calibration([0.5], [1.0]).ece_by_chance == 0.5


def test_a_true_confidence_is_not_called_wrong_and_a_boast_is() -> None:
    rng = np.random.default_rng(7)
    sure = rng.random(400)
    right = (rng.random(400) < sure).astype(float)
    honest, boasting = calibration(sure.tolist(), right.tolist()), calibration(np.sqrt(sure).tolist(), right.tolist())
    assert honest.ece_p > 0.05
    assert boasting.ece_p == 1 / 2000
    assert boasting.ece > 3 * boasting.ece_by_chance
    assert boasting.overconfidence_interval is not None
    assert boasting.overconfidence_interval.low > 0.1
    assert boasting.auroc == honest.auroc  # an order does not change
    assert boasting.aurc == honest.aurc


@given(ANSWERS, st.integers(0, 10**6))
def test_the_order_of_answers_changes_nothing_and_figures_stay_in_range(answers: list[tuple[float, float]], seed: int) -> None:
    shuffled = [answers[place] for place in np.random.default_rng(seed).permutation(len(answers))]
    one, other = (calibration([p for p, _ in rows], [y for _, y in rows]) for rows in (answers, shuffled))
    assert one == other
    assert 0 <= one.ece <= 1
    assert 0 <= one.brier <= 1
    assert 0 <= one.excess_aurc <= one.aurc <= 1
    assert one.ece <= math.sqrt(one.brier) + 1e-12  # the mean of gaps is at most the root of the mean of squares
    assert sum(bin_.num_answers for bin_ in one.bins) == one.num_answers == len(answers)
    assert one.curve[-1].coverage == 1
    assert one.curve[-1].risk == pytest.approx(1 - one.accuracy)


def test_abstentions_are_left_out_and_counted_and_clusters_are_resampled_whole() -> None:
    found = calibration([0.9, None, 0.4, 0.2], [1.0, 1.0, None, 0.0])
    assert (found.num_answers, found.num_left_out, found.accuracy) == (2, 2, 0.5)
    apart = calibration([0.9, None, 0.8, 0.2], [0.0, 1.0, 0.0, 0.0], clusters=["a", "b", "a", "c"])
    assert apart.brier_interval == bootstrap_interval([0.04, 0.64, 0.81], clusters=["c", "a", "a"])
    alone = calibration([0.9, 0.8], [1.0, 1.0], clusters=["a", "a"])
    assert (alone.brier_interval, alone.overconfidence_interval, alone.auroc) == (None, None, None)


def test_bins_hold_their_upper_end() -> None:
    places = [(one.low, one.confidence) for one in calibration([0.0, 0.1, 0.1000001, 0.3, 1.0], [1.0] * 5).bins]
    assert places == [(0.0, 0.05), (0.1, 0.1000001), (0.2, 0.3), (0.9, 1.0)]


def test_a_wrong_call_is_one_sentence() -> None:
    for confidences, verdicts, why in (
        ([1.2], [1.0], r"confidence 0 is 1\.2"),
        ([0.5, 0.5], [1.0, 0.5], r"verdict 1 is 0\.5; calibration is of right"),
        ([None], [1.0], "none of 1 answers has both"),
    ):
        with pytest.raises(ValueError, match=why):
            calibration(confidences, verdicts)
    with pytest.raises(ValueError, match="num_bins is 0"):
        calibration([0.5], [1.0], num_bins=0)
    with pytest.raises(ValueError, match="1 confidences are given for 2 verdicts"):
        calibration([0.5], [1.0, 1.0])
    with pytest.raises(ValueError, match="1 clusters are given for 2 answers"):
        calibration([0.5, 0.5], [1.0, 1.0], clusters=["a"])


def test_the_area_and_its_interval_worked_out_by_hand() -> None:
    """Right ones win 1, 1 and 1/2 of the time (variance 1/12), wrong ones 1/3 and 0 (1/18): the error is sqrt(1/36 + 1/36)."""
    found = auroc([0.9, 0.8, 0.6], [0.7, 0.3])
    assert found is not None
    assert found.value == pytest.approx(2.5 / 3)
    assert found.interval is not None
    assert (found.interval.low, found.interval.high) == (pytest.approx(2.5 / 3 - 1.959964 * math.sqrt(1 / 18), abs=1e-6), 1.0)
    assert auroc([0.9], [0.1, 0.2]) == auroc([3], [1, 2])
    assert auroc([], [0.1]) is None


def test_a_rank_correlation_worked_out_by_hand() -> None:
    """Ranks 1, 2.5, 2.5, 4 and 1 to 4: 4.5 / sqrt(4.5 * 5)."""
    found = rank_correlation([10, 20, 20, 99], [1, 2, 3, 4])
    assert found is not None
    assert found.value == pytest.approx(4.5 / math.sqrt(22.5))
    assert found.interval is not None
    half = 1.959964 * math.sqrt(1 + 0.45)
    assert found.interval.low == pytest.approx(math.tanh(math.atanh(found.value) - half), abs=1e-6)
    assert rank_correlation([1, 2, 3], [5, 6, 9]) == rank_correlation([3, 2, 1], [9, 6, 5])
    assert rank_correlation([1, 1], [1, 2]) is None
    with pytest.raises(ValueError, match="2 and 1 values"):
        rank_correlation([1, 2], [1])
