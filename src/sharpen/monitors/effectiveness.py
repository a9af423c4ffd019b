"""What a reward is worth: whether it ranks right answers above wrong ones to the same prompt."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from statistics import fmean

from sharpen.types import Group

__all__ = ["reward_effectiveness"]


def reward_effectiveness(groups: Sequence[Group], *, reward: str, truth: str) -> Mapping[str, float]:
    """How well one score predicts another that is known to be true (0 wrong, 1 right), within groups.

    `reward_auroc`: the chance that a right answer outscores a wrong one to the same prompt (a tie is half), mean over groups
    that hold both; between groups it would mostly measure difficulty. `reward_best_of_n`: accuracy of the highest-scored
    answer, ties shared. `reward_accuracy`: share of answers where reward and truth agree (at 0.5), only for rewards in [0, 1].
    `reward_gap`: mean reward of right answers less that of wrong ones, below 0 where the reward is hacked. Completions on
    which either abstains are left out; a figure without data is left out.

    Raises:
        ValueError: a group lacks one of the scores.
    """
    rows = [
        [(r, t >= 0.5) for r, t in zip(group.score(reward), group.score(truth), strict=True) if r is not None and t is not None]
        for group in groups
    ]
    rows = [row for row in rows if row]
    found: dict[str, float] = {}
    if not rows:
        return found
    best = []
    ranked = []
    for row in rows:
        top = max(score for score, _ in row)
        best.append(fmean(right for score, right in row if score == top))
        right_scores, wrong_scores = ([score for score, right in row if right is wanted] for wanted in (True, False))
        if right_scores and wrong_scores:
            ranked.append(fmean((a > b) + 0.5 * (a == b) for a in right_scores for b in wrong_scores))
    everything = [pair for row in rows for pair in row]
    found["reward_best_of_n"] = fmean(best)
    if ranked:
        found["reward_auroc"] = fmean(ranked)
    if all(0.0 <= score <= 1.0 for score, _ in everything):
        found["reward_accuracy"] = fmean((score >= 0.5) == right for score, right in everything)
    sides = [[score for score, right in everything if right is wanted] for wanted in (True, False)]
    if all(sides):
        found["reward_gap"] = fmean(sides[0]) - fmean(sides[1])
    return found
