"""Answers checked as text: equal to the target, or of a given pattern."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal

from sharpen.digest import digest
from sharpen.identity import code_digest
from sharpen.types import Completion, Prompt, Score
from sharpen.verifiers.texts import normal

__all__ = ["exact", "pattern"]


@dataclass(frozen=True, kw_only=True)
class exact:
    """A verifier: the whole answer is the target, form aside.

    Form is: how unicode is composed, runs of white space, quotes or emphasis around, one full stop at the end, and case. An empty
    answer is wrong (0.0). A missing or empty target abstains.

    Attributes:
        ignore_case: "oslo" passes for "Oslo".

    >>> exact()
    exact(ignore_case=True)
    """

    ignore_case: bool = True

    @property
    def key(self) -> str:
        """Identifies its parameters and its code."""
        return digest("verifier", repr(self), code_digest(__name__))

    def __call__(self, prompt: Prompt, completion: Completion, /) -> Score:
        """1.0 where the answer is the target, 0.0 where not, None where there is no target."""
        target = normal(prompt.target or "", ignore_case=self.ignore_case)
        if not target:
            return None
        return float(normal(completion.text, ignore_case=self.ignore_case) == target)

    def answer(self, prompt: Prompt, completion: Completion, /) -> str | None:
        """The whole answer without its form; None for an empty one."""
        return normal(completion.text, ignore_case=self.ignore_case) or None


@dataclass(frozen=True)
class pattern:
    r"""A verifier: the answer has a form, and what the form marks as the answer is the target.

    With a group named `answer`, the group of the last match must be the target (as `exact` compares); a missing target
    abstains. Without one, an answer that matches is right (1.0) whatever the target, so that the pattern alone defines what is
    right. An answer that does not match is wrong (0.0).

    Patterns can take exponential time. A `VerifierPool` bounds them; a direct call does not.

    Attributes:
        regex: a Python regular expression; flags go inside, as in "(?i)yes".
        match: `search` finds it anywhere; `full` wants the whole answer, white space around aside.

    >>> pattern(r"Answer: (?P<answer>\w+)")
    pattern(regex='Answer: (?P<answer>\\w+)', match='search')

    Raises:
        ValueError: the expression does not compile.
    """

    regex: str
    match: Literal["search", "full"] = "search"

    def __post_init__(self) -> None:
        if self.match not in ("search", "full"):
            raise ValueError(f"match is {self.match!r}; it is 'search' or 'full'")
        try:
            re.compile(self.regex)
        except re.error as error:
            raise ValueError(f"pattern {self.regex!r} does not compile: {error}; correct it") from error

    @property
    def key(self) -> str:
        """Identifies its parameters and its code."""
        return digest("verifier", repr(self), code_digest(__name__))

    def __call__(self, prompt: Prompt, completion: Completion, /) -> Score:
        """1.0 where the answer has the form and marks the target, 0.0 where not, None where a target is wanted and missing."""
        wanted = re.compile(self.regex)
        text = completion.text.strip()
        if "answer" not in wanted.groupindex:
            return float((wanted.search(text) if self.match == "search" else wanted.fullmatch(text)) is not None)
        target = normal(prompt.target or "")
        if not target:
            return None
        found = [wanted.fullmatch(text)] if self.match == "full" else list(wanted.finditer(text))
        last = found[-1] if found else None
        return float(last is not None and normal(last["answer"] or "") == target)
