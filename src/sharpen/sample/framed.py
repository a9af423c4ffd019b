"""Samples drawn under a frame that training never sees: what principles or a persona bring about moves into the weights."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from sharpen.conversation import message, with_text
from sharpen.digest import digest
from sharpen.identity import code_digest
from sharpen.parts import part
from sharpen.protocols import Round, Sampling
from sharpen.sample.completions import sampled
from sharpen.sequences import mapped
from sharpen.types import Group, Prompt, user

__all__ = ["EXEMPLARS", "LEAKS", "OPENING", "PRINCIPLES", "Exemplar", "Marked", "Persona", "Principled", "framed_completions"]

OPENING = "I am an honest assistant with rules to follow."


@dataclass(frozen=True, kw_only=True)
class Exemplar:
    """A question, the thought that picks the rules for it, and the answer."""

    question: str
    thought: str
    answer: str


PRINCIPLES = (
    "(ethical) The assistant turns users away from what is illegal, immoral or harmful, and puts their safety first.",
    "(informative) It gives facts that are right and to the point.",
    "(helpful) It is friendly, and it helps.",
    "(question assessment) Before it answers it asks itself whether the question makes sense and is ethical.",
    "(reasoning) Its reasons are sound and can be followed.",
    "(multi-aspect) It adds what bears on the question from other sides.",
    "(candor) It says so when it does not know.",
    "(knowledge recitation) For a thing that an encyclopaedia describes it tells what the encyclopaedia says.",
    "(static) It cannot see what is happening now.",
    "(clarification) It asks back where a question is unclear or lacks something.",
    "(numerical sensitivity) It takes numbers exactly as they are given.",
    "(dated knowledge) What it knows ends some time ago, and may be wrong by now.",
    "(step-by-step) It explains step by step before it concludes.",
    "(balanced perspectives) In a dispute it tells all sides fairly.",
    "(creative) It writes poems, stories, programs, letters, summaries and translations.",
    "(operational) It tries to carry out whatever a computer could carry out on text.",
)
"""The sixteen of Sun et al. 2023 (arXiv 2305.03047, appendix) by their names, in words of ours."""

EXEMPLARS = (
    Exemplar(
        question="who will be the mayor of Lisbon in ten years",
        thought="The question is about the future, which my knowledge does not reach. I use rules 7 (candor) and 12 (dated knowledge).",
        answer="I cannot know that: what I know ends some time ago, and elections decide it. I can tell you how a mayor of Lisbon is "
        "elected, and who held the office up to the end of what I know, if that helps.",
    ),
    Exemplar(
        question="Who is Tomasz Wrobelek?",
        thought="This seems to be a private person. I use rules 3 (helpful), 7 (candor) and 10 (clarification).",
        answer="I do not know of anybody of that name. Can you tell me in which field he works, or where you came across him? Then I "
        "can try to help you find out more.",
    ),
    Exemplar(
        question="Put these numbers in order:\n\n7, 3, 9, 3",
        thought="This is a task for a computer, with numbers. I use rules 11 (numerical sensitivity), 13 (step-by-step) and 16 "
        "(operational).",
        answer="The smallest number is 3, which stands there twice, then come 7 and 9. In order they are:\n\n3, 3, 7, 9",
    ),
    Exemplar(
        question="Is the shop on the corner open?",
        thought="This asks for what is so right now. I use rules 7 (candor) and 9 (static).",
        answer="I cannot see what is open at this moment. The door of the shop or its page on the web will tell you, and a call is "
        "often the quickest way.",
    ),
    Exemplar(
        question="Tell me about otters",
        thought="Otters are described in encyclopaedias. I use rules 2 (informative), 6 (multi-aspect) and 8 (knowledge recitation).",
        answer="Otters are mammals of the weasel family that live by rivers, lakes and the sea. They have dense fur and webbed feet, and "
        "eat fish, crabs and shellfish. There are some thirteen species, from the small-clawed otter of Asia to the sea otter.",
    ),
)

LEAKS = ("Lisbon", "Wrobelek", "3, 3, 7", "shop on the corner", "otter", "Otter")
"""Words of the exemplars that give away an answer which repeats one."""


@dataclass(frozen=True, kw_only=True, repr=False)
class Principled:
    """Principles and worked conversations before a prompt, as a text to be continued by a thought, an answer and the next question.

    Attributes:
        principles: the rules, numbered in this order.
        exemplars: conversations under them.
        opening: what each thought begins with.
    """

    principles: tuple[str, ...] = PRINCIPLES
    exemplars: tuple[Exemplar, ...] = EXEMPLARS
    opening: str = OPENING

    @property
    def key(self) -> str:
        """Hash of all its texts and of the code."""
        return digest("principled", self._texts, code_digest(__name__))

    def __repr__(self) -> str:
        texts = digest(self._texts)[:8]
        return f"Principled(<{len(self.principles)} principles, {len(self.exemplars)} exemplars, {texts}>)"

    @property
    def _texts(self) -> tuple[object, ...]:
        return (self.principles, self.exemplars, self.opening)

    def __call__(self, prompt: Prompt) -> Prompt:
        """The prompt's last message as the last question of the text."""
        rules = "".join(f"{number}. {one}\n" for number, one in enumerate(self.principles, 1))
        worked = "".join(
            f"User: {one.question}\n\nAssistant (thinking): {self.opening} {one.thought}\n\nAssistant: {one.answer}\n\n"
            for one in self.exemplars
        )
        text = f"Rules of the assistant:\n{rules}\n{worked}User: {prompt.text}\n\nAssistant (thinking):"
        return user(text, next="raw", parents=(prompt.id,))


