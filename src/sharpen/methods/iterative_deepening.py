"""Iterative deepening sampling: answers in growing slices, told to think again between them, and a vote. Nothing is trained."""

from __future__ import annotations

from sharpen.cards import Card
from sharpen.parts import Recipe, chain
from sharpen.sample.deepened import TRIGGER, deepened_completions
from sharpen.select import majority
from sharpen.select.answers import final_answer

__all__ = ["CARD", "iterative_deepening"]

CARD = Card(
    title="Iterative deepening sampling",
    paper="Chen et al., 2025",
    arxiv="2502.05449",
    claim="Triggers of self-correction at geometrically growing intervals solve more hard problems than plain samples under the same vote.",
    trains_on=None,
    feedback=("votes",),
    answers=True,
    departs=(
        "the trigger is in our words, and the first slice of 64 tokens, the growth of 2 and the 8 samples are ours",
        "an answer that ends within its slice is not made to go on",
        "slices end after a number of tokens, wherever that is in a sentence, and all together at the task's limit",
        "votes only; the source also takes the best of n by a reward model",
        "answers are compared by their last number, or, where there is none, as whole texts with all that was said before the last trigger",
    ),
    shelf="faithful",
    oracle="tests/methods/test_iterative_deepening.py::test_slices_grow_geometrically",
)


def iterative_deepening(
    *, num_samples: int = 8, first: int = 64, growth: float = 2.0, trigger: str = TRIGGER, temperature: float = 0.7
) -> Recipe:
    """The majority answer of `num_samples` that were each told to think again.

    Args:
        num_samples: answers a prompt.
        first, growth: tokens of the first slice, and of each slice over the one before.
        trigger: what is said between slices.
        temperature: of sampling.
    """
    sample = deepened_completions(num_samples, first=first, growth=growth, trigger=trigger, temperature=temperature)
    return Recipe(name="iterative_deepening", answer=chain(sample, majority(final_answer)))
