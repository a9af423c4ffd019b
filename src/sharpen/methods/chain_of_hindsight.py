"""Chain of hindsight: good and bad answers in one sequence, each behind words that say which it is; then only good ones are asked for."""

from __future__ import annotations

import dataclasses

from sharpen.cards import Card
from sharpen.forms import decaying, trained_on_verified
from sharpen.objectives import NLL
from sharpen.parts import Recipe, chain
from sharpen.protocols import Verifier
from sharpen.sample.framed import Marked, framed_completions
from sharpen.select import best_vs_worst
from sharpen.select.in_hindsight import Markers, in_hindsight

__all__ = ["CARD", "chain_of_hindsight"]

CARD = Card(
    title="Chain of hindsight",
    paper="Liu et al., 2023",
    arxiv="2302.02676",
    claim="Trained on good and bad answers in one sequence, each told by words of feedback, a model gives good ones when asked for them.",
    trains_on="demonstrations",
    needs=("verifier",),
    feedback=("verifier",),
    answers=True,
    departs=(
        "the pairs are own samples that a verifier ranks, over several rounds; the source has answers rated by people, and trains once",
        "markers are said by the user, in the prompt's last line and in a further turn, so that both answers have an end",
        "the markers' words are ours; the authors' code also trains on ties, and on questions which of two answers is better",
        "each pair is trained in all four orders, where the authors' code draws one form",
        "pairs of which one answer was cut are left out",
        "no random masking of past tokens, which the authors' code leaves off by default",
        "no text of pre-training is trained on beside (the authors' code: with weight 0.01)",
        "the numbers of prompts and samples, the learning rate and the batch size are ours, for a small model",
    ),
    shelf="verdict",
    oracle="tests/methods/test_chain_of_hindsight.py::test_answers_and_their_ends_are_trained_and_no_marker_is",
    verdict="no",
)

WORDINGS = (
    Markers(good="Give a helpful answer.", bad="Give an unhelpful answer."),
    Markers(good="Give a good answer.", bad="Give a bad answer."),
)


def chain_of_hindsight(
    verifier: Verifier,
    *,
    num_prompts: int = 128,
    num_samples: int = 4,
    temperature: float = 1.0,
    wordings: tuple[Markers, ...] = WORDINGS,
    learning_rate: float = 2e-5,
    epochs: int = 1,
    batch_size: int = 16,
    lora_rank: int | None = None,
) -> Recipe:
    """Of each prompt's samples the best and the worst, in sequences of one and of both; the result answers behind the first good marker.

    Args:
        verifier: ranks the samples.
        num_prompts, num_samples: prompts a round, and samples a prompt.
        temperature: of sampling.
        wordings: how good and bad answers are asked for, in training.
        learning_rate, epochs, batch_size: of training, linear decay with warm-up 0.1.
        lora_rank: of LoRA adapters (extra `lora`); None trains the full weights.
    """
    how = decaying(learning_rate, epochs=epochs, batch_size=batch_size, lora_rank=lora_rank)
    size = {"num_prompts": num_prompts, "num_samples": num_samples}
    select = chain(best_vs_worst(), in_hindsight(tuple(wordings)))
    made = trained_on_verified("chain_of_hindsight", verifier, select, NLL(), how, **size, temperature=temperature)
    return dataclasses.replace(made, answer=framed_completions(Marked(line=wordings[0].good), temperature=0.0))
