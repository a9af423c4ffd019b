"""Conditioned reward-learning fine-tuning: given answers and own ones, each behind the name of its source and weighted by it."""

from __future__ import annotations

from sharpen.cards import Card
from sharpen.forms import decaying
from sharpen.objectives import NLL
from sharpen.parts import Recipe, Step
from sharpen.prompts import batch
from sharpen.sample import completions
from sharpen.sample.framed import Marked, framed_completions
from sharpen.select.by_source import by_source

__all__ = ["CARD", "c_rlft"]

CARD = Card(
    title="Conditioned fine-tuning on mixed-quality sources (C-RLFT, OpenChat)",
    paper="Wang et al., 2023",
    arxiv="2309.11235",
    claim="Knowing only which source an answer is from, one supervised stage learns from both, and answers as the better one does.",
    trains_on="demonstrations",
    needs=("targets",),
    feedback=("labels",),
    answers=True,
    departs=(
        "the expert source is the targets of the train prompts, the other one the model's own samples, anew each round",
        "a source is named in the prompt's last line, where the authors' code puts it into the role prefix of every turn",
        "the weight of the lesser source is given as such; in the theory it is an exponential of a reward over a temperature, and the "
        "authors' code reads it from the data: 0.1 is what others report",
        "the numbers of prompts and samples, the learning rate and the batch size are ours, for a small model",
    ),
    shelf="verdict",
    oracle="tests/methods/test_c_rlft.py::test_weights_by_source_and_by_sequence",
    verdict="no",
)


def c_rlft(
    *,
    num_prompts: int = 128,
    num_samples: int = 4,
    temperature: float = 1.0,
    expert: str = "Answer as an expert.",
    own: str = "Answer as a beginner.",
    own_weight: float = 0.1,
    learning_rate: float = 2e-5,
    epochs: int = 1,
    batch_size: int = 16,
    lora_rank: int | None = None,
) -> Recipe:
    """Targets and own samples under two lines that name their source; the result answers under the expert's.

    Args:
        num_prompts, num_samples: prompts a round, and samples a prompt.
        temperature: of sampling.
        expert, own: the lines.
        own_weight: what a sample counts for, where a target counts for 1; each answer by its mean over tokens.
        learning_rate, epochs, batch_size: of training, cosine with warm-up 0.1.
        lora_rank: of LoRA adapters (extra `lora`); None trains the full weights.
    """
    step = Step(
        name="c_rlft",
        prompts=batch(num_prompts),
        sample=completions(num_samples, temperature=temperature),
        select=by_source(Marked(line=expert), Marked(line=own), own_weight=own_weight),
        objective=NLL(per="sequence"),
        training=decaying(learning_rate, epochs=epochs, batch_size=batch_size, lora_rank=lora_rank, schedule="cosine"),
    )
    return Recipe(name="c_rlft", steps=(step,), answer=framed_completions(Marked(line=expert), temperature=0.0))
