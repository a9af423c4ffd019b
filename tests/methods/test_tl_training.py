"""TL-Training: which tokens decide, what a call is graded, and which calls of a dialogue are learned."""

from __future__ import annotations

import dataclasses
import itertools
from pathlib import Path

import pytest
from worlds import tiny_improve, tiny_runtime, tiny_task

from example_builders import ROUND, StillRound, group
from sharpen.conversation import turns
from sharpen.examples import Demonstration, Rollout
from sharpen.feedback.calls import Call, call_grade, call_grades, functions_of, parsed_call
from sharpen.methods.tl_training import tl_training
from sharpen.objectives import NLL
from sharpen.runtime.policy import TorchPolicy
from sharpen.select.key_tokens import key_token_demonstrations, key_weights, right_turns, targets
from sharpen.types import Message, Prompt, Text, user

TOOLS = "def get_user(id: int, name: str = None):\ndef get_unit(id: int):\ndef get_users(page: int = 0):\ndef stop():"
FUNCTIONS = {"get_user": ("id", "name"), "get_unit": ("id",), "get_users": ("page",), "stop": ()}


class Round(StillRound):
    """A round whose policy is the tiny one: a token is a character."""

    def policy(self, role: str) -> TorchPolicy:  # type: ignore[override]  # a policy
        assert role == "current"
        runtime = tiny_runtime()
        return runtime.load(runtime.base)  # type: ignore[return-value]  # its own kind


def test_tokens_that_part_the_right_function_from_another_weigh_more() -> None:
    target = "get_user(id=7)"
    (made,) = targets()(right_turns()([user(TOOLS, target=target), user(TOOLS)], ROUND), ROUND)
    (example,) = key_token_demonstrations()([made], Round())
    weights = example.row.token_weights
    assert len(weights) == len(target) + 1, "the stop token is trained"
    # the first token; "s" of get_user where get_unit has "n"; "(" where get_users goes on; none more for stop, which parts at the first
    heavy = [place for place, weight in enumerate(weights) if weight != 1.0]
    assert heavy == [0, target.index("s"), target.index("(")]
    assert {weights[place] for place in heavy} == {12 / 3}
    assert example.row.completion.text == target
    alike = user("def get_user(id: int):\ndef get_unit(id: int):", target=target)
    (example,) = key_token_demonstrations()(targets()([alike], ROUND), Round())
    weights = example.row.token_weights
    assert [place for place, weight in enumerate(weights) if weight != 1.0] == [0, target.index("s")], "the first in any case"
    assert {weights[0], weights[target.index("s")]} == {13 / 2}


def test_the_recipe_caps_weights_and_prices_departure_as_told() -> None:
    recipe = tl_training(most=2.0, beta=0.5)
    imitate, reinforce = recipe.setup[0], recipe.steps[0]
    assert imitate.objective == NLL(per="sequence"), "a step is on one call, whose weights add up to 1"
    assert imitate.select is not None
    assert reinforce.select is not None
    (example,) = imitate.select(targets()([user(TOOLS, target="get_users(page=1)")], ROUND), Round())
    heavy = {place: weight for place, weight in enumerate(example.row.token_weights) if weight != 1.0}
    assert heavy == {0: 2.0, len("get_u"): 2.0, len("get_user"): 2.0}, "where get_unit, and where get_user parts from it"
    one = dataclasses.replace(group(["a", "b"], reward=[1.0, 0.0]), token_scores={"departure": ((1.0, 2.0), (0.0, 0.0))})
    first, _ = reinforce.select([one], ROUND)
    assert first.row.advantages == (1.0 - 1.5, 1.0 - 1.0)


@pytest.mark.parametrize(("others", "keys", "weight"), [(12, 3, 4.0), (40, 2, 9.0), (3, 3, 1.0), (2, 5, 1.0)])
def test_deciding_tokens_weigh_as_many_others_as_there_are_for_each(others: int, keys: int, weight: float) -> None:
    assert key_weights(others + keys, range(keys)) == (weight,) * keys + (1.0,) * others


RIGHT = Call(name="get_user", arguments={"id": 7})
GRADES = {
    "get_user(id=7": -2.0,  # no call
    "the answer": -2.0,
    "get_users_of(id=7)": -2.0,  # no such function
    "get_unit(name=7, page=1)": -1.5,  # another function: its parameters are not looked at
    "get_user(page=1, name='x')": -1.8,  # made up, needless and missing
    "get_user(page=1, id=7, name='x')": -1.3,
    "get_user(page=1)": -1.3,
    "get_user(name='x')": -1.0,
    "get_user(page=1, id=7)": -0.8,
    "get_user(id=7, name='x')": -0.5,
    "get_user()": -0.5,
    "get_user(id=8)": -0.25,
    "get_user(id=7)": 1.0,
    "get_user(7)": 1.0,
    " get_user( id = 7 ) ": 1.0,
}


