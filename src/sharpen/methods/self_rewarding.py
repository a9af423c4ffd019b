"""Self-rewarding: the model writes, marks and prefers its own answers."""

from __future__ import annotations

from sharpen.cards import Card
from sharpen.feedback.reading import VerdictFrom
from sharpen.feedback.rubric import RUBRIC, rubric
from sharpen.feedback.watched import watched
from sharpen.forms import decaying
from sharpen.objectives import DPO
from sharpen.parts import Recipe, recipe
from sharpen.prompts import batch
from sharpen.sample import completions
from sharpen.select import best_vs_worst

__all__ = ["CARD", "self_rewarding"]

CARD = Card(
    title="Self-rewarding language models",
    paper="Yuan et al., 2024",
    arxiv="2401.10020",
    claim="A model that judges its own answers improves at writing and at judging, round after round.",
    trains_on="preferences",
    feedback=("judge",),
    departs=(
        "the mark is its expected value under the probabilities of 0 to 5, where the source samples a judgement in words three times",
        "no supervised seed of answers and judgements, and no prompts of its own: the train prompts",
        "planted answers that must not win are marked beside the others, to watch the judge; nothing else comes of them",
        "the incumbent is DPO's reference, which the source does not say; a higher learning rate, for a small model",
    ),
    shelf="faithful",
    oracle="tests/methods/test_self_rewarding.py::test_a_judge_that_knows_gives_right_pairs_alone",
)


def self_rewarding(
    *,
    num_prompts: int = 128,
    num_samples: int = 4,  # N = 4, section 3.1
    temperature: float = 0.7,  # T = 0.7, section 3.1
    top_p: float = 0.9,  # p = 0.9, section 3.1
    ask: str = RUBRIC,
    judge: str = "incumbent",
    verdict_from: VerdictFrom = "options",
    min_gap: float = 0.0,
    beta: float = 0.1,  # beta = 0.1, section 3.1
    learning_rate: float = 5e-6,
    batch_size: int = 16,  # 16, section 3.1
    lora_rank: int | None = None,
) -> Recipe:
    """Of each prompt's samples the best marked over the worst.

    Args:
        num_prompts, num_samples: prompts a round, and samples a prompt.
        temperature, top_p: of sampling.
        ask: the rubric, with `{question}` and `{answer}` in it.
        judge: role that marks; a name of your own is given to another model by `--roles`.
        verdict_from: `options` takes the mark's expected value under the judge's probabilities; `generate` the mark that it writes, as
            a served model must.
        min_gap: marks must be further apart than this.
        beta: of DPO.
        learning_rate, batch_size: of one epoch, cosine with warm-up 0.1.
        lora_rank: of LoRA adapters (extra `lora`); None trains the full weights.
    """
    return recipe(
        name="self_rewarding",
        prompts=batch(num_prompts),
        sample=completions(num_samples, temperature=temperature, top_p=top_p),
        feedback=watched(rubric(role=judge, ask=ask, verdict_from=verdict_from)),
        select=best_vs_worst(min_gap=min_gap),
        objective=DPO(beta),
        training=decaying(learning_rate, batch_size=batch_size, lora_rank=lora_rank, schedule="cosine"),
    )
