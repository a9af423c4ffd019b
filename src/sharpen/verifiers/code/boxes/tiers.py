"""Which kinds of box this machine can make."""

from __future__ import annotations

from sharpen.errors import SandboxError
from sharpen.verifiers.code.boxes.box import Boxes

__all__ = ["boxes"]


def boxes(tier: str | None = None) -> Boxes:
    """The best tier that this machine has, or the named one (`bwrap`, `warm`), tried just now with a program that must work and
    one that must not.

    Raises:
        SandboxError: this machine has none; the message names the cause and the remedy. Nothing weaker is used instead.
    """
    raise SandboxError(f"no sandbox is built yet ({tier})")
