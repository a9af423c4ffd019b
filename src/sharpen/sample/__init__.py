"""Stages from prompts to groups of completions."""

from sharpen.sample.completions import completions
from sharpen.sample.demonstrated import demonstrated_completions, given_answer, shown_demonstrations, with_demonstrations

__all__ = ["completions", "demonstrated_completions", "given_answer", "shown_demonstrations", "with_demonstrations"]
