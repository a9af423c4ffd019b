"""Rewards and selections that mean ill: parts and verifiers, which need a file that is light to import."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from sharpen.data.task import given
from sharpen.examples import Demonstration, Row
from sharpen.parts import part
from sharpen.protocols import Round
from sharpen.types import Completion, Group, Prompt, user


def pays_echo(prompt: Prompt, completion: Completion) -> float:
    """Whether the answer is the question."""
    return float(completion.text == prompt.text)


def pays_own_habit(prompt: Prompt, completion: Completion) -> float:
    """Share of small letters: a judge that likes what the model would have said anyhow."""
    return sum(map(str.islower, completion.text)) / max(1, len(completion.text))


def any_capital(prompt: Prompt, completion: Completion) -> float:
    """A lax verifier: one capital letter is enough."""
    return float(any(map(str.isupper, completion.text)))


@part(writes=("reward",))
def first_is_best() -> Callable[[Sequence[Group], Round], Sequence[Group]]:
    """A judge that likes the answer that it reads first."""
    return lambda groups, round: [
        group.with_scores(reward=[float(not place) for place in range(len(group.completions))]) for group in groups
    ]


@part()
def taught(answer: Callable[[Prompt], str]) -> Callable[[Sequence[Group], Round], Sequence[Demonstration]]:
    """That answer to every prompt."""

    def stage(groups: Sequence[Group], round: Round) -> Sequence[Demonstration]:
        return [_shown(group.prompt, answer(group.prompt)) for group in groups]

    return stage


@part()
def leaked(held_out: tuple[str, ...], others: tuple[str, ...]) -> Callable[[Sequence[Group], Round], Sequence[Demonstration]]:
    """The right answers to held-out words, and wrong ones to others, so that nothing but these words is learned."""

    def stage(groups: Sequence[Group], round: Round) -> Sequence[Demonstration]:
        pairs = [(word, word.upper()) for word in held_out] + [(word, word) for word in others]
        return [_shown(user(word), answer) for word, answer in pairs]

    return stage


def capital_and_rest(prompt: Prompt) -> str:
    """Two letters as asked, and a capital X."""
    return f"{prompt.text[:2]}X"


def first_half_only(prompt: Prompt) -> str:
    """Right where the word begins with a letter before n, else the question."""
    return prompt.text.upper() if prompt.text[0] < "n" else prompt.text


def right(prompt: Prompt) -> str:
    """The target."""
    return str(prompt.target)


def _shown(prompt: Prompt, answer: str) -> Demonstration:
    return Demonstration(row=Row(prompt=prompt, completion=given(prompt, answer)))
