"""The fast tier: functions called in an interpreter that has no system to call (`pydantic-monty`), itself inside a sandbox."""

from __future__ import annotations

import base64
import contextlib
import json
import os
import shlex
import tempfile
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sharpen.errors import SandboxError
from sharpen.verifiers.code.boxes.boot import boot
from sharpen.verifiers.code.boxes.box import BoxClosed, Ending, Limits
from sharpen.verifiers.code.boxes.layout import box_uid, bwrap_path, reachable, worker_options
from sharpen.verifiers.code.boxes.seccomp import seccomp_filter

if TYPE_CHECKING:
    from pydantic_monty import Monty, MontySession

__all__ = ["Foreign", "MontyBox", "MontyBoxes", "Raised", "Unsupported"]

_GRACE_S = 0.5  # beyond a limit, for the interpreter to stop by itself, before its process is killed
_MAX_MEMORY = 64 << 20  # programs that need more are for another tier
_MAX_TEXT = 4096
_MAX_USES = 5000  # programs, before a worker is replaced
_PLAIN = frozenset((int, float, bool, bytes, type(None)))
_WORKER_MEMORY = 1 << 30  # its address space: the interpreter's own file is 31 MB, its threads' stacks are some more

# What stands for nothing said about the program: the interpreter may lack what it uses, or word it otherwise.
_LACKS = frozenset(
    (
        "AttributeError",
        "ImportError",
        "MemoryError",
        "ModuleNotFoundError",
        "NameError",
        "NotImplementedError",
        "OSError",
        "PermissionError",
        "RecursionError",
        "SyntaxError",
        "SystemError",
        "TypeError",
        "UnboundLocalError",
    )
)

# Gives the first class in a value that is not plain, or None. It is asked where there is text in a value, since functions, ranges
# and iterators leave the interpreter as text about them. A program that gave the names in it another meaning is for another tier.
_CHECK = """
def _sharpen_check(value):
    if not (type([]) is list and type(()) is tuple and type({}) is dict and type({1}) is set and type('') is str and type(b'') is bytes
            and type(1) is int and type(1.5) is float and type(True) is bool and type(frozenset([1])) is frozenset):
        return '?'
    waiting = [value]
    number = 0
    while waiting:
        one = waiting.pop()
        kind = type(one)
        number += 1
        if kind is dict:
            for key in one:
                waiting.append(key)
                waiting.append(one[key])
        elif kind is list or kind is tuple or kind is set or kind is frozenset:
            for part in one:
                waiting.append(part)
        elif not (one is None or kind is str or kind is int or kind is float or kind is bool or kind is bytes):
            return kind.__name__
        if number > 100000:
            return 'a value that is too large or holds itself'
    return None
_sharpen_check(_sharpen_result)
"""


class Raised(Exception):
    """The program raised, while it was defined or called.

    Attributes:
        kind: the name of its exception's class.
        text: the message and traceback, bounded.
    """

    def __init__(self, kind: str, text: str) -> None:
        super().__init__(f"{kind}: {text}")
        self.kind = kind
        self.text = text


class _BrokenError(BoxClosed):
    """The interpreter's process ended by itself."""


class Unsupported(Exception):
    """The program uses what this interpreter lacks, so that it says nothing about the program: use another tier."""


@dataclass(frozen=True, kw_only=True)
class Foreign:
    """What a program returned, where it is not plain values all through.

    Attributes:
        kind: the name of the first class in it that is not plain.
    """

    kind: str


