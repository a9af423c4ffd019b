"""What a box does for whoever opens one: two pipes, one ending, nothing left, whatever happens on either side."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path

import pytest
from tests.sandbox.abuse import BENIGN, Host, host, programs, run, survivors
from tests.sandbox.made import made

from sharpen.verifiers.code.boxes import BoxClosed, Limits
from sharpen.verifiers.code.boxes.bwrap import BwrapBoxes

_QUICK = Limits(cpu_seconds=20, wall_seconds=1.0)
_HOST = """
import sys, time
from sharpen.verifiers.code.boxes import Limits
from sharpen.verifiers.code.boxes.bwrap import BwrapBoxes
boxes = BwrapBoxes({name!r})
box = boxes.open("import time, os\\nprint('up', flush=True)\\nos.fork()\\ntime.sleep(600)", Limits(wall_seconds=500.0))
assert box.receive(9, 60.0) == b"up\\n"
print(boxes.launcher, flush=True)
time.sleep(600)
"""


@pytest.fixture(scope="module", params=["bwrap", "warm"])
def tier(request: pytest.FixtureRequest) -> Iterator[BwrapBoxes]:
    yield from made(request.param)


@pytest.fixture(scope="module")
def attacked() -> Iterator[Host]:
    with host() as on:
        yield on


def test_a_program_reads_and_writes_its_pipes_and_ends(tier: BwrapBoxes) -> None:
    box = tier.open("import sys\nfor line in sys.stdin: print(line.upper(), end='', flush=True)\nsys.exit(7)", BENIGN)
    for word in (b"one\n", b"two\n"):
        box.send(word)
        assert box.receive(100, 60.0) == word.upper()
    with pytest.raises(TimeoutError):
        box.receive(1, 0.01)
    ending = box.close()
    assert (ending.kind, ending.reason) == ("killed", "it was closed while it ran")
    assert box.close() is ending
    with pytest.raises(BoxClosed):
        box.send(b"three\n")


@pytest.mark.parametrize(
    ("program", "kind", "code", "errors"),
    [
        ("import sys; sys.exit(7)", "exited", 7, b""),
        ("1 / 0", "exited", 1, b'File "program.py", line 1, in <module>'),
        ("x = (", "exited", 1, b"SyntaxError"),
        ("x = '\0'", "exited", 1, b"null bytes"),
        ("import os; os.kill(os.getpid(), 15)", "killed", -15, b""),
        ("raise MemoryError('x')", "memory", 1, b"MemoryError"),
        ("import sys; sys.stderr.write('a' * 10_000 + 'end'); sys.exit(1)", "exited", 1, b"aend"),
    ],
)
def test_an_ending_says_how(tier: BwrapBoxes, program: str, kind: str, code: int, errors: bytes) -> None:
    ending = run(tier, program, BENIGN).ending
    assert ending is not None
    assert (ending.kind, ending.code) == (kind, code)
    assert errors in ending.errors
    assert len(ending.errors) <= 4096


def test_what_a_program_does_is_the_same_every_time(tier: BwrapBoxes) -> None:
    told = [run(tier, "print(list({'a', 'b', 'c', 'd', 'e'}), hash('x'))", BENIGN).output for _ in range(3)]
    assert len(set(told)) == 1
    assert told[0]


def test_a_program_that_does_not_read_or_is_gone_is_closed_for_its_sender(tier: BwrapBoxes) -> None:
    box = tier.open("import os; os.close(0); print('now', flush=True); import time; time.sleep(600)", BENIGN)
    assert box.receive(9, 60.0) == b"now\n"
    with pytest.raises(BoxClosed):
        box.send(bytes(1 << 20))
    assert box.close().kind == "killed"
    box = tier.open("import time; time.sleep(600)", _QUICK)
    with pytest.raises(BoxClosed):
        box.send(bytes(1 << 20))
    assert box.close().kind == "timeout"


def test_boxes_are_shared_by_threads_that_come_and_go(tier: BwrapBoxes) -> None:
    with ThreadPoolExecutor(4) as pool:
        told = list(pool.map(lambda number: run(tier, f"print({number} ** 2)", BENIGN).output, range(12)))
    assert told == [b"%d\n" % number**2 for number in range(12)]
    opened = []
    thread = threading.Thread(target=lambda: opened.append(tier.open("print(input())", BENIGN)))
    thread.start()
    thread.join()
    time.sleep(0.1)
    opened[0].send(b"still here\n")
    assert opened[0].receive(100, 60.0) == b"still here\n"
    assert opened[0].receive(1, 60.0) == b""
    assert opened[0].over(60.0)
    assert opened[0].close().code == 0


def test_nothing_is_left_for_the_next_program(tier: BwrapBoxes) -> None:
    leaver = """
