"""Two answers judged beside the judge's own: it answers first, criticises both by its answer, and then says which is better."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence

from sharpen.conversation import turns
from sharpen.feedback.p_true import between
from sharpen.feedback.scored import scored
from sharpen.parts import part
from sharpen.protocols import Request, Round, Sampling
from sharpen.sample.templates import filled
from sharpen.types import Completion, Group, Prompt, Score

__all__ = ["PRINCIPLE", "self_referenced", "share_of_votes"]

PRINCIPLE = "what is best for humanity"
_CRITICISE = (
    "Here are two other answers to the same.\n(A) {first}\n(B) {second}\nWith your own answer in mind, and by {principle}, what is good "
    "and what is wrong in each of them?"
)
_CHOOSE = "Then which of the two is better by {principle}? Say A or B."
_LETTERS = ("A", "B")


def share_of_votes(said_a: Sequence[bool]) -> Score:
    """The first answer's share of the votes: A says the first, and in every second vote, where they are turned round, B does.

    None for a tie: a judge that always says the same letter prefers nothing.

    >>> share_of_votes([True, False, True, True])
    0.75
    >>> share_of_votes([True, True])
    """
    for_first = [said == (place % 2 == 0) for place, said in enumerate(said_a)]
    share = sum(for_first) / len(for_first)
    return None if share == 0.5 else share


@part(reads=("{role}",), writes=("{name}",), needs=("generate", "options", "chat"))
def self_referenced(
    num_votes: int = 2,
    *,
    principle: str = PRINCIPLE,
    temperature: float = 0.1,
    top_p: float = 0.9,
    max_new_tokens: int = 256,
    role: str = "incumbent",
    name: str = "reward",
) -> Callable[[Sequence[Group], Round], Sequence[Group]]:
    """Groups of two, each completion with its share of the judge's votes; both abstain at a tie (Bao et al. 2024, arXiv 2406.11190).

    For each vote the judge answers the prompt itself, is shown both answers behind its own, criticises them, and says which is better.
    Every second vote shows them turned round. The letter is drawn by its probability at the judge's temperature.

    Args:
        num_votes: an even number, at least 2.
        principle: what is judged by, in a few words.
        temperature, top_p: of the judge's answers and criticism, the temperature above 0.
        max_new_tokens: of a criticism; its answer has the task's limit.
        role: who judges.
        name: of the score.

    Raises:
        ValueError: num_votes is odd or below 2, or the temperature is 0; or, when it runs, a group has not two completions.
    """
    if num_votes < 2 or num_votes % 2:
        raise ValueError(f"num_votes is {num_votes}; it is even, so that either answer is as often shown first")
    if not temperature > 0:
        raise ValueError(f"temperature is {temperature}; it is above 0, 0.1 for votes that hardly differ")

    def stage(groups: Sequence[Group], round: Round) -> Sequence[Group]:
        judge = round.policy(role)

        def said(prompts: Sequence[Prompt], tokens: int) -> Sequence[Completion]:
            sampling = Sampling(temperature=temperature, top_p=top_p, max_new_tokens=tokens)
            requests = [
                Request(prompt=prompt, index=place % num_votes, seed=round.seed) for place, prompt in enumerate(prompts)
            ]
            return judge.generate(requests, sampling)

        shown = [_both(group, turned=bool(vote % 2)) for group in groups for vote in range(num_votes)]
        prompts = [group.prompt for group in groups for _ in range(num_votes)]
        told = [filled(_CRITICISE, principle=principle, first=first, second=second) for first, second in shown]
        asked = [
            _went_on(prompt, own.text, message)
            for prompt, own, message in zip(prompts, said(prompts, round.max_new_tokens), told, strict=True)
        ]
        choose = filled(_CHOOSE, principle=principle)
        questions = [
            dataclasses.replace(_went_on(prompt, critique.text, choose), options=_LETTERS)
            for prompt, critique in zip(asked, said(asked, max_new_tokens), strict=True)
        ]
        drawn = (round.rng("votes", group.prompt.id, vote).random() for group in groups for vote in range(num_votes))
        votes = [
            number < between(a / temperature, b / temperature)
            for number, (a, b) in zip(drawn, judge.options(questions), strict=True)
        ]
        shares = [share_of_votes(votes[at : at + num_votes]) for at in range(0, len(votes), num_votes)]
        scores = [score for one in shares for score in ((None, None) if one is None else (one, 1 - one))]
        return scored(groups, name, scores, [2] * len(groups))

    return stage


def _both(group: Group, *, turned: bool) -> tuple[str, str]:
    if len(group.completions) != 2:
        raise ValueError(f"{len(group.completions)} answers to {group.prompt.text[:60]!r}: the judge compares 2; sample 2")
    first, second = (one.text for one in group.completions)
    return (second, first) if turned else (first, second)


def _went_on(prompt: Prompt, answer: str, message: str) -> Prompt:
    """The conversation with the judge's answer behind it, and what it is asked next."""
    return Prompt(messages=(*prompt.messages, *turns((answer, message))), parents=(prompt.id,))
