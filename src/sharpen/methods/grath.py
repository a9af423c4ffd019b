"""GRATH: the model writes a right and a wrong answer to each question, learns to tell them apart, and writes better right ones."""

from __future__ import annotations

from collections.abc import Callable

from sharpen.cards import Card
from sharpen.forms import decaying
from sharpen.objectives import DPO
from sharpen.parts import Recipe, Step
from sharpen.prompts import batch
from sharpen.prompts.batches import prompts_of
from sharpen.sample.framed import framed_completions
from sharpen.select.contrasts import Read, asked_for_both, contrast_in, contrasts, refreshed
from sharpen.types import Prompt

__all__ = ["CARD", "grath"]

CARD = Card(
    title="Gradual self-truthifying (GRATH)",
    paper="Chen et al., 2024",
    arxiv="2401.12292",
    claim="Preferences between right and wrong answers that a model writes itself make it more truthful, in other domains too.",
    trains_on="preferences",
    departs=(
        "the request and its six worked examples are in our words, and stand as earlier turns",
        "white space inside an answer is made even, and pairs with an empty answer or twice the same are left out",
        "the first pairs are trained on in the set-up, and the gate decides on it as on each round; the source keeps all",
        "fewer prompts (the source: 1119), and full weights in a few epochs at a lower learning rate (the source: 1000 steps of 16 a "
        "device, LoRA of rank 8 at 5e-4), for a small model",
    ),
    shelf="faithful",
    oracle="tests/methods/test_grath.py::test_right_answers_are_refreshed_and_wrong_ones_stay",
)


def grath(
    *,
    num_prompts: int = 256,
    answer_tokens: int = 100,  # max_len = prompt + 100, authors' code
    frame: Callable[[Prompt], Prompt] = asked_for_both,
    read: Read = contrast_in,
    beta: float = 0.1,  # beta = 0.1, authors' code
    reference: str = "incumbent",  # the current base model, authors' script for the main results
    learning_rate: float = 5e-6,
    epochs: int = 3,
    batch_size: int = 16,  # 4 a device times 4 accumulated, authors' code
    lora_rank: int | None = None,
) -> Recipe:
    """DPO on pairs that the model wrote, then rounds with the same prompts: new right answers over the first wrong ones.

    Args:
        num_prompts: prompts, the same in every round.
        answer_tokens: of both answers with their marks, at most.
        frame: from a question to the request for both answers.
        read: from what the model wrote to the two.
        beta: of DPO.
        reference: of DPO; the authors now prefer `base`, against over-fitting.
        learning_rate, epochs, batch_size: of each training, cosine with warm-up 0.1.
        lora_rank: of LoRA adapters (extra `lora`); None trains the full weights.
    """
    training = decaying(learning_rate, epochs=epochs, batch_size=batch_size, lora_rank=lora_rank, schedule="cosine")
    written = framed_completions(frame, temperature=0.0, max_new_tokens=answer_tokens)  # top_k=1, authors' code
    objective = DPO(beta, reference=reference)
    first = Step(
        name="first",
        prompts=batch(num_prompts),
        sample=written,
        select=contrasts(read),
        objective=objective,
        training=training,
    )
    step = Step(
        name="grath",
        prompts=prompts_of("first"),
        sample=written,
        select=refreshed("first", read),
        objective=objective,
        training=training,
    )
    return Recipe(name="grath", setup=(first,), steps=(step,), rounds=1)  # iterations 0 and 1, authors' script
