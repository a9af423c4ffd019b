"""Verdicts that programs try to forge: the short form, one attempt of each trick. The long one is `python -m tests.sandbox.forging 10000`."""

from __future__ import annotations

import random
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))
from agreement import agreement
from forgeries import FORGERIES, Problem, forged_program
from forging import forge, naive

from sharpen.errors import SandboxError
from sharpen.verifiers.code import Suite, code

TRIANGLE = Problem(
    id="triangle",
    context='def triangle(n: int) -> list:\n    """The whole numbers up to n with their sums: triangle(2) == [(1, 1), (2, 3)]."""\n',
    entry_point="triangle",
    canonical='def triangle(n: int) -> list:\n    return [(k, k * (k + 1) // 2) for k in range(1, n + 1)]\n',
    test="def check(candidate):\n"
    "    assert candidate(1) == [(1, 1)]\n"
    "    assert candidate(3) == [(1, 1), (2, 3), (3, 6)]\n"
    "    assert candidate(0) == []\n"
    "    assert candidate(5)[-1] == (5, 15)\n",
)
VOWELS = Problem(
    id="vowels",
    context='def vowels(text: str) -> dict:\n    """How often each vowel stands in the text."""\n',
    entry_point="vowels",
    canonical="def vowels(text: str) -> dict:\n    return {one: text.count(one) for one in sorted(set(text)) if one in 'aeiou'}\n",
    test="def check(candidate):\n"
    "    assert candidate('banana') == {'a': 3}\n"
    "    assert candidate('sequoia') == {'a': 1, 'e': 1, 'i': 1, 'o': 1, 'u': 1}\n"
    "    assert candidate('rhythm') == {}\n",
)
IN_ONE_PROCESS = (
    "53 frame walk",
    "54 gc scan",
    "55 always equal",
    "56 trace",
    "57 builtins",
    "58 subclass",
    "59 exit while loading",
)
"""Tricks that any grader falls for which runs program and tests in one process."""


@pytest.fixture(scope="module", params=["warm"])
def judge(request: pytest.FixtureRequest) -> Iterator[code]:
    made = code(allow_code_execution=True, tiers=(request.param,), seconds=1.5)
    try:
        made.tried(Suite(tests="assert f() == 1"), "def f():\n    return 1\n")
    except SandboxError as error:
        pytest.skip(str(error))
    yield made


def test_no_trick_forges_a_verdict(judge: code) -> None:
    found = forge(judge.tried, [TRIANGLE, VOWELS], len(FORGERIES), seed=20)
    assert {name: one.forged for name, one in found.items() if one.forged} == {}
    assert all(one.tried for one in found.values())
    kinds = {kind for one in found.values() for kind in one.kinds}
    assert "could not run" not in kinds, {name: one.kinds for name, one in found.items()}


def test_the_tricks_are_tricks() -> None:
    """In one process with the tests they work, so that their failing here says something."""
    fooled = [name for name in IN_ONE_PROCESS if naive(VOWELS, forged_program(name, VOWELS, random.Random(name)))]
    assert fooled == list(IN_ONE_PROCESS)
    assert not naive(VOWELS, "def vowels(text):\n    return None\n")
    assert naive(VOWELS, VOWELS.canonical)


def test_tiers_agree(judge: code) -> None:
    found = agreement([TRIANGLE, VOWELS], ["monty", *judge.tiers], num_mutants=2)
    assert found.differ == []
    assert found.verdicts["right", "pass"] == 2
    assert found.verdicts["empty", "fail"] == 2
