"""Texts split in halves down to a sentence, and the best and most different of the questions about their parts."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from sharpen.feedback.p_true import between
from sharpen.feedback.value import asked
from sharpen.parts import part
from sharpen.prompts.instructions import rouge_l
from sharpen.protocols import Round
from sharpen.types import Group, Prompt, user

__all__ = ["WORTH_ASKING", "ContextTree", "best_questions", "context_trees", "greedily", "halves"]

WORTH_ASKING = (
    "Text: {question}\n\nQuestion about it: {answer}\n{principles}Is this a good question to ask about the text? Say Yes or No."
)
_SENTENCE_END = re.compile(r"(?<=[.!?;])\s+|(?<=[。！？])|\n+")  # noqa: RUF001  # marks of Chinese sentences


def halves(text: str) -> tuple[str, str] | None:
    """Two parts that are the text but for white space between them, cut at the sentence's end nearest its middle.

    Where there is but one sentence it is cut between the words nearest the middle; None for a single word.

    >>> halves("One two. Three four. Five."), halves("Two words"), halves("word")
    (('One two.', 'Three four. Five.'), ('Two', 'words'), None)
    """
    for cut in (_SENTENCE_END, re.compile(r"\s+")):
        places = [match.end() for match in cut.finditer(text)]
        inside = [place for place in places if text[:place].strip() and text[place:].strip()]
        if inside:
            nearest = min(inside, key=lambda place: (abs(place - len(text) / 2), place))
            return text[:nearest].strip(), text[nearest:].strip()
    return None


@dataclass(frozen=True, kw_only=True)
class ContextTree:
    """How a text is split, and how many questions about it are kept.

    Attributes:
        max_length: characters above which a part is split and not asked about.
        min_length: characters up to which a part is neither split nor asked about.
        per_question: characters of a text for each question that is kept.
        min_question: characters of a question at least.
    """

    max_length: int = 500
    min_length: int = 20
    per_question: int = 35
    min_question: int = 5

    def parts_of(self, text: str) -> list[str]:
        """The parts that are asked about, a part before its halves: each is shorter than the one that it is half of, so this ends."""
        if len(text) <= self.min_length:
            return []
        split = halves(text)
        below = [part for half in split for part in self.parts_of(half)] if split else []
        return below if len(text) > self.max_length else [text, *below]


def greedily(ranked: Sequence[str], count: int, max_likeness: float) -> list[int]:
    """Places of the first `count` texts whose ROUGE-L with each one kept before is at most `max_likeness`; the order decides.

    >>> greedily(["What is it?", "What is it then?", "Who came?"], 2, 0.7)
    [0, 2]
    """
    kept: list[int] = []
    for place, text in enumerate(ranked):
        if len(kept) == count:
            break
        if all(rouge_l(text, ranked[other]) <= max_likeness for other in kept):
            kept.append(place)
    return kept


@part()
def context_trees(tree: ContextTree) -> Callable[[Sequence[Prompt], Round], Sequence[Prompt]]:
    """The parts of each prompt's text, as prompts of their own, each once; their tag `root` says which prompt they are part of.

    The tag `wanted` is the number of questions that are kept of that prompt (AugCon: Quan 2024, arXiv 2405.16579).
    """

    def stage(prompts: Sequence[Prompt], round: Round) -> Sequence[Prompt]:
        found: dict[str, Prompt] = {}
        for prompt in prompts:
            tags = {"made": "context", "root": prompt.id, "wanted": len(prompt.text) // tree.per_question}
            for text in tree.parts_of(prompt.text):
                one = user(text, tags=tags, parents=(prompt.id,))
                found.setdefault(one.id, one)
        return list(found.values())

    return stage


@part(reads=("past:{step}.groups", "{role}"), needs=("options", "chat"))
def best_questions(
    step: str,
    *,
    by: str = "full",
    max_likeness: float = 0.7,
    min_length: int = 5,
    role: str = "scorer",
    ask: str = WORTH_ASKING,
) -> Callable[[Sequence[Prompt], Round], Sequence[Prompt]]:
    """The questions about each text that a scorer ranks highest and that are unlike those ranked above them, as prompts.

    Their tag `context` holds the part that they were asked about. As many are kept of a text as its tag `wanted` says. The prompts that
    come in are not looked at.

    Args:
        step: the step whose groups hold the questions, as completions to parts of texts.
        by: the score that is 1 for questions to choose from.
        max_likeness: ROUGE-L above which two questions are alike.
        min_length: characters of a question at least.
        role: who scores.
        ask: text with `{question}` (the part) and `{answer}` (the question) in it, to be answered by Yes or No.

    Raises:
        ValueError: when it runs, that step has not run yet, or has not written that score.
    """

    def stage(prompts: Sequence[Prompt], round: Round) -> Sequence[Prompt]:
        past = round.past(step, "groups")
        if not past:
            raise ValueError(f"step {step!r} has made no questions yet; put it before this one")
        pairs = [
            (group.prompt, one.text.strip())
            for group in past[-1]
            if isinstance(group, Group)
            for one, score in zip(group.completions, group.score(by), strict=True)
            if score == 1 and one.finish == "stop" and len(one.text.strip()) >= min_length
        ]
        judged = [asked(context, text, ask=ask) for context, text in pairs]
        values = [between(yes, no) for yes, no in round.policy(role).options(judged)] if judged else []
        order = sorted(range(len(pairs)), key=lambda place: -values[place])
        ranked: dict[object, list[tuple[Prompt, str]]] = {context.tags["root"]: [] for context, _ in pairs}
        for place in order:
            ranked[pairs[place][0].tags["root"]].append(pairs[place])
        found: list[Prompt] = []
        for here in ranked.values():
            wanted = int(here[0][0].tags["wanted"] or 0)
            for place in greedily([text for _, text in here], wanted, max_likeness):
                context, text = here[place]
                tags = {"made": "augcon", "context": context.text}
                found.append(dataclasses.replace(user(text), tags=tags, parents=(context.id, *context.parents)))
        return list({prompt.id: prompt for prompt in reversed(found)}.values())[::-1]

    return stage
