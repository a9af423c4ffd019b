"""A worker process as its pool holds it: started, fed, read and killed with everything that it started."""

from __future__ import annotations

import gc
import json
import os
import signal
import subprocess
import sys
import time
import warnings
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from typing import Any, NoReturn, Protocol

from sharpen.child_environment import child_environment, keep_only_allowed
from sharpen.protocols import Verifier
from sharpen.verifiers.wire import MAX_REPLY, Frames, frame

__all__ = ["Worker", "ended", "forked", "spawned"]

# the parent's path comes first: without it the child may find no sharpen
_BOOT = "import json, sys; sys.path[:] = json.loads(sys.argv.pop()); from sharpen.verifiers.worker import main; main()"
_GRACE_S = 1.0  # for a process that has closed its pipe to finish dying, so that its own signal or exit status is seen


class _Process(Protocol):
    pid: int

    def poll(self) -> int | None: ...

    def wait(self) -> int: ...


class _Child:
    """A forked child, waited for as `subprocess.Popen` is."""

    def __init__(self, pid: int) -> None:
        self.pid = pid
        self._code: int | None = None

    def poll(self) -> int | None:
        return self._reap(os.WNOHANG)

    def wait(self) -> int:
        code = self._reap(0)
        return -signal.SIGKILL if code is None else code

    def _reap(self, options: int) -> int | None:
        if self._code is None:
            pid, status = os.waitpid(self.pid, options)
            self._code = os.waitstatus_to_exitcode(status) if pid else None
        return self._code


class Worker:
    """One worker process.

    Attributes:
        assigned: numbers of the pairs that it was given and has not judged, in its order.
        ready: it has built the verifier.
        num_verdicts: how many it has given since it started.
        deadline: when (monotonic seconds) it must have replied next.
    """

    def __init__(self, process: _Process, requests: int, replies: int) -> None:
        self._process = process
        self.requests = requests
        self.replies = replies
        self.assigned: deque[int] = deque()
        self.ready = False
        self.num_verdicts = 0
        self.deadline = 0.0
        self._frames = Frames(MAX_REPLY)
        self._outgoing = memoryview(b"")
        os.set_blocking(requests, False)

    @property
    def writing(self) -> bool:
        """Whether some of what it was sent has not left yet."""
        return bool(self._outgoing)

    def send(self, message: Any) -> None:  # Any: plain JSON
        """Start sending a message; `flush` goes on while `writing`."""
        self._outgoing = memoryview(frame(message))
        self.flush()

    def flush(self) -> None:
        """Send what the pipe takes now."""
        try:
            while self._outgoing:
                self._outgoing = self._outgoing[os.write(self.requests, self._outgoing) :]
        except BlockingIOError:
            pass
        except OSError:  # it is dead, which the reading side sees
            self._outgoing = memoryview(b"")

    def receive(self) -> Sequence[Any] | None:  # Any: decoded JSON
        """The messages that have come in; None where it has closed its side.

        Raises:
            ValueError: what came in is no message.
        """
        data = os.read(self.replies, 1 << 16)
        return self._frames.feed(data) if data else None

    def kill(self, *, grace_s: float = 0.0) -> int | None:
        """End it and all that it started (its process group).

        Returns:
            Its exit code where it had ended by itself, within `grace_s` seconds; else None.
        """
        until = time.monotonic() + grace_s
        code = self._process.poll()
        while code is None and time.monotonic() < until:
            time.sleep(0.001)
            code = self._process.poll()
        for end in (os.killpg, os.kill) if code is None else (os.killpg,):  # the group outlives its leader
            with suppress(ProcessLookupError, PermissionError):
                end(self._process.pid, signal.SIGKILL)
        self._process.wait()
        for descriptor in (self.requests, self.replies):
            os.close(descriptor)
        return code

    def closed(self) -> int | None:
        """As `kill`, for a worker that has closed its pipe and is about to die."""
        return self.kill(grace_s=_GRACE_S)


def ended(code: int | None) -> str:
    """What an exit code is counted under.

    >>> ended(-11), ended(3)
    ('crashed SIGSEGV', 'exited 3')
    """
    if code is None:
        return "crashed"
    return f"crashed {signal.Signals(-code).name}" if code < 0 else f"exited {code}"


def spawned(order: Mapping[str, Any], log: int) -> Worker:  # Any: plain JSON
    """A new interpreter that builds the verifier which the order describes; prints go to the descriptor `log`."""

    def start(requests: int, replies: int) -> _Process:
        command = [sys.executable, "-c", _BOOT, json.dumps(sys.path)]
        return subprocess.Popen(
            command, stdin=requests, stdout=replies, stderr=log, env=child_environment(), start_new_session=True
        )

    worker = _piped(start)
    worker.send(order)
    return worker


def forked(verifier: Verifier, log: int, *, limit_s: float, max_memory: int) -> Worker:
    """A copy of this process that has the verifier already, for one that no other process could find."""

    def start(requests: int, replies: int) -> _Process:
        for stream in (sys.stdout, sys.stderr):
            stream.flush()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)  # of forking beside threads: the child runs the verifier alone
            pid = os.fork()
        if not pid:
            try:
                _become(verifier, requests, replies, log, limit_s, max_memory)
            finally:  # never back into the caller's code, whatever happens
                os._exit(1)
        return _Child(pid)

    return _piped(start)


def _become(verifier: Verifier, requests: int, replies: int, log: int, limit_s: float, max_memory: int) -> NoReturn:
    from sharpen.verifiers.worker import isolate, serve

    keep_only_allowed()
    gc.freeze()  # what the parent had open must not be finalised here
    os.setsid()
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_DFL)
    os.dup2(log, 2)
    null = os.open(os.devnull, os.O_RDWR)
    for name in os.listdir("/dev/fd"):  # files, locks and pipes of the parent; the numbers stay taken, so none is closed twice
        if int(name) not in (0, 1, 2, null, requests, replies):
            with suppress(OSError):
                os.fstat(int(name))
                os.dup2(null, int(name), inheritable=False)
    isolate(requests, replies)
    serve(verifier, requests, replies, limit_s=limit_s, max_memory=max_memory)


def _piped(start: Callable[[int, int], _Process]) -> Worker:
    theirs_in, ours_out = os.pipe()
    ours_in, theirs_out = os.pipe()
    try:
        process = start(theirs_in, theirs_out)
    except BaseException:
        os.close(ours_out)
        os.close(ours_in)
        raise
    finally:
        os.close(theirs_in)
        os.close(theirs_out)
    return Worker(process, ours_out, ours_in)
