"""Principles that a judge goes by: what it prefers by each, training pairs that show some of them, and values by those shown."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from sharpen.digest import derived_seed
from sharpen.examples import Compared
from sharpen.feedback.scored import scored
from sharpen.feedback.value import ASK, asked, question
from sharpen.parts import part
from sharpen.protocols import Round
from sharpen.sample.templates import filled
from sharpen.sequences import Lazy, flattened
from sharpen.types import Group, Prompt, Score, user

__all__ = [
    "PREFER",
    "PRINCIPLES",
    "Principle",
    "compared_by_principles",
    "preferred_by_principle",
    "principled_value",
    "scaled_preferences",
    "score_of",
    "strongest",
]

PREFER = "Question: {question}\n(a) {first}\n(b) {second}\nPrinciple: {principle}\nWhich answer is better by it? Say a or b."
_OPTIONS = ("a", "b")


@dataclass(frozen=True, kw_only=True)
class Principle:
    """What a good answer keeps to, and what it would be to keep to the opposite.

    Attributes:
        name: of the principle, in score names.
        text: as a judge reads it.
        opposite: what is shown in its place where it is negated.
        weight: how often it is drawn for a rollout, above 0.
    """

    name: str
    text: str
    opposite: str
    weight: float = 1.0

    def __post_init__(self) -> None:
        if not self.weight > 0:
            raise ValueError(f"principle {self.name!r} has weight {self.weight}; it is above 0, 1 for as often as the others")


PRINCIPLES = tuple(
    Principle(name=one, text=f"The answer is {one}.", opposite=f"The answer is {other}.")
    for one, other in (
        ("correct", "wrong"),
        ("brief", "long"),
        ("clear", "unclear"),
        ("specific", "vague"),
        ("complete", "partial"),
    )
)


def score_of(principle: Principle) -> str:
    """The name of the score that says how far an answer is preferred by a principle.

    >>> score_of(PRINCIPLES[0])
    'by/correct'
    """
    return f"by/{principle.name}"


def scaled_preferences(pairs: Sequence[tuple[float, float]]) -> list[Score]:
    """By pair of answers, how far the first is preferred: the mean of both orders over the variance of all; None where they disagree.

    Sun et al. 2023, arXiv 2310.05910, authors' code: over the population variance, not its root, of the single values of one principle,
    so that principles can be compared. None for all where they do not vary: a judge that always says the same has no preference.

    >>> scaled_preferences([(3.0, 1.0), (-1.0, 1.0), (-2.0, -2.0)])
    [0.6, None, -0.6]

    Args:
        pairs: log-odds (nats) of the first answer over the second, asked in either order, both signed for the first.
    """
    variance = statistics.pvariance([value for pair in pairs for value in pair]) if pairs else 0.0
    return [sum(pair) / 2 / variance if variance and pair[0] * pair[1] > 0 else None for pair in pairs]


@part(reads=("{role}",), needs=("options", "chat"))
def preferred_by_principle(
    principles: tuple[Principle, ...], *, role: str = "incumbent", ask: str = PREFER
) -> Callable[[Sequence[Group], Round], Sequence[Group]]:
    """Groups of two answers, each with a score `by/NAME` for each principle: half of how far it is preferred to the other by it.

    Both abstain where the judge prefers another answer when their order is turned round.

    Args:
        principles: what is judged by, one at a time.
        role: who judges.
        ask: text with `{question}`, `{first}`, `{second}` and `{principle}`, to be answered by a or b.

    Raises:
        ValueError: there are no principles, or two of one name; or, when it runs, a group has not two completions.
    """
    if not principles or len({one.name for one in principles}) < len(principles):
        raise ValueError(f"principles are {[one.name for one in principles]}; give at least one, each with a name of its own")

    def stage(groups: Sequence[Group], round: Round) -> Sequence[Group]:
        found = iter(round.policy(role).options(flattened(groups, prompts_of)))
        leads: dict[str, list[tuple[float, float]]] = {score_of(one): [] for one in principles}
        for _ in groups:
            for column in leads.values():
                (a, b), (a_turned, b_turned) = next(found), next(found)
                column.append((a - b, b_turned - a_turned))
        scaled = {name: scaled_preferences(column) for name, column in leads.items()}

        def group_of(place: int) -> Group:
            halves = {name: column[place] for name, column in scaled.items()}
            return groups[place].with_scores(
                **{name: (None, None) if one is None else (one / 2, -one / 2) for name, one in halves.items()}
            )

        return Lazy(len(groups), group_of)

    def prompts_of(group: Group) -> list[Prompt]:
        if len(group.completions) != 2:
            raise ValueError(f"{len(group.completions)} answers to {group.prompt.text[:60]!r}: principles compare 2; sample 2")
        first, second = (one.text for one in group.completions)
        return [
            user(
                filled(ask, principle=principle.text, question=group.prompt.text, first=one, second=other),
                options=_OPTIONS,
                parents=(group.prompt.id,),
            )
            for principle in principles
            for one, other in ((first, second), (second, first))
        ]

    return stage


def strongest(leads: Sequence[float | None]) -> float:
    """The lead of the largest magnitude, of equal ones the first; 0 where there is none.

    >>> strongest([0.2, -1.5, None]), strongest([None])
    (-1.5, 0.0)
    """
    return max((lead for lead in leads if lead is not None), key=abs, default=0.0)


@part()
def compared_by_principles(
    principles: tuple[Principle, ...],
    *,
    draws: int = 4,
    most: int = 8,  # max_principles = 8, authors' code
    stop: float = 0.2,  # np.random.geometric(0.2), authors' code
    negated: float = 0.5,
    noise: float = 0.1,
    ask: str = ASK,
) -> Callable[[Sequence[Group], Round], Sequence[Compared]]:
    """Pairs of questions about a group's two answers, with principles in them; the strongest preference says which is better.

    For each draw a number of principles is drawn from a geometric distribution; each is negated with probability `negated`, which turns
    its preference round (Sun et al. 2023, arXiv 2310.05910, authors' code). A draw gives nothing where no principle has a preference,
    and a group nothing where it has not two answers. A group's draws are the same in every pass of a run.

    Args:
        principles: those that `preferred_by_principle` judged by.
        draws: of principles for each group.
        most: principles of one draw at most, and no more than there are; larger numbers are drawn again.
        stop: probability in (0, 1] that no further principle is drawn.
        negated: probability that a principle is negated.
        noise: probability that the label is turned round, so that the judge does not become too sure.
        ask: text as for `value_score`.

    Raises:
        ValueError: there are no principles, or a number is outside its range; or, when it runs, they have no scores.
    """
    if not principles or min(draws, most) < 1 or not 0 < stop <= 1 or not (0 <= negated <= 1 and 0 <= noise <= 1):
        raise ValueError(
            f"{len(principles)} principles, draws {draws}, most {most}, stop {stop}, negated {negated}, noise {noise}: give at least one "
            "principle, draw and principle a draw, stop in (0, 1], and probabilities"
        )

    def stage(groups: Sequence[Group], round: Round) -> Sequence[Compared]:
        return flattened(groups, lambda group: drawn_pairs(group, _generator(round.run_seed, group)))

    def drawn_pairs(group: Group, rng: np.random.Generator) -> list[Compared]:
        found: list[Compared] = []
        if len(group.completions) != 2:
            return found
        for _ in range(draws):
            shown, lead = drawn(group, rng)
            if rng.random() < noise:
                lead = -lead
            if lead == 0.0:
                continue
            first, second = (question(group.prompt, one, ask=ask, principles=shown) for one in group.completions)
            found.append(Compared(better=first, worse=second) if lead > 0 else Compared(better=second, worse=first))
        return found

    def drawn(group: Group, rng: np.random.Generator) -> tuple[list[str], float]:
        limit = min(most, len(principles))
        number = limit + 1
        while number > limit:
            number = int(rng.geometric(stop))
        chosen = [principles[place] for place in rng.permutation(len(principles))[:number].tolist()]
        turned = rng.random(number) < negated
        scores = [group.score(score_of(one)) for one in chosen]
        leads = [None if one[0] is None or one[1] is None else one[0] - one[1] for one in scores]
        signed = [None if lead is None else -lead if turn else lead for lead, turn in zip(leads, turned, strict=True)]
        return [one.opposite if turn else one.text for one, turn in zip(chosen, turned, strict=True)], strongest(signed)

    return stage


@part(reads=("{role}",), writes=("{name}",), needs=("options", "chat"))
def principled_value(
    principles: tuple[Principle, ...],
    *,
    num_shown: int = 3,
    role: str = "reward_model",
    name: str = "value",
    ask: str = ASK,
) -> Callable[[Sequence[Group], Round], Sequence[Group]]:
    """A judge's log-odds of Yes (nats) of every completion, with a few principles in the question, drawn for each group by weight.

    A group's completions are judged by the same ones, in the same order, so that their values can be compared.

    Args:
        principles: drawn from, without replacement.
        num_shown: how many; all where there are no more.
        role: who judges.
        name: of the score.
        ask: text as for `value_score`.

    Raises:
        ValueError: there are no principles, or none is to be shown.
    """
    if not principles or num_shown < 1:
        raise ValueError(f"{num_shown} of {len(principles)} principles shown; give at least one, and show at least one")
    weights = [one.weight / sum(other.weight for other in principles) for one in principles]

    def stage(groups: Sequence[Group], round: Round) -> Sequence[Group]:
        def prompts_of(group: Group) -> list[Prompt]:
            rng = round.rng("principles", group.prompt.id)
            drawn = rng.choice(len(principles), size=min(num_shown, len(principles)), replace=False, p=weights)
            shown = [principles[place].text for place in drawn.tolist()]
            return [asked(group.prompt, one.text, ask=ask, principles=shown) for one in group.completions]

        found = round.policy(role).options(flattened(groups, prompts_of))
        return scored(groups, name, [yes - no for yes, no in found], [len(group.completions) for group in groups])

    return stage


def _generator(run_seed: int, group: Group) -> np.random.Generator:
    """Of the run, not of the pass: a judge that is tested in every pass would else be trusted by luck in some."""
    return np.random.Generator(np.random.Philox(key=derived_seed(run_seed, "principles", group.prompt.id)))
