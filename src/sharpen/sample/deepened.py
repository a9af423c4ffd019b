"""Answers written in growing slices, each followed by a call to think again."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from sharpen.parts import part
from sharpen.protocols import Request, Round, Sampling
from sharpen.sample.injected import injected
from sharpen.sample.search import Ask, Draw, Search, driven
from sharpen.types import Completion, Group, Prompt

__all__ = ["TRIGGER", "deepened_completions"]

TRIGGER = "\nWait. There may be a mistake in this. Let me think it through again.\n"


@part(reads=("{role}",), needs=("generate", "continue"))
def deepened_completions(
    num_samples: int,
    *,
    first: int = 64,
    growth: float = 2.0,
    trigger: str = TRIGGER,
    temperature: float = 0.7,
    role: str = "current",
) -> Callable[[Sequence[Prompt], Round], Sequence[Group]]:
    """A group of `num_samples` completions a prompt, each told to think again after `first` tokens, and then after ever longer slices.

    Slice k has B_k = first growth^k new tokens (Chen et al. 2025, arXiv 2502.05449). An answer that does not end within its slice gets the
    trigger behind it, as given text without training weight, and goes on. One that ends, ends. All slices and triggers together take no
    more than the task's limit.

    Args:
        num_samples: completions a prompt.
        first: tokens of the first slice.
        growth: above 1, of a slice over the one before.
        trigger: what is put behind a slice.
        temperature: of sampling; at 0 only one sample a prompt.
        role: who answers.

    Raises:
        ValueError: num_samples or first is below 1, growth is not above 1, or several samples would be the same greedy one.
    """
    if num_samples < 1 or first < 1 or not growth > 1:
        raise ValueError(f"num_samples {num_samples} and first {first} are at least 1, and growth {growth} is above 1")
    if temperature == 0 and num_samples > 1:
        raise ValueError(f"num_samples is {num_samples} at temperature 0: all would be alike; raise the temperature")

    def stage(prompts: Sequence[Prompt], round: Round) -> Sequence[Group]:
        policy, limit = round.policy(role), round.max_new_tokens

        def written(prompt: Prompt, index: int) -> Search[Completion]:
            now, budget = None, float(first)
            while True:
                room = limit - (len(now.token_ids) if now is not None else 0)
                request = Request(prompt=prompt, index=index, seed=round.seed, partial=now)
                sampling = Sampling(temperature=temperature, max_new_tokens=min(int(budget), room))
                [made] = (yield Ask(draws=(Draw(request=request, sampling=sampling),))).completions
                if made.finish == "stop":
                    return made
                now = injected(policy, made, trigger)
                if len(now.token_ids) >= limit:
                    return made
                budget *= growth

        searches = [written(prompt, index) for prompt in prompts for index in range(num_samples)]
        found = driven(searches, policy=policy, judge=policy)
        return [
            Group(prompt=prompt, completions=tuple(found[place * num_samples : (place + 1) * num_samples]))
            for place, prompt in enumerate(prompts)
        ]

    return stage
