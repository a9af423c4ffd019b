"""From a group to the one completion that answers."""

from __future__ import annotations

import dataclasses
import functools
import math
from collections.abc import Callable, Hashable, Mapping, Sequence
from typing import NamedTuple

from sharpen.feedback.votes import ballots, mean_logprob, vote
from sharpen.parts import part
from sharpen.protocols import Round, Verifier
from sharpen.select.answers import Reader
from sharpen.sequences import Lazy
from sharpen.types import Completion, Group, Score

__all__ = ["best", "majority"]


@part(writes=("vote_share", "vote_margin"))
def majority(
    key: Callable[[Completion], Hashable | None], *, weights: str | None = None, verifier: Verifier | None = None
) -> Callable[[Sequence[Group], Round], Sequence[Group]]:
    """Each group reduced to one completion that gives the most common answer (self-consistency, Wang et al. 2022, 2203.11171).

    Of the completions that give it, the one of the highest mean log-probability stays, then of the lowest sample index; where
    no completion has an answer, that of all. The signals `vote_share` and `vote_margin` are added, None where nobody voted.

    Args:
        key: reads the answer of a completion; None where it has none, which is no vote.
        weights: name of the score that a vote counts for; None counts each for 1. An abstained one does not vote.
        verifier: one that says what it reads as the answer (`Reader`) is asked instead of `key`; its verdicts are not.

    Raises:
        ValueError: when it runs, a group has no completions, a weight is negative, or no stage has written that score.
    """

    def choice(group: Group) -> _Choice:
        if not isinstance(verifier, Reader):
            return _majority(group, key, weights)
        return _majority(group, functools.partial(verifier.answer, group.prompt), weights)

    def stage(groups: Sequence[Group], round: Round) -> Sequence[Group]:
        return _reduced(groups, [choice(group) for group in groups])

    return stage


@part()
def best(by: str = "reward") -> Callable[[Sequence[Group], Round], Sequence[Group]]:
    """Each group reduced to its best-scored completion (best-of-n); of equals the likeliest, then of the lowest sample index.

    An abstained completion comes after every scored one.

    Args:
        by: the score that ranks.

    Raises:
        ValueError: when it runs, a group has no completions, or no stage has written that score.
    """

    def stage(groups: Sequence[Group], round: Round) -> Sequence[Group]:
        return _reduced(groups, [_best(group, by) for group in groups])

    return stage


class _Choice(NamedTuple):
    """The completion that a group is reduced to, by its place, and the signals that the group gets."""

    place: int
    signals: Mapping[str, Score]


def _majority(group: Group, key: Callable[[Completion], Hashable | None], weights: str | None) -> _Choice:
    cast = ballots(group, key, weights)
    result = vote(cast)
    places = [
        place for place, ballot in enumerate(cast) if result is None or (ballot.answer == result.winner and ballot.weight)
    ]
    share, margin = (None, None) if result is None else (result.share, result.margin)
    return _Choice(_likeliest(group, places), {"vote_share": share, "vote_margin": margin})


def _best(group: Group, by: str) -> _Choice:
    scores = group.score(by)
    top = max((score for score in scores if score is not None), default=None)
    return _Choice(_likeliest(group, [place for place, score in enumerate(scores) if score == top]), {})


def _likeliest(group: Group, places: Sequence[int]) -> int:
    if not places:
        raise ValueError(
            f"prompt {group.prompt.tags.get('id', group.prompt.id)!r} has no completions to choose from; sample at least one"
        )

    def rank(place: int) -> tuple[float, int, str]:
        completion = group.completions[place]
        confidence = mean_logprob(completion)
        return (math.inf if confidence is None else -confidence, completion.index, completion.id)

    return min(places, key=rank)


def _reduced(groups: Sequence[Group], choices: Sequence[_Choice]) -> Sequence[Group]:
    def group_of(number: int) -> Group:
        group, (place, signals) = groups[number], choices[number]
        return dataclasses.replace(
            group,
            completions=(group.completions[place],),
            scores={name: (column[place],) for name, column in group.scores.items()},
            token_scores={name: (column[place],) for name, column in group.token_scores.items()},
            signals={**group.signals, **signals},
        )

    return Lazy(len(groups), group_of)
