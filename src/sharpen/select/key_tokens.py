"""Calls to imitate, whose deciding tokens count for more, and dialogues in which failed calls are context alone."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Callable, Sequence

from sharpen.examples import Demonstration, Row
from sharpen.feedback.calls import functions_of, parsed_call
from sharpen.parts import part
from sharpen.protocols import Policy, Round
from sharpen.sequences import flattened
from sharpen.types import Completion, Group, Prompt

__all__ = ["ERRORS", "key_token_demonstrations", "key_weights", "right_turns", "targets"]

ERRORS = (
    *("is not defined", "positional argument", "unexpected keyword", "not supported", "Invalid API call", "Response error"),
    *("ConnectionError", "connection error", "400 Client Error", "error:", "slice indices must be integers"),
)
"""What a function says when a call failed, most of it as in the authors' code (`error:` stands for their three ways to write a field)."""


def key_weights(num_tokens: int, keys: Sequence[int], *, most: float = 9.0) -> tuple[float, ...]:
    """The weight of each token: at the places `keys` how many others there are for each of them, but at most `most`; else 1.

    All weigh 1 where there are not fewer key tokens than others (Ye et al. 2024, arXiv 2412.15495, authors' code).

    >>> key_weights(5, [0])
    (4.0, 1.0, 1.0, 1.0, 1.0)
    """
    others = num_tokens - len(keys)
    weight = min(others / len(keys), most) if 0 < len(keys) < others else 1.0
    return tuple(weight if place in keys else 1.0 for place in range(num_tokens))


@part()
def right_turns(errors: tuple[str, ...] = ERRORS) -> Callable[[Sequence[Prompt], Round], Sequence[Prompt]]:
    """The prompts that have a target, and before each those of its dialogue's earlier turns, with what the assistant said as the target.

    An earlier answer is left out where what follows it contains one of `errors`, with letters and digits alone compared, whatever their
    case. It stays in the dialogue, so that what came after it is still learned (Ye et al. 2024, arXiv 2412.15495).

    Args:
        errors: what a function says when a call failed.
    """
    marks = [_plain(one) for one in errors]

    def turns(prompt: Prompt) -> list[Prompt]:
        found = []
        for place, message in enumerate(prompt.messages[:-1]):
            told = _plain(prompt.messages[place + 1].text)
            if message.role == "assistant" and place and not any(mark in told for mark in marks):
                found.append(Prompt(messages=prompt.messages[:place], target=message.text, parents=(prompt.id,)))
        return [*found, *([prompt] if prompt.target is not None else [])]

    return lambda prompts, round: flattened(prompts, turns)


@part()
def targets() -> Callable[[Sequence[Prompt], Round], Sequence[Group]]:
    """The target of each prompt as a group of one given answer; prompts without one give none."""
    return lambda prompts, round: [_given(prompt, prompt.target) for prompt in prompts if prompt.target is not None]


@part(reads=("{role}",), needs=("continue",))
def key_token_demonstrations(
    *, most: float = 9.0, role: str = "current"
) -> Callable[[Sequence[Group], Round], Sequence[Demonstration]]:
    """Every given answer, to be imitated with more weight on the tokens that decide which function is called.

    These are its first token and each at which it parts from the beginning of a call of another function that the prompt defines.

    Args:
        most: weight of a token at most.
        role: whose tokens.
    """

    def stage(groups: Sequence[Group], round: Round) -> Sequence[Demonstration]:
        policy = round.policy(role)

        def weighted(group: Group) -> list[Demonstration]:
            functions = functions_of(group.prompt)
            found = []
            for given in group.completions:
                call = parsed_call(given.text, bare=True)
                others = [one for one in functions if call is not None and one != call.name]
                made = _tokens(policy, given, given.text)
                keys = {0} | {_parting(made.token_ids, _tokens(policy, given, f"{one}(").token_ids) for one in others}
                weights = key_weights(len(made.token_ids), sorted(keys), most=most)
                found.append(Demonstration(row=Row(prompt=group.prompt, completion=made, weights=weights)))
            return found

        return flattened(groups, weighted)

    return stage


def _given(prompt: Prompt, text: str) -> Group:
    return Group(prompt=prompt, completions=(Completion(segments=(), text=text, finish="given", prompt_id=prompt.id),))


def _tokens(policy: Policy, given: Completion, text: str) -> Completion:
    """A text as given tokens, ended by the stop token."""
    return policy.appended(dataclasses.replace(given, segments=(), text=""), text)


def _parting(tokens: Sequence[int], other: Sequence[int]) -> int:
    """The place of the first token that is not the other's; there is one, as each ends in a stop token and neither is the other."""
    return next(place for place, (a, b) in enumerate(zip(tokens, other, strict=False)) if a != b)


def _plain(text: str) -> str:
    return re.sub(r"[\W_]", "", text).lower()
