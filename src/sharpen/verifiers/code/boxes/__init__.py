"""Boxes: where programs that a model wrote run."""

from sharpen.verifiers.code.boxes.box import Box, BoxClosed, Boxes, Ending, Limits
from sharpen.verifiers.code.boxes.monty import MontyBox, MontyBoxes, Raised, Unsupported
from sharpen.verifiers.code.boxes.tiers import boxes

__all__ = ["Box", "BoxClosed", "Boxes", "Ending", "Limits", "MontyBox", "MontyBoxes", "Raised", "Unsupported", "boxes"]
