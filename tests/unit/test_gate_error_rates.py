"""How often the gate errs, measured: null candidates that it promotes, and true gains that it promotes.

Draws are vectorised; each pair of counts is put to the real gate, guards and all, once and remembered, which
`test_gates.test_properties_of_right_and_wrong` allows: for right and wrong the decision depends on the counts alone.
"""

from __future__ import annotations

import functools
from collections.abc import Callable

import numpy as np
import pytest
from numpy.typing import NDArray
from report_builders import counts, report
from tests.error_bounds import lower_bound, upper_bound

from sharpen.gates import PairedGate, compare, paired_gate, paired_outcomes
from sharpen.stats import mcnemar_power

PROMPTS = 200
Bools = NDArray[np.bool_]


@functools.cache
def promotes(wins: int, losses: int, look: int, num_looks: int | None = None) -> bool:
    gate = paired_gate(num_looks=num_looks)
    return gate(*counts(wins, losses, (PROMPTS - wins - losses) // 2, (PROMPTS - wins - losses + 1) // 2), look).promote


def promoted(new: Bools, old: Bools, look: int, num_looks: int | None = None) -> Bools:
    """Whether each row of outcomes is promoted over the other."""
    wins, losses = (new & ~old).sum(axis=-1), (old & ~new).sum(axis=-1)
    return np.array([promotes(int(b), int(c), look, num_looks) for b, c in zip(wins, losses, strict=True)])


def test_the_bounds_on_an_observed_share() -> None:
    # qbeta(0.95, 6, 95) and qbeta(0.05, 5, 96) in R
    assert upper_bound(5, 100) == pytest.approx(0.10225, abs=1e-4)
    assert lower_bound(5, 100) == pytest.approx(0.01991, abs=1e-4)


# A null model draws, for a number of runs, the incumbent's outcomes and then any number of candidates' that are no better.
Draw = Callable[[np.random.Generator, int], tuple[Bools, Callable[[], Bools]]]


def coin(rng: np.random.Generator, runs: int) -> tuple[Bools, Callable[[], Bools]]:
    """Every answer is a coin: as many changed prompts as can be."""
    return rng.random((runs, PROMPTS)) < 0.5, lambda: rng.random((runs, PROMPTS)) < 0.5


def difficulty(rng: np.random.Generator, runs: int) -> tuple[Bools, Callable[[], Bools]]:
    """Prompts that are easy or hard for both, so that outcomes on one prompt are strongly correlated."""
    chance = rng.beta(0.3, 0.5, size=(runs, PROMPTS))
    return rng.random((runs, PROMPTS)) < chance, lambda: rng.random((runs, PROMPTS)) < chance


def skills(rng: np.random.Generator, runs: int) -> tuple[Bools, Callable[[], Bools]]:
    """Prompts of 10 skills; a candidate gains 30 points on half of them and loses as much on the others: correlated prompts."""
    skill = rng.integers(0, 10, size=(runs, PROMPTS))

    def candidate() -> Bools:
        sides = rng.permuted(np.tile([0.3, -0.3], (runs, 5)), axis=1)
        return rng.random((runs, PROMPTS)) < 0.5 + np.take_along_axis(sides, skill, axis=1)

    return rng.random((runs, PROMPTS)) < 0.5, candidate


def drift(rng: np.random.Generator, runs: int) -> tuple[Bools, Callable[[], Bools]]:
    """Each candidate goes on from the one before, copying most of its outcomes: candidates that are correlated over rounds."""
    incumbent = rng.random((runs, PROMPTS)) < 0.3
    state = [incumbent]

    def candidate() -> Bools:
        state[0] = np.where(rng.random((runs, PROMPTS)) < 0.8, state[0], rng.random((runs, PROMPTS)) < 0.3)
        return state[0]

    return incumbent, candidate


NULLS = pytest.mark.parametrize("null", [coin, difficulty, skills, drift])


@NULLS
@pytest.mark.parametrize(("look", "runs"), [(1, 6_000), (3, 30_000)])
def test_noise_is_promoted_no_more_often_than_the_level_of_its_look(null: Draw, look: int, runs: int) -> None:
    rng = np.random.default_rng(look)
    hits = 0
    for _ in range(runs // 3_000):
        old, candidate = null(rng, 3_000)
        hits += int(promoted(candidate(), old, look).sum())
    assert hits > 0
    assert upper_bound(hits, runs) <= paired_gate().level_at(look)


@NULLS
@pytest.mark.parametrize("num_looks", [None, 10])
def test_a_run_of_ten_rounds_of_noise_promotes_any_no_more_often_than_the_level(null: Draw, num_looks: int | None) -> None:
    runs = 3_000
    rng = np.random.default_rng(10)
    incumbent, candidate = null(rng, runs)
    ever = np.zeros(runs, dtype=np.bool_)
    for look in range(1, 11):
        ever |= promoted(candidate(), incumbent, look, num_looks)
    assert int(ever.sum()) > 0
    assert upper_bound(int(ever.sum()), runs) <= 0.05


def test_without_the_correction_for_looks_ten_rounds_of_noise_would_pass_too_often() -> None:
    rng = np.random.default_rng(11)
    incumbent, candidate = difficulty(rng, 1_000)
    ever = np.zeros(1_000, dtype=np.bool_)
    for _ in range(10):
        ever |= promoted(candidate(), incumbent, 1, 1)
    assert lower_bound(int(ever.sum()), 1_000) > 0.10


@pytest.mark.parametrize("churn", [0.0, 0.02, 0.05, 0.15])
@pytest.mark.parametrize("look", [1, 2])
def test_a_true_gain_of_ten_points_is_promoted_as_often_as_the_exact_test_can(churn: float, look: int) -> None:
    runs = 8_000
    kind = np.random.default_rng(5).random((runs, PROMPTS))
    won, lost = kind < churn + 0.10, kind > 1 - churn
    right = np.random.default_rng(6).random((runs, PROMPTS)) < 0.4
    share = promoted((right | won) & ~lost, (right & ~won) | lost, look).mean()
    assert share == pytest.approx(mcnemar_power(PROMPTS, gain=0.10, churn=churn, level=paired_gate().level_at(look)), abs=0.03)


def test_a_true_gain_is_promoted_as_often_beside_a_second_task() -> None:
    rng = np.random.default_rng(7)
    gate, runs, hits = paired_gate(), 1_500, 0
    for _ in range(runs):
        kind = rng.random(PROMPTS)
        won, lost, right = kind < 0.15, kind > 0.95, rng.random(PROMPTS) < 0.4
        old_second = rng.random(PROMPTS) < 0.5
        new_second = old_second ^ (rng.random(PROMPTS) < 0.10)  # one answer in ten changes, either way
        new, old = (
            report(outcome.astype(float).tolist(), second=report(second.astype(float).tolist(), split="second"))
            for outcome, second in (((right | won) & ~lost, new_second), ((right & ~won) | lost, old_second))
        )
        hits += gate(new, old, 1).promote
    assert hits / runs == pytest.approx(mcnemar_power(PROMPTS, gain=0.10, churn=0.05, level=0.025), abs=0.03)


def test_a_lost_ability_is_let_through_no_more_often_than_one_time_in_twenty() -> None:
    rng = np.random.default_rng(8)
    gate, runs, hits = paired_gate(), 1_500, 0
    better = counts(40, 2, 60, 98)
    for _ in range(runs):
        kind = rng.random(PROMPTS)
        old, new = kind < 0.50, (kind >= 0.15) & (kind < 0.55)  # 15 % lost, 5 % won: a loss of exactly the margin
        second = [report(column.astype(float).tolist(), split="second") for column in (new, old)]
        pair = (
            report(side.outcomes["accuracy"], second=task)  # the held-out gain is large and certain
            for side, task in zip(better, second, strict=True)
        )
        hits += gate(*pair, 1).promote
    assert hits > 0
    assert lower_bound(hits, runs) <= 0.05


def graded_null(rng: np.random.Generator, per_cluster: int) -> tuple[list[float], list[float], list[str]]:
    """Skewed graded scores; prompts of one cluster rise and fall together, up or down alike."""
    num_clusters = 60 // per_cluster
    shift = np.repeat(rng.choice([-0.2, 0.2], size=num_clusters), per_cluster)
    base = rng.beta(2, 1, size=60) * 0.6 + 0.2
    noise = rng.normal(0, 0.05, size=(2, 60))
    names = [str(i // per_cluster) for i in range(60)]
    return (base + shift + noise[0]).tolist(), (base + noise[1]).tolist(), names


@pytest.mark.parametrize("per_cluster", [1, 2, 5])
def test_graded_noise_is_promoted_at_the_level_where_clusters_are_named(per_cluster: int) -> None:
    """A permutation test spends its level in full, so the bound is on whether the observed share can be told from the level."""
    rng = np.random.default_rng(per_cluster)
    runs, level, hits, unnamed = 1_500, 0.05, 0, 0
    for _ in range(runs):
        new, old, names = graded_null(rng, per_cluster)
        pair = (report(new, clusters=names), report(old, clusters=names))
        hits += compare(paired_outcomes(*pair, "accuracy"), num_resamples=199).p <= level
        unnamed += compare(paired_outcomes(report(new), report(old), "accuracy"), num_resamples=199).p <= level
    assert hits > 0
    assert lower_bound(hits, runs) <= level
    if per_cluster == 5:  # the same prompts taken one by one fool the test: this is what clusters are for
        assert lower_bound(unnamed, runs) > 2 * level


def test_right_and_wrong_in_clusters_are_promoted_at_the_level_where_clusters_are_named() -> None:
    rng = np.random.default_rng(9)
    gate = PairedGate(level=0.2, num_resamples=199)  # 0.1 at the first look
    runs, hits, unnamed = 400, 0, 0
    names = [str(i // 10) for i in range(120)]
    for _ in range(runs):
        old = np.repeat(rng.random(12) < 0.5, 10)
        new = np.where(np.repeat(rng.random(12) < 0.5, 10), np.repeat(rng.random(12) < 0.5, 10), old)
        columns = [column.astype(float).tolist() for column in (new, old)]
        hits += gate(*(report(column, clusters=names) for column in columns), 1).promote
        unnamed += gate(*map(report, columns), 1).promote
    assert hits > 0
    assert lower_bound(hits, runs) <= 0.1
    assert lower_bound(unnamed, runs) > 0.15
