"""Further inputs of a task, in the manner of a few given ones and away from those that were written before."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Sequence

import numpy as np

from sharpen.conversation import with_text
from sharpen.parts import part
from sharpen.protocols import Round, Sampling
from sharpen.sample.demonstrated import shown_demonstrations
from sharpen.sample.said import said
from sharpen.sample.templates import filled
from sharpen.types import Prompt, user

__all__ = ["length_band", "more_inputs"]

_ASK = (
    "Below are inputs of a task. Write one more, as different from all of them as they are from one another.\n\n"
    "Good inputs:\n{good}\n\nWeaker inputs, which yours should surpass:\n{weak}\n\n{label}Write the new input alone."
)
_LABEL = "The right output for it should be: {label}.\n"
_NO_INPUTS = ("as an ai", "i'm sorry", "i am sorry", "i cannot", "here is a new input", "new input:")
_MOST_WEAK = 10


def length_band(texts: Sequence[str], max_sigmas: float | None) -> tuple[float, float]:
    """The least and the most characters that a text may have: the mean of these texts' lengths and `max_sigmas` deviations around it.

    Without `max_sigmas`, or without texts, there is no bound. The deviation is that of the texts themselves (over n, not n - 1).

    >>> length_band(["abcd", "abcdef"], 2.0), length_band([], 2.0)
    ((3.0, 7.0), (0.0, inf))
    """
    if max_sigmas is None or not texts:
        return 0.0, math.inf
    lengths = [len(text) for text in texts]
    mean = math.fsum(lengths) / len(lengths)
    spread = max_sigmas * math.sqrt(math.fsum((length - mean) ** 2 for length in lengths) / len(lengths))
    return mean - spread, mean + spread


@part(reads=("{role}", "task"), needs=("generate", "chat"))
def more_inputs(
    num_passes: int,
    per_pass: int = 10,
    *,
    num_demonstrations: int = 3,
    max_sigmas: float | None = None,
    temperature: float | None = None,
    max_new_tokens: int = 500,
    role: str = "current",
    ask: str = _ASK,
) -> Callable[[Sequence[Prompt], Round], Sequence[Prompt]]:
    """Prompts that a policy writes after the task's worked examples (SELF-GUIDE: Zhao et al. 2024, arXiv 2407.12874).

    The examples' inputs are shown as good ones, and 1 to 10 inputs of earlier passes, drawn by chance, as weaker ones. Where the examples
    have options, each call names one of them, drawn by chance, so that all are written for; what it was is forgotten. Left out are texts
    that are cut, empty, no inputs but talk about them, there already, or of another length. The prompts that come in are not looked at.

    Args:
        num_passes: how often inputs are asked for; a pass is shown those of the passes before.
        per_pass: inputs asked for in one.
        num_demonstrations: worked examples that are shown.
        max_sigmas: deviations from the examples' mean length, in characters; None takes any length.
        temperature: of sampling; None is 0.7 where the examples have options, else 0.9.
        max_new_tokens: tokens of an input at most.
        role: who writes.
        ask: text with `{good}` and `{weak}` in it, and `{label}` where that is named.

    Raises:
        ValueError: a number is below 1; or, when it runs, the task has too few examples.
    """
    if min(num_passes, per_pass, num_demonstrations) < 1:
        raise ValueError(
            f"num_passes {num_passes}, per_pass {per_pass} and num_demonstrations {num_demonstrations} are at least 1"
        )

    def stage(prompts: Sequence[Prompt], round: Round) -> Sequence[Prompt]:
        shown = [example.row.prompt for example in shown_demonstrations(round.task, num_demonstrations)]
        like, good = shown[0], [prompt.text for prompt in shown]
        heat = temperature if temperature is not None else 0.7 if like.options else 0.9
        sampling = Sampling(temperature=heat, top_k=40, max_new_tokens=max_new_tokens)  # top_k 40, the authors' script
        least, most = length_band(good, max_sigmas)
        found: dict[str, Prompt] = {}
        for number in range(num_passes):
            asked = []
            for place in range(per_pass):
                rng = round.rng("inputs", number, place)
                label = _LABEL.replace("{label}", like.options[int(rng.integers(len(like.options)))]) if like.options else ""
                weak = _listed(_some(list(found), rng)) or "- (none yet)"
                asked.append(user(filled(ask, label=label, good=_listed(good), weak=weak)))
            for text in said(asked, round.policy(role), sampling, seed=round.seed, start=number * per_pass):
                talk = any(phrase in text.lower() for phrase in _NO_INPUTS)
                if text and not talk and text not in good and least <= len(text) <= most:
                    made = with_text(like, text)
                    found[text] = dataclasses.replace(made, target=None, tags={"made": "self-guide"}, parents=())
        return list(found.values())

    return stage


def _some(texts: Sequence[str], rng: np.random.Generator) -> list[str]:
    """One to ten of them, in an order drawn by chance."""
    count = int(rng.integers(1, min(_MOST_WEAK, len(texts)) + 1)) if texts else 0
    return [texts[place] for place in rng.permutation(len(texts))[:count].tolist()]


def _listed(texts: Sequence[str]) -> str:
    return "\n".join(f"- {text}" for text in texts)
