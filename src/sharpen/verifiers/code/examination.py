"""The examination of one program: its tests run here, outside every box, and the program only answers their calls."""

from __future__ import annotations

import builtins
import contextlib
import signal
import threading
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from types import FrameType
from typing import Any, Literal

from sharpen.verifiers.code.boxes import Unsupported
from sharpen.verifiers.code.candidates import Candidate, Raised, StoppedError
from sharpen.verifiers.code.program import RefusedValueError
from sharpen.verifiers.code.suites import Suite

__all__ = ["CandidateError", "Examination", "examine"]

MAX_CALLS = 10_000
MAX_TEXT = 1_000  # characters of feedback
_MAX_SHOWN = 200  # characters of an argument or value in it
_TESTS = "<tests>"

# What a program raises is raised in the tests too, as one of these. StopIteration is not among them: raised by a function under
# `map` or `iter`, it ends a loop over test cases early, and nothing is left to fail.
_RAISED = (
    *("ArithmeticError", "AssertionError", "AttributeError", "EOFError", "FloatingPointError", "ImportError", "IndexError"),
    *("KeyError", "LookupError", "MemoryError", "ModuleNotFoundError", "NameError", "NotImplementedError", "OSError"),
    *("OverflowError", "RecursionError", "RuntimeError", "SyntaxError", "TypeError", "UnicodeError", "ValueError"),
    "ZeroDivisionError",
)


class CandidateError(Exception):
    """A program raised something that has no namesake here."""


@dataclass(frozen=True, kw_only=True)
class Examination:
    """How a program did.

    Attributes:
        kind: `pass` where every test ran to its end and the program broke no limit; `could not run` says nothing about it.
        text: why it is no pass, bounded, printable: usable as feedback; "" for a pass.
        num_calls: calls that it answered.
    """

    kind: Literal["pass", "fail", "timeout", "resource", "could not run"]
    text: str = ""
    num_calls: int = 0


def examine(suite: Suite, load: Callable[[], Candidate], *, seconds: float) -> Examination:
    """Load a program and put it to the tests. Anything but a clean end of all tests, with an answered call at least, is no pass.

    Args:
        load: starts the program.
        seconds: of this process's own processor time that the tests may take, on what the program returned.

    Raises:
        Unsupported: only another kind of box can run it.
    """
    try:
        candidate = load()
    except StoppedError as error:
        return _made(error.kind, error.text)
    except Raised as error:
        return _made("fail", f"the program cannot be loaded.\n{error.text}")
    except RefusedValueError as error:
        return _made("fail", f"the program is {error}")
    session = _Session(candidate)
    try:
        return _tested(suite, session, seconds)
    finally:
        candidate.close()


def _tested(suite: Suite, session: _Session, seconds: float) -> Examination:
    try:
        with _processor_time(seconds, session):
            _run(suite, session)
        raised = None
    except KeyboardInterrupt:
        raise
    except BaseException as error:  # a test may raise anything, SystemExit as well
        raised = error
    if session.unsupported is not None:
        raise session.unsupported
    if session.stopped is not None:  # whatever the tests made of it
        return _made(session.stopped.kind, session.stopped.text, session.num_calls)
    if raised is not None:
        kind: Literal["fail", "could not run"] = "fail" if session.num_asked else "could not run"
        return _made(kind, _why(raised, suite, session), session.num_calls)
    if not session.num_calls:
        return _made("could not run", "the tests never call the program")
    return Examination(kind="pass", num_calls=session.num_calls)


