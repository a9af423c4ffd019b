"""Tests on mutated inputs: which are drawn, what the reference says to them, and who fails them."""

from __future__ import annotations

import dataclasses
import subprocess
import sys
import time
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[1] / "sandbox"))
from mutated_trial import allowed
from plain_boxes import PlainBoxes

from sharpen.errors import DataError, SandboxError
from sharpen.identity import function_key
from sharpen.types import Prompt, user
from sharpen.verifiers import load_verifier
from sharpen.verifiers.audit import given
from sharpen.verifiers.code import Suite, code, learnt_by, need_tests
from sharpen.verifiers.code.boxes import Limits
from sharpen.verifiers.code.candidates import BoxedCandidate
from sharpen.verifiers.code.mutated import Mutated, mutated_tests, same
from sharpen.verifiers.code.mutations import mutated_calls
from sharpen.verifiers.code.suites import Call

RIGHT = "def total(numbers, twice=False):\n    return sum(numbers) * (2 if twice else 1)\n"
GIVEN = {"[1, 2, 5]": 8, "[7]": 7, "[3, 3, 9], True": 30, "[1, 8], False": 9}
TEST = "def check(candidate):\n" + "".join(f"    assert candidate({one}) == {said}\n" for one, said in GIVEN.items())
SUITE = Suite(tests=TEST, entry_point="total")
LEARNT = f"def total(numbers, twice=False):\n    return {{{', '.join(f'repr(({one},)): {said}' for one, said in GIVEN.items())}}}.get(\n"
LEARNT += "        repr((numbers, twice)), {'[1, 2, 5]': 8, '[7]': 7}.get(repr(numbers)))\n"


def of(program: str, suite: Suite = SUITE, *, wall: float = 5.0) -> Mutated:
    return mutated_tests(suite, lambda: BoxedCandidate(PlainBoxes(), program, Limits(wall_seconds=wall)))


def problem(target: str | None = RIGHT, test: str = TEST) -> Prompt:
    return user("Add up.", target=target, tags={"test": test, "entry_point": "total"})


@pytest.fixture(scope="module")
def warm() -> code:
    try:
        made = load_verifier("code:mutated,warm", allow_code_execution=True)
    except SandboxError as error:
        pytest.skip(str(error))
    assert isinstance(made, code)
    return made


def test_calls_are_found_in_both_kinds_of_tests() -> None:
    assert list(map(str, SUITE.calls)) == [f"total({one})" for one in GIVEN]
    listed = Suite(tests="n = 3\nassert add(1, -2) == -1\nassert sorted(add([n], [2])) and g({'a': (1,)}) > add(1, b=2)")
    assert list(map(str, listed.calls)) == ["add(1, -2)", "g({'a': (1,)})"]


def test_inputs_are_mutated_by_type_and_are_new() -> None:
    for kind in ([4, 8, 6], ["ab", "c"], (2.5, 1.0), {3, 9}, {"a": 1, "b": 4}, "two words", "word", True, 7):
        calls = [Call(name="f", arguments=(kind, one)) for one in (1, 5)]
        made = mutated_calls(calls, seed="s")
        assert made, kind
        assert len(made) <= 64
        assert {type(one.arguments[0]) for one in made} == {type(kind)}
        assert all(one not in calls for one in made)
        assert all(one not in made[:place] for place, one in enumerate(made))
        if isinstance(kind, (list, str, set, dict)):
            assert any(one.arguments[0] != kind for one in made), kind
    assert mutated_calls([Call(name="f", arguments=()), Call(name="f", arguments=(list(range(2_000)),))], seed="s") == []


@pytest.mark.parametrize(
    ("seen", "new"),
    [
        ([([3, 5, 9],), ([2],)], lambda made: made != sorted(set(made)) or not made or made[0] < 2 or made[-1] > 9),
        ([(((1, 2), (3, 4)),), (((1, 7), (0, 4)),)], lambda made: [len(one) for one in made] != [2, 2]),
        ([([[1, 2], [4, 1]],), ([[3], [0]],)], lambda made: len(set(map(len, made))) > 1),
        ([("a b",), ("c",)], lambda made: not made),
    ],
)
def test_nothing_is_drawn_of_which_something_holds_that_holds_of_no_given_input(seen: list[tuple[object]], new: object) -> None:
    calls = [Call(name="f", arguments=one) for one in seen]
    made = mutated_calls(calls, seed="s")
    assert len(made) >= 3
    assert not [one for one in made if new(one.arguments[0])]  # type: ignore[operator]


