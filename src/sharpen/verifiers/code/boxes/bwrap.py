"""Boxes made by bubblewrap: one for each program (`bwrap`), or one that runs program after program (`warm`)."""

from __future__ import annotations

import base64
import contextlib
import json
import os
import select
import socket
import subprocess
import threading
import time
from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Literal

from sharpen.errors import SandboxError
from sharpen.verifiers.code.boxes.boot import boot
from sharpen.verifiers.code.boxes.box import BoxClosed, Ending, Limits
from sharpen.verifiers.code.boxes.layout import Interpreter, box_uid, bwrap_path, options, reachable_interpreter
from sharpen.verifiers.code.boxes.seccomp import seccomp_filter

__all__ = ["BwrapBox", "BwrapBoxes"]

_HERE = Path(__file__).parent
_PROGRAM = ("-s", "-S", "-B", "-X", "utf8", "/box/first.py")
_START_S = 60.0  # for the launcher to begin, and for a box to be told to have ended beyond its own limits
_NUM_READY = 2  # sandboxes that wait for the next program, so that making them costs no time


class BwrapBox:
    """One program in a sandbox; see `Box`."""

    def __init__(self, stdin: int, stdout: int, control: socket.socket, limits: Limits) -> None:
        self._stdin, self._stdout, self._control = stdin, stdout, control
        self._limits = limits
        self._left = limits.output_bytes
        self._ending: Ending | None = None
        self._flooded = False

    def send(self, data: bytes) -> None:
        """See `Box.send`."""
        if self._ending is not None:
            raise BoxClosed("the box is closed")
        until = time.monotonic() + self._limits.wall_seconds + _START_S
        poll = select.poll()
        poll.register(self._stdin, select.POLLOUT)
        left = memoryview(data)
        while left:
            if not poll.poll(max(0.0, until - time.monotonic()) * 1000):
                raise BoxClosed("the program does not read what it is sent")
            try:
                left = left[os.write(self._stdin, left[:65536]) :]
            except BlockingIOError:
                continue
            except BrokenPipeError:
                raise BoxClosed("the program is gone") from None

    def receive(self, size: int, seconds: float) -> bytes:
        """See `Box.receive`."""
        if self._ending is not None or self._flooded:
            return b""
        poll = select.poll()
        poll.register(self._stdout, select.POLLIN)
        if not poll.poll(max(0.0, seconds) * 1000):
            raise TimeoutError(f"the program wrote nothing for {seconds:g} seconds")
        data = os.read(self._stdout, min(size, self._left + 1))
        self._left -= len(data)
        if self._left < 0:
            self._flooded = True
            self._tell_end()
            return b""
        return data

    def over(self, seconds: float) -> bool:
        """Whether the program has ended, within so many seconds."""
        poll = select.poll()
        poll.register(self._control, select.POLLIN)
        return bool(poll.poll(seconds * 1000))

    def _tell_end(self) -> None:
        with contextlib.suppress(OSError):
            self._control.shutdown(socket.SHUT_WR)  # a message that it no longer reads would cost us its answer

    def close(self) -> Ending:
        """See `Box.close`."""
        if self._ending is None:
            self._tell_end()
            self._ending = self._received()
            for descriptor in (self._stdin, self._stdout):
                os.close(descriptor)
            self._control.close()
        return self._ending

    def _received(self) -> Ending:
        self._control.settimeout(self._limits.wall_seconds + _START_S)
        try:
            message = self._control.recv(1 << 16)
        except OSError:  # a timeout among them
            message = b""
        if not message:
            return Ending(kind="could_not_run", code=None, errors=b"", reason="the process that watches over the box is gone")
        said = json.loads(message)
        ending = Ending(kind=said["kind"], code=said["code"], errors=base64.b64decode(said["errors"]), reason=said["reason"])
        if self._flooded:
            return replace(
                ending, kind="output", reason=f"it wrote more than {self._limits.output_bytes} bytes to standard output"
            )
        return ending


