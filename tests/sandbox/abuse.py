"""Hostile programs: what one is, what it is run against, and what must be seen for it to count as held."""

from __future__ import annotations

import contextlib
import json
import os
import platform
import secrets
import socket
import subprocess
import sys
import tempfile
import textwrap
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from sharpen.verifiers.code.boxes import BoxClosed, Ending, Limits
from sharpen.verifiers.code.boxes.bwrap import BwrapBoxes

BENIGN = Limits(cpu_seconds=20, wall_seconds=90.0)
TIGHT = Limits(cpu_seconds=1, wall_seconds=20.0, memory_bytes=256 << 20, file_bytes=4 << 20, output_bytes=64 << 10)
SLACK_S = 20.0  # for a machine that is busy with other tests; idle, an end is told within 0.1 s
SLACK_BYTES = 160 << 20  # what four processes can take between two looks

# what every program starts with; `A` is what it may know of the machine that it attacks
_PRELUDE = """
import ctypes, errno, json, os, re, signal, socket, sys, time
A = json.loads({about!r})
def reached(what):
    print("reached:", what, flush=True)
def attempt(what, step, errors=(OSError,)):
    try:
        step()
    except errors as error:
        print("refused:", what, type(error).__name__, error, flush=True)
    else:
        reached(what)
def spot(text):
    if re.search(r"sk-canary-[0-9a-f]{{16}}", text):
        reached("a secret")
def syscall(number, *arguments):
    if ctypes.CDLL(None, use_errno=True).syscall(number, *arguments) < 0:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
def unknown(what, number, *arguments):
    # a call that the kernel took and found fault with has reached it
    try:
        syscall(number, *arguments)
    except OSError as error:
        if error.errno in (errno.ENOSYS, errno.EPERM):
            print("refused:", what, error, flush=True)
            return
    reached(what)
print("working", flush=True)
"""


@dataclass(frozen=True, kw_only=True)
class Abuse:
    """One hostile program.

    Attributes:
        number: in the list; two programs may share one.
        body: its hostile step. Without it, the same program must do its work: that is the positive control of every one.
        endings: kinds of ending that hold it.
        outside: the same step works outside of a box, which is seen each time: it prints `reached:`.
        code: the exit code that it must end with, or None where that is not said.
        finishes: it is only refused what it tries, and comes to its end.
        seconds: within which it must be over, beyond the slack; its wall-clock limit where None.
        machines: where it means anything, as `uname -m` says; everywhere where empty.
    """

    number: int
    name: str
    body: str
    endings: frozenset[str] = frozenset({"exited"})
    outside: bool = False
    code: int | None = None
    finishes: bool = False
    seconds: float | None = None
    limits: Limits = TIGHT
    machines: tuple[str, ...] = ()

    @property
    def fits(self) -> bool:
        return not self.machines or platform.machine() in self.machines


def refused(number: int, name: str, body: str, *, outside: bool = False, **more: Any) -> Abuse:
    """A program that tries what must not work, and then ends as it should."""
    return Abuse(number=number, name=name, body=body, outside=outside, code=0, finishes=True, **more)


def ended(number: int, name: str, body: str, *endings: str, **more: Any) -> Abuse:
    """A program that must be ended."""
    return Abuse(number=number, name=name, body=body, endings=frozenset(endings), **more)


@dataclass
class Host:
    """What the programs attack: a secret in several places, a folder, servers, an open file. All of it is really within reach of
    an ordinary process of this user, or of the box's.
    """

    secret: str
    home: Path
    victim: Path
    scratch: Path
    port: int
    abstract: str
    inherited: int
    about: dict[str, Any] = field(default_factory=dict)

    def state(self) -> list[tuple[str, bytes, int]]:
        return [(path.name, path.read_bytes(), path.stat().st_mtime_ns) for path in sorted(self.victim.iterdir())]


@contextlib.contextmanager
def host() -> Iterator[Host]:
    """Set everything up; the secret is in the environment while it lasts."""
    secret = f"sk-canary-{secrets.token_hex(8)}"
    with contextlib.ExitStack() as stack:
        root = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="sharpen-abuse-")))
        os.chmod(root, 0o755)
        folders = [root / name for name in ("home", "victim", "scratch")]
        for folder in folders:
            folder.mkdir()
            (folder / "file").write_text(secret if folder.name == "home" else "untouched")
            folder.chmod(0o777)
            (folder / "file").chmod(0o666)
        server = stack.enter_context(socket.create_server(("127.0.0.1", 0)))
        abstract = f"\0sharpen-{secrets.token_hex(8)}"
        for name in (abstract, str(root / "socket")):
            unix = stack.enter_context(socket.socket(socket.AF_UNIX))
            unix.bind(name)
            unix.listen(16)
        os.chmod(root / "socket", 0o777)
        inherited = os.open(folders[0] / "file", os.O_RDONLY)
        stack.callback(os.close, inherited)
        os.set_inheritable(inherited, True)
        os.environ["SHARPEN_ABUSE_KEY"] = secret
        stack.callback(os.environ.pop, "SHARPEN_ABUSE_KEY")
        port = server.getsockname()[1]
        made = Host(secret, *folders, port=port, abstract=abstract, inherited=inherited)
        made.about = {
            "home": str(folders[0]),
            "port": port,
            "abstract": abstract,
            "path": str(root / "socket"),
            "host": os.getpid(),
            "machine": platform.machine(),
        }
        yield made


def source(abuse: Abuse, about: dict[str, Any], *, hostile: bool) -> str:
    """The program, with or without its hostile step."""
    step = textwrap.dedent(abuse.body).strip() if hostile else ""
    return _PRELUDE.format(about=json.dumps(about)) + step + '\nprint("finished", flush=True)\n'


