"""What a plan's figures suggest, in sentences that a person can act on."""

from __future__ import annotations

from collections.abc import Iterator

from sharpen.parts import Recipe
from sharpen.plan import Headroom, Plan
from sharpen.tasks import Task

__all__ = ["advise"]

_LITTLE = 0.05  # of pass@n above pass@1, below which more rounds have little to gain
_MANY_CUT = 0.2
_LONG_S = 2 * 3600.0


def advise(plan: Plan, task: Task, recipe: Recipe) -> tuple[str, ...]:
    """Advice, what matters most first; empty where nothing is to be said."""
    found = [*_on_headroom(plan.headroom, recipe)] if plan.headroom is not None else [_NO_VERIFIER]
    found += _on_data(plan, task, recipe)
    found += _on_gate(plan)
    if plan.seconds > _LONG_S:
        found.append(
            f"About {plan.seconds / 3600:.1f} hours: fewer prompts, samples or rounds take less, and so does a GPU (--device cuda)."
        )
    return tuple(found)


_NO_VERIFIER = "There is no verifier, so nothing can be measured: add --verifier."


def _on_headroom(found: Headroom, recipe: Recipe) -> Iterator[str]:
    asked = f"{found.num_samples} samples of {found.num_prompts} prompts"
    if found.many == 0:
        yield (
            f"No headroom: none of {asked} is right, so there is nothing of its own to learn from. Take an easier task or a larger "
            "model, or train on targets first (`sharpen run sft`)."
        )
    elif found.first >= 1 - _LITTLE:
        yield f"No headroom: {100 * found.first:.0f} % of single samples are right already. Take a harder task."
    elif found.many - found.first < _LITTLE:
        yield (
            f"Little headroom: {asked} find little more (pass@{found.num_samples} {100 * found.many:.0f} %) than one does "
            f"(pass@1 {100 * found.first:.0f} %). Raise the temperature, or train on targets first."
        )
    elif recipe.steps and found.mixed < 0.2:
        yield (
            f"Only {100 * found.mixed:.0f} % of prompts have both right and wrong samples: methods that compare samples learn from "
            "these alone. More samples a prompt, or easier prompts, give more."
        )
    if found.prompted is not None and found.prompted > found.greedy + _LITTLE:
        yield (
            f"Four demonstrations in the prompt reach {100 * found.prompted:.0f} % on the probe, without training (greedy, "
            f"{100 * found.greedy:.0f} % without them): try that first. It is the control to beat."
        )
    if found.cut > _MANY_CUT:
        yield f"{100 * found.cut:.0f} % of answers are cut at the limit: raise --max-new-tokens, or ask for shorter answers."
    if found.abstained > 0.1:
        yield (
            f"The verifier gave no verdict on {100 * found.abstained:.0f} % of answers: see why with `sharpen audit-verifier`."
        )


def _on_data(plan: Plan, task: Task, recipe: Recipe) -> Iterator[str]:
    has_targets = any(prompt.target is not None for prompt in task.train)
    if recipe.steps and has_targets and recipe.name != "sft":
        yield "You have targets: compare with `sharpen run sft` on the same task first; it is the control that is hardest to beat."
    if plan.rounds and plan.examples < 1:
        yield "The probe's samples give no example to train on: sample more, raise the temperature, or loosen the selection."
    elif plan.rounds and plan.examples < 16:
        yield f"About {plan.examples:.0f} examples a round are few to learn from: take more prompts or samples."


def _on_gate(plan: Plan) -> Iterator[str]:
    if plan.power is None:
        return
    first = plan.power.gains[0]
    if first is None:
        yield f"The gate of {plan.power.num_prompts} prompts can promote nothing: hold out 100 prompts at least (--num-gate)."
    elif first > 0.15:
        yield (
            f"The gate of {plan.power.num_prompts} prompts sees only gains from {100 * first:.0f} points: hold out more "
            "(--num-gate 200 sees 9)."
        )
