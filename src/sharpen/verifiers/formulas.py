"""Mathematical equality, as math-verify decides it."""

from __future__ import annotations

import importlib
from dataclasses import dataclass

from sharpen.digest import digest
from sharpen.errors import VerifierError
from sharpen.identity import code_digest
from sharpen.types import Completion, Prompt, Score

__all__ = ["formula"]


@dataclass(frozen=True)
class formula:
    """A verifier: the answer's last formula equals the target as mathematics ("1/2" equals "0.5", "x + 1" equals "1 + x").

    Parsing and comparing are math-verify's and can take for ever: a `VerifierPool` bounds them, a direct call does not. An
    answer that holds no formula is wrong (0.0). A missing target, or one that is no formula, abstains.

    Raises:
        VerifierError: math-verify is not installed.
    """

    def __post_init__(self) -> None:
        try:
            importlib.import_module("math_verify")  # seconds, which shall not count as the first verdict's
        except ImportError as error:
            raise VerifierError("the verifier formula needs math-verify; pip install 'sharpen[math]'") from error

    @property
    def key(self) -> str:
        """Identifies its code and math-verify's version."""
        from importlib.metadata import version

        return digest("verifier", repr(self), code_digest(__name__), version("math-verify"))

    def __call__(self, prompt: Prompt, completion: Completion, /) -> Score:
        """1.0 where the last formula equals the target, 0.0 where not, None where the target is no formula."""
        from math_verify import verify

        target = (prompt.target or "").strip()
        gold = _parsed(target) or _parsed(f"${target}$") if target else []
        if not gold:
            return None
        if completion.text.strip() == target:
            return 1.0
        answer = _parsed(completion.text)
        return float(bool(answer) and verify(gold, answer, timeout_seconds=None, raise_on_error=True))


def _parsed(text: str) -> list[object]:
    """What math-verify reads; its own limits are signals, which fail in threads, so they stay off."""
    import logging

    from math_verify import parse

    logging.getLogger("math_verify").setLevel(logging.ERROR)  # it warns on every call that its limits are off
    found: list[object] = parse(text, parsing_timeout=None, raise_on_error=True)
    return found
