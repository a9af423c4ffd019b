"""Whether all tiers give one verdict, on programs that are right, empty and nearly right: `python -m tests.sandbox.agreement 164`."""

from __future__ import annotations

import ast
import copy
import random
import sys
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))

from forgeries import Problem
from forging import problems

from sharpen.verifiers.code import Suite, code

__all__ = ["Agreement", "agreement", "mutants"]

_OTHER: dict[type[ast.AST], type[ast.AST]] = {
    ast.Add: ast.Sub,
    ast.Sub: ast.Add,
    ast.Mult: ast.Add,
    ast.Lt: ast.LtE,
    ast.LtE: ast.Lt,
    ast.Gt: ast.GtE,
    ast.GtE: ast.Gt,
    ast.Eq: ast.NotEq,
    ast.NotEq: ast.Eq,
    ast.And: ast.Or,
    ast.Or: ast.And,
    ast.In: ast.NotIn,
}


@dataclass(kw_only=True)
class Agreement:
    """How many programs were judged, by kind of program and verdict, and those on which two tiers differ."""

    verdicts: Counter[tuple[str, str]] = field(default_factory=Counter)
    differ: list[str] = field(default_factory=list)


def mutants(problem: Problem, count: int, rng: random.Random) -> list[str]:
    """Programs in which one operator, comparison or whole number of the right one is another."""
    tree = ast.parse(problem.canonical)
    places = [number for number, node in enumerate(ast.walk(tree)) if _changeable(node)]
    found = []
    for place in rng.sample(places, min(count, len(places))):
        changed = copy.deepcopy(tree)
        _change(list(ast.walk(changed))[place], rng)
        found.append(ast.unparse(changed))
    return found


def _changeable(node: ast.AST) -> bool:
    if isinstance(node, ast.Constant):
        return type(node.value) is int
    return isinstance(node, (ast.BinOp, ast.BoolOp)) and type(node.op) in _OTHER or isinstance(node, ast.Compare) and type(node.ops[0]) in _OTHER


def _change(node: ast.AST, rng: random.Random) -> None:
    if isinstance(node, ast.Constant):
        node.value = node.value + rng.choice([-1, 1])  # type: ignore[operator]  # an integer, by `_changeable`
    elif isinstance(node, ast.Compare):
        node.ops[0] = _OTHER[type(node.ops[0])]()  # type: ignore[call-overload]  # an operator for an operator
    elif isinstance(node, (ast.BinOp, ast.BoolOp)):
        node.op = _OTHER[type(node.op)]()  # type: ignore[assignment]  # as above


def agreement(given: Sequence[Problem], tiers: Sequence[str], *, num_mutants: int = 2, seconds: float = 3.0, seed: int = 0) -> Agreement:
    """What all tiers make of each problem's programs. What `monty` does not support it hands on, as the verifier does."""
    judges = {
        tier: code(allow_code_execution=True, tiers=(tier, "warm") if tier == "monty" else (tier,), seconds=seconds) for tier in tiers
    }
    found = Agreement()
    for problem in given:
        suite = Suite(tests=problem.test, setup=problem.context, entry_point=problem.entry_point)
        programs = [("right", problem.canonical), ("empty", f"{problem.context}    pass\n")]
        programs += [("mutant", one) for one in mutants(problem, num_mutants, random.Random(f"{seed} {problem.id}"))]
        for kind, program in programs:
            said = {tier: judge.tried(suite, program) for tier, judge in judges.items()}
            found.verdicts[kind, next(iter(said.values())).kind] += 1
            if len({one.kind for one in said.values()}) > 1:
                told = "; ".join(f"{tier}: {one.kind} {one.text[:200]!r}" for tier, one in said.items())
                found.differ.append(f"{problem.id} {kind}: {told}")
    return found


def main() -> None:
    count = int(sys.argv[1]) if len(sys.argv) > 1 else 164
    tiers = sys.argv[2:] or ["monty", "warm", "bwrap"]
    start = time.monotonic()
    found = agreement(problems()[:count], tiers)
    for (kind, verdict), number in sorted(found.verdicts.items()):
        print(f"{kind:8} {verdict:14} {number:5}")
    print(f"{sum(found.verdicts.values())} programs in {', '.join(tiers)}: {len(found.differ)} verdicts differ, {time.monotonic() - start:.0f} s")
    for one in found.differ:
        print(one)
    sys.exit(1 if found.differ else 0)


if __name__ == "__main__":
    main()
