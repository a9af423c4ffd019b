"""From scored groups to demonstrations, and which of them to keep."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Hashable, Sequence
from typing import Literal, get_args

from sharpen.parts import part
from sharpen.protocols import Round
from sharpen.select.keys import text
from sharpen.types import Completion, Demonstration, Group, Row

__all__ = ["cap", "demonstrations", "distinct"]

Prefer = Literal["shortest", "first", "random"]


@part()
def demonstrations(
    by: str = "reward", *, min_score: float = 1.0, finished_only: bool = True
) -> Callable[[Sequence[Group], Round], Sequence[Demonstration]]:
    """Each completion whose score is at least `min_score`, to be imitated under its group's prompt; abstained ones never.

    A completion that was cut at its length limit has no stop token: imitated, it would teach the model not to stop.

    Args:
        by: the score that is read.
        min_score: the least that is good enough.
        finished_only: leave out completions that were cut.

    Raises:
        ValueError: when it runs, no stage has written that score.
    """

    def stage(groups: Sequence[Group], round: Round) -> Sequence[Demonstration]:
        return [
            Demonstration(row=Row(prompt=group.prompt, completion=completion))
            for group in groups
            for completion, score in zip(group.completions, group.score(by), strict=True)
            if score is not None and score >= min_score and not (finished_only and completion.finish == "length")
        ]

    return stage


@part()
def distinct(
    key: Callable[[Completion], Hashable] = text,
) -> Callable[[Sequence[Demonstration], Round], Sequence[Demonstration]]:
    """One demonstration, the first, of each distinct answer to a prompt.

    Args:
        key: what makes two completions the same: `keys.text`, `keys.equations`, or any function of a completion.
    """

    def stage(examples: Sequence[Demonstration], round: Round) -> Sequence[Demonstration]:
        found: dict[tuple[str, Hashable], Demonstration] = {}
        for example in examples:
            found.setdefault((example.row.prompt.id, key(example.row.completion)), example)
        return list(found.values())

    return stage


@part()
def cap(per_prompt: int, *, prefer: Prefer = "shortest") -> Callable[[Sequence[Demonstration], Round], Sequence[Demonstration]]:
    """At most `per_prompt` demonstrations of each prompt, in the order they came.

    Args:
        per_prompt: at least 1.
        prefer: `shortest` in tokens (of equals the lower sample index), `first` as they came, or `random`, drawn for each
            prompt by itself, so that no other prompt and no order changes the draw.

    Raises:
        ValueError: `per_prompt` is below 1, or `prefer` is unknown.
    """
    if per_prompt < 1:
        raise ValueError(f"cap({per_prompt}) keeps nothing; per_prompt is at least 1")
    if prefer not in get_args(Prefer):
        raise ValueError(f"cap(prefer={prefer!r}) is unknown; prefer is one of {', '.join(get_args(Prefer))}")

    def stage(examples: Sequence[Demonstration], round: Round) -> Sequence[Demonstration]:
        places: dict[str, list[int]] = defaultdict(list)
        for place, example in enumerate(examples):
            places[example.row.prompt.id].append(place)
        completions = [example.row.completion for example in examples]
        kept = {
            place
            for prompt, found in places.items()
            for place in _preferred(found, completions, prefer, prompt, round)[:per_prompt]
        }
        return [example for place, example in enumerate(examples) if place in kept]

    return stage


def _preferred(places: list[int], completions: list[Completion], prefer: Prefer, prompt: str, round: Round) -> list[int]:
    if prefer == "first":
        return places
    places = sorted(places, key=lambda place: (completions[place].index, completions[place].id))
    if prefer == "shortest":
        return sorted(places, key=lambda place: len(completions[place].token_ids))
    return [places[i] for i in round.rng("cap", prompt).permutation(len(places))]
