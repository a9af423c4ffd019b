"""Feedback and labels that say nothing: parts, which need a file of their own."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from sharpen.data.task import given
from sharpen.examples import Demonstration, Row
from sharpen.parts import part
from sharpen.protocols import Round
from sharpen.types import Group


@part(writes=("reward",))
def shuffled_rewards() -> Callable[[Sequence[Group], Round], Sequence[Group]]:
    """The rewards of all completions of a pass, dealt out again at random."""

    def stage(groups: Sequence[Group], round: Round) -> Sequence[Group]:
        rewards = [score for group in groups for score in group.score("reward")]
        dealt = iter([rewards[place] for place in round.rng("shuffled").permutation(len(rewards))])
        return [group.with_scores(reward=[next(dealt) for _ in group.completions]) for group in groups]

    return stage


@part()
def coin_labels(per_prompt: int) -> Callable[[Sequence[Group], Round], Sequence[Demonstration]]:
    """`per_prompt` labels of each prompt: the target, or the same word in small letters, as a coin falls."""

    def stage(groups: Sequence[Group], round: Round) -> Sequence[Demonstration]:
        rng = round.rng("labels")
        words = [(group.prompt, str(group.prompt.target)) for group in groups for _ in range(per_prompt)]
        labels = [(prompt, word if rng.random() < 0.5 else word.lower()) for prompt, word in words]
        return [Demonstration(row=Row(prompt=prompt, completion=given(prompt, label))) for prompt, label in labels]

    return stage
