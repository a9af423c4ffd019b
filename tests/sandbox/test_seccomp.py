"""The filter's every decision, by a small machine that runs it as the kernel does; its numbers, by libseccomp; its bytes, as filed."""

from __future__ import annotations

import ctypes
import errno
import hashlib
import struct

import pytest

from sharpen.errors import SandboxError
from sharpen.verifiers.code.boxes.seccomp import MACHINES, seccomp_filter
from sharpen.verifiers.code.boxes.syscalls import ALLOWED, CONDITIONAL

_DIGESTS = {
    ("x86_64", False): "5cc8b888e7ae77952240369f6063cd2c0c79e3e83b13ae5aa4cfaa6002520559",
    ("x86_64", True): "5b1fe95ed2cc9cefd0b33a7c12bf9550d5f0de4eaca8b6d070a48ac8df47dc71",
    ("aarch64", False): "eaa4f03f0edfcc99e852cc732af864ab450499638337bb175c78fff6d9b8b363",
    ("aarch64", True): "5c868d29c6a82ef5d498a3f589455036f178eb3442b977e4146b9d3d4092621c",
}
_ALLOW, _KILL, _ERRNO = 0x7FFF0000, 0x80000000, 0x00050000
_REFUSED = _ERRNO | errno.EPERM
_UNKNOWN = _ERRNO | errno.ENOSYS


def verdict(program: bytes, machine: str, number: int, *arguments: int, architecture: int | None = None) -> int:
    """What the filter returns for a system call: the classic BPF of seccomp(2), as far as it is used."""
    data = struct.pack("=IIQ6Q", number, architecture or MACHINES[machine], 0, *arguments, *[0] * (6 - len(arguments)))
    rules = list(struct.iter_unpack("=HBBI", program))
    place, held = 0, 0
    while True:
        code, yes, no, operand = rules[place]
        place += 1
        match code:
            case 0x20:
                held = struct.unpack_from("=I", data, operand)[0]
            case 0x54:
                held &= operand
            case 0x15:
                place += yes if held == operand else no
            case 0x35:
                place += yes if held >= operand else no
            case 0x06:
                return operand
            case _:
                raise AssertionError(f"instruction {code:#x}")


@pytest.mark.parametrize("machine", MACHINES)
@pytest.mark.parametrize("threads_only", [False, True])
def test_what_is_not_listed_does_not_exist(machine: str, threads_only: bool) -> None:
    program = seccomp_filter(machine, threads_only=threads_only)
    assert len(program) // 8 <= 4096
    allowed = {number for name, number in ALLOWED[machine].items() if not threads_only or name not in ("fork", "vfork")}
    for number in range(1024):
        if number in CONDITIONAL[machine].values():
            continue
        assert verdict(program, machine, number) == (_ALLOW if number in allowed else _UNKNOWN)
    other = next(name for name in MACHINES if name != machine)
    assert verdict(program, machine, ALLOWED[machine]["read"], architecture=MACHINES[other]) == _KILL
    for number in (0x40000000, 0x40000000 + ALLOWED[machine]["getpid"], 0xFFFFFFFF):
        assert verdict(program, machine, number) == _KILL


@pytest.mark.parametrize("machine", MACHINES)
@pytest.mark.parametrize(
    ("name", "arguments", "expected"),
    [
        ("clone", (0x11,), _ALLOW),  # SIGCHLD: a fork
        ("clone", (0x3D0F00,), _ALLOW),  # a thread
        *[("clone", (flag | 0x11,), _REFUSED) for flag in (1 << 17, 1 << 25, 1 << 26, 1 << 27, 1 << 28, 1 << 29, 1 << 30)],
        ("ioctl", (0, 0x5401), _ALLOW),
        ("ioctl", (0, 0x5412), _ERRNO | errno.ENOTTY),  # TIOCSTI
        ("ioctl", (0, 0x100005412), _ERRNO | errno.ENOTTY),  # the kernel reads its lower half alone
        ("ioctl", (0, 0x541C), _ERRNO | errno.ENOTTY),  # TIOCLINUX
        ("madvise", (0, 0, 4), _ALLOW),
        ("madvise", (0, 0, 21), _REFUSED),
        ("mmap", (0, 1 << 20, 3, 0x22), _ALLOW),  # private, anonymous
        ("mmap", (0, 1 << 20, 1, 0x01), _ALLOW),  # a shared file
        ("mmap", (0, 1 << 20, 3, 0x21), _REFUSED),
        ("mmap", (0, 1 << 20, 3, 0x23), _REFUSED),  # MAP_SHARED_VALIDATE
        ("prctl", (15,), _ALLOW),
        ("prctl", (4, 0), _ALLOW),
        ("prctl", (4, 1), _REFUSED),
        ("prctl", (22, 2), _REFUSED),
        ("prctl", (36, 1), _REFUSED),
        ("prlimit64", (0, 7), _ALLOW),
        ("prlimit64", (1, 7), _REFUSED),
        ("prlimit64", (0, 4), _REFUSED),
        ("socketpair", (1, 1), _ALLOW),
        ("socketpair", (2, 1), _REFUSED),
    ],
)
def test_arguments_decide_where_they_must(machine: str, name: str, arguments: tuple[int, ...], expected: int) -> None:
    assert verdict(seccomp_filter(machine), machine, CONDITIONAL[machine][name], *arguments) == expected


@pytest.mark.parametrize("machine", MACHINES)
def test_a_worker_may_start_threads_only(machine: str) -> None:
    program = seccomp_filter(machine, threads_only=True)
    number = CONDITIONAL[machine]["clone"]
    assert verdict(program, machine, number, 0x3D0F00) == _ALLOW
    assert verdict(program, machine, number, 0x11) == _REFUSED
    assert verdict(program, machine, number, 0x3D0F00 | 1 << 28) == _REFUSED


@pytest.mark.parametrize("machine", MACHINES)
def test_the_numbers_are_libseccomps(machine: str) -> None:
    try:
        library = ctypes.CDLL("libseccomp.so.2")
    except OSError:
        pytest.skip("libseccomp is not installed")
    library.seccomp_syscall_resolve_name_arch.argtypes = [ctypes.c_uint32, ctypes.c_char_p]
    for name, number in (ALLOWED[machine] | CONDITIONAL[machine]).items():
        assert library.seccomp_syscall_resolve_name_arch(MACHINES[machine], name.encode()) == number, name


@pytest.mark.parametrize("key", _DIGESTS)
def test_the_bytes_are_those_that_were_looked_at(key: tuple[str, bool]) -> None:
    machine, threads_only = key
    assert hashlib.sha256(seccomp_filter(machine, threads_only=threads_only)).hexdigest() == _DIGESTS[key]


def test_another_machine_is_refused() -> None:
    with pytest.raises(SandboxError, match="on a riscv64 machine"):
        seccomp_filter("riscv64")
