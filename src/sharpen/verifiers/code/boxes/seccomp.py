"""The filter that the kernel puts every system call of a boxed program through: what is not on the list does not exist.

The list is what CPython's standard library and a Rust program need. Not on it, among others: sockets of any kind but
unnamed pairs, mounts and namespaces, other processes' memory, limits and priorities, keys, io_uring, bpf, perf, userfaultfd,
System V and POSIX queues and shared memory, and memory that no process shows as its own (memfd, shared anonymous maps), which
the watchdog could not count.
"""

from __future__ import annotations

import errno
import platform
import struct
from collections.abc import Iterable, Sequence

from sharpen.errors import SandboxError
from sharpen.verifiers.code.boxes.syscalls import ALLOWED, CONDITIONAL

__all__ = ["MACHINES", "seccomp_filter"]

MACHINES = {"x86_64": 0xC000003E, "aarch64": 0xC00000B7}
"""AUDIT_ARCH_* of <linux/audit.h>, by the name that `uname -m` gives."""

# <linux/bpf_common.h>, <linux/seccomp.h>
_LOAD, _AND, _EQUAL, _AT_LEAST, _RETURN = 0x20, 0x54, 0x15, 0x35, 0x06
_KILL, _ALLOW, _ERRNO = 0x80000000, 0x7FFF0000, 0x00050000
_NUMBER, _ARCHITECTURE, _ARGUMENTS = 0, 4, 16  # offsets in struct seccomp_data
_X32 = 0x40000000  # numbers of the x32 ABI start here

# <linux/sched.h>: CLONE_NEWNS, NEWCGROUP, NEWUTS, NEWIPC, NEWUSER, NEWPID, NEWNET
_NAMESPACES = 0x00020000 | 0x02000000 | 0x04000000 | 0x08000000 | 0x10000000 | 0x20000000 | 0x40000000
_CLONE_THREAD = 0x00010000
_PROCESSES = ("fork", "vfork")
_MAP_SHARED, _MAP_ANONYMOUS = 0x01, 0x20
_IOCTLS = (
    0x5401,
    0x540F,
    0x5413,
    0x541B,
    0x5421,
    0x5450,
    0x5451,
)  # TCGETS TIOCGPGRP TIOCGWINSZ FIONREAD FIONBIO FIONCLEX FIOCLEX
_ADVICE = (12, 20, 21)  # MADV_MERGEABLE, MADV_COLD, MADV_PAGEOUT: out of sight of a count of resident memory
_PR_SET_DUMPABLE = 4
_PRCTLS = (
    1,
    3,
    15,
    16,
    23,
    39,
    0x53564D41,
)  # PDEATHSIG, GET_DUMPABLE, SET_NAME, GET_NAME, CAPBSET_READ, GET_NO_NEW_PRIVS, SET_VMA
_RLIMIT_CORE = 4
_AF_UNIX = 1

_Instruction = tuple[int, int, int, int]  # code, jump if true, jump if false, operand


def seccomp_filter(machine: str | None = None, *, threads_only: bool = False) -> bytes:
    """The filter as the kernel takes it (`struct sock_filter` one after the other), for this machine or the named one.

    Args:
        threads_only: new processes are refused as well; for one program that needs none.

    Raises:
        SandboxError: there is no table of system calls for such a machine.

    >>> len(seccomp_filter("x86_64")) % 8
    0
    """
    machine = machine or platform.machine()
    if machine not in MACHINES:
        raise SandboxError(
            f"programs cannot be boxed on a {machine} machine: its system calls are known for {', '.join(MACHINES)}"
        )
    program: list[_Instruction] = [
        (_LOAD, 0, 0, _ARCHITECTURE),
        (_EQUAL, 1, 0, MACHINES[machine]),
        (_RETURN, 0, 0, _KILL),
        (_LOAD, 0, 0, _NUMBER),
        (_AT_LEAST, 0, 1, _X32),
        (_RETURN, 0, 0, _KILL),
    ]
    rules = _conditions()
    if threads_only:
        rules["clone"] = [_argument(0), (_AND, 0, 0, _NAMESPACES | _CLONE_THREAD), (_EQUAL, 1, 0, _CLONE_THREAD), *_either()]
    for name, number in CONDITIONAL[machine].items():
        program += _when(number, rules[name])
    for number in sorted(number for name, number in ALLOWED[machine].items() if not threads_only or name not in _PROCESSES):
        program += _when(number, [_verdict(_ALLOW)])
    program.append(_verdict(_ERRNO | errno.ENOSYS))
    return b"".join(struct.pack("=HBBI", *instruction) for instruction in program)


def _when(number: int, rule: Sequence[_Instruction]) -> list[_Instruction]:
    """The rule, which must end in a verdict, for one system call."""
    return [(_EQUAL, 0, len(rule), number), *rule]


def _verdict(action: int) -> _Instruction:
    return (_RETURN, 0, 0, action)


def _argument(index: int) -> _Instruction:
    """Load the lower half of an argument; the kernel reads no more of those that are looked at here."""
    return (_LOAD, 0, 0, _ARGUMENTS + 8 * index)


def _either() -> tuple[_Instruction, _Instruction]:
    """To be jumped into: refuse, or allow."""
    return _verdict(_ERRNO | errno.EPERM), _verdict(_ALLOW)


def _conditions() -> dict[str, list[_Instruction]]:
    refuse, allow = _either()
    return {
        "clone": [_argument(0), (_AND, 0, 0, _NAMESPACES), (_EQUAL, 1, 0, 0), refuse, allow],
        "ioctl": [_argument(1), *_one_of(_IOCTLS, allow), _verdict(_ERRNO | errno.ENOTTY)],
        "madvise": [_argument(2), *_one_of(_ADVICE, refuse), allow],
        "mmap": [
            _argument(3),
            (_AND, 0, 0, _MAP_SHARED | _MAP_ANONYMOUS),
            (_EQUAL, 0, 1, _MAP_SHARED | _MAP_ANONYMOUS),
            refuse,
            allow,
        ],
        "prctl": [
            _argument(0),
            *_one_of(_PRCTLS, allow),
            (_EQUAL, 1, 0, _PR_SET_DUMPABLE),
            refuse,
            _argument(1),
            (_EQUAL, 1, 0, 0),
            refuse,
            allow,
        ],
        "prlimit64": [_argument(0), (_EQUAL, 1, 0, 0), refuse, _argument(1), *_one_of((_RLIMIT_CORE,), refuse), allow],
        "socketpair": [_argument(0), (_EQUAL, 1, 0, _AF_UNIX), refuse, allow],
    }


def _one_of(values: Iterable[int], verdict: _Instruction) -> list[_Instruction]:
    """The verdict where what was loaded is one of these; else on."""
    return [instruction for value in values for instruction in ((_EQUAL, 0, 1, value), verdict)]
