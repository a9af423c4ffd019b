"""Splits are disjoint by content and by parents, whoever builds the task."""

from __future__ import annotations

import dataclasses

import pytest

from sharpen.errors import DataError
from sharpen.sample import given_answer
from sharpen.tasks import Task
from sharpen.types import user


def test_pitfall_24_a_prompt_in_two_splits_is_refused() -> None:
    with pytest.raises(DataError, match="is also in train"):
        Task(name="t", train=(user("a"),), gate=(user("a", target="1"),))


def test_pitfall_24_children_and_siblings_of_another_split_are_refused() -> None:
    parent = user("a")
    child = dataclasses.replace(user("a, put otherwise"), parents=(parent.id,))
    other = dataclasses.replace(user("a, put a third way"), parents=(parent.id,))
    with pytest.raises(DataError, match="disjoint by content and by parents"):
        Task(name="t", train=(parent,), gate=(child,))
    with pytest.raises(DataError, match="disjoint by content and by parents"):
        Task(name="t", train=(child,), final=(other,))
    assert Task(name="t", train=(parent, child, other)).train


def test_a_held_out_prompt_cannot_be_shown_as_a_demonstration() -> None:
    with pytest.raises(DataError, match="held-out prompt; show another"):
        Task(name="t", train=(user("b"),), final=(user("a"),), demonstrations=(given_answer(user("a"), "1"),))


def test_the_digest_sees_targets_splits_and_demonstrations() -> None:
    task = Task(name="t", train=(user("a", target="1"),), gate=(user("b"),))
    changed = [
        task.replace(train=(user("a", target="2"),)),
        task.replace(gate=(), final=(user("b"),)),
        task.replace(demonstrations=(given_answer(user("c"), "3"),)),
        task.replace(max_new_tokens=7),
    ]
    assert len({task.digest, *(one.digest for one in changed)}) == 5
    assert task.visible.gate == ()
