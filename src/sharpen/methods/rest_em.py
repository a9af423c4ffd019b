"""Self-training as expectation-maximisation: keep what is right of many samples, teach it to the base, and sample from what came of it."""

from __future__ import annotations

from sharpen.cards import Card
from sharpen.feedback.verify import verify
from sharpen.forms import decaying
from sharpen.objectives import NLL
from sharpen.parts import Recipe, chain, recipe
from sharpen.prompts import batch
from sharpen.protocols import Verifier
from sharpen.sample import completions
from sharpen.select import cap, demonstrations

__all__ = ["CARD", "rest_em"]

CARD = Card(
    title="Self-training as expectation-maximisation (ReST-EM)",
    paper="Singh et al., 2023",
    arxiv="2312.06585",
    claim="Fine-tuning the base on filtered samples of the newest model, a few times over, beats fine-tuning on human solutions.",
    trains_on="demonstrations",
    needs=("verifier",),
    feedback=("verifier",),
    departs=(
        "8 samples a prompt (the source: 32 for mathematics, 64 for programs), so that the cap acts only where more are asked for, and "
        "drawn without few-shot examples",
        "of more right answers than the cap, which are kept is drawn at random; how the source chooses is not known to us",
        "2 epochs over each round's examples; the source stops by the reward on validation problems",
        "a round begins from what the gate last promoted; the source samples from every new model",
    ),
    shelf="verdict",
    oracle="tests/methods/test_rest_em.py::test_one_round_is_one_exact_step_of_expectation_maximisation",
    verdict="no",
)


def rest_em(
    verifier: Verifier,
    *,
    num_prompts: int = 256,
    num_samples: int = 8,
    temperature: float = 0.7,  # T = 0.7, section 5
    top_k: int = 40,  # K = 40, section 5
    max_per_prompt: int = 10,  # 10 solutions a problem, section 5
    learning_rate: float = 5e-5,
    epochs: int = 2,
    batch_size: int = 16,
    lora_rank: int | None = None,
) -> Recipe:
    """All right samples up to a cap, equal ones too: how often an answer comes is its weight. Each round trains the base anew.

    Args:
        verifier: accepts or rejects an answer.
        num_prompts, num_samples: prompts a round, and samples a prompt.
        temperature, top_k: of sampling.
        max_per_prompt: answers kept a prompt, so that easy prompts do not fill the set.
        learning_rate, epochs, batch_size: of training.
        lora_rank: of LoRA adapters (extra `lora`); None trains the full weights.
    """
    return recipe(
        name="rest_em",
        prompts=batch(num_prompts),
        sample=completions(num_samples, temperature=temperature, top_k=top_k),
        feedback=verify(verifier),
        select=chain(demonstrations(), cap(max_per_prompt, prefer="random")),
        objective=NLL(),
        training=decaying(learning_rate, epochs=epochs, batch_size=batch_size, lora_rank=lora_rank),
        start="base",  # the base anew in each iteration, section 3
    )
