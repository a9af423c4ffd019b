"""Stages from prompts to groups of completions."""

from sharpen.sample.completions import completions

__all__ = ["completions"]
