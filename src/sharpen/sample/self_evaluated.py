"""Samples drawn one after another, until the policy itself says that starting over would not do better."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence

from sharpen.conversation import message, turns
from sharpen.feedback.p_true import between
from sharpen.parts import part
from sharpen.protocols import Request, Round, Sampling
from sharpen.types import Completion, Group, Prompt

__all__ = ["ASK", "adaptive_completions", "annealed", "self_evaluation"]

ASK = "Would you do better if you started over? Answer No or Yes."


def self_evaluation(prompt: Prompt, answer: str, ask: str = ASK) -> Prompt:
    """The question about an answer, as the next turn after it; its options are No and Yes.

    >>> from sharpen.types import user
    >>> [message.text for message in self_evaluation(user("2 + 2?"), "4", "Again?").messages]
    ['2 + 2?', '4', 'Again?']
    """
    raw = message("user", f"{prompt.text}{answer}\n{ask}\n")
    told = (raw,) if prompt.next == "raw" else (*prompt.messages, *turns((answer, ask)))
    return dataclasses.replace(
        prompt, messages=told, options=("No", "Yes"), target=None, tags={}, parents=(*prompt.parents, prompt.id)
    )


def annealed(number: int) -> float:
    """The temperature of a prompt's sample of that number, from 0: 1 - 2^-n, which is greedy at first and rises to 1.

    >>> [annealed(number) for number in range(4)]
    [0.0, 0.5, 0.75, 0.875]
    """
    return 1.0 - 2.0**-number


@part(reads=("{role}",), writes=("{name}",), needs=("generate", "options", "chat"))
def adaptive_completions(
    max_samples: int = 16, *, enough: float = 0.9, ask: str = ASK, role: str = "current", name: str = "self_evaluation"
) -> Callable[[Sequence[Prompt], Round], Sequence[Group]]:
    """For each prompt as many completions as it takes: until one's score is above `enough`, or there are `max_samples`.

    The score is u = p(No) / (p(No) + p(Yes)) after the question whether starting over would do better (Manvi et al. 2024, arXiv
    2410.02725). The temperature rises from one sample to the next, as in `annealed`. All prompts that are not done are sampled together.
    The signal `{name}_samples` counts the completions.

    Args:
        max_samples: completions a prompt at most.
        enough: in [0, 1]; a score above it ends the sampling.
        ask: the question, to be answered by No or Yes.
        role: who answers and evaluates.
        name: of the score.

    Raises:
        ValueError: max_samples is below 1, or enough outside [0, 1].
    """
    if max_samples < 1 or not 0 <= enough <= 1:
        raise ValueError(f"max_samples {max_samples} is at least 1, and enough {enough} lies in [0, 1]")

    def stage(prompts: Sequence[Prompt], round: Round) -> Sequence[Group]:
        policy = round.policy(role)
        drawn: list[list[Completion]] = [[] for _ in prompts]
        values: list[list[float]] = [[] for _ in prompts]
        going = list(range(len(prompts)))
        for number in range(max_samples):
            if not going:
                break
            sampling = Sampling(temperature=annealed(number), max_new_tokens=round.max_new_tokens)
            requests = [Request(prompt=prompts[place], index=number, seed=round.seed) for place in going]
            made = policy.generate(requests, sampling)
            asked = [self_evaluation(prompts[place], one.text, ask) for place, one in zip(going, made, strict=True)]
            for place, one, (no, yes) in zip(going, made, policy.options(asked), strict=True):
                drawn[place].append(one)
                values[place].append(between(no, yes))
            going = [place for place in going if values[place][-1] <= enough]
        return [
            Group(prompt=prompt, completions=tuple(own))
            .with_scores(**{name: found})
            .with_signals(**{f"{name}_samples": len(own)})
            for prompt, own, found in zip(prompts, drawn, values, strict=True)
        ]

    return stage
