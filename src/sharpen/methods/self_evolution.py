"""SELF: a model learns to criticise and refine its answers, and is then trained on the refined ones that it accepts itself."""

from __future__ import annotations

from sharpen.cards import Card
from sharpen.feedback.verify import verify
from sharpen.forms import decaying
from sharpen.objectives import NLL
from sharpen.parts import Recipe, Step, chain
from sharpen.prompts import batch
from sharpen.protocols import Verifier
from sharpen.sample import completions
from sharpen.sample.self_evolved import self_evolved
from sharpen.select import demonstrations
from sharpen.select.meta_lessons import meta_lessons

__all__ = ["CARD", "self_evolution"]

CARD = Card(
    title="Self-evolution with language feedback (SELF)",
    paper="Lu et al., 2023",
    arxiv="2310.00533",
    claim="A model that was taught to criticise and refine its answers gets better by training on those that it refined and accepts.",
    trains_on="demonstrations",
    needs=("verifier", "targets"),
    feedback=("verifier", "judge"),
    departs=(
        "lessons in criticism are made of verified samples and targets, with two set texts; in the source a stronger model writes them",
        "a verdict is read from the probabilities of Yes and No, not from the criticism, which is still written",
        "the task's prompts in all rounds; the source lets the model write those of the second and third",
        "training goes on from the last checkpoint on the round's own answers alone: the source also restarts, and mixes old lessons in",
        "compare with plain training on the same targets, which the source leaves out and its reviewers found better",
    ),
    shelf="faithful",
    oracle="tests/methods/test_self_evolution.py::test_what_can_be_mended_is_trained_and_nothing_that_is_refused",
)


def self_evolution(
    verifier: Verifier,
    *,
    num_seed: int = 256,
    num_prompts: int = 256,
    min_accepted: float = 0.5,
    temperature: float = 0.7,
    learning_rate: float = 2e-5,
    epochs: int = 2,
    batch_size: int = 16,
    lora_rank: int | None = None,
) -> Recipe:
    """Meta-skills from verified samples as the set-up; then rounds of answers that are judged, refined and judged again, without labels.

    Args:
        verifier: says which of the set-up's samples are right, from a score of 0.5 on.
        num_seed: prompts of the set-up, whose targets are read.
        num_prompts: prompts a round; of these no target is read, and nothing is verified.
        min_accepted: probability from which the model accepts an answer of its own.
        temperature: of sampling.
        learning_rate, epochs, batch_size: of training, linear decay with warm-up 0.1.
        lora_rank: of LoRA adapters (extra `lora`); None trains the full weights.
    """
    training = decaying(learning_rate, epochs=epochs, batch_size=batch_size, lora_rank=lora_rank)
    meta = Step(
        name="meta",
        prompts=batch(num_seed),
        sample=completions(1, temperature=temperature),
        feedback=verify(verifier),
        select=meta_lessons(),
        objective=NLL(),
        training=training,
    )
    step = Step(
        name="self_evolution",
        prompts=batch(num_prompts),
        sample=chain(completions(1, temperature=temperature), self_evolved(min_accepted=min_accepted, temperature=temperature)),
        select=demonstrations("accepted", min_score=min_accepted),
        objective=NLL(),
        training=training,
    )
    return Recipe(name="self_evolution", setup=(meta,), steps=(step,), rounds=3)  # three rounds, the source
