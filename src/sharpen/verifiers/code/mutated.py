"""Tests on inputs that no assert holds: mutated ones, with what the prompt's reference program answers to them.

In the manner of EvalPlus (Liu et al., 2023, arXiv 2305.01210).
"""

from __future__ import annotations

import ast
import math
from collections import deque
from collections.abc import Callable, Generator, Sequence
from contextlib import closing
from dataclasses import dataclass
from itertools import islice
from typing import Any

from sharpen.digest import digest
from sharpen.errors import SandboxError
from sharpen.verifiers.code.candidates import Candidate, Raised, StoppedError
from sharpen.verifiers.code.mutations import mutated_calls
from sharpen.verifiers.code.program import RefusedValueError
from sharpen.verifiers.code.suites import Call, Suite

__all__ = ["MAX_STARTS", "Mutated", "mutated_tests", "same"]

MAX_STARTS = 6
"""How often a reference program is started at most."""

_NUM_KEPT = 16
_MAX_TEXT = 10_000  # characters of an answer
_IMPORT = f"from {__name__} import same as same_as_reference"


@dataclass(frozen=True, kw_only=True)
class Mutated:
    """Tests on mutated inputs.

    Attributes:
        asserts: source text, a call each.
        num_left_out: inputs that were tried and are in none of them: the reference raised, was stopped, answered what is no literal or
            of a type that it answers to no assert, or answered otherwise when it was asked again.
    """

    asserts: tuple[str, ...] = ()
    num_left_out: int = 0

    def of(self, suite: Suite) -> Suite:
        """A suite with these asserts in the place of its own: in a `check` where it has an entry point, as its setup may define another."""
        lines = [_IMPORT, *self.asserts]
        if suite.entry_point is not None:
            lines = ["def check(candidate):", *(f"    {line}" for line in lines)]
        return Suite(tests="\n".join(lines), setup=suite.setup, entry_point=suite.entry_point)


def mutated_tests(suite: Suite, load: Callable[[], Candidate]) -> Mutated:
    """Tests on inputs mutated from a suite's, at most 16.

    Args:
        load: starts the reference program.

    Raises:
        SandboxError: its box could not run.
        Unsupported: only another kind of box can run it.
    """
    drawn = mutated_calls(suite.calls, seed=digest("mutated", suite.tests))
    num_asked, first = 0, list[tuple[Call, str]]()
    with closing(_answers([*suite.calls, *drawn], load)) as asked:
        known = {_type(call, answer) for call, answer in islice(asked, len(suite.calls)) if answer is not None}
        for call, answer in asked:
            num_asked += 1
            if answer is not None and _type(call, answer) in known:
                first.append((call, answer))
            if len(first) == _NUM_KEPT:
                break
    # It ends early where too many calls stop it: what is not asked again is left out.
    again = _answers([call for call, _ in first], load)
    kept = tuple(
        f"assert same_as_reference({call}, {answer})"
        for (call, other), (_, answer) in zip(again, first, strict=False)
        if other is not None and same(ast.literal_eval(other), ast.literal_eval(answer))
    )
    return Mutated(asserts=kept, num_left_out=num_asked - len(kept))


def same(found: Any, expected: Any) -> bool:  # Any: plain values
    """Whether an answer is the reference's; floats in it may differ by 1e-6, or by a part in 10 million.

    >>> same([0.1 + 0.2, "a"], [0.3, "a"]), same(0.301, 0.3), same((1,), [1])
    (True, False, False)
    """
    if type(expected) is float and type(found) in (int, float):
        return math.isclose(found, expected, rel_tol=1e-7, abs_tol=1e-6)  # "rtol=1e-07, atol=1e-6", the authors' code
    if type(found) is type(expected) and isinstance(expected, dict):
        return found.keys() == expected.keys() and all(same(found[key], value) for key, value in expected.items())
    if type(found) is type(expected) and isinstance(expected, (list, tuple)):
        return len(found) == len(expected) and all(map(same, found, expected))
    return bool(found == expected)


def _answers(calls: Sequence[Call], load: Callable[[], Candidate]) -> Generator[tuple[Call, str | None], None, None]:
    """Each call with what a program answers, as a literal, or None; after three calls that stopped it, no more of them."""
    left = deque(calls)
    for _ in range(MAX_STARTS // 2):  # the mutated inputs are asked twice
        candidate = _started(load)
        try:
            while left:
                call = left.popleft()
                yield call, _answer(candidate, call)
        except StoppedError as error:
            if error.kind == "could not run":
                raise SandboxError(error.text) from error
            yield call, None
        finally:
            candidate.close()
        if not left:
            return


def _started(load: Callable[[], Candidate]) -> Candidate:
    try:
        return load()
    except (Raised, RefusedValueError, StoppedError) as error:
        raise SandboxError(f"the reference program cannot be loaded: {error}") from error


def _answer(candidate: Candidate, call: Call) -> str | None:
    """The literal of what comes back; None where nothing does, or where it or the call cannot be written so."""
    try:
        answer = candidate.call(call.name, call.arguments, {})
        text = repr(answer)
        if len(text) > _MAX_TEXT:
            return None
        ast.literal_eval(f"{call.arguments!r}, {text}")
    except (Raised, RefusedValueError, ValueError, SyntaxError, RecursionError, MemoryError):
        return None
    return text


def _type(call: Call, answer: str) -> tuple[str, type]:
    return call.name, type(ast.literal_eval(answer))
