"""Lazy sequences behave as the lists they stand for, and hold nothing."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sharpen.sequences import Lazy, flattened, mapped


@given(st.lists(st.integers(), max_size=8), st.slices(8), st.integers(-9, 9))
def test_a_lazy_sequence_reads_as_the_list(items: list[int], cut: slice, place: int) -> None:
    lazy = Lazy(len(items), items.__getitem__)
    assert lazy == items
    assert list(lazy) == items
    assert len(lazy) == len(items)
    assert bool(lazy) == bool(items)
    assert lazy[cut] == items[cut]
    if -len(items) <= place < len(items):
        assert lazy[place] == items[place]
    else:
        with pytest.raises(IndexError):
            lazy[place]


def test_it_is_equal_to_equal_items_alone() -> None:
    lazy = Lazy(2, lambda place: place)
    assert lazy == (0, 1)
    assert lazy == Lazy(2, lambda place: float(place))
    assert lazy != [0, 1, 2]
    assert lazy != [0, 2]
    assert lazy != "01"


def test_an_item_is_made_whenever_it_is_asked_for() -> None:
    asked: list[int] = []
    lazy = mapped(lambda number: asked.append(number) or -number, [5, 6])
    assert asked == []
    assert [lazy[1], lazy[1]] == [-6, -6]
    assert asked == [6, 6]


@given(st.lists(st.lists(st.integers(), max_size=3), max_size=6))
def test_flattened_lists_come_one_after_the_other(lists: list[list[int]]) -> None:
    flat = flattened(lists, lambda one: one)
    whole = [item for one in lists for item in one]
    assert flat == whole
    assert [flat[place] for place in reversed(range(len(whole)))] == whole[::-1]


def test_a_flattened_sequence_read_in_order_asks_for_each_list_twice() -> None:
    asked: list[int] = []
    flat = flattened([2, 0, 3], lambda count: asked.append(count) or [count] * count)
    assert asked == [2, 0, 3]
    assert list(flat) == [2, 2, 3, 3, 3]
    assert asked == [2, 0, 3, 2, 3]
