"""Samples of the policy in a role."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from sharpen.parts import part
from sharpen.protocols import Policy, Request, Round, Sampling
from sharpen.sequences import Lazy
from sharpen.types import Group, Prompt

__all__ = ["completions", "sampled"]


def sampled(
    prompts: Sequence[Prompt], asked: Sequence[Prompt], num_samples: int, sampling: Sampling, policy: Policy, seed: int
) -> Sequence[Group]:
    """A group of `num_samples` completions for each prompt, sampled under the prompt as it is asked."""
    requests = Lazy(
        len(asked) * num_samples,
        lambda place: Request(prompt=asked[place // num_samples], index=place % num_samples, seed=seed),
    )
    made = policy.generate(requests, sampling)
    return Lazy(
        len(prompts),
        lambda place: Group(prompt=prompts[place], completions=tuple(made[place * num_samples : (place + 1) * num_samples])),
    )


@part(reads=("{role}",), needs=("generate",))
def completions(
    num_samples: int,
    *,
    temperature: float = 1.0,
    top_p: float = 1.0,
    top_k: int = 0,
    max_new_tokens: int | None = None,
    role: str = "current",
) -> Callable[[Sequence[Prompt], Round], Sequence[Group]]:
    """A group of `num_samples` completions a prompt, each with its own random numbers.

    Args:
        num_samples: completions a prompt.
        temperature: 0 is greedy; then more than one sample a prompt would be the same answer again, and is refused.
        top_p: share of the probability kept in (0, 1]; below 1 the samples cannot train a policy-gradient objective.
        top_k: tokens kept; 0 keeps all.
        max_new_tokens: tokens at most; None takes the task's limit.
        role: who answers.

    Raises:
        ValueError: num_samples is below 1, or above 1 at temperature 0.
    """
    if num_samples < 1:
        raise ValueError(f"num_samples is {num_samples}; it is at least 1")
    if temperature == 0 and num_samples > 1:
        raise ValueError(f"num_samples is {num_samples} at temperature 0: all samples would be alike; raise the temperature")

    def stage(prompts: Sequence[Prompt], round: Round) -> Sequence[Group]:
        sampling = Sampling(
            temperature=temperature, top_p=top_p, top_k=top_k, max_new_tokens=max_new_tokens or round.max_new_tokens
        )
        return sampled(prompts, prompts, num_samples, sampling, policy=round.policy(role), seed=round.seed)

    return stage