class MontyBox:
    """One program's session. Values are plain: None, bool, int, float, str, bytes, list, tuple, dict, set, frozenset; anything else
    comes back as a `Foreign`.
    """

    def __init__(self, session: MontySession, limits: Limits) -> None:
        self._session = session
        self._left = limits.output_bytes
        self._limits = limits
        self._ending: Ending | None = None

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
        if not function.isidentifier():
            raise ValueError(f"{function!r} is no name of a function")
        inputs = {"_sharpen_arguments": list(arguments), "_sharpen_keywords": dict(keywords or {})}
        value = self.feed(f"_sharpen_result = {function}(*_sharpen_arguments, **_sharpen_keywords)\n_sharpen_result", inputs)
        seen = _looked_through(value)
        if seen is str:
            match self.feed(_CHECK):
                case None:
                    return value
                case "?":
                    raise Unsupported("the program gives the names of types another meaning")
                case kind:
                    return Foreign(kind=str(kind))
        return value if seen is None else Foreign(kind=seen.__name__)

    def feed(self, code: str, inputs: Mapping[str, Any] | None = None) -> Any:  # Any: plain values
        """Run a snippet; the value of the expression that it ends with. Raises as `call` does."""
        from pydantic_monty import CollectString, MontyCrashedError, MontyError

        if self._ending is not None:
            raise BoxClosed("the box is closed")
        printed = CollectString(self._left)
        try:
            value = self._session.feed_run(code, inputs=dict(inputs or {}), print_callback=printed)
        except MontyCrashedError as error:
            if error.timed_out:
                raise self._out_of_time() from None
            self._end("killed", "the interpreter broke")
            raise _BrokenError("the interpreter broke") from None
        except MontyError as error:
            raise self._told(error) from None
        self._left -= len(printed.output.encode())
        return value

    def _told(self, error: Any) -> Exception:  # Any: of a module without types for it
        raised = error.exception()
        kind = type(raised).__name__
        text = error.display("msg")[:_MAX_TEXT] if hasattr(error, "display") else str(error)[:_MAX_TEXT]
        if kind == "TimeoutError" and "limit exceeded" in text:
            return self._out_of_time()
        if kind == "MemoryError" and f"> {self._left} bytes" in text:  # the collector's limit, not the heap's
            self._end("output", f"it printed more than {self._limits.output_bytes} bytes")
            return BoxClosed("it printed too much")
        if kind in _LACKS:
            return Unsupported(f"{kind}: {text}")
        return Raised(kind, error.display("traceback")[-_MAX_TEXT:])

    def _out_of_time(self) -> TimeoutError:
        reason = f"it took longer than {self._limits.wall_seconds:g} seconds"
        self._end("timeout", reason)
        return TimeoutError(reason)

    def _end(self, kind: Any, reason: str) -> None:  # Any: of the kinds of an ending
        self._ending = Ending(kind=kind, code=None, errors=b"", reason=reason)
        with contextlib.suppress(Exception):  # its worker may be gone
            self._session.__exit__(None, None, None)

    def close(self) -> Ending:
        """End the session; the same value when called again."""
        if self._ending is None:
            self._end("exited", "it was closed")
        assert self._ending is not None
        return self._ending


def _looked_through(value: object) -> type | None:
    """None where there are plain values all through and no text among them, `str` where there is text, else a class that is not
    plain.
    """
    found = None
    waiting = [value]
    while waiting:
        one = waiting.pop()
        kind = type(one)
        if kind in (list, tuple, set, frozenset):
            waiting += one  # type: ignore[arg-type]  # it is one of these
        elif kind is dict:
            waiting += [*one.keys(), *one.values()]  # type: ignore[attr-defined]  # it is a dict
        elif kind is str:
            found = str
        elif kind not in _PLAIN:
            return kind
    return found


def _see_held(pool: Monty, uid: int | None) -> None:
    """See that the interpreter works, that it reads no file, and that its process is one that could not.

    Raises:
        SandboxError: one of them is not so.
    """
    from pydantic_monty import MontyError

    with pool.checkout() as session:
        if session.feed_run("20 + 22") != 42:
            raise SandboxError("the interpreter of the tier monty cannot add; report it")
        with contextlib.suppress(MontyError):
            session.feed_run(f"open({__file__!r}).read()")
            raise SandboxError(
                "a program in the tier monty can read files of this machine; report it, and run no code that a model wrote"
            )
        worker = session.worker_pid
    held = _descendants(worker) if worker is not None else []
    about = [Path(f"/proc/{pid}/status").read_text().split("\n") for pid in held]
    filtered = [lines for lines in about if "Seccomp:\t2" in lines]
    roots = [lines for lines in about if any(line.startswith("Uid:") and "0" in line.split()[1:] for line in lines)]
    own = os.readlink("/proc/self/ns/net") if uid is None else None
    shared = [pid for pid in held[-1:] if own is not None and os.readlink(f"/proc/{pid}/ns/net") == own]
    if not filtered or roots or shared:
        raise SandboxError("the worker of the tier monty is in no sandbox; report it, and run no code that a model wrote")


