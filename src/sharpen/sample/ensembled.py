"""A prompt's options under several contexts, and what the contexts together make of them."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Sequence
from typing import Literal

from sharpen.conversation import with_text
from sharpen.examples import Demonstration
from sharpen.parts import part
from sharpen.protocols import Round
from sharpen.sample.demonstrated import with_demonstrations, worked_examples
from sharpen.sample.predictions import shares
from sharpen.sample.templates import check_places, filled
from sharpen.sequences import Lazy
from sharpen.types import Completion, Group, Prompt

__all__ = ["Merge", "ensembled_options", "merged"]

Merge = Literal["vote", "mean", "max"]


def merged(shares_of: Sequence[Sequence[float]], merge: Merge) -> tuple[float, ...]:
    """Each option's confidence, in [0, 1], from its share in each of M contexts (Li et al. 2023, arXiv 2312.13772).

    `vote`: the share of contexts in which it is the likeliest, the first of equals; `mean` and `max`: of its shares. Maxima do not add up
    to 1.

    >>> merged([(0.6, 0.4), (0.3, 0.7)], "max"), merged([(0.6, 0.4), (0.3, 0.7)], "vote")
    ((0.6, 0.7), (0.5, 0.5))
    """
    columns = list(zip(*shares_of, strict=True))
    if merge == "max":
        return tuple(max(column) for column in columns)
    if merge == "mean":
        return tuple(math.fsum(column) / len(column) for column in columns)
    winners = [max(range(len(one)), key=lambda place: (one[place], -place)) for one in shares_of]
    return tuple(winners.count(place) / len(winners) for place in range(len(columns)))


@part(reads=("{role}", "task"), writes=("{name}",), needs=("options",))
def ensembled_options(
    num_contexts: int,
    num_demonstrations: int,
    *,
    merge: Merge = "max",
    templates: tuple[str, ...] = ("{question}",),
    role: str = "current",
    name: str = "confidence",
) -> Callable[[Sequence[Prompt], Round], Sequence[Group]]:
    """For each prompt a group of its options, each with the confidence that `num_contexts` contexts give it together.

    Every context shows worked examples of its own, drawn for this prompt alone, in an order of their own, and puts questions by the
    templates in turn. A prompt is never shown its own answer.

    Args:
        num_contexts: contexts a prompt.
        num_demonstrations: worked examples in each: the task's own or, where it has none, train prompts with their targets.
        merge: how shares become one confidence, as in `merged`.
        templates: texts with `{question}` in them, for the examples' questions and the prompt's.
        role: who is asked.
        name: of the score.

    Raises:
        ValueError: a number is below 1, or a template has no place for the question; or, when it runs, a prompt has no options or the task
            too few examples.
    """
    if num_contexts < 1 or num_demonstrations < 1:
        raise ValueError(f"num_contexts {num_contexts} and num_demonstrations {num_demonstrations} are at least 1")
    for template in templates:
        check_places("template", template, "question")

    def stage(prompts: Sequence[Prompt], round: Round) -> Sequence[Group]:
        known = worked_examples(round.task)
        shown = {one.row.prompt.id for one in known}

        def context(prompt: Prompt, number: int) -> Prompt:
            others = [one for one in known if one.row.prompt.id != prompt.id] if prompt.id in shown else known
            if len(others) < num_demonstrations:
                raise ValueError(
                    f"{num_demonstrations} demonstrations asked of task {round.task.name!r}, which has {len(others)}; ask for fewer"
                )
            drawn = round.rng("contexts", prompt.id, number).permutation(len(others))[:num_demonstrations].tolist()
            template = templates[number % len(templates)]
            return with_demonstrations(_put(prompt, template), [_worded(others[place], template) for place in drawn])

        asked = Lazy(len(prompts) * num_contexts, lambda place: context(prompts[place // num_contexts], place % num_contexts))
        found = [shares(one) for one in round.policy(role).options(asked)]
        return Lazy(
            len(prompts),
            lambda place: _options(
                prompts[place], name, merged(found[place * num_contexts : (place + 1) * num_contexts], merge)
            ),
        )

    return stage


def _put(prompt: Prompt, template: str) -> Prompt:
    return with_text(prompt, filled(template, question=prompt.text))


def _worded(shown: Demonstration, template: str) -> Demonstration:
    return dataclasses.replace(shown, row=dataclasses.replace(shown.row, prompt=_put(shown.row.prompt, template)))


def _options(prompt: Prompt, name: str, confidence: Sequence[float]) -> Group:
    labels = [
        Completion(segments=(), text=text, finish="given", prompt_id=prompt.id, index=place)
        for place, text in enumerate(prompt.options or ())
    ]
    return Group(prompt=prompt, completions=tuple(labels)).with_scores(**{name: confidence})
