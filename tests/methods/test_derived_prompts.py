"""Derived prompts: what is asked in which order, what the question is put after, and what happens without a derived request."""

from __future__ import annotations

import dataclasses

from example_builders import ROUND, completion
from sharpen.methods.derived_prompts import derived_prompts
from sharpen.types import Group, Message, Prompt, Text, user


def turn(role: str, text: str) -> Message:
    return Message(role=role, content=(Text(text=text),))  # type: ignore[arg-type]


class Model:
    """A model with a script: by last message, what it says; `cut` is said without an end.

    For a better request of a text it says what the script has for that text after `to `, or else for `derived`.
    """

    def __init__(self, **script: str) -> None:
        self.script = script
        self.asked: list[Prompt] = []
        self.limits: list[int] = []

    def generate(self, requests, sampling):  # type: ignore[no-untyped-def]
        assert sampling.temperature == 0.0
        self.asked += [request.prompt for request in requests]
        self.limits += [sampling.max_new_tokens] * len(requests)
        return [self._made(request.prompt) for request in requests]

    def _made(self, prompt: Prompt):  # type: ignore[no-untyped-def]
        text = prompt.text.split("Request: ")[-1]
        better = self.script.get(f"to {text}", self.script.get("derived", "answer"))
        said = better if "Request: " in prompt.text else self.script.get(text, "answer")
        made = completion(said, prompt=prompt)
        return dataclasses.replace(made, finish="length") if said == "cut" else made


def answered(model: Model, *prompts: Prompt, request_tokens: int = 256) -> list[Group]:
    class Round(type(ROUND)):  # type: ignore[misc]
        max_new_tokens = 20

        def policy(self, role: str) -> Model:
            return model

    answer = derived_prompts(request_tokens=request_tokens).answer
    assert answer is not None
    return list(answer(prompts, Round()))


def test_the_derived_exchange_stands_before_the_question() -> None:
    model = Model(derived="better", better="long answer", x="last")
    prompt = dataclasses.replace(user("x"), messages=(turn("system", "Be kind."), turn("user", "x")), target="t")
    [group] = answered(model, prompt)
    system = turn("system", "Be kind.")
    rewriting, deriving, answering = model.asked
    assert rewriting.messages[0] == system
    assert rewriting.text.endswith("Request: x")
    assert deriving.messages == (system, turn("user", "better"))
    assert answering.messages == (system, turn("user", "better"), turn("assistant", "long answer"), turn("user", "x"))
    assert group.prompt == prompt
    assert [one.text for one in group.completions] == ["last"]
    assert [one.prompt_id for one in group.completions] == [answering.id]
    assert prompt.id in answering.parents
    assert group.signals == {"derived": 1.0}


def test_a_request_that_stays_the_same_is_answered_twice() -> None:
    model = Model(derived="x", x="said")
    answered(model, user("x"))
    assert model.asked[-1].messages == (turn("user", "x"), turn("assistant", "said"), turn("user", "x"))


def test_without_a_derived_request_or_its_answer_the_question_is_put_alone() -> None:
    for script, calls in ((Model(derived="cut"), 2), (Model(derived=""), 2), (Model(derived="better", better="cut"), 3)):
        [group] = answered(script, user("x"))
        assert len(script.asked) == calls
        assert script.asked[-1] == user("x")
        assert group.signals == {"derived": 0.0}


def test_each_of_several_questions_is_put_after_its_own_exchange() -> None:
    model = Model(**{"to x": "cut", "to y": "more y", "to z": "more z", "more y": "about y", "more z": "about z"})
    groups = answered(model, user("x"), user("y"), user("z"), request_tokens=7)
    assert [prompt.messages for prompt in model.asked[-3:]] == [
        (turn("user", "x"),),
        (turn("user", "more y"), turn("assistant", "about y"), turn("user", "y")),
        (turn("user", "more z"), turn("assistant", "about z"), turn("user", "z")),
    ]
    assert [group.prompt.text for group in groups] == ["x", "y", "z"]
    assert [group.signals["derived"] for group in groups] == [0.0, 1.0, 1.0]
    assert model.limits == [7] * 3 + [20] * 2 + [20] * 3, "requests are as long as was said; answers as the task allows"