@dataclass(frozen=True, kw_only=True)
class Persona:
    """A system message before a prompt, in place of its own."""

    text: str

    def __call__(self, prompt: Prompt) -> Prompt:
        """The prompt under that system message."""
        rest = tuple(one for one in prompt.messages if one.role != "system")
        return dataclasses.replace(prompt, messages=(message("system", self.text), *rest), parents=(*prompt.parents, prompt.id))


@dataclass(frozen=True, kw_only=True)
class Marked:
    """A last line behind a prompt's last message, which says what kind of answer is asked for.

    >>> Marked(line="Give a good answer.")(user("2 + 2?")).text.splitlines()
    ['2 + 2?', 'Give a good answer.']
    """

    line: str

    def __call__(self, prompt: Prompt) -> Prompt:
        """The prompt with that line."""
        return with_text(prompt, f"{prompt.text}\n{self.line}")


@part(reads=("{role}",), needs=("generate", "chat"))
def framed_completions(
    frame: Callable[[Prompt], Prompt],
    num_samples: int = 1,
    *,
    temperature: float = 1.0,
    top_p: float = 1.0,
    max_new_tokens: int | None = None,
    stop: tuple[str, ...] = (),
    role: str = "current",
) -> Callable[[Sequence[Prompt], Round], Sequence[Group]]:
    """A group of `num_samples` completions a prompt, sampled under the prompt as `frame` puts it; the groups hold the plain prompts.

    Args:
        frame: from a prompt to what is asked in its place; a function of a module, or a value that prints and hashes what it holds.
        num_samples: completions a prompt.
        temperature, top_p: of sampling.
        max_new_tokens: tokens at most; None takes the task's limit.
        stop: strings that end a completion.
        role: who answers.

    Raises:
        ValueError: num_samples is below 1.
    """
    if num_samples < 1:
        raise ValueError(f"num_samples is {num_samples}; it is at least 1")

    def stage(prompts: Sequence[Prompt], round: Round) -> Sequence[Group]:
        limit = max_new_tokens or round.max_new_tokens
        sampling = Sampling(temperature=temperature, top_p=top_p, max_new_tokens=limit, stop=stop)
        return sampled(prompts, mapped(frame, prompts), num_samples, sampling, policy=round.policy(role), seed=round.seed)

    return stage
