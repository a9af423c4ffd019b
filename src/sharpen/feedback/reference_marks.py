"""Marks of answers whose reference is known: a judge's that sees the reference, and how alike the two are."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import numpy as np

from sharpen.feedback.rubric import expected_mark
from sharpen.parts import part
from sharpen.protocols import Policy, Round
from sharpen.sample.templates import filled
from sharpen.types import Group, Prompt, Score, user

__all__ = ["ALONE", "DIGITS", "WITH_REFERENCE", "equal_classes", "mark_question", "reference_marks"]

DIGITS = tuple(str(digit) for digit in range(10))
_MARK = "Mark the answer to the question with a digit from 0 to 9, where more is better. Say the digit alone."
ALONE = f"{_MARK}\n\nQuestion: {{question}}\n\nAnswer: {{answer}}"
WITH_REFERENCE = f"{_MARK} The reference is right.\n\nQuestion: {{question}}\n\nReference: {{reference}}\n\nAnswer: {{answer}}"


def mark_question(prompt: Prompt, answer: str, ask: str) -> Prompt:
    """The question for a mark of an answer; its options are the ten digits, and `{reference}` in it becomes the prompt's target."""
    told = filled(ask, question=prompt.text, reference=prompt.target or "", answer=answer)
    return user(told, options=DIGITS, parents=(prompt.id,))


def equal_classes(values: Sequence[float], number: int = 10) -> list[int]:
    """Each value's class from 0, of so many classes that are equally large as far as ties allow; equal values share the middle one.

    >>> equal_classes([0.1, 0.9, 0.5, 0.5], number=4)
    [0, 3, 2, 2]
    """
    ordered = np.sort(np.asarray(values, dtype=np.float64))
    below, upto = (np.searchsorted(ordered, values, side=side) for side in ("left", "right"))
    middle = (below + upto) / (2 * max(1, len(ordered)))
    return [min(int(share * number), number - 1) for share in middle.tolist()]


@part(reads=("{role}",), writes=("rating", "likeness", "{name}"), needs=("options", "embed", "chat"))
def reference_marks(
    *, role: str = "base", name: str = "label", ask: str = WITH_REFERENCE
) -> Callable[[Sequence[Group], Round], Sequence[Group]]:
    """A mark from 0 to 9 of every completion, half by a judge that sees the target, half by its likeness to the target.

    `rating` is the judge's expected digit. `likeness` is the cosine of the mean hidden states of completion and target, each less the
    mean of all. The mark is the mean of the rating and of the likeness's class among ten equally large ones, to the nearest digit.
    Where a prompt has no target all three abstain.

    Args:
        role: who judges, and whose hidden states.
        name: of the mark.
        ask: text with `{question}`, `{reference}` and `{answer}` in it, to be answered by a digit.
    """

    def stage(groups: Sequence[Group], round: Round) -> Sequence[Group]:
        known = [(group, one.text) for group in groups if group.prompt.target is not None for one in group.completions]
        if not known:
            return [_scored(group, name, [(None, None, None)] * len(group.completions)) for group in groups]
        judge = round.policy(role)
        asked = [mark_question(group.prompt, answer, ask) for group, answer in known]
        ratings = [expected_mark(found, range(len(DIGITS))) for found in judge.options(asked)]
        cosines = _cosines([(answer, group.prompt.target or "") for group, answer in known], judge)
        classes = equal_classes(cosines, len(DIGITS))
        marks = [math.floor((rating + place) / 2 + 0.5) for rating, place in zip(ratings, classes, strict=True)]
        rows = iter(zip(ratings, cosines, map(float, marks), strict=True))
        return [
            _scored(
                group,
                name,
                [next(rows) if group.prompt.target is not None else (None, None, None) for _ in group.completions],
            )
            for group in groups
        ]

    return stage


def _cosines(pairs: Sequence[tuple[str, str]], policy: Policy) -> list[float]:
    vectors = np.array(policy.embed([user(text) for both in pairs for text in both]), dtype=np.float64)
    vectors -= vectors.mean(0)
    one, other = vectors[0::2], vectors[1::2]
    norms = np.linalg.norm(one, axis=1) * np.linalg.norm(other, axis=1)
    return [float(value) for value in (one * other).sum(1) / np.where(norms > 0, norms, 1.0)]


def _scored(group: Group, name: str, rows: Sequence[tuple[Score, Score, Score]]) -> Group:
    rating, likeness, mark = ([row[place] for row in rows] for place in range(3))
    return group.with_scores(**{"rating": rating, "likeness": likeness, name: mark})
