"""The final answer of a completion, for votes."""

from __future__ import annotations

from sharpen.select.keys import text
from sharpen.types import Completion
from sharpen.verifiers.numbers import last_number

__all__ = ["final_answer"]


def final_answer(completion: Completion) -> str | None:
    """The last number where there is one, else the whole text with white space made even; None for an empty answer."""
    found = last_number(completion.text)
    if found is not None:
        return f"number {found.value}"
    return text(completion) or None
