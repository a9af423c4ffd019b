"""The fast tier: values that come back exactly, classes of ending, and a worker that is in a sandbox whatever its programs do."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.sandbox.abuse import Abuse, Host, host
from tests.sandbox.availability import AVAILABILITY
from tests.sandbox.interpreted import faults_when_interpreted
from tests.sandbox.lifetime import LIFETIME
from tests.sandbox.made import unless_required
from tests.sandbox.reach import REACH

from sharpen.errors import SandboxError
from sharpen.verifiers.code.boxes import BoxClosed, Foreign, Limits, MontyBoxes, Raised, Unsupported

pytest.importorskip("pydantic_monty")

_LIMITS = Limits(cpu_seconds=1, wall_seconds=1.0, output_bytes=4096)


@pytest.fixture(scope="module")
def tier() -> Iterator[MontyBoxes]:
    made = MontyBoxes()
    try:
        made.open("", _LIMITS).close()
    except SandboxError as error:
        unless_required(error)
    yield made
    made.close()


def _called(tier: MontyBoxes, program: str, *arguments: object, limits: Limits = _LIMITS) -> object:
    box = tier.open(program, limits)
    try:
        return box.call("f", arguments)
    finally:
        box.close()


@pytest.mark.parametrize(
    "value",
    [
        None,
        True,
        3,
        -(10**40),
        1.5,
        "text\0\u2028é",
        b"\xff",
        [1, [2]],
        (1,),
        {"a": {1: (2,)}},
        {1, 2},
        frozenset({"x"}),
        [],
        "<function f>",
    ],
)
def test_plain_values_come_back_as_they_went(tier: MontyBoxes, value: object) -> None:
    found = _called(tier, "def f(x): return x", value)
    assert found == value
    assert type(found) is type(value)


@pytest.mark.parametrize(
    ("returned", "kind"),
    [
        ("range(3)", "range"),
        ("len", "builtin_function_or_method"),
        ("[1, lambda: 2]", "function"),
        ("{'a': iter([1])}", "list_iterator"),
        ("C()", "C"),
        ("int", "type"),
        ("(lambda held: (held.append(held), held)[1])([])", "holds itself"),
        ("complex(1, 2)", "complex"),
    ],
)
def test_what_is_not_plain_is_foreign(tier: MontyBoxes, returned: str, kind: str) -> None:
    found = _called(tier, f"class C: pass\ndef f(): return {returned}")
    assert isinstance(found, Foreign)
    assert kind in found.kind or found.kind.startswith("Monty")


def test_names_that_are_given_another_meaning_are_for_another_tier(tier: MontyBoxes) -> None:
    assert _called(tier, "list = 3\ndef f(): return [1]") == [1]
    with pytest.raises(Unsupported, match="another meaning"):
        _called(tier, "list = 3\ndef f(): return ['a']")


@pytest.mark.parametrize(
    ("step", "kind"), [("1 / 0", "ZeroDivisionError"), ("[][1]", "IndexError"), ("raise ValueError('no')", "ValueError")]
)
def test_a_program_that_raises_says_what(tier: MontyBoxes, step: str, kind: str) -> None:
    with pytest.raises(Raised) as caught:
        _called(tier, f"def f():\n    {step}")
    assert caught.value.kind == kind
    assert len(caught.value.text) <= 4096


@pytest.mark.parametrize(
    "program",
    [
        "def f(): yield 1",
        "import heapq\ndef f(): pass",
        "def f(:",
        "x = 1",
        "class E(Exception): pass\ndef f(): pass",
        "def f(): open('/etc/passwd')",
    ],
)
def test_what_the_interpreter_lacks_says_nothing_about_the_program(tier: MontyBoxes, program: str) -> None:
    with pytest.raises(Unsupported):
        _called(tier, program)


@pytest.mark.parametrize("step", ["while True: pass", "x = 3\n    while True: x *= x", "import time\n    time.sleep(60)"])
def test_a_program_that_takes_too_long_is_out_of_time(tier: MontyBoxes, step: str) -> None:
    began = time.monotonic()
    box = tier.open(f"def f():\n    {step}", _LIMITS)
    with pytest.raises(TimeoutError):
        box.call("f", [])
    assert time.monotonic() - began < 30.0
    assert box.close().kind == "timeout"
    assert _called(tier, "def f(): return 1") == 1


def test_prints_are_bounded(tier: MontyBoxes) -> None:
    box = tier.open("def f():\n    while True: print('x' * 1000)", Limits(cpu_seconds=2, wall_seconds=2.0, output_bytes=4096))
    with pytest.raises(BoxClosed):
        box.call("f", [])
    assert box.close().kind == "output"


def test_the_worker_is_in_a_sandbox(tier: MontyBoxes) -> None:
    box = tier.open("", _LIMITS)
    worker = box._session.worker_pid
    assert worker is not None
    within = [worker]
    while below := Path(f"/proc/{within[-1]}/task/{within[-1]}/children").read_text().split():
        within.append(int(below[0]))
    about = dict(line.split(":\t", 1) for line in Path(f"/proc/{within[-1]}/status").read_text().splitlines() if ":\t" in line)
    assert about["Name"] == "worker"
    assert "0" not in about["Uid"].split()
    assert about["Seccomp"] == "2"
    assert about["NoNewPrivs"] == "1"
    assert len(about["NSpid"].split()) == 2
    assert sorted(os.listdir(f"/proc/{within[-1]}/fd")) == ["0", "1", "2"]
    assert Path(f"/proc/{within[-1]}/environ").read_bytes() in (b"", b"PWD=/\0")
    assert "worker" in os.listdir(f"/proc/{within[-1]}/root")
    assert not set(os.listdir(f"/proc/{within[-1]}/root")) & {"home", "root", "tmp", "proc", "etc"}
    box.close()


def test_workers_outlive_the_threads_that_needed_them_first(tier: MontyBoxes) -> None:
    found: list[object] = []
    for number in range(3):
        thread = threading.Thread(target=lambda number=number: found.append(_called(tier, "def f(x): return x", number)))
        thread.start()
        thread.join()
        time.sleep(0.05)
        found.append(_called(tier, "def f(x): return x", number))
    assert found == [0, 0, 1, 1, 2, 2]


@pytest.fixture(scope="module")
def attacked() -> Iterator[Host]:
    with host() as on:
        yield on


@pytest.mark.parametrize("abuse", [*AVAILABILITY, *LIFETIME, *REACH], ids=lambda abuse: f"{abuse.number:02d} {abuse.name}")
def test_hostile_programs_get_nowhere(tier: MontyBoxes, attacked: Host, abuse: Abuse) -> None:
    assert faults_when_interpreted(abuse, tier, attacked) == []