@dataclass
class Seen:
    """What came of one program."""

    output: bytes = b""
    ending: Ending | None = None
    seconds: float = 0.0
    peak_bytes: int = 0
    num_processes: int = 0


def run(boxes: BwrapBoxes, program: str, limits: Limits) -> Seen:
    """Run it to its end, with an eye on what it uses."""
    seen = Seen()
    over = threading.Event()
    began = time.monotonic()
    box = boxes.open(program, limits)
    watcher = threading.Thread(target=_watch, args=(boxes, seen, over))
    watcher.start()
    try:
        with contextlib.suppress(TimeoutError, BoxClosed):
            while part := box.receive(1 << 16, limits.wall_seconds + SLACK_S):
                seen.output += part
            while time.monotonic() - began < limits.wall_seconds + SLACK_S and not box.over(
                0.5
            ):  # it may run on without output
                pass
        seen.ending = box.close()
        seen.seconds = time.monotonic() - began
    finally:
        over.set()
        watcher.join()
    return seen


def _watch(boxes: BwrapBoxes, seen: Seen, over: threading.Event) -> None:
    while not over.wait(0.02):
        found = programs(boxes)
        seen.num_processes = max(seen.num_processes, len(found))
        seen.peak_bytes = max(seen.peak_bytes, sum(map(_resident, found)))


def programs(boxes: BwrapBoxes) -> list[int]:
    """Process numbers of everything that runs in these boxes beside their first processes."""
    process = boxes.launcher
    level = [] if process is None else [process]
    for _ in range(2):  # the launcher's sandboxes, their first processes
        level = [child for pid in level for child in _children(pid)]
    found = []
    while level:
        level = [child for pid in level for child in _children(pid)]
        found += level
    return found


def _children(pid: int) -> list[int]:
    found: list[int] = []
    with contextlib.suppress(OSError):
        for thread in os.listdir(f"/proc/{pid}/task"):
            with contextlib.suppress(OSError):
                found += map(int, Path(f"/proc/{pid}/task/{thread}/children").read_text().split())
    return found


def _resident(pid: int) -> int:
    try:
        return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    except (OSError, IndexError):
        return 0


def survivors(boxes: BwrapBoxes, *, patience_s: float = SLACK_S) -> list[int]:
    """What is left of programs though all were closed; the kernel has a moment to take their remains away."""
    until = time.monotonic() + patience_s
    while (left := programs(boxes)) and time.monotonic() < until:
        time.sleep(0.01)
    return left


def faults(abuse: Abuse, boxes: BwrapBoxes, on: Host) -> list[str]:
    """Everything that is wrong with how boxes held this program; nothing where they did."""
    before = on.state()
    about = on.about | {"target": str(on.victim), "outside": False}
    seen = run(boxes, source(abuse, about, hostile=True), abuse.limits)
    left = survivors(boxes)
    control = run(boxes, source(abuse, about, hostile=False), BENIGN)
    found = [*_told(abuse, seen, on), *_used_up(abuse, seen)]
    if left:
        found.append(f"processes {left} survive")
    if on.state() != before:
        found.append("the victim's folder has changed")
    if (
        control.output != b"working\nfinished\n"
        or control.ending is None
        or (control.ending.kind, control.ending.code) != ("exited", 0)
    ):
        found.append(f"the same program without its hostile step: {control.output[-200:]!r}, {control.ending}")
    if abuse.outside and b"reached:" not in (said := _outside(abuse, on)):
        found.append(f"the hostile step does nothing outside of a box either: {said[-300:]!r}")
    return found


def _told(abuse: Abuse, seen: Seen, on: Host) -> Iterator[str]:
    ending = seen.ending
    assert ending is not None
    said = seen.output + ending.errors
    if not seen.output.startswith(b"working\n"):
        yield f"it did not start: {seen.output[:100]!r}, {ending}"
    if on.secret.encode() in said:
        yield "the secret came out"
    if b"reached:" in said:
        yield f"it reached something: {said[-300:]!r}"
    if ending.kind not in abuse.endings:
        yield f"wrong class {ending.kind} instead of {', '.join(sorted(abuse.endings))}: {ending}"
    if abuse.code is not None and ending.code != abuse.code:
        yield f"exit code {ending.code} instead of {abuse.code}: {ending.errors[-300:]!r}"
    if abuse.finishes and (b"refused:" not in said or not seen.output.endswith(b"finished\n")):
        yield f"it did not come to its end, or tried nothing: {said[-300:]!r}"


def _used_up(abuse: Abuse, seen: Seen) -> Iterator[str]:
    limit = abuse.limits.wall_seconds if abuse.seconds is None else abuse.seconds
    if seen.seconds > limit + SLACK_S:
        yield f"it took {seen.seconds:.1f} s, with a limit of {limit:g} s"
    if seen.peak_bytes > abuse.limits.memory_bytes + SLACK_BYTES:
        yield f"it held {seen.peak_bytes >> 20} MiB, with a limit of {abuse.limits.memory_bytes >> 20} MiB"
    if seen.num_processes > abuse.limits.num_processes:
        yield f"it was {seen.num_processes} processes, with a limit of {abuse.limits.num_processes}"


def _outside(abuse: Abuse, on: Host) -> bytes:
    """What the program says when it runs as an ordinary process, against a folder that may be spoilt."""
    program = source(abuse, on.about | {"target": str(on.scratch), "outside": True}, hostile=True)
    ran = subprocess.run(
        [sys.executable, "-c", program],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        stdin=subprocess.DEVNULL,
        pass_fds=[on.inherited],
        timeout=60,
        cwd=on.scratch,
        check=False,
    )
    return ran.stdout
