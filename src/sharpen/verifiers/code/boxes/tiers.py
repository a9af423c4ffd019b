"""Which kinds of box this machine can make, found out by making one."""

from __future__ import annotations

import json
import os
import socket
import tempfile
from pathlib import Path
from typing import Literal, get_args

from sharpen.errors import SandboxError
from sharpen.verifiers.code.boxes.box import BoxClosed, Ending, Limits
from sharpen.verifiers.code.boxes.bwrap import BwrapBoxes
from sharpen.verifiers.code.boxes.causes import cause

__all__ = ["Tier", "boxes", "tried"]

Tier = Literal["bwrap", "warm"]

_LIMITS = Limits(wall_seconds=20.0, cpu_seconds=10)

# each step must fail inside; that it works outside is seen here, before
_STEPS = """
import json, os, socket, sys
order = json.loads(sys.stdin.readline())
def read():
    return open(order["canary"]).read()
def write():
    open(order["victim"], "w").write("x")
def connect():
    socket.create_connection(("127.0.0.1", order["port"]), 1)
def process():
    return open("/proc/%d/environ" % order["process"]).read()
def namespace():
    import ctypes
    library = ctypes.CDLL(None, use_errno=True)
    if library.unshare(0x10000000):
        raise OSError(ctypes.get_errno(), "unshare")
done = []
for step in (read, write, connect, process, namespace):
    try:
        step()
        done.append(step.__name__)
    except OSError:
        pass
print(json.dumps({"sum": sum(order["numbers"]), "done": done, "environment": sorted(os.environ), "root": 0 in (os.getuid(), os.geteuid())}))
"""


def boxes(tier: str | None = None) -> BwrapBoxes:
    """Boxes of the best tier that this machine has, or of the named one (`bwrap`, `warm`).

    One has been tried with a program that must work and attempts that must not; nothing weaker is ever used instead.

    Raises:
        SandboxError: this machine cannot make such boxes; the message names the cause and the remedy.
        ValueError: there is no such tier.
    """
    name: Tier
    match tier:
        case None | "bwrap":
            name = "bwrap"
        case "warm":
            name = "warm"
        case _:
            raise ValueError(f"tier {tier!r} is none of {', '.join(get_args(Tier))}; leave it out for the best that there is")
    made = BwrapBoxes(name)
    try:
        tried(made)
    except BaseException:
        made.close()
        raise
    return made


def tried(made: BwrapBoxes) -> None:
    """See that programs run in such boxes, and that what stands around them is out of their reach.

    Raises:
        SandboxError: one of the two is not so.
    """
    with tempfile.TemporaryDirectory(prefix="sharpen-box-") as name, socket.create_server(("127.0.0.1", 0)) as server:
        folder = Path(name)
        canary, victim = folder / "canary", folder / "victim"
        canary.write_text("canary")
        victim.write_text("")
        for path, mode in ((folder, 0o777), (canary, 0o644), (victim, 0o666)):  # whoever a box runs as could, if it were no box
            path.chmod(mode)
        port = server.getsockname()[1]
        socket.create_connection(("127.0.0.1", port), 1).close()
        order = {"canary": str(canary), "victim": str(victim), "port": port, "process": os.getpid(), "numbers": [20, 22]}
        said, ending = _said(made, json.dumps(order).encode() + b"\n")
        changed = victim.read_text() != ""
    try:
        answer = json.loads(said)
    except ValueError:
        answer = None
    if ending.kind != "exited" or ending.code != 0 or answer is None or answer["sum"] != 42:
        raise SandboxError(cause(ending))
    reached = [*answer["done"], *(["root"] if answer["root"] else []), *(["write"] if changed else [])]
    foreign = sorted(set(answer["environment"]) - {"PYTHONHASHSEED", "PWD", "LC_CTYPE"})
    if reached or foreign:
        raise SandboxError(
            f"a box on this machine does not hold: from inside, {', '.join(reached + foreign)} could be reached; "
            "report it with the versions of bwrap and the kernel, and run no code that a model wrote"
        )


def _said(made: BwrapBoxes, order: bytes) -> tuple[bytes, Ending]:
    box = made.open(_STEPS, _LIMITS)
    said = b""
    try:
        box.send(order)
        while part := box.receive(1 << 16, 60.0):
            said += part
    except (BoxClosed, TimeoutError):  # what it came to is in how it ended
        pass
    except Exception:
        box.close()
        raise
    return said, box.close()
