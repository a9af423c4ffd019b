"""Figures by hand, from exact fractions and from other packages; coverage and power by full enumeration."""

from __future__ import annotations

import itertools
import math
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sharpen.stats import (
    bootstrap_interval,
    mcnemar,
    mcnemar_power,
    minimal_detectable_gain,
    paired_interval,
    pass_at_k,
    permutation_test,
    prompts_needed,
    wilson_interval,
)

COUNTS = st.integers(0, 60)
QUARTERS = st.integers(-4, 4).map(lambda n: n / 4)


def binomial_tail(m: int, wins: int, p: Fraction = Fraction(1, 2)) -> Fraction:
    return sum((math.comb(m, k) * p**k * (1 - p) ** (m - k) for k in range(wins, m + 1)), Fraction(0))


@pytest.mark.parametrize(
    ("wins", "losses", "p"),
    [(0, 0, 1.0), (1, 0, 0.5), (5, 0, 1 / 32), (5, 1, 7 / 64), (2, 2, 11 / 16), (0, 3, 1.0), (10, 2, 79 / 4096)],
)
def test_mcnemar_one_sided_by_hand(wins: int, losses: int, p: float) -> None:
    assert mcnemar(wins, losses) == p


@pytest.mark.parametrize(
    ("wins", "losses", "p"), [(0, 0, 1.0), (5, 0, 1 / 16), (0, 5, 1 / 16), (3, 3, 1.0), (5, 1, 7 / 32), (1, 5, 7 / 32)]
)
def test_mcnemar_two_sided_by_hand(wins: int, losses: int, p: float) -> None:
    assert mcnemar(wins, losses, alternative="two-sided") == p


@given(COUNTS, COUNTS)
def test_mcnemar_is_the_exact_binomial_tail(wins: int, losses: int) -> None:
    assert mcnemar(wins, losses) == float(binomial_tail(wins + losses, wins))
    assert mcnemar(wins + 1, losses) <= mcnemar(wins, losses) <= mcnemar(wins, losses + 1)


def test_mcnemar_keeps_its_digits_on_large_counts() -> None:
    # scipy.stats.binomtest(10_250, 20_000, alternative="greater").pvalue in scipy 1.17.1
    assert mcnemar(10_250, 9_750) == pytest.approx(0.00020885740274677233, rel=1e-12)
    assert mcnemar(3_000, 0) == 0.5**3000


@pytest.mark.parametrize(("wins", "losses"), [(-1, 3), (3, -1)])
def test_counts_below_zero_are_refused(wins: int, losses: int) -> None:
    with pytest.raises(ValueError, match="at least 0"):
        mcnemar(wins, losses)


def test_wilson_interval_matches_published_values() -> None:
    # Newcombe 1998, Statistics in Medicine 17:857, table I, method 3
    for right, n, low, high in [
        (81, 263, 0.2553, 0.3662),
        (15, 148, 0.0624, 0.1605),
        (0, 20, 0.0, 0.1611),
        (1, 29, 0.0061, 0.1718),
    ]:
        interval = wilson_interval(right, n)
        assert (round(interval.low, 4), round(interval.high, 4)) == (low, high)
    assert wilson_interval(20, 20).high == 1.0


@pytest.mark.parametrize(("right", "n"), [(0, 0), (5, 4), (-1, 4)])
def test_wilson_interval_refuses_what_is_no_share(right: int, n: int) -> None:
    with pytest.raises(ValueError, match="no share"):
        wilson_interval(right, n)


@pytest.mark.parametrize(
    ("wins", "losses", "n", "confidence", "low", "high"),
    [
        (6, 16, 161, 0.95, -0.1240, -0.0054),  # R contingencytables 3.0, Cavo et al. 2012
        (1, 7, 21, 0.95, -0.5172, -0.0260),  # Fagerland, Lydersen and Laake 2014, Bentur et al. 2009, to three digits
        (28, 25, 618, 0.90, -0.0148, 0.0247),  # R PropCIs 0.3, scoreci.mp
    ],
)
def test_paired_interval_matches_other_packages(
    wins: int, losses: int, n: int, confidence: float, low: float, high: float
) -> None:
    interval = paired_interval(wins, losses, n, confidence=confidence)
    assert (round(interval.low, 4), round(interval.high, 4)) == (low, high)


def test_paired_interval_at_its_ends() -> None:
    z2 = 1.959963984540054**2
    nothing = paired_interval(0, 0, 200)
    assert nothing.high == pytest.approx(z2 / (200 + z2))
    assert nothing.low == pytest.approx(-nothing.high)
    assert paired_interval(7, 0, 7).high == 1.0
    assert paired_interval(0, 7, 7).low == -1.0
    assert 0.0 < paired_interval(7, 0, 7).low < 1.0
    with pytest.raises(ValueError, match="do not fit"):
        paired_interval(5, 6, 10)
    with pytest.raises(ValueError, match="do not fit"):
        paired_interval(0, 0, 0)
    for confidence in (0.0, 1.0):
        with pytest.raises(ValueError, match="confidence"):
            paired_interval(1, 1, 10, confidence=confidence)


