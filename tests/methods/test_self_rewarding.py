"""Self-rewarding: marks read from probabilities, and pairs of them."""

from __future__ import annotations

import math
from pathlib import Path

import pytest
from worlds import tiny_improve

from example_builders import ROUND, group
from sharpen.feedback.rubric import expected_mark, rubric
from sharpen.methods.self_rewarding import self_rewarding
from sharpen.select import best_vs_worst


def judged(mark_of):  # type: ignore[no-untyped-def]
    class Judge:
        def options(self, prompts):  # type: ignore[no-untyped-def]
            return [tuple(0.0 if mark == mark_of(prompt.text) else -50.0 for mark in range(6)) for prompt in prompts]

    class Round(type(ROUND)):  # type: ignore[misc]
        def policy(self, role: str) -> Judge:
            return Judge()

    return rubric()([group(["good", "bad"]), group(["good", "good"])], Round())


def test_marks_are_expected_values() -> None:
    assert expected_mark([math.log(0.2)] * 5, [1, 2, 3, 4, 5]) == pytest.approx(3.0)
    assert expected_mark([-1000.0, -1001.0], [0.0, 1.0]) == pytest.approx(1 / (1 + math.e))


def test_a_constant_judge_gives_no_pairs() -> None:
    assert not list(best_vs_worst()(judged(lambda text: 3), ROUND))


def test_a_judge_that_knows_gives_right_pairs_alone() -> None:
    found = list(best_vs_worst()(judged(lambda text: 5 if "\ngood\n</answer" in text else 1), ROUND))
    assert [(one.chosen.completion.text, one.rejected.completion.text) for one in found] == [("good", "bad")]


def test_it_runs(tmp_path: Path) -> None:
    run = tiny_improve(self_rewarding(num_prompts=24, ask="{question}{answer}", learning_rate=1e-4), tmp_path / "run", rounds=1)
    assert all(0 <= score <= 5 for one in run.groups(0) for score in one.score("reward"))
    assert run.groups(0)[0].signals["reward_spread"] >= 0
