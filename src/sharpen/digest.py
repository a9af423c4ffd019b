"""One canonical form and one hash for every value: equal values hash alike, on any machine, in any process."""

from __future__ import annotations

import dataclasses
import functools
import hashlib
import json
from collections.abc import Mapping, Sequence, Set

__all__ = ["ListDigest", "canonical", "derived_seed", "digest", "json_text"]

_PLAIN = frozenset({str, bool, int, float, type(None)})
_ENCODER = json.JSONEncoder(sort_keys=True, ensure_ascii=False, separators=(",", ":"), allow_nan=True)


def json_text(value: object) -> str:
    """The canonical text of JSON values: keys sorted, no spaces."""
    return _ENCODER.encode(value)


def canonical(value: object) -> str:
    """The canonical JSON text of a plain value or frozen dataclass.

    Dataclasses carry their class name, so two types with equal fields differ; `-0.0` and `0.0` differ, as their bits do.

    >>> canonical({"b": 1, "a": (1.5, None)})
    '{"a":[1.5,null],"b":1}'

    Raises:
        TypeError: a value is of a kind that has no canonical form (a function, an open file).
    """
    return json_text(_plain(value))


def digest(*values: object) -> str:
    """32 hex digits (128 bits of SHA-256) that identify the values.

    >>> digest("a", 1) == digest("a", 1), digest("a", 1) == digest("a", "1")
    (True, False)
    """
    return hashlib.sha256(canonical(values).encode("utf-8", "surrogatepass")).hexdigest()[:32]


def derived_seed(*keys: object) -> int:
    """A 60-bit seed that depends on the keys alone.

    >>> derived_seed(7, "train") == derived_seed(7, "train") != derived_seed(8, "train")
    True
    """
    return int(digest("seed", keys)[:15], 16)


class ListDigest:
    """The digest of a name and a list that is nowhere held as a whole.

    >>> one = ListDigest("numbers")
    >>> one.add(canonical(1))
    >>> one.add(canonical(2))
    >>> one.digest == digest("numbers", [1, 2])
    True
    """

    def __init__(self, name: str) -> None:
        self._hash = hashlib.sha256(f"[{canonical(name)},[".encode("utf-8", "surrogatepass"))
        self._between = ""

    def add(self, text: str) -> None:
        """Add the canonical text of the next item."""
        self._hash.update(f"{self._between}{text}".encode("utf-8", "surrogatepass"))
        self._between = ","

    @property
    def digest(self) -> str:
        """32 hex digits, of all items so far."""
        whole = self._hash.copy()
        whole.update(b"]]")
        return whole.hexdigest()[:32]


def _plain(value: object) -> object:
    kind = type(value)
    if kind in _PLAIN:
        return value
    if kind is tuple or kind is list:
        items: Sequence[object] = value  # type: ignore[assignment]  # one of the two
        return list(items) if _PLAIN.issuperset(map(type, items)) else [_plain(item) for item in items]
    if dataclasses.is_dataclass(kind):
        plain: dict[str, object] = {"@": kind.__name__}
        for name in _compared(kind):
            item = getattr(value, name)
            plain[name] = item if type(item) in _PLAIN else _plain(item)
        return plain
    if isinstance(value, (str, int, float)):
        return value
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, Set):
        return sorted((_plain(item) for item in value), key=repr)
    if isinstance(value, Sequence):
        return [_plain(item) for item in value]
    raise TypeError(f"{value!r} ({kind.__name__}) has no canonical form; pass plain values or dataclasses")


@functools.cache
def _compared(kind: type) -> tuple[str, ...]:
    """Names of a dataclass's fields that tell two values apart."""
    return tuple(field.name for field in dataclasses.fields(kind) if field.compare)
