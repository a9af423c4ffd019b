"""Answers, what a critic says of them, and further answers that take it up."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence

from sharpen.parts import part
from sharpen.protocols import Request, Round, Sampling
from sharpen.sample.follow_ups import replied
from sharpen.sample.templates import check_places, filled
from sharpen.sequences import Lazy, mapped
from sharpen.types import Completion, Group, user

__all__ = ["REVISE", "criticised_refinements", "feedback_on"]

_ASK = (
    "Question: {question}\n\nAnswer: {answer}\n\nSay in a few sentences what should be changed in this answer, and how, so that it becomes "
    "better. Do not write the answer again."
)
REVISE = "{feedback}\nWrite the answer again with these changes, and the new answer alone."


def feedback_on(completion: Completion) -> str | None:
    """What was said to the first answer of a completion; None where there is no further turn."""
    return next((one.text for one in completion.segments if one.source == "injected" and one.turn > 0), None)


@part(reads=("{role}", "{critic}"), needs=("generate", "chat"))
def criticised_refinements(
    num_refinements: int,
    *,
    temperature: float = 1.0,
    top_p: float = 1.0,
    ask: str = _ASK,
    revise: str = REVISE,
    max_new_tokens: int = 256,
    role: str = "current",
    critic: str = "incumbent",
) -> Callable[[Sequence[Group], Round], Sequence[Group]]:
    """Groups of one answer, each with refinements behind it: the answer, the critic's feedback as a further turn, and another answer.

    Args:
        num_refinements: at least 1; all have the same feedback.
        temperature, top_p: of the refinements, the same as of the first answer.
        ask: text with `{question}` and `{answer}` in it that asks for feedback.
        revise: text with `{feedback}` in it, which asks for another answer.
        max_new_tokens: of the feedback, which is greedy.
        role: who refines.
        critic: who gives feedback.

    Raises:
        ValueError: num_refinements is below 1, `ask` does not say `{answer}`, or `revise` `{feedback}`; or, when it runs, a group has not
            one completion.
    """
    if num_refinements < 1:
        raise ValueError(f"num_refinements is {num_refinements}; it is at least 1")
    check_places("ask", ask, "answer")
    check_places("revise", revise, "feedback")

    def stage(groups: Sequence[Group], round: Round) -> Sequence[Group]:
        requests = mapped(request, groups)
        told = round.policy(critic).generate(requests, Sampling(temperature=0.0, max_new_tokens=max_new_tokens))
        messages = mapped(lambda one: [filled(revise, feedback=one.text.strip())] * num_refinements, told)
        sampling = Sampling(temperature=temperature, top_p=top_p, max_new_tokens=round.max_new_tokens)
        made = replied(mapped(copies, groups), messages, sampling, policy=round.policy(role), seed=round.seed)

        def both(place: int) -> Group:
            first, later = groups[place].completions, made[place].completions
            return Group(prompt=groups[place].prompt, completions=(*first, *later), signals=groups[place].signals)

        return Lazy(len(groups), both)

    def request(group: Group) -> Request:
        if len(group.completions) != 1:
            raise ValueError(
                f"{len(group.completions)} answers to {group.prompt.text[:60]!r}: feedback is on 1; sample 1, and refine it more often"
            )
        told = filled(ask, question=group.prompt.text, answer=group.completions[0].text)
        return Request(prompt=user(told, parents=(group.prompt.id,)))

    def copies(group: Group) -> Group:
        [first] = group.completions
        again = tuple(dataclasses.replace(first, index=number) for number in range(1, num_refinements + 1))
        return dataclasses.replace(group, completions=again, scores={}, token_scores={})

    return stage
