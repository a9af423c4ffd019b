"""Questions about texts under a full prompt and under weaker ones, pairs of both, and answers with the text in sight."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from sharpen.conversation import with_text
from sharpen.examples import Compared
from sharpen.feedback.value import question
from sharpen.parts import part
from sharpen.prompts.contexts import WORTH_ASKING
from sharpen.protocols import Request, Round, Sampling
from sharpen.sample.completions import sampled
from sharpen.sample.templates import filled
from sharpen.sequences import flattened, mapped
from sharpen.types import Group, Prompt

__all__ = ["ASKING", "Asking", "contrasted", "in_context", "questions"]

_FULL = (
    "Ask one question about the text below. It is answered by the whole of the text and not by a word of it; it can be understood without "
    "seeing the text; and it is what a reader would want to know. Write the question alone."
)
_SHORT = "Ask a question about the text."
_SHOWN = (
    "Text: The lighthouse was built in 1811 on a rock that is under water at high tide, so that men could work for two hours a day.\n"
    "Question: Why could men work on the lighthouse of 1811 for no more than two hours a day?\n\n",
    "Text: Bees dance. The angle of the dance to the vertical is the angle between the sun and the flowers.\n"
    "Question: How does a bee's dance tell the others in which direction the flowers are?\n\n",
    "Text: Rye bread keeps longer than wheat bread because its starch binds more water.\n"
    "Question: What makes rye bread stay fresh longer than wheat bread?\n\n",
)
_ANSWER = (
    "Answer the question by the text. Say nothing that it does not bear out, answer as a person would, and keep to what is decent.\n\n"
    "Text: {context}\n\nQuestion: {question}"
)


@dataclass(frozen=True, kw_only=True, repr=False)
class Asking:
    """How a question about a text is asked for, and three weaker ways.

    Attributes:
        full, short: what is asked, at length and in a few words.
        shown: worked examples; the weaker ways have the first alone.
    """

    full: str = _FULL
    short: str = _SHORT
    shown: tuple[str, ...] = _SHOWN

    def __repr__(self) -> str:
        return f"Asking(<{len(self.shown)} examples>)" if self == Asking() else f"Asking{dataclasses.astuple(self)!r}"

    def strong(self, prompt: Prompt) -> Prompt:
        """The prompt's text under the full instruction and all examples."""
        return self._asked(prompt, self.full, self.shown)

    def weak(self, prompt: Prompt, which: int) -> Prompt:
        """The same with a short instruction (0), with one example (1), or with both (2)."""
        instruction = self.full if which == 1 else self.short
        return self._asked(prompt, instruction, self.shown if which == 0 else self.shown[:1])

    def _asked(self, prompt: Prompt, instruction: str, shown: Sequence[str]) -> Prompt:
        return with_text(prompt, f"{instruction}\n\n{''.join(shown)}Text: {prompt.text}\nQuestion:")


ASKING = Asking()


@part(reads=("{role}",), writes=("full",), needs=("generate", "chat"))
def questions(
    num_pairs: int,
    *,
    asking: Asking = ASKING,
    temperature: float = 0.85,
    max_new_tokens: int = 64,
    role: str = "current",
) -> Callable[[Sequence[Prompt], Round], Sequence[Group]]:
    """A question about each prompt's text, under the score `full` of 1; and of some texts a second one, of a weaker prompt, with 0.

    Args:
        num_pairs: texts, drawn by chance, of which there are two; each of the three weaker ways is taken in turn.
        asking: how questions are asked for.
        temperature, max_new_tokens: of sampling.
        role: who asks.

    Raises:
        ValueError: num_pairs is below 1.
    """
    if num_pairs < 1:
        raise ValueError(f"num_pairs is {num_pairs}; it is at least 1")

    def stage(prompts: Sequence[Prompt], round: Round) -> Sequence[Group]:
        policy = round.policy(role)
        sampling = Sampling(temperature=temperature, max_new_tokens=max_new_tokens)
        groups = sampled(prompts, mapped(asking.strong, prompts), 1, sampling, policy, round.seed)
        places = round.rng("pairs").permutation(len(prompts))[:num_pairs].tolist()
        requests = [
            Request(prompt=asking.weak(prompts[place], number % 3), index=1, seed=round.seed)
            for number, place in enumerate(places)
        ]
        made = policy.generate(requests, sampling) if requests else ()
        weaker = dict(zip(places, made, strict=True))

        def both(place: int) -> Group:
            group, other = groups[place], weaker.get(place)
            completions = group.completions if other is None else (*group.completions, other)
            held = dataclasses.replace(group, completions=completions)
            return held.with_scores(full=(1.0, 0.0)[: len(completions)])

        return [both(place) for place in range(len(prompts))]

    return stage


@part()
def contrasted(by: str = "full", *, ask: str = WORTH_ASKING) -> Callable[[Sequence[Group], Round], Sequence[Compared]]:
    """Each question of the full prompt beside the one of a weaker prompt about the same text, as a pair for a judge.

    Cut, empty and abstained ones make no pair, and neither do two that are the same.

    Raises:
        ValueError: when it runs, no stage has written that score.
    """

    def pairs(group: Group) -> list[Compared]:
        known = [
            (one, score)
            for one, score in zip(group.completions, group.score(by), strict=True)
            if score is not None and one.finish == "stop" and one.text.strip()
        ]
        return [
            Compared(better=question(group.prompt, good, ask=ask), worse=question(group.prompt, bad, ask=ask))
            for good, high in known
            for bad, low in known
            if high > low and good.text.strip() != bad.text.strip()
        ]

    return lambda groups, round: flattened(groups, pairs)


@part(reads=("{role}",), needs=("generate", "chat"))
def in_context(
    *, temperature: float = 0.2, role: str = "current", ask: str = _ANSWER
) -> Callable[[Sequence[Prompt], Round], Sequence[Group]]:
    """One answer to each question, sampled with the text of its tag `context` in sight; the groups hold the questions alone.

    Args:
        temperature: of sampling.
        role: who answers.
        ask: text with `{context}` and `{question}` in it.
    """

    def shown(prompt: Prompt) -> Prompt:
        return with_text(prompt, filled(ask, question=prompt.text, context=str(prompt.tags["context"])))

    def stage(prompts: Sequence[Prompt], round: Round) -> Sequence[Group]:
        sampling = Sampling(temperature=temperature, max_new_tokens=round.max_new_tokens)
        return sampled(prompts, mapped(shown, prompts), 1, sampling, round.policy(role), round.seed)

    return stage
