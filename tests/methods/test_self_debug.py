"""Self-Debug: what a wrong program is told, what ends it, what it is worth, and that what is shown never scores."""

from __future__ import annotations

import dataclasses
import itertools
from dataclasses import dataclass

import numpy as np
import pytest
from authored import Authored, answered, said_before

from sharpen.errors import SandboxError, VerifierError
from sharpen.methods.self_debug import self_debug
from sharpen.protocols import Request
from sharpen.sample.debugged import debugged
from sharpen.tasks import Task
from sharpen.types import Completion, Prompt, Score, user
from sharpen.verifiers import exact
from sharpen.verifiers.code import code
from sharpen.verifiers.verdicts import Verdict

NUM_PROMPTS = 500
RIGHT = 0.3
"""How likely each new program is right."""


@dataclass(frozen=True, kw_only=True)
class Told(exact):
    """Accepts the answer "right", and says of any other what it was. It is an `exact` by kind so as to run in this process."""

    silent: str = ""
    max_seconds: float = 5.0

    def __call__(self, prompt: Prompt, completion: Completion, /) -> Score:
        return self.verdict(prompt, completion).score

    def verdict(self, prompt: Prompt, completion: Completion) -> Verdict:
        if completion.text == self.silent:
            return Verdict(score=None, reason="could not run")
        right = completion.text == "right"
        return Verdict(score=float(right), detail=None if right else f"fail: it returned {completion.text!r}")


def prompts(count: int) -> list[Prompt]:
    return [user(f"question {number}") for number in range(count)]


@pytest.mark.parametrize("num_turns", [1, 4])
def test_it_is_worth_as_many_retries_as_it_is_given_and_ends_where_the_program_is_right(num_turns: int) -> None:
    """Of answers that are right with probability p each, 1 - (1 - p)^(t + 1) are right after t corrections; right ones are left alone."""
    rng = np.random.default_rng(num_turns)
    model = Authored(lambda request: "right" if rng.random() < RIGHT else "wrong")
    groups = answered(self_debug(Told(), num_turns=num_turns, temperature=0.7).answer, model, prompts(NUM_PROMPTS))
    rate = sum(group.completions[0].text == "right" for group in groups) / NUM_PROMPTS
    assert rate == pytest.approx(1 - (1 - RIGHT) ** (num_turns + 1), abs=0.05)
    asked = sum(group.signals["corrected"] or 0 for group in groups)
    assert len(model.asked) == NUM_PROMPTS + asked
    expected = sum((1 - RIGHT) ** turn for turn in range(1, num_turns + 1)) * NUM_PROMPTS
    assert asked == pytest.approx(expected, rel=0.12)


def test_the_conversation_holds_all_programs_and_what_was_said_of_each() -> None:
    script = iter(["first", "second", "right"])
    seen: list[list[str]] = []

    def write(request: Request) -> str:
        seen.append(said_before(request))
        return next(script)

    [group] = answered(self_debug(Told()).answer, Authored(write), prompts(1))
    [one] = group.completions
    assert (one.text, one.turns[-1], group.signals) == ("right", 2, {"corrected": 2.0})
    assert [seen[2][0], seen[2][2]] == ["first", "second"]
    assert "fail: it returned 'first'" in seen[1][1]
    assert "fail: it returned 'second'" in seen[2][3]


def test_what_cannot_be_judged_stands_and_much_of_it_is_an_error() -> None:
    texts = itertools.cycle(["right", "right", "dim"])
    groups = answered(self_debug(Told(silent="dim")).answer, Authored(lambda request: next(texts)), prompts(3))
    assert [group.completions[0].text for group in groups] == ["right", "right", "dim"]
    with pytest.raises(VerifierError, match="abstained on 2 of 2 answers"):
        answered(self_debug(Told(silent="dim")).answer, Authored(lambda request: "dim"), prompts(2))


def test_what_corrects_never_scores() -> None:
    class Scored:
        task = Task(name="scored", train=tuple(prompts(1)), verifier=exact())

    with pytest.raises(ValueError, match="corrected by what scores them"):
        debugged(exact())([], Scored())  # type: ignore[arg-type]  # nothing else of it is read


def hidden() -> code:
    try:
        return code(allow_code_execution=True, tests="hidden", seconds=5.0)
    except SandboxError as error:
        pytest.skip(str(error))


def test_programs_are_shown_the_visible_tests_and_scored_by_the_others() -> None:
    scored = hidden()
    tests = "def check(candidate):\n" + "".join(f"    assert candidate({n}) == {n * n}\n" for n in range(2, 8))
    prompt = user("Square it.", tags={"test": tests, "entry_point": "f", "context": "def f(x):\n    '''Its square.'''\n"})
    said: list[str] = []

    def write(request: Request) -> str:
        before = said_before(request)
        said.extend(before[-1:])
        return "```python\ndef f(x):\n    return x * x\n```" if before else "```python\ndef f(x):\n    return 2 * x\n```"

    [group] = answered(self_debug(scored).answer, Authored(write), [prompt], max_new_tokens=99)
    [told] = said
    lines = {line for line in tests.splitlines() if "assert" in line and line.strip() in told}
    hidden_lines = {f"    {line}" for line in scored_lines(prompt)}
    assert len(lines) == 1
    assert lines.isdisjoint(hidden_lines)
    assert "returned" in told
    assert scored(prompt, group.completions[0]) == 1.0
    with pytest.raises(ValueError, match=r"--verifier code:hidden"):
        self_debug(dataclasses.replace(scored, tests="all"))


def scored_lines(prompt: Prompt) -> list[str]:
    from sharpen.verifiers.code import suite_of

    suite = suite_of(prompt).part("hidden")
    assert suite is not None
    return [line.strip() for line in suite.tests.splitlines() if "assert" in line]