def test_a_call_is_graded_by_the_first_rule_that_fits() -> None:
    assert functions_of(user(TOOLS)) == FUNCTIONS
    assert {text: call_grade(parsed_call(text), RIGHT, FUNCTIONS) for text in GRADES} == GRADES
    assert list(GRADES.values()) != sorted(GRADES.values()), "an unwanted parameter too many is worse than another function"
    assert call_grade(parsed_call("any(a=1)"), Call(name="any", arguments={}), {}) == -0.25, (
        "of unknown functions values alone count"
    )


def test_functions_are_read_from_definitions_of_any_kind() -> None:
    text = "def f(a: dict[str, list[int]], b: str = 'x', *, c=None) -> int:\n  pass\nundefined g(x)\ndef m.h(\n  one: int,\n  two: int\n):"
    assert functions_of(user(text)) == {"f": ("a", "b", "c"), "m.h": ("one", "two")}


def test_answers_are_graded_beside_the_target_and_abstained_on_without_a_call() -> None:
    part = call_grades()
    (found,) = part([group(["stop()", "stop", "get_unit(id=1)"], prompt=user(TOOLS, target="stop()"))], ROUND)
    assert found.score("reward") == (1.0, -2.0, -1.5)
    (bare,) = part([group(["ABC", "abc", "a b"], prompt=user("abc", target="ABC"))], ROUND)
    assert bare.score("reward") == (1.0, -1.5, -2.0)
    for target in (None, "It is four."):
        (silent,) = part([group(["stop()"], prompt=user(TOOLS, target=target))], ROUND)
        assert silent.score("reward") == (None,)


def test_a_failed_call_is_context_and_the_good_ones_are_learned() -> None:
    said = [
        "find me Ann",
        "get_unit(id=1)",
        "Response-Error: 12",
        "get_user(id=1)",
        "Ann",
        "get_users()",
        "TypeError... 'id' Is Not_Defined",
    ]
    roles = itertools.cycle(("user", "assistant"))
    messages = tuple(
        Message(role=role, content=(Text(text=text),))  # type: ignore[arg-type]  # two of the three roles
        for role, text in zip(roles, said, strict=False)
    )
    found = right_turns()([Prompt(messages=messages, target="stop()")], ROUND)
    assert [(len(one.messages), one.target) for one in found] == [(3, "get_user(id=1)"), (7, "stop()")]
    assert found[0].messages[1].text == "get_unit(id=1)", "it stays where it was"


def test_an_earlier_turn_that_is_held_out_is_not_imitated(tmp_path: Path) -> None:
    held = tiny_task()
    asked = held.final[0]
    later = Prompt(messages=(*asked.messages, *turns(("KEPT", "again"))), target="ABC")
    known = Prompt(messages=(*held.train[0].messages, *turns(("KNOWN", "again"))), target="ABC")
    recipe = tl_training(num_steps=1, num_prompts=1, num_samples=2)
    run = tiny_improve(recipe, tmp_path / "run", rounds=1, train=(later, known), gate=held.gate[:2], final=held.final[:2])
    texts = [one.row.completion.text for one in run.examples(-1) if isinstance(one, Demonstration)]
    assert sorted(texts) == ["ABC", "ABC", "KNOWN"]


def test_imitation_first_then_grades(tmp_path: Path) -> None:
    recipe = tl_training(num_steps=3, num_prompts=6, learning_rate=1e-3, imitation_learning_rate=3e-4)
    run = tiny_improve(recipe, tmp_path / "run", rounds=1)
    assert [one.index for one in run.rounds] == [-1, 0]
    (imitated, reinforced) = (run.examples(index) for index in (-1, 0))
    assert len(imitated) == 160
    assert all(isinstance(one, Demonstration) and one.row.token_weights == (3.0, 1.0, 1.0, 1.0) for one in imitated)
    assert all(isinstance(one, Rollout) and one.reward in (1.0, -1.5, -2.0) for one in reinforced)
    assert dataclasses.asdict(run.rounds[0].decision)["promote"], "targets teach the tiny model its capitals"
