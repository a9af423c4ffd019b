"""SCoRe: two attempts, the first pinned and then the second paid for progress."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest
from worlds import VERIFIER, tiny_improve

from example_builders import ROUND, group
from sharpen.examples import Rollout
from sharpen.methods.score_rl import score_rl
from sharpen.select.turns import returns, turn_rollouts
from sharpen.types import Completion, Segment


def attempts(first: str, second: str, index: int) -> Completion:
    segments = (
        Segment(token_ids=(1, 2), logprobs=(-1.0, -1.0), text=first),
        Segment(source="injected", token_ids=(3,), weight=0.0, turn=1, text="check"),
        Segment(token_ids=(4, 5, 6), logprobs=(-1.0, -1.0, -1.0), turn=1, text=second),
    )
    return Completion(segments=segments, text="", finish="stop", prompt_id="p", checkpoint="c", index=index)


def test_what_each_pattern_is_paid() -> None:
    paid = {(a, b): returns(a, b, progress=10.0)[1] for a in (0, 1) for b in (0, 1)}
    assert paid == {(0, 0): 0.0, (0, 1): 11.0, (1, 0): -10.0, (1, 1): 1.0}


def test_the_second_turn_alone_is_paid_for_progress() -> None:
    made = (attempts("no", "yes", 0), attempts("yes", "yes", 1))
    one = dataclasses.replace(group([]), completions=made).with_scores(first=[0.0, 1.0], reward=[1.0, 1.0])
    (step,) = score_rl(VERIFIER).steps
    assert step.select is not None
    first, second = step.select([one], ROUND)
    # first turns: 0 and 1, mean 0.5; second turns: 11 and 1, mean 6
    assert first.row.advantages == (-0.5, -0.5, 5.0, 5.0, 5.0, 5.0)
    assert second.row.advantages == (0.5, 0.5, -5.0, -5.0, -5.0, -5.0)
    assert first.row.token_weights == (1.0, 1.0, 0.0, 1.0, 1.0, 1.0)
    assert turn_rollouts(progress=10.0)([one], ROUND) == [first, second]


def test_a_pinned_first_turn_has_no_advantage_and_costs_eleven_times_as_much() -> None:
    made = (attempts("no", "yes", 0), attempts("yes", "no", 1))
    one = dataclasses.replace(group([]), completions=made).with_scores(first=[0.0, 1.0], reward=[1.0, 0.0])
    recipe = score_rl(VERIFIER, num_pinning_steps=2)
    for step in recipe.setup:
        assert step.select is not None
        found = step.select([one], ROUND)
        assert [one.row.advantages[:2] for one in found] == [(0.0, 0.0), (0.0, 0.0)]
        assert [one.row.advantages[-1] for one in found] == [0.5, -0.5]
        assert step.objective.beta == pytest.approx((0.11, 0.01))  # type: ignore[union-attr]
    assert recipe.steps[0].objective.beta == (0.01,)  # type: ignore[union-attr]


def test_both_stages_run_on_the_very_tokens_of_both_attempts(tmp_path: Path) -> None:
    recipe = score_rl(
        VERIFIER, num_pinning_steps=2, num_steps=3, num_prompts=6, num_samples=4, message="again", learning_rate=1e-4
    )
    run = tiny_improve(recipe, tmp_path / "run")
    trained = run.rounds[-1].trained
    assert trained["ratio"] == pytest.approx(1.0, abs=1e-3)
    assert trained["kl_reference"] >= 0
    assert run.rounds[0].gate is not None
    for report in run.rounds[0].gate:  # the gate judges second attempts, as the result will answer
        assert all(set(one.turns) == {0, 1} for one in report.completions)
    assert {result.name for result in run.results} >= {"base", "base with score_rl"}
    example = run.examples(0)[0]
    assert isinstance(example, Rollout)
    sources = [segment.source for segment in example.row.completion.segments]
    assert sources == ["policy", "injected", "policy"]
    assert sorted(set(example.row.completion.turns)) == [0, 1]
