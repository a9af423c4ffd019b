"""RLVR: what an answer is paid, and which of its tokens the price of departure reaches."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest
from worlds import VERIFIER, tiny_improve, tiny_task

from example_builders import ROUND, completion, group
from sharpen.examples import Rollout
from sharpen.feedback.departure import departure
from sharpen.methods.rlvr import rlvr, verifiable_reward
from sharpen.protocols import TokenScores
from sharpen.select.returns import returns_to_go
from sharpen.types import Segment


def test_a_verified_answer_is_paid_and_one_without_an_end_is_fined_whatever_it_says() -> None:
    one = group(["yes", "no", "half", "cut", "cut, and right", "?"], verdict=[1.0, 0.0, 0.5, 0.0, 1.0, None])
    ends = ["stop", "stop", "stop", "length", "length", "length"]
    made = tuple(dataclasses.replace(made, finish=end) for made, end in zip(one.completions, ends, strict=True))
    (found,) = verifiable_reward(10.0, -10.0)([dataclasses.replace(one, completions=made)], ROUND)
    assert found.score("reward") == (10.0, 0.0, 5.0, -10.0, -10.0, None)


def test_the_price_of_a_token_reaches_those_before_it_and_the_reward_reaches_all() -> None:
    costs = ((1.0, 2.0), (4.0, -2.0), (0.0, 1.0), (9.0, 9.0))
    one = group(list("abcd"), reward=[10.0, 0.0, 0.0, None])
    priced = dataclasses.replace(one, token_scores={"departure": costs})
    [step] = rlvr(VERIFIER, beta=0.5).steps
    assert step.select is not None
    found = step.select([priced], ROUND)
    # whole returns 10 - 1.5, 0 - 1, 0 - 0.5; the means of the other two are -0.75, 4 and 3.75
    assert [rollout.row.advantages for rollout in found] == [
        pytest.approx((9.25, 9.25 + 0.5)),
        pytest.approx((-5.0, -5.0 + 2.0)),
        pytest.approx((-4.25, -4.25)),
    ]
    assert [rollout.reward for rollout in found] == [10.0, 0.0, 0.0]
    free = returns_to_go(beta=0.0)([priced], ROUND)
    assert [rollout.row.advantages for rollout in free] == [(10.0, 10.0), (-5.0, -5.0), (-5.0, -5.0)]


def test_an_answer_without_siblings_is_neither_raised_nor_lowered() -> None:
    """It has nothing to be compared with; its own return is no baseline, which would pay tokens for the price of those before them."""
    for rewards in ([10.0], [10.0, None]):
        costs = ((1.0, 2.0),) * len(rewards)
        alone = dataclasses.replace(group(list("ab")[: len(rewards)], reward=rewards), token_scores={"departure": costs})
        [rollout] = returns_to_go(beta=0.5)([alone], ROUND)
        assert rollout.row.advantages == (0.0, 0.0)


def test_the_value_of_an_answer_matters_beside_a_price() -> None:
    """Without one it is a scale alone, which a division by the spread would take away."""
    priced = dataclasses.replace(group(list("ab"), reward=[1.0, 0.0]), token_scores={"departure": ((1.0, 1.0), (0.0, 0.0))})
    (small, _), (large, _) = (
        returns_to_go(beta=1.0)([priced.with_scores(reward=[value, 0.0])], ROUND) for value in (1.0, 10.0)
    )
    assert small.row.advantages == (-1.0, 0.0), "the departure costs more than the answer is worth"
    assert large.row.advantages == (8.0, 9.0)


def test_departure_is_the_sampler_less_the_other_on_the_policys_own_tokens() -> None:
    class Other:
        def score(self, rows, *, at_sampling_temperature: bool):  # type: ignore[no-untyped-def]
            assert at_sampling_temperature
            return [TokenScores(logprobs=(-3.0, -0.5, -7.0)) for _ in rows]

    class Round(type(ROUND)):  # type: ignore[misc]
        def policy(self, role: str) -> Other:
            assert role == "base"
            return Other()

    own = completion("a", num_tokens=2, logprob=-1.0)
    made = dataclasses.replace(own, segments=(*own.segments, Segment(source="environment", token_ids=(9,), weight=0.0)))
    (found,) = departure("base")([dataclasses.replace(group([]), completions=(made,))], Round())
    assert found.token_scores["departure"] == ((2.0, -0.5, 0.0),)


def test_the_first_step_has_no_departure_and_later_ones_have(tmp_path: Path) -> None:
    held = tiny_task()
    recipe = rlvr(VERIFIER, num_steps=4, num_prompts=6, learning_rate=1e-3)
    run = tiny_improve(recipe, tmp_path / "run", gate=held.gate[:12], final=held.final[:12])
    assert run.rounds[0].trained["ratio"] == pytest.approx(1.0, abs=1e-3)
    examples = run.examples(0)
    assert all(isinstance(example, Rollout) and example.reward in (10.0, 0.0, -10.0) for example in examples)
    costs = [np.array(column) for made in run.groups(0) for column in made.token_scores["departure"]]
    assert max(float(np.abs(column).max()) for column in costs) > 1e-3, "the newest groups are of the last step"
