"""Hostile programs in the tier of the interpreter: most of them find nothing there to attack, which is what it is for."""

from __future__ import annotations

import textwrap
import time
from dataclasses import replace

from tests.sandbox.abuse import SLACK_S, Abuse, Host

from sharpen.verifiers.code.boxes import BoxClosed, MontyBoxes, Raised, Unsupported


def faults_when_interpreted(abuse: Abuse, tier: MontyBoxes, on: Host) -> list[str]:
    """Everything that is wrong with how the interpreter held this program's step; the control is that it runs the step before it."""
    before = on.state()
    limits = replace(abuse.limits, wall_seconds=1.0, cpu_seconds=1)
    about = on.about | {"target": str(on.victim), "outside": False}
    step = textwrap.indent(textwrap.dedent(abuse.body).strip(), "    ")
    program = (
        f"A = {about!r}\nR = []\ndef reached(what): R.append(what)\n"
        "def attempt(what, step, errors=None):\n    try:\n        step()\n        reached(what)\n    except Exception as error:\n        pass\n"
        f"def spot(text):\n    if 'sk-canary-' in text: reached(text)\ndef before(): return 42\ndef f():\n    import os, sys, time, re\n{step}\n    return R\n"
    )
    found: list[str] = []
    began = time.monotonic()
    said: object = None
    try:
        box = tier.open(program, limits)
        try:
            if box.call("before", []) != 42:
                found.append("it did not start")
            said = box.call("f", [])
        finally:
            box.close()
    except (Unsupported, Raised, BoxClosed, TimeoutError) as error:
        said = str(error)
    if time.monotonic() - began > limits.wall_seconds + SLACK_S:
        found.append(f"it took {time.monotonic() - began:.1f} s")
    if on.secret in repr(said) or (isinstance(said, list) and said):
        found.append(f"it reached something: {said!r}")
    if on.state() != before:
        found.append("the victim's folder has changed")
    box = tier.open("def f(x): return x + 1", limits)
    if box.call("f", [1]) != 2:
        found.append("the next program does not run")
    box.close()
    return found
