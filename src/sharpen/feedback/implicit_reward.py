"""What a policy's own change says of an answer: the log-ratio that DPO trains as a reward."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from sharpen.parts import part
from sharpen.protocols import Round
from sharpen.types import Group, Row

__all__ = ["implicit_reward"]


@part(reads=("{role}", "{against}"), writes=("{name}",), needs=("score",))
def implicit_reward(
    role: str, *, against: str = "base", name: str = "reward"
) -> Callable[[Sequence[Group], Round], Sequence[Group]]:
    """The log-ratio log pi_role(y|x) - log pi_against(y|x), summed over the completion's tokens (nats).

    Where both roles are the same weights that ratio is 0 for every answer and ranks nothing; then the score is the mean token
    log-probability instead, as in the code of CREAM (Wang et al., 2024, arXiv 2410.12735).

    Args:
        role: whose preference is read.
        against: the reference.
        name: of the score.
    """

    def stage(groups: Sequence[Group], round: Round) -> Sequence[Group]:
        policy, reference = round.policy(role), round.policy(against)
        rows = [Row(prompt=group.prompt, completion=completion) for group in groups for completion in group.completions]
        ours = [scores.logprobs for scores in policy.score(rows)]
        if policy.checkpoint == reference.checkpoint:
            rewards = [sum(column) / len(column) for column in ours]
        else:
            theirs = [scores.logprobs for scores in reference.score(rows)]
            rewards = [sum(one) - sum(other) for one, other in zip(ours, theirs, strict=True)]
        values = iter(rewards)
        return [group.with_scores(**{name: [next(values) for _ in group.completions]}) for group in groups]

    return stage
