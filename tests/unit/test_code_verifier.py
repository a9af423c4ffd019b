"""The verifier `code` in a task: allowed or refused, its identity, its verdicts from a pool, problems from a package."""

from __future__ import annotations

import dataclasses
import gzip
import hashlib
import json
import zipfile
from pathlib import Path

import pytest

from cli_runs import TINY, sharpen
from sharpen import Splits, load_task
from sharpen.cli.recipes import choose, make_recipe
from sharpen.cli.settings import Settings
from sharpen.data import packages
from sharpen.data.packages import CarriedProblems, carried_rows
from sharpen.errors import DataError, SandboxError
from sharpen.identity import function_key
from sharpen.types import Prompt, user
from sharpen.verifiers import VerifierPool, load_verifier
from sharpen.verifiers.audit import given
from sharpen.verifiers.code import code, learnt_by

STUB = 'def plus{0}(x):\n    """The number and {0}."""\n'
TEST = "def check(candidate):\n    assert candidate(1) == {1}\n    assert candidate(-{0}) == 0\n"


def row(number: int) -> dict[str, object]:
    """A problem in HumanEval's columns."""
    return {
        "task_id": f"plus/{number}",
        "prompt": STUB.format(number),
        "canonical_solution": f"    return x + {number}\n",
        "test": TEST.format(number, number + 1),
        "entry_point": f"plus{number}",
    }


def problem(number: int) -> Prompt:
    made = row(number)
    stub = str(made["prompt"])
    tags = {"test": str(made["test"]), "entry_point": str(made["entry_point"]), "context": stub}
    return user(stub, target=stub + str(made["canonical_solution"]), tags=tags)


@pytest.fixture(scope="module")
def warm() -> code:
    try:
        made = load_verifier("code:warm", allow_code_execution=True)
    except SandboxError as error:
        pytest.skip(str(error))
    assert isinstance(made, code)
    return made


def test_it_is_off_unless_a_person_allows_it(tmp_path: Path) -> None:
    refusal = r"off by default; add --allow-code-execution \(in Python: allow_code_execution=True\)"
    rows = tmp_path / "rows.jsonl"
    rows.write_text("".join(json.dumps(row(n)) + "\n" for n in range(1, 9)))
    with pytest.raises(ValueError, match=refusal):
        load_verifier("code")
    with pytest.raises(ValueError, match=refusal):
        code()
    with pytest.raises(ValueError, match=refusal):
        code(allow_code_execution=1, tiers=("warm",))  # type: ignore[arg-type]  # what a person might write
    with pytest.raises(ValueError, match=refusal):
        load_task(rows, "code")
    for command in ("run rft", "plan rft", "audit-verifier"):
        model = "" if command == "audit-verifier" else TINY.replace("--task tiny", "")
        called = sharpen(f"{command} {model} --task {rows} --verifier code")
        assert called.code != 0, command
        assert called.err.startswith("sharpen: the verifier 'code' runs programs that a model wrote"), called.err
        assert "--allow-code-execution" in called.err, command


def test_what_cannot_be_asked_of_it_is_one_sentence() -> None:
    tiers = {"allow_code_execution": True, "tiers": ("warm",)}
    with pytest.raises(ValueError, match="tests is 'most'; it is one of all, visible, hidden, mutated"):
        code(**tiers, tests="most")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="seconds is 0"):
        code(**tiers, seconds=0)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="several parts"):
        load_verifier("code:hidden,visible,warm", allow_code_execution=True)
    with pytest.raises(DataError, match="has no tests"):
        load_task([{"prompt": f"p{n}", "target": "1"} for n in range(8)], code(**tiers))  # type: ignore[arg-type]


def test_its_tiers_and_its_part_of_the_tests_are_its_identity() -> None:
    made = [
        load_verifier(f"code:{words}", allow_code_execution=True) for words in ("warm", "bwrap", "warm,hidden", "monty,warm")
    ]
    assert len({str(function_key(one)) for one in made}) == len(made)
    assert repr(made[2]).startswith("code(allow_code_execution=True, tiers=('warm',), tests='hidden'")
    hidden, visible = made[2], learnt_by(made[2])
    assert isinstance(hidden, code)
    assert visible == dataclasses.replace(hidden, tests="visible")
    assert learnt_by(made[0]) == made[0]
    assert learnt_by(None) is None


