"""The shape that reward functions have for other trainers: lists by keyword in, one number per completion out."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable, Mapping
from typing import Literal

from sharpen.types import Completion, Message, Prompt
from sharpen.verifiers.verdicts import BadVerdict

__all__ = ["Form", "call_with_columns", "form_of", "takes_columns"]

Form = Literal["text", "messages"] | None
"""How completions are handed over: as strings, as lists of messages, or as whichever the function can read."""

_KEYWORD = (inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY)


def takes_columns(function: Callable[..., object]) -> bool:
    """Whether a function has the shape `(completions, **columns)` rather than `(prompt, completion)`.

    A parameter named `completions` says so, or taking nothing but keywords.

    Raises:
        ValueError: it can be called in neither way.
        TypeError: it is a class rather than an instance.
    """
    name = _name(function)
    if inspect.iscoroutinefunction(function):
        raise ValueError(f"verifier {name} is async; write a plain function")
    if isinstance(function, type):
        raise TypeError(f"verifier {name} is a class; give an instance of it, such as {name}()")
    try:
        signature = inspect.signature(function)
    except (TypeError, ValueError) as error:
        raise ValueError(f"verifier {name} does not tell its parameters; wrap it in a function (prompt, completion)") from error
    parameters = signature.parameters.values()
    if any(parameter.name == "completions" and parameter.kind in _KEYWORD for parameter in parameters):
        return True
    try:
        signature.bind(None, None)
    except TypeError as error:
        if [parameter.kind for parameter in parameters] == [inspect.Parameter.VAR_KEYWORD]:
            return True
        raise ValueError(
            f"verifier {name}{signature} can be called neither as (prompt, completion) nor as (completions, **columns); "
            "give it one of these shapes"
        ) from error
    return False


def form_of(function: Callable[..., object]) -> Form:
    """What the annotation of `completions` asks for: `list[str]` is text, a list of lists or of dicts is messages."""
    parameter = inspect.signature(function).parameters.get("completions")
    if parameter is None or parameter.annotation is inspect.Parameter.empty:
        return None
    written = str(parameter.annotation).lower()
    if "str" in written and "dict" not in written and "message" not in written and written.count("list") < 2:
        return "text"
    return "messages" if "dict" in written or "message" in written else None


def call_with_columns(function: Callable[..., object], form: Form, prompt: Prompt, completion: Completion) -> object:
    """The one value that the function returns for lists of one.

    Every completion is judged alone, so no verdict depends on which others were judged with it. Columns are `prompts`,
    `completions`, `completion_ids`, `target`, `options`, and the prompt's tags; a function without `**columns` gets those it
    names. Without an annotation completions are text; where the function cannot read that, it is called again with messages.

    Raises:
        BadVerdict: it did not return one value.
        TypeError: it asks for a column that the rows lack.
    """
    if form is not None:
        return _one(_call(function, form, prompt, completion))
    try:
        return _one(_call(function, "text", prompt, completion))
    except (TypeError, AttributeError, LookupError) as first:  # what `completion[0]["content"]` raises on text
        try:
            return _one(_call(function, "messages", prompt, completion))
        except Exception:
            raise first from None


def _call(function: Callable[..., object], form: Form, prompt: Prompt, completion: Completion) -> object:
    columns: dict[str, list[object]] = {name: [value] for name, value in prompt.tags.items()}
    columns |= {"target": [prompt.target], "options": [prompt.options], "completion_ids": [list(completion.token_ids)]}
    if form == "text":
        columns |= {"prompts": [prompt.text], "completions": [completion.text]}
    else:
        answer = {"role": "assistant", "content": completion.text}
        columns |= {"prompts": [[_plain(message) for message in prompt.messages]], "completions": [[answer]]}
    return function(**_wanted(function, columns))


def _wanted(function: Callable[..., object], columns: Mapping[str, list[object]]) -> Mapping[str, list[object]]:
    parameters = inspect.signature(function).parameters
    missing = [
        name
        for name, parameter in parameters.items()
        if parameter.kind in _KEYWORD and parameter.default is inspect.Parameter.empty and name not in columns
    ]
    if missing:
        raise TypeError(
            f"verifier {_name(function)} asks for column {missing[0]!r}, which the rows lack; "
            f"they have {', '.join(sorted(columns))}"
        )
    if any(parameter.kind is inspect.Parameter.VAR_KEYWORD for parameter in parameters.values()):
        return columns
    return {name: column for name, column in columns.items() if name in parameters}


def _one(value: object) -> object:
    if isinstance(value, (str, bytes, Mapping)) or not isinstance(value, Iterable):
        kind = type(value).__name__
        raise BadVerdict(f"returned {kind}", f"returned a {kind}; return a list with one number or None per completion")
    values = list(value)
    if len(values) != 1:
        raise BadVerdict(
            f"returned {len(values)} values", f"returned {len(values)} values for 1 completion; return one for each"
        )
    return values[0]


def _plain(message: Message) -> dict[str, str]:
    return {"role": message.role, "content": message.text}


def _name(function: object) -> str:
    return str(function.__qualname__) if inspect.isroutine(function) or isinstance(function, type) else repr(function)
