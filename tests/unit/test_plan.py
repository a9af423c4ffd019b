"""What a plan counts: the controls' own training, and scoring under the roles that an objective compares with."""

from __future__ import annotations

import pytest

from sharpen.methods.grpo import grpo
from sharpen.methods.sft import sft
from sharpen.plan import make_plan
from sharpen.rehearsal import Rehearsed
from sharpen.sample import given_answer
from tiny_runs import VERIFIER, tiny_runtime, tiny_task


def test_the_training_of_controls_is_counted() -> None:
    work = {one.name: one.tokens for one in make_plan(sft(), model=tiny_runtime(), task=tiny_task()).work}
    answer = work["gate"] / 200  # candidate and incumbent, 100 prompts each
    reads = 100 * (2 + 8) + 3 * 64  # two prompts, eight samples; and the choice among prompts
    assert work["controls"] == pytest.approx(reads * answer)  # it is its own control, so none is trained
    plan = make_plan(grpo(VERIFIER, num_prompts=8, num_samples=2), model=tiny_runtime(), task=tiny_task(), rounds=1)
    work = {one.name: one.tokens for one in plan.work}
    reads = 100 * (2 + 8 + 2) + 3 * 64  # and two trained models
    assert work["controls"] > reads * work["gate"] / 200


def test_a_reference_costs_a_forward_pass_of_what_is_trained() -> None:
    runtime, examples = tiny_runtime(), [given_answer(prompt, prompt.target or "") for prompt in tiny_task().train[:4]]
    seconds = {}
    for beta in (0.0, 0.1):
        (step,) = grpo(VERIFIER, beta=beta).steps
        rehearsed = Rehearsed(step=step, times=5, scale=2.0, groups=[], examples=examples, work=())
        seconds[beta] = rehearsed.training(runtime, 100.0).seconds
    assert seconds[0.1] == pytest.approx(seconds[0.0] * 4 / 3)
