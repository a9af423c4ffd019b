"""GRPO in the loop: on-policy, carried, and promoted where it helps."""

from __future__ import annotations

from pathlib import Path

import pytest
from worlds import VERIFIER, accuracy, tiny_improve

from sharpen.methods.grpo import grpo


def test_ratio_is_one_at_the_first_step_and_the_habit_is_unlearned(tmp_path: Path) -> None:
    run = tiny_improve(grpo(VERIFIER, num_steps=10, learning_rate=1e-3), tmp_path / "run")
    trained = run.rounds[0].trained
    assert trained["ratio"] == pytest.approx(1.0, abs=1e-4)
    assert run.rounds[0].accounts["sampled"] == 10 * 8 * 8
    assert run.rounds[0].decision.promote
    assert accuracy(run, "improved") > accuracy(run, "base") + 0.3


def test_variants_are_parameters_of_one_objective() -> None:
    rloo = grpo(VERIFIER, baseline="leave-one-out", scale="none")
    dapo = grpo(VERIFIER, reduction="token-mean", clip_high=0.28)
    assert "leave-one-out" in repr(rloo.steps[0].select)
    assert "clip_high=0.28" in repr(dapo.steps[0].objective)
    assert len({rloo.key, dapo.key, grpo(VERIFIER).key}) == 3