def test_a_pool_tells_pass_fail_timeout_and_resource_apart(warm: code) -> None:
    prompt, fast = problem(2), dataclasses.replace(warm, seconds=2.0)
    answers = {
        "right": "def plus2(x):\n    return x + 2",
        "body": "    return x + 2\n\n# that is it",
        "fenced": "So:\n```python\ndef plus2(x):\n    return 2 + x\n```",
        "wrong": "def plus2(x):\n    return 3",
        "empty": "    pass",
        "endless": "def plus2(x):\n    while True: pass",
        "flood": "def plus2(x):\n    while True: print('x' * 10_000)",
        "exits": "import os\ndef plus2(x):\n    os._exit(0)",
        "no code": "I do not know.",
    }
    with VerifierPool(fast) as pool:
        found = dict(zip(answers, pool.verify([(prompt, given(prompt, text)) for text in answers.values()]), strict=True))
        assert pool.abstained == {}
    assert {name: one.score for name, one in found.items() if one.score} == {"right": 1.0, "body": 1.0, "fenced": 1.0}
    kinds = {name: (one.detail or "").partition(":")[0] for name, one in found.items() if not one.score}
    assert kinds.pop("flood") in ("resource", "timeout")
    assert kinds == {"wrong": "fail", "empty": "fail", "endless": "timeout", "exits": "fail", "no code": "fail"}
    assert found["wrong"].detail == "fail: assert candidate(-2) == 0\nplus2(-2) returned 3"


def test_a_task_of_problems_is_checked_and_its_recipes_learn_by_the_visible_half(warm: code) -> None:
    rows = [row(n) | {"context": STUB.format(n), "target": f"{STUB.format(n)}    return x + {n}\n"} for n in range(1, 9)]
    hidden = dataclasses.replace(warm, tests="hidden")
    task = load_task(rows, hidden, splits=Splits(gate=2, final=2))
    made = make_recipe(choose(Settings(method="rft")), task)
    assert task.verifier == hidden
    assert "tests='visible'" in repr(made)
    assert "tests='hidden'" not in repr(made)
    broken = [{**one, "target": "def other(x): return x"} for one in rows]
    with pytest.raises(DataError, match="8 targets are rejected"):
        load_task(broken, warm, splits=Splits(gate=2, final=2))


def test_problems_come_from_a_pinned_package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    lines = "".join(json.dumps(row(number)) + "\n" for number in range(1, 9)).encode()
    kept = [
        {
            "id": f"plus/{n}",
            "prompt": STUB.format(n),
            "target": f"{STUB.format(n)}    return x + {n}\n",
            "context": STUB.format(n),
            "test": TEST.format(n, n + 1),
            "entry_point": f"plus{n}",
        }
        for n in range(1, 9)
    ]
    for name in ("PIP_EXTRA_INDEX_URL", "PIP_INDEX_URL"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("PIP_CONFIG_FILE", "/dev/null")
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(tmp_path))
    monkeypatch.setenv("SHARPEN_CACHE", str(tmp_path / "cache"))
    with zipfile.ZipFile(tmp_path / "sharpen_test_problems-1.0-py3-none-any.whl", "w") as archive:
        archive.writestr("problems/data.jsonl.gz", gzip.compress(lines))
        info = "sharpen_test_problems-1.0.dist-info"
        archive.writestr(f"{info}/METADATA", "Metadata-Version: 2.1\nName: sharpen-test-problems\nVersion: 1.0\n")
        archive.writestr(f"{info}/WHEEL", "Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        archive.writestr(f"{info}/RECORD", "")
    text = "".join(json.dumps(one) + "\n" for one in kept)
    known = CarriedProblems(
        name="plus",
        package="sharpen-test-problems",
        version="1.0",
        member="problems/data.jsonl.gz",
        size=len(lines),
        sha256=hashlib.sha256(text.encode()).hexdigest(),
        licence="nobody's",
    )
    monkeypatch.setitem(packages.PACKAGES, "sharpen-test-problems", known)
    _, path = carried_rows("sharpen-test-problems")
    assert [json.loads(line) for line in path.read_text().splitlines()] == kept
    with pytest.raises(ValueError, match="--allow-code-execution"):
        load_task("pypi:sharpen-test-problems")
    for change, said in (({"size": 10}, "problems that were pinned"), ({"member": "other.gz"}, "does not hold other.gz")):
        wrong = dataclasses.replace(known, sha256="0" * 64, **change)  # type: ignore[arg-type]
        monkeypatch.setitem(packages.PACKAGES, "sharpen-test-problems", wrong)
        with pytest.raises(DataError, match=said):
            carried_rows("sharpen-test-problems")
