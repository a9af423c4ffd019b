"""What a program's tests make of it: each way to fail, what feedback says, and what may never be taken for a pass."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[1] / "sandbox"))
from plain_boxes import PlainBoxes

from sharpen.errors import DataError
from sharpen.types import Prompt, user
from sharpen.verifiers.code import examination
from sharpen.verifiers.code import Examination, Suite, code_of, examine, program_of, suite_of
from sharpen.verifiers.code.boxes import Limits, Unsupported
from sharpen.verifiers.code.candidates import BoxedCandidate

ADD = Suite(tests="def check(candidate):\n    assert candidate(1, 2) == 3\n    assert candidate(2, 2) == 4\n", entry_point="add")
RIGHT = "def add(a, b):\n    return a + b\n"


def examined(program: str, suite: Suite = ADD, *, wall: float = 2.0, seconds: float = 1.0) -> Examination:
    return examine(suite, lambda: BoxedCandidate(PlainBoxes(), program, Limits(wall_seconds=wall)), seconds=seconds)


def test_a_right_program_passes_and_a_wrong_one_says_where() -> None:
    assert examined(RIGHT) == Examination(kind="pass", num_calls=2)
    wrong = examined("def add(a, b):\n    return 3\n")
    assert (wrong.kind, wrong.num_calls) == ("fail", 2)
    assert wrong.text == "assert candidate(2, 2) == 4\nadd(2, 2) returned 3"


@pytest.mark.parametrize(
    ("program", "kind", "text"),
    [
        ("def add(a, b) return a", "fail", "SyntaxError"),
        ("raise ValueError('early')", "fail", "early"),
        ("def add(a, b):\n    return a / 0\n", "fail", "ZeroDivisionError"),
        ("def sub(a, b):\n    return a + b\n", "fail", "defines no 'add'"),
        ("", "fail", "defines no 'add'"),
        ("def add(a, b):\n    while True: pass\n", "timeout", "add(1, 2)"),
        ("while True: pass", "timeout", ""),
        ("def add(a, b):\n    raise StopIteration\n", "fail", "StopIteration"),
        ("import sys\nsys.exit(0)", "fail", "SystemExit"),
        ("\x00", "fail", ""),
        ("def add(a, b):\n    return '\\x1b[31m'\n", "fail", "returned '\\x1b[31m'"),
        ("def add(a, b):\n    raise ValueError('\\x1b[31m\\x07')\n", "fail", "\\x1b[31m\\x07"),
    ],
)
def test_every_way_to_fail_has_its_kind_and_printable_text(program: str, kind: str, text: str) -> None:
    found = examined(program, wall=1.0)
    assert (found.kind, text in found.text) == (kind, True), found
    assert all(one.isprintable() or one == "\n" for one in found.text)
    assert len(found.text) <= 1100


MAPPED = Suite(tests="def check(candidate):\n    assert all(map(candidate, [1, 2, 3]))\n", entry_point="f")
TRIED = Suite(
    tests="def check(candidate):\n    try:\n        candidate(0)\n    except ValueError:\n        return\n    assert False, 'no error'\n",
    entry_point="f",
)
SWALLOWED = Suite(
    tests="def check(candidate):\n    for n in range(3):\n        try:\n            candidate(n)\n        except:\n            pass\n    assert True\n",
    entry_point="f",
)


def test_an_exception_that_ends_a_loop_over_cases_does_not_pass_them() -> None:
    assert examined("def f(x):\n    return x > 0\n", MAPPED).kind == "pass"
    for kind in ("StopIteration", "GeneratorExit", "StopAsyncIteration"):
        found = examined(f"def f(x):\n    raise {kind}\n", MAPPED)
        assert (found.kind, kind in found.text) == ("fail", True), found


def test_tests_may_await_an_error_and_cannot_swallow_an_end() -> None:
    assert examined("def f(x):\n    raise ValueError('as it should')\n", TRIED).kind == "pass"
    assert examined("def f(x):\n    raise KeyError\n", TRIED).kind == "fail"
    assert examined("def f(x):\n    raise ValueError\n", SWALLOWED).kind == "pass", "such tests are lax, and theirs alone"
    assert examined("import os\ndef f(x):\n    os._exit(0)\n", SWALLOWED).kind == "fail"
    assert examined("def f(x):\n    return f\n", SWALLOWED).kind == "fail"
    assert examined("def f(x):\n    while True: pass\n", SWALLOWED, wall=1.0).kind == "timeout"


def test_tests_that_say_nothing_of_the_program_are_no_verdict() -> None:
    never = Suite(tests="def check(candidate):\n    assert True\n", entry_point="f")
    assert examined("f = abs", never) == Examination(kind="could not run", text="the tests never call the program")
    broken = Suite(tests="def check(candidate):\n    assert helper(1) == candidate(1)\n", entry_point="f")
    assert examined("f = abs", broken).kind == "could not run"
    callable_ = Suite(tests="def check(candidate):\n    assert candidate(lambda: 1) == 1\n", entry_point="f")
    found = examined("def f(x):\n    return x()\n", callable_)
    assert (found.kind, "class function" in found.text) == ("could not run", True)


def test_tests_that_go_on_and_on_over_what_they_got_are_ended() -> None:
    endless = Suite(tests="def check(candidate):\n    n = candidate(0)\n    while n:\n        n -= 1\n", entry_point="f")
    assert examined("def f(x):\n    return 10\n", endless).kind == "pass"
    found = examined("def f(x):\n    return 10 ** 15\n", endless, seconds=0.3)
    assert (found.kind, "tests took longer" in found.text) == ("timeout", True)


def test_tests_that_call_on_and_on_are_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(examination, "MAX_CALLS", 20)
    many = Suite(tests="def check(candidate):\n    while candidate(0):\n        pass\n", entry_point="f")
    found = examined("def f(x):\n    return 1\n", many)
    assert (found.kind, found.num_calls) == ("resource", 20)


def test_asserts_stay_in_an_optimised_interpreter() -> None:
    text = (
        "import sys; sys.path[:0] = {path!r}\nfrom test_code_examination import examined\n"
        "print(examined('def add(a, b): return 9').kind, examined('def add(a, b): return a + b').kind)"
    )
    paths = [str(Path(__file__).parent), *sys.path]
    done = subprocess.run([sys.executable, "-O", "-c", text.format(path=paths)], capture_output=True, text=True, check=False)
    assert done.stdout.split() == ["fail", "pass"], done.stderr


def test_what_another_kind_of_box_must_run_is_not_judged() -> None:
    class Refusing:
        def call(self, name: str, arguments: object, keywords: object) -> object:
            raise Unsupported("no classes here")

        def close(self) -> None:
            pass

    with pytest.raises(Unsupported, match="no classes"):
        examine(SWALLOWED, Refusing, seconds=1.0)  # type: ignore[arg-type]


def problem(**tags: str) -> Prompt:
    return user("write it", tags=tags)


def test_asserts_call_functions_by_name_as_in_mbpp() -> None:
    prompt = problem(test_list='["assert add(1, 2) == 3", "assert math.isclose(half(1), 0.5)"]', test_setup_code="import math")
    suite = suite_of(prompt)
    assert suite.names == ("add", "half")
    assert examined(RIGHT + "def half(x):\n    return x / 2\n", suite).kind == "pass"
    assert examined(RIGHT + "def half(x):\n    return x\n", suite).kind == "fail"
    one = suite_of(problem(test="def check(candidate):\n    assert candidate(1) == helped(1)\n", entry_point="f", context="def helped(x):\n    return x\n\ndef f(x):\n    '''Doc.'''\n"))
    assert examined("def f(x):\n    return x\n", one).kind == "pass"


@pytest.mark.parametrize(
    ("tags", "said"),
    [
        ({}, "has no tests"),
        ({"test": "def check(c):\n    assert c()"}, "has no tests"),
        ({"test": "def check(c)", "entry_point": "f"}, "are no Python"),
        ({"test": "def check(c):\n    c()", "entry_point": "f"}, "assert nothing"),
    ],
)
def test_a_prompt_without_usable_tests_is_one_sentence(tags: dict[str, str], said: str) -> None:
    with pytest.raises(DataError, match=said):
        suite_of(problem(**tags))


def test_visible_and_hidden_asserts_share_nothing_and_lose_nothing() -> None:
    asserts = [f"assert f({n}) == {n * n}" for n in range(9)]
    listed = Suite(tests="\n".join(asserts))
    checked = Suite(tests="def check(candidate):\n    import math\n" + "\n".join(f"    {one}" for one in asserts), entry_point="f")
    for suite in (listed, checked):
        visible, hidden = (
            {line.strip() for line in suite.part(which).tests.splitlines() if "assert" in line}  # type: ignore[arg-type]
            for which in ("visible", "hidden")
        )
        assert (len(visible), len(hidden)) == (5, 4)
        assert visible | hidden == set(asserts)
    assert "import math" in checked.part("hidden").tests
    single = Suite(tests="assert f(1)")
    assert (single.part("hidden"), single.part("visible")) == (single, None)


STUB = "import math\n\ndef f(x):\n    '''Twice.'''\n"


@pytest.mark.parametrize(
    ("answer", "program"),
    [
        ("Sure!\n```python\ndef f(x):\n    return 2 * x\n```", f"{STUB}\ndef f(x):\n    return 2 * x\n"),
        ("```\nwrong\n```\nNo:\n```py\ndef f(x): return 1\n```\nDone.", f"{STUB}\ndef f(x): return 1\n"),
        ("    return 2 * x\n\nprint(f(1))", f"{STUB}    return 2 * x\n\n"),
        ("def f(x):\n    return 3", f"{STUB}\ndef f(x):\n    return 3"),
        ("```python\ndef f(x):\n    return 4", f"{STUB}\ndef f(x):\n    return 4"),
        ("\n    y = x\n    return y\n", f"{STUB}    y = x\n    return y\n"),
    ],
)
def test_which_part_of_an_answer_is_the_program(answer: str, program: str) -> None:
    assert program_of(answer, context=STUB, entry_point="f") == program


def test_without_a_stub_the_code_stands_alone() -> None:
    assert program_of("text\n~~~\nx = 1\n~~~", entry_point="f") == "x = 1\n"
    assert code_of("no code at all") == "no code at all"
