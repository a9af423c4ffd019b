"""Prompts that a model can do and has not mastered, with their targets, and its own answers to be bettered."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence

from sharpen.examples import Demonstration, Row
from sharpen.parts import part
from sharpen.protocols import Round
from sharpen.sample.demonstrated import given_answer
from sharpen.sequences import flattened
from sharpen.types import Completion, Group

__all__ = ["reachable", "targets_and_refinements"]


@part()
def reachable(
    low: float = 0.0, high: float = 1.0, *, by: str = "reward", min_score: float = 1.0
) -> Callable[[Sequence[Group], Round], Sequence[Group]]:
    """The groups of which more than `low` and less than `high` of the completions are right, of those that are known.

    Args:
        low, high: shares in [0, 1]; at 0 and 1 what is never and what is always right is left out.
        by: the score that says which are right.
        min_score: the least that is right.

    Raises:
        ValueError: the shares are no window in [0, 1]; or, when it runs, no stage has written that score.
    """
    if not 0 <= low < high <= 1:
        raise ValueError(f"shares from {low} to {high} are no window; give two numbers in [0, 1], the lower one first")

    def fits(group: Group) -> bool:
        known = [score >= min_score for score in group.score(by) if score is not None]
        return bool(known) and low < sum(known) / len(known) < high

    return lambda groups, round: [group for group in groups if fits(group)]


@part(reads=("{role}",), needs=("continue",))
def targets_and_refinements(
    message: str, *, by: str = "reward", min_score: float = 1.0, role: str = "current"
) -> Callable[[Sequence[Group], Round], Sequence[Demonstration]]:
    """For each group the target as an answer, and one of its completions, drawn at random, refined: two demonstrations.

    A refinement is a further turn after the completion, of which the target alone is trained. After a completion that is right it is that
    completion's own text again: so the model learns when to stop (ToolACE-R: Zeng et al. 2025, arXiv 2504.01400). A prompt without a
    target gives nothing, and a completion whose score abstained is not refined.

    Args:
        message: what the user says to an answer.
        by: the score that says which are right.
        min_score: the least that is right.
        role: whose tokenizer writes the turns.
    """

    def stage(groups: Sequence[Group], round: Round) -> Sequence[Demonstration]:
        policy = round.policy(role)

        def refined(group: Group, own: Completion, better: str) -> Demonstration:
            whole = policy.appended(policy.follow_up(group.prompt, own, message), better)
            context = [dataclasses.replace(segment, weight=0.0) for segment in whole.segments[:-1]]
            longer = dataclasses.replace(whole, segments=(*context, whole.segments[-1]))
            return Demonstration(row=Row(prompt=group.prompt, completion=longer))

        def examples(group: Group) -> list[Demonstration]:
            target = group.prompt.target
            if target is None:
                return []
            pairs = zip(group.completions, group.score(by), strict=True)
            known = [(one, one.text if score >= min_score else target) for one, score in pairs if score is not None]
            found = [given_answer(group.prompt, target)]
            if known:
                own, better = known[int(round.rng("refined", group.prompt.id).integers(len(known)))]
                found.append(refined(group, own, better))
            return found

        return flattened(groups, examples)

    return stage
