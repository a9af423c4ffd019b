"""Every hostile program in every tier, many times over; the long form of the abuse tests.

`python -m tests.sandbox.trial --repetitions 20` prints what escaped, survived, or ended in the wrong class, and leaves with 1 where
anything did. `--leaks 1000` then runs so many harmless programs in each tier and counts descriptors, processes and mounts.
"""

from __future__ import annotations

import argparse
import os
import re
import sys
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

from tests.sandbox.abuse import BENIGN, Abuse, Host, faults, host, run, survivors
from tests.sandbox.availability import AVAILABILITY
from tests.sandbox.interpreted import faults_when_interpreted
from tests.sandbox.lifetime import LIFETIME
from tests.sandbox.reach import REACH

from sharpen.verifiers.code.boxes import MontyBoxes, boxes
from sharpen.verifiers.code.boxes.bwrap import BwrapBoxes

PROGRAMS = sorted((abuse for abuse in (*AVAILABILITY, *LIFETIME, *REACH) if abuse.fits), key=lambda abuse: abuse.number)
_KINDS = {
    "escapes": r"secret came out|it reached|folder has changed",
    "survivors": r"survive",
    "wrong class": r"wrong class|exit code",
    "over limits": r"it took|it held|processes, with a limit",
}


def main() -> int:
    """Run the trial; the exit code."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repetitions", type=int, default=20)
    parser.add_argument("--tiers", nargs="+", default=["bwrap", "warm", "monty"])
    parser.add_argument("--only", nargs="+", type=int, default=[], help="numbers of programs")
    parser.add_argument("--leaks", type=int, default=0, help="harmless programs in each tier of CPython")
    asked = parser.parse_args()
    programs = [abuse for abuse in PROGRAMS if not asked.only or abuse.number in asked.only]
    wrong = 0
    print(f"{'tier':8}{'programs':>10}{'runs':>8}{'seconds':>10}" + "".join(f"{kind:>14}" for kind in (*_KINDS, "other")))
    for name in asked.tiers:
        began = time.monotonic()
        counted = _tried(name, programs, asked.repetitions)
        wrong += counted.total()
        row = "".join(f"{counted[kind]:>14}" for kind in (*_KINDS, "other"))
        print(
            f"{name:8}{len(programs):>10}{len(programs) * asked.repetitions:>8}{time.monotonic() - began:>10.0f}{row}",
            flush=True,
        )
    for name in asked.tiers:
        if asked.leaks and name != "monty":
            wrong += _leaked(name, asked.leaks)
    return 1 if wrong else 0


def _tried(name: str, programs: list[Abuse], repetitions: int) -> Counter[str]:
    counted: Counter[str] = Counter()
    tier = MontyBoxes() if name == "monty" else boxes(name)
    try:
        for number in range(1, repetitions + 1):
            with host() as attacked:  # a new one, since nobody accepts what connects to it
                counted.update(kind for abuse in programs for kind in _kinds_of_fault(name, abuse, tier, attacked))
            print(f"{name}: {number} of {repetitions} repetitions, {counted.total()} faults", file=sys.stderr, flush=True)
    finally:
        tier.close()
    return counted


def _kinds_of_fault(name: str, abuse: Abuse, tier: MontyBoxes | BwrapBoxes, attacked: Host) -> Iterator[str]:
    found = faults(abuse, tier, attacked) if isinstance(tier, BwrapBoxes) else faults_when_interpreted(abuse, tier, attacked)
    for fault in found:
        print(f"{name} {abuse.number:02d} {abuse.name}: {fault}", file=sys.stderr, flush=True)
        yield next((kind for kind, words in _KINDS.items() if re.search(words, fault)), "other")


def _leaked(name: str, number: int) -> int:
    """How much more is held after so many programs than before."""
    tier = boxes(name)
    try:
        for _ in range(5):
            run(tier, "pass", BENIGN)
        time.sleep(2.0)
        before = _held(tier)
        began = time.monotonic()
        for place in range(number):
            run(tier, "open('/tmp/x', 'w')" if place % 10 == 9 else "pass", BENIGN)
        seconds = time.monotonic() - began
        survivors(tier)
        time.sleep(2.0)
        after = _held(tier)
    finally:
        tier.close()
    print(
        f"{name}: {number} programs in {seconds:.0f} s; descriptors here, of the launcher, mounts, processes: {before} before, {after} after"
    )
    return sum(max(0, now - was) for was, now in zip(before, after, strict=True))


def _held(tier: BwrapBoxes) -> tuple[int, int, int, int]:
    launcher = tier.launcher
    assert launcher is not None
    children = Path(f"/proc/{launcher}/task/{launcher}/children").read_text().split()
    mounts = Path("/proc/self/mountinfo").read_text().splitlines()
    return len(os.listdir("/proc/self/fd")), len(os.listdir(f"/proc/{launcher}/fd")), len(mounts), len(children)


if __name__ == "__main__":
    sys.exit(main())
