"""Direct Nash optimisation, as practised: good answers over clearly worse ones, a teacher's among them, round after round."""

from __future__ import annotations

from sharpen.cards import Card
from sharpen.feedback.verify import verify
from sharpen.forms import decaying
from sharpen.objectives import DPO
from sharpen.parts import Recipe, chain, recipe
from sharpen.prompts import batch
from sharpen.protocols import Verifier
from sharpen.sample import completions
from sharpen.sample.also import also_given
from sharpen.select.large_margins import large_margin_pairs

__all__ = ["CARD", "dno"]

CARD = Card(
    title="Direct Nash optimisation (DNO-Prct)",
    paper="Rosset et al., 2024",
    arxiv="2404.03715",
    claim="Contrasting own answers with a teacher's in pairs of large margin, anew each round, brings a model past its teacher.",
    trains_on="preferences",
    needs=("verifier", "targets"),
    feedback=("verifier", "labels"),
    departs=(
        "a verifier scores each answer by itself in [0, 1], where a strong judge gives all of a prompt together 0 to 6 points; the "
        "thresholds are the source's in sixths",
        "the teacher's answers are the targets of the train prompts",
        "answers that repeat themselves are scored like all others; in the source they are always rejected",
        "the shares of replayed pairs are of all pairs, and those replayed are drawn evenly",
        "the source's further coefficient of 0.005, whose part we could not find out, is left out",
        "fewer prompts and a lower learning rate (the source: 5e-5, less in later rounds)",
        "the gate keeps the best model, where the source picks it last",
    ),
    shelf="faithful",
    oracle="tests/methods/test_dno.py::test_the_ten_pairs_of_the_entry",
)


def dno(
    verifier: Verifier,
    *,
    num_prompts: int = 128,
    num_samples: int = 5,  # K = 5 in the source
    temperature: float = 0.7,  # T = 0.7 in the source
    top_p: float = 0.95,  # top-p = 0.95 in the source
    min_score: float = 5 / 6,  # 5 of 6 points in the source
    min_lead: float = 2 / 6,  # 2 points in the source
    min_own_lead: float = 1 / 6,  # 1 point in the source
    replayed: tuple[float, ...] = (0.3, 0.15),  # 30 % and 15 % in the source
    beta: float = 0.1,  # 0.1 or 0.05 in the source
    learning_rate: float = 5e-6,
    batch_size: int = 64,  # 64 in the source
    lora_rank: int | None = None,
) -> Recipe:
    """Each prompt's samples and its target in all pairs of a large margin, with the incumbent as reference.

    Args:
        verifier: scores the samples and the targets, in [0, 1].
        num_prompts, num_samples: prompts a round, and samples a prompt.
        temperature, top_p: of sampling.
        min_score: least score of a chosen answer.
        min_lead, min_own_lead: least lead of a target, and of a sample, over what is rejected.
        replayed: shares of all pairs that come from the rounds before, the latest first.
        beta: of DPO.
        learning_rate, batch_size: of one epoch, linear decay with warm-up 0.1.
        lora_rank: of LoRA adapters (extra `lora`); None trains the full weights.
    """
    return recipe(
        name="dno",
        prompts=batch(num_prompts),
        sample=chain(completions(num_samples, temperature=temperature, top_p=top_p), also_given()),
        feedback=verify(verifier),
        select=large_margin_pairs(
            "dno", min_score=min_score, min_lead=min_lead, min_own_lead=min_own_lead, replayed=tuple(replayed)
        ),
        objective=DPO(beta),
        training=decaying(learning_rate, batch_size=batch_size, lora_rank=lora_rank),
    )
