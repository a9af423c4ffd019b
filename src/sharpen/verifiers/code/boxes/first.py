"""The first process of a box. It is sent programs, runs each in a process of its own, and leaves nothing of it behind.

It runs inside the sandbox, as process 1 of its own process namespace, on whatever Python that has: the standard library is all
there is. What it tells the launcher decides no verdict: exit status and whether anything was left.
"""

from __future__ import annotations

import contextlib
import gc
import json
import os
import resource
import select
import signal
import socket
import sys
from types import ModuleType

_PLACES = ("/tmp", "/dev/shm")  # all that can be written
_NAME = "program.py"
_NUM_OPEN = 32
_OFTEN = """bisect collections copy dataclasses datetime decimal enum fractions functools hashlib heapq io itertools json linecache
math operator random re statistics string time traceback typing"""  # imported once for all programs of a box


def main() -> str:
    """Serve; in the process of a program, its source."""
    channel = socket.socket(fileno=int(sys.argv[1]))
    for number in (signal.SIGINT, signal.SIGPIPE, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)
    _make_undumpable()
    if sys.argv[2] == "many":
        for name in _OFTEN.split():
            __import__(name)
    before = _traces()
    gc.collect()
    gc.freeze()
    channel.send(b"ready")
    while True:
        message, descriptors, _, _ = socket.recv_fds(channel, 1 << 12, 4)
        if not message:
            os._exit(0)
        if not descriptors:  # the end of a program was asked for that had just ended
            continue
        program = os.fork()
        if not program:
            return _become(json.loads(message), descriptors)
        for descriptor in descriptors:
            os.close(descriptor)
        _wait(program, channel)
        status = _sweep(program)
        channel.send(json.dumps({"status": status, "clean": _traces() == before}).encode())


def _make_undumpable() -> None:
    """No core files of it or its copies, and no look into its memory."""
    import ctypes

    if ctypes.CDLL(None).prctl(4, 0, 0, 0, 0):  # PR_SET_DUMPABLE
        os._exit(3)


def _wait(program: int, channel: socket.socket) -> None:
    """Until the program's process has ended, or whoever asked for it wants no more of it."""
    descriptor = os.pidfd_open(program)
    poll = select.poll()
    poll.register(descriptor, select.POLLIN)
    poll.register(channel, select.POLLIN)
    poll.poll()
    os.close(descriptor)
    with contextlib.suppress(BlockingIOError):
        if not channel.recv(1, socket.MSG_DONTWAIT):
            os._exit(0)


def _sweep(program: int) -> int:
    """End every other process there is, and wait for each; the wait status of the program's."""
    status = 0
    while True:
        with contextlib.suppress(ProcessLookupError):
            os.kill(-1, signal.SIGKILL)
        try:
            ended, how = os.wait()
        except ChildProcessError:
            return status
        if ended == program:
            status = how


def _traces() -> object:
    """What differs once anything was written, and be it removed again."""
    found = []
    for place in _PLACES:
        about = os.lstat(place)
        with os.scandir(place) as entries:
            empty = next(entries, None) is None
        found.append((empty, about.st_mode, about.st_nlink, about.st_mtime_ns, about.st_ctime_ns))
    return found


def _become(limits: dict[str, int], descriptors: list[int]) -> str:
    """Turn this copy of the process into the program's: its pipes, its limits, and nothing of ours."""
    os.setsid()
    stdin, stdout, stderr, text = descriptors
    with open(text, "rb", closefd=False) as file:
        source = file.read().decode("utf-8", "surrogatepass")
    for target, descriptor in enumerate((stdin, stdout, stderr)):
        os.dup2(descriptor, target)
    os.closerange(3, 1 << 16)
    for number in (signal.SIGTERM,):
        signal.signal(number, signal.SIG_DFL)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    for kind, amount in (
        (resource.RLIMIT_AS, limits["memory_bytes"]),
        (resource.RLIMIT_CPU, limits["cpu_seconds"] + 1),
        (resource.RLIMIT_FSIZE, limits["file_bytes"]),
        (resource.RLIMIT_NPROC, limits["num_processes"] + 1),  # this process's parent counts too
        (resource.RLIMIT_NOFILE, _NUM_OPEN),
        (resource.RLIMIT_MEMLOCK, 0),
        (resource.RLIMIT_MSGQUEUE, 0),
        (resource.RLIMIT_SIGPENDING, _NUM_OPEN),
    ):
        resource.setrlimit(kind, (amount, amount))
    return source


def _show(kind: type[BaseException], error: BaseException, trace: object) -> None:
    """The traceback as CPython prints it, without what is not the program's."""
    import linecache
    import traceback

    linecache.cache[_NAME] = (len(_source), None, _source.splitlines(keepends=True), _NAME)
    frames = error.__traceback__
    while frames is not None and frames.tb_frame.f_code.co_filename == __file__:
        frames = frames.tb_next
    traceback.print_exception(kind, error, frames)


if __name__ == "__main__":
    _source = main()
    sys.argv[:] = [_NAME]
    sys.path[:] = [place for place in sys.path if place != os.path.dirname(__file__)]
    sys.excepthook = _show
    sys.modules["__main__"] = _module = ModuleType("__main__")
    _module.__file__ = _NAME
    exec(compile(_source, _NAME, "exec"), _module.__dict__)
