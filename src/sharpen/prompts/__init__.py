"""Stages from prompts to prompts: which of the train split a pass works on."""

from sharpen.prompts.batches import batch, everything

__all__ = ["batch", "everything"]
