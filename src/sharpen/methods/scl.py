"""Self-correction learning: a second attempt makes a pair of the first, and the pair teaches to answer rightly at once."""

from __future__ import annotations

from sharpen.cards import Card
from sharpen.feedback.verify import verify
from sharpen.forms import decaying
from sharpen.objectives import DPO
from sharpen.parts import Recipe, chain, recipe
from sharpen.prompts import batch
from sharpen.protocols import Verifier
from sharpen.sample import completions
from sharpen.sample.follow_ups import follow_ups
from sharpen.select.attempts import right_over_wrong

__all__ = ["CARD", "scl"]

CARD = Card(
    title="Self-correction learning (SCL)",
    paper="He et al., 2024",
    arxiv="2410.04055",
    claim="Preferring whichever of two attempts is right teaches a model to answer rightly at once, which asking it to check does not.",
    trains_on="preferences",
    needs=("verifier",),
    feedback=("verifier",),
    departs=(
        "text alone; the source trains vision-language models on questions with options",
        "the request to check is in our words; the source has four wordings, and takes one a run",
        "no supervised term beside the preferences (the authors' script: 0.1), and full weights where no rank is given",
        "a learning rate of 5e-6 (the authors' script: 5e-5, for adapters)",
        "an attempt that the verifier cannot judge makes no pair; the authors' code takes an answer that it cannot read for wrong",
        "4 pairs of attempts a prompt in each of several rounds; the source makes its pairs once, one a question",
    ),
    shelf="verdict",
    oracle="tests/methods/test_scl.py::test_one_right_attempt_of_two_is_preferred_whichever_it_is",
    verdict="yes",
)

REVIEW = "Look at your answer again and find what is wrong with it. Then answer the question again, better where you found something."


def scl(
    verifier: Verifier,
    *,
    num_prompts: int = 128,
    num_samples: int = 4,
    temperature: float = 0.7,  # temperature=0.7, the authors' code
    message: str = REVIEW,
    beta: float = 0.1,  # --beta 0.1, the authors' script
    learning_rate: float = 5e-6,
    epochs: int = 3,  # --num_train_epochs 3, the authors' script
    batch_size: int = 16,  # 16 steps accumulated, the authors' script
    lora_rank: int | None = None,
) -> Recipe:
    """Pairs of two attempts of which one is right, as answers to the question itself; the result answers in one turn.

    Where a check spoils more than it mends, most pairs say to stay with the first attempt, which no loss shows: compare the scores
    `first` and `reward` of the groups.

    Args:
        verifier: says which attempts are right, from a score of 0.5 on.
        num_prompts, num_samples: prompts a round, and pairs of attempts a prompt.
        temperature: of sampling, in both turns.
        message: what the user says to a first attempt; it must not say whether it was right.
        beta: of DPO.
        learning_rate, epochs, batch_size: of training.
        lora_rank: of LoRA adapters (extra `lora`); None trains the full weights.
    """
    return recipe(
        name="scl",
        prompts=batch(num_prompts),
        sample=completions(num_samples, temperature=temperature),
        feedback=chain(verify(verifier, name="first"), follow_ups(message, temperature=temperature), verify(verifier, turn=1)),
        select=right_over_wrong(),
        objective=DPO(beta),
        training=decaying(learning_rate, epochs=epochs, batch_size=batch_size, lora_rank=lora_rank),
    )
