"""What is refused before the first token, and training that cannot be meant."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest

from sharpen.checks import check_needs, fitting
from sharpen.errors import DataError
from sharpen.events import Event
from sharpen.feedback.implicit_reward import implicit_reward
from sharpen.methods.grpo import grpo
from sharpen.methods.rft import rft
from sharpen.methods.sft import sft
from sharpen.objectives import DPO, NLL
from sharpen.parts import Recipe, Step
from sharpen.protocols import Training
from sharpen.rounds import improve
from sharpen.sample import completions
from sharpen.select import best_vs_worst
from sharpen.select.targets import seed_demonstrations
from sharpen.tasks import Task
from sharpen.types import Decision, Report, user
from tiny_runs import VERIFIER, tiny_runtime, tiny_task


def test_a_role_that_nothing_fills_is_refused_before_the_first_token() -> None:
    runtime, task = tiny_runtime(), tiny_task()
    step = Step(
        name="dpo", sample=completions(2), feedback=implicit_reward("teacher"), select=best_vs_worst(), objective=DPO(0.1)
    )
    with pytest.raises(ValueError, match="step 'dpo' asks for the role 'teacher', which nothing fills; there are"):
        check_needs(Recipe(steps=(step,)), runtime, task, 1)
    teach = Step(name="teach", select=seed_demonstrations(4), objective=NLL(), writes="teacher")
    check_needs(Recipe(steps=(teach, step)), runtime, task, 1)
    with pytest.raises(ValueError, match="the role 'strong'"):
        check_needs(Recipe(steps=(dataclasses.replace(teach, start="strong"),)), runtime, task, 1)


def second(*texts: str, verifier: object = VERIFIER) -> Task:
    prompts = tuple(user(text, target="x") for text in texts)
    return Task(name="second", train=(), gate=prompts, verifier=verifier, max_new_tokens=4)  # type: ignore[arg-type]


def test_pitfall_17_over_long_prompts_of_the_second_task_are_refused_or_dropped_and_counted() -> None:
    runtime, told = tiny_runtime(), list[Event]()
    task = tiny_task().replace(second=second("short", "long " * runtime.max_length))
    with pytest.raises(DataError, match="1 of 2 prompts of the second task do not fit: the longest has"):
        fitting(task, runtime, "refuse", told.append)
    found = fitting(task, runtime, "drop", told.append)
    assert found.second is not None
    assert [prompt.text for prompt in found.second.gate] == ["short"]
    assert found.dropped["longer than the model reads"] == 1
    assert len(told) == 1
    assert fitting(tiny_task(), runtime, "refuse", told.append) == tiny_task()


def test_a_second_task_that_cannot_be_measured_is_refused() -> None:
    for incomplete in (second(), second("a", verifier=None)):
        with pytest.raises(DataError, match="the second task has no verifier, or no gate split"):
            check_needs(sft(), tiny_runtime(), tiny_task().replace(second=incomplete), 1)


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"epochs": 0}, "epochs is 0; it is at least 1"),
        ({"batch_size": 0}, "batch_size is 0"),
        ({"max_steps": 0}, "max_steps is 0"),
        ({"token_budget": 0}, "token_budget is 0"),
        ({"lora_rank": 0}, "lora_rank is 0"),
        ({"learning_rate": -1e-5}, "learning_rate is -1e-05; it is a finite number"),
        ({"learning_rate": float("nan")}, "learning_rate is nan"),
        ({"weight_decay": float("inf")}, "weight_decay is inf"),
        ({"warmup": 1.5}, "warmup is 1.5; it is a share"),
        ({"betas": (0.9, 1.0)}, "betas are"),
        ({"max_grad_norm": 0.0}, "max_grad_norm is 0.0"),
    ],
)
def test_training_that_cannot_be_meant_is_refused(wrong: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Training(**wrong)  # type: ignore[arg-type]
    assert Training(learning_rate=0.0, warmup=1.0).learning_rate == 0.0


def test_a_method_that_would_do_nothing_is_refused() -> None:
    with pytest.raises(ValueError, match="recipe 'grpo' has repeat 0; it is at least 1"):
        grpo(VERIFIER, num_steps=0)
    with pytest.raises(ValueError, match="distinct_by is 'words'; it is one of text, equations"):
        rft(VERIFIER, distinct_by="words")  # type: ignore[arg-type]


def never(candidate: Report, incumbent: Report, looks: int, /) -> Decision:
    """A gate that a person wrote."""
    return Decision(promote=False, test="mine", reason="never")


def test_a_gate_of_ones_own_is_told_by_its_name_and_not_by_its_place_in_memory(tmp_path: Path) -> None:
    run = improve(sft(), model=tiny_runtime(), task=tiny_task(), out=tmp_path / "run", gate=never, controls=False)
    assert run.facts["gate"].endswith("test_checks:never")
    assert [one.decision.reason for one in run.rounds] == ["never"]
    level = 0.1
    with pytest.raises(ValueError, match="captures level; move it to module level"):
        improve(
            sft(),
            model=tiny_runtime(),
            task=tiny_task(),
            out=tmp_path / "other",
            gate=lambda one, other, looks: Decision(promote=level > 1, test="mine", reason=""),
        )
    assert not (tmp_path / "other").exists()


def test_a_model_is_named_by_its_spec_and_recorded(tmp_path: Path) -> None:
    run = improve(sft(learning_rate=0.0), model="tiny", task=tiny_task(size=20), out=tmp_path / "run", controls=False)
    assert run.facts["settings"]["model"]["spec"] == "tiny"
    assert run.facts["base"] == run.facts["settings"]["model"]["digest"]
