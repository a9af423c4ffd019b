"""Frozen values to Parquet and back: one row a value, readable columns beside the exact one.

Column `value` is canonical JSON of the whole value and is what is read back; the others are views for people.
"""

from __future__ import annotations

import dataclasses
import io
import json
import sys
import types
import typing
from collections.abc import Mapping, Sequence
from functools import cache
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from sharpen.errors import DamagedError
from sharpen.types import Completion, Example, Group, Prompt

__all__ = ["decode", "encode", "from_plain", "to_plain"]


def encode(values: Sequence[object]) -> bytes:
    """The values as one Parquet file (zstd)."""
    views = [_view(value) for value in values]
    table = pa.table(
        {
            "kind": pa.array([type(value).__name__ for value in values], pa.string()),
            "prompt": pa.array([view.get("prompt") for view in views], pa.string()),
            "completions": pa.array([view.get("completions") for view in views], pa.list_(pa.string())),
            "scores": pa.array([view.get("scores") for view in views], pa.string()),
            "value": pa.array([json.dumps(to_plain(value)) for value in values], pa.string()),
        }
    )
    buffer = io.BytesIO()
    pq.write_table(table, buffer, compression="zstd")
    return buffer.getvalue()


def decode(content: bytes) -> list[Any]:  # Any: whatever was encoded
    """The values of a Parquet file made by `encode`.

    Raises:
        DamagedError: it cannot be read, or names classes that are not there or have changed.
    """
    try:
        table = pq.ParquetFile(io.BytesIO(content)).read(columns=["value"], use_threads=False)
        column = table.column("value").to_pylist()
        return [from_plain(json.loads(text)) for text in column]
    except (pa.ArrowException, OSError, ValueError, KeyError, TypeError) as error:
        raise DamagedError(f"a Parquet file of the ledger cannot be read: {error}") from error


def to_plain(value: object) -> object:
    """JSON values, with dataclasses as objects that name their class."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        kind = type(value)
        fields = {field.name: to_plain(getattr(value, field.name)) for field in dataclasses.fields(value)}
        return {"@": f"{kind.__module__}:{kind.__qualname__}", **fields}
    if isinstance(value, Mapping):
        return {_escaped(str(key)): to_plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [to_plain(item) for item in value]
    if value is None or isinstance(value, (str, bool, int, float)):
        return value
    raise TypeError(f"{value!r} ({type(value).__name__}) cannot be filed; examples hold plain values and dataclasses")


def from_plain(value: Any) -> Any:  # Any: JSON in, values out
    """The value that `to_plain` was given; lists come back as tuples."""
    if isinstance(value, list):
        return tuple(from_plain(item) for item in value)
    if not isinstance(value, dict):
        return value
    if "@" not in value:
        return {key[1:] if key.startswith("@") else key: from_plain(item) for key, item in value.items()}
    kind = _frozen_class(value["@"])
    return kind(**{name: from_plain(item) for name, item in value.items() if name != "@"})


def _escaped(key: str) -> str:
    """A mapping's key that cannot be taken for a class name: columns of a user's data may be called anything."""
    return f"@{key}" if key.startswith("@") else key


@cache
def _frozen_class(name: str) -> type[Any]:  # Any: a dataclass known by name only
    """A frozen dataclass of a module that is already imported: a file can name nothing else."""
    module, _, qualname = name.partition(":")
    found: Any = sys.modules.get(module)
    for part in qualname.split("."):
        found = vars(found).get(part) if isinstance(found, (type, types.ModuleType)) else None
    if not (isinstance(found, type) and dataclasses.is_dataclass(found)):
        raise DamagedError(f"the ledger names {name!r}, which is no frozen dataclass of an imported module")
    params = typing.cast(Any, found).__dataclass_params__  # Any: dataclasses leaves it undeclared
    if not params.frozen:
        raise DamagedError(f"the ledger names {name!r}, which is no frozen dataclass")
    return found


def _view(value: object) -> dict[str, Any]:  # Any: columns of several types
    if isinstance(value, Group):
        return {
            "prompt": _shown(value.prompt.text),
            "completions": [_shown(completion.text) for completion in value.completions],
            "scores": json.dumps({name: list(column) for name, column in value.scores.items()}),
        }
    if isinstance(value, Prompt):
        return {"prompt": _shown(value.text)}
    if isinstance(value, Completion):
        return {"completions": [_shown(value.text)]}
    if isinstance(value, Example):
        rows = value.rows
        return {"prompt": _shown(rows[0].prompt.text), "completions": [_shown(row.completion.text) for row in rows]}
    return {}


def _shown(text: str) -> str:
    """Text for people: a lone surrogate, which no file holds, as its escape."""
    return text.encode("utf-8", "backslashreplace").decode()
