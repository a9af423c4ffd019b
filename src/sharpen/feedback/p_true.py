"""The model's own probability that an answer is right, read from the probabilities of two letters."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

from sharpen.feedback.reading import VerdictFrom, verdicts_on
from sharpen.feedback.scored import scored
from sharpen.parts import part
from sharpen.protocols import Round
from sharpen.sample.templates import filled
from sharpen.sequences import flattened
from sharpen.types import Group, Prompt, user

__all__ = ["QUESTION", "asked_both_ways", "between", "p_true", "vote_of_both"]

QUESTION = (
    "Question: {question}\nProposed answer: {answer}\nIs the proposed answer:\n(A) {first}\n(B) {second}\nAnswer with A or B."
)


def between(first: float, second: float) -> float:
    """The first of two options' share of their probability, from their log-probabilities (nats).

    >>> round(between(math.log(0.3), math.log(0.1)), 3)
    0.75
    """
    return 1.0 / (1.0 + math.exp(min(second - first, 700.0)))


def asked_both_ways(
    prompt: Prompt, answer: str, *, good: str, bad: str, question: str = QUESTION, letters: tuple[str, str] = ("A", "B")
) -> tuple[Prompt, Prompt]:
    """The question whether an answer is good or bad, with A for good and then with A for bad; options are the two letters.

    Args:
        prompt: what was asked.
        answer: what was said.
        good, bad: the two things that it can be.
        question: text with `{question}`, `{answer}`, `{first}` and `{second}` in it, to be answered by one of the letters.
        letters: of the first and the second thing.
    """

    def asked(first: str, second: str) -> Prompt:
        told = filled(question, first=first, second=second, question=prompt.text, answer=answer)
        return user(told, options=letters, parents=(prompt.id,))

    return asked(good, bad), asked(bad, good)


def vote_of_both(good_first: tuple[float, ...], bad_first: tuple[float, ...]) -> float:
    """1 where the likelier letter says good in both orders, -1 where it says bad in both, 0 where the orders disagree.

    v = 2 ((a + b) / 2 - 1/2) with a and b the votes for good, 0 or 1 (RAIN: Li et al. 2023, arXiv 2309.07124, the authors' code). Always
    the same letter gives 0.

    Args:
        good_first: log-probabilities of A and B where A says good.
        bad_first: those where B does.

    >>> vote_of_both((-0.1, -3.0), (-3.0, -0.1)), vote_of_both((-0.1, -3.0), (-0.1, -3.0))
    (1.0, 0.0)
    """
    votes = (good_first[0] > good_first[1]) + (bad_first[1] > bad_first[0])
    return votes - 1.0


@part(reads=("{role}",), writes=("{name}",), needs=("{verdict_from}", "chat"))
def p_true(
    *,
    role: str = "current",
    name: str = "p_true",
    question: str = QUESTION,
    options: tuple[str, str] | None = None,
    verdict_from: VerdictFrom = "options",
) -> Callable[[Sequence[Group], Round], Sequence[Group]]:
    """P(True) of every completion, the mean of both orders of the options (Kadavath et al. 2022, arXiv 2207.05221, section 3).

    A model that always says the same letter gives 0.5 to every answer.

    Args:
        role: who judges.
        name: of the score.
        question: text with `{question}` and `{answer}` in it; `{first}` and `{second}` are True and False, in both orders.
        options: how an answer is called right, and how wrong, where the question shows no letters: `("yes", "no")`. It is then asked
            once. None is A and B.
        verdict_from: `options` reads the judge's probabilities; `generate` what it writes, 1 or 0 in each order, where it abstains if
            it writes neither.
    """
    orders, answers = (2, ("A", "B")) if options is None else (1, options)

    def stage(groups: Sequence[Group], round: Round) -> Sequence[Group]:
        asked = flattened(groups, prompts_of)
        found = [
            None if one is None else between(*one) for one in verdicts_on(asked, round.policy(role), verdict_from=verdict_from)
        ]
        true_first, false_first = found[::orders], found[orders - 1 :: orders]
        pairs = zip(true_first, false_first, strict=True)
        both = [None if one is None or other is None else (one + (1.0 - other)) / 2 for one, other in pairs]
        scores = both if orders == 2 else true_first
        return scored(groups, name, scores, [len(group.completions) for group in groups])

    def prompts_of(group: Group) -> list[Prompt]:
        return [
            put
            for one in group.completions
            for put in asked_both_ways(group.prompt, one.text, good="True", bad="False", question=question, letters=answers)[
                :orders
            ]
        ]

    return stage