@given(COUNTS, COUNTS, st.integers(0, 100))
@settings(max_examples=50)
def test_paired_interval_mirrors_and_holds_the_estimate(wins: int, losses: int, concordant: int) -> None:
    n = wins + losses + concordant + 1
    here, there = paired_interval(wins, losses, n), paired_interval(losses, wins, n)
    assert here.low == pytest.approx(-there.high, abs=1e-12)
    assert -1.0 <= here.low <= (wins - losses) / n <= here.high <= 1.0
    wider = paired_interval(wins, losses, n, confidence=0.99)
    assert wider.low <= here.low
    assert here.high <= wider.high


@pytest.mark.parametrize(("wins", "losses", "n"), [(20, 6, 200), (3, 9, 40), (0, 7, 200), (1, 1, 10)])
def test_the_bounds_are_where_the_score_test_of_a_constrained_fit_rejects(wins: int, losses: int, n: int) -> None:
    interval = paired_interval(wins, losses, n)
    for difference, z in ((interval.low, 1.959964), (interval.high, -1.959964)):
        lost = np.linspace(max(0.0, -difference), (1 - difference) / 2, 400_002)[1:-1]  # brute force over the nuisance share
        log_likelihood = (
            losses * np.log(lost) + wins * np.log(lost + difference) + (n - wins - losses) * np.log(1 - 2 * lost - difference)
        )
        fitted = lost[np.argmax(log_likelihood)]
        error = math.sqrt((2 * fitted + difference - difference**2) / n)
        assert ((wins - losses) / n - difference) / error == pytest.approx(z, abs=2e-3)


def paired_coverage(n: int, won: float, lost: float) -> float:
    """The exact chance that the 95 % interval holds the true difference, over all outcomes of n prompts."""
    held = 0.0
    for wins in range(n + 1):
        for losses in range(n + 1 - wins):
            rest = n - wins - losses
            ways = math.lgamma(n + 1) - math.lgamma(wins + 1) - math.lgamma(losses + 1) - math.lgamma(rest + 1)
            log_p = ways + wins * math.log(won) + losses * math.log(lost) + rest * math.log(1 - won - lost)
            if log_p > -14:
                interval = paired_interval(wins, losses, n)
                held += math.exp(log_p) * (interval.low <= won - lost <= interval.high)
    return held


@pytest.mark.parametrize(("n", "won", "lost"), [(50, 0.15, 0.05), (50, 0.25, 0.15), (100, 0.05, 0.05), (100, 0.30, 0.02)])
def test_paired_interval_covers_the_truth_as_often_as_it_says(n: int, won: float, lost: float) -> None:
    assert 0.943 <= paired_coverage(n, won, lost) <= 0.965


def test_permutation_test_by_hand() -> None:
    assert permutation_test([]) == 1.0
    assert permutation_test([0.0, 0.0]) == 1.0
    assert permutation_test([0.3]) == 0.5
    assert permutation_test([0.1, 0.2, 0.3]) == 1 / 8
    assert permutation_test([0.1, 0.2, -0.3]) == 5 / 8  # sums 0: two of eight; above 0: three
    assert permutation_test([0.1, 0.2, -0.3], alternative="two-sided") == 1.0
    assert permutation_test([0.5, 0.5, 0.5], alternative="two-sided") == 1 / 4


@given(st.lists(QUARTERS, max_size=9))
@settings(max_examples=60)
def test_permutation_test_counts_all_sign_flips(differences: list[float]) -> None:
    moving = [Fraction(value) for value in differences if value]
    flips = [
        sum((s * v for s, v in zip(signs, moving, strict=True)), Fraction(0))
        for signs in itertools.product((1, -1), repeat=len(moving))
    ]
    hits = sum(value >= sum(moving, Fraction(0)) for value in flips)
    assert permutation_test(differences) == hits / 2 ** len(moving)


@given(st.integers(0, 8), st.integers(0, 8), st.integers(0, 20))
@settings(max_examples=40)
def test_permutation_test_of_right_and_wrong_is_mcnemar(wins: int, losses: int, ties: int) -> None:
    differences = [1.0] * wins + [-1.0] * losses + [0.0] * ties
    assert permutation_test(differences) == mcnemar(wins, losses)
    assert permutation_test(differences, alternative="two-sided") == pytest.approx(
        mcnemar(wins, losses, alternative="two-sided")
    )


