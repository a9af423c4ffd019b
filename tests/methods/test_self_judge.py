"""Self-J: marks made beside a reference, and a judge's two views of one question."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import pytest
import torch

from example_builders import PROMPT, ROUND, columns, group, row, value
from sharpen.examples import TwoViews
from sharpen.feedback.reference_marks import ALONE, equal_classes, mark_question, reference_marks
from sharpen.feedback.rubric import expected_mark
from sharpen.methods.self_judge import self_judge
from sharpen.objectives.two_views import TwoViewDistillation
from sharpen.select.two_views import two_views
from sharpen.types import Group, Prompt, user


def viewed(teacher: Sequence[float], student: Sequence[float], label: int):  # type: ignore[no-untyped-def]
    """A question whose answers have these probabilities in the two views."""
    rows = tuple(row([1.0]) for _ in teacher)
    examples = [TwoViews(teacher=rows, student=rows, label=label)]
    return examples, columns(examples, [[math.log(share)] for share in (*teacher, *student)])


def test_both_views_learn_the_label_and_the_student_the_teacher_s_shares() -> None:
    examples, found = viewed([0.6, 0.2], [0.1, 0.3], 0)
    kl = 0.75 * math.log(0.75 / 0.25) + 0.25 * math.log(0.25 / 0.75)  # of shares that add up to 1
    expected = -math.log(0.6) - 0.3 * math.log(0.1) + 2 * kl
    loss = value(TwoViewDistillation(), examples, found)
    assert loss.item() == pytest.approx(expected)
    loss.backward()
    gradient = found.logps.grad[:, 0].tolist()  # type: ignore[index]
    assert gradient[:2] == pytest.approx([-1.0, 0.0]), "the KL moves no teacher"
    assert gradient[2:] == pytest.approx([-0.3 + 2 * (0.25 - 0.75), 2 * (0.75 - 0.25)])


def test_equal_views_are_no_distance_apart() -> None:
    examples, found = viewed([0.6, 0.2, 0.1], [0.3, 0.1, 0.05], 1)
    totals = TwoViewDistillation().totals(examples, found)
    assert totals["divergence"].item() == pytest.approx(0.0, abs=1e-12)
    assert TwoViewDistillation().metrics(examples, found)["views_apart"] == pytest.approx((0.0, 1.0), abs=1e-12)


def test_questions_are_counted_and_those_without_trained_answers_are_not() -> None:
    examples, _ = viewed([0.5, 0.5], [0.5, 0.5], 0)
    empty = TwoViews(teacher=(row([1.0]), row([0.0])), student=(row([1.0]), row([1.0])), label=0)
    assert TwoViewDistillation().counts([*examples, empty]) == {"teacher": 1.0, "student": 1.0, "divergence": 1.0}
    mixed = [empty, *examples]
    found = columns(mixed, [[-9.0], [-9.0], [-9.0], [-9.0], [-1.0], [-2.0], [-1.5], [-1.5]])
    totals = TwoViewDistillation(divergence=0.0).totals(mixed, found)
    assert totals["teacher"].item() == pytest.approx(1.0)
    assert totals["student"].item() == pytest.approx(0.45)
    assert TwoViewDistillation().metrics(mixed, found)["judge_error"] == pytest.approx((0.5, 1.0))
    assert TwoViewDistillation().metrics([empty], columns([empty], [[-1.0]] * 4)) == {}
    assert torch.isfinite(TwoViewDistillation().totals([empty], columns([empty], [[-1.0]] * 4))["teacher"])
    with pytest.raises(ValueError, match="label 2"):
        TwoViews(teacher=(row([1.0]),) * 2, student=(row([1.0]),) * 2, label=2)
    with pytest.raises(ValueError, match="the term 'student'"):
        TwoViewDistillation(student=-1.0)


def test_a_mark_is_the_expected_digit() -> None:
    assert expected_mark([-3.0] * 10, range(10)) == pytest.approx(4.5)
    assert expected_mark([0.0 if digit == 7 else -999.0 for digit in range(10)], range(10)) == pytest.approx(7.0)


class Judge:
    """Rates an answer by its distance from the reference in the question, and places texts by their number, or as a table says."""

    def __init__(self, table: Mapping[str, tuple[float, float]] | None = None) -> None:
        self.asked: list[Prompt] = []
        self.table = table

    def options(self, prompts: Sequence[Prompt]) -> list[tuple[float, ...]]:
        self.asked += prompts
        marks = [9 - abs(int(text.split("Reference: ")[1].split("\n")[0]) - int(text.split("Answer: ")[1])) for text in
                 (one.text for one in prompts)]  # fmt: skip
        return [tuple(0.0 if digit == mark else -99.0 for digit in range(10)) for mark in marks]

    def embed(self, prompts: Sequence[Prompt]) -> list[tuple[float, ...]]:
        if self.table is not None:
            return [self.table[one.text] for one in prompts]
        return [(math.cos(float(one.text)), math.sin(float(one.text))) for one in prompts]


def marked(groups: Sequence[Group], table: Mapping[str, tuple[float, float]] | None = None) -> tuple[list[Group], Judge]:
    judge = Judge(table)

    class Round(type(ROUND)):  # type: ignore[misc]
        def policy(self, role: str) -> Judge:
            assert role == "base"
            return judge

    return list(reference_marks()(groups, Round())), judge


def test_a_mark_is_half_the_rating_and_half_the_likeness() -> None:
    groups = [group(["4", "6"]), group(["1"], prompt=user("Who knows?")), group(["2"], prompt=user("1 + 1?", target="2"))]
    [first, unknown, last], judge = marked(groups)
    assert first.score("rating") == pytest.approx((9.0, 7.0))
    assert last.score("rating") == pytest.approx((9.0,))
    likeness = [*first.score("likeness"), *last.score("likeness")]
    assert likeness[0] == pytest.approx(1.0)
    assert likeness[2] == pytest.approx(1.0)
    assert likeness[1] < 0.9  # type: ignore[operator]
    classes = equal_classes(likeness)  # type: ignore[arg-type]
    expected = [math.floor((rating + place) / 2 + 0.5) for rating, place in zip((9, 7, 9), classes, strict=True)]
    assert [*first.score("label"), *last.score("label")] == expected
    assert all(unknown.score(name) == (None,) for name in ("rating", "likeness", "label"))
    assert all("Reference: " in one.text for one in judge.asked)


def test_likeness_is_the_cosine_around_the_mean_of_answers_and_targets() -> None:
    """Answers at (3, 4) and (-4, -3) of the mean (10, -7), their targets at (5, 0) and (-4, -1): cosines 15 / 25 and 19 / 5 sqrt 17."""
    table = {"4": (13.0, -3.0), "5": (15.0, -7.0), "9": (6.0, -10.0), "6": (6.0, -8.0)}
    groups = [group(["4"], prompt=user("2 + 3?", target="5")), group(["9"], prompt=user("3 + 3?", target="6"))]
    (first, second), _ = marked(groups, table)
    assert first.score("likeness") == pytest.approx((0.6,))
    assert second.score("likeness") == pytest.approx((19 / (5 * math.sqrt(17)),))
    # ratings 8 and 6; of two likenesses the lower is in the class 10 / 4 and the higher in 30 / 4, rounded down
    assert first.score("label") == ((8 + 2) / 2,)
    assert second.score("label") == (7.0,), "(6 + 7) / 2, a half upwards"


def test_classes_are_equally_large_and_ties_share_one() -> None:
    assert equal_classes([float(n) for n in range(20)]) == [n // 2 for n in range(20)]
    assert equal_classes([3.0, 1.0, 2.0], 3) == [2, 0, 1]
    assert equal_classes([0.5] * 7) == [5] * 7
    assert equal_classes([0.1, 0.9, 0.5, 0.5], 4) == [0, 3, 2, 2]


def test_the_reference_is_in_one_view_alone() -> None:
    scored = group(["four", "five", "six"], label=[9.0, None, 2.0])
    found = list(two_views()([scored], ROUND))
    assert [one.label for one in found] == [9, 2]
    for one, answer in zip(found, ("four", "six"), strict=True):
        assert [r.completion.text for r in one.rows] == [str(digit) for digit in range(10)] * 2
        helped, alone = one.teacher[0].prompt, one.student[0].prompt
        assert f"Reference: {PROMPT.target}\n" in helped.text
        assert alone == mark_question(PROMPT, answer, ALONE)
        assert "Reference" not in alone.text
        assert helped.text.endswith(f"Answer: {answer}")


def test_the_recipe_weighs_the_views_and_imitates_the_best_answer_where_its_mark_is_high() -> None:
    recipe = self_judge(student=0.5, divergence=3.0, min_mark=6.0)
    judge, policy = recipe.setup[0], recipe.steps[0]
    assert judge.objective == TwoViewDistillation(student=0.5, divergence=3.0)
    assert (judge.start, judge.writes) == ("base", "judge")
    assert policy.select is not None
    groups = [group(["a", "b", "c"], prompt=user(name), reward=marks) for name, marks in
              (("high", [2.0, 6.0, None]), ("low", [5.9, 1.0, 0.0]))]  # fmt: skip
    assert [(one.row.prompt.text, one.row.completion.text) for one in policy.select(groups, ROUND)] == [("high", "b")]
