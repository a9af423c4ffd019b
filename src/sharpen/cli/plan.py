"""`sharpen plan`: what a run would do, cost and be able to show."""

from __future__ import annotations

import dataclasses
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from typing import Any

from sharpen.advice import advise
from sharpen.capacity import Needs, check_capacity, free_disk, free_memory, recomputes
from sharpen.cli.build import Built, build, needs_for
from sharpen.cli.flags import given_settings
from sharpen.cli.output import command_lines, count, duration, percent, say, say_json, size, table, visible
from sharpen.cli.settings import read_settings
from sharpen.errors import CapacityError
from sharpen.plan import Headroom, Plan, make_plan
from sharpen.power import GAINS, Power

__all__ = ["plan"]


def plan(words: Sequence[str], flags: Mapping[str, Any], *, as_json: bool) -> None:  # Any: as parsed
    """Print the plan of the run that the words and flags ask for.

    Raises:
        ValueError: a setting is wrong.
        SharpenError: the world is not as the run needs it.
    """
    asked = read_settings(given_settings(words, flags))
    if asked.budget is not None:
        raise ValueError(
            f"a plan foresees rounds, and a budget of {asked.budget} has as many as it takes; give --rounds in its place"
        )
    if asked.roles:
        raise ValueError(
            "a plan tries the recipe's parts, and would ask the models of --roles; try the run itself, with a small --max-cost"
        )
    built = build(asked, lambda line: say(line, file=sys.stderr))
    room = _room(built)
    settings = built.settings
    if not as_json:
        say("asking the model a few train prompts; nothing is trained", file=sys.stderr)
    found = make_plan(
        built.recipe,
        model=built.runtime,
        task=built.task,
        rounds=settings.rounds,
        gate=built.gate,
        overlong=settings.overlong,
        controls=settings.controls,
        seed=settings.seed,
        out=settings.folder,
    )
    advice = [*([room.warning] if room.warning else []), *advise(found, built.task, built.recipe)]
    if as_json:
        say_json(_as_json(built, found, room, advice))
        return
    for line in visible(found.first_prompt).split("\n"):
        print(f"    {line}")
    say(f"the first prompt, exactly as the model sees it: {found.first_prompt_tokens} tokens\n")
    print(table(("", ""), _rows(built, found, room)).lstrip("\n"))
    for sentence in advice:
        say(f"\n{sentence}")
    print(f"\nto start it:\n{command_lines(settings.command)}")


@dataclasses.dataclass(frozen=True, kw_only=True)
class _Room:
    """Memory and disk against what is free; `warning` where they do not suffice, or may not."""

    needs: Needs
    memory: int | None
    disk: int
    warning: str | None


def _room(built: Built) -> _Room:
    runtime, folder = built.runtime, built.settings.folder
    needs = needs_for(built.recipe, built.model, built.runtime, built.task.max_new_tokens)
    memory, disk = free_memory(str(runtime.identity.get("device", "cpu"))), free_disk(folder)
    try:
        warning = check_capacity(needs, memory=memory, disk=disk, out=folder)
    except CapacityError as error:
        warning = f"It would not start: {error}."
    return _Room(needs=needs, memory=memory, disk=disk, warning=warning)


