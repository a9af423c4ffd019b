"""From words or a file to contenders: methods with their parameters, each in as many settings as every other."""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from sharpen.budget import Budget
from sharpen.catalogue import nearest
from sharpen.checks import roles_asked
from sharpen.cli.recipes import choose, make_recipe, own_parameters
from sharpen.cli.settings import Settings
from sharpen.cli.values import written_value
from sharpen.compare import Contender, Setting
from sharpen.methods import find_method, method_names
from sharpen.tasks import Task

__all__ = ["Asked", "asked_in_file", "asked_in_words", "make_contenders", "read_grid", "told", "with_controls"]

_CONTROLS = {"sft": "sft", "placebo": "sharpen.compare.controls:placebo"}
"""By name, the method of each control that trains; under these names they are controls, whatever their settings."""


@dataclass(frozen=True, kw_only=True)
class Asked:
    """A method in one setting, as written.

    Attributes:
        name: of its row; settings of one name are tried against each other.
        method: a word of `sharpen methods`, or file.py:function.
        parameters: its own, as written.
    """

    name: str
    method: str
    parameters: Mapping[str, object] = field(default_factory=dict)

    @property
    def trains(self) -> bool:
        """Whether it changes weights, as far as its card says; a function without one is taken to."""
        return ":" in self.method or find_method(self.method).card.trains_on is not None

    @property
    def is_control(self) -> bool:
        """Whether it stands among the controls."""
        return self.name in _CONTROLS


def asked_in_words(words: Sequence[str]) -> list[Asked]:
    """What words such as `rft`, `rft,num_samples=4` or `dr=grpo,scale=none` ask for; several words of one name are its settings.

    >>> asked_in_words(["dr=grpo,scale=none"])
    [Asked(name='dr', method='grpo', parameters={'scale': 'none'})]

    Raises:
        ValueError: a word is no method with name=value after it, or gives a name twice.
    """
    return [_asked_in_word(word) for word in words]


def asked_in_file(methods: object) -> list[Asked]:
    """What the key `methods` of a comparison file asks for: by name nothing, one setting, or a list of settings.

    Raises:
        ValueError: it is not written so.
    """
    if not isinstance(methods, Mapping) or not methods:
        raise ValueError(f"methods is {methods!r}; write names with settings below them, such as `rft: {{num_samples: 4}}`")
    found = []
    for name, value in methods.items():
        for one in value if isinstance(value, list) else [value]:
            parameters = dict(_names_and_values(f"methods.{name}", one))
            method = str(parameters.pop("method", name))
            found.append(Asked(name=str(name), method=_CONTROLS.get(method, method), parameters=parameters))
    return found


def _names_and_values(where: str, value: object) -> Mapping[str, object]:
    if value is None or isinstance(value, Mapping):
        return {str(name).replace("-", "_"): item for name, item in (value or {}).items()}
    raise ValueError(f"{where} holds {value!r}; write settings as names and values, or a list of such")


def read_grid(words: Sequence[str]) -> Mapping[str, tuple[str, ...]]:
    """Values to try by parameter, from words such as `learning_rate=1e-4,3e-4`.

    >>> read_grid(["learning-rate=1e-4,3e-4"])
    {'learning_rate': ('1e-4', '3e-4')}

    Raises:
        ValueError: a word is not so, or names a parameter twice.
    """
    grid: dict[str, tuple[str, ...]] = {}
    for word in words:
        name, equals, values = word.partition("=")
        name = name.replace("-", "_")
        found = tuple(value.strip() for value in values.split(",") if value.strip())
        if not equals or not name or not found:
            raise ValueError(f"--tune {word!r} is no name=value,value; write --tune learning_rate=1e-4,3e-4")
        if name in grid:
            raise ValueError(f"--tune {name} is given twice; keep one")
        grid[name] = found
    return grid


def with_controls(asked: Sequence[Asked], task: Task, notes: list[str]) -> list[Asked]:
    """What was asked for, and training on targets and the placebo where they were not named; what is left out goes to `notes`."""
    named = {one.name for one in asked}
    found = list(asked)
    taught = bool(task.examples) or any(prompt.target is not None for prompt in task.train)
    if "sft" not in named and not taught:
        notes.append("left out: sft, since the task has neither targets nor given examples")
    for name in _CONTROLS:
        if name not in named and (name != "sft" or taught):
            found.append(Asked(name=name, method=_CONTROLS[name]))
    return found


