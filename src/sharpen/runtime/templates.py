"""Chat templates rendered in a process of their own: a template is a program that came with the model, and may do anything."""

from __future__ import annotations

import atexit
import functools
import json
import os
import select
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Mapping
from contextlib import suppress
from typing import Any

from sharpen.child_environment import child_environment
from sharpen.runtime.template_worker import CPU_S, MAX_RENDERED
from sharpen.verifiers.processes import ended
from sharpen.verifiers.wire import Frames, frame

__all__ = ["TemplateError", "rendered"]

_BOOT = "import json, sys; sys.path[:] = json.loads(sys.argv.pop()); from sharpen.runtime.template_worker import main; main()"
_START_S = 120.0
_PATIENCE_S = 300.0  # wall-clock; processor time is what is limited, and a busy machine gives it slowly


class TemplateError(ValueError):
    """A template did not render; the message says why."""


def rendered(template: str, values: Mapping[str, Any]) -> str:  # Any: plain JSON
    """What a template makes of these values, within a second of processor time, 768 MiB and a million characters.

    Raises:
        TemplateError: it refuses them, fails, or goes beyond a limit.
    """
    return _worker(os.getpid()).render(template, values)


@functools.cache
def _worker(pid: int) -> _Worker:
    """The one of this process; a fork gets its own."""
    worker = _Worker()
    atexit.register(worker.close)
    return worker


class _Worker:
    def __init__(self) -> None:
        self._process: subprocess.Popen[bytes] | None = None
        self._lock = threading.Lock()

    def render(self, template: str, values: Mapping[str, Any]) -> str:  # Any: as above
        with self._lock:
            process = self._process or self._started()
            try:
                said = self._asked(process, {"template": template, "values": values})
            except BaseException:  # Ctrl-C among them: a reply on its way belongs to no later prompt
                self.close()
                raise
        text = said.get("text")
        if not isinstance(text, str):
            raise TemplateError(str(said.get("error")))
        return text

    def close(self) -> None:
        """End the process; the next template starts another."""
        process, self._process = self._process, None
        if process is not None:
            process.kill()
            process.wait()
            for pipe in (process.stdin, process.stdout):
                with suppress(OSError):
                    pipe.close()  # type: ignore[union-attr]  # both are pipes

    def _started(self) -> subprocess.Popen[bytes]:
        command = [sys.executable, "-c", _BOOT, json.dumps(sys.path)]
        pipe = subprocess.PIPE
        process = subprocess.Popen(command, stdin=pipe, stdout=pipe, bufsize=0, env=child_environment(), start_new_session=True)
        self._process = process
        if "ready" not in self._reply(process, _START_S):
            raise TemplateError("the process for chat templates does not start")
        return process

    def _asked(self, process: subprocess.Popen[bytes], message: Mapping[str, Any]) -> Mapping[str, Any]:  # Any: as above
        assert process.stdin is not None
        view = memoryview(frame(message))
        with suppress(OSError):  # it is dead, which the reading side sees
            while view:
                view = view[os.write(process.stdin.fileno(), view) :]
        return self._reply(process, _PATIENCE_S)

    def _reply(self, process: subprocess.Popen[bytes], patience_s: float) -> Mapping[str, Any]:  # Any: as above
        assert process.stdout is not None
        frames, poll = Frames(16 * MAX_RENDERED), select.poll()
        poll.register(process.stdout, select.POLLIN)
        until = time.monotonic() + patience_s
        while poll.poll(max(0.0, until - time.monotonic()) * 1000):
            data = os.read(process.stdout.fileno(), 1 << 20)
            if not data:
                raise TemplateError(_ended(process.wait()))
            for said in frames.feed(data):
                return dict(said)
        raise TemplateError(f"it gave nothing within {patience_s:g} s")


def _ended(code: int) -> str:
    if code == -signal.SIGPROF:
        return f"it takes more than {CPU_S:g} s for one prompt"
    return f"its process {ended(code)}"
