"""LiST: the weight of a soft label, and what teacher and student are in each round."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import pytest
import torch
from worlds import accuracy

from example_builders import ROUND, StillRound
from label_worlds import encoder_folder, label_task, runtime_of
from sharpen.feedback.meta_weights import meta_weights, option_shares, step_weights
from sharpen.ledger import Ledger
from sharpen.methods.list_prompted import list_prompted
from sharpen.rounds import improve
from sharpen.sample.demonstrated import given_answer
from sharpen.sample.options import all_options
from sharpen.select.soft_labels import soft_labels
from sharpen.tasks import Task
from sharpen.types import Decision, Prompt, Report, user


def test_weights_are_the_derivative_of_a_virtual_step() -> None:
    """By automatic differentiation through the step itself, for a random head, soft labels and clean items."""
    rng = torch.Generator().manual_seed(5)
    vectors, clean = (torch.randn(count, 4, generator=rng, dtype=torch.float64) for count in (7, 3))
    soft = torch.randn(7, 3, generator=rng, dtype=torch.float64).softmax(-1)
    given = torch.eye(3, dtype=torch.float64)
    weight = torch.randn(3, 4, generator=rng, dtype=torch.float64, requires_grad=True)
    bias = torch.randn(3, generator=rng, dtype=torch.float64, requires_grad=True)
    shares = torch.zeros(7, dtype=torch.float64, requires_grad=True)
    losses = -(soft * (vectors @ weight.T + bias).log_softmax(-1)).sum(-1)
    first, second = torch.autograd.grad((shares * losses).sum(), (weight, bias), create_graph=True)
    after = clean @ (weight - 0.1 * first).T + (bias - 0.1 * second)
    (slope,) = torch.autograd.grad(-(given * after.log_softmax(-1)).sum(-1).mean(), shares)
    known = (-slope).clamp(min=0)
    assert 0 < int((known == 0).sum()) < 7
    with torch.no_grad():
        errors = (vectors @ weight.T + bias).softmax(-1) - soft
        clean_errors = (clean @ weight.T + bias).softmax(-1) - given
    found = step_weights(errors.numpy(), vectors.numpy(), clean_errors.numpy(), clean.numpy())
    assert found == pytest.approx((known / known.sum()).numpy(), abs=1e-12)


def test_no_weight_where_nothing_helps() -> None:
    away = np.array([[0.5, -0.5]])
    assert step_weights(away, np.ones((1, 1)), -away, np.ones((1, 1))).tolist() == [0.0]


@dataclasses.dataclass
class Fixed:
    """A policy of given shares and vectors."""

    table: Mapping[str, Sequence[float]]
    vectors: Mapping[str, Sequence[float]] = dataclasses.field(default_factory=dict)

    def options(self, prompts):  # type: ignore[no-untyped-def]
        return [tuple(math.log(share) for share in self.table[prompt.text]) for prompt in prompts]

    def embed(self, prompts):  # type: ignore[no-untyped-def]
        return [self.vectors[prompt.text] for prompt in prompts]


def text(name: str, *options: str, target: str | None = None) -> Prompt:
    return user(name, options=options, target=target)


def test_a_text_that_speaks_against_the_labels_counts_for_nothing() -> None:
    """The student knows nothing. One label, `a`; a text like it that the teacher calls `a`, and one that it calls `b`.

    Options stand in another order, and one text has an option that no label has: products are of the labels by name.
    """
    task = Task(name="few", train=(text("known", "a", "b", target="a"),))
    even = {"known": (0.5, 0.5), "same": (0.5, 0.5), "other": (0.5, 0.5), "wide": (0.25, 0.5, 0.25)}
    student = Fixed(even, dict.fromkeys(even, (1.0,)))
    teacher = Fixed({"same": (0.1, 0.9), "other": (0.9, 0.1), "wide": (0.8, 0.1, 0.1)})
    prompts = [text("same", "b", "a"), text("other", "b", "a"), text("wide", "a", "b", "c")]

    class Round(StillRound):
        def policy(self, role: str) -> Fixed:  # type: ignore[override]
            return {"incumbent": teacher, "student": student}[role]

    round = Round(task=task)
    shared = option_shares(role="incumbent")(all_options()(prompts, ROUND), round)
    found = {group.prompt.text: group for group in meta_weights(1, role="student")(shared, round)}
    # products with (a: -0.5, b: 0.5): same (a: -0.4, b: 0.4) gives 0.4; wide (a: -0.55, b: 0.4, c: 0.15) gives 0.475
    same, wide = 0.4 / 0.875, 0.475 / 0.875
    assert found["same"].score("weighted") == pytest.approx((same * 0.1, same * 0.9))
    assert found["other"].score("weighted") == (0.0, 0.0)
    assert found["wide"].score("weighted") == pytest.approx((wide * 0.8, wide * 0.1, wide * 0.1))
    lessons = soft_labels("weighted")(list(found.values()), ROUND)
    assert {one.row.prompt.text for one in lessons} == {"same", "wide"}
    assert math.fsum(one.weight for one in lessons) == pytest.approx(1.0)
    silent = [group.with_scores(share=[None] * len(group.completions)) for group in shared]
    assert meta_weights(1, role="student")(silent, round)[0].score("weighted") == (None, None)


def test_a_task_whose_labels_have_no_options_is_refused() -> None:
    given = given_answer(user("x"), "a")
    task = Task(name="open", train=(text("u", "a", "b"),), demonstrations=(given,))
    with pytest.raises(ValueError, match="no labelled prompt of task 'open' has options"):
        meta_weights(1, role="student")([], StillRound(task=task))


def test_a_student_needs_a_pass() -> None:
    with pytest.raises(ValueError, match="num_passes is 0"):
        list_prompted(num_passes=0)


def first_alone(candidate: Report, incumbent: Report, looks: int) -> Decision:
    return Decision(promote=looks != 2, test="the look's number", reason="all but the second")


def test_the_student_is_begun_anew_and_its_teacher_is_the_incumbent(tmp_path: Path) -> None:
    """Set-up promoted, first round rolled back, second promoted: in both rounds the teacher is the model of the labels alone."""
    recipe = list_prompted(labels_per_class=4, num_prompts=20, num_passes=3, learning_rate=0.05, epochs=10)
    model = runtime_of(encoder_folder(tmp_path / "encoder"))
    run = improve(recipe, model=model, task=label_task(), out=tmp_path / "run", rounds=2, gate=first_alone, controls=False)
    assert [one.decision.promote for one in run.rounds] == [True, False, True]
    with Ledger(tmp_path / "run") as ledger:
        rows = [
            (entry.value["round"], entry.value["step"], entry.value["start"], entry.key) for entry in ledger.entries("trained")
        ]
    made = {(index, name): key for index, name, _, key in rows}
    starts = {(index, name): start for index, name, start, _ in rows}
    for index in (0, 1):
        assert starts[index, "pass-0"] == run.base
        assert starts[index, "pass-1"] == made[index, "pass-0"]
        assert starts[index, "pass-2"] == made[index, "pass-1"]
        assert starts[index, "finetune"] == made[index, "pass-2"]
        assert run.rounds[index + 1].candidate == made[index, "finetune"]
        groups = run.groups(index)
        passes = [groups[start : start + 20] for start in (0, 20, 40)]
        assert [{"weighted" in group.scores for group in one} for one in passes] == [{False}, {False}, {True}]
        assert len({group.prompt.id for group in groups}) == 60
        teacher = model.load(dataclasses.replace(run.best, id=made[-1, "labels"], uri=None))
        asked = [group.prompt for group in groups]
        for group, logps in zip(groups, teacher.options(asked), strict=True):
            assert group.score("share") == pytest.approx([math.exp(one) for one in logps], abs=1e-5)
    assert accuracy(run, "improved") > 0.6
