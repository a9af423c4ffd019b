"""From a word to a recipe: parameters by name and type, the rest from the task."""

from __future__ import annotations

from pathlib import Path

import pytest

from sharpen.cli.recipes import choose, make_recipe, own_parameters
from sharpen.cli.settings import Settings
from sharpen.errors import DataError, VerifierError
from sharpen.parts import Recipe
from sharpen.tasks import Task
from sharpen.types import user
from sharpen.verifiers import exact

OWN = '''
from typing import Literal
from sharpen.methods.rft import rft
from sharpen.methods.sft import sft
from sharpen.parts import Recipe

def mine(verifier, *, num: int, start: Literal["base", "current"] = "base", share: float | None = None, table: dict = {}) -> Recipe:
    """Mine."""
    return rft(verifier, num_samples=num, start=start)

def fed(labelled, examples=(), *, epochs: int = 1) -> Recipe:
    assert all(prompt.target for prompt in labelled)
    return sft(epochs=epochs)

def odd(strange, *, num: int = 1) -> Recipe:
    return sft()

def clashing(*, seed: int = 1) -> Recipe:
    return sft()

def nothing(*, num: int = 1):
    return num

VALUE = 3
'''


@pytest.fixture
def mine(tmp_path: Path) -> Path:
    path = tmp_path / "mine.py"
    path.write_text(OWN, encoding="utf-8")
    return path


def task(*, target: str | None = "A") -> Task:
    return Task(name="t", train=(user("a", target=target),), verifier=exact())


def recipe(method: str, given: Task | None = None, **parameters: object) -> Recipe:
    return make_recipe(choose(Settings(method=method, parameters=parameters)), given or task())


def test_parameters_are_read_by_annotation() -> None:
    chosen = choose(Settings(method="rft", parameters={"num_samples": "3", "learning_rate": "1e-5", "start": "base"}))
    assert chosen.settings.parameters == {"learning_rate": 1e-5, "num_samples": 3, "start": "base"}
    assert "completions(3," in repr(make_recipe(chosen, task()))
    assert recipe("sft", num_examples="none") == recipe("sft")


def test_equal_parameters_written_otherwise_give_one_folder() -> None:
    one = choose(Settings(method="rft", parameters={"learning_rate": "1e-5", "num_samples": "4"}))
    other = choose(Settings(method="rft", parameters={"num_samples": 4, "learning_rate": "0.00001"}))
    assert one.settings.folder == other.settings.folder


@pytest.mark.parametrize(
    ("method", "parameters", "said"),
    [
        ("rtf", {}, "there is no method 'rtf'; did you mean 'rft'?"),
        (
            "rft",
            {"num_sample": "4"},
            "there is no setting 'num_sample', and rft has no parameter of that name; did you mean",
        ),
        ("rft", {"max_tokens": "4"}, "did you mean 'max_new_tokens'?"),
        ("rft", {"zzz": "4"}, "rft has num_prompts, num_samples"),
        ("rft", {"num_samples": "few"}, "num_samples is 'few'; it is a whole number"),
        ("rft", {"num_samples": True}, "num_samples needs a value: --num-samples VALUE"),
        ("rft", {"start": "bas"}, "start is 'bas'; it is one of base, current; did you mean 'base'?"),
        ("rft", {"num_samples": "0"}, "num_samples is 0; it is at least 1"),
        (None, {}, "name a method first"),
    ],
)
def test_mistakes_name_the_nearest_or_what_is_wanted(method: str | None, parameters: dict[str, object], said: str) -> None:
    with pytest.raises(ValueError) as caught:
        make_recipe(choose(Settings(method=method, parameters=parameters)), task())
    assert said in str(caught.value)


def test_a_function_of_one_s_own_is_filled_from_the_task(mine: Path) -> None:
    made = recipe(f"{mine}:mine", num="2", start="current")
    assert "completions(2," in repr(made)
    assert "exact(ignore_case=True)" in repr(made)
    assert recipe(f"{mine}:fed", epochs="2").name == "sft"
    assert list(own_parameters(f"{mine}:mine")) == ["num", "start", "share"]


def test_what_a_function_wants_and_cannot_have_is_told(mine: Path) -> None:
    for call, said in (
        (lambda: recipe(f"{mine}:mine"), "needs 'num': add --num VALUE"),
        (lambda: recipe(f"{mine}:mine", num="1", table="x"), "has no parameter of that name"),
        (lambda: recipe(f"{mine}:odd"), "takes 'strange' by position"),
        (lambda: recipe(f"{mine}:clashing"), "has a parameter 'seed', which is the name of a setting of every run"),
        (lambda: recipe(f"{mine}:VALUE"), "is a int; name a function that returns a recipe"),
        (lambda: recipe(f"{mine}:mien"), "did you mean 'mine'"),
        (lambda: recipe(f"{mine.parent}/gone.py:mine"), "there is no file"),
    ):
        with pytest.raises(ValueError, match=r".") as caught:
            call()
        assert said in str(caught.value)
    with pytest.raises(TypeError, match="made int, not a Recipe"):
        recipe(f"{mine}:nothing")


def test_a_file_that_fails_is_told(tmp_path: Path) -> None:
    path = tmp_path / "broken.py"
    path.write_text("raise RuntimeError('no')", encoding="utf-8")
    with pytest.raises(VerifierError, match=r"broken\.py cannot be imported: RuntimeError: no"):
        recipe(f"{path}:mine")


def test_what_a_card_needs_is_checked_against_the_task() -> None:
    with pytest.raises(ValueError, match="rft needs a verifier: add --verifier"):
        recipe("rft", Task(name="t", train=(user("a"),)))
    with pytest.raises(DataError, match="cream needs targets"):
        recipe("cream", task(target=None))
    with pytest.raises(DataError, match="dpo needs given examples"):
        recipe("dpo")