def test_sampled_flips_agree_with_all_flips_and_are_never_zero() -> None:
    differences = [1.0] * 24 + [-1.0] * 12
    p = permutation_test(differences, num_resamples=99_999)
    exact = mcnemar(24, 12)
    assert abs(p - exact) < 4 * math.sqrt(exact / 99_999)
    assert permutation_test([1.0] * 60, num_resamples=999) == 1 / 1000
    assert permutation_test(differences, seed=1) != p
    assert permutation_test(differences[:16]) == 0.5**16  # the last number of differences that is enumerated


@given(st.permutations([0.5, -0.25, 0.75, 0.0, 0.1, -0.9] * 4))
@settings(max_examples=20)
def test_the_order_of_prompts_does_not_matter(shuffled: list[float]) -> None:
    plain = [0.5, -0.25, 0.75, 0.0, 0.1, -0.9] * 4
    assert permutation_test(shuffled, num_resamples=500) == permutation_test(plain, num_resamples=500)
    assert bootstrap_interval(shuffled, num_resamples=500) == bootstrap_interval(plain, num_resamples=500)


def test_clusters_are_flipped_whole() -> None:
    differences = [1.0, 1.0, 1.0, 1.0, 1.0, 1.0]
    assert permutation_test(differences) == 1 / 64
    assert permutation_test(differences, clusters=list("aabbcc")) == 1 / 8
    assert permutation_test(differences, clusters=list("aaaaaa")) == 1 / 2
    assert permutation_test([0.1, 0.2, -0.3, 1.0], clusters=list("xxxy")) == 1 / 2  # x cancels to 0 but for float noise
    with pytest.raises(ValueError, match="zip"):
        permutation_test(differences, clusters=["a"])


def test_bootstrap_interval_by_theory() -> None:
    rng = np.random.default_rng(0)
    differences = rng.normal(0.1, 0.5, size=400).tolist()
    interval = bootstrap_interval(differences)
    half = 1.96 * np.std(differences, ddof=1) / 20
    assert interval.low == pytest.approx(np.mean(differences) - half, abs=0.004)
    assert interval.high == pytest.approx(np.mean(differences) + half, abs=0.004)
    narrow = bootstrap_interval(differences, confidence=0.5)
    assert interval.low < narrow.low < narrow.high < interval.high
    assert bootstrap_interval([0.25] * 5) == bootstrap_interval([0.25, 0.25], seed=3)


def test_bootstrap_interval_of_two_prompts_is_widened() -> None:
    interval = bootstrap_interval([0.0, 1.0])  # resampled means are 0, 1/2 and 1; the spread is put right by sqrt(2)
    assert interval.low == pytest.approx(0.5 - 0.5 * math.sqrt(2))
    assert interval.high == pytest.approx(0.5 + 0.5 * math.sqrt(2))


