"""The fast tier: functions called in an interpreter that has no system to call (`pydantic-monty`), itself inside a sandbox."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

from sharpen.verifiers.code.boxes.box import Ending, Limits

__all__ = ["MontyBox", "MontyBoxes", "Raised", "Unsupported"]


class Raised(Exception):  # noqa: N818  # the program's own doing, not an error of ours
    """The program raised, while it was defined or called.

    Attributes:
        kind: the name of its exception's class.
        text: the message and traceback, bounded.
    """

    def __init__(self, kind: str, text: str) -> None:
        super().__init__(f"{kind}: {text}")
        self.kind = kind
        self.text = text


class Unsupported(Exception):  # noqa: N818  # the program may well be right
    """The program uses what this interpreter lacks, so that it says nothing about the program: use another tier."""


class MontyBox(Protocol):
    """One program's session. Values are plain: None, bool, int, float, str, bytes, list, tuple, dict, set, frozenset; whatever
    else comes back is an opaque object of `pydantic_monty`, so check types exactly.
    """

    def call(
        self, function: str, arguments: Sequence[Any], keywords: Mapping[str, Any] | None = None
    ) -> Any:  # Any: plain values
        """What the program's function of that name returns.

        Raises:
            Raised: the program raised instead.
            Unsupported: it needs what the interpreter lacks.
            TimeoutError: it took longer than its limits allow; the box is closed.
            BoxClosed: it broke another limit, or its interpreter, and is gone; `close` tells how.
        """
        ...

    def close(self) -> Ending:
        """End the session; the same value when called again."""
        ...


class MontyBoxes:
    """The tier `monty`: workers of an interpreter, each in a sandbox of its own and used for many programs."""

    name = "monty"

    def open(self, program: str, limits: Limits) -> MontyBox:
        """A session in which `program` (definitions) has run.

        Raises:
            Raised: the program raised, or its syntax is wrong.
            Unsupported: it needs what the interpreter lacks.
            TimeoutError: it took longer than its limits allow.
            BoxClosed: it broke another limit, or its interpreter.
        """
        raise NotImplementedError

    def close(self) -> None:
        """End all workers."""
