"""Answers that a policy is asked to better until it gives the same one again."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence

from sharpen.parts import part
from sharpen.protocols import Round, Sampling
from sharpen.sample.follow_ups import replied
from sharpen.select.attempts import as_answer
from sharpen.types import Completion, Group

__all__ = ["settled"]


@part(reads=("{role}",), needs=("generate", "continue", "chat"))
def settled(
    message: str, *, most: int = 3, temperature: float = 0.0, role: str = "current"
) -> Callable[[Sequence[Group], Round], Sequence[Group]]:
    """Every completion after as many refinements as it takes to come to one that changes nothing, or `most` of them.

    Each time the policy sees the question and its newest answer alone, not those before. The signal `refined` says how many refinements
    a group's completions had on average, the one that changed nothing counted (ToolACE-R: Zeng et al. 2025, arXiv 2504.01400).

    Args:
        message: what the user says to an answer.
        most: refinements at most.
        temperature: of sampling.
        role: who answers.

    Raises:
        ValueError: `most` is below 1.
    """
    if most < 1:
        raise ValueError(f"settled(most={most}) refines nothing; most is at least 1")

    def stage(groups: Sequence[Group], round: Round) -> Sequence[Group]:
        sampling = Sampling(temperature=temperature, max_new_tokens=round.max_new_tokens)
        now = list(groups)
        counts = [[0] * len(group.completions) for group in now]
        open_ = [[True] * len(group.completions) for group in now]
        for _ in range(most):
            if not any(map(any, open_)):
                break
            messages = [[message if one else None for one in some] for some in open_]
            answered = replied(now, messages, sampling, policy=round.policy(role), seed=round.seed)
            for number, group in enumerate(answered):
                made = [
                    as_answer(one, one.turns[-1]) if on else one
                    for one, on in zip(group.completions, open_[number], strict=True)
                ]
                counts[number] = [count + on for count, on in zip(counts[number], open_[number], strict=True)]
                open_[number] = [_other(one, before) for one, before in zip(made, now[number].completions, strict=True)]
                now[number] = dataclasses.replace(group, completions=tuple(made))
        return [group.with_signals(refined=sum(some) / len(some)) for group, some in zip(now, counts, strict=True)]

    return stage


def _other(one: Completion, before: Completion) -> bool:
    return one.text.strip() != before.text.strip()
