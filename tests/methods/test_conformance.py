"""What every method must do, on tiny. Nothing here knows a method by name: what it takes part in follows from its card and recipe."""

from __future__ import annotations

import contextlib
import dataclasses
import inspect
import json
import os
import subprocess
import sys
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path

import pytest
from conforming import (
    TURNED,
    Ended,
    Groups,
    Silence,
    abstaining,
    alike,
    asked,
    asked_by_part,
    built,
    changed_steps,
    first_lessons,
    lived,
    muted,
    negated,
    preferences,
    removed,
    ruinous,
    runtime,
    steps_of,
    with_targets,
    world,
)

from sharpen.cards import Card
from sharpen.cli.recipes import choose, make_recipe
from sharpen.cli.settings import Settings
from sharpen.errors import DataError, VerifierError
from sharpen.events import Event, Observer
from sharpen.gates import paired_gate
from sharpen.ledger import Ledger
from sharpen.methods import all_cards, find_method, method_names
from sharpen.parts import Recipe
from sharpen.tasks import Task
from sharpen.verifiers import pattern


@dataclass(frozen=True, kw_only=True)
class Lived:
    """A method that was run for two rounds, both promoted, and asked for once more.

    Attributes:
        events: of the run; `again`, of the same call afterwards.
        read: whether that call read any weights.
    """

    name: str
    card: Card
    recipe: Recipe
    task: Task
    out: Path
    ended: Ended
    events: tuple[Event, ...]
    again: tuple[Event, ...]
    read: bool


