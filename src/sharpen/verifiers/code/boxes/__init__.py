"""Boxes: where programs that a model wrote run."""

from sharpen.verifiers.code.boxes.box import Box, BoxClosed, Boxes, Ending, Limits
from sharpen.verifiers.code.boxes.monty import Foreign, MontyBox, MontyBoxes, Raised, Unsupported
from sharpen.verifiers.code.boxes.tiers import boxes

__all__ = [
    "Box",
    "BoxClosed",
    "Boxes",
    "Ending",
    "Foreign",
    "Limits",
    "MontyBox",
    "MontyBoxes",
    "Raised",
    "Unsupported",
    "boxes",
]
