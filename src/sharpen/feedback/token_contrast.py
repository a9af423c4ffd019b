"""Credit token by token: how much likelier a token is where a better answer is asked for than where a worse one is."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Sequence

from sharpen.examples import Row
from sharpen.parts import part
from sharpen.protocols import Round
from sharpen.sample.templates import filled
from sharpen.sequences import Lazy, flattened
from sharpen.types import Group, Prompt, user

__all__ = ["token_contrast", "token_credit"]

_ASK = (
    "Rewrite the answer to the question so that it is {how} helpful, {how} correct, {how} coherent and {how} concise.\n\n"
    "Question: {question}\n\nAnswer: {answer}"
)


def token_credit(better: float, worse: float) -> float:
    """sigmoid(better - worse) - 1/2 of two log-probabilities (nats): in (-0.5, 0.5), 0 where they agree.

    >>> round(token_credit(math.log(0.6), math.log(0.2)), 3)
    0.25
    """
    return 1.0 / (1.0 + math.exp(min(worse - better, 700.0))) - 0.5


@part(reads=("{role}",), needs=("score", "chat"))
def token_contrast(
    *, role: str = "incumbent", name: str = "credit", ask: str = _ASK
) -> Callable[[Sequence[Group], Round], Sequence[Group]]:
    """Token scores under `name`: the credit of every token of every completion (T-REG: Zhou et al. 2024, arXiv 2412.02685, eq. 5).

    Args:
        role: whose log-probabilities; the reference, in the source.
        name: of the token scores.
        ask: text with `{how}` (`more` or `less`), `{question}` and `{answer}` in it.
    """

    def stage(groups: Sequence[Group], round: Round) -> Sequence[Group]:
        policy = round.policy(role)
        more = policy.score(flattened(groups, lambda group: _rows(group, ask, "more")))
        less = policy.score(flattened(groups, lambda group: _rows(group, ask, "less")))
        ends = [0]
        for group in groups:
            ends.append(ends[-1] + len(group.completions))

        def credited(number: int) -> Group:
            here = range(ends[number], ends[number + 1])
            credit = tuple(
                tuple(token_credit(one, other) for one, other in zip(more[at].logprobs, less[at].logprobs, strict=True))
                for at in here
            )
            group = groups[number]
            return dataclasses.replace(group, token_scores={**group.token_scores, name: credit})

        return Lazy(len(groups), credited)

    return stage


def _rows(group: Group, ask: str, how: str) -> list[Row]:
    return [Row(prompt=_asked(group.prompt, one.text, ask, how), completion=one) for one in group.completions]


def _asked(prompt: Prompt, answer: str, ask: str, how: str) -> Prompt:
    return user(filled(ask, how=how, question=prompt.text, answer=answer), parents=(prompt.id,))
