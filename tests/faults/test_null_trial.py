"""The trial of null candidates in small, and what it makes of its looks."""

from __future__ import annotations

import dataclasses
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest
from tests.error_bounds import upper_bound
from tests.faults.null_trial import LEVEL, NULLS, ROUNDS, Look, World, gain_run, null_run, resolution, told

from sharpen.gates import paired_gate
from sharpen.power import power_of


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> World:
    return World(tmp_path_factory.mktemp("world"))


@pytest.fixture(scope="module")
def looks(world: World) -> Iterator[Sequence[Look]]:
    """Those of one null run of each arm and of a run with a true gain."""
    with tempfile.TemporaryDirectory(dir="/dev/shm" if Path("/dev/shm").is_dir() else None) as scratch:
        yield [
            *(look for number in range(len(NULLS)) for look in null_run(world, number, Path(scratch))),
            *gain_run(world, 8, Path(scratch)),
        ]


def test_null_runs_change_answers_and_promote_nothing_that_is_no_better(looks: Sequence[Look]) -> None:
    nulls = [one for one in looks if one.arm != "gain"]
    assert {one.arm for one in nulls} == {one.__name__ for one in NULLS}
    assert sum(one.wins + one.losses for one in nulls) >= 4 * len(nulls), "the null is empty"
    assert max(one.look for one in nulls) == ROUNDS
    assert len({(one.number, one.look) for one in looks}) == len(looks), (
        "a look that the gate was asked twice about counts twice"
    )
    assert not any(one.false for one in nulls)
    naive = [one for one in nulls if one.wins > one.losses and one.gain <= 0.0]
    assert naive, "no look would have fooled a gate that takes any gain"


def test_a_true_gain_is_promoted_as_the_plan_says(looks: Sequence[Look], world: World) -> None:
    gains = [one for one in looks if one.arm == "gain"]
    assert gains[0].promoted
    assert gains[0].gain > 0.05
    for one in gains:
        plan = power_of(world.task(one.number, num_gate=one.num_gate), paired_gate(level=LEVEL), ROUNDS, out=None, redrawn=None)
        assert one.power == (plan.chance(one.gain, one.look - 1, churn=one.churn) if one.gain > 0 else 0.0)
    assert gains[0].power > 0.9


def test_false_promotions_are_counted_by_run(looks: Sequence[Look]) -> None:
    bad = dataclasses.replace(looks[0], promoted=True, gain=-0.001)
    lines = list(told([*looks[1:], bad, dataclasses.replace(bad, look=2)]))
    assert any(line.startswith("false promotions: 1 of 4 null runs, 25.00 %") for line in lines)
    assert f"bound {100 * upper_bound(1, 4):.2f} %" in "\n".join(lines)


def test_what_four_hundred_runs_can_tell() -> None:
    assert upper_bound(0, 400) == pytest.approx(0.00746, abs=1e-4)  # 1 - 0.05^(1/400)
    assert resolution(400) == pytest.approx(0.0221, abs=5e-4)