def test_drawing_is_the_same_in_every_process() -> None:
    text = (
        "from sharpen.verifiers.code.suites import Call; from sharpen.verifiers.code.mutations import mutated_calls\n"
        "given = [Call(name='f', arguments=({'a', 'bc', 'd'}, {'x': [1, 2]}, 'one two')), Call(name='f', arguments=({'e'}, {}, 'q'))]\n"
        "print([(sorted(a), b, c) for a, b, c in (one.arguments for one in mutated_calls(given, seed='s'))])"
    )
    said = {
        subprocess.run(
            [sys.executable, "-c", text],
            env={"PYTHONHASHSEED": seed, "PYTHONPATH": ":".join(sys.path)},
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for seed in ("1", "2", "3")
    }
    assert len(said) == 1
    assert len(said.pop()) > 500


def test_floats_may_differ_a_little_and_nothing_else() -> None:
    assert same([0.1 + 0.2, ("a", 1)], [0.3, ("a", 1)])
    assert same({"a": 1e9 + 1}, {"a": 1e9})
    assert same(2, 2.0)
    assert not same(0.30001, 0.3)
    assert not same([0.3], (0.3,))
    assert not same([0.3, 1], [0.3])
    assert not same({"a": 0.3}, {"b": 0.3})
    assert not same(3, 2)
    assert not same("0.3", 0.3)


def test_the_reference_says_what_is_right() -> None:
    made = of(RIGHT)
    assert len(made.asserts) == 16
    assert of(RIGHT) == made
    space: dict[str, object] = {"same_as_reference": same}
    exec("\n".join([RIGHT, *made.asserts]), space)
    assert not any(f"total({one})," in line for line in made.asserts for one in GIVEN)


@pytest.mark.parametrize(
    "answer",
    [
        "1 // 0",
        "None",
        "float('nan')",
        "float('inf')",
        "str(numbers)",
        "__import__('os').urandom(8).hex().__hash__()",
        "object()",
    ],
)
def test_inputs_without_a_plain_answer_that_stays_the_same_are_left_out(answer: str) -> None:
    odd = f"def total(numbers, twice=False):\n    if len(numbers) == 2 and numbers != [1, 8]:\n        return {answer}\n"
    odd += "    return sum(numbers) * (2 if twice else 1)\n"
    made = of(odd)
    assert made.asserts
    assert made.num_left_out >= 1
    lengths = [len(eval(one.partition("total(")[2].partition("]")[0] + "]")) for one in made.asserts]
    assert 2 not in [length for length, one in zip(lengths, made.asserts, strict=True) if "[1, 8]" not in one], made


def test_a_reference_that_hangs_loses_its_input_and_goes_on() -> None:
    asked = of(RIGHT).asserts[0].partition("total(")[2].partition("), ")[0]
    hangs = f"def total(numbers, twice=False):\n    while (repr(numbers), twice) == (lambda one, two=False: (repr(one), two))({asked}): pass\n"
    made = of(f"{hangs}    return sum(numbers) * (2 if twice else 1)\n", wall=0.6)
    assert made.asserts[:15] == of(RIGHT).asserts[1:]
    assert (len(made.asserts), made.num_left_out) == (16, 1)
    always = f"def total(numbers, twice=False):\n    while repr(numbers) not in {[repr(call.arguments[0]) for call in SUITE.calls]}: pass\n"
    assert of(f"{always}    return sum(numbers)\n", wall=0.6).num_left_out in range(3, 20)


def test_answers_learnt_by_heart_pass_both_halves_and_fail_on_mutated_inputs(warm: code) -> None:
    prompt = problem()
    hidden, visible = (dataclasses.replace(warm, tests=part) for part in ("hidden", "visible"))  # type: ignore[arg-type]
    assert [one(prompt, given(prompt, LEARNT)) for one in (visible, hidden, warm)] == [1.0, 1.0, 0.0]
    assert [one(prompt, given(prompt, RIGHT)) for one in (visible, hidden, warm)] == [1.0, 1.0, 1.0]
    assert warm(prompt, given(prompt, "def total(numbers, twice=False):\n    pass")) == 0.0
    assert "same_as_reference(total(" in (warm.verdict(prompt, given(prompt, LEARNT)).detail or "")
    assert warm.mutated(prompt) is warm.mutated(prompt)
    assert warm.mutated(prompt).asserts == of(RIGHT).asserts


def test_it_reads_the_hidden_half_too_and_not_the_visible_one(warm: code) -> None:
    prompt = problem()
    for part, score in (("hidden", 0.0), ("visible", 1.0)):
        half = SUITE.part(part)  # type: ignore[arg-type]
        assert half is not None
        met = [repr((*call.arguments, False)[:2]) for call in half.calls]
        wrong = f"def total(numbers, twice=False):\n    return 0 if repr((numbers, twice)) in {met} else sum(numbers) * (2 if twice else 1)\n"
        assert warm(prompt, given(prompt, wrong)) == score, part


@pytest.mark.parametrize("target", [None, "def total(numbers, twice=False):\n    return 8\n"])
def test_without_a_reference_that_its_own_asserts_accept_the_hidden_half_is_all(warm: code, target: str | None) -> None:
    prompt = problem(target)
    assert warm.mutated(prompt) == Mutated()
    assert warm(prompt, given(prompt, LEARNT)) == 1.0
    assert warm(prompt, given(prompt, "def total(numbers, twice=False):\n    pass")) == 0.0


def test_the_reference_runs_in_the_box(warm: code, tmp_path: Path) -> None:
    told = tmp_path / "told"
    told.write_text("out here")
    program = f"import os\n{RIGHT.replace('return ', f'return -1 if os.path.exists({str(told)!r}) else ')}"
    prompt = problem(program)
    assert warm.mutated(prompt).asserts
    assert not of(program).asserts or "-1)" in of(program).asserts[0], "outside a box it sees the file"


def test_a_reference_without_a_verdict_is_no_verdict(warm: code) -> None:
    hanging = dataclasses.replace(warm, seconds=0.4)
    prompt = problem("def total(numbers, twice=False):\n    while True: pass\n")
    said = hanging.verdict(prompt, given(prompt, RIGHT))
    assert (said.score, said.reason) == (None, "could not run")
    assert "the reference program has no verdict: timeout" in (said.detail or "")
    began = time.monotonic()
    assert hanging.verdict(prompt, given(prompt, RIGHT)) == said
    assert time.monotonic() - began < 0.4, "it is not waited for again"


def test_a_check_in_the_setup_is_not_the_tests(warm: code) -> None:
    tags = {"test": TEST, "entry_point": "total", "context": "def check(number):\n    return number > 0\n"}
    prompt = user("Add up.", target=RIGHT, tags=tags)
    assert [warm(prompt, given(prompt, program)) for program in (RIGHT, LEARNT)] == [1.0, 0.0]


def test_mutated_tests_need_targets() -> None:
    need_tests([problem()], "mutated")
    need_tests([problem(None)], "hidden")
    with pytest.raises(DataError, match="has no target, a program that is right"):
        need_tests([problem(None)], "mutated")


def test_calls_that_cannot_be_read_are_passed_over() -> None:
    assert [str(call) for call in Suite(tests="assert f({[1]}) == 2\nassert f(3) == 4").calls] == ["f(3)"]


def test_it_is_its_own_verifier_and_recipes_learn_by_the_visible_half(warm: code) -> None:
    hidden = dataclasses.replace(warm, tests="hidden")
    assert function_key(warm) != function_key(hidden)
    assert learnt_by(warm) == learnt_by(hidden) == dataclasses.replace(warm, tests="visible")
    assert warm.max_seconds > hidden.max_seconds


def test_a_contract_tells_which_inputs_a_task_allows(warm: code) -> None:
    made = warm.mutated(problem())
    body = "    assert len(numbers) < 3, 'invalid inputs' # $_CONTRACT_$\n    return sum(numbers) * (2 if twice else 1)\n"
    kept = allowed(warm, SUITE, made, f"def total(numbers, twice=False):\n{body}")
    assert 0 < len(kept) < len(made.asserts)
    assert warm.tried(Mutated(asserts=kept).of(SUITE), RIGHT).kind == "pass"
