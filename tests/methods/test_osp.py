"""OSP: strengths against one baseline, labels from their differences, and a loss that stops where the odds are the label's."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path

import pytest
from worlds import tiny_improve

from example_builders import ROUND, columns, completion, group, preference, value
from sharpen.examples import Preference
from sharpen.feedback.strength import lead, strength, which_is_better
from sharpen.methods.osp import osp
from sharpen.objectives import DPO
from sharpen.protocols import Request, Sampling
from sharpen.select.soft_pairs import soft_pairs
from sharpen.types import Completion, Group, Prompt, user

SHARES = {"good": 0.7, "even": 0.5, "bad": 0.2, "common": 0.5}
"""How often each answer is better than the baseline, which says `common`."""


class Judge:
    """Gives an answer of a share s the log-odds of s over the baseline, and the first letter half a nat more."""

    def __init__(self) -> None:
        self.asked = 0

    def generate(self, requests: Sequence[Request], sampling: Sampling) -> list[Completion]:
        assert sampling.temperature == 0
        return [completion("common", prompt=one.prompt) for one in requests]

    def options(self, prompts: Sequence[Prompt]) -> list[tuple[float, ...]]:
        self.asked += len(prompts)
        return [self._letters(prompt.text) for prompt in prompts]

    def _letters(self, text: str) -> tuple[float, float]:
        first, second = (line.split(" ", 1)[1] for line in text.splitlines() if line.startswith("("))
        odds = [math.log(SHARES[one] / (1 - SHARES[one])) for one in (first, second)]
        return (odds[0] - odds[1] + 0.5, 0.0)


def judged(groups: Sequence[Group], judge: Judge) -> list[Group]:
    class Round(type(ROUND)):  # type: ignore[misc]
        max_new_tokens = 4

        def policy(self, role: str) -> Judge:
            return judge

    return list(strength()(groups, Round()))


def test_labels_and_loss_by_hand() -> None:
    """Shares of 0.7, 0.5 and 0.2 against the baseline: log-odds 0.847298, 0 and -1.386294."""
    [one] = judged([group(["even", "good", "bad"])], Judge())
    assert one.score("strength") == pytest.approx((0.0, 0.847298, -1.386294), abs=1e-6)
    pairs = list(soft_pairs()([one], ROUND))
    assert [(pair.chosen.completion.text, pair.rejected.completion.text) for pair in pairs] == [
        ("good", "even"),
        ("good", "bad"),
        ("even", "bad"),
    ]
    odds = 0.7 / 0.3 * 0.8 / 0.2
    assert [pair.p_chosen for pair in pairs] == pytest.approx([0.7, odds / (1 + odds), 0.8], abs=1e-9)
    # the fixture of the entry, log-ratios 1 and -1 at beta 0.1, under the first pair's label
    labelled = [preference([1.0], [1.0], p_chosen=pairs[0].p_chosen)]
    fixture = columns(labelled, [[-10.0], [-12.0]], base=[[-11.0], [-11.0]])
    assert value(DPO(0.1, reference="base"), labelled, fixture).item() == pytest.approx(0.658139, abs=1e-6)
    # the loss is least where the odds of the policy are those of the label
    there = columns(labelled, [[0.847298], [0.0]], base=[[0.0], [0.0]])
    value(DPO(1.0, reference="base"), labelled, there).backward()
    assert there.logps.grad is not None
    assert there.logps.grad.abs().max().item() < 1e-6


def test_an_answer_costs_one_judgement_in_either_order_and_no_pair_does() -> None:
    judge = Judge()
    judged([group(["good", "even", "bad", "good", "even"]), group(["bad"])], judge)
    assert judge.asked == 2 * 6


def test_a_liking_for_a_letter_cancels_and_the_baseline_s_own_words_have_no_lead() -> None:
    assert lead((0.5, 0.0), (0.5, 0.0)) == 0.0
    assert lead((2.0, 0.0), (1.0, 0.0)) == -lead((1.0, 0.0), (2.0, 0.0)) == 0.5
    [one] = judged([group(["common", "good"])], Judge())
    assert one.score("strength")[0] == 0.0


def test_what_an_answer_spells_out_stays_as_it_is_and_a_question_without_the_answers_is_refused() -> None:
    asked = which_is_better(user("What is {first} in Python?"), "A place, as {second} is.", "Nothing.")
    assert asked.text.splitlines()[:3] == [
        "Question: What is {first} in Python?",
        "(A) A place, as {second} is.",
        "(B) Nothing.",
    ]
    assert asked.options == ("A", "B")
    with pytest.raises(ValueError, match=r"ask 'Is \{first\} good\?' does not say \{second\}"):
        strength(ask="Is {first} good?")


def test_ties_equal_texts_and_abstentions_make_no_pair() -> None:
    assert not list(soft_pairs()([group(["a", "b"], strength=[0.3, 0.3])], ROUND))
    assert not list(soft_pairs()([group(["a", "a"], strength=[0.3, 0.1])], ROUND))
    [left] = soft_pairs()([group(["a", "b", "c"], strength=[None, 0.0, 5.0])], ROUND)
    assert (left.chosen.completion.text, left.rejected.completion.text) == ("c", "b")


def test_a_sure_judge_is_plain_dpo() -> None:
    [one] = soft_pairs()([group(["a", "b"], strength=[900.0, -900.0])], ROUND)
    assert one.p_chosen == 1.0


def test_it_samples_and_judges_anew_in_every_pass(tmp_path: Path) -> None:
    recipe = osp(num_passes=2, num_prompts=8, num_samples=3, ask="{question}{first}{second}", learning_rate=1e-4)
    assert recipe.steps[0].objective == DPO(0.1, reference="base")
    run = tiny_improve(recipe, tmp_path / "run", rounds=1, final=())
    assert len({one.checkpoint for made in run.groups(0) for one in made.completions}) == 2
    found = run.examples(0)
    assert found
    assert all(isinstance(one, Preference) and 0.5 < one.p_chosen <= 1.0 for one in found)
