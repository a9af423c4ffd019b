"""Answers that a model's samples agree on, and as many of each label."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence

from sharpen.examples import Demonstration, Row
from sharpen.parts import part
from sharpen.prompts.more_inputs import length_band
from sharpen.protocols import Round
from sharpen.sample.demonstrated import given_answer, shown_demonstrations
from sharpen.sequences import flattened, mapped
from sharpen.types import Group

__all__ = ["agreed", "agreed_answers", "equal_labels", "label_in"]


def agreed(texts: Sequence[str], min_share: float) -> str | None:
    """The most frequent text, of equally frequent ones the shortest and then the first; None where its share is below `min_share`.

    SELF-GUIDE (Zhao et al. 2024, arXiv 2407.12874), the authors' code.

    >>> agreed(["a", "a", "b"], 0.3), agreed(["long", "b"], 0.3), agreed(["a", "b", "c", "d"], 0.3)
    ('a', 'b', None)
    """
    counts = Counter(texts)
    if not counts:
        return None
    most = max(counts.values())
    if most / len(texts) < min_share:
        return None
    return min((text for text, count in counts.items() if count == most), key=len)


def label_in(text: str, labels: Sequence[str]) -> str | None:
    """The one label that the text contains; None where there is none, or more than one. A label inside a longer one is not counted.

    >>> label_in("It is not spam.", ["spam", "not spam"]), label_in("yes or no", ["yes", "no"])
    ('not spam', None)
    """
    there = [label for label in labels if label in text]
    found = [label for label in there if not any(label != other and label in other for other in there)]
    return found[0] if len(found) == 1 else None


@part(reads=("task",))
def agreed_answers(
    min_share: float = 0.3, *, num_demonstrations: int = 3, max_sigmas: float | None = 2.0
) -> Callable[[Sequence[Group], Round], Sequence[Demonstration]]:
    """One demonstration of each prompt whose finished samples agree: their most frequent answer, or the label that it names.

    Where a prompt has options, an answer that names none of them, or several, is left out. Where it has none, so is one whose length is
    not like that of the worked examples' answers.

    Args:
        min_share: the least share that says the same, in [0, 1], of the finished samples that are not of another length.
        num_demonstrations: worked examples whose answers' lengths are read.
        max_sigmas: deviations from their mean length, in characters; None takes any length.

    Raises:
        ValueError: `min_share` is outside its range; or, when it runs, the task has too few examples.
    """
    if not 0 <= min_share <= 1:
        raise ValueError(f"min_share is {min_share}; it is a share in [0, 1]")

    def stage(groups: Sequence[Group], round: Round) -> Sequence[Demonstration]:
        shown = shown_demonstrations(round.task, num_demonstrations)
        least, most = length_band([example.row.completion.text for example in shown], max_sigmas)

        def example(group: Group) -> list[Demonstration]:
            finished = [one for one in group.completions if one.finish != "length" and one.text.strip()]
            options = group.prompt.options
            told = [text for text in (one.text.strip() for one in finished) if options or least <= len(text) <= most]
            answer = agreed(told, min_share)
            if answer is None:
                return []
            if options:
                label = label_in(answer, options)
                return [] if label is None else [given_answer(group.prompt, label)]
            (chosen, *_) = (one for one in finished if one.text.strip() == answer)
            return [Demonstration(row=Row(prompt=group.prompt, completion=chosen))]

        return flattened(groups, example)

    return stage


@part()
def equal_labels() -> Callable[[Sequence[Demonstration], Round], Sequence[Demonstration]]:
    """As many demonstrations of each label as of the rarest, drawn by chance, in the order they came.

    Labels that no demonstration has do not count; demonstrations of prompts without options all stay.
    """

    def stage(examples: Sequence[Demonstration], round: Round) -> Sequence[Demonstration]:
        places: dict[str, list[int]] = {}
        kept = []
        for place, example in enumerate(examples):
            if example.row.prompt.options:
                places.setdefault(example.row.completion.text, []).append(place)
            else:
                kept.append(place)
        least = min(map(len, places.values()), default=0)
        for label, found in places.items():
            order = round.rng("labels", label).permutation(len(found))[:least].tolist()
            kept += [found[where] for where in order]
        return mapped(examples.__getitem__, sorted(kept))

    return stage
