"""The candidate's side of the wire: what runs in the box beside a program that a model wrote. Both sides read and write values with it.

Its text is sent into the box whole, so it imports nothing but the standard library. Nothing here is trusted once the candidate
runs in the same process: the tester believes nothing of a reply but the value that it says.

A frame is four bytes of length and JSON. The first frame that comes in holds the candidate's source; every other one is a call. Each
carries a number and a nonce that its reply repeats.
"""

from __future__ import annotations

import json
import math
import os
import struct
import sys
from typing import Any

MAX_BYTES = 1 << 20  # of a frame
MAX_DEPTH = 64
MAX_ITEMS = 20_000  # values in one value, itself included
MAX_TEXT = 1_500  # characters of an error
_SMALL = 256  # bits of an integer that JSON's decimals carry; longer ones are hexadecimal, which has no limit of digits
_HEAD = struct.Struct(">I")
_MARKS = {tuple: "t", set: "s", frozenset: "z"}


class RefusedValueError(ValueError):
    """A value that does not cross: not of exactly one of the plain types, or too large, or too deep."""


def encode(value: Any) -> Any:  # Any: foreign values; plain JSON
    """A value as JSON that tells its type: None, bool, int, float, str, bytes, list, tuple, set, frozenset, dict, and nothing else.

    Raises:
        RefusedValueError: it, or something in it, is of another class (a subclass too), too deep, or there is too much of it.
    """
    return _encode(value, 0, [MAX_ITEMS])


def decode(data: Any) -> Any:  # Any: decoded JSON; plain values
    """The value that `encode` wrote, built anew, so that its types are exact whoever wrote the JSON.

    Raises:
        RefusedValueError: nobody's `encode` wrote that.
    """
    return _decode(data, 0, [MAX_ITEMS])


def pack(message: Any) -> bytes:  # Any: plain JSON
    """The bytes of one frame.

    Raises:
        RefusedValueError: it is longer than MAX_BYTES.
    """
    data = json.dumps(message, separators=(",", ":")).encode("ascii")
    if len(data) > MAX_BYTES:
        raise RefusedValueError(f"a value of {len(data)} bytes; {MAX_BYTES} are allowed")
    return _HEAD.pack(len(data)) + data


def _encode(value: Any, depth: int, left: list[int]) -> Any:  # Any: as above
    kind = type(value)
    _count(depth, left)
    if value is None or kind is bool or kind is str:
        return value
    if kind is int:
        return value if value.bit_length() <= _SMALL else {"i": hex(value)}
    if kind is float:
        return value if math.isfinite(value) else {"f": repr(value)}
    if kind is list:
        return [_encode(item, depth + 1, left) for item in value]
    if kind in _MARKS:
        return {_MARKS[kind]: [_encode(item, depth + 1, left) for item in value]}
    if kind is dict:
        return {"d": [[_encode(key, depth + 1, left), _encode(item, depth + 1, left)] for key, item in value.items()]}
    if kind is bytes:
        return {"b": value.hex()}
    raise RefusedValueError(f"a value of class {kind.__name__}; plain values alone cross: numbers, text, bytes, lists, tuples, sets, dicts")


def _decode(data: Any, depth: int, left: list[int]) -> Any:  # Any: as above
    _count(depth, left)
    if data is None or type(data) in (bool, int, float, str):
        return data
    if type(data) is list:
        return [_decode(item, depth + 1, left) for item in data]
    if type(data) is not dict or len(data) != 1:
        raise RefusedValueError("what is no value")
    [(mark, inside)] = data.items()
    try:
        if mark == "i":
            return int(inside, 16)
        if mark == "f":
            return {"inf": math.inf, "-inf": -math.inf, "nan": math.nan}[inside]
        if mark == "b":
            return bytes.fromhex(inside)
        return _decode_many(mark, inside, depth + 1, left)
    except (TypeError, ValueError, KeyError) as error:
        if isinstance(error, RefusedValueError):
            raise
        raise RefusedValueError("what is no value") from error


def _decode_many(mark: str, inside: Any, depth: int, left: list[int]) -> Any:  # Any: as above
    if mark == "d":
        found: dict[Any, Any] = {}
        for key, item in inside:  # one by one, so that a signal can end it where keys were made to collide
            found[_decode(key, depth, left)] = _decode(item, depth, left)
        return found
    items = [_decode(item, depth, left) for item in inside]
    if mark == "t":
        return tuple(items)
    if mark not in ("s", "z"):
        raise RefusedValueError("what is no value")
    several: set[Any] = set()
    for item in items:
        several.add(item)
    return several if mark == "s" else frozenset(several)


def _count(depth: int, left: list[int]) -> None:
    left[0] -= 1
    if depth > MAX_DEPTH:
        raise RefusedValueError(f"a value more than {MAX_DEPTH} deep")
    if left[0] < 0:
        raise RefusedValueError(f"a value of more than {MAX_ITEMS} parts")


def serve() -> None:
    """Answer calls until the tester is gone. The candidate's own prints go where errors go, and it reads nothing."""
    requests, replies = os.dup(0), os.dup(1)
    null = os.open(os.devnull, os.O_RDONLY)
    os.dup2(null, 0)
    os.dup2(2, 1)
    os.close(null)
    first = _read(requests)
    space: dict[str, Any] = {}

    def load() -> None:
        space.update(_load(first["source"]))

    _write(replies, _reply(first, load))
    while (message := _read(requests)) is not None:
        _write(replies, _reply(message, lambda message=message: _call(space, message)))


def _load(source: str) -> dict[str, Any]:
    import linecache
    import types

    linecache.cache["answer.py"] = (len(source), None, source.splitlines(keepends=True), "answer.py")
    module = types.ModuleType("answer")
    sys.modules["answer"] = module
    exec(compile(source, "answer.py", "exec", dont_inherit=True), module.__dict__)
    return module.__dict__


def _call(space: dict[str, Any], message: Any) -> Any:  # Any: decoded JSON; the candidate's value
    name = message["call"]
    if name not in space:
        raise NameError(f"the program defines no {name!r}")
    keywords = {key: decode(value) for key, value in message["keywords"].items()}
    return space[name](*map(decode, message["arguments"]), **keywords)


def _reply(message: Any, work: Any) -> bytes:  # Any: decoded JSON, a function
    said = {"number": message["number"], "nonce": message["nonce"]}
    try:
        return pack({**said, "value": encode(work())})
    except RefusedValueError as error:
        return pack({**said, "refused": str(error)})
    except BaseException as error:  # SystemExit as well: it is the candidate's
        return pack({**said, "raised": [type(error).__name__, _told(error)]})


def _told(error: BaseException) -> str:
    """An error's own lines of traceback and its message, the end of them."""
    import traceback

    try:
        found = traceback.TracebackException.from_exception(error, limit=-4)
        found.stack = traceback.StackSummary.from_list([frame for frame in found.stack if frame.filename == "answer.py"])
        return "".join(found.format(chain=False)).strip()[-MAX_TEXT:]
    except Exception:  # its __str__ is foreign code too
        return "(it cannot be printed)"


def _read(descriptor: int) -> Any:  # Any: decoded JSON
    head = _read_all(descriptor, _HEAD.size)
    data = _read_all(descriptor, _HEAD.unpack(head)[0]) if head else b""
    return json.loads(data) if data else None


def _read_all(descriptor: int, size: int) -> bytes:
    parts = b""
    while len(parts) < size:
        part = os.read(descriptor, size - len(parts))
        if not part:
            return b""
        parts += part
    return parts


def _write(descriptor: int, data: bytes) -> None:
    while data:
        data = data[os.write(descriptor, data) :]
