"""How strongly a judge prefers each answer to one fixed baseline: n answers are compared by n judgements, not by one of every pair."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from sharpen.feedback.scored import scored
from sharpen.parts import part
from sharpen.protocols import Request, Round, Sampling
from sharpen.sample.templates import filled
from sharpen.sequences import Lazy, flattened
from sharpen.types import Group, Prompt, user

__all__ = ["BETTER", "lead", "strength"]

BETTER = "Question: {question}\n(a) {first}\n(b) {second}\nWhich answer is better? Say a or b."
_OPTIONS = ("a", "b")


def lead(first: tuple[float, ...], turned: tuple[float, ...]) -> float:
    """Log-odds (nats) that an answer is better than another, the mean of both orders, in which a liking for one letter cancels.

    Args:
        first: log-probabilities of the two letters where the first one says the answer.
        turned: those where the second one does.

    >>> lead((-0.5, -1.5), (-0.5, -1.5)), lead((-0.5, -2.5), (-0.5, -0.5))
    (0.0, 1.0)
    """
    return ((first[0] - first[1]) + (turned[1] - turned[0])) / 2


@part(reads=("{role}", "{baseline}"), writes=("{name}",), needs=("generate", "options", "chat"))
def strength(
    *, role: str = "current", baseline: str = "base", name: str = "strength", ask: str = BETTER
) -> Callable[[Sequence[Group], Round], Sequence[Group]]:
    """The log-odds (nats) by which a judge prefers each answer to the baseline, which is one greedy answer to the same prompt.

    An answer that says the same as the baseline has 0. Where preferences are Bradley and Terry's, the difference of two strengths is the
    log-odds of one answer over the other, so that no two answers need to be compared (Zhai et al. 2024, arXiv 2405.14103).

    Args:
        role: who judges.
        baseline: who gives the answer that all are compared with.
        name: of the score.
        ask: text with `{question}`, `{first}` and `{second}` in it, to be answered by a or b; it is asked in both orders.
    """

    def stage(groups: Sequence[Group], round: Round) -> Sequence[Group]:
        requests = Lazy(len(groups), lambda place: Request(prompt=groups[place].prompt, seed=round.seed))
        greedy = Sampling(temperature=0.0, max_new_tokens=round.max_new_tokens)
        made = round.policy(baseline).generate(requests, greedy)
        asked = flattened(range(len(groups)), lambda place: _questions(groups[place], made[place].text, ask))
        found = round.policy(role).options(asked)
        leads = [lead(first, turned) for first, turned in zip(found[::2], found[1::2], strict=True)]
        return scored(groups, name, leads, [len(group.completions) for group in groups])

    return stage


def _questions(group: Group, baseline: str, ask: str) -> list[Prompt]:
    return [
        user(
            filled(ask, question=group.prompt.text, first=first, second=second),
            options=_OPTIONS,
            parents=(group.prompt.id,),
        )
        for one in group.completions
        for first, second in ((one.text, baseline), (baseline, one.text))
    ]
