"""Answers given after questions of the policy's own, each answered by itself without a look at the prompt."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from sharpen.conversation import with_text
from sharpen.feedback.checklist import questions_in
from sharpen.parts import part
from sharpen.protocols import Policy, Request, Round, Sampling
from sharpen.sample.templates import check_places, filled
from sharpen.types import Group, Prompt, user

__all__ = ["ASK", "DECIDE", "self_questioned", "with_material"]

ASK = (
    "Below is a task. Do not do it yet. Write {number} short questions about what one has to know to do it well. Each must make sense to "
    "somebody who has not read the task. Write one question a line and nothing else.\n\nTask: {question}"
)
DECIDE = "{material}\n\nWith that in mind:\n\n{question}"


def with_material(prompt: Prompt, material: Sequence[tuple[str, str]], decide: str = DECIDE) -> Prompt:
    r"""The prompt with questions and their answers put to its last message; itself where there are none.

    >>> with_material(user("Is it blue?"), [("What is the sky?", "Air.")], "{material}\n{question}").text
    'What is the sky?\nAir.\nIs it blue?'
    """
    if not material:
        return prompt
    known = "\n\n".join(f"{item}\n{answer}" for item, answer in material)
    return with_text(prompt, filled(decide, material=known, question=prompt.text))


@part(reads=("{role}",), needs=("generate", "chat"))
def self_questioned(
    num_questions: int = 3,
    *,
    ask: str = ASK,
    decide: str = DECIDE,
    temperature: float = 0.0,
    role: str = "current",
    max_new_tokens: int = 256,
) -> Callable[[Sequence[Prompt], Round], Sequence[Group]]:
    """One completion a prompt, written with the policy's own questions and answers before it (Wu et al. 2025, arXiv 2505.12452).

    The policy writes questions about what a prompt takes for granted; it answers each in a conversation of its own, which shows nothing of
    the prompt; and it answers the prompt with all of them in sight. Where it wrote no question the prompt is asked as it is. The groups
    hold the plain prompts, and the signal `questions` counts.

    Args:
        num_questions: at most, in [1, 8].
        ask: text with `{question}` in it, and `{number}` for their number, that asks for questions, one a line.
        decide: text with `{material}` and `{question}` in it.
        temperature: of all that is written.
        role: who asks and answers.
        max_new_tokens: of the questions, and of the answer to one.

    Raises:
        ValueError: num_questions is outside [1, 8], or a text lacks its places.
    """
    if not 1 <= num_questions <= 8:
        raise ValueError(f"num_questions is {num_questions}; it lies in [1, 8]")
    check_places("ask", ask, "question")
    check_places("decide", decide, "material", "question")
    thinking = Sampling(temperature=temperature, max_new_tokens=max_new_tokens)

    def stage(prompts: Sequence[Prompt], round: Round) -> Sequence[Group]:
        policy = round.policy(role)
        asking = [user(filled(ask, question=one.text, number=str(num_questions)), parents=(one.id,)) for one in prompts]
        items = [questions_in(text)[:num_questions] for text in _said(asking, thinking, policy, round.seed)]
        told = iter(_said([user(item) for here in items for item in here], thinking, policy, round.seed))
        framed = [
            with_material(prompt, [(item, next(told)) for item in here], decide)
            for prompt, here in zip(prompts, items, strict=True)
        ]
        answering = Sampling(temperature=temperature, max_new_tokens=round.max_new_tokens)
        made = policy.generate([Request(prompt=one, seed=round.seed) for one in framed], answering)
        return [
            Group(prompt=prompt, completions=(one,), signals={"questions": float(len(here))})
            for prompt, one, here in zip(prompts, made, items, strict=True)
        ]

    return stage


def _said(prompts: Sequence[Prompt], sampling: Sampling, policy: Policy, seed: int) -> list[str]:
    requests = [Request(prompt=prompt, seed=seed) for prompt in prompts]
    return [one.text.strip() for one in (policy.generate(requests, sampling) if requests else ())]