def _see_any_box() -> None:
    """See that boxes can be made at all: bubblewrap's own words say why one cannot."""
    from sharpen.verifiers.code.boxes.tiers import boxes

    boxes("bwrap").close()


def _descendants(pid: int) -> list[int]:
    children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    return [found for child in map(int, children) for found in (child, *_descendants(child))]


class MontyBoxes:
    """The tier `monty`: workers of an interpreter, each in a sandbox of its own and used for many programs.

    The interpreter knows no files, no network, no processes and no clock but the machine's time; its worker runs in bubblewrap
    with nothing in it but itself, may not start processes, and is killed past a limit. Safe to use from several threads.

    Raises:
        SandboxError: the interpreter is not installed, or this machine lacks what a sandbox is made of.
    """

    name = "monty"

    def __init__(self) -> None:
        try:
            from pydantic_monty._binary import find_monty_binary

            binary = os.path.realpath(find_monty_binary())
        except (ImportError, FileNotFoundError) as error:
            raise SandboxError(f"the tier monty needs pip install 'sharpen[code]' ({error})") from error
        uid = box_uid()
        copied = not reachable(binary, uid)
        self._uid = uid
        self._order = {
            "uid": uid,
            "bwrap": bwrap_path(),
            "options": worker_options(binary, copied=copied),
            "copied": binary if copied else None,
            "filter": base64.b64encode(seccomp_filter(threads_only=True)).decode(),
            "memory": _WORKER_MEMORY,
        }
        self._lock = threading.Lock()
        self._pool: Monty | None = None
        self._folder: tempfile.TemporaryDirectory[str] | None = None

    def open(self, program: str, limits: Limits) -> MontyBox:
        """A session in which `program` (definitions) has run.

        Raises:
            Raised: the program raised, or its syntax is wrong.
            Unsupported: it needs what the interpreter lacks.
            TimeoutError: it took longer than its limits allow.
            BoxClosed: it broke another limit, or its interpreter.
            SandboxError: no worker could be started.
        """
        try:
            return self._opened(program, limits)
        except _BrokenError:  # it may have been the worker's fault: it is the program's where a fresh one breaks too
            return self._opened(program, limits)

    def _opened(self, program: str, limits: Limits) -> MontyBox:
        box = MontyBox(self._checked_out(limits), limits)
        try:
            box.feed(program)
        except BaseException:
            box.close()
            raise
        return box

    def _checked_out(self, limits: Limits) -> MontySession:
        session = self._started().checkout(
            script_name="program.py",
            limits={
                "max_feed_duration_secs": min(float(limits.cpu_seconds), limits.wall_seconds),
                "max_memory": min(limits.memory_bytes, _MAX_MEMORY),
                "max_total_sleep_secs": limits.wall_seconds,
            },
            os_policy={"random_start": {"seed": 0}},
        )
        return session.__enter__()

    def _started(self) -> Monty:
        from pydantic_monty import Monty, MontyError

        with self._lock:
            if self._pool is None:
                self._folder = tempfile.TemporaryDirectory(prefix="sharpen-monty-")
                order, start = Path(self._folder.name) / "order.json", Path(self._folder.name) / "start"
                order.write_text(json.dumps(self._order))
                start.write_text(f"#!/bin/sh\nexec {shlex.join(boot('worker', str(order)))}\n")
                start.chmod(0o700)
                pool = Monty(
                    binary_path=start,
                    max_processes=len(os.sched_getaffinity(0)),
                    max_checkouts_per_worker=_MAX_USES,
                    feed_duration_limit_grace=_GRACE_S,
                )
                try:
                    pool.__enter__()
                    _see_held(pool, self._uid)
                except (MontyError, OSError) as error:
                    pool.__exit__(None, None, None)
                    _see_any_box()
                    raise SandboxError(
                        f"no sandbox could be made for the interpreter of the tier monty: {error}; report it"
                    ) from error
                self._pool = pool
            return self._pool

    def close(self) -> None:
        """End all workers."""
        with self._lock:
            if self._pool is not None:
                self._pool.__exit__(None, None, None)
                self._pool = None
            if self._folder is not None:
                self._folder.cleanup()
                self._folder = None
