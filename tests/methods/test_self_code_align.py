"""SelfCodeAlign: which functions are seeds, how tasks are asked for, and which answers their own tests keep."""

from __future__ import annotations

import dataclasses
import os
import time

import pytest
from authored import Authored, answered

from example_builders import ROUND
from sharpen.errors import SandboxError
from sharpen.methods.self_code_align import TESTED, self_code_align
from sharpen.prompts.code_concepts import code_tasks, seed_functions
from sharpen.protocols import Request
from sharpen.select.self_tested import before_tests, passing_answers
from sharpen.types import Completion, Group, user
from sharpen.verifiers import exact
from sharpen.verifiers.audit import given
from sharpen.verifiers.code import code
from sharpen.verifiers.code.own_tests import MARK, own_tests, split_answer

ASK = user("Write a function double(x).")


def answer(program: str, tests: str) -> Completion:
    text = f"Here it is.\n```python\n{program}\n```\n{MARK}\n```python\n{tests}\n```\n"
    return dataclasses.replace(given(ASK, text), finish="stop")


DOUBLE = "def double(x):\n    return 2 * x"
ANSWERS = {
    "right": answer(DOUBLE, "assert double(2) == 4\nassert double(0) == 0"),
    "right, in a function": answer(DOUBLE, "def test():\n    assert double(2) == 4\ntest()"),
    "wrong": answer("def double(x):\n    return 3 * x", "assert double(2) == 4"),
    "no assert": answer(DOUBLE, "double(2)"),
    "tests never run": answer(DOUBLE, "def test():\n    assert double(2) == 5"),
    "unfinished": answer("def double(x):\n    # TODO\n    return 2 * x", "assert double(2) == 4"),
    "no program": dataclasses.replace(given(ASK, f"none\n{MARK}\n```python\nassert 1\n```"), finish="stop"),
    "endless": answer("def double(x):\n    while True: pass", "assert double(2) == 4"),
    "exits": answer("import os\ndef double(x):\n    os._exit(0)", "assert double(2) == 4"),
}
KEPT = ("right", "right, in a function")


def verifier() -> code:
    try:
        return code(allow_code_execution=True, tiers=(os.environ.get("SHARPEN_TEST_TIER", "warm"),))
    except SandboxError as error:
        pytest.skip(str(error))


def test_only_what_passes_its_own_tests_is_kept() -> None:
    """Passing ones are kept; wrong, unasserted and unfinished ones are not; an endless one is a timeout within its limit."""
    check = dataclasses.replace(own_tests.of(verifier()), seconds=2.0)
    start = time.monotonic()
    verdicts = {name: check.verdict(ASK, one) for name, one in ANSWERS.items()}
    assert time.monotonic() - start < 60
    assert [name for name, one in verdicts.items() if one.score == 1.0] == list(KEPT)
    assert all(one.score is not None for one in verdicts.values())
    assert (verdicts["endless"].detail or "").startswith("timeout: ")
    assert "AssertionError" in (verdicts["wrong"].detail or "")
    group = Group(prompt=ASK, completions=tuple(ANSWERS.values()))
    scored = group.with_scores(reward=[one.score for one in verdicts.values()])
    [lesson] = passing_answers()([scored, scored], ROUND)  # the second has the same program
    assert lesson.row.completion.text == f"Here it is.\n```python\n{DOUBLE}\n```"
    assert (lesson.row.prompt, lesson.row.completion.segments) == (ASK, ())


def test_the_tests_are_no_part_of_what_is_imitated_and_cut_answers_are_left_out() -> None:
    kept = before_tests(ANSWERS["right"])
    assert kept is not None
    assert MARK not in kept.text
    assert "assert" not in kept.text
    assert before_tests(dataclasses.replace(ANSWERS["right"], finish="length")) is None
    for name in ("no assert", "tests never run", "unfinished", "no program"):
        assert split_answer(ANSWERS[name].text) is None, name


def test_seeds_are_documented_functions_that_take_and_return_and_are_not_alike() -> None:
    good = 'def area(width, height):\n    """Of a rectangle."""\n    return width * height'
    other = 'def greet(name):\n    """A friendly line."""\n    parts = ["Hello", name.title()]\n    return ", ".join(parts)'
    bad = [
        "def area(width, height):\n    return width * height",
        'def area():\n    """Of nothing."""\n    return 0',
        'def area(width):\n    """Of nothing."""\n    print(width)',
        'def area(width):\n    """Of nothing."""\n    # TODO round\n    return width',
        'def area(width):\n    """Of nothing."""\n    import os\n    return os.getpid()',
        "no program at all",
        good.replace("rectangle", "box"),
    ]
    assert seed_functions([good, other, *bad]) == [good, other]
    assert seed_functions([good, other], max_likeness=0.01) == [good]


def test_tasks_are_asked_for_by_concepts_category_and_difficulty() -> None:
    seeds = [user("f", target='def area(width, height):\n    """Of a rectangle."""\n    return width * height')]
    asked: list[str] = []
    told = iter(["areas, products\nmore", "", "areas", "Write area(w, h).", "Write  area(w, h).\n\n### Item"])

    def write(request: Request) -> str:
        asked.append(request.prompt.text)
        return next(told)

    class Round(type(ROUND)):  # type: ignore[misc]  # a still round that has a policy
        def policy(self, role: str) -> object:
            assert role == "base"
            return Authored(write)

    [task] = code_tasks(3)(seeds, Round())
    assert task.text == "Write area(w, h)."
    assert (task.tags["made"], task.tags["concepts"]) == ("concepts", "areas, products")
    assert "def area(width, height)" in asked[0]
    assert f"Concepts: areas, products\nCategory: {task.tags['category']}\nDifficulty: {task.tags['difficulty']}\n" in asked[3]
    assert len(asked) == 5, "an item without concepts is given up"
    with pytest.raises(ValueError, match="no train prompt holds a documented function"):
        code_tasks(3)([user("no program")], Round())


def test_answers_are_asked_for_with_tests_and_trained_without() -> None:
    recipe = self_code_align(exact())
    [step] = recipe.steps
    assert step.sample is not None
    model = Authored(lambda request: "an answer")
    [group] = answered(step.sample, model, [ASK])  # type: ignore[arg-type]  # a stage of a step
    assert MARK in model.asked[0][0]
    assert len(group.completions) == 10
    assert group.prompt == ASK
    assert TESTED(ASK).text.startswith(ASK.text)
