"""What a row's columns mean: the ecosystem's names, as prompts and given texts."""

from __future__ import annotations

import difflib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, cast

from sharpen.errors import DataError
from sharpen.types import Message, Prompt, Text

__all__ = ["ALIASES", "KNOWN", "DataRow", "data_row", "nearest"]

KNOWN = ("prompt", "messages", "completion", "chosen", "rejected", "target", "id", "options")

ALIASES: Mapping[str, tuple[str, ...]] = {
    "prompt": ("question", "query", "instruction", "input", "problem", "text"),
    "target": ("answer", "label", "solution", "gold", "expected", "ground_truth", "reference", "output"),
    "completion": ("response", "output", "answer"),
}
"""Names that other files use for ours. They only make hints: a column is taken for another only where the user says so."""

MAX_ID = 200

PRINTABLE = ("datetime", "decimal", "uuid")
"""Modules whose values Parquet gives and text can say."""


@dataclass(frozen=True, kw_only=True)
class DataRow:
    """A row that was read.

    Attributes:
        where: file and line, for messages.
        prompt: what is asked, with target, options and the row's other columns.
        completion: a given answer, or None.
        chosen: the better of two given answers, or None.
        rejected: the worse of them; None exactly where `chosen` is.
    """

    where: str
    prompt: Prompt
    completion: str | None = None
    chosen: str | None = None
    rejected: str | None = None


def nearest(name: str, names: Sequence[str]) -> str | None:
    """Of some names the one that means or looks most like another, or None.

    >>> nearest("target", ["question", "answer"]), nearest("answr", ["question", "answer"])
    ('answer', 'answer')
    """
    meant = [other for other in ALIASES.get(name, ()) if other in names]
    meant += [ours for ours, others in ALIASES.items() if name in others and ours in names]
    return next(iter(meant or difflib.get_close_matches(name, names, n=1)), None)


def data_row(where: str, row: Mapping[str, object], *, raw: bool = False) -> DataRow:
    """A clean row by meaning. A cell that is None counts as absent.

    Raises:
        DataError: what it holds under a known name is not of that name's shape, or names that exclude each other are both there.
    """
    cells = {name: value for name, value in row.items() if value is not None}
    messages, given = _conversation(where, cells)
    if raw and (len(messages) != 1 or messages[0].role != "user"):
        raise DataError(f"{where}: a raw prompt is one text, and this one has {len(messages)} messages; leave raw out")
    options = _options(where, cells.get("options"))
    target = _target(where, cells.get("target"))
    if options is not None and target is not None and target not in options:
        raise DataError(f"{where}: target {target!r} is none of the options {list(options)}; correct one of them")
    prompt = Prompt(
        messages=messages, next="raw" if raw else "assistant", target=target, options=options, tags=_tags(where, cells)
    )
    return DataRow(where=where, prompt=prompt, **given)


def _conversation(where: str, cells: Mapping[str, object]) -> tuple[tuple[Message, ...], dict[str, str]]:
    given: dict[str, str] = {}
    pair = [name for name in ("chosen", "rejected") if name in cells]
    if len(pair) == 1:
        raise DataError(f"{where}: has {pair[0]!r} alone; a preference needs both 'chosen' and 'rejected'")
    if pair and "completion" in cells:
        raise DataError(f"{where}: has 'completion' beside 'chosen' and 'rejected'; keep the one that you want to train on")
    if "prompt" in cells and "messages" in cells:
        raise DataError(f"{where}: has both 'prompt' and 'messages'; keep one")
    if "messages" in cells:
        messages = _messages(f"{where}, 'messages'", cells["messages"])
        if messages[-1].role == "assistant":
            if pair or "completion" in cells:
                raise DataError(f"{where}: 'messages' ends with an answer and another is given; keep one")
            given["completion"] = _text(f"{where}, 'messages'", messages[-1].text)
            messages = messages[:-1]
    elif "prompt" in cells:
        messages = _prompt(where, cells["prompt"])
    elif pair and all(isinstance(cells[name], (list, tuple)) for name in pair):
        messages = _shared_prompt(where, cells)
    else:
        names = sorted(cells)
        raise DataError(
            f"{where}: has no 'prompt' and no 'messages' among its columns {names}; name the one that asks, as in "
            f"columns={{'prompt': {nearest('prompt', names) or 'NAME'!r}}}"
        )
    if not messages or messages[-1].role != "user":
        raise DataError(f"{where}: the conversation does not end with the user, so there is nothing to answer; cut it there")
    for name in ("completion", *pair):
        if name in cells:
            given[name] = _answer(f"{where}, {name!r}", cells[name])
    return messages, given


