"""The process that starts boxes and watches over them: what they use, how long they take, and that nothing of them is left.

It runs by itself (`boot`), as an ordinary user from the moment it has its orders, with no environment. It
knows nothing of models, prompts or tests. One thread, one loop; it ends, and every box with it, when the process that started it
does.
"""

from __future__ import annotations

import base64
import contextlib
import ctypes
import json
import os
import selectors
import signal
import socket
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from sharpen.verifiers.code.boxes.processes import (
    become_bubblewrap,
    become_user,
    bubblewrap,
    children_of,
    forbid_cores,
    is_over,
    kill,
    pipe_with,
    used,
)

__all__ = ["Launcher", "main"]

_TICK_S = 0.02  # between two looks at what a program uses
_START_S = 30.0  # a sandbox that has not started by then never will
_STOP_S = 2.0  # for the first process of a box to end a program when told to
_GONE_S = 5.0  # for the kernel to take a killed box down
_TAIL = 4096  # bytes of standard error that are kept
_MAX_FILES = 4096  # in one place that can be written
_PLACES = ("tmp", "dev/shm")
_SUBREAPER = 36  # prctl: PR_SET_CHILD_SUBREAPER


@dataclass(kw_only=True)
class Job:
    """One program, from when it was asked for until its ending was told."""

    limits: dict[str, Any]
    descriptors: list[int]  # stdin, stdout, stderr, source; ours to close once they were passed on
    control: socket.socket
    stderr: int
    tail: bytearray = field(default_factory=bytearray)
    num_errors: int = 0
    started: float | None = None
    closing: float | None = None  # since when its end is awaited
    verdict: tuple[str, str] | None = None  # kind and reason, where it is the launcher that ends it


@dataclass(kw_only=True)
class Sandbox:
    """One running bubblewrap and what is known of it."""

    pid: int
    size: int
    channel: socket.socket
    said: int  # what bubblewrap itself prints
    about: int  # where it tells the number of the first process
    asked: float
    first: int | None = None
    ready: bool = False
    job: Job | None = None
    words: bytearray = field(default_factory=bytearray)
    known: bytearray = field(default_factory=bytearray)
    killed: float | None = None
    over: bool = False  # bubblewrap has ended


