"""Processes on the outer side of a box: how they are started, counted and ended. The standard library is all that this needs."""

from __future__ import annotations

import contextlib
import ctypes
import os
import resource
import signal

__all__ = [
    "become_bubblewrap",
    "become_user",
    "bubblewrap",
    "children_of",
    "forbid_cores",
    "is_over",
    "kill",
    "pipe_with",
    "used",
]

_TICKS_PER_S = os.sysconf("SC_CLK_TCK")
_SET_DUMPABLE = 4  # prctl


def bubblewrap(path: str, arguments: int) -> list[str]:
    """The command up to what runs in the box; bubblewrap reads its options from the descriptor `arguments`."""
    return [path, "--args", str(arguments), "--"]


def become_bubblewrap(command: list[str], says: int | None, kept: list[int]) -> None:
    """Turn this process into bubblewrap, with an environment in which there is nothing to find; it keeps its pipes or says something."""
    try:
        if says is not None:
            null = os.open(os.devnull, os.O_RDWR)
            for target, descriptor in enumerate((null, null, says)):
                os.dup2(descriptor, target)
        for descriptor in kept:
            os.set_inheritable(descriptor, True)
        with open("/proc/self/oom_score_adj", "w") as file:
            file.write("1000")  # the kernel ends boxes first
        os.execve(command[0], command, {"PATH": "/usr/bin:/bin"})
    except BaseException as error:
        os.write(2, f"{command[0]}: {error}".encode())
    finally:
        os._exit(127)


def pipe_with(data: bytes) -> int:
    """The reading end of a pipe that holds this and no more."""
    ours, theirs = os.pipe()
    os.set_blocking(theirs, False)
    try:
        if os.write(theirs, data) != len(data):
            raise ValueError(f"{len(data)} bytes do not fit a pipe")
    finally:
        os.close(theirs)
    return ours


def kill(pid: int) -> None:
    """End that process, where it is there and ours."""
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.kill(pid, signal.SIGKILL)


def is_over(pid: int) -> bool:
    """Whether that process has ended and left nothing: reaped here, or by its own parent before."""
    try:
        return os.waitpid(pid, os.WNOHANG)[0] == pid
    except ChildProcessError:
        return True


def used(first: int) -> tuple[int, float]:
    """Bytes of memory, resident or swapped out, and seconds of processor time of all that descends from the first process."""
    memory, ticks = 0, 0
    waiting = children_of(first)
    while waiting:
        pid = waiting.pop()
        with contextlib.suppress(OSError, IndexError, ValueError):  # it has just ended
            with open(f"/proc/{pid}/status", "rb") as file:
                about = dict(line.split(b":", 1) for line in file.read().splitlines() if line.startswith((b"VmRSS", b"VmSwap")))
            memory += 1024 * sum(int(amount.split()[0]) for amount in about.values())
            with open(f"/proc/{pid}/stat", "rb") as file:
                fields = file.read().rpartition(b")")[2].split()
            ticks += sum(map(int, fields[11:15]))  # utime, stime and those of children that it waited for
            waiting += children_of(pid)
    return memory, ticks / _TICKS_PER_S


def children_of(pid: int) -> list[int]:
    """What that process has started and is there still."""
    found: list[int] = []
    with contextlib.suppress(OSError):
        for thread in os.listdir(f"/proc/{pid}/task"):
            with contextlib.suppress(OSError), open(f"/proc/{pid}/task/{thread}/children", "rb") as file:
                found += map(int, file.read().split())
    return found


def become_user(uid: int) -> None:
    """Become that user for good."""
    os.setgroups([])
    os.setresgid(uid, uid, uid)
    os.setresuid(uid, uid, uid)
    if 0 in (*os.getresuid(), *os.getresgid()) or os.getgroups():
        raise PermissionError(f"still root after changing to user {uid}")
    ctypes.CDLL(None).prctl(_SET_DUMPABLE, 1, 0, 0, 0)  # it was lost with root; our own /proc files must stay ours


def forbid_cores() -> None:
    """No core files. A limit of 0 says so where they are files, of 1 also where a program of the host's is fed them."""
    if resource.getrlimit(resource.RLIMIT_CORE)[1]:
        resource.setrlimit(resource.RLIMIT_CORE, (1, 1))
