"""Weak-to-strong: a model imitates a weaker teacher where it agrees with it, then weighs the teacher's answers by its own majority."""

from __future__ import annotations

from sharpen.cards import Card
from sharpen.forms import decaying
from sharpen.objectives import DPO, NLL
from sharpen.parts import Recipe, Step, chain
from sharpen.prompts import batch
from sharpen.prompts.batches import prompts_of
from sharpen.sample import completions
from sharpen.sample.weak_teacher import beside_teacher, with_teacher
from sharpen.select.answers import final_answer
from sharpen.select.weak_teacher import Trained, agreed_with_teacher, teacher_or_majority

__all__ = ["CARD", "weak_to_strong"]

CARD = Card(
    title="Weak-to-strong reasoning",
    paper="Yang et al., 2024",
    arxiv="2407.13647",
    claim="A strong model learns more from a weak teacher's answers by choosing among them itself than by imitating all of them.",
    trains_on="preferences",
    needs=("targets",),
    feedback=("labels", "votes"),
    departs=(
        "the teacher's solutions are given, right or wrong: the task's demonstrations, or the train prompts' targets; no teacher is run",
        "the solutions shown are those of the lowest prompt ids, where the authors picked theirs",
        "answers are compared by their last number, or as text where there is none",
        "fewer prompts, full weights, DPO alone and not ORPO, and learning rates for a small model (the source: LoRA)",
    ),
    shelf="faithful",
    oracle="tests/methods/test_weak_to_strong.py::test_the_majority_says_what_becomes_of_the_teacher_s_answer",
)


def weak_to_strong(
    *,
    num_prompts: int = 256,
    num_shown: int = 4,  # four, authors' code
    trained: Trained = "both",
    num_samples: int = 10,  # seeds 0 to 9, authors' code
    temperature: float = 1.0,  # T = 1 in the source
    min_share: float = 0.6,  # confidence of at least 0.6, authors' code
    overruled_share: float = 0.8,  # confidence=0.8, authors' code
    pairs_per_prompt: int = 1,  # 1 on GSM8K, up to 3 on MATH, authors' code
    beta: float = 0.1,
    imitation_learning_rate: float = 2e-5,
    learning_rate: float = 5e-6,
    epochs: int = 2,
    batch_size: int = 16,
    lora_rank: int | None = None,
) -> Recipe:
    """Imitation of the solutions whose answer both give, as the set-up; then preferences between the teacher's and the own solutions.

    Args:
        num_prompts: prompts, the same in both stages.
        num_shown: solutions of the teacher that the model sees before it answers in the first stage.
        trained: whose solutions it imitates there: `both`, `teacher` or `own`.
        num_samples, temperature: samples a prompt in the second stage.
        min_share, overruled_share: share of them that a majority has at least, and where it is against the teacher.
        pairs_per_prompt: preferences of one prompt at most.
        beta: of DPO.
        imitation_learning_rate, learning_rate: of the first and of the second stage, linear decay with warm-up 0.1.
        epochs, batch_size: of both.
        lora_rank: of LoRA adapters (extra `lora`); None trains the full weights.
    """
    imitation, preference = (
        decaying(rate, epochs=epochs, batch_size=batch_size, lora_rank=lora_rank)
        for rate in (imitation_learning_rate, learning_rate)
    )
    first = Step(
        name="agreed",
        prompts=batch(num_prompts),
        sample=beside_teacher(num_shown),
        select=agreed_with_teacher(final_answer, trained=trained),
        objective=NLL(),
        training=imitation,
    )
    second = Step(
        name="weak_to_strong",
        prompts=prompts_of("agreed"),  # all of `train_2` in both stages, authors' data
        sample=chain(completions(num_samples, temperature=temperature), with_teacher()),
        select=teacher_or_majority(
            final_answer, min_share=min_share, overruled_share=overruled_share, num_pairs=pairs_per_prompt
        ),
        objective=DPO(beta),
        training=preference,
    )
    return Recipe(name="weak_to_strong", setup=(first,), steps=(second,), rounds=1)