import os, time
for place in ("/tmp", "/dev/shm"):
    open(place + "/left", "w").write("left")
    os.mkdir(place + "/folder")
    os.chmod(place, 0o700)
secret = "left-behind-" + str(1 << 40)
if not os.fork():
    os.setsid()
    time.sleep(600)
print(os.listdir("/tmp"), flush=True)
"""
    finder = """
import gc, os
print(os.listdir("/tmp"), os.listdir("/dev/shm"), oct(os.stat("/tmp").st_mode & 0o777))
others = []
for pid in range(2, 300):
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        continue
    others.append(pid)
print(others == [os.getpid()])
print([found for found in gc.get_objects() if isinstance(found, dict) and "left-behind-" + str(1 << 40) in map(str, found.values())])
"""
    assert b"left" in run(tier, leaver, BENIGN).output
    assert not survivors(tier)
    assert run(tier, finder, BENIGN).output == b"[] [] 0o755\nTrue\n[]\n"


def test_a_thousand_programs_would_leak_nothing(tier: BwrapBoxes) -> None:
    """Thirty, here: descriptors, processes and mounts on both sides are as many after as before."""

    def held() -> tuple[int, int, int]:
        launcher = tier.launcher
        assert launcher is not None
        num_theirs = len(os.listdir(f"/proc/{launcher}/fd"))
        return len(os.listdir("/proc/self/fd")), num_theirs, len(Path("/proc/self/mountinfo").read_text().splitlines())

    for _ in range(3):
        run(tier, "pass", BENIGN)
    time.sleep(1.0)
    before = held()
    for number in range(30):
        run(tier, f"print({number})" if number % 3 else "open('/tmp/x', 'w')", BENIGN)
    until = time.monotonic() + 20  # closed sandboxes have a moment to go
    while any(now > was for now, was in zip(held(), before, strict=True)):
        assert time.monotonic() < until, (before, held())
        time.sleep(0.05)
    assert not survivors(tier)


@pytest.mark.parametrize("name", ["bwrap", "warm"])
def test_boxes_end_with_whoever_opened_them(name: str) -> None:
    for boxes in made(name):  # skips or fails where none can be made
        boxes.close()
    asker = subprocess.Popen([sys.executable, "-c", _HOST.format(name=name)], stdout=subprocess.PIPE)
    assert asker.stdout is not None
    launcher = int(asker.stdout.readline())
    family = _family(launcher)
    assert len(family) >= 4  # bubblewrap, the first process, the program and its fork
    asker.kill()
    asker.wait()
    asker.stdout.close()
    assert _gone([launcher, *family])


def test_a_launcher_that_is_killed_takes_its_boxes_along_and_is_replaced(tier: BwrapBoxes) -> None:
    box = tier.open("print('up', flush=True)\nimport time; time.sleep(600)", BENIGN)
    assert box.receive(9, 60.0) == b"up\n"
    launcher = tier.launcher
    assert launcher is not None
    assert len(programs(tier)) == 1
    time.sleep(1.0)  # bubblewrap that loses its parent while it begins waits for ever, though with nothing in it
    family = _family(launcher)
    os.kill(launcher, signal.SIGKILL)
    assert box.close().kind == "could_not_run"
    assert _gone(family)
    assert run(tier, "print('again')", BENIGN).output == b"again\n"
    assert tier.launcher != launcher


def test_closing_ends_everything(attacked: Host) -> None:
    for boxes in made("bwrap"):
        box = boxes.open("print('up', flush=True)\nimport time; time.sleep(600)", BENIGN)
        assert box.receive(9, 60.0) == b"up\n"
        assert boxes.launcher is not None
        family = [boxes.launcher, *_family(boxes.launcher)]
        boxes.close()
        assert _gone(family)
        assert box.close().kind in ("killed", "could_not_run")


def _family(pid: int) -> list[int]:
    found: list[int] = []
    with suppress(OSError):
        for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split():
            found += [int(child), *_family(int(child))]
    return found


def _gone(pids: list[int], *, patience_s: float = 30.0) -> bool:
    """Whether none of them is left but as a remainder that somebody else has yet to take note of."""
    until = time.monotonic() + patience_s
    while any(map(_runs, pids)):
        if time.monotonic() > until:
            return False
        time.sleep(0.02)
    return True


def _runs(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False
