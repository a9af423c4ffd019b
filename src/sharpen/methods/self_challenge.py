"""Self-Challenge: the model describes what it fails, writes more of it, and is trained on what it gets right of that."""

from __future__ import annotations

from sharpen.cards import Card
from sharpen.feedback.verify import verify
from sharpen.forms import decaying
from sharpen.objectives import NLL
from sharpen.parts import Recipe, chain, recipe
from sharpen.prompts import batch
from sharpen.prompts.challenges import challenges
from sharpen.protocols import Verifier
from sharpen.sample import completions
from sharpen.select import cap, demonstrations, distinct

__all__ = ["CARD", "self_challenge"]

CARD = Card(
    title="Self-Challenge",
    paper="Chen et al., 2024",
    arxiv="2408.08978",
    claim="Patterns that a model finds in its own failures give new questions that it fails too, and training does not cure them all.",
    trains_on="demonstrations",
    needs=("verifier",),
    feedback=("verifier",),
    departs=(
        "a verifier says which new questions can be judged and which are failed; in the source people do, and mend the patterns' words",
        "the verifier must judge without a target: where it says nothing of a pattern's questions, that pattern is given up",
        "the questions are trained on, by the samples that are right; the source makes a benchmark of them",
        "a pattern is kept by its failure rate over all rounds, above that of the task's own prompts; all requests are in our words",
    ),
    shelf="faithful",
    oracle="tests/methods/test_self_challenge.py::test_the_pattern_of_what_is_failed_outlives_the_others",
)


def self_challenge(
    verifier: Verifier,
    *,
    num_prompts: int = 128,
    num_items: int = 128,
    num_asks: int = 4,
    num_patterns: int = 8,  # 8 patterns, SC-G4
    num_samples: int = 8,
    temperature: float = 1.0,
    learning_rate: float = 2e-5,
    epochs: int = 2,
    batch_size: int = 16,
    lora_rank: int | None = None,
) -> Recipe:
    """The two shortest right samples, of train prompts and of new prompts in the patterns of what was failed in the round before.

    Args:
        verifier: says which samples are right, of new prompts too, which have no target.
        num_prompts, num_items: train prompts a round, and new ones from the second round on.
        num_asks: lists of patterns that are sampled.
        num_patterns: earlier patterns that are kept at most, and as many new ones.
        num_samples, temperature: samples a prompt, and of sampling.
        learning_rate, epochs, batch_size: of training, linear decay with warm-up 0.1.
        lora_rank: of LoRA adapters (extra `lora`); None trains the full weights.
    """
    return recipe(
        name="self_challenge",
        prompts=chain(batch(num_prompts), challenges(num_items, step="self_challenge", num_asks=num_asks, most=num_patterns)),
        sample=completions(num_samples, temperature=temperature),
        feedback=verify(verifier),
        select=chain(demonstrations(), distinct(), cap(2)),
        objective=NLL(),
        training=decaying(learning_rate, epochs=epochs, batch_size=batch_size, lora_rank=lora_rank),
    )
