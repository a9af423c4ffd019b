"""The sampler's own confidence in an answer."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

from sharpen.feedback.votes import mean_logprob
from sharpen.parts import part
from sharpen.protocols import Round
from sharpen.sequences import mapped
from sharpen.types import Completion, Group

__all__ = ["logprob_score", "mean_logprob_score"]


@part(writes=("{name}",), needs=("logprobs",))
def logprob_score(*, name: str = "likelihood") -> Callable[[Sequence[Group], Round], Sequence[Group]]:
    """Log-probability (nats) of each completion as a whole, under the policy that sampled it and at its temperature.

    None for foreign text, and for a completion that was cut: its tokens' probability is that of all answers that begin so.

    Args:
        name: of the score.
    """

    def stage(groups: Sequence[Group], round: Round) -> Sequence[Group]:
        return mapped(lambda group: group.with_scores(**{name: [_logprob(one) for one in group.completions]}), groups)

    return stage


@part(writes=("{name}",), needs=("logprobs",))
def mean_logprob_score(*, name: str = "likelihood") -> Callable[[Sequence[Group], Round], Sequence[Group]]:
    """Mean token log-probability (nats) of each completion under the policy that sampled it; None for foreign text.

    Args:
        name: of the score.
    """

    def stage(groups: Sequence[Group], round: Round) -> Sequence[Group]:
        return mapped(lambda group: group.with_scores(**{name: [mean_logprob(one) for one in group.completions]}), groups)

    return stage


def _logprob(completion: Completion) -> float | None:
    if completion.finish != "stop" or completion.logprobs is None:
        return None
    return math.fsum(completion.logprobs)
