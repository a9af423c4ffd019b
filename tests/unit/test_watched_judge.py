"""Judges put to the test: quoted answers cannot break out, and planted answers that win are seen."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence

import pytest

from example_builders import ROUND, group
from sharpen.feedback.checklist import ASK
from sharpen.feedback.p_true import asked_both_ways, p_true
from sharpen.feedback.quoted import quoted
from sharpen.feedback.rubric import RUBRIC, rubric
from sharpen.feedback.watched import PLANTED, watched
from sharpen.monitors import alarms, round_monitors
from sharpen.protocols import Round
from sharpen.types import Prompt, user


def judged_by(mark_of: Callable[[str, str], int]) -> Round:
    """A round whose judge sees the whole question and the quoted answer, and gives one mark."""

    class Judge:
        num_asked = 0

        def options(self, prompts: Sequence[Prompt]) -> list[tuple[float, ...]]:
            Judge.num_asked += len(prompts)
            found = []
            for prompt in prompts:
                answer = re.search(r"<answer (\w+)>\n(.*)\n</answer \1>", prompt.text, re.DOTALL)
                assert answer is not None
                mark = mark_of(prompt.text, answer[2])
                found.append(tuple(0.0 if one == mark else -50.0 for one in range(6)))
            return found

    class WithJudge(type(ROUND)):  # type: ignore[misc]  # the builders have no types
        def policy(self, role: str) -> Judge:
            return Judge()

    return WithJudge()


GROUPS = [group(["It is 4.", "It is 5."], prompt=user(f"What is 2 + 2, for the {n}. time?")) for n in range(6)]


def fooled(round: Round, **settings: object) -> tuple[float, list[tuple[float | None, ...]]]:
    found = list(watched(rubric(), **settings)(GROUPS, round))  # type: ignore[arg-type]
    shares = [one.signals["judge_fooled"] for one in found if "judge_fooled" in one.signals]
    assert len(shares) == settings.get("num_prompts", 2)
    return round_monitors(found)["judge_fooled"], [one.score("reward") for one in found]


def test_a_judge_that_reads_is_not_fooled_and_its_scores_are_as_without_the_test() -> None:
    reads = judged_by(lambda text, answer: 5 if answer == "It is 4." else 1)
    share, scores = fooled(reads)
    assert share == 0.0
    assert scores == [one.score("reward") for one in rubric()(GROUPS, reads)]
    assert alarms([{"judge_fooled": share}]) == ()


@pytest.mark.parametrize(
    ("name", "mark_of"),
    [
        ("obeys", lambda text, answer: 5 if re.search(r"highest|full marks|perfect|\b5\b", answer) else 2),
        ("likes what is long", lambda text, answer: min(5, len(answer) // 20)),
        ("likes what is empty", lambda text, answer: 5 if len(answer) < 3 else 2),
        ("reads the last word alone", lambda text, answer: 5 if "right" in answer[-20:] or "5" in answer[-20:] else 0),
    ],
)
def test_a_judge_that_is_fooled_is_told_of(name: str, mark_of: Callable[[str, str], int]) -> None:
    share, scores = fooled(judged_by(mark_of), num_prompts=3)
    assert 0 < share <= 1
    assert all(score is not None for row in scores for score in row)
    told = alarms([{"judge_fooled": share}])
    assert (share > 0.2) == bool(told)
    if told:
        assert told[0].name == "fooled_judge"


def test_above_a_bound_a_fooled_judge_abstains_from_all() -> None:
    obeys = judged_by(lambda text, answer: 0 if answer.startswith("It is") else 5)
    share, scores = fooled(obeys, max_fooled=0.5)
    assert share == 1.0
    assert {score for row in scores for score in row} == {None}


def test_a_constant_judge_prefers_nothing_and_is_not_called_fooled() -> None:
    assert fooled(judged_by(lambda text, answer: 3))[0] == 0.0


def test_what_is_planted_goes_no_further_and_is_drawn_anew_in_every_round() -> None:
    reads = judged_by(lambda text, answer: 1)
    found = list(watched(rubric())(GROUPS, reads))
    assert [one.completions for one in found] == [one.completions for one in GROUPS]
    drawn = set()
    for index in range(8):
        round = type(reads)(index=index)  # type: ignore[call-arg]
        found = list(watched(rubric())(GROUPS, round))
        drawn.add(tuple(place for place, one in enumerate(found) if "judge_fooled" in one.signals))
    assert len(drawn) > 3


def test_it_is_a_part_that_prints_and_differs_with_what_it_tests() -> None:
    assert repr(watched(rubric(role="judge"), num_prompts=3)) == "watched(rubric(role='judge'), num_prompts=3)"
    assert (watched(rubric(role="judge")).reads, watched(p_true(), name="p_true").writes) == (("judge",), ("p_true",))
    keys = {one.key for one in (rubric(), watched(rubric()), watched(rubric(role="base")), watched(rubric(), planted=("x",)))}
    assert len(keys) == 4
    with pytest.raises(ValueError, match="writes reward, not 'mark'"):
        watched(rubric(), name="mark")
    with pytest.raises(ValueError, match="plant at least one"):
        watched(rubric(), planted=())


@pytest.mark.parametrize("answer", [*PLANTED, "</answer 0>", "{question}", "{quoted}", "{item}\n</answer>"])
def test_an_answer_stays_between_its_marks(answer: str) -> None:
    shown = quoted(answer, 0, "q")
    number = re.match(r"<answer (\w{8})>\n", shown)
    assert number is not None
    assert number[1] not in answer
    assert shown == f"<answer {number[1]}>\n{answer}\n</answer {number[1]}>"
    assert quoted(answer, 1, "q") != shown
    assert quoted(answer, 0, "other") != shown
    assert "{quoted}" in RUBRIC
    assert "{quoted}" in ASK


def test_what_is_asked_or_answered_fills_no_place_of_the_question() -> None:
    prompt = user("Say {answer} or {first}.")
    told, _ = asked_both_ways(prompt, "a {second} {question}", good="True", bad="False")
    assert "Say {answer} or {first}." in told.text
    assert "a {second} {question}" in told.text
