"""D2O: one bad answer against the mean of own ones, on numbers worked out by hand, and how its examples are made."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence

import pytest
import torch

from example_builders import PROMPT, ROUND, columns, group, preference, ranking, value
from sharpen.examples import Preference, Ranking
from sharpen.methods.d2o import d2o
from sharpen.objectives import D2O, DPO
from sharpen.prompts.of_examples import of_examples
from sharpen.sample.demonstrated import given_answer
from sharpen.select.dispreferred import dispreferred
from sharpen.tasks import Task
from sharpen.types import user


def loss(
    objective: D2O, own: Sequence[float], bad: float, *, weight: float = 1.0, bad_first: bool = False, **others: float
) -> torch.Tensor:
    """Log-ratios of own answers and of the bad one, of one token each; `others` are log-probabilities of more references."""
    changes = [bad, *own] if bad_first else [*own, bad]
    labels = [1.0 if place != (0 if bad_first else len(own)) else 0.0 for place in range(len(changes))]
    examples = [ranking(labels, *([1.0] for _ in changes), weight=weight)]
    logps = [[-20.0 + change] for change in changes]
    found = columns(
        examples,
        logps,
        incumbent=[[-20.0]] * len(changes),
        **{name: [[level]] * len(changes) for name, level in others.items()},
    )
    return value(objective, examples, found)


def test_the_mean_is_inside_the_sigmoid() -> None:
    """Log-ratios 0.5 and 1.5 of own answers and -2 of the bad one: z = 0.1 * 1.0 + 0.1 * 2.0 = 0.3."""
    assert loss(D2O(0.1, 0.1), [0.5, 1.5], -2.0).item() == pytest.approx(0.554355, abs=1e-6)
    mean_of_losses = sum(math.log1p(math.exp(-0.1 * (own + 2.0))) for own in (0.5, 1.5)) / 2
    assert mean_of_losses == pytest.approx(0.554661, abs=1e-6)


def test_one_own_answer_and_equal_strengths_are_dpo() -> None:
    for own, bad in ((1.0, -1.0), (-0.7, 2.0), (0.0, 0.0)):
        pair = [preference([1.0], [1.0])]
        dpo = value(DPO(0.3), pair, columns(pair, [[own], [bad]], incumbent=[[0.0], [0.0]]))
        assert loss(D2O(0.3, 0.3), [own], bad).item() == pytest.approx(dpo.item(), abs=1e-12)


def test_each_side_has_its_own_strength_and_its_own_reference() -> None:
    """z = 0.2 * 1 - 0.5 * (-2) = 1.2; with a better model that finds the bad answer 3 nats likelier, z = 0.2 + 0.5 * 5 = 2.7."""
    assert loss(D2O(0.2, 0.5), [0.5, 1.5], -2.0).item() == pytest.approx(math.log1p(math.exp(-1.2)), abs=1e-12)
    apart = D2O(0.2, 0.5, better="helpful")
    assert apart.columns == ("incumbent", "helpful")
    assert D2O().columns == ("incumbent",)
    assert loss(apart, [0.5, 1.5], -2.0, helpful=-17.0).item() == pytest.approx(math.log1p(math.exp(-2.7)), abs=1e-12)
    worse = D2O(0.2, 0.5, worse="harmful")
    assert loss(worse, [0.5, 1.5], -2.0, harmful=-23.0).item() == pytest.approx(math.log1p(math.exp(-1.8)), abs=1e-12)


def test_at_the_start_it_is_ln_2_and_own_answers_share_one_push() -> None:
    examples = [ranking([1.0, 1.0, 1.0, 0.0], [1.0], [1.0], [1.0], [1.0])]
    found = columns(examples, [[-1.0]] * 4, incumbent=[[-1.0]] * 4)
    total = value(D2O(0.3, 0.3), examples, found)
    total.backward()
    assert total.item() == pytest.approx(math.log(2), abs=1e-12)
    assert found.logps.grad is not None
    expected = torch.tensor([-0.05, -0.05, -0.05, 0.15], dtype=torch.float64)
    assert torch.allclose(found.logps.grad[:, 0], expected, atol=1e-12)


def test_the_bad_answer_is_the_lowest_wherever_it_stands_and_a_weight_scales() -> None:
    first = loss(D2O(0.1, 0.3), [0.5, 1.5], -2.0, bad_first=True)
    assert first.item() == loss(D2O(0.1, 0.3), [0.5, 1.5], -2.0).item()
    assert loss(D2O(0.1, 0.3), [0.5, 1.5], -2.0, weight=3.0).item() == pytest.approx(3 * first.item())
    examples = [ranking([1.0, 0.0], [1.0], [1.0], weight=3.0), ranking([1.0, 0.0], [0.0], [0.0])]
    assert D2O().counts(examples) == {"d2o": 1.0}


def test_the_method_hands_each_strength_to_its_side() -> None:
    assert d2o(beta=0.2, alpha=0.5).steps[0].objective == D2O(beta=0.2, alpha=0.5)


def test_metrics_by_hand() -> None:
    examples = [
        ranking([1.0, 1.0, 0.0], [1.0], [1.0], [1.0]),
        ranking([0.0, 1.0], [1.0], [1.0]),
        ranking([1.0, 0.0], [0.0], [0.0]),
    ]
    found = columns(examples, [[0.5], [1.5], [-2.0], [1.0], [-1.0], [9.0], [9.0]], incumbent=[[0.0]] * 7)
    assert D2O().metrics(examples, found) == {
        "own_change": (0.0, 2.0),
        "bad_change": (-1.0, 2.0),
        "reward_accuracy": (1.0, 2.0),
    }


def test_what_it_cannot_read_is_refused() -> None:
    with pytest.raises(ValueError, match="is not one answer's alone"):
        D2O().counts([ranking([0.0, 0.0, 1.0], [1.0], [1.0], [1.0])])
    with pytest.raises(ValueError, match="a ranking has weight"):
        D2O().counts([ranking([1.0, 0.0], [1.0], [1.0], weight=-1.0)])
    for name, make in (("beta", lambda: D2O(0.0)), ("alpha", lambda: D2O(0.1, -1.0))):
        with pytest.raises(ValueError, match=f"D2O's {name} is"):
            make()


def test_rejected_sides_alone_are_read_and_own_answers_that_say_the_same_are_left_out() -> None:
    other, stranger = user("3 + 3?"), user("4 + 4?")

    def given(prompt, chosen, rejected):  # type: ignore[no-untyped-def]
        return Preference(chosen=given_answer(prompt, chosen).row, rejected=given_answer(prompt, rejected).row)

    examples = (given(PROMPT, "4", "22"), given(PROMPT, "4", "five"), given(other, "6", "33"), given(stranger, "8", "44"))
    told = dataclasses.replace(ROUND, task=Task(name="sums", train=(PROMPT,), examples=examples))
    assert [one.id for one in of_examples(Preference)([PROMPT], told)] == [PROMPT.id, other.id, stranger.id]
    found = dispreferred()([group(["4", " 22", "3"]), group(["33", "33"], prompt=other), group(["x"], prompt=user("?"))], told)
    assert [[row.completion.text for row in one.rows] for one in found] == [["4", "3", "22"], ["4", " 22", "3", "five"]]
    assert [one.labels for one in found] == [(1.0, 1.0, 0.0), (1.0, 1.0, 1.0, 0.0)]
    assert all(isinstance(one, Ranking) for one in found)
    assert all(row.prompt.id == PROMPT.id for one in found for row in one.rows)
    with pytest.raises(ValueError, match="has no examples"):
        of_examples(Preference)([], ROUND)
