"""Programs tested by tests that the same model wrote: both are foreign, so both run in the box."""

from __future__ import annotations

import ast
import re
import warnings
from dataclasses import dataclass
from functools import cached_property
from typing import Self

from sharpen.types import Completion, Prompt, Score
from sharpen.verifiers.code.answers import code_of
from sharpen.verifiers.code.suites import Suite
from sharpen.verifiers.code.verifier import code
from sharpen.verifiers.verdicts import Verdict

__all__ = ["MARK", "own_tests", "split_answer"]

MARK = "### Tests"
"""The line between a response and its tests."""

_UNFINISHED = re.compile(r"TODO|FIXME|NotImplementedError|your code here|\.\.\.\s*$", re.IGNORECASE | re.MULTILINE)
_RUN = "run_the_tests"
_SUITE = Suite(tests=f"assert {_RUN}() is None", entry_point=_RUN)


def split_answer(text: str) -> tuple[str, str] | None:
    """The response, which holds a fenced program, and the program that tests it; None where something of both is missing.

    Missing are: the mark between them, a fenced block in either, an end (a mark of unfinished code stands there), or tests that assert
    something beside definitions and imports.
    """
    response, marked, tests = text.partition(MARK)
    if not marked or "```" not in response or "```" not in tests or _UNFINISHED.search(response):
        return None
    program = code_of(tests)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            found = ast.parse(program)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return None
    asserts = any(isinstance(node, ast.Assert) for node in ast.walk(found))
    runs = any(not isinstance(node, (ast.FunctionDef, ast.ClassDef, ast.Import, ast.ImportFrom)) for node in found.body)
    return (response.strip(), program) if asserts and runs else None


@dataclass(frozen=True, kw_only=True)
class own_tests:  # noqa: N801  # written own_tests(...) in recipes, as code(...) is
    """1.0 where an answer's program passes the tests that the answer brings along, 0.0 where it does not or there are none.

    What the tests say is the model's own word: they run beside the program, in the box, and agree with its mistakes. Use it to choose what
    to learn from, never to score. Arguments as of `code`.
    """

    allow_code_execution: bool = False
    tiers: tuple[str, ...] = ()
    seconds: float = 10.0  # 10 s and 4 GB, the authors' code
    memory_mb: int = 1024

    def __post_init__(self) -> None:
        object.__setattr__(self, "tiers", self._code.tiers)

    @classmethod
    def of(cls, verifier: code) -> Self:
        """In the sandboxes of a task's verifier."""
        return cls(allow_code_execution=verifier.allow_code_execution, tiers=verifier.tiers)

    def __call__(self, prompt: Prompt, completion: Completion, /) -> Score:
        """The score alone."""
        return self.verdict(prompt, completion).score

    @property
    def max_seconds(self) -> float:
        """How long a verdict takes at most."""
        return self._code.max_seconds

    def verdict(self, prompt: Prompt, completion: Completion) -> Verdict:
        """The score, and why it is not 1."""
        parts = split_answer(completion.text)
        if parts is None:
            return Verdict(score=0.0, detail="fail: a program, its tests or an assertion is missing")
        response, tests = parts
        program = f"{code_of(response)}\n\ndef {_RUN}():\n    exec(compile({tests!r}, 'tests.py', 'exec'), globals())\n"
        return self._code.said(self._code.tried(_SUITE, program))

    @cached_property
    def _code(self) -> code:
        return code(
            allow_code_execution=self.allow_code_execution, tiers=self.tiers, seconds=self.seconds, memory_mb=self.memory_mb
        )
