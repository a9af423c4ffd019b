"""How far an answer takes up what was said of the one before it, by a judge asked in several wordings."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

from sharpen.feedback.p_true import between
from sharpen.feedback.scored import scored
from sharpen.parts import part
from sharpen.protocols import Round
from sharpen.sample.criticised import feedback_on
from sharpen.sample.templates import check_places, filled
from sharpen.sequences import flattened
from sharpen.types import Group, Prompt, user

__all__ = ["WORDINGS", "incorporation"]

_SHOWN = "Question: {question}\n\nFirst answer: {first}\n\nFeedback on it: {feedback}\n\nNew answer: {answer}\n\n"
WORDINGS = tuple(
    f"{_SHOWN}{one} Answer Yes or No."
    for one in (
        "Does the new answer take up the feedback?",
        "Are the changes that the feedback asks for made in the new answer?",
        "Is the new answer better than the first in what the feedback is about?",
        "Would the one who gave the feedback be content with the new answer?",
        "Has everything that the feedback finds wrong been put right in the new answer?",
    )
)


@part(reads=("{role}",), writes=("{name}",), needs=("options", "chat"))
def incorporation(
    *, role: str = "incumbent", name: str = "reward", wordings: tuple[str, ...] = WORDINGS
) -> Callable[[Sequence[Group], Round], Sequence[Group]]:
    """The mean share of Yes over several questions whether a completion's last answer takes up the feedback on the group's first.

    The first answer, which has no further turn, is asked about as if it were the new one: what a refinement must be above. All
    completions of a group without any feedback abstain.

    Args:
        role: who judges.
        name: of the score.
        wordings: texts with `{question}`, `{first}`, `{feedback}` and `{answer}` in them, to be answered by Yes or No.

    Raises:
        ValueError: there are no wordings, or one has no place for the feedback or the answer.
    """
    if not wordings:
        raise ValueError("there are no wordings of the question; give at least one")
    for wording in wordings:
        check_places("a wording", wording, "feedback", "answer")

    def stage(groups: Sequence[Group], round: Round) -> Sequence[Group]:
        asked = flattened(groups, prompts_of)
        shares = iter([between(yes, no) for yes, no in round.policy(role).options(asked)] if asked else ())
        scores = [
            math.fsum(next(shares) for _ in wordings) / len(wordings) if told else None
            for group in groups
            for told in [_feedback(group)] * len(group.completions)
        ]
        return scored(groups, name, scores, [len(group.completions) for group in groups])

    def prompts_of(group: Group) -> list[Prompt]:
        feedback = _feedback(group)
        return [
            _question(group, feedback, place, one) for place in range(len(group.completions)) for one in wordings if feedback
        ]

    return stage


def _feedback(group: Group) -> str | None:
    return next((said for one in group.completions if (said := feedback_on(one)) is not None), None)


def _question(group: Group, feedback: str, place: int, wording: str) -> Prompt:
    one = group.completions[place]
    first, answer = one.in_turn(0).text, one.in_turn(one.turns[-1]).text
    told = filled(wording, question=group.prompt.text, feedback=feedback, first=first, answer=answer)
    return user(told, options=("Yes", "No"), parents=(group.prompt.id,))