class _Session:
    """The calls of one examination."""

    def __init__(self, candidate: Candidate) -> None:
        self._candidate = candidate
        self.num_asked = 0
        self.num_calls = 0
        self.stopped: StoppedError | None = None
        self.unsupported: Unsupported | None = None
        self._asked: tuple[str, tuple[Any, ...], Mapping[str, Any]] | None = None
        self._found: tuple[str, object] = ("", "")

    def call(self, name: str, arguments: tuple[Any, ...], keywords: Mapping[str, Any]) -> Any:  # Any: plain values
        if self.stopped is not None:
            raise self.stopped
        self.num_asked += 1
        self._asked, self._found = (name, arguments, keywords), ("", "")
        try:
            if self.num_asked > MAX_CALLS:
                raise StoppedError("resource", f"the tests called the program more than {MAX_CALLS} times")
            value = self._candidate.call(name, arguments, keywords)
        except StoppedError as error:
            raise self.stop(error.kind, f"{self.last}: {error.text}") from None
        except Unsupported as error:
            self.unsupported = error
            raise self.stop("could not run", str(error)) from None
        except RefusedValueError as error:
            raise self.stop("could not run", f"the tests call it with {error}") from None
        except Raised as error:
            self.num_calls += 1
            self._found = (" raised ", error)
            raise _namesake(error) from None
        self.num_calls += 1
        self._found = (" returned ", value)
        return value

    @property
    def last(self) -> str:
        """The last call and what came of it, for people."""
        if self._asked is None:
            return ""
        how, found = self._found
        told = f"{found.kind}.\n{found.text}" if isinstance(found, Raised) else _shown(found) if how else ""
        return _call_text(*self._asked) + how + told

    def stop(self, kind: Any, text: str) -> StoppedError:  # Any: Kind
        """Nothing more is asked."""
        self.stopped = StoppedError(kind, text)
        return self.stopped


def _run(suite: Suite, session: _Session) -> None:
    def proxy(name: str) -> Callable[..., Any]:  # Any: plain values
        return lambda *arguments, **keywords: session.call(name, arguments, keywords)

    space: dict[str, Any] = {"__name__": "tests"}
    if suite.setup:
        exec(_compiled(suite.setup, "<setup>"), space)
    space.update({name: proxy(name) for name in suite.names})
    exec(_compiled(suite.tests, _TESTS), space)
    if suite.entry_point is not None and callable(space.get("check")):
        space["check"](space[suite.entry_point])


def _compiled(source: str, name: str) -> Any:  # Any: a code object
    return compile(source, name, "exec", dont_inherit=True, optimize=0)  # asserts stay, however this process was started


@contextlib.contextmanager
def _processor_time(seconds: float, session: _Session) -> Iterator[None]:
    """End tests that go on and on over what the program returned. Only a main thread can: a verifier's process is one."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def ring(number: int, frame: FrameType | None) -> None:
        raise session.stop("timeout", f"the tests took longer than {seconds:g} s over what the program returned")

    before = signal.signal(signal.SIGVTALRM, ring)
    signal.setitimer(signal.ITIMER_VIRTUAL, seconds, 0.1)  # again and again: a test's bare `except` may catch the first
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_VIRTUAL, 0)
        signal.signal(signal.SIGVTALRM, before)


def _namesake(error: Raised) -> Exception:
    kind = getattr(builtins, error.kind) if error.kind in _RAISED else CandidateError
    text = error.text if kind is not CandidateError else f"{error.kind}: {error.text}"
    found = kind(text)
    assert isinstance(found, Exception)
    return found


def _why(error: BaseException, suite: Suite, session: _Session) -> str:
    """The line of the tests that failed, what the last call gave, and the error where it is not the bare assertion."""
    line = ""
    trace = error.__traceback__
    while trace is not None:
        if trace.tb_frame.f_code.co_filename == _TESTS:
            line = suite.tests.splitlines()[trace.tb_lineno - 1].strip()
        trace = trace.tb_next
    told = "" if session.last.endswith(str(error)) else f"{type(error).__name__}: {error}".removesuffix(": ")
    return "\n".join(part for part in (line, session.last, "" if told == "AssertionError" else told) if part)


def _call_text(name: str, arguments: tuple[Any, ...], keywords: Mapping[str, Any]) -> str:  # Any: plain values
    given = [*map(_shown, arguments), *(f"{key}={_shown(value)}" for key, value in keywords.items())]
    return f"{name}({', '.join(given)})"


def _shown(value: object) -> str:
    try:
        text = repr(value)
    except (ValueError, RecursionError):  # an integer of more digits than Python prints
        return f"<{type(value).__name__}>"
    return text if len(text) <= _MAX_SHOWN else f"{text[:_MAX_SHOWN]}..."


def _made(kind: Any, text: str, num_calls: int = 0) -> Examination:  # Any: Kind
    bounded = text if len(text) <= MAX_TEXT else f"{text[: MAX_TEXT // 2]}\n...\n{text[-MAX_TEXT // 2 :]}"
    printable = "".join(one if one.isprintable() or one == "\n" else repr(one)[1:-1] for one in bounded)
    return Examination(kind=kind, text=printable, num_calls=num_calls)
