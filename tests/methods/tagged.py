"""A verifier that reads a column of the row; alone in its module, which every worker imports."""

from __future__ import annotations

from sharpen.types import Completion, Prompt


def tagged(prompt: Prompt, completion: Completion) -> float:
    return float(bool(prompt.tags["easy"]))
