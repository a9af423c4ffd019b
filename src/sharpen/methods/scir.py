"""SCIR: a model's judgement and its log-ratio are trained to prefer the same answers, and teach it where they do."""

from __future__ import annotations

from sharpen.cards import Card
from sharpen.feedback.strength import WHICH
from sharpen.forms import decaying
from sharpen.objectives.scir import SCIR
from sharpen.parts import Recipe, recipe
from sharpen.prompts import batch
from sharpen.sample import completions
from sharpen.select.undecided import undecided_pairs

__all__ = ["CARD", "scir"]

CARD = Card(
    title="Self-consistent internal rewards (SCIR)",
    paper="Zhou et al., 2025",
    arxiv="2502.08922",
    claim="A self-rewarding model learns more where its judgement and its implicit reward are made to agree, and from agreed pairs alone.",
    trains_on="preferences",
    feedback=("judge", "confidence"),
    departs=(
        "the source's method section could not be read, and nothing here is checked against it: its divergence, weights, stopped gradients "
        "and measures against biases of the two rewards are not known to us",
        "ours are a symmetric KL, the entropy as penalty of doubt, their weights, and no stopped gradient",
        "the judge's probability is read from A and B in both orders, the mean of the log-odds",
        "the implicit reward and DPO are against the model that the run starts from, in all rounds; in the first step it prefers nothing",
        "no supervised seed of answers and judgements; a higher learning rate, for a small model",
    ),
    shelf="sketched",
    oracle="tests/methods/test_scir.py::test_rewards_that_disagree_are_pulled_together_and_train_no_preference",
)


def scir(
    *,
    num_prompts: int = 128,
    num_samples: int = 4,
    temperature: float = 0.7,
    top_p: float = 0.9,
    ask: str = WHICH,
    beta: float = 0.1,
    consistency: float = 1.0,
    confidence: float = 0.1,
    learning_rate: float = 5e-6,
    epochs: int = 2,
    batch_size: int = 16,
    lora_rank: int | None = None,
) -> Recipe:
    """Pairs of own answers without labels; the winner is found anew in each training step, and the pair left out where there is none.

    Args:
        num_prompts, num_samples: prompts a round, and samples a prompt, which are paired two by two.
        temperature, top_p: of sampling.
        ask: the question to the judge, with `{question}`, `{first}` and `{second}`, to be answered by A or B.
        beta: of the implicit reward and of DPO.
        consistency, confidence: weights of the two rewards' disagreement and of their doubt.
        learning_rate, epochs, batch_size: of training, cosine with warm-up 0.1.
        lora_rank: of LoRA adapters (extra `lora`); None trains the full weights.
    """
    return recipe(
        name="scir",
        prompts=batch(num_prompts),
        sample=completions(num_samples, temperature=temperature, top_p=top_p),
        select=undecided_pairs(ask=ask),
        objective=SCIR(beta=beta, consistency=consistency, confidence=confidence),
        training=decaying(learning_rate, epochs=epochs, batch_size=batch_size, lora_rank=lora_rank, schedule="cosine"),
    )