def test_bootstrap_interval_of_clusters_is_wider() -> None:
    differences = [1.0] * 30 + [0.0] * 30
    clusters = [str(i // 10) for i in range(60)]
    alone, together = bootstrap_interval(differences), bootstrap_interval(differences, clusters=clusters)
    assert together.high - together.low > 1.8 * (alone.high - alone.low)
    uneven = bootstrap_interval([1.0, 1.0, 1.0, 0.0], clusters=["a", "a", "a", "b"])
    assert uneven.low < 0.75 < uneven.high
    with pytest.raises(ValueError, match="at least two"):
        bootstrap_interval([0.5, 0.5], clusters=["a", "a"])
    with pytest.raises(ValueError, match="confidence"):
        bootstrap_interval([0.5, 0.5], confidence=1.0)


def test_bootstrap_interval_covers_the_truth_as_often_as_it_says() -> None:
    rng = np.random.default_rng(1)
    held = 0
    for _ in range(600):
        differences = rng.beta(2, 1, size=60) - rng.beta(1, 1, size=60)
        interval = bootstrap_interval(differences.tolist(), num_resamples=999)
        held += interval.low <= 2 / 3 - 1 / 2 <= interval.high
    assert 0.925 <= held / 600 <= 0.975


def exact_power(n: int, won: Fraction, lost: Fraction, level: float) -> Fraction:
    """By enumeration of wins and losses in fractions."""
    found = Fraction(0)
    for wins in range(n + 1):
        for losses in range(min(wins, n + 1 - wins)):
            if wins + losses <= n and mcnemar(wins, losses) <= level:
                ways = math.comb(n, wins) * math.comb(n - wins, losses)
                found += ways * won**wins * lost**losses * (1 - won - lost) ** (n - wins - losses)
    return found


@pytest.mark.parametrize("level", [0.5, 0.25, 0.0625, 0.03125, 0.025, 0.5**10])
@pytest.mark.parametrize(("gain", "churn"), [(0.1, 0.05), (0.25, 0.0), (0.0, 0.2), (0.5, 0.25), (0.02, 0.01)])
def test_power_is_the_sum_over_all_outcomes(gain: float, churn: float, level: float) -> None:
    won, lost = (
        Fraction(gain).limit_denominator(1000) + Fraction(churn).limit_denominator(1000),
        Fraction(churn).limit_denominator(1000),
    )
    assert mcnemar_power(24, gain=gain, churn=churn, level=level) == pytest.approx(
        float(exact_power(24, won, lost, level)), abs=1e-12
    )


def test_power_grows_and_its_size_stays_below_the_level() -> None:
    powers = [mcnemar_power(n, gain=0.1, churn=0.05, level=0.025) for n in (50, 100, 200, 400)]
    assert powers == sorted(powers)
    assert powers[2] == pytest.approx(0.875, abs=0.001)
    assert 0.01 < mcnemar_power(200, gain=0.0, churn=0.1, level=0.025) <= 0.025
    assert mcnemar_power(200, gain=0.0, churn=0.0, level=0.5) == 0.0
    assert mcnemar_power(10, gain=1.0, churn=0.0, level=0.001) == 1.0
    assert mcnemar_power(9, gain=1.0, churn=0.0, level=0.001) == 0.0


def test_minimal_detectable_gain_is_where_power_crosses() -> None:
    gain = minimal_detectable_gain(200, churn=0.05, level=0.025, power=0.8)
    assert gain == 0.089
    assert (
        mcnemar_power(200, gain=gain, churn=0.05, level=0.025) >= 0.8 > mcnemar_power(200, gain=0.088, churn=0.05, level=0.025)
    )
    assert minimal_detectable_gain(4, churn=0.05, level=0.025) is None
    with pytest.raises(ValueError, match="power"):
        minimal_detectable_gain(200, power=1.0)


@pytest.mark.parametrize(
    ("gain", "churn", "level"), [(0.10, 0.05, 0.025), (0.05, 0.05, 0.025), (0.05, 0.10, 0.0083), (0.2, 0.0, 0.01)]
)
def test_prompts_needed_gives_about_the_power_that_was_asked_for(gain: float, churn: float, level: float) -> None:
    n = prompts_needed(gain=gain, mean_square=gain + 2 * churn, level=level)
    assert 0.74 <= mcnemar_power(n, gain=gain, churn=churn, level=level) <= 0.88


def test_prompts_needed_by_hand() -> None:
    z = 1.959963984540054 + 0.8416212335729143  # a difference of constant size 0.1 has mean square 0.01 and no variance left
    assert prompts_needed(gain=0.1, mean_square=0.01, level=0.025) == math.ceil(1.959963984540054**2)
    assert prompts_needed(gain=0.001, mean_square=1.0, level=0.025) == pytest.approx(z * z * 1e6, rel=1e-4)
    assert prompts_needed(gain=0.1, mean_square=0.2, level=0.025, power=0.9) > prompts_needed(
        gain=0.1, mean_square=0.2, level=0.025
    )
    for wrong in ({"gain": 0.0}, {"gain": 0.6}, {"level": 0.0}, {"power": 1.0}):
        with pytest.raises(ValueError):
            prompts_needed(**{"gain": 0.1, "mean_square": 0.2, "level": 0.025, "power": 0.8, **wrong})


@pytest.mark.parametrize(
    ("n", "gain", "churn", "level"),
    [(0, 0.1, 0.1, 0.1), (9, -0.1, 0.1, 0.1), (9, 0.1, -0.1, 0.1), (9, 0.7, 0.2, 0.1), (9, 0.1, 0.1, 0.0)],
)
def test_power_refuses_what_is_no_probability(n: int, gain: float, churn: float, level: float) -> None:
    with pytest.raises(ValueError):
        mcnemar_power(n, gain=gain, churn=churn, level=level)


def test_pass_at_k_by_hand() -> None:
    assert pass_at_k(10, 3, 1) == pytest.approx(0.30)
    assert pass_at_k(10, 3, 5) == pytest.approx(11 / 12)
    assert pass_at_k(10, 3, 8) == 1.0
    assert pass_at_k(4, 0, 4) == 0.0
    assert pass_at_k(1, 1, 1) == 1.0


@given(st.integers(1, 7), st.data())
@settings(max_examples=40)
def test_pass_at_k_is_the_share_of_draws_that_hold_one(n: int, data: st.DataObject) -> None:
    c, k = data.draw(st.integers(0, n)), data.draw(st.integers(1, n))
    draws = list(itertools.combinations(range(n), k))
    assert pass_at_k(n, c, k) == pytest.approx(sum(min(draw) < c for draw in draws) / len(draws))


@pytest.mark.parametrize(("n", "c", "k"), [(5, 6, 1), (5, -1, 1), (5, 2, 0), (5, 2, 6)])
def test_pass_at_k_refuses_impossible_counts(n: int, c: int, k: int) -> None:
    with pytest.raises(ValueError):
        pass_at_k(n, c, k)
