"""Calls with inputs that are mutated by type, as in EvalPlus (Liu et al., 2023, arXiv 2305.01210, section 2.1).

There a contract written by hand says which inputs a task allows. Here nothing is drawn of which something holds that holds of no input
given, so that most stay what the task speaks of.
"""

from __future__ import annotations

import random
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence, Sized
from typing import Any

from sharpen.verifiers.code.suites import Call

__all__ = ["mutated_calls"]

_NUM_DRAWN = 64
_NUM_TRIES = 640
_MAX_STEPS = 2  # 5 in the authors' code, which has contracts to check them by
_MAX_TEXT = 2_000  # characters of a call that is mutated
_MANY = (list, tuple, set, frozenset, dict)


def mutated_calls(calls: Sequence[Call], *, seed: str) -> list[Call]:
    """At most 64 calls that are not among those given, each one or two steps from one of them.

    A step changes one argument: a number by one, in its sign or to another that was seen; a bool; a text or a collection by leaving a
    piece out, repeating it or changing it. Not drawn are numbers outside the range seen at their place, what is empty, repeated,
    unsorted or of unequal length where nothing given is, and tuples of another length.

    >>> given = [Call(name="f", arguments=([1, 5, 9],)), Call(name="f", arguments=([2],))]
    >>> [str(call) for call in mutated_calls(given, seed="1")[:4]]
    ['f([1, 5, 8])', 'f([5, 9])', 'f([9])', 'f([1, 8])']
    """
    given = [call for call in calls if call.arguments and len(str(call)) <= _MAX_TEXT]
    if not given:
        return []
    pieces: defaultdict[type, list[Any]] = defaultdict(list)
    seen: defaultdict[str, list[Any]] = defaultdict(list)
    for call in given:
        for piece in _pieces(call.arguments):
            pieces[type(piece)].append(piece)
        for place, fact in _facts(call.arguments, call.name):
            seen[place].append(fact)
    rng = random.Random(seed)
    drawn: list[Call] = []
    for _ in range(_NUM_TRIES):
        made = _mutant(rng.choice(given), rng, pieces)
        if made not in given and made not in drawn and _alike(made, seen):
            drawn.append(made)
        if len(drawn) == _NUM_DRAWN:
            break
    return drawn


def _mutant(call: Call, rng: random.Random, pieces: Mapping[type, Sequence[Any]]) -> Call:
    arguments = list(call.arguments)
    for _ in range(rng.randint(1, _MAX_STEPS)):
        place = rng.randrange(len(arguments))
        arguments[place] = _step(arguments[place], rng, pieces)
    return Call(name=call.name, arguments=tuple(arguments))


def _step(value: Any, rng: random.Random, pieces: Mapping[type, Sequence[Any]]) -> Any:  # Any: plain values
    def step(inside: Any) -> Any:
        return _step(inside, rng, pieces)

    kind = type(value)
    if kind is bool:
        return not value
    if kind in (int, float):
        return rng.choice([value - 1, value + 1, -value, rng.choice(pieces[kind])])
    if kind is str:
        glue = " " if " " in value else ""  # words are the pieces of a text that has some
        return glue.join(_changed(value.split(" ") if glue else value, lambda _: rng.choice(pieces[str]), rng))
    if kind is dict:
        return dict(_changed(value.items(), lambda item: (step(item[0]), step(item[1])), rng))
    return kind(_changed(_items(value), step, rng)) if kind in _MANY else value


def _changed(items: Iterable[Any], other: Callable[[Any], Any], rng: random.Random) -> list[Any]:  # Any: plain values
    """The items with one left out, one repeated somewhere, or another in the place of one."""
    changed = list(items)
    if not changed:
        return changed
    place, how = rng.randrange(len(changed)), rng.randrange(3)
    if how == 0:
        del changed[place]
    elif how == 1:
        changed.insert(rng.randrange(len(changed) + 1), changed[place])
    else:
        changed[place] = other(changed[place])
    return changed


def _items(value: Any) -> list[Any]:  # Any: one of _MANY; plain values
    """What is in it, in an order that is the same in every process."""
    if isinstance(value, (set, frozenset)):
        return sorted(value, key=repr)
    return list(value.items() if isinstance(value, dict) else value)


def _pieces(value: Any) -> Iterator[Any]:  # Any: plain values
    """The numbers in a value, and the words or characters of its texts."""
    if type(value) in (int, float):
        yield value
    elif type(value) is str:
        yield from value.split(" ") if " " in value else value
    elif type(value) in _MANY:
        for item in _items(value):
            yield from _pieces(item)


def _facts(value: Any, place: str) -> Iterator[tuple[str, Any]]:  # Any: plain values; a number or a word
    """What holds of a value and of all that is in it, by place: a number itself, and a word for each property in which inputs differ."""
    kind = type(value)
    place = f"{place} {kind.__name__}"
    if kind in (int, float):
        yield place, value
    elif kind is str and not value:
        yield place, "empty"
    elif kind in _MANY:
        items = _items(value)
        words = {
            "empty": not items,
            "repeated": len({repr(item) for item in items}) < len(items),
            "unsorted": kind in (list, tuple) and _unsorted(items),
            "unequal": len({len(item) for item in items if isinstance(item, Sized)}) > 1,
            f"{len(items)} long": kind is tuple,
        }
        yield from ((place, word) for word, holds in words.items() if holds)
        for number, item in enumerate(items):
            yield from _facts(item, f"{place} {number}" if kind is tuple else place)


def _unsorted(items: list[Any]) -> bool:  # Any: plain values
    try:
        return items != sorted(items)
    except TypeError:
        return False


def _alike(call: Call, seen: Mapping[str, Sequence[Any]]) -> bool:
    """Whether nothing holds of a call but what holds of one given; of a number, that it is between two of them."""
    for place, fact in _facts(call.arguments, call.name):
        known = seen.get(place, ())
        if not (fact in known if isinstance(fact, str) else known and min(known) <= fact <= max(known)):
            return False
    return True
