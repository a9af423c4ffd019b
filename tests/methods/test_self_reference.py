"""Self-reference: a judge that answers first, and what its votes come to."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from example_builders import PROMPT, ROUND, columns, completion, group, row, value
from sharpen.calls import Request, Sampling
from sharpen.examples import Compared, Valued
from sharpen.feedback.self_reference import self_referenced, share_of_votes
from sharpen.objectives.value import BradleyTerry
from sharpen.select import best_vs_worst
from sharpen.types import Completion, Group, Prompt, Score

A, B = (-0.1, -3.0), (-3.0, -0.1)


class Judge:
    """Answers 4, finds fault with whatever is not 4, and chooses what it found no fault with; or always says the letter A."""

    def __init__(self, *, stubborn: bool = False) -> None:
        self.stubborn = stubborn
        self.requests: list[Request] = []
        self.questions: list[Prompt] = []

    def generate(self, requests: Sequence[Request], sampling: Sampling) -> list[Completion]:
        self.requests += requests
        return [completion(self._said(one.prompt), prompt=one.prompt) for one in requests]

    def _said(self, prompt: Prompt) -> str:
        if prompt.id == PROMPT.id:
            return "4"
        own = prompt.messages[-2].text
        faults = [letter for letter in "AB" if f"({letter}) {own}\n" not in prompt.text]
        return f"Wrong: {', '.join(faults)}"

    def options(self, prompts: Sequence[Prompt]) -> list[tuple[float, ...]]:
        self.questions += prompts
        return [A if self.stubborn or "Wrong: B" in prompt.messages[-2].text else B for prompt in prompts]


def judged(judge: Judge, texts: Sequence[str], num_votes: int = 2) -> Group:
    class Round(type(ROUND)):  # type: ignore[misc]
        max_new_tokens = 7

        def policy(self, role: str) -> Judge:
            assert role == "base"
            return judge

    [found] = self_referenced(num_votes, role="base")([group(texts)], Round())
    return found


@pytest.mark.parametrize(("texts", "scores"), [(["4", "5"], (1.0, 0.0)), (["5", "4"], (0.0, 1.0))])
def test_the_judge_answers_criticises_and_chooses_in_both_orders(texts: list[str], scores: tuple[Score, ...]) -> None:
    judge = Judge()
    assert judged(judge, texts).score("reward") == scores
    assert [one.prompt.id for one in judge.requests[:2]] == [PROMPT.id] * 2
    assert [one.index for one in judge.requests] == [0, 1, 0, 1], "each vote has an answer and a criticism of its own"
    for question, (first, second) in zip(judge.questions, (texts, texts[::-1]), strict=True):
        plain, own, shown, critique, choose = question.messages
        assert (plain.text, own.text) == (PROMPT.text, "4")
        assert f"(A) {first}\n(B) {second}\n" in shown.text
        assert critique.text == f"Wrong: {'AB'[[first, second].index('5')]}"
        assert "best for humanity" in shown.text
        assert "best for humanity" in choose.text
        assert question.options == ("A", "B")


def test_what_an_answer_spells_out_stays_as_it_is() -> None:
    judge = Judge()
    judged(judge, ["{second} and {principle}", "4"])
    assert "(A) {second} and {principle}\n(B) 4\n" in judge.questions[0].messages[2].text


def test_a_judge_that_always_says_the_same_letter_prefers_nothing() -> None:
    found = judged(Judge(stubborn=True), ["4", "5"], num_votes=4)
    assert found.score("reward") == (None, None)
    assert list(best_vs_worst()([found], ROUND)) == []


@pytest.mark.parametrize(
    ("votes", "share"),
    [("AB", 1.0), ("BA", 0.0), ("AA", None), ("BB", None), ("ABAA", 0.75), ("ABAAAA", 4 / 6)],
)
def test_votes_are_counted_for_the_first_answer(votes: str, share: Score) -> None:
    assert share_of_votes([letter == "A" for letter in votes]) == share


def test_a_margin_shifts_the_lead_that_is_asked_for() -> None:
    """The source's numbers: rewards 1 apart, a margin of 0.5."""
    question = Valued(yes=row([1.0]), no=row([1.0]))
    for margin, expected in ((0.5, 0.474077), (0.0, 0.313262)):
        pair = [Compared(better=question, worse=question, margin=margin)]
        found = columns(pair, [[-1.0], [-2.0], [-1.0], [-1.0]])
        assert value(BradleyTerry(), pair, found).item() == pytest.approx(expected, abs=1e-6)


def test_what_cannot_be_compared_is_refused() -> None:
    with pytest.raises(ValueError, match="num_votes is 3"):
        self_referenced(3)
    with pytest.raises(ValueError, match="temperature is 0"):
        self_referenced(temperature=0.0)
    with pytest.raises(ValueError, match="compares 2"):
        judged(Judge(), ["4", "5", "6"])
