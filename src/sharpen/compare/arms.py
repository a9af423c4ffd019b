"""The runs of a comparison: each setting of each contender with each seed is an ordinary run directory under one folder."""

from __future__ import annotations

import gc
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

from sharpen.budget import Budget
from sharpen.checks import fitting, roles_asked
from sharpen.digest import digest
from sharpen.errors import LedgerError
from sharpen.events import Observer, silent
from sharpen.identity import function_key
from sharpen.ledger import Ledger
from sharpen.parts import Recipe, written
from sharpen.protocols import Gate, Runtime
from sharpen.record import run_facts, run_key
from sharpen.roles import guest_ids
from sharpen.rounds import improve
from sharpen.run import Run
from sharpen.tasks import Task

__all__ = ["Arm", "Arms", "Contender", "Setting"]


def _nothing(seed: int, folder: Path, budget: Budget | None) -> Mapping[str, Any]:
    return {}


@dataclass(frozen=True, kw_only=True)
class Setting:
    """One way to set a contender.

    Attributes:
        parameters: those that were given, by name; for people, and part of the run directory's name.
        record: from seed, run directory and budget to what a person needs to repeat that run, for `improve(settings=...)`.
    """

    parameters: Mapping[str, object]
    recipe: Recipe
    record: Callable[[int, Path, Budget | None], Mapping[str, Any]] = _nothing  # Any: JSON

    @property
    def label(self) -> str:
        """The parameters in words."""
        return ", ".join(f"{name}={value}" for name, value in self.parameters.items()) or "defaults"


@dataclass(frozen=True, kw_only=True)
class Contender:
    """What stands in a row of the table.

    Attributes:
        settings: those that are tried; one of them is taken.
    """

    name: str
    settings: tuple[Setting, ...]
    role: Literal["method", "control"] = "method"

    def __post_init__(self) -> None:
        if not self.settings:
            raise ValueError(f"contender {self.name!r} has no setting; give at least one")

    @property
    def trains(self) -> bool:
        """Whether it changes weights, and so has a budget."""
        return any(setting.recipe.steps for setting in self.settings)


@dataclass(frozen=True, kw_only=True)
class Arm:
    """A contender in one setting with one seed.

    Attributes:
        folder: the directory of its run.
        budget: of its run, or None where that trains nothing. A larger one goes on with the same directory.
    """

    name: str
    setting: Setting
    seed: int
    folder: Path
    budget: Budget | None


@dataclass(frozen=True, kw_only=True)
class Arms:
    """What all runs of a comparison share.

    Attributes:
        runtime: from a recipe (or None, only to be asked about the model) to a runtime with nothing but the base in it; each run gets
            its own, so that none holds another's weights.
        out: folder of the comparison.
        budget: of every run that trains, where an arm does not say another.
        rounds: of every run at most; None leaves that to the budget.
        guests: other models by the role that methods ask them in; a recipe that asks none of it runs without.
        keep_weights: keep what each run promoted; else weights are given up once a run is measured. Its own command makes them again
            from what it filed, without sampling.
    """

    task: Task
    runtime: Callable[[Recipe | None], Runtime]
    budget: Budget
    gate: Gate
    out: Path
    rounds: int | None = None
    overlong: Literal["refuse", "drop"] = "refuse"
    guests: Mapping[str, Runtime] = field(default_factory=dict)
    keep_weights: bool = False

    @cached_property
    def first(self) -> Runtime:
        """A runtime to ask about the model; no run uses it."""
        return self.runtime(None)

    @cached_property
    def fitted(self) -> Task:
        """The task as it fits the model.

        Raises:
            DataError: prompts do not fit, and are not to be dropped.
        """
        return fitting(self.task, self.first, self.overlong, silent)

    def arm(self, contender: Contender, setting: Setting, seed: int, *, budget: Budget | None = None) -> Arm:
        """The arm, its directory named for all that can change what is in it, so that no two questions share one.

        Args:
            budget: of its run, where that trains; None is that of all arms.
        """
        task = self.fitted
        verifier = function_key(task.verifier) if task.verifier is not None else None
        world = (task.digest, verifier, self.first.base.id, dict(self.first.identity), written(self.gate))
        guests = [guest_ids(asked)] if (asked := self._guests(setting.recipe)) else []
        key = digest("arm", dict(setting.parameters), setting.recipe.key, world, *guests)[:8]
        name = re.sub(r"[^A-Za-z0-9_.]+", "_", contender.name)
        folder = self.out / "arms" / f"{name}-{key}-seed{seed}"
        limit = (budget or self.budget) if setting.recipe.steps else None
        return Arm(name=contender.name, setting=setting, seed=seed, folder=folder, budget=limit)

    def finished(self, arm: Arm, *, final: bool) -> Run | None:
        """The arm's run where it has come to its end, and has read the final split if it is asked to; else None."""
        try:
            run = Run.open(arm.folder)
        except LedgerError:
            return None
        facts = run_facts(
            arm.setting.recipe,
            self.first,
            self.fitted,
            gate=self.gate,
            rounds=self.rounds,
            seed=arm.seed,
            budget=arm.budget,
            guests=guest_ids(self._guests(arm.setting.recipe)),
        )
        if run.finished and run.key == run_key(facts, self.fitted) and (run.results or not final):
            return run
        run.close()
        return None

    def made(self, arm: Arm, *, final: bool, observe: Observer) -> Run:
        """The arm's run, finished: read where it is, gone on with where it was stopped.

        Args:
            final: whether it may read the final split; the runs among which a setting is chosen may not.
        """
        done = self.finished(arm, final=final)
        if done is not None:
            return done
        run = improve(
            arm.setting.recipe,
            model=self.runtime(arm.setting.recipe),
            task=self.task,
            out=arm.folder,
            rounds=self.rounds,
            seed=arm.seed,
            gate=self.gate,
            overlong=self.overlong,
            controls=False,
            budget=arm.budget,
            final=final,
            roles=self._guests(arm.setting.recipe),
            settings=arm.setting.record(arm.seed, arm.folder, arm.budget),
            observe=observe,
        )
        gc.collect()  # a run's session and the replays of its checkpoints refer to each other: weights would wait for a later sweep
        return run

    def _guests(self, recipe: Recipe) -> Mapping[str, Runtime]:
        return {role: guest for role, guest in self.guests.items() if role in roles_asked(recipe)}

    def release(self, arm: Arm) -> None:
        """Give up the weights that the arm's run left, unless they are to be kept."""
        if self.keep_weights:
            return
        with Ledger(arm.folder, read_only=True) as seen:
            if not seen.entries("checkpoint"):
                return
        with Ledger(arm.folder) as ledger:
            for entry in ledger.entries("checkpoint"):
                ledger.withdraw(entry, "a comparison keeps no weights")