def make_contenders(
    asked: Sequence[Asked],
    grid: Mapping[str, tuple[str, ...]],
    settings: Settings,
    task: Task,
    record: Callable[[Settings], Mapping[str, Any]],
) -> tuple[Contender, ...]:
    """The contenders in the order of their first words; every setting is tried with every combination of the grid's values.

    Args:
        settings: of every run.
        record: what a person needs to repeat a run of such settings.

    Raises:
        ValueError: a method or parameter is unknown, or a name stands for two methods.
        SharpenError: a user's file cannot be imported, or the task lacks what a method needs.
    """
    by_name: dict[str, list[Asked]] = {}
    for one in asked:
        by_name.setdefault(one.name, []).extend(_over_grid(one, grid))
    found = []
    for name, several in by_name.items():
        if len({one.method for one in several}) > 1:
            raise ValueError(
                f"{name} stands for {several[0].method} and {several[-1].method}; name each row apart: NAME=METHOD"
            )
        made = tuple(_setting(one, settings, task, record) for one in several)
        twice = next(
            (one for place, one in enumerate(made) if one.recipe.key in {other.recipe.key for other in made[:place]}), None
        )
        if twice is not None:
            raise ValueError(
                f"{name} with {twice.label} is given twice; name each setting once, so that all have as many tries"
            )
        found.append(Contender(name=name, role="control" if several[0].is_control else "method", settings=made))
    return tuple(found)


def told(asked: Sequence[Asked]) -> Iterator[str]:
    """The words that ask for this again."""
    for one in asked:
        plain = one.method in (one.name, _CONTROLS.get(one.name))
        head = one.name if plain else f"{one.name}={one.method}"
        yield ",".join([head, *(f"{name}={written_value(value)}" for name, value in one.parameters.items())])


def _asked_in_word(word: str) -> Asked:
    head, *pairs = word.split(",")
    name, equals, method = head.rpartition("=")
    if not method or (equals and not name):
        raise ValueError(f"{word!r} names no method; write METHOD,parameter=value or NAME=METHOD,parameter=value")
    if equals and ":" not in method and method not in (*method_names(), *_CONTROLS):
        raise ValueError(
            f"{word!r} asks for a method {method!r}, and there is none ({nearest(method, method_names())}); a parameter stands behind its "
            f"method, METHOD,{name}=VALUE, and a setting is a flag, --{name.replace('_', '-')} VALUE"
        )
    parameters: dict[str, object] = {}
    for pair in pairs:
        key, equals, value = pair.partition("=")
        key = key.strip().replace("-", "_")
        if not equals or not key.isidentifier():
            raise ValueError(f"{pair!r} in {word!r} is no parameter=value; write METHOD,parameter=value,parameter=value")
        if key in parameters:
            raise ValueError(f"{key} is given twice in {word!r}; keep one")
        parameters[key] = value
    name = name or method.rpartition(":")[2]
    return Asked(name=name, method=_CONTROLS.get(method, method), parameters=parameters)


def _over_grid(one: Asked, grid: Mapping[str, tuple[str, ...]]) -> Iterator[Asked]:
    """The setting with each combination of values for those parameters that the method has."""
    own = own_parameters(one.method)
    lacking = [name for name in grid if name not in own]
    if lacking and one.trains and not one.is_control:
        raise ValueError(f"{one.name} has no parameter {lacking[0]!r} to tune; it has {', '.join(own) or 'none'}")
    names = [name for name in grid if name in own and name not in one.parameters]
    for values in itertools.product(*(grid[name] for name in names)):
        yield dataclasses.replace(one, parameters={**one.parameters, **dict(zip(names, values, strict=True))})


def _setting(one: Asked, settings: Settings, task: Task, record: Callable[[Settings], Mapping[str, Any]]) -> Setting:
    chosen = choose(settings.replace(method=one.method, parameters=one.parameters))

    recipe = make_recipe(chosen, task)
    roles = {role: spec for role, spec in chosen.settings.roles.items() if role in roles_asked(recipe)}

    def recorded(seed: int, folder: Path, budget: Budget | None) -> Mapping[str, Any]:
        own = chosen.settings.replace(seed=seed, out=str(folder), controls=False, roles=roles)
        return record(own if budget is None else own.replace(budget_tokens=budget.tokens, budget_seconds=budget.seconds))

    return Setting(parameters=chosen.settings.parameters, recipe=recipe, record=recorded)