class Launcher:
    """All boxes of one tier."""

    def __init__(self, main: socket.socket, order: dict[str, Any]) -> None:
        self.main = main
        self.order = order
        self.selector = selectors.DefaultSelector()
        self.sandboxes: list[Sandbox] = []
        self.parent = os.getppid()
        self.over = False
        self._watch(main.fileno(), self._asked)

    def run(self) -> None:
        """Serve until whoever started us is gone or has had enough."""
        self._prepare()
        while not self.over or self.sandboxes:
            busy = any(box.job or box.killed is not None for box in self.sandboxes)
            for key, _ in self.selector.select(_TICK_S if busy else 0.5):
                if self.selector.get_map().get(key.fd) is key:  # what came before it in this turn may have closed it
                    key.data()
            if os.getppid() != self.parent:
                self._end()
            for box in list(self.sandboxes):
                self._look(box)
            self._reap()

    def _end(self) -> None:
        if not self.over:
            self.over = True
            self.selector.unregister(self.main)
            for box in self.sandboxes:
                self._kill(box)

    def _watch(self, descriptor: int, action: Callable[[], None]) -> None:
        self.selector.register(descriptor, selectors.EVENT_READ, action)

    def _forget(self, descriptor: int) -> None:
        with contextlib.suppress(KeyError):
            self.selector.unregister(descriptor)
        os.close(descriptor)

    # --- programs -------------------------------------------------------------------------------------------------------------

    def _asked(self) -> None:
        message, descriptors, _, _ = socket.recv_fds(self.main, 1 << 12, 4)
        if not message:
            self._end()
            return
        for descriptor in descriptors:  # they arrive otherwise, and other boxes would inherit a program's pipes
            os.set_inheritable(descriptor, False)
        stdin, stdout, text, control = descriptors
        ours, theirs = os.pipe()
        limits = json.loads(message)
        job = Job(limits=limits, descriptors=[stdin, stdout, theirs, text], control=socket.socket(fileno=control), stderr=ours)
        size = int(limits["file_bytes"])
        box = next((box for box in self.sandboxes if box.job is None and box.killed is None and box.size == size), None)
        if box is None:
            box = self._start(size)
        box.job = job
        self._watch(job.stderr, lambda: self._read_errors(job))
        self._watch(job.control.fileno(), lambda: self._told(box, job))
        if box.ready and box.first is not None:
            self._hand_over(box)
        self._prepare()

    def _prepare(self) -> None:
        """Keep as many boxes ready as was ordered."""
        idle = sum(box.job is None and box.killed is None for box in self.sandboxes)
        for _ in range(self.order["num_ready"] - idle):
            self._start(self.order["size"])

    def _hand_over(self, box: Sandbox) -> None:
        job = box.job
        assert job is not None
        message = json.dumps(job.limits).encode()
        try:
            socket.send_fds(box.channel, [message], job.descriptors)
        except OSError as error:
            job.verdict = ("could_not_run", f"the sandbox ended before the program started ({error.strerror})")
            self._kill(box)
            return
        for descriptor in job.descriptors:
            os.close(descriptor)
        job.descriptors = []
        job.started = time.monotonic()

    def _read_errors(self, job: Job) -> None:
        data = os.read(job.stderr, 1 << 16)
        if not data:
            self.selector.unregister(job.stderr)
            return
        job.num_errors += len(data)
        job.tail = (job.tail + data)[-_TAIL:]

    def _told(self, box: Sandbox, job: Job) -> None:
        """Its user wants no more of the program, or is gone."""
        self.selector.unregister(job.control.fileno())
        if box.job is not job or job.closing is not None:
            return
        job.closing = time.monotonic()
        if job.started is None:
            job.verdict = ("could_not_run", "it was closed before its sandbox was ready")
            self._kill(box)
        else:
            with contextlib.suppress(OSError):
                box.channel.send(b"x", socket.MSG_DONTWAIT)

    def _finish(self, box: Sandbox, kind: str, code: int | None, reason: str) -> None:
        job = box.job
        assert job is not None
        box.job = None
        os.set_blocking(job.stderr, False)
        with contextlib.suppress(OSError, KeyError):
            while data := os.read(job.stderr, 1 << 16):
                job.tail = (job.tail + data)[-_TAIL:]
        errors = bytes(job.tail)
        if kind == "exited" and code and errors.rstrip().rpartition(b"\n")[2].startswith(b"MemoryError"):
            kind, reason = "memory", "it asked for more memory than one process may have"
        ending = {"kind": kind, "code": code, "errors": base64.b64encode(errors).decode(), "reason": reason}
        with contextlib.suppress(OSError):
            job.control.send(json.dumps(ending).encode())
        for descriptor in job.descriptors:
            os.close(descriptor)
        self._forget(job.stderr)
        with contextlib.suppress(KeyError):
            self.selector.unregister(job.control.fileno())
        job.control.close()

    # --- sandboxes ------------------------------------------------------------------------------------------------------------

    def _start(self, size: int) -> Sandbox:
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        said, says = os.pipe()
        about, tells = os.pipe()
        texts = [pipe_with(base64.b64decode(self.order[name])) for name in ("filter", "first")]
        options = [str(size) if part == "SIZE" else part for part in self.order["options"]]
        options += [
            "--seccomp",
            str(texts[0]),
            "--info-fd",
            str(tells),
            "--perms",
            "0444",
            "--ro-bind-data",
            str(texts[1]),
            "/box/first.py",
        ]
        options += ["--remount-ro", "/"]
        arguments = pipe_with("".join(part + "\0" for part in options).encode())
        command = [*self.order["command"], str(theirs.fileno()), self.order["uses"]]
        pid = os.fork()
        if not pid:
            become_bubblewrap(
                [*bubblewrap(self.order["bwrap"], arguments), *command], says, [arguments, *texts, tells, theirs.fileno()]
            )
        for descriptor in (says, tells, arguments, *texts):
            os.close(descriptor)
        theirs.close()
        box = Sandbox(pid=pid, size=size, channel=ours, said=said, about=about, asked=time.monotonic())
        self.sandboxes.append(box)
        self._watch(said, lambda: self._read_words(box))
        self._watch(about, lambda: self._read_about(box))
        self._watch(ours.fileno(), lambda: self._heard(box))
        return box

    def _read_words(self, box: Sandbox) -> None:
        data = os.read(box.said, 1 << 12)
        if not data:
            self.selector.unregister(box.said)
        box.words = (box.words + data)[:_TAIL]

    def _read_about(self, box: Sandbox) -> None:
        data = os.read(box.about, 1 << 12)
        box.known += data
        if not data:
            self.selector.unregister(box.about)
        elif box.known.rstrip().endswith(b"}"):
            box.first = int(json.loads(box.known)["child-pid"])
            if box.killed is not None:
                kill(box.first)
            elif box.ready and box.job is not None:
                self._hand_over(box)

    def _heard(self, box: Sandbox) -> None:
        """The first process of a box says that it is ready, or how a program ended."""
        try:
            message = box.channel.recv(1 << 12)
        except OSError:
            message = b""
        job = box.job
        if not message:
            self.selector.unregister(box.channel)
            if job is not None and job.verdict is None:
                words = box.words.decode("utf-8", "replace").strip()
                job.verdict = (
                    ("could_not_run", f"no sandbox could be made: {words or 'it ended without a word'}")
                    if job.started is None
                    else ("killed", "the sandbox ended with the program still in it")
                )
            self._kill(box)
        elif not box.ready:
            box.ready = True
            if job is not None and box.first is not None:
                self._hand_over(box)
        elif job is not None and job.verdict is None:
            said = json.loads(message)
            self._finish(box, *_ending(int(said["status"]), job.closing is not None))
            if self.order["uses"] == "once" or not said["clean"]:
                self._kill(box)
                self._prepare()

    def _look(self, box: Sandbox) -> None:
        """End what has broken a limit."""
        now = time.monotonic()
        job = box.job
        if box.killed is not None:
            if now - box.killed > _GONE_S:
                kill(box.pid)
            return
        if not box.ready:
            if now - box.asked > _START_S:
                if job is not None:
                    job.verdict = ("could_not_run", f"no sandbox could be made within {_START_S:g} seconds")
                self._kill(box)
            return
        if job is None or job.started is None or job.verdict is not None:
            return
        job.verdict = self._broken(box, job, now)
        if job.verdict is None and job.closing is not None and now - job.closing > _STOP_S:
            job.verdict = ("killed", "it was closed while it ran")
        if job.verdict is not None:
            self._kill(box)

    def _broken(self, box: Sandbox, job: Job, now: float) -> tuple[str, str] | None:
        limits = job.limits
        assert job.started is not None
        assert box.first is not None
        if now - job.started > limits["wall_seconds"]:
            return ("timeout", f"it took longer than {limits['wall_seconds']:g} seconds")
        if job.num_errors > limits["output_bytes"]:
            return ("output", f"it wrote more than {limits['output_bytes']} bytes to standard error")
        memory, cpu = used(box.first)
        for place in _PLACES:
            with contextlib.suppress(OSError):  # the box is just going
                about = os.statvfs(f"/proc/{box.first}/root/{place}")
                memory += (about.f_blocks - about.f_bfree) * about.f_frsize
                if about.f_files - about.f_ffree > _MAX_FILES:
                    return ("memory", f"it made more than {_MAX_FILES} files")
        if cpu > limits["cpu_seconds"]:
            return ("timeout", f"it took more than {limits['cpu_seconds']} seconds of processor time")
        if memory > limits["memory_bytes"]:
            return ("memory", f"it used more than {limits['memory_bytes'] >> 20} MiB")
        return None

    def _kill(self, box: Sandbox) -> None:
        """The box goes, with all that is in it; `_reap` sees when it has gone."""
        if box.killed is None:
            box.killed = time.monotonic()
            kill(box.first or box.pid)  # bubblewrap ends when the first process does

    def _reap(self) -> None:
        for box in list(self.sandboxes):
            if box.killed is None or not (box.over or is_over(box.pid)):
                continue
            box.over = True
            outers = {other.pid for other in self.sandboxes}
            orphans = [child for child in children_of(os.getpid()) if child not in outers]
            if orphans:  # bubblewrap died first and left what it had started to us
                for orphan in orphans:
                    kill(orphan)
                    is_over(orphan)
                continue
            self.sandboxes.remove(box)
            if (job := box.job) is not None:
                assert job.verdict is not None
                self._finish(box, job.verdict[0], None, job.verdict[1])
            for descriptor in (box.said, box.about):
                self._forget(descriptor)
            with contextlib.suppress(KeyError):
                self.selector.unregister(box.channel)
            box.channel.close()
            if not self.over and box.ready:
                self._prepare()


def _ending(status: int, closing: bool) -> tuple[str, int | None, str]:
    code = os.waitstatus_to_exitcode(status)
    if code >= 0:
        return ("exited", code, f"it exited with code {code}")
    if code == -signal.SIGKILL and closing:
        return ("killed", code, "it was closed while it ran")
    if code == -signal.SIGXCPU:
        return ("timeout", code, "it took more processor time than it may")
    return (
        "killed",
        code,
        f"it was ended by {signal.Signals(-code).name if -code in set(signal.Signals) else f'signal {-code}'}",
    )


def main() -> None:
    """Take orders and serve."""
    channel = socket.socket(fileno=int(sys.argv[1]))
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    forbid_cores()
    order = json.loads(channel.recv(1 << 16))
    try:
        if order["uid"] is not None:
            become_user(order["uid"])
        ctypes.CDLL(None).prctl(_SUBREAPER, 1, 0, 0, 0)
        open(f"/proc/self/task/{os.getpid()}/children").close()
    except OSError as error:
        channel.send(f"{error}".encode())
        return
    channel.send(b"ready")
    Launcher(channel, order).run()