def _shared_prompt(where: str, cells: Mapping[str, object]) -> tuple[Message, ...]:
    chosen, rejected = (_messages(f"{where}, {name!r}", cells[name]) for name in ("chosen", "rejected"))
    if chosen[:-1] != rejected[:-1]:
        raise DataError(f"{where}: 'chosen' and 'rejected' are conversations that differ before the answer; give a 'prompt'")
    return chosen[:-1]


def _prompt(where: str, value: object) -> tuple[Message, ...]:
    if isinstance(value, str):
        return (Message(role="user", content=(Text(text=_text(f"{where}, 'prompt'", value)),)),)
    return _messages(f"{where}, 'prompt'", value)


def _answer(where: str, value: object) -> str:
    if isinstance(value, str):
        return _text(where, value)
    last = _messages(where, value)[-1]
    if last.role != "assistant":
        raise DataError(f"{where}: ends with {last.role}, not with the assistant's answer; give the answer last")
    return last.text


def _messages(where: str, value: object) -> tuple[Message, ...]:
    if not isinstance(value, (list, tuple)) or not value:
        raise DataError(f"{where}: is neither text nor a list of messages with role and content")
    found = []
    for message in value:
        if not isinstance(message, Mapping):
            raise DataError(f"{where}: holds {type(message).__name__} where a message with role and content should be")
        role, rest = message.get("role"), [name for name, item in message.items() if name not in ("role", "content") and item]
        if role not in ("system", "user", "assistant"):
            raise DataError(f"{where}: has role {role!r}; roles are system, user and assistant")
        if rest:
            raise DataError(f"{where}: a message has {rest[0]!r}, which is not read; write what matters into its content")
        speaker = cast(Literal["system", "user", "assistant"], role)
        found.append(Message(role=speaker, content=(Text(text=_content(where, message.get("content"))),)))
    return tuple(found)


def _content(where: str, value: object) -> str:
    if not isinstance(value, (list, tuple)):
        return _text(where, value)
    texts = []
    for part in value:
        kind = part.get("type") if isinstance(part, Mapping) else type(part).__name__
        text = part.get("text") if isinstance(part, Mapping) else None
        if kind != "text" or not isinstance(text, str):
            raise DataError(f"{where}: has content of kind {kind!r}; only text is read today")
        texts.append(text)
    return _text(where, "".join(texts))


def _text(where: str, value: object) -> str:
    if not isinstance(value, str):
        raise DataError(f"{where}: is {type(value).__name__}, not text")
    if not value.strip():
        raise DataError(f"{where}: is empty; remove the row or fill it in")
    return value


def _target(where: str, value: object) -> str | None:
    if value is None or isinstance(value, str):
        return value
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        return str(value)
    raise DataError(f"{where}, 'target': is {type(value).__name__}; write the answer as text or a number")


def _options(where: str, value: object) -> tuple[str, ...] | None:
    if isinstance(value, str):  # a CSV cell
        cell = value
        try:
            value = json.loads(cell)
        except (ValueError, RecursionError) as error:
            raise DataError(f"{where}, 'options': {cell[:40]!r} is not a JSON list of texts") from error
    if value is None:
        return None
    if not isinstance(value, (list, tuple)) or not all(isinstance(item, str) and item for item in value):
        raise DataError(f"{where}, 'options': is not a list of texts")
    if len(value) < 2 or len(set(value)) != len(value):
        raise DataError(f"{where}, 'options': {list(value)} needs two different labels at least, and none twice")
    return tuple(value)


def _tags(where: str, cells: Mapping[str, object]) -> dict[str, str | int | float | bool | None]:
    """The id, and columns that have no meaning here: scalars as they are, the rest as JSON text, so that nothing is lost."""
    tags: dict[str, str | int | float | bool | None] = {}
    for name, value in cells.items():
        if name == "id":
            if isinstance(value, bool) or not isinstance(value, (str, int)):
                raise DataError(f"{where}, 'id': is {type(value).__name__}; an id is text or a whole number")
            if not 1 <= len(str(value)) <= MAX_ID or not str(value).isprintable():
                raise DataError(f"{where}, 'id': {str(value)[:40]!r} is empty, longer than {MAX_ID} or not printable")
            tags["id"] = str(value)
        elif name not in KNOWN:
            tags[name] = value if isinstance(value, (str, int, float, bool)) else _json_text(where, name, value)
    return tags


def _json_text(where: str, name: str, value: object) -> str:
    if type(value).__module__ in PRINTABLE:
        return str(value)
    try:
        return json.dumps(value, ensure_ascii=False, sort_keys=True, default=_written)
    except TypeError as error:
        raise DataError(
            f"{where}, column {name!r}: holds {error.args[0]}, which text cannot say; leave the column out"
        ) from error


def _written(value: object) -> str:
    """Dates, times and decimals as they print; bytes and pictures are refused."""
    if type(value).__module__ in PRINTABLE:
        return str(value)
    raise TypeError(type(value).__name__)
