"""Sharpening: the base imitates the best of its own samples, by a reward that it gives itself."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Literal

from sharpen.cards import Card
from sharpen.feedback.likelihood import logprob_score, mean_logprob_score
from sharpen.feedback.votes import votes
from sharpen.forms import decaying
from sharpen.objectives import NLL
from sharpen.parts import Recipe, chain, part, recipe
from sharpen.prompts import batch
from sharpen.protocols import Round
from sharpen.sample import completions
from sharpen.select import best, demonstrations
from sharpen.select.answers import final_answer
from sharpen.sequences import mapped
from sharpen.types import Group

__all__ = ["CARD", "sharpening"]

CARD = Card(
    title="The sharpening mechanism (SFT-sharpening)",
    paper="Huang et al., 2024",
    arxiv="2412.01951",
    claim="Imitating the likeliest of N own samples moves probability to the likeliest answer: accuracy rises where that one is right.",
    trains_on="demonstrations",
    feedback=("confidence", "votes"),
    departs=(
        "SFT-sharpening alone: the regularised form (RLHF-sharpening) is left out",
        "8 samples a prompt by default: the number of the source's experiments is not known to us",
        "an answer that was cut has no likelihood of its own and cannot be imitated: it has a vote, but is never the one that is chosen",
        "of equally good samples the one of the highest mean log-probability is taken, where the source says nothing",
        "a gate decides over the result",
    ),
    shelf="verdict",
    oracle="tests/methods/test_sharpening.py::test_the_best_of_n_is_the_mode_as_often_as_it_is_among_them",
    verdict="no",
)


@part(writes=("reward",))
def of_ended() -> Callable[[Sequence[Group], Round], Sequence[Group]]:
    """The score `reward` of answers that ended by themselves; None for one that was cut."""

    def kept(group: Group) -> Group:
        pairs = zip(group.completions, group.score("reward"), strict=True)
        return group.with_scores(reward=[None if made.finish == "length" else score for made, score in pairs])

    return lambda groups, round: mapped(kept, groups)


def sharpening(
    *,
    num_prompts: int = 256,
    num_samples: int = 8,
    reward: Literal["likelihood", "mean-likelihood", "majority"] = "likelihood",
    learning_rate: float = 5e-5,
    epochs: int = 2,
    batch_size: int = 16,
    lora_rank: int | None = None,
) -> Recipe:
    """The best of `num_samples` answers of the base to each prompt, imitated by the base. One round: it is the base that is sharpened.

    Args:
        num_prompts, num_samples: prompts, and samples of each, drawn at temperature 1, where a sample's own probability is the policy's.
        reward: log-probability of the whole answer, its mean a token, or whether it gives the most common answer.
        learning_rate, epochs, batch_size: of training.
        lora_rank: of LoRA adapters (extra `lora`); None trains the full weights.

    Raises:
        ValueError: the reward is unknown.
    """
    rewards = {
        "likelihood": logprob_score(name="reward"),
        "mean-likelihood": chain(mean_logprob_score(name="reward"), of_ended()),
        "majority": chain(votes(final_answer), of_ended()),
    }
    if reward not in rewards:
        raise ValueError(f"reward is {reward!r}; it is one of {', '.join(rewards)}")
    return recipe(
        name="sharpening",
        prompts=batch(num_prompts),
        sample=completions(num_samples, role="base"),
        feedback=rewards[reward],
        select=chain(best(), demonstrations(min_score=-math.inf)),
        objective=NLL(),
        training=decaying(learning_rate, epochs=epochs, batch_size=batch_size, lora_rank=lora_rank),
        start="base",
        rounds=1,
    )
