"""The verifier `code`: whether an answer's program passes its prompt's tests."""

from __future__ import annotations

import dataclasses
import weakref
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from functools import cached_property, partial
from typing import get_args

from sharpen.errors import SandboxError
from sharpen.protocols import Verifier
from sharpen.types import Completion, Prompt, Score
from sharpen.verifiers.code.answers import program_of
from sharpen.verifiers.code.boxes import Boxes, Limits, MontyBoxes, Unsupported, boxes
from sharpen.verifiers.code.candidates import BoxedCandidate, Candidate, InterpretedCandidate
from sharpen.verifiers.code.examination import Examination, examine
from sharpen.verifiers.code.mutated import MAX_STARTS, Mutated, mutated_tests
from sharpen.verifiers.code.suites import Part, Suite, suite_of
from sharpen.verifiers.verdicts import Verdict

__all__ = ["REFUSAL", "code", "learnt_by"]

REFUSAL = (
    "the verifier 'code' runs programs that a model wrote, which is off by default; add --allow-code-execution (in Python: "
    "allow_code_execution=True), and see docs/trust.md for what that may do"
)
_START_S = 10.0  # for a sandbox to start, or to start again after a program harmed it


@dataclass(frozen=True, kw_only=True)
class code:  # written code(...) in recipes, as number(...) is
    """1.0 where the answer's program passes all its prompt's tests, 0.0 where it does not, None where nothing could be run.

    The program is the answer's last fenced block, or the whole text (`program_of`); the tests are in the prompt's columns
    (`suite_of`). It runs in a sandbox and answers calls; the tests, what they expect and the verdict stay outside. The tests are
    the task's own code and run in this process, unboxed: use none that you would not run yourself.

    Args:
        allow_code_execution: must be True, said by the person whose machine it is.
        tiers: kinds of sandbox, tried in this order: the next one runs only what the one before does not support. By default what
            this machine has: `monty` where it is installed, then the best for CPython. They are part of the verifier's identity.
        tests: which part of the tests counts, `all`, `visible` or `hidden`: asserts are halved by their hash; or `mutated`: the hidden
            ones, and calls with mutated inputs whose right answers are those of the prompt's target. Where a task scores by `hidden`
            or `mutated`, recipes on the command line learn by `visible` (`learnt_by`).
        seconds: wall-clock seconds for a program with all its calls, and again for those with mutated inputs; also processor seconds for
            the tests on what it returned.
        memory_mb: MiB for a program.

    Raises:
        ValueError: execution is not allowed, or `tests` is something else.
        SandboxError: this machine can make no such sandbox.
    """

    allow_code_execution: bool = False
    tiers: tuple[str, ...] = ()
    tests: Part = "all"
    seconds: float = 3.0
    memory_mb: int = 512

    def __post_init__(self) -> None:
        if self.allow_code_execution is not True:
            raise ValueError(REFUSAL)
        if self.tests not in get_args(Part):
            raise ValueError(f"tests is {self.tests!r}; it is one of {', '.join(get_args(Part))}")
        if not self.seconds > 0 or self.memory_mb < 1:
            raise ValueError(f"seconds is {self.seconds} and memory_mb {self.memory_mb}; both are more than 0")
        if not self.tiers:
            object.__setattr__(self, "tiers", found_tiers())  # in the repr, so that a verdict names where it was made

    def __call__(self, prompt: Prompt, completion: Completion, /) -> Score:
        """The score alone."""
        return self.verdict(prompt, completion).score

    @property
    def max_seconds(self) -> float:
        """How long a verdict takes at most."""
        num_programs = 3 + MAX_STARTS if self.tests == "mutated" else 1  # the reference at its asserts; the program twice
        return num_programs * len(self.tiers) * (2 * self.seconds + _START_S)

    def verdict(self, prompt: Prompt, completion: Completion) -> Verdict:
        """The score, and why it is not 1: the kind of failure, a colon, and text that can be shown to the model."""
        return self.said(self.examined(prompt, completion.text))

    def said(self, found: Examination) -> Verdict:
        """An examination as a verdict."""
        if found.kind == "pass":
            return Verdict(score=1.0)
        detail = f"{found.kind}: {found.text}"
        if found.kind == "could not run":
            return Verdict(score=None, reason=found.kind, detail=detail)
        return Verdict(score=0.0, detail=detail)

    def examined(self, prompt: Prompt, text: str) -> Examination:
        """The examination of an answer.

        Raises:
            DataError: the prompt has no tests, or such as cannot be read.
        """
        suite = suite_of(prompt).part(self.tests)
        if suite is None:
            return Examination(kind="could not run", text="its tests are one assert, of which no half can be visible")
        try:
            more = self.mutated(prompt) if self.tests == "mutated" else Mutated()
        except SandboxError as error:
            return Examination(kind="could not run", text=str(error))
        program = _program(prompt, suite, text)
        found = self.tried(suite, program)
        return self.tried(more.of(suite), program) if more.asserts and found.kind == "pass" else found

    def mutated(self, prompt: Prompt) -> Mutated:
        """Tests on inputs mutated from those of the prompt's asserts, worked out once; none without a target, or with one that fails
        the asserts.

        Raises:
            DataError: the prompt has no tests, or such as cannot be read.
            SandboxError: it could not be run, or not in time.
        """
        if prompt.key not in self._mutated:
            try:
                self._mutated[prompt.key] = self._worked_out(prompt)
            except SandboxError as error:  # its other answers shall not wait for it again
                self._mutated[prompt.key] = error
        found = self._mutated[prompt.key]
        if isinstance(found, SandboxError):
            raise SandboxError(str(found))
        return found

    def tried(self, suite: Suite, program: str) -> Examination:
        """The examination of a program, in the first tier that supports it."""
        unsupported = "this machine has no sandbox for it"
        for load in self._loaders:
            try:
                return examine(suite, partial(load, program), seconds=self.seconds)
            except Unsupported as error:
                unsupported = str(error)
            except SandboxError as error:
                return Examination(kind="could not run", text=str(error))
        return Examination(kind="could not run", text=unsupported)

    def _worked_out(self, prompt: Prompt) -> Mutated:
        if prompt.target is None:
            return Mutated()
        suite = suite_of(prompt)
        reference = _program(prompt, suite, str(prompt.target))
        found = self.tried(suite, reference)
        if found.kind == "fail":
            return Mutated()
        if found.kind != "pass":
            raise SandboxError(f"the reference program has no verdict: {found.kind}: {found.text}")
        for load in self._loaders:
            with suppress(Unsupported):
                return mutated_tests(suite, partial(load, reference))
        raise SandboxError("no sandbox here runs the reference program on mutated inputs")

    @property
    def limits(self) -> Limits:
        """Of one program."""
        return Limits(cpu_seconds=max(1, round(self.seconds)), wall_seconds=self.seconds, memory_bytes=self.memory_mb << 20)

    @cached_property
    def _mutated(self) -> dict[str, Mutated | SandboxError]:
        """By prompt, as worked out in this process, or why it could not be."""
        return {}

    @cached_property
    def _loaders(self) -> tuple[Callable[[str], Candidate], ...]:
        """Of each tier, how a program is loaded; the sandboxes live as long as this value does."""
        return tuple(self._loader(tier) for tier in self.tiers)

    def _loader(self, tier: str) -> Callable[[str], Candidate]:
        if tier == "monty":
            interpreters = MontyBoxes()
            weakref.finalize(self, interpreters.close)
            return partial(_interpreted, interpreters, self.limits)
        made = boxes(tier)
        weakref.finalize(self, made.close)
        return partial(_boxed, made, self.limits)


def learnt_by(verifier: Verifier | None) -> Verifier | None:
    """What a recipe learns by where that verifier scores: the visible tests where hidden or mutated ones score, else the same.

    So a program that was made to pass the tests it is rewarded by is found out by those that it never met, each round (the monitors
    call them `truth`), at the gate and at the end.
    """
    if isinstance(verifier, code) and verifier.tests in ("hidden", "mutated"):
        return dataclasses.replace(verifier, tests="visible")
    return verifier


def found_tiers() -> tuple[str, ...]:
    """What this machine has, fastest first.

    Raises:
        SandboxError: it has none that is safe.
    """
    best = boxes()
    best.close()
    try:
        import pydantic_monty  # noqa: F401  # the extra `code`
    except ImportError:
        return (best.name,)
    return ("monty", best.name)


def _program(prompt: Prompt, suite: Suite, text: str) -> str:
    return program_of(text, context=str(prompt.tags.get("context") or ""), entry_point=suite.entry_point)


def _interpreted(made: MontyBoxes, limits: Limits, program: str) -> Candidate:
    return InterpretedCandidate(made, program, limits)


def _boxed(made: Boxes, limits: Limits, program: str) -> Candidate:
    return BoxedCandidate(made, program, limits)
