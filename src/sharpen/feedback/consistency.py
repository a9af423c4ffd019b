"""Rank agreement of two scores: how far the same answers are ordered alike."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from itertools import combinations
from typing import Literal, get_args

from sharpen.feedback.scored import signalled
from sharpen.parts import part
from sharpen.protocols import Round
from sharpen.types import Group, Score

__all__ = ["consistency", "kendall_tau"]

Over = Literal["groups", "group"]


def kendall_tau(first: Sequence[Score], second: Sequence[Score]) -> Score:
    """Kendall's tau-a in [-1, 1]: the share of pairs ordered alike minus the share ordered oppositely.

    tau = (concordant - discordant) / (n (n - 1) / 2) over the n places where neither score abstained. A pair that is tied in
    either score is neither: it pulls tau towards 0, no agreement, and not towards 1. None where n < 2.

    >>> kendall_tau([1, 2, 3, 4, 5], [1, 2, 3, 5, 4])
    0.8

    Raises:
        ValueError: the two have different lengths.
    """
    known = [(a, b) for a, b in zip(first, second, strict=True) if a is not None and b is not None]
    if len(known) < 2:
        return None
    signs = [_order(a, c) * _order(b, d) for (a, b), (c, d) in combinations(known, 2)]
    return sum(signs) / len(signs)


@part(writes=("{name}",))
def consistency(
    now: str, before: str, *, name: str = "consistency", over: Over = "groups"
) -> Callable[[Sequence[Group], Round], Sequence[Group]]:
    """Each group with the signal C in [0, 1]: how far two scores rank its completions alike; 0.5 is no agreement.

    C = (tau + 1) / 2 with Kendall's tau over the completions that have both scores: the soft label of CREAM (Wang et al. 2024,
    arXiv 2410.12735). It can fall below 0.5; a loss with that label favours the rejected side. A group with fewer
    than two such completions has no tau and does not enter a mean.

    Args:
        now, before: names of the two scores, such as one implicit reward under each of two policies.
        name: what the signal is called.
        over: `groups` gives every group the mean of C over all of them, CREAM's default; `group` gives each its own, and None
            where it has none.

    Raises:
        ValueError: `over` is unknown; or, when it runs, no stage has written one of the scores.
    """
    if over not in get_args(Over):
        raise ValueError(f"consistency(over={over!r}) is unknown; over is one of {', '.join(get_args(Over))}")

    def stage(groups: Sequence[Group], round: Round) -> Sequence[Group]:
        taus = [kendall_tau(group.score(now), group.score(before)) for group in groups]
        found = [None if tau is None else (tau + 1) / 2 for tau in taus]
        if over == "groups":
            known = [value for value in found if value is not None]
            found = [math.fsum(known) / len(known) if known else None] * len(found)
        return signalled(groups, [{name: value} for value in found])

    return stage


def _order(one: float, other: float) -> int:
    return (one > other) - (one < other)
