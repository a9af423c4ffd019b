"""Votes: which answer most completions give, by how much, and that as a reward."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from sharpen.feedback.scored import scored, signalled
from sharpen.parts import part
from sharpen.protocols import Round
from sharpen.types import Completion, Group, Score

__all__ = ["Ballot", "Vote", "ballots", "mean_logprob", "vote", "votes"]


@dataclass(frozen=True, kw_only=True)
class Ballot:
    """One completion's vote.

    Attributes:
        answer: what it votes for, or None where it has no answer.
        weight: what it counts for, at least 0; None does not vote.
        confidence: mean log-probability (nats a token), or None where it is unknown; it breaks ties.
        index: the completion's sample index; it breaks what ties remain.
    """

    answer: Hashable | None
    weight: float | None = 1.0
    confidence: float | None = None
    index: int = 0


@dataclass(frozen=True, kw_only=True)
class Vote:
    """An election's result.

    Attributes:
        winner: the answer of the most weight.
        share: its share of all weight cast for an answer, in (0, 1].
        margin: its lead on the runner-up as a share of that weight, in [0, 1]; 0 is a tie.
    """

    winner: Hashable
    share: float
    margin: float


def vote(ballots: Sequence[Ballot]) -> Vote | None:
    """The answer of the most weight, or None where no weight was cast for any.

    Of tied answers the one whose voters are likelier wins (the highest mean of their confidences; unknown comes last), then
    the one with the lowest index among its voters: the order of the ballots never matters.

    >>> vote([Ballot(answer=a) for a in "7773"])
    Vote(winner='7', share=0.75, margin=0.5)

    Raises:
        ValueError: a weight is negative or not finite.
    """
    voters: dict[Hashable, list[tuple[Ballot, float]]] = defaultdict(list)
    for ballot in ballots:
        if ballot.weight is None:
            continue
        if not (math.isfinite(ballot.weight) and ballot.weight >= 0):
            raise ValueError(
                f"ballot {ballot.index} has weight {ballot.weight}; a vote counts for a finite number of at least 0"
            )
        if ballot.answer is not None and ballot.weight > 0:
            voters[ballot.answer].append((ballot, ballot.weight))
    if not voters:
        return None
    weights = {answer: math.fsum(weight for _, weight in cast) for answer, cast in voters.items()}
    winner = min(voters, key=lambda answer: (-weights[answer], *_rank([ballot for ballot, _ in voters[answer]]), repr(answer)))
    total = math.fsum(weights.values())
    runner_up = max((weight for answer, weight in weights.items() if answer != winner), default=0.0)
    return Vote(winner=winner, share=weights[winner] / total, margin=(weights[winner] - runner_up) / total)


def mean_logprob(completion: Completion) -> float | None:
    """Mean log-probability (nats) of the tokens that the policy sampled, or None where there are none or one is unknown."""
    segments = [segment for segment in completion.segments if segment.source == "policy"]
    known = [segment.logprobs for segment in segments if segment.logprobs is not None]
    values = [value for logprobs in known for value in logprobs]
    return math.fsum(values) / len(values) if values and len(known) == len(segments) else None


def ballots(group: Group, key: Callable[[Completion], Hashable | None], weights: str | None = None) -> tuple[Ballot, ...]:
    """One ballot for each completion of a group.

    Args:
        group: the completions.
        key: reads a completion's answer; None where it has none.
        weights: name of the score that a vote counts for; None counts each for 1.

    Raises:
        ValueError: no stage has written that score.
    """
    columns = group.score(weights) if weights is not None else (1.0,) * len(group.completions)
    return tuple(
        Ballot(answer=key(completion), weight=weight, confidence=mean_logprob(completion), index=completion.index)
        for completion, weight in zip(group.completions, columns, strict=True)
    )


@part(writes=("{name}", "{name}_share", "{name}_margin"))
def votes(
    key: Callable[[Completion], Hashable | None], *, weights: str | None = None, name: str = "reward"
) -> Callable[[Sequence[Group], Round], Sequence[Group]]:
    """Each completion scored by whether it gives its group's most common answer: 1 or 0, None where it has no answer.

    The signals `{name}_share` and `{name}_margin` say how common that answer is. As a reward without labels: TTRL (Zuo et al.
    2025, arXiv 2504.16084).

    Args:
        key: reads the answer of a completion; None where it has none, which is no vote.
        weights: name of the score that a vote counts for; None counts each for 1. An abstained one does not vote.
        name: what the score is called.

    Raises:
        ValueError: when it runs, a weight is negative or not finite, or no stage has written that score.
    """

    def stage(groups: Sequence[Group], round: Round) -> Sequence[Group]:
        found = [_voted(ballots(group, key, weights), name) for group in groups]
        scores = [score for one in found for score in one.scores]
        return signalled(scored(groups, name, scores, [len(one.scores) for one in found]), [one.signals for one in found])

    return stage


class _Voted(NamedTuple):
    """What a group's election adds to it."""

    scores: list[Score]
    signals: dict[str, Score]


def _voted(cast: tuple[Ballot, ...], name: str) -> _Voted:
    result = vote(cast)
    scores: list[Score] = [
        None if result is None or ballot.answer is None else float(ballot.answer == result.winner) for ballot in cast
    ]
    signals: dict[str, Score] = {
        f"{name}_share": result.share if result else None,
        f"{name}_margin": result.margin if result else None,
    }
    return _Voted(scores, signals)


def _rank(cast: Sequence[Ballot]) -> tuple[float, int]:
    known = [ballot.confidence for ballot in cast if ballot.confidence is not None]
    return (-math.fsum(known) / len(known) if known else math.inf, min(ballot.index for ballot in cast))
