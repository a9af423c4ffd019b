"""From a method's word, or `file.py:function`, to a recipe: its parameters read, its verifier and examples filled from the task."""

from __future__ import annotations

import difflib
import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, get_type_hints

from sharpen.cards import Card
from sharpen.cli.settings import Settings, kinds
from sharpen.cli.values import is_scalar, read_value
from sharpen.errors import DataError
from sharpen.methods import find_method
from sharpen.parts import Recipe
from sharpen.tasks import Task
from sharpen.verifiers.code import learnt_by

__all__ = ["Chosen", "choose", "make_recipe", "own_parameters"]

_FROM_TASK: Mapping[str, str] = {
    "verifier": "a verifier: add --verifier number, choice, exact, pattern:REGEX, module:function or file.py:function",
    "labelled": "targets: give the prompts a column 'target', or map one with --columns target=NAME",
    "examples": "given examples: rows with 'completion', or with 'chosen' and 'rejected'",
    "prompts": "train prompts",
    "task": "a task",
    "closed": "prompts with a closed set of labels: give them a column 'options', or map one with --columns options=NAME",
}


@dataclass(frozen=True, kw_only=True)
class Chosen:
    """A method with its parameters read, not yet filled from a task.

    Attributes:
        settings: as asked, the parameters with the types that the method wants.
        function: makes the recipe.
        fills: names of its parameters that the task fills; True where the method cannot do without.
        card: the method's card; None for a function of the user's own that has none.
    """

    settings: Settings
    function: Callable[..., object]
    fills: Mapping[str, bool]
    card: Card | None = None

    @property
    def name(self) -> str:
        """The method's word."""
        return self.settings.method or ""


def choose(settings: Settings) -> Chosen:
    """The method that the settings name, with its own parameters checked by name and type.

    Raises:
        ValueError: method or parameter is unknown (the message names the nearest), or a value is of another type.
        SharpenError: the user's file cannot be imported.
    """
    if not settings.method:
        raise ValueError("name a method first, as in `sharpen run rft --model M --task T`; `sharpen methods` lists them")
    function, card = _function(settings.method)
    own = _keyword_scalars(function)
    taken = sorted(own.keys() & kinds().keys())
    if taken:
        raise ValueError(
            f"{settings.method} has a parameter {taken[0]!r}, which is the name of a setting of every run; rename it"
        )
    for name, one in own.items():
        if one.default is inspect.Parameter.empty and name not in settings.parameters:
            raise ValueError(f"{settings.method} needs {name!r}: add --{name.replace('_', '-')} VALUE")
    parameters = _parameters(settings, {name: one.annotation for name, one in own.items()})
    return Chosen(
        settings=settings.replace(parameters=parameters),
        function=function,
        fills=_by_position(settings.method, function),
        card=card,
    )


def own_parameters(word: str) -> Mapping[str, inspect.Parameter]:
    """A method's keyword-only scalars by name, annotations resolved: what become flags.

    Raises:
        ValueError: there is no such method, or the file has no such function.
    """
    return _keyword_scalars(_function(word)[0])


def make_recipe(chosen: Chosen, task: Task) -> Recipe:
    """The recipe, what it wants by position taken from the task.

    Raises:
        ValueError: no verifier was named and it wants one, or a parameter is out of its range.
        TypeError: the function made something else than a recipe.
        DataError: its rows lack it.
    """
    _check_needs(chosen, task)
    held = {name: _held(name, task) for name in chosen.fills}
    for name, required in chosen.fills.items():
        if required and not held[name]:
            raise _lacking(chosen.name, name)
    values = {name: value for name, value in held.items() if value}
    made = chosen.function(**values, **chosen.settings.parameters)
    if not isinstance(made, Recipe):
        raise TypeError(
            f"{chosen.name} made {type(made).__name__}, not a Recipe; return what `sharpen.parts.recipe(...)` gives"
        )
    return made


def _function(word: str) -> tuple[Callable[..., object], Card | None]:
    if ":" not in word:
        method = find_method(word)
        return method.function, method.card
    from sharpen.verifiers.addresses import parse_address, resolve

    found = resolve(parse_address(word))
    if inspect.isfunction(found):
        return found, None
    raise ValueError(f"{word!r} is a {type(found).__name__}; name a function that returns a recipe")


def _keyword_scalars(function: Callable[..., object]) -> Mapping[str, inspect.Parameter]:
    hints = get_type_hints(function)
    return {
        name: one.replace(annotation=hints[name])
        for name, one in inspect.signature(function).parameters.items()
        if one.kind is inspect.Parameter.KEYWORD_ONLY and is_scalar(hints.get(name))
    }


def _by_position(method: str, function: Callable[..., object]) -> Mapping[str, bool]:
    """Names of the parameters that the task fills; True where there is no default."""
    found = {}
    for name, one in inspect.signature(function).parameters.items():
        if one.kind not in (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD):
            continue
        required = one.default is inspect.Parameter.empty
        if name in _FROM_TASK:
            found[name] = required
        elif required:
            raise ValueError(
                f"{method} takes {name!r} by position, which no task holds (tasks fill {', '.join(_FROM_TASK)}); make it keyword-only"
            )
    return found


def _parameters(settings: Settings, scalars: Mapping[str, Any]) -> Mapping[str, object]:
    found = {}
    for name, value in settings.parameters.items():
        if name not in scalars:
            raise ValueError(_unknown(settings.method or "", name, scalars))
        if value is True and scalars[name] is not bool:
            raise ValueError(f"{name} needs a value: --{name.replace('_', '-')} VALUE")
        found[name] = read_value(name, value, scalars[name])
    return dict(sorted(found.items()))


def _unknown(method: str, name: str, scalars: Mapping[str, Any]) -> str:
    near = difflib.get_close_matches(name, [*scalars, *kinds()], n=1, cutoff=0.55)
    if near:
        hint = f"did you mean {near[0]!r}?"
    else:
        hint = f"{method} has {', '.join(scalars) or 'no parameters'}; `sharpen run --help` lists the settings of every run"
    return f"there is no setting {name!r}, and {method} has no parameter of that name; {hint}"


def _held(name: str, task: Task) -> object:
    """What the task holds for a parameter of that name; nothing is false."""
    labelled = tuple(prompt for prompt in task.train if prompt.target is not None)
    return {
        "verifier": learnt_by(task.verifier),
        "labelled": labelled,
        "examples": task.examples,
        "prompts": task.train,
        "task": task.visible,
        "closed": tuple(prompt for prompt in task.train if prompt.options),
    }[name]


def _lacking(method: str, name: str) -> Exception:
    message = f"{method} needs {_FROM_TASK[name]}"
    return ValueError(message) if name == "verifier" else DataError(message)


def _check_needs(chosen: Chosen, task: Task) -> None:
    names = {"verifier": "verifier", "targets": "labelled", "examples": "examples", "options": "closed"}
    for need in chosen.card.needs if chosen.card else ():
        served = task.examples if need == "targets" else ()  # demonstrations stand in for targets
        if not served and not _held(names[need], task):
            raise _lacking(chosen.name, names[need])
