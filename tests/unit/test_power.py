"""What a plan tells of the gate's power: at the levels and with the churn that the run will have."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest

from sharpen.gates import PairedGate
from sharpen.ledger import Ledger
from sharpen.power import looks_had, power_of, split_of
from sharpen.rehearsal import _redrawn
from sharpen.stats import mcnemar_power, minimal_detectable_gain
from sharpen.tasks import Task
from sharpen.types import user

PROMPTS = tuple(user(f"question {place}") for place in range(120))
TASK = Task(name="t", train=PROMPTS[:20], gate=PROMPTS[20:])


def test_a_new_run_has_the_levels_of_its_looks_and_the_assumed_churn() -> None:
    found = power_of(TASK, PairedGate(), 3, out=None, redrawn=0.2)
    assert (found.num_prompts, found.num_units, found.looks_had) == (100, 100, 0)
    assert found.levels == pytest.approx((0.05 / 2, 0.05 / 6, 0.05 / 12))
    assert found.churn_from == "assumed"
    assert found.gains == tuple(minimal_detectable_gain(100, churn=0.05, level=level) for level in found.levels)
    assert found.chance(0.1, 2) == mcnemar_power(100, gain=0.1, churn=0.05, level=0.05 / 12)
    assert found.chance(0.1, 0, churn=0.2) == mcnemar_power(100, gain=0.1, churn=0.2, level=0.025)
    assert found.chance(0.1, 0, churn=0.2) < found.chance(0.1, 0)
    assert 0 < found.chance(0.99, 0) <= 1  # no more can turn wrong than is left


def test_prompts_of_one_family_count_once() -> None:
    gate = tuple(dataclasses.replace(prompt, parents=(f"passage {place % 25}",)) for place, prompt in enumerate(TASK.gate))
    found = power_of(TASK.replace(gate=gate), PairedGate(), 1, out=None, redrawn=None)
    assert (found.num_prompts, found.num_units) == (100, 25)
    assert found.chance(0.15, 0) == mcnemar_power(25, gain=0.15, churn=0.05, level=0.025)


def test_looks_that_are_spent_see_nothing() -> None:
    found = power_of(TASK, PairedGate(num_looks=2), 3, out=None, redrawn=None)
    assert found.levels == (0.025, 0.025, 0.0)
    assert found.gains[2] is None
    assert found.chance(0.5, 2) == 0.0


def test_looks_on_file_are_counted_on_and_tell_the_churn(tmp_path: Path) -> None:
    assert power_of(TASK, PairedGate(), 1, out=tmp_path / "none", redrawn=None).looks_had == 0
    with Ledger(tmp_path / "run") as ledger:
        for place, losses in enumerate((9.0, 15.0)):
            numbers = {"num_pairs": 100.0, "losses": losses}
            ledger.put("decision", f"d{place}", {"split": split_of(TASK), "decision": {"numbers": numbers}})
        ledger.put("decision", "other", {"split": "another", "decision": {"numbers": {"num_pairs": 100.0, "losses": 90.0}}})
        assert len(looks_had(ledger, TASK)) == 2
    found = power_of(TASK, PairedGate(), 2, out=tmp_path / "run", redrawn=None)
    assert found.looks_had == 2
    assert found.levels == pytest.approx((0.05 / 12, 0.05 / 20))
    assert (found.churn, found.churn_from) == (pytest.approx(0.12), "looks on file")


def test_churn_between_two_samples_is_unbiased() -> None:
    rows = [[True] * 4, [False] * 4, [True, False, False, False], [True, True, False, False], [True]]
    pairs = [
        sum(a and not b for i, a in enumerate(row) for j, b in enumerate(row) if i != j) / (len(row) * (len(row) - 1))
        for row in rows[:4]
    ]
    assert _redrawn(rows) == pytest.approx(sum(pairs) / 4)
    assert _redrawn([[True]]) is None
