"""`sharpen run`: improve a model, watch it, and say what came of it and where it lies."""

from __future__ import annotations

import itertools
import sys
from collections.abc import Mapping, Sequence
from typing import Any

from sharpen.capacity import check_capacity, free_disk, free_memory, recomputes, told
from sharpen.checks import fitting
from sharpen.cli import summary
from sharpen.cli.build import Built, build, needs_for
from sharpen.cli.flags import given_settings
from sharpen.cli.output import count, say, say_json, visible
from sharpen.cli.progress import extent_of
from sharpen.cli.settings import read_settings
from sharpen.cli.template import template_lines
from sharpen.cli.watch import watching
from sharpen.errors import LedgerError
from sharpen.events import silent
from sharpen.export import damage_in, export
from sharpen.models.cache import cache_folder
from sharpen.record import run_facts, run_key
from sharpen.report import findings, write_report
from sharpen.roles import guest_capabilities, guest_ids
from sharpen.rounds import improve
from sharpen.run import Run
from sharpen.runtime.torch_runtime import TorchRuntime

__all__ = ["check_room", "header", "run"]


def run(words: Sequence[str], flags: Mapping[str, Any], *, quiet: bool, as_json: bool) -> None:  # Any: as parsed
    """Run, or go on with, what the words and flags ask for.

    Raises:
        ValueError: a setting is wrong.
        SharpenError: the world is not as the run needs it.
        KeyboardInterrupt: Ctrl-C; what was finished is on file.
    """
    built = build(read_settings(given_settings(words, flags)), _aside)
    settings, folder = built.settings, built.settings.folder
    room = check_room(built)
    stream = sys.stderr if as_json else sys.stdout
    if not quiet:
        header(built, room, stream)
    extent = extent_of(built.recipe, built.task, rounds=settings.rounds, budget=built.budget, controls=settings.controls)
    with watching(extent, quiet=quiet, file=stream) as observe:
        finished = improve(
            built.recipe,
            model=built.runtime,
            task=built.task,
            out=folder,
            rounds=settings.rounds,
            seed=settings.seed,
            gate=built.gate,
            overlong=settings.overlong,
            controls=settings.controls,
            budget=built.budget,
            roles=built.guests,
            settings=built.record,
            observe=observe,
        )
    built.close()
    places = {"report": str(write_report(finished)), **_model(finished, built), "run directory": str(folder)}
    if as_json:
        say_json({**summary.as_json(finished), "places": places})
    else:
        _tell(finished, places)


def header(built: Built, room: str | None, file: Any) -> None:  # Any: a text stream
    """What is about to happen, the plan of memory where there is one, and the first prompt as the model will see it."""
    task, runtime = built.task, built.runtime
    sizes = [f"{count(len(getattr(task, name)))} {name}" for name in ("train", "dev", "gate", "final") if getattr(task, name)]
    identity = runtime.identity
    say(f"{built.recipe.name} on {task.name}: {', '.join(sizes)} prompts", file=file)
    for reason, number in task.dropped.items():
        say(f"left out: {count(number)} ({reason})", file=file)
    where = (
        f"{count(runtime.num_parameters)} weights, on {identity['device']} in {identity['dtype']} with {identity['threads']} threads"
        if "device" in identity
        else "served elsewhere"
    )
    say(f"model {built.model.spec}: {where}", file=file)
    if isinstance(runtime, TorchRuntime) and runtime.renderer.has_template:
        for line in template_lines(built.model.spec, runtime.renderer.template, cache_folder()):
            say(line, file=file)
    for role, guest in built.guests.items():
        say(f"{role}: {built.settings.roles[role]}, which can {', '.join(sorted(guest_capabilities(guest)))}", file=file)
    if room is not None:
        say(room, file=file)
    say(f"run directory: {built.settings.folder}", file=file)
    first = next(iter([*task.train, *task.gate, *task.final]), None)
    if first is not None:
        say("first prompt, exactly as the model sees it:", file=file)
        for line in visible(runtime.rendered(first)).split("\n"):
            print(f"    {line}", file=file)


def check_room(built: Built) -> str | None:
    """The plan of memory, which the runtime then keeps to; None for a run that has come to its end, which needs nothing.

    Raises:
        CapacityError: memory or disk is too small.
    """
    folder, runtime = built.settings.folder, built.runtime
    if _finished(built):
        return None
    needs = needs_for(built.recipe, built.model, built.runtime, built.task.max_new_tokens)
    held = sum(path.stat().st_size for path in folder.rglob("*") if path.is_file()) if folder.is_dir() else 0
    free = free_disk(folder) + held
    memory = free_memory(str(runtime.identity.get("device", "cpu")))
    warning = check_capacity(needs, memory=memory, disk=free, out=folder)
    if warning:
        _aside(warning)
    if isinstance(runtime, TorchRuntime):
        runtime.recompute = recomputes(needs, memory)
    return told(needs, memory)


def _model(finished: Run, built: Built) -> Mapping[str, str]:
    """Where the improved model and its training data lie; they are written once for each model that a run ends with.

    A folder in which a file is not as it was written is set aside, whatever a person may have put there, and written anew.
    """
    best = finished.best_id
    if best == finished.base:
        return {}
    place = finished.folder / f"model-{best[:8]}"
    if place.exists() and (damage := damage_in(place)):
        aside = next(
            path for number in itertools.count(1) if not (path := place.with_name(f"{place.name}-damaged-{number}")).exists()
        )
        place.rename(aside)
        _aside(f"{damage[0]}: the folder is now {aside}, and is written again")
    if not place.exists():
        export(finished, built.runtime, place)
    return {"improved model": str(place), "training data": str(place / "data")}


def _finished(built: Built) -> bool:
    """Whether the folder's newest run is the one that is asked for, and has come to its end."""
    try:
        run = Run.open(built.settings.folder)
    except LedgerError:
        return False
    with_end, key, settings = run.finished, run.key, built.settings
    run.close()
    if not with_end:
        return False
    task = fitting(built.task, built.runtime, settings.overlong, silent)
    asked = run_facts(
        built.recipe,
        built.runtime,
        task,
        gate=built.gate,
        rounds=settings.rounds,
        seed=settings.seed,
        budget=built.budget,
        guests=guest_ids(built.guests),
    )
    return key == run_key(asked, task)


def _tell(finished: Run, places: Mapping[str, str]) -> None:
    found = findings(finished)
    say()
    for sentence in summary.told(found):
        say(sentence)
    say()
    print(summary.measured(found))
    lines = list(summary.answers(finished))
    if lines:
        say("\nbefore and after, on the first prompts of the final split, whatever came of them:")
        for line in lines:
            say(line, indent="  ")
    say()
    say(summary.times(finished))
    for line in summary.served(finished):
        say(line)
    for name, place in places.items():
        print(f"{name}: {visible(str(place))}")


def _aside(message: str) -> None:
    say(message, file=sys.stderr)
