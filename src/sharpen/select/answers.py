"""The final answer of a completion, for votes."""

from __future__ import annotations

from typing import Protocol, runtime_checkable

from sharpen.select.keys import text
from sharpen.types import Completion, Prompt
from sharpen.verifiers.numbers import last_number

__all__ = ["Reader", "final_answer"]


@runtime_checkable
class Reader(Protocol):
    """A verifier that says what it reads as the answer, whatever the target. `number`, `choice` and `exact` do."""

    def answer(self, prompt: Prompt, completion: Completion, /) -> str | None:
        """The answer, alike for answers that are the same; None where it finds none."""
        ...


def final_answer(completion: Completion) -> str | None:
    """The last number where there is one, else the whole text with white space made even; None for an empty answer."""
    found = last_number(completion.text)
    if found is not None:
        return f"number {found.value}"
    return text(completion) or None
