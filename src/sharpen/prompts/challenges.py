"""New prompts in the patterns of those that a policy fails, and which patterns hold what they promise."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from sharpen.parts import part
from sharpen.protocols import Round, Sampling
from sharpen.sample.said import listed, said
from sharpen.sample.templates import filled
from sharpen.types import Group, Prompt, user

__all__ = ["Pattern", "challenges", "failed", "kept_patterns", "patterns_of"]

_FIND = (
    "A model answers these questions wrongly:\n{questions}\n\nSort them by what makes them hard. Describe each sort in one line, so that "
    "new questions of it can be written from the description alone. Write one description a line and nothing else."
)
_WRITE = (
    "Write a new question of this sort: {pattern}\n\nQuestions that a model answers wrongly, some of them of this sort:\n{questions}\n\n"
    "The new one has an answer that can be checked. Write the question alone."
)
_TAG = "pattern"


@dataclass(frozen=True, kw_only=True)
class Pattern:
    """A sort of prompts, and how the policy fared on those that were made of it.

    Attributes:
        text: its description.
        num_items: prompts that were made of it.
        num_known: those of them of which the verifier could say anything.
        num_failed: those of them that the policy failed.
    """

    text: str
    num_items: int
    num_known: int
    num_failed: int

    @property
    def failure_rate(self) -> float:
        """Share of failed prompts among those that could be judged, in [0, 1]; 0 where none could be."""
        return self.num_failed / self.num_known if self.num_known else 0.0

    @property
    def validity(self) -> float:
        """Share of its prompts that could be judged, in [0, 1]."""
        return self.num_known / self.num_items if self.num_items else 0.0


def failed(group: Group, by: str = "reward", min_score: float = 1.0) -> bool | None:
    """Whether fewer than half of the known scores reach `min_score`; None where none is known."""
    known = [score >= min_score for score in group.score(by) if score is not None]
    return sum(known) < len(known) / 2 if known else None


def patterns_of(groups: Iterable[Group], by: str = "reward", min_score: float = 1.0) -> list[Pattern]:
    """Every pattern that a prompt's tag names, in the order they came, with its counts over all groups."""
    verdicts: dict[str, list[bool | None]] = {}
    for group in groups:
        if _TAG in group.prompt.tags:
            verdicts.setdefault(str(group.prompt.tags[_TAG]), []).append(failed(group, by, min_score))
    return [
        Pattern(text=text, num_items=len(found), num_known=len(found) - found.count(None), num_failed=found.count(True))
        for text, found in verdicts.items()
    ]


def kept_patterns(patterns: Sequence[Pattern], control: float, *, most: int, min_validity: float = 0.5) -> list[Pattern]:
    """The patterns of the highest failure rates, highest first: those that fail more often than `control` and can mostly be judged.

    Args:
        patterns: of equal ones the earlier comes first.
        control: failure rate of the prompts that are of no pattern.
        most: patterns at most.
        min_validity: the least share of a pattern's prompts that the verifier judged.
    """
    good = [one for one in patterns if one.validity >= min_validity and one.failure_rate > control]
    return sorted(good, key=lambda one: -one.failure_rate)[:most]


@part(reads=("past:{step}.groups", "{role}"), needs=("generate", "chat"))
def challenges(
    num_items: int,
    *,
    step: str,
    num_asks: int = 4,
    most: int = 8,
    num_shown: int = 5,
    by: str = "reward",
    min_score: float = 1.0,
    max_new_tokens: int = 256,
    role: str = "current",
) -> Callable[[Sequence[Prompt], Round], Sequence[Prompt]]:
    """The prompts that come in, and behind them new ones in the patterns of what the policy failed (Chen et al. 2024, arXiv 2408.08978).

    In the first pass there are none. Then the policy describes sorts of the prompts that it failed in the newest pass, and writes new
    prompts of these and of earlier patterns, as many of each. An earlier pattern is written for while it is among the `most` of the highest
    failure rates over all passes, above that of prompts of no pattern, and the verifier could judge at least half of its prompts. The tag
    `pattern` of a new prompt says what it was written for.

    Args:
        num_items: new prompts asked for, over all patterns.
        step: the step whose groups carry the verdicts.
        num_asks: lists of patterns that are sampled, each after other failed prompts.
        most: earlier patterns, and new ones, at most.
        num_shown: failed prompts that are shown.
        by: the score that is the verdict.
        min_score: the least that is right.
        max_new_tokens: of a list, and of a prompt.
        role: who writes.

    Raises:
        ValueError: a number is below 1.
    """
    if min(num_items, num_asks, most, num_shown) < 1:
        raise ValueError(f"num_items {num_items}, num_asks {num_asks}, most {most} and num_shown {num_shown} are at least 1")

    def stage(prompts: Sequence[Prompt], round: Round) -> Sequence[Prompt]:
        passes = [[group for group in one if isinstance(group, Group)] for one in round.past(step, "groups")]
        hard = sorted({group.prompt.text for group in (passes[-1] if passes else ()) if failed(group, by, min_score)})
        if not hard:
            return prompts
        policy, sampling = round.policy(role), Sampling(temperature=1.0, max_new_tokens=max_new_tokens)

        def shown(*keys: object) -> str:
            places = round.rng("shown", *keys).permutation(len(hard))[:num_shown].tolist()
            return "\n".join(f"- {hard[place]}" for place in places)

        everything = [group for one in passes for group in one]
        plain = [failed(group, by, min_score) for group in everything if _TAG not in group.prompt.tags]
        control = plain.count(True) / max(1, len(plain) - plain.count(None))
        store = patterns_of(everything, by, min_score)
        asks = [user(_FIND.replace("{questions}", shown("find", number))) for number in range(num_asks)]
        known = {one.text for one in store}
        new = dict.fromkeys(listed(said(asks, policy, sampling, seed=round.seed)))
        wanted = [one.text for one in kept_patterns(store, control, most=most)]
        wanted += [text for text in new if text not in known][:most]
        if not wanted:
            return prompts
        drawn = [wanted[place % len(wanted)] for place in range(num_items)]
        asked = [user(filled(_WRITE, pattern=text, questions=shown("write", place))) for place, text in enumerate(drawn)]
        made: dict[str, Prompt] = {}
        for text, question in zip(drawn, said(asked, policy, sampling, seed=round.seed), strict=True):
            one = user(question, tags={"made": "challenge", _TAG: text})
            if question:
                made.setdefault(one.id, one)
        there = {prompt.id for prompt in prompts}
        return [*prompts, *(one for one in made.values() if one.id not in there)]

    return stage
