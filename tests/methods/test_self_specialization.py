"""Self-specialization: which passages are found, and that they reach the answer and not the training prompt."""

from __future__ import annotations

import dataclasses
import math
import re

import pytest

from example_builders import ROUND, completion
from sharpen.methods.self_specialization import self_specialization
from sharpen.prompts import everything
from sharpen.sample.demonstrated import given_answer
from sharpen.sample.retrieved import Passages, retrieved_completions
from sharpen.tasks import Task
from sharpen.types import Prompt, user

PASSAGES = (
    "The femur is the longest bone. Its code is ZQ17.",
    "The liver stores sugar. Its code is WX42.",
    "Mountains are high.",
)


def test_scores_of_passages_by_hand() -> None:
    found = Passages(["the sea the sea", "the wood", "a hill"]).scores("the sea")
    idf_the, idf_sea = math.log(1 + 1.5 / 2.5), math.log(1 + 2.5 / 1.5)  # in 2 and in 1 of 3
    long, mean = 1.5 * (0.25 + 0.75 * 4 / (8 / 3)), 1.5 * (0.25 + 0.75 * 2 / (8 / 3))
    assert found == pytest.approx([(idf_the + idf_sea) * 2 * 2.5 / (2 + long), idf_the * 2.5 / (1 + mean), 0.0])
    assert Passages([]).scores("sea") == []
    assert Passages(["", ""]).scores("sea") == [0.0, 0.0]
    assert Passages(["a sea"]).scores("Sea, SEA!") == Passages(["a sea"]).scores(
        "sea"
    )  # each word of the query once, in lower case


def test_the_nearest_come_first_and_none_without_a_common_word() -> None:
    assert Passages(PASSAGES).nearest("Which bone is the longest?", 2) == [PASSAGES[0], PASSAGES[1]]
    assert Passages(PASSAGES).nearest("What does the liver store?", 1) == [PASSAGES[1]]
    assert Passages(PASSAGES).nearest("Why?", 3) == []


class Reader:
    """A model that repeats every code that it is shown."""

    def __init__(self) -> None:
        self.asked: list[Prompt] = []

    def generate(self, requests, sampling):  # type: ignore[no-untyped-def]
        assert sampling.temperature == 0.0
        self.asked += [request.prompt for request in requests]
        return [
            completion(" ".join(re.findall(r"\b[A-Z]{2}\d\d\b", one.prompt.text)) or "nothing", prompt=one.prompt)
            for one in requests
        ]


def test_a_prompt_is_never_shown_its_own_answer() -> None:
    model = Reader()
    own, other = (
        given_answer(user("Which bone is the longest?"), "The femur."),
        given_answer(user("What is blood?"), "A liquid."),
    )

    class Round(type(ROUND)):  # type: ignore[misc]
        max_new_tokens = 20

        def policy(self, role: str) -> Reader:
            return model

    round = dataclasses.replace(Round(), task=Task(name="medicine", train=(), demonstrations=(own, other)))
    for passages in (PASSAGES, ()):
        list(retrieved_completions(passages, num_demonstrations=2)([own.row.prompt], round))
        assert [message.text for message in model.asked[-1].messages[:-1]] == ["What is blood?", "A liquid."]


def test_what_a_passage_says_is_in_the_answer_and_not_in_what_is_trained_under() -> None:
    model = Reader()
    seed = given_answer(user("What is blood?"), "A liquid.")

    class Round(type(ROUND)):  # type: ignore[misc]
        max_new_tokens = 20

        def policy(self, role: str) -> Reader:
            assert role == "base"
            return model

    (step,) = self_specialization(passages=PASSAGES, num_passages=1, num_demonstrations=1, instructions=everything()).steps
    assert step.start == "base"
    assert step.prompts is not None
    assert step.sample is not None
    assert step.select is not None
    round = dataclasses.replace(Round(), task=Task(name="medicine", train=(), demonstrations=(seed,)))
    prompts = [user("Which bone is the longest?"), user("What does the liver store?"), user("Why?")]
    found = step.select(step.sample(step.prompts(prompts, round), round), round)
    assert [one.row.completion.text for one in found] == ["ZQ17", "WX42", "nothing"]
    assert [one.row.prompt for one in found] == prompts
    for asked, prompt, code in zip(model.asked, prompts, ["ZQ17", "WX42", ""], strict=True):
        assert [message.text for message in asked.messages[:2]] == ["What is blood?", "A liquid."]
        assert code in asked.text
        assert asked.text.endswith(prompt.text)
        assert not code or prompt.id in asked.parents
    assert not any(re.search(r"[A-Z]{2}\d\d", message.text) for one in found for message in one.row.prompt.messages)
