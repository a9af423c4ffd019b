"""What a plan's figures suggest."""

from __future__ import annotations

from typing import Any

import pytest

from sharpen.advice import advise
from sharpen.methods.grpo import grpo
from sharpen.methods.self_consistency import self_consistency
from sharpen.methods.sft import sft
from sharpen.parts import Recipe
from sharpen.plan import Headroom, Plan, Power, Work
from sharpen.tasks import Task
from sharpen.types import user
from sharpen.verifiers import exact

WELL = Headroom(num_prompts=24, num_samples=8, first=0.3, many=0.9, mixed=0.8, cut=0.0, abstained=0.0, greedy=0.3, prompted=0.3)
RECIPE = grpo(exact())


def power(num_prompts: int, *gains: float | None) -> Power:
    return Power(
        num_prompts=num_prompts,
        num_units=num_prompts,
        looks_had=0,
        levels=(0.025,) * len(gains),
        churn=0.05,
        churn_from="assumed",
        redrawn=None,
        gains=gains,
    )


def plan(headroom: Headroom | None = WELL, **changes: Any) -> Plan:
    facts: dict[str, Any] = {
        "first_prompt": "x",
        "first_prompt_tokens": 1,
        "sizes": {},
        "dropped": {},
        "rounds": 3,
        "headroom": headroom,
        "power": power(200, 0.089, 0.1),
        "work": (Work(name="sampling", tokens=10.0, seconds=60.0),),
        "examples": 100.0,
        "speed": 100.0,
        "spent": 1.0,
    }
    return Plan(**{**facts, **changes})


def head(**changes: float | None) -> Headroom:
    return Headroom(**{**vars(WELL), **changes})


def task(target: str | None = None) -> Task:
    return Task(name="t", train=(user("a", target=target),), verifier=exact())


def test_nothing_is_said_where_all_is_well() -> None:
    assert advise(plan(), task(), RECIPE) == ()
    assert plan().seconds == 60.0
    assert plan().tokens == 10.0


@pytest.mark.parametrize(
    ("given", "recipe", "said"),
    [
        (plan(head(first=0.0, many=0.0, mixed=0.0)), RECIPE, "No headroom: none of 8 samples of 24 prompts is right"),
        (plan(head(first=0.97, many=1.0)), RECIPE, "No headroom: 97 % of single samples are right already"),
        (plan(head(first=0.5, many=0.53)), RECIPE, "Little headroom: 8 samples of 24 prompts find little more (pass@8 53 %)"),
        (plan(head(mixed=0.1)), RECIPE, "Only 10 % of prompts have both right and wrong samples"),
        (
            plan(head(prompted=0.5)),
            RECIPE,
            "Four demonstrations in the prompt reach 50 % on the probe, without training (greedy, 30 %",
        ),
        (plan(head(cut=0.3)), RECIPE, "30 % of answers are cut at the limit: raise --max-new-tokens"),
        (plan(head(abstained=0.2)), RECIPE, "The verifier gave no verdict on 20 % of answers"),
        (plan(None), RECIPE, "There is no verifier, so nothing can be measured"),
        (plan(examples=0.2), RECIPE, "give no example to train on"),
        (plan(examples=9.6), RECIPE, "About 10 examples a round are few"),
        (plan(power=power(20, 0.6)), RECIPE, "The gate of 20 prompts sees only gains from 60 points"),
        (plan(power=power(3, None)), RECIPE, "The gate of 3 prompts can promote nothing"),
        (plan(work=(Work(name="x", tokens=1.0, seconds=9000.0),)), RECIPE, "About 2.5 hours"),
    ],
)
def test_each_trouble_has_its_sentence(given: Plan, recipe: Recipe, said: str) -> None:
    (only,) = advise(given, task(), recipe)
    assert said in only


def test_targets_mean_sft_first_unless_it_is_sft_or_nothing_is_trained() -> None:
    (only,) = advise(plan(), task("A"), RECIPE)
    assert "compare with `sharpen run sft` on the same task first" in only
    assert advise(plan(), task("A"), sft()) == ()
    assert advise(plan(rounds=0, power=None, examples=0.0), task("A"), self_consistency()) == ()
