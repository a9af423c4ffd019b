"""Further turns in which a policy criticises its answer and writes it again, until it finds nothing more."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence

from sharpen.parts import part
from sharpen.protocols import Round, Sampling
from sharpen.sample.follow_ups import replied
from sharpen.types import Completion, Group

__all__ = ["self_refined"]

_CRITICISE = (
    "Check your answer. Say point by point what is wrong with it and what should be changed. If nothing should be changed, write only: "
    "It is correct."
)
_REVISE = "Answer again with these changes made. Write the new answer alone."


@part(reads=("{role}",), needs=("generate", "continue", "chat"))
def self_refined(
    num_revisions: int = 4,
    *,
    temperature: float = 0.7,
    role: str = "current",
    criticise: str = _CRITICISE,
    revise: str = _REVISE,
    enough: str = "it is correct",
    max_new_tokens: int = 256,
) -> Callable[[Sequence[Group], Round], Sequence[Group]]:
    """Every completion after up to `num_revisions` rounds of criticism and revision (Self-Refine: Madaan et al. 2023, arXiv 2303.17651).

    A further turn asks for criticism. Where the policy's reply holds the words `enough` the answer stands; elsewhere another turn asks for
    a new answer. All earlier answers and criticism stay in the conversation. A completion keeps the tokens of all its turns; its text is
    the last answer alone. The signal `revisions` counts the new answers of a group.

    Args:
        num_revisions: new answers at most.
        temperature: of sampling; the same as of the turns before.
        role: who answered, criticises, and answers again.
        criticise: what is said to an answer.
        revise: what is said to criticism.
        enough: words of criticism that end the loop, whatever their case.
        max_new_tokens: of one criticism.

    Raises:
        ValueError: num_revisions is below 1, or `enough` is empty.
    """
    if num_revisions < 1 or not enough:
        raise ValueError(f"num_revisions {num_revisions} is at least 1, and enough {enough!r} is some words")

    def stage(groups: Sequence[Group], round: Round) -> Sequence[Group]:
        policy = round.policy(role)
        thinking = Sampling(temperature=temperature, max_new_tokens=max_new_tokens)
        writing = Sampling(temperature=temperature, max_new_tokens=round.max_new_tokens)
        now = list(groups)
        going = [[True] * len(group.completions) for group in now]
        revisions = [0] * len(now)
        for _ in range(num_revisions):
            told = list(replied(now, _said(criticise, going), thinking, policy=policy, seed=round.seed))
            now = _read(told, going, back=1)
            going = [
                [
                    open_ and enough.lower() not in _spoken(one).lower()
                    for one, open_ in zip(group.completions, here, strict=True)
                ]
                for group, here in zip(told, going, strict=True)
            ]
            if not any(map(any, going)):
                break
            now = _read(replied(now, _said(revise, going), writing, policy=policy, seed=round.seed), going, back=0)
            revisions = [count + sum(here) for count, here in zip(revisions, going, strict=True)]
        return [group.with_signals(revisions=float(count)) for group, count in zip(now, revisions, strict=True)]

    return stage


Going = Sequence[Sequence[bool]]
"""Of each group, which of its completions are still gone on with."""


def _said(message: str, going: Going) -> list[list[str | None]]:
    return [[message if open_ else None for open_ in here] for here in going]


def _read(groups: Sequence[Group], going: Going, *, back: int) -> list[Group]:
    """The groups with the text of the turn `back` before the last in place of all turns', where a completion has just gone on."""

    def read(one: Completion, open_: bool) -> Completion:
        return one.in_turn(one.turns[-1] - back) if open_ else one

    return [
        dataclasses.replace(group, completions=tuple(map(read, group.completions, here)))
        for group, here in zip(groups, going, strict=True)
    ]


def _spoken(completion: Completion) -> str:
    return completion.in_turn(completion.turns[-1]).text
