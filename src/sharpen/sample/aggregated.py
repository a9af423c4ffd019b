"""All answers to a prompt shown to the policy at once, and what it says then."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence

from sharpen.conversation import with_text
from sharpen.parts import part
from sharpen.protocols import Request, Round, Sampling
from sharpen.sample.templates import check_places, filled
from sharpen.sequences import Lazy
from sharpen.types import Group, Prompt

__all__ = ["aggregated", "shown_together"]


def shown_together(group: Group, ask: str, each: str) -> Prompt:
    r"""The question and all answers of a group in its last message, in the order of the group; what stands before that stays.

    Args:
        group: a prompt and its answers.
        ask: text with `{question}` and `{answers}` in it.
        each: text with `{number}` and `{answer}` in it, for one answer; they are parted by empty lines.

    >>> from sharpen.types import Completion, user
    >>> said = [Completion(segments=(), text=text, finish="given", prompt_id="p", index=n) for n, text in enumerate("45")]
    >>> group = Group(prompt=user("2 + 2?"), completions=tuple(said))
    >>> shown_together(group, "{question} You said: {answers}", "({number}) {answer}").text
    '2 + 2? You said: (1) 4\n\n(2) 5'
    """
    answers = [filled(each, number=str(number), answer=one.text) for number, one in enumerate(group.completions, 1)]
    told = filled(ask, question=group.prompt.text, answers="\n\n".join(answers))
    return dataclasses.replace(with_text(group.prompt, told), next="assistant")


@part(reads=("{role}",), needs=("generate", "chat"))
def aggregated(
    ask: str, *, each: str = "Answer {number}:\n{answer}", temperature: float = 0.0, role: str = "current"
) -> Callable[[Sequence[Group], Round], Sequence[Group]]:
    """Each group reduced to one new completion: what the policy says when it is shown the question and all answers to it.

    The scores of the group are dropped, for they are of the answers shown; its signals stay.

    Args:
        ask: text with `{question}` and `{answers}` in it.
        each: text with `{number}` (from 1) and `{answer}` in it, for one answer.
        temperature: of sampling.
        role: who is asked.

    Raises:
        ValueError: a text lacks its places; or, when it runs, a group has no completions.
    """
    check_places("ask", ask, "question", "answers")
    check_places("each", each, "answer")

    def stage(groups: Sequence[Group], round: Round) -> Sequence[Group]:
        requests = Lazy(len(groups), lambda place: Request(prompt=_asked(groups[place]), seed=round.seed))
        made = round.policy(role).generate(requests, Sampling(temperature=temperature, max_new_tokens=round.max_new_tokens))
        return Lazy(
            len(groups),
            lambda place: dataclasses.replace(groups[place], completions=(made[place],), scores={}, token_scores={}),
        )

    def _asked(group: Group) -> Prompt:
        if not group.completions:
            raise ValueError(
                f"prompt {group.prompt.tags.get('id', group.prompt.id)!r} has no answers to show; sample at least one"
            )
        return shown_together(group, ask, each)

    return stage
