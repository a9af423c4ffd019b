"""Sequences whose items are made or read when they are asked for, so that a round of any size fits in memory."""

from __future__ import annotations

from array import array
from bisect import bisect_right
from collections.abc import Callable, Iterator, Sequence
from itertools import accumulate
from typing import TypeVar, final, overload

__all__ = ["Lazy", "flattened", "mapped"]

A = TypeVar("A")
T = TypeVar("T", covariant=True)
U = TypeVar("U")


@final
class Lazy(Sequence[T]):
    """So many items, each made anew whenever it is asked for; nothing is kept.

    Equal to any list, tuple or `Lazy` of equal items. A slice is a list.

    Args:
        length: number of items.
        make: gives the item of a place from 0; the same place must give equal items.

    >>> squares = Lazy(5, lambda place: place * place)
    >>> squares[-1], squares[1:3], squares == [0, 1, 4, 9, 16]
    (16, [1, 4], True)
    """

    __hash__ = None  # type: ignore[assignment]  # as of a list: equal to one, which has none

    def __init__(self, length: int, make: Callable[[int], T]) -> None:
        self._places = range(length)
        self._make = make

    def __len__(self) -> int:
        return len(self._places)

    @overload
    def __getitem__(self, place: int) -> T: ...
    @overload
    def __getitem__(self, place: slice) -> Sequence[T]: ...
    def __getitem__(self, place: int | slice) -> T | Sequence[T]:
        if isinstance(place, slice):
            return [self._make(one) for one in self._places[place]]
        return self._make(self._places[place])

    def __iter__(self) -> Iterator[T]:
        return map(self._make, self._places)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, (list, tuple, Lazy)):
            return NotImplemented
        return len(self) == len(other) and all(one == two for one, two in zip(self, other, strict=True))

    def __repr__(self) -> str:
        return f"<{len(self)} items, made when asked for>"


def mapped(function: Callable[[A], U], items: Sequence[A]) -> Sequence[U]:
    """The function of each item, called whenever that place is asked for.

    >>> list(mapped(str.upper, ["a", "b"]))
    ['A', 'B']
    """
    return Lazy(len(items), lambda place: function(items[place]))


def flattened(outer: Sequence[A], inner: Callable[[A], Sequence[U]]) -> Sequence[U]:
    """What `inner` gives for each outer item, one after the other. It is called once for each now, to count, and again to read.

    >>> list(flattened([2, 0, 3], lambda count: "x" * count))
    ['x', 'x', 'x', 'x', 'x']
    """
    ends = array("q", accumulate(len(inner(one)) for one in outer))
    newest: dict[int, Sequence[U]] = {}

    def make(place: int) -> U:
        number = bisect_right(ends, place)
        if number not in newest:
            newest.clear()
            newest[number] = inner(outer[number])
        return newest[number][place - (ends[number - 1] if number else 0)]

    return Lazy(ends[-1] if ends else 0, make)