def _rows(built: Built, found: Plan, room: _Room) -> Iterator[tuple[str, str]]:
    identity = built.runtime.identity
    yield (
        "model",
        f"{built.model.spec}, {count(built.runtime.num_parameters)} weights, {identity.get('device', 'served')}, "
        f"{identity.get('dtype', '-')}",
    )
    yield "method", f"{built.recipe.name}, {_rounds(found)}"
    yield "prompts", ", ".join(f"{count(number)} {name}" for name, number in found.sizes.items() if number)
    for reason, number in found.dropped.items():
        yield "left out", f"{count(number)}: {reason}"
    if found.headroom is not None:
        yield from _headroom_rows(found.headroom)
    if found.power is not None:
        seen = [f"{100 * gain:.1f}" if gain is not None else "nothing" for gain in found.power.gains]
        yield "gate", f"{count(found.power.num_prompts)} prompts; it sees gains from {', '.join(seen)} points, look by look"
        yield from _power_rows(found.power)
    if found.rounds:
        yield "examples", f"about {count(found.examples)} a round to train on"
    for one in found.work:
        yield one.name, f"about {count(one.tokens)} tokens, {duration(one.seconds)}"
    yield (
        "in all",
        f"about {count(found.tokens)} tokens, {duration(found.seconds)} (sampling {count(found.speed)} tokens a second)",
    )
    free = size(room.memory) if room.memory is not None else "an unknown amount"
    again = recomputes(room.needs, room.memory)
    certain, training = room.needs.certain_memory, room.needs.recomputed if again else room.needs.activations
    most = f"up to {size(certain + training)} in training, {size(certain + room.needs.sampling)} in sampling"
    yield "memory", f"{size(certain)}, {most}; {free} is free"
    if room.needs.freed:
        yield "freed memory", f"up to {size(room.needs.freed)} more is kept for the next step"
    if again:
        yield "activations", f"worked out again in the backward pass, as {size(room.needs.activations)} of them do not fit"
    yield "disk", f"{size(room.needs.total_disk)}; {size(room.disk)} is free"
    yield "this plan", f"took {duration(found.spent)}"


def _power_rows(found: Power) -> Iterator[tuple[str, str]]:
    """The chance that a true gain is promoted, at the first look and the last, and what is assumed for it."""
    if found.num_units < found.num_prompts:
        yield "", f"they count as {count(found.num_units)}, since several were made from one"
    if found.looks_had:
        yield "", f"{count(found.looks_had)} looks at them are on file, and are counted on"
    for place in dict.fromkeys((0, len(found.levels) - 1)):
        told = _by_gain(partial(found.chance, look=place))
        yield "power", f"at look {found.looks_had + place + 1} (level {found.levels[place]:.4f}), by true gain: {told}"
    source = "as in the looks on file" if found.churn_from == "looks on file" else "assumed"
    yield "", f"while {percent(found.churn)} of prompts turn wrong ({source})"
    if found.redrawn is not None and found.redrawn > found.churn:
        told = _by_gain(partial(found.chance, look=0, churn=found.redrawn))
        yield "", f"and while {percent(found.redrawn)} do, as between two samples of the base, at the first:"
        yield "", told


def _by_gain(chance: Callable[[float], float]) -> str:
    """Such as `5 points 9.1 %, 10: 30.8 %`."""
    first, *more = GAINS
    told = [
        f"{100 * first:.0f} points {percent(chance(first))}",
        *(f"{100 * gain:.0f}: {percent(chance(gain))}" for gain in more),
    ]
    return ", ".join(told)


def _headroom_rows(found: Headroom) -> Iterator[tuple[str, str]]:
    yield (
        "headroom",
        f"pass@1 {percent(found.first)}, pass@{found.num_samples} {percent(found.many)} on {found.num_prompts} train prompts",
    )
    prompted = f", with four demonstrations in the prompt {percent(found.prompted)}" if found.prompted is not None else ""
    yield "greedy", f"{percent(found.greedy)}{prompted}"


def _rounds(found: Plan) -> str:
    if not found.rounds:
        return "which trains nothing"
    return f"{found.rounds} round{'s' if found.rounds != 1 else ''} at most"


def _as_json(built: Built, found: Plan, room: _Room, advice: Sequence[str]) -> Mapping[str, Any]:  # Any: JSON
    return {
        **dataclasses.asdict(found),
        "seconds": found.seconds,
        "tokens": found.tokens,
        "command": built.settings.command,
        "folder": str(built.settings.folder),
        "model": {"spec": built.model.spec, "provenance": dict(built.model.provenance), "digest": built.model.digest},
        "num_parameters": built.runtime.num_parameters,
        "runtime": dict(built.runtime.identity),
        "memory": {
            "needed": dict(room.needs.memory),
            "activations": room.needs.activations,
            "recomputed": room.needs.recomputed if recomputes(room.needs, room.memory) else None,
            "sampling": room.needs.sampling,
            "freed": room.needs.freed,
            "free": room.memory,
        },
        "disk": {"needed": dict(room.needs.disk), "free": room.disk},
        "advice": list(advice),
    }
