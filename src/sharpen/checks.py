"""What is refused before the first token: prompts that do not fit, and what a recipe needs and the model or task lacks."""

from __future__ import annotations

from collections.abc import Mapping, Set
from importlib.util import find_spec
from typing import Any, Literal

from sharpen.costs import MEASURING
from sharpen.errors import DataError, ModelError
from sharpen.events import Event, Observer
from sharpen.parts import Part, Recipe, Step
from sharpen.protocols import Capability, Runtime
from sharpen.roles import guest_capabilities
from sharpen.tasks import Task
from sharpen.types import Prompt

__all__ = ["check_needs", "fitting", "roles_asked"]

_ROLES = ("base", "incumbent", "previous", "current")  # filled from the start; a step may write others


def fitting(task: Task, runtime: Runtime, overlong: Literal["refuse", "drop"], observe: Observer) -> Task:
    """The task with prompts that fit the model's context; of its second task those that will be asked.

    Raises:
        DataError: some do not fit, and are not to be dropped.
    """
    changes: dict[str, object] = {}
    dropped = 0
    for split in ("train", "dev", "gate", "final"):
        prompts: tuple[Prompt, ...] = getattr(task, split)
        kept = _kept(prompts, f"{split} prompts", task, runtime, overlong)
        dropped += len(prompts) - len(kept)
        changes |= {split: kept} if len(kept) < len(prompts) else {}
    if task.second is not None:
        prompts = task.second.gate
        kept = _kept(prompts, "prompts of the second task", task.second, runtime, overlong)
        dropped += len(prompts) - len(kept)
        changes |= {"second": task.second.replace(gate=kept)} if len(kept) < len(prompts) else {}
    if not changes:
        return task
    observe(Event(kind="note", message=f"{dropped} prompts longer than the model reads: dropped"))
    return task.replace(**changes, dropped={**task.dropped, "longer than the model reads": dropped})


def _kept(
    prompts: tuple[Prompt, ...], what: str, task: Task, runtime: Runtime, overlong: Literal["refuse", "drop"]
) -> tuple[Prompt, ...]:
    room = runtime.max_length - task.max_new_tokens
    lengths = [runtime.prompt_length(prompt) for prompt in prompts]
    kept = tuple(prompt for prompt, length in zip(prompts, lengths, strict=True) if length <= room)
    if len(kept) < len(prompts) and overlong == "refuse":
        raise DataError(
            f"{len(prompts) - len(kept)} of {len(prompts)} {what} do not fit: the longest has {max(lengths)} tokens, and "
            f"{task.max_new_tokens} for the answer leave {room}; shorten them, lower max_new_tokens, or pass overlong='drop' "
            "(`--overlong drop`) to leave them out"
        )
    return kept


