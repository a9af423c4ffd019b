"""A verdict: a score in [0, 1], or the reason why there is none."""

from __future__ import annotations

import dataclasses
import math
import time
import traceback
from dataclasses import dataclass, field
from typing import Protocol, runtime_checkable

from sharpen.protocols import Verifier
from sharpen.types import Completion, Prompt, Score

__all__ = ["BadVerdict", "Telling", "Verdict", "judge", "score_of", "told"]

MAX_MESSAGE = 300  # characters of an error's own text


@dataclass(frozen=True, kw_only=True, slots=True)
class Verdict:
    """What a verifier said of one completion.

    Attributes:
        score: in [0, 1]; None where the verifier abstained or failed. A failure is never 0.
        reason: None with a score; else the class that it is counted under: `abstained`, `raised ValueError`, `returned str`,
            `returned nan`, `timeout`, `crashed SIGSEGV`, `exited 3`, `given up`.
        detail: for people, such as the error's message and line, or why a program failed its tests; or None.
        seconds: how long the verdict took, as the verifier's own process measured it.
    """

    score: Score
    reason: str | None = None
    detail: str | None = None
    seconds: float = field(default=0.0, compare=False)

    def __post_init__(self) -> None:
        if (self.score is None) != (self.reason is not None):
            raise ValueError(
                f"verdict has score {self.score} and reason {self.reason!r}; give a reason where there is no score"
            )


@runtime_checkable
class Telling(Protocol):
    """A verifier that says more than a score, and keeps its own time."""

    @property
    def max_seconds(self) -> float:
        """How long a verdict takes at most."""
        ...

    def verdict(self, prompt: Prompt, completion: Completion) -> Verdict:
        """The score with its reason or detail."""
        ...


class BadVerdict(ValueError):
    """A verifier returned something that is no verdict.

    Attributes:
        reason: the class that it is counted under.
    """

    def __init__(self, reason: str, message: str) -> None:
        super().__init__(message)
        self.reason = reason


def score_of(value: object) -> Score:
    """The score that a verifier's return value stands for: numbers and booleans in [0, 1], or None for "cannot say".

    >>> score_of(True), score_of(0), score_of(None)
    (1.0, 0.0, None)

    Raises:
        BadVerdict: it is no number, not finite, or outside [0, 1].
    """
    if value is None:
        return None
    kind = type(value).__name__
    if isinstance(value, (str, bytes, bytearray)):  # float("1") would read them
        raise BadVerdict(f"returned {kind}", f"returned {value[:60]!r}, a {kind}; return a number in [0, 1], or None")
    try:
        score = float(value)  # type: ignore[arg-type]  # foreign values: numpy and torch scalars know how
    except (TypeError, ValueError, OverflowError) as error:
        raise BadVerdict(f"returned {kind}", f"returned a {kind}; return a number in [0, 1], or None") from error
    if not math.isfinite(score):
        raise BadVerdict(f"returned {score}", f"returned {score}; return None where there is no verdict")
    if not 0.0 <= score <= 1.0:
        raise BadVerdict("returned out of range", f"returned {score:g}; a verdict lies in [0, 1]: rescale it")
    return score


def judge(verifier: Verifier, prompt: Prompt, completion: Completion, *, catch: type[BaseException] = Exception) -> Verdict:
    """The verifier's verdict in this process and without a time limit; what it raises becomes the reason for abstaining.

    Args:
        catch: what counts as the verifier's failure; a worker catches `BaseException`, since there Ctrl-C is not a person's.
    """
    start = time.perf_counter()
    try:
        if isinstance(verifier, Telling):
            return dataclasses.replace(verifier.verdict(prompt, completion), seconds=time.perf_counter() - start)
        score = score_of(verifier(prompt, completion))
    except BadVerdict as error:
        return Verdict(score=None, reason=error.reason, detail=str(error), seconds=time.perf_counter() - start)
    except catch as error:
        seconds = time.perf_counter() - start
        return Verdict(score=None, reason=f"raised {type(error).__name__}", detail=told(error), seconds=seconds)
    seconds = time.perf_counter() - start
    if score is None:
        return Verdict(score=None, reason="abstained", seconds=seconds)
    return Verdict(score=score, seconds=seconds)


def told(error: BaseException) -> str:
    """An error in one line: its class, its message, and where it was raised."""
    try:
        message = " ".join(str(error).split())
    except Exception:  # its __str__ is foreign code too
        message = "(it cannot be printed)"
    frames = traceback.extract_tb(error.__traceback__)
    where = f" ({frames[-1].filename}:{frames[-1].lineno})" if frames else ""
    return f"{type(error).__name__}: {message[:MAX_MESSAGE]}{where}"