@pytest.fixture(scope="module", params=method_names())
def method(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Lived:
    name = request.param
    card, recipe, events, again = all_cards()[name], built(name), list[Event](), list[Event]()
    task, out = world(card), tmp_path_factory.mktemp(name) / "run"
    ended = lived(recipe, task, out, observe=events.append)
    second = runtime()
    assert lived(recipe, task, out, model=second, observe=again.append) == ended
    return Lived(
        name=name,
        card=card,
        recipe=recipe,
        task=task,
        out=out,
        ended=ended,
        events=tuple(events),
        again=tuple(again),
        read=any(second.holds(one) for one in ("tiny", ended.best)),
    )


DEFAULTS = """
import json, sys
sys.path[:0] = json.loads(sys.argv[1])
from test_conformance import by_default
print(json.dumps(by_default()))
"""


def by_default() -> dict[str, list[str]]:
    """How every method's recipe prints and hashes where nothing but the verifier is said."""
    everything = world(dataclasses.replace(next(iter(all_cards().values())), needs=("options", "examples")))
    made = {name: make_recipe(choose(Settings(method=name)), everything) for name in method_names()}
    return {name: [repr(recipe), recipe.key] for name, recipe in made.items()}


def test_builds_with_defaults_and_prints_and_hashes_alike_in_another_process() -> None:
    here = by_default()
    env = {**os.environ, "PYTHONHASHSEED": "4321" if os.environ.get("PYTHONHASHSEED") != "4321" else "1"}
    paths = json.dumps([str(Path(__file__).parent), str(Path(__file__).parents[1]), *sys.path])
    done = subprocess.run([sys.executable, "-c", DEFAULTS, paths], capture_output=True, text=True, env=env, check=False)
    assert done.returncode == 0, done.stderr
    there = json.loads(done.stdout)
    assert {name: there[name] for name in here if there[name] != here[name]} == {}
    assert not [name for name, (text, _) in here.items() if " at 0x" in text]


def test_trains_something_or_says_why_not(method: Lived) -> None:
    if method.card.trains_on is None:
        assert method.recipe.steps == ()
        assert method.ended.best == "tiny"
        return
    trained = [one for one in method.ended.rounds if one.index >= 0 and one.candidate != one.incumbent]
    assert trained, [one.decision.reason for one in method.ended.rounds]
    for one in method.ended.rounds:
        due = any(step.objective is not None for step in (method.recipe.setup if one.index < 0 else method.recipe.steps))
        assert one.lessons or not due or "no example was selected" in one.decision.reason
    assert method.ended.best != "tiny"
    assert all(one.loss is not None for one in trained)


def test_answers_where_its_card_says_so(method: Lived) -> None:
    assert method.card.answers == (method.recipe.answer is not None)
    assert method.card.answers == any(name.endswith(f" with {method.name}") for name in method.ended.answers)


def test_resumes_with_no_work(method: Lived) -> None:
    assert [event for event in method.again if event.kind == "stage"] == []
    assert not method.read


def test_survives_a_crash(method: Lived, tmp_path: Path) -> None:
    """Two: a third of the way in, and at the second piece of work after that."""
    out = tmp_path / "run"
    with pytest.raises(KeyboardInterrupt):
        lived(method.recipe, method.task, out, observe=stopping(len(method.events) // 3, [one.kind for one in method.events]))
    with contextlib.suppress(KeyboardInterrupt):
        lived(method.recipe, method.task, out, observe=stopping(2, ["stage"]))
    assert lived(method.recipe, method.task, out) == method.ended


def stopping(at: int, kinds: Collection[str]) -> Observer:
    """An observer that ends the process, as far as it can, at the event of that number of those kinds."""
    seen = 0

    def observe(event: Event) -> None:
        nonlocal seen
        seen += event.kind in kinds
        if seen >= at:
            raise KeyboardInterrupt

    return observe


def test_ignores_prompt_order(method: Lived) -> None:
    turned = method.task.replace(train=method.task.train[::-1], final=method.task.final[::-1])
    assert lived(method.recipe, turned, method.out) == method.ended


def test_honours_abstention(method: Lived) -> None:
    """A completion whose score abstained is as good as not sampled."""

    def changed(how: Groups) -> Ended | None:
        recipe = abstaining(method.recipe, how)
        return lived(recipe, method.task, method.out, rounds=1) if recipe is not None else None

    silent, gone = changed(muted()), changed(removed())
    if silent is None or gone is None:
        assert not any(stage.writes for stage in method.recipe.stages[:-1]), "it has scores"
        return
    if method.card.trains_on is None:
        assert silent.answers == gone.answers
        return
    assert [one.seen for one in silent.rounds] != [one.seen for one in method.ended.rounds if one.index < 1], "none abstained"
    if not alike(first_lessons(silent), first_lessons(gone)):
        turned = changed(negated())
        assert turned is not None
        assert alike(first_lessons(turned), first_lessons(method.ended)), "scores are read, and abstentions are not left out"


def test_a_verifier_that_never_knows_ends_the_round_before_anything_is_trained(method: Lived, tmp_path: Path) -> None:
    if "verifier" not in method.card.needs:
        assert built(method.name, Silence()).key == method.recipe.key
        return
    with pytest.raises(VerifierError, match="abstained on"):
        lived(built(method.name, Silence()), method.task, tmp_path / "run")
    with Ledger(tmp_path / "run") as ledger:
        assert ledger.entries("trained") == []


def test_never_promotes_a_worse_checkpoint(method: Lived) -> None:
    ruin = changed_steps(method.recipe, ruinous)
    ended = lived(ruin, method.task, method.out, rounds=1, gate=paired_gate())
    assert ended.best == "tiny"
    if method.card.trains_on is None:
        assert ended.rounds == ()
        return
    for one in ended.rounds:
        assert not one.decision.promote
    fallen = [one for one in ended.rounds if one.gate is None or one.gate[0] < one.gate[1] or one.gate[0] == 0.0]
    assert fallen, [one.gate for one in ended.rounds]


@pytest.mark.parametrize("need", ["verifier", "targets", "examples", "options"])
def test_is_refused_without_what_its_card_needs(method: Lived, need: str) -> None:
    lacking = {
        "verifier": lambda task: task.replace(verifier=None),
        "targets": lambda task: with_targets(task, lambda target: None),
        "examples": lambda task: task.replace(examples=()),
        "options": lambda task: task.replace(train=tuple(dataclasses.replace(one, options=None) for one in task.train)),
    }[need](method.task)
    chosen = choose(Settings(method=method.name))
    if need in method.card.needs:
        with pytest.raises((DataError, ValueError), match=f"{method.name} needs "):
            make_recipe(chosen, lacking)
    else:
        assert make_recipe(chosen, lacking)


def test_reads_nothing_that_its_card_does_not_need(method: Lived) -> None:
    task = method.task
    if "targets" not in method.card.needs:
        task = with_targets(task, lambda target: None)
    if "examples" not in method.card.needs:
        task = task.replace(examples=preferences(task.train[:4]))
    if "verifier" not in method.card.needs:
        task = task.replace(verifier=pattern("no answer is so"))  # a lax one would be found out before a promotion
    ended = lived(method.recipe, task, method.out, rounds=1)
    for one, known in zip(ended.rounds, method.ended.rounds, strict=False):
        assert one.lessons == known.lessons
        assert one.seen == known.seen
    if method.card.trains_on is None:
        assert ended.answers == method.ended.answers


def test_reads_what_its_card_needs(method: Lived) -> None:
    if "verifier" in method.card.needs:
        assert built(method.name, TURNED).key != method.recipe.key
    changed = method.task
    if "targets" in method.card.needs:
        changed = with_targets(changed, lambda target: {"A": "b", "b": "A"}.get(target, target[::-1]))
    if "examples" in method.card.needs:
        changed = changed.replace(examples=preferences(method.task.train[:8], turned=True))
    if changed is method.task:
        return
    before = asked(method.out)
    ended = lived(method.recipe, changed, method.out, rounds=1)
    if method.card.trains_on is None:
        assert asked(method.out) > before, "its policy is asked the same, whatever it needs"
        return
    known = [one for one in method.ended.rounds if one.index < 1]
    assert [(one.lessons, one.seen) for one in ended.rounds] != [(one.lessons, one.seen) for one in known]


def test_asks_of_a_policy_exactly_what_its_parts_declare(method: Lived) -> None:
    made = asked_by_part(method.out)
    declared = {stage.name: set[str]() for stage in method.recipe.stages}
    for stage in method.recipe.stages:
        declared[stage.name] |= set(stage.needs) - {"chat", "train", "logprobs", "continue"}  # these are no calls
    for name, calls in declared.items():
        assert made.get(name, set()) == calls, f"{name} declares {calls or 'nothing'}"


def test_a_verifier_is_a_parameter_where_the_card_needs_one(method: Lived) -> None:
    names = inspect.signature(find_method(method.name).function).parameters
    assert ("verifier" in names) == ("verifier" in method.card.needs)
    assert bool(steps_of(method.recipe)) == (method.card.trains_on is not None)
