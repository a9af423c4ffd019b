"""From rewards and costs of single tokens to rollouts: what is still to come from each token on."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Sequence

from sharpen.examples import Rollout, Row
from sharpen.parts import part
from sharpen.protocols import Round
from sharpen.select.advantages import advantages
from sharpen.sequences import flattened
from sharpen.types import Group, Score

__all__ = ["returns_to_go"]


@part()
def returns_to_go(
    by: str = "reward", *, cost: str = "departure", beta: float
) -> Callable[[Sequence[Group], Round], Sequence[Rollout]]:
    """Every completion that has a score, as a rollout whose tokens carry what followed them, less what the siblings got.

    With the reward r_i of a completion and the cost c_it of its token t, the return from token t on is r_i - beta sum_{s >= t} c_is: a
    penalty in the reward reaches the tokens before it alone, and the reward, which comes at the end, reaches all. From it is taken the
    mean whole return of the group's other completions; one without others has advantage 0. That is proximal policy optimisation's
    advantage at lambda = gamma = 1 with this baseline in place of a learned value.

    Args:
        by: the score that is the reward; an abstained completion is in no baseline and becomes no rollout.
        cost: name of the token scores.
        beta: what a unit of cost takes from the reward, at least 0.

    Raises:
        ValueError: `beta` is negative or not finite; or, when it runs, no stage has written the score or the token scores.
    """
    if not (math.isfinite(beta) and beta >= 0):
        raise ValueError(f"beta is {beta}; it is at least 0 (0 makes costs free)")

    def stage(groups: Sequence[Group], round: Round) -> Sequence[Rollout]:
        return flattened(groups, rollouts_of)

    def rollouts_of(group: Group) -> list[Rollout]:
        if cost not in group.token_scores:
            raise ValueError(
                f"no token scores {cost!r} on prompt {group.prompt.tags.get('id', group.prompt.id)!r}; add a part that writes them"
            )
        costs = [column or () for column in group.token_scores[cost]]
        rewards = group.score(by)
        whole: list[Score] = [
            None if reward is None else reward - beta * math.fsum(some) for reward, some in zip(rewards, costs, strict=True)
        ]
        lead = advantages(whole, baseline="leave-one-out", scale="none")
        price = beta if sum(reward is not None for reward in rewards) > 1 else 0.0
        found = []
        for completion, reward, ahead, some in zip(group.completions, rewards, lead, costs, strict=True):
            if reward is None or ahead is None:
                continue
            spent = [0.0, *itertools.accumulate(some)]
            row = Row(
                prompt=group.prompt, completion=completion, advantages=tuple(ahead + price * before for before in spent[:-1])
            )
            found.append(Rollout(row=row, reward=reward, group=group.prompt.id))
        return found

    return stage