class BwrapBoxes:
    """Boxes of hardened bubblewrap, made and watched by a process of their own that is an ordinary user.

    A box has its own users, processes, network, host name, files and System V objects. It sees the interpreter with its standard
    library and two small places in memory; the kernel takes few system calls from it. Processes of root become another user
    before they start one. Safe to use from several threads.

    Args:
        name: `bwrap` makes a new sandbox for every program. `warm` runs programs one after the other in a sandbox that stays:
            each in a new process with all others killed, and the sandbox thrown away once anything was written in it. A fault in
            the interpreter or the kernel that lets one program reach the next is then possible, so use it for programs that
            answer the same prompt only.

    Attributes:
        interpreter: what runs the programs.
        options: of bubblewrap, for boxes yet to be made.

    Raises:
        SandboxError: this machine lacks what a box is made of.
    """

    def __init__(self, name: Literal["bwrap", "warm"] = "bwrap", *, interpreter: Interpreter | None = None) -> None:
        self.name: str = name
        uid = box_uid()
        self.interpreter = interpreter or reachable_interpreter(uid)
        self.options: Sequence[str] = options(self.interpreter)
        warm = name == "warm"
        self._order = {
            "uid": uid,
            "bwrap": bwrap_path(),
            "command": [self.interpreter.path, *_PROGRAM],
            "filter": base64.b64encode(seccomp_filter()).decode(),
            "first": base64.b64encode((_HERE / "first.py").read_bytes()).decode(),
            "uses": "many" if warm else "once",
            "num_ready": 0 if warm else _NUM_READY,
            "size": Limits().file_bytes,
        }
        self._lock = threading.Lock()
        self._process: subprocess.Popen[bytes] | None = None
        self._main: socket.socket | None = None

    def open(self, program: str, limits: Limits) -> BwrapBox:
        """See `Boxes.open`."""
        text = os.memfd_create("program")
        with open(text, "wb", closefd=False) as file:
            file.write(program.encode("utf-8", "surrogatepass"))
        os.lseek(text, 0, os.SEEK_SET)
        box_in, stdin = os.pipe()
        stdout, box_out = os.pipe()
        control, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        os.set_blocking(stdin, False)
        try:
            self._send(json.dumps(asdict(limits)).encode(), [box_in, box_out, text, theirs.fileno()])
        except BaseException:
            os.close(stdin)
            os.close(stdout)
            control.close()
            raise
        finally:
            for descriptor in (text, box_in, box_out):
                os.close(descriptor)
            theirs.close()
        return BwrapBox(stdin, stdout, control, limits)

    @property
    def launcher(self) -> int | None:
        """The process that starts boxes, where it has been needed."""
        return None if self._process is None else self._process.pid

    def _send(self, message: bytes, descriptors: list[int]) -> None:
        with self._lock:
            for last in (False, True):  # a launcher that was killed, by the kernel for want of memory say, is replaced once
                if self._main is None:
                    self._launch()
                assert self._main is not None
                try:
                    socket.send_fds(self._main, [message], descriptors)
                except OSError as error:
                    self._end()
                    if last:
                        raise SandboxError(f"the process that starts boxes ends at once ({error.strerror})") from error
                else:
                    return

    def _launch(self) -> None:
        self._main, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self._process = subprocess.Popen(
            boot("launcher", str(theirs.fileno())),
            pass_fds=[theirs.fileno()],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            env={"PATH": "/usr/bin:/bin"},
            cwd="/",
            start_new_session=True,
        )
        theirs.close()
        self._main.settimeout(_START_S)
        try:
            self._main.send(json.dumps({**self._order, "options": list(self.options)}).encode())
            answer = self._main.recv(1 << 12)
        except OSError as error:
            answer = f"{error}".encode()
        if answer != b"ready":
            self._end()
            raise SandboxError(f"the process that starts boxes could not begin: {answer.decode() or 'it ended at once'}")
        self._main.settimeout(None)

    def _end(self) -> None:
        if self._main is not None:
            self._main.close()
            self._main = None
        if self._process is not None:
            try:
                self._process.wait(_START_S)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()
            self._process = None

    def close(self) -> None:
        """See `Boxes.close`."""
        with self._lock:
            self._end()
