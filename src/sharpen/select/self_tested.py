"""Answers taken out from before the tests that they brought along."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence

from sharpen.examples import Demonstration, Row
from sharpen.parts import part
from sharpen.protocols import Round
from sharpen.select.cleaned import Cleaned
from sharpen.types import Completion, Group
from sharpen.verifiers.code.own_tests import split_answer

__all__ = ["before_tests", "passing_answers"]


def before_tests(completion: Completion) -> Cleaned | None:
    """What stands before an answer's own tests, or None where the answer was cut, or lacks either."""
    parts = split_answer(completion.text) if completion.finish != "length" else None
    return None if parts is None else Cleaned(text=parts[0], finished=True)


@part()
def passing_answers(
    keep: Callable[[Completion], Cleaned | None] = before_tests, *, by: str = "reward", min_score: float = 1.0
) -> Callable[[Sequence[Group], Round], Sequence[Demonstration]]:
    """What `keep` takes out of each completion with that score, to be imitated under its group's prompt; what repeats an earlier one of
    any prompt, white space aside, is left out.

    Args:
        keep: says what is the answer, and which are kept.
        by, min_score: the score that is read, and the least that is good enough; abstained ones are never kept.

    Raises:
        ValueError: when it runs, no stage has written that score.
    """

    def stage(groups: Sequence[Group], round: Round) -> Sequence[Demonstration]:
        found: dict[tuple[str, str], Demonstration] = {}
        for group in groups:
            for one, score in zip(group.completions, group.score(by), strict=True):
                answer = keep(one) if score is not None and score >= min_score else None
                if answer is not None:
                    lesson = Demonstration(row=Row(prompt=group.prompt, completion=_given(one, group, answer.text)))
                    found.setdefault((group.prompt.id, "".join(answer.text.split())), lesson)
        return list(found.values())

    return stage


def _given(one: Completion, group: Group, text: str) -> Completion:
    """The text as foreign: the tokens that were sampled went on to the tests."""
    return dataclasses.replace(
        one, segments=(), text=text, finish="given", prompt_id=group.prompt.id, checkpoint=None, parents=(one.id,)
    )
