"""What people write on a command line or in a file, as the value that an annotation asks for."""

from __future__ import annotations

import contextlib
import difflib
import types
from collections.abc import Iterable
from pathlib import Path
from typing import Any, Literal, Union, get_args, get_origin

__all__ = ["is_scalar", "metavar", "nearest", "read_value", "written_value"]

Annotation = Any  # Any: Python's own annotations have no common type

_TRUE, _FALSE = ("true", "yes", "on", "1"), ("false", "no", "off", "0")


def is_scalar(annotation: Annotation) -> bool:
    """Whether a value of this type can be written as one word: int, float, str, bool, a path, `Literal`, or one of them or None.

    >>> is_scalar(int | None), is_scalar(list[int])
    (True, False)
    """
    if _is_literal(annotation):
        return all(isinstance(choice, (str, int)) for choice in get_args(annotation))
    if _is_union(annotation):
        return all(kind is types.NoneType or is_scalar(kind) for kind in get_args(annotation))
    return annotation in (int, float, str, bool, Path)


def read_value(name: str, value: object, annotation: Annotation) -> object:
    """The value that `annotation` asks for, from text, or from what a settings file gives.

    >>> read_value("num_samples", "4", int), read_value("learning_rate", "1e-5", float), read_value("num", "none", int | None)
    (4, 1e-05, None)

    Raises:
        ValueError: it cannot be read so; the message names what is wanted.
    """
    if _is_union(annotation):
        return _read_union(name, value, annotation)
    if _is_literal(annotation):
        choices = get_args(annotation)
        found = next((choice for choice in choices if value == choice or value == str(choice)), None)
        if found is None:
            raise ValueError(
                f"{name} is {value!r}; it is one of {', '.join(map(str, choices))}{nearest(str(value), map(str, choices))}"
            )
        return found
    if annotation is bool:
        return _read_bool(name, value)
    if annotation is int:
        return _read_int(name, value)
    if annotation is float:
        return _read_float(name, value)
    if isinstance(value, str):
        return Path(value) if annotation is Path else value
    raise ValueError(f"{name} is {value!r}; it is text, so write it in quotes")


def written_value(value: object) -> str:
    """How a value is written on a command line, so that `read_value` gives it back.

    >>> written_value(None), written_value(1e-05), written_value(True)
    ('none', '1e-05', 'true')
    """
    if value is None:
        return "none"
    if isinstance(value, bool):
        return str(value).lower()
    return str(value)


def metavar(annotation: Annotation) -> str:
    """What stands for a value in `--help`.

    >>> metavar(int | None), metavar(Literal["base", "current"])
    ('INT', 'base|current')
    """
    if _is_union(annotation):
        return metavar(next(kind for kind in get_args(annotation) if kind is not types.NoneType))
    if _is_literal(annotation):
        return "|".join(map(str, get_args(annotation)))
    return {int: "INT", float: "NUMBER", bool: "true|false", Path: "PATH"}.get(annotation, "TEXT")


def nearest(word: str, names: Iterable[str]) -> str:
    """The hint "; did you mean ...?" with the name that looks most like it, or no hint.

    >>> nearest("num_sample", ["num_samples", "temperature"])
    "; did you mean 'num_samples'?"
    """
    found = difflib.get_close_matches(word.lower().replace("-", "_"), list(names), n=1, cutoff=0.55)
    return f"; did you mean {found[0]!r}?" if found else ""


def _is_literal(annotation: Annotation) -> bool:
    origin: Any = get_origin(annotation)  # Any: typing's special forms have no static type
    return origin is Literal


def _is_union(annotation: Annotation) -> bool:
    origin: Any = get_origin(annotation)  # Any: as above
    return origin in (Union, types.UnionType)


def _read_union(name: str, value: object, annotation: Annotation) -> object:
    kinds = [kind for kind in get_args(annotation) if kind is not types.NoneType]
    if types.NoneType in get_args(annotation) and (value is None or value == "none"):
        return None
    errors = []
    for kind in kinds:
        try:
            return read_value(name, value, kind)
        except ValueError as error:
            errors.append(str(error))
    raise ValueError(errors[0] if len(errors) == 1 else f"{name} is {value!r}; it is one of {annotation}")


def _read_bool(name: str, value: object) -> bool:
    if isinstance(value, bool):
        return value
    if isinstance(value, str) and value.lower() in (*_TRUE, *_FALSE):
        return value.lower() in _TRUE
    raise ValueError(f"{name} is {value!r}; it is true or false")


def _read_int(name: str, value: object) -> int:
    if isinstance(value, str):
        with contextlib.suppress(ValueError):
            return int(value)
    if isinstance(value, int) and not isinstance(value, bool):
        return value
    raise ValueError(f"{name} is {value!r}; it is a whole number")


def _read_float(name: str, value: object) -> float:
    number = None
    if isinstance(value, str):
        with contextlib.suppress(ValueError):
            number = float(value)
    elif isinstance(value, (int, float)) and not isinstance(value, bool):
        number = float(value)
    if number is None or number != number or number in (float("inf"), float("-inf")):
        raise ValueError(f"{name} is {value!r}; it is a number")
    return number
