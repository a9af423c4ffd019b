"""Reward-augmented preferences: each pair is trained with either of its two scores as the goal; then the top score is asked for."""

from __future__ import annotations

import dataclasses

from sharpen.cards import Card
from sharpen.forms import decaying, trained_on_verified
from sharpen.objectives import DPO
from sharpen.parts import Recipe
from sharpen.protocols import Verifier
from sharpen.sample.framed import framed_completions
from sharpen.select.goals import both_goals, goal

__all__ = ["CARD", "reward_augmented"]

CARD = Card(
    title="Reward-augmented preferences",
    paper="Zhang et al., 2024",
    arxiv="2410.08067",
    claim="Pairs conditioned on their scores, in both directions, teach what every score looks like, and spare good answers that lost.",
    trains_on="preferences",
    needs=("verifier",),
    feedback=("verifier",),
    answers=True,
    departs=(
        "the pairs are the best and the worst of own samples, over several rounds; the source relabels a fixed set that a judge scored",
        "a verifier's score in [0, 1] is told times ten; the source's goes from 1 to 10",
        "the goal is the prompt's last line, where the source puts it into the system message, or in front of the user's turn",
        "pairs whose scores are told alike are left out; the authors' code keeps them",
        "fewer pairs, a higher learning rate (the source: 5e-7) and smaller batches, for a small model",
    ),
    shelf="faithful",
    oracle="tests/methods/test_reward_augmented.py::test_a_pair_is_trained_for_either_goal",
)

LINE = "Target score: {score} of 10."


def reward_augmented(
    verifier: Verifier,
    *,
    num_prompts: int = 128,
    num_samples: int = 4,
    temperature: float = 1.0,
    line: str = LINE,
    beta: float = 0.01,  # beta: 0.01, the authors' configurations
    learning_rate: float = 5e-6,
    batch_size: int = 16,
    lora_rank: int | None = None,
) -> Recipe:
    """Each prompt's best and worst samples under both of their scores; the result answers where a score of 1 is asked for.

    Args:
        verifier: scores the samples, in [0, 1].
        num_prompts, num_samples: prompts a round, and samples a prompt.
        temperature: of sampling.
        line: how a score is asked for, with `{score}` in it, which is told out of 10.
        beta: of DPO, with the incumbent as reference.
        learning_rate, batch_size: of one epoch, cosine with warm-up 0.1.
        lora_rank: of LoRA adapters (extra `lora`); None trains the full weights.
    """
    how = decaying(learning_rate, batch_size=batch_size, lora_rank=lora_rank, schedule="cosine")
    size = {"num_prompts": num_prompts, "num_samples": num_samples}
    made = trained_on_verified("reward_augmented", verifier, both_goals(line), DPO(beta), how, **size, temperature=temperature)
    return dataclasses.replace(made, answer=framed_completions(goal(line, 1.0, 10.0), temperature=0.0))
