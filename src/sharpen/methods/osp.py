"""Online self-preferring: own answers judged by the model itself, each pair trained on as far as it is sure of it."""

from __future__ import annotations

from sharpen.cards import Card
from sharpen.feedback.strength import WHICH, strength
from sharpen.objectives import DPO
from sharpen.parts import Recipe, recipe
from sharpen.prompts import batch
from sharpen.protocols import Training
from sharpen.sample import completions
from sharpen.select.soft_pairs import soft_pairs

__all__ = ["CARD", "osp"]

CARD = Card(
    title="Online self-preferring (OSP)",
    paper="Zhai et al., 2024",
    arxiv="2405.14103",
    claim="Fitting how strongly a model prefers one of its answers to another, and not only which, keeps it from fitting near-ties.",
    trains_on="preferences",
    feedback=("judge",),
    departs=(
        "how strengths become the label of a pair is ours: the difference of log-odds, as Bradley and Terry's model has it",
        "the baseline is the base's greedy answer, all pairs of the answers are made, and their number is ours",
        "both orders are asked, two questions an answer; the judge's words are ours, and its verdict is read from probabilities",
        "no given preferences before the own ones, which the source has where there are any",
        "beta, the learning rate and the number of prompts are ours",
    ),
    shelf="faithful",
    oracle="tests/methods/test_osp.py::test_labels_and_loss_by_hand",
)


def osp(
    *,
    num_passes: int = 8,
    num_prompts: int = 16,
    num_samples: int = 4,
    temperature: float = 1.0,
    ask: str = WHICH,
    beta: float = 0.1,
    learning_rate: float = 5e-6,
    lora_rank: int | None = None,
) -> Recipe:
    """Passes of one optimiser step, each on new answers and new judgements of the model as it is; the base is DPO's reference.

    Args:
        num_passes: passes a round.
        num_prompts, num_samples: prompts a pass, and samples a prompt.
        temperature: of sampling.
        ask: the question to the judge, with `{question}`, `{first}` and `{second}` in it, to be answered by A or B.
        beta: of DPO.
        learning_rate: constant.
        lora_rank: of LoRA adapters (extra `lora`); None trains the full weights.
    """
    return recipe(
        name="osp",
        prompts=batch(num_prompts, passes_per_round=num_passes),
        sample=completions(num_samples, temperature=temperature),
        feedback=strength(ask=ask),
        select=soft_pairs(),
        objective=DPO(beta, reference="base"),
        training=Training(learning_rate=learning_rate, lora_rank=lora_rank),
        optimizer="carried",
        repeat=num_passes,
    )
