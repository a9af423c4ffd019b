"""A judge's mark on a scale, as its expected value under the probabilities of the marks."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

from sharpen.feedback.quoted import QUOTED, quoted
from sharpen.feedback.reading import VerdictFrom, verdicts_on
from sharpen.feedback.scored import scored, signalled
from sharpen.parts import part
from sharpen.protocols import Round
from sharpen.sample.templates import filled
from sharpen.sequences import flattened
from sharpen.types import Group, Prompt, user

__all__ = ["RUBRIC", "expected_mark", "rubric"]

RUBRIC = (
    "Review the answer to the question below and give it a mark from 0 to 5. Add one point for each of these: it is relevant; it covers "
    "a good part of the question; it answers what was asked; it is clear and well put; it is of an expert's quality.\n\n"
    f"Question: {{question}}\n\n{QUOTED.format(what='answer')}\n\n{{quoted}}\n\nSay the mark alone."
)


def expected_mark(logprobs: Sequence[float], marks: Sequence[float]) -> float:
    """The mean of the marks under their probabilities, made to add up to 1, from log-probabilities (nats).

    >>> round(expected_mark([math.log(0.1), math.log(0.3)], [0.0, 5.0]), 3)
    3.75
    """
    top = max(logprobs)
    shares = [math.exp(one - top) for one in logprobs]
    return math.fsum(share * mark for share, mark in zip(shares, marks, strict=True)) / math.fsum(shares)


@part(reads=("{role}",), writes=("{name}",), needs=("{verdict_from}", "chat"))
def rubric(
    *,
    role: str = "incumbent",
    name: str = "reward",
    ask: str = RUBRIC,
    marks: tuple[int, ...] = (0, 1, 2, 3, 4, 5),
    verdict_from: VerdictFrom = "options",
) -> Callable[[Sequence[Group], Round], Sequence[Group]]:
    """A judge's expected mark of every completion. The signal `{name}_spread` says how far apart a group's are.

    Args:
        role: who judges.
        name: of the score.
        ask: text with `{question}` and `{answer}` in it, to be answered by a mark; `{quoted}` is the answer between marks that it
            cannot know.
        marks: the scale.
        verdict_from: `options` is the mark's expected value under the judge's probabilities; `generate` the mark that the judge writes,
            where it abstains if it writes none that can be read.

    Raises:
        ValueError: there are fewer than two marks.
    """
    if len(marks) < 2:
        raise ValueError(f"marks {marks} are no scale; give at least two")

    def stage(groups: Sequence[Group], round: Round) -> Sequence[Group]:
        asked = flattened(groups, lambda group: prompts_of(group, round.run_seed))
        found = verdicts_on(asked, round.policy(role), verdict_from=verdict_from)
        scores = [None if one is None else expected_mark(one, marks) for one in found]
        counts = [len(group.completions) for group in groups]
        spreads, start = [], 0
        for count in counts:
            here = [one for one in scores[start : start + count] if one is not None]
            spreads.append({f"{name}_spread": max(here) - min(here) if here else None})
            start += count
        return signalled(scored(groups, name, scores, counts), spreads)

    def prompts_of(group: Group, seed: int) -> list[Prompt]:
        asked = group.prompt.text
        return [
            user(
                filled(ask, question=asked, answer=one.text, quoted=quoted(one.text, seed, asked)),
                options=tuple(map(str, marks)),
                parents=(group.prompt.id,),
            )
            for one in group.completions
        ]

    return stage
