"""A prompt's requirements as yes/no questions, each asked of every answer by itself."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from sharpen.feedback.p_true import between
from sharpen.feedback.quoted import QUOTED, quoted
from sharpen.feedback.reading import VerdictFrom, verdicts_on
from sharpen.feedback.scored import scored, signalled
from sharpen.parts import part
from sharpen.protocols import Policy, Request, Round, Sampling
from sharpen.sample.templates import filled
from sharpen.types import Group, Prompt, Score, user

__all__ = [
    "MAKE",
    "REASON",
    "Requirement",
    "checklist",
    "pass_rate",
    "questions_in",
    "questions_of",
    "reasoned",
    "requirements_met",
    "verdict_in",
]

MAKE = (
    "Below is an instruction. List what a good response must fulfil, as 2 to 8 short questions that can be answered by yes or no, where "
    "yes means that the response fulfils it. Write one question a line and nothing else.\n\nInstruction: {question}"
)
ASK = f"Instruction: {{question}}\n\n{QUOTED.format(what='response')}\n\n{{quoted}}\n\nQuestion: {{item}}\nAnswer Yes or No."
REASON = (
    "Instruction: {question}\n\nResponse: {answer}\n\nQuestion: {item}\nSay in a sentence why or why not, and end with Answer: Yes or "
    "Answer: No."
)
_MOST = 8
_VERDICT = re.compile(r"answer\s*:\W*(yes|no)\b", re.IGNORECASE)
_LINE = re.compile(r"^\s*(?:[-*•]|\d+[.)])?\s*(\S.*\?)\s*$")


@dataclass(frozen=True, kw_only=True)
class Requirement:
    """A question about one answer, with its verdict.

    Attributes:
        met: None where the judge gave no verdict that can be read.
        reason: why, in the judge's words; empty where it was not asked.
    """

    question: str
    met: bool | None
    reason: str = ""


def questions_in(text: str) -> tuple[str, ...]:
    r"""The questions that stand on lines of their own, without bullets and numbers; at most 8, each once.

    >>> questions_in("1. Is it short?\n- Is it polite?\nGood luck.\n1. Is it short?")
    ('Is it short?', 'Is it polite?')
    """
    found = [match.group(1) for line in text.splitlines() if (match := _LINE.match(line))]
    return tuple(dict.fromkeys(found))[:_MOST]


def pass_rate(verdicts: Sequence[bool | None]) -> Score:
    """The share of yes among the answered questions; None where none is.

    >>> pass_rate([True, None, False]), pass_rate([None])
    (0.5, None)
    """
    known = [verdict for verdict in verdicts if verdict is not None]
    return sum(known) / len(known) if known else None


def requirements_met(verdicts: Sequence[Sequence[bool | None]]) -> Score:
    """The share of yes among all answered questions of all answers (DRFR): not the mean of pass rates.

    >>> requirements_met([[True, False], [True] * 4])
    0.8333333333333334
    """
    return pass_rate([verdict for one in verdicts for verdict in one])


def verdict_in(text: str) -> bool | None:
    """The last verdict that a reasoned text gives; None where it gives none.

    >>> verdict_in("It has no end. Answer: **No**"), verdict_in("Yes and no.")
    (False, None)
    """
    found = _VERDICT.findall(text)
    return found[-1].lower() == "yes" if found else None


def questions_of(
    prompts: Sequence[Prompt], judge: Policy, *, make: str = MAKE, max_new_tokens: int = 256
) -> list[tuple[str, ...]]:
    """Each prompt's requirements, as a judge writes them from the prompt alone; none where it wrote no question."""
    requests = [Request(prompt=user(make.replace("{question}", prompt.text))) for prompt in prompts]
    written = judge.generate(requests, Sampling(temperature=0, max_new_tokens=max_new_tokens))
    return [questions_in(one.text) for one in written]


def reasoned(
    answers: Sequence[tuple[Prompt, str]],
    questions: Sequence[Sequence[str]],
    judge: Policy,
    *,
    ask: str = REASON,
    max_new_tokens: int = 256,
    seed: int = 0,
) -> list[tuple[Requirement, ...]]:
    """For each answer the verdict on each of its questions, every one asked by itself and reasoned before it is given.

    Args:
        answers: prompts, and what was said to them.
        questions: those of each.
        judge: writes reasons and verdicts.
        ask: text with `{question}`, `{answer}` and `{item}` in it, to be answered by a reason and `Answer: Yes` or `Answer: No`.
        max_new_tokens: of one verdict with its reason.
        seed: of the marks around a quoted answer.
    """
    asked = [
        user(_put(prompt, answer, item, ask, seed), parents=(prompt.id,))
        for (prompt, answer), items in zip(answers, questions, strict=True)
        for item in items
    ]
    sampling = Sampling(temperature=0, max_new_tokens=max_new_tokens)
    told = iter(judge.generate([Request(prompt=prompt) for prompt in asked], sampling) if asked else ())
    return [tuple(_requirement(item, next(told).text) for item in items) for items in questions]


def _requirement(item: str, told: str) -> Requirement:
    return Requirement(question=item, met=verdict_in(told), reason=_VERDICT.split(told)[0].strip())


@part(reads=("{role}",), writes=("{name}",), needs=("generate", "{verdict_from}", "chat"))
def checklist(
    *,
    role: str = "current",
    name: str = "pass_rate",
    make: str = MAKE,
    ask: str = ASK,
    max_new_tokens: int = 256,
    verdict_from: VerdictFrom = "options",
) -> Callable[[Sequence[Group], Round], Sequence[Group]]:
    """The share of a prompt's requirements that each completion fulfils (TICK: Cook et al. 2024, arXiv 2410.03608).

    A judge writes the questions from the prompt alone, never from a response, and answers each by itself, by which of Yes and No it gives
    the higher probability. Where it wrote no question all completions of the prompt abstain. The signal `{name}_questions` counts them.

    Args:
        role: who judges; the policy itself in STICK.
        name: of the score.
        make: text with `{question}` in it that asks for the questions.
        ask: text with `{question}`, `{answer}` and `{item}` in it, to be answered by Yes or No; `{quoted}` is the answer between marks
            that it cannot know.
        max_new_tokens: of the questions.
        verdict_from: `options` takes the likelier of Yes and No; `generate` the one that the judge writes, and leaves a question out
            where it writes neither.
    """

    def stage(groups: Sequence[Group], round: Round) -> Sequence[Group]:
        judge = round.policy(role)
        items = questions_of([group.prompt for group in groups], judge, make=make, max_new_tokens=max_new_tokens)
        asked = [
            user(_put(group.prompt, one.text, item, ask, round.run_seed), options=("Yes", "No"), parents=(group.prompt.id,))
            for group, here in zip(groups, items, strict=True)
            for one in group.completions
            for item in here
        ]
        verdicts = (
            None if one is None else between(*one) > 0.5 for one in verdicts_on(asked, judge, verdict_from=verdict_from)
        )
        scores = [
            pass_rate([next(verdicts) for _ in here])
            for group, here in zip(groups, items, strict=True)
            for _ in group.completions
        ]
        counts = [len(group.completions) for group in groups]
        return signalled(scored(groups, name, scores, counts), [{f"{name}_questions": float(len(here))} for here in items])

    return stage


def _put(prompt: Prompt, answer: str, item: str, ask: str, seed: int) -> str:
    return filled(ask, question=prompt.text, item=item, answer=answer, quoted=quoted(answer, seed, prompt.text))
