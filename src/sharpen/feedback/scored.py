"""Groups with numbers added, which hold only the numbers: the groups themselves are read when they are asked for."""

from __future__ import annotations

from array import array
from collections.abc import Iterable, Mapping, Sequence
from itertools import accumulate

from sharpen.sequences import Lazy
from sharpen.types import Group, Score

__all__ = ["scored", "signalled"]


def scored(groups: Sequence[Group], name: str, scores: Sequence[Score], counts: Iterable[int]) -> Sequence[Group]:
    """The groups with a score added, given for all their completions in order; `counts` are the completions of each."""
    ends = array("q", accumulate(counts))

    def group_of(place: int) -> Group:
        group = groups[place]
        return group.with_scores(**{name: scores[ends[place] - len(group.completions) : ends[place]]})

    return Lazy(len(groups), group_of)


def signalled(groups: Sequence[Group], signals: Sequence[Mapping[str, Score]]) -> Sequence[Group]:
    """The groups, each with its signals added."""
    return Lazy(len(groups), lambda place: groups[place].with_signals(**signals[place]))
