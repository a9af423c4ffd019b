"""Sharpening: what the best of N is, worked out over every draw of a policy of four answers."""

from __future__ import annotations

import dataclasses
import itertools
import math
from pathlib import Path

import pytest
from worlds import tiny_improve

from example_builders import ROUND, completion
from sharpen.methods.sharpening import sharpening
from sharpen.types import Completion, Group, user

PROMPT = user("which?")
SHARES = {"a": 0.4, "b": 0.3, "c": 0.2, "d": 0.1}
TOKENS = {"a": 1, "b": 8, "c": 1, "d": 1}
"""By answer its probability and its tokens: the likeliest answer is not the likeliest a token, which is the longest one."""


def drawn(text: str, index: int) -> Completion:
    logprob = math.log(SHARES[text]) / TOKENS[text]
    return completion(text, prompt=PROMPT, index=index, num_tokens=TOKENS[text], logprob=logprob)


def taught(reward: str, num_samples: int) -> dict[str, float]:
    """By answer the chance that it is what is imitated."""
    (step,) = sharpening(num_samples=num_samples, reward=reward).steps  # type: ignore[arg-type]  # one of three
    assert step.feedback is not None
    assert step.select is not None
    found = dict.fromkeys(SHARES, 0.0)
    for texts in itertools.product(SHARES, repeat=num_samples):
        group = Group(prompt=PROMPT, completions=tuple(drawn(text, index) for index, text in enumerate(texts)))
        (example,) = step.select(step.feedback([group], ROUND), ROUND)
        found[example.row.completion.text] += math.prod(SHARES[text] for text in texts)
    return found


@pytest.mark.parametrize("num_samples", [1, 2, 4])
def test_the_best_of_n_is_the_mode_as_often_as_it_is_among_them(num_samples: int) -> None:
    found = taught("likelihood", num_samples)
    below = [1.0, 0.6, 0.3, 0.1, 0.0]  # probability of the answers after each one
    expected = [above**num_samples - under**num_samples for above, under in itertools.pairwise(below)]
    assert list(found.values()) == pytest.approx(expected)
    assert found["a"] == pytest.approx({1: 0.4, 2: 0.64, 4: 0.8704}[num_samples])


def test_the_likeliest_a_token_need_not_be_the_likeliest() -> None:
    found = taught("mean-likelihood", 4)
    assert found["b"] == pytest.approx(1 - 0.7**4)
    assert found["a"] == pytest.approx(0.7**4 - 0.3**4)


def test_the_majority_is_imitated_whatever_its_likelihood() -> None:
    (step,) = sharpening(reward="majority").steps
    assert step.feedback is not None
    assert step.select is not None
    group = Group(prompt=PROMPT, completions=tuple(drawn(text, index) for index, text in enumerate("acdc")))
    (example,) = step.select(step.feedback([group], ROUND), ROUND)
    assert example.row.completion.text == "c"
    with pytest.raises(ValueError, match="one of likelihood, mean-likelihood, majority"):
        sharpening(reward="luck")  # type: ignore[arg-type]  # refused


@pytest.mark.parametrize("reward", ["likelihood", "mean-likelihood", "majority"])
def test_of_a_group_whose_best_was_cut_another_is_imitated(reward: str) -> None:
    (step,) = sharpening(reward=reward).steps  # type: ignore[arg-type]  # one of three
    assert step.feedback is not None
    assert step.select is not None
    cut, whole, other = drawn("a", 0), drawn("a", 1), drawn("d", 2)
    cut = dataclasses.replace(cut, finish="length", segments=(dataclasses.replace(cut.segments[0], logprobs=(-0.01,)),))
    group = Group(prompt=PROMPT, completions=(cut, whole, other))
    (example,) = step.select(step.feedback([group], ROUND), ROUND)
    assert (example.row.completion.text, example.row.completion.index) == ("a", 1)
    alone = Group(prompt=PROMPT, completions=(cut,))
    assert list(step.select(step.feedback([alone], ROUND), ROUND)) == []


def test_a_habit_is_sharpened_and_the_gate_says_no(tmp_path: Path) -> None:
    run = tiny_improve(sharpening(num_prompts=48, num_samples=6, learning_rate=1e-3), tmp_path / "run")
    chosen = [example.rows[0].completion.text for example in run.examples(0)]
    sampled = [one.text for group in run.groups(0) for one in group.completions]
    assert len(chosen) == 48
    share_small = [sum(text.islower() for text in texts) / len(texts) for texts in (sampled, chosen)]
    assert share_small[1] > share_small[0] + 0.1, "the tiny model's mode is small letters, which are wrong"
    assert not run.rounds[0].decision.promote
