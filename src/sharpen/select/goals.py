"""Preferences under a goal: what is better depends on the score that was asked for."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from sharpen.examples import Preference, Row
from sharpen.parts import part
from sharpen.protocols import Round
from sharpen.sample.framed import Marked
from sharpen.sample.templates import check_places, filled
from sharpen.select.preferences import best_and_worst
from sharpen.sequences import flattened
from sharpen.types import Completion, Group

__all__ = ["both_goals", "goal"]


def goal(line: str, score: float, scale: float) -> Marked:
    """How an answer of that score, in [0, 1], is asked for: the score is told times `scale`, to one decimal.

    >>> goal("Target score: {score} of 10.", 0.72, 10).line, goal("{score}", 1.0, 10).line
    ('Target score: 7.2 of 10.', '10')
    """
    return Marked(line=filled(line, score=f"{round(score * scale, 1):g}"))


@part()
def both_goals(
    line: str, *, by: str = "reward", scale: float = 10.0
) -> Callable[[Sequence[Group], Round], Sequence[Preference]]:
    """Two preferences for each group: its best over its worst under the best's score as the goal, and the reverse under the worst's.

    Zhang et al. 2024, arXiv 2410.08067. A group gives nothing where both scores are told alike, as its two preferences would cancel, or
    where both answers have the same text. Abstained completions are on neither side.

    Args:
        line: how a score is asked for, with `{score}` in it.
        by: the score.
        scale: what a score of 1 is told as.

    Raises:
        ValueError: the line does not say `{score}`; or, when it runs, no stage has written that score.
    """
    check_places("line", line, "score")

    def stage(groups: Sequence[Group], round: Round) -> Sequence[Preference]:
        return flattened(groups, preferences)

    def preferences(group: Group) -> list[Preference]:
        sides = best_and_worst(group, by)
        if sides is None:
            return []
        (high, best), (low, worst) = sides
        asked_high, asked_low = goal(line, high, scale), goal(line, low, scale)
        if asked_high == asked_low or best.text == worst.text:
            return []
        return [preference(group, asked_high, best, worst), preference(group, asked_low, worst, best)]

    def preference(group: Group, asked: Marked, chosen: Completion, rejected: Completion) -> Preference:
        prompt = asked(group.prompt)
        return Preference(chosen=Row(prompt=prompt, completion=chosen), rejected=Row(prompt=prompt, completion=rejected))

    return stage