def check_needs(recipe: Recipe, runtime: Runtime, task: Task, rounds: int, guests: Mapping[str, Runtime] | None = None) -> None:
    """Everything that would fail later, said before the first token.

    Args:
        guests: by role that the user gave to another model, its runtime.

    Raises:
        DataError: a split is missing.
        ModelError: the runtime, or a role's own model, cannot do what a part or a training needs.
        ValueError: rounds is below 1, or the recipe names a role that nothing fills, trains one that is another model's, or never asks it.
    """
    if rounds < 1:
        raise ValueError(f"rounds is {rounds}; it is at least 1")
    guests = guests or {}
    _check_roles(recipe, guests.keys())
    can = {role: guest_capabilities(guest) for role, guest in guests.items()}
    for what, need, roles in _needs(recipe):
        if need not in runtime.capabilities and not (roles and guests.keys() >= roles):
            raise ModelError(f"{what} needs {need!r}, which this runtime cannot do; it can {sorted(runtime.capabilities)}")
        for role in sorted(guests.keys() & roles):
            if need not in can[role]:
                raise ModelError(
                    f"{what} needs {need!r} of the role {role!r}, whose model can do nothing but {', '.join(sorted(can[role]))}; "
                    "let it write its verdict where the part takes verdict_from='generate', or give that role to a model that is "
                    "loaded here"
                )
    for step in (*recipe.setup, *recipe.steps):
        if step.name.split(" ")[0] in MEASURING:
            raise ValueError(
                f"a step is named {step.name!r}; {', '.join(MEASURING)} are the loop's own places, whose cost is no method's: rename it"
            )
    if any(step.training.lora_rank for step in (*recipe.setup, *recipe.steps)) and find_spec("peft") is None:
        raise ModelError("LoRA needs peft: pip install 'sharpen[lora]'")
    prompts = (*task.train, *task.gate, *task.final, *(task.second.gate if task.second else ()))
    if any(prompt.next != "raw" for prompt in prompts) and "chat" not in runtime.capabilities:
        raise ModelError(
            "this model has no chat template, so conversations cannot be put to it; use an instruct model, or `--raw` prompts"
        )
    if recipe.steps and task.verifier is None:
        raise DataError(
            "the gate needs a verifier to judge held-out answers; give one (`--verifier number`, `module:function`)"
        )
    if recipe.steps and not task.gate:
        raise DataError("the task has no gate split, so nothing could be promoted; hold out at least 100 prompts")
    if recipe.steps and task.second is not None and (task.second.verifier is None or not task.second.gate):
        raise DataError("the second task has no verifier, or no gate split, so general ability cannot be measured; give both")
    if not task.train and any(step.prompts is None and step.sample is not None for step in recipe.steps):
        raise DataError("the task has no train prompts, and this recipe makes none itself; give some")


def _needs(recipe: Recipe) -> list[tuple[str, Capability, frozenset[str]]]:
    """What needs what, of which roles."""
    found = [(f"part {part!r}", need, frozenset(_roles_of(part))) for part in recipe.stages for need in part.needs]
    for step in (*recipe.setup, *recipe.steps):
        if step.objective is not None:
            found.append((f"step {step.name!r}", "train", frozenset({step.start})))
            found += [(f"step {step.name!r}", "score", frozenset(_scored(step)))] if _scored(step) else []
    return found


def _roles_of(part: Part[Any, Any]) -> list[str]:  # Any: a part of any kind
    return [name for name in part.reads if name != "task" and not name.startswith("past:")]


def _check_roles(recipe: Recipe, guests: Set[str]) -> None:
    steps = (*recipe.setup, *recipe.steps)
    written = {step.writes for step in steps}
    filled = {*_ROLES, *written, *guests}
    for step in steps:
        reads = [role for part in step.slots.values() for role in _roles_of(part)]
        for role in (step.start, *reads, *_scored(step), *(step.average or ())):
            if role not in filled:
                raise ValueError(
                    f"step {step.name!r} asks for the role {role!r}, which nothing fills; there are {sorted(filled)} (`--roles` gives one "
                    "to another model)"
                )
        drawn = guests & set(_roles_of(step.sample)) if step.sample is not None else set()
        if drawn and step.objective is not None and "sampler" in step.objective.columns:
            raise ModelError(
                f"step {step.name!r} trains by the log-probabilities of its own samples, and {sorted(drawn)[0]!r} is another model, whose "
                "answers have none; choose an objective for demonstrations or preferences"
            )
    asked = roles_asked(recipe)
    for role in guests:
        if role in {*_ROLES, *written}:
            raise ValueError(
                f"the role {role!r} is our own model's; give the other model a role of another name, which a part asks"
            )
        if role not in asked:
            raise ValueError(f"nothing in {recipe.name!r} asks the role {role!r}; it asks {sorted(asked)}")


def roles_asked(recipe: Recipe) -> frozenset[str]:
    """Every role that something in the recipe asks or starts from."""
    asked = {role for part in recipe.stages for role in _roles_of(part)}
    steps = (*recipe.setup, *recipe.steps)
    return frozenset(asked | {role for step in steps for role in (*_scored(step), *(step.average or ()), step.start)})


def _scored(step: Step[Any]) -> list[str]:  # Any: any kind of example
    columns = step.objective.columns if step.objective is not None else ()
    return [name for name in columns if name not in ("sampler", "entropies")]
