"""Generate and recover: a description of a record is good where the record can be rebuilt from it, and nothing was copied."""

from __future__ import annotations

from sharpen.cards import Card
from sharpen.forms import decaying
from sharpen.objectives import NLL
from sharpen.parts import Recipe, chain, recipe
from sharpen.prompts import batch
from sharpen.sample.recovered import recovered_completions
from sharpen.select import cap, demonstrations, distinct

__all__ = ["CARD", "generate_recover"]

CARD = Card(
    title="Self-supervised annotation by generating and recovering",
    paper="Pei et al., 2023",
    arxiv="2306.04349",
    claim="The one worked example from whose descriptions records are rebuilt best gives the best descriptions, without labels.",
    trains_on="demonstrations",
    feedback=("judge",),
    departs=(
        "the kept descriptions are trained on, without the example; the source gives them to people",
        "recovery is the mean of ROUGE-L and of the share of fields; the source has other scores of sentences and of structure",
        "a description that copies a long run of its record scores 0, since it would score 1: the source has no such guard",
        "the least recovery, the share that may be copied, and the number of examples tried are ours",
        "an example is the model's own greedy answer, and the rebuilding call is shown it turned round",
    ),
    shelf="faithful",
    oracle="tests/methods/test_generate_recover.py::test_the_example_that_records_are_rebuilt_from_best_is_taken",
)


def generate_recover(
    *,
    num_prompts: int = 256,
    num_samples: int = 4,
    num_support: int = 4,
    min_recovery: float = 0.5,
    max_copied: float = 0.5,
    temperature: float = 0.7,
    learning_rate: float = 2e-5,
    epochs: int = 2,
    batch_size: int = 16,
    lora_rank: int | None = None,
) -> Recipe:
    """Descriptions from which at least `min_recovery` of the record was rebuilt, the two shortest of each record.

    Args:
        num_prompts, num_samples: records a round, and descriptions of each.
        num_support: records whose greedy description is tried as the example.
        min_recovery: the least that must be rebuilt, in [0, 1].
        max_copied: share of a record's words that may be copied in one run.
        temperature: of sampling.
        learning_rate, epochs, batch_size: of training, linear decay with warm-up 0.1.
        lora_rank: of LoRA adapters (extra `lora`); None trains the full weights.
    """
    return recipe(
        name="generate_recover",
        prompts=batch(num_prompts),
        sample=recovered_completions(num_samples, num_support=num_support, max_copied=max_copied, temperature=temperature),
        select=chain(demonstrations("recovery", min_score=min_recovery), distinct(), cap(2)),
        objective=NLL(),
        training=decaying(learning_rate, epochs=epochs, batch_size=batch_size, lora_rank=lora_rank),
    )
