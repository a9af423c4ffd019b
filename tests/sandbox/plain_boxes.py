"""Boxes that contain nothing: plain child processes, for tests of the tester where no sandbox can be had. Never shipped."""

from __future__ import annotations

import os
import select
import signal
import subprocess
import sys
import tempfile
import time
from contextlib import suppress

from sharpen.verifiers.code.boxes import BoxClosed, Ending, Limits

_MAX_ERRORS = 16 << 10


class PlainBox:
    """A child with pipes, killed when its time is over."""

    def __init__(self, program: str, limits: Limits) -> None:
        self._limits = limits
        self._until = time.monotonic() + limits.wall_seconds
        self._errors = tempfile.TemporaryFile()  # noqa: SIM115
        self._ending: Ending | None = None
        self._late = False
        self._process = subprocess.Popen(
            [sys.executable, "-I", "-S", "-c", program],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._errors,
            env={"PATH": os.environ["PATH"]},
            start_new_session=True,
            bufsize=0,
        )

    def send(self, data: bytes) -> None:
        assert self._process.stdin is not None
        try:
            self._process.stdin.write(data)
        except BrokenPipeError:
            raise BoxClosed from None

    def receive(self, size: int, seconds: float) -> bytes:
        assert self._process.stdout is not None
        patience = max(0.0, min(seconds, self._until - time.monotonic()))
        if not select.select([self._process.stdout], [], [], patience)[0]:
            self._late = True
            raise TimeoutError
        return os.read(self._process.stdout.fileno(), size)

    def close(self) -> Ending:
        if self._ending is None:
            ended = self._process.poll()
            if ended is None and not self._late:
                with suppress(subprocess.TimeoutExpired):
                    ended = self._process.wait(0.05)
            with suppress(ProcessLookupError):
                os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait()
            self._errors.seek(0)
            errors = self._errors.read(_MAX_ERRORS)
            for stream in (self._process.stdin, self._process.stdout, self._errors):
                assert stream is not None
                stream.close()
            if self._late:
                self._ending = Ending(kind="timeout", code=None, errors=errors, reason="it took too long")
            elif ended is not None:
                self._ending = Ending(kind="exited", code=ended, errors=errors, reason=f"it ended with code {ended}")
            else:
                self._ending = Ending(kind="killed", code=None, errors=errors, reason="it was still running")
        return self._ending


class PlainBoxes:
    """Makes them."""

    name = "plain"

    def open(self, program: str, limits: Limits) -> PlainBox:
        return PlainBox(program, limits)

    def close(self) -> None:
        pass
