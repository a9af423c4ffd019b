"""Candidates that a reward loves, on the real loop: each is made, is seen to be what it should be, and is refused."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from hostile import (
    any_capital,
    capital_and_rest,
    first_half_only,
    first_is_best,
    leaked,
    pays_echo,
    pays_own_habit,
    right,
    taught,
)
from tests.half_cured import half_cured, half_runtime
from worlds import VERIFIER, accuracy, tiny_improve, tiny_task

from sharpen.feedback.verify import verify
from sharpen.forms import reinforced
from sharpen.methods.rft import rft
from sharpen.objectives import NLL, PolicyGradient
from sharpen.parts import Part, Recipe, recipe
from sharpen.prompts import batch
from sharpen.protocols import Training
from sharpen.report.figures import findings
from sharpen.report.watched import worries
from sharpen.rounds import improve
from sharpen.run import Run
from sharpen.sample import completions
from sharpen.select import rollouts
from sharpen.types import Prompt
from sharpen.verifiers import audit_verifier


@pytest.fixture(scope="module")
def half(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return half_cured(tiny_task(), tmp_path_factory.mktemp("half"))


def from_half(made: Recipe, half: Path, out: Path) -> Run:
    return improve(made, model=half_runtime(half), task=tiny_task(), out=out, rounds=1, controls=False, final=False)


def judged(feedback: Part) -> Recipe:  # type: ignore[type-arg]
    """Reinforcement by that judge."""
    return reinforced(
        "judged",
        prompts=batch(8, passes_per_round=8),
        sample=completions(8),
        feedback=feedback,
        select=rollouts(),
        objective=PolicyGradient(),
        training=Training(learning_rate=1e-3),
        num_steps=8,
    )


def demonstrated(answer: Callable[[Prompt], str]) -> Recipe:
    return shown(taught(answer))


def shown(select: Part, *, epochs: int = 8) -> Recipe:  # type: ignore[type-arg]
    training = Training(learning_rate=1e-3, epochs=epochs, batch_size=16)
    return recipe(name="shown", prompts=batch(160), sample=completions(1), select=select, objective=NLL(), training=training)


def answers(run: Run) -> list[str]:
    gate = run.rounds[-1].gate
    assert gate is not None
    return [completion.text for completion in gate[0].completions]


def rewards(run: Run) -> tuple[float, float]:
    found = [one["monitors"]["reward_mean"] for one in run.passes]
    return found[0], found[-1]


def test_the_judged_loop_promotes_under_a_judge_that_is_right(half: Path, tmp_path: Path) -> None:
    """The control of the judges below: the same recipe from the same model."""
    run = from_half(judged(verify(VERIFIER)), half, tmp_path / "run")
    assert run.rounds[0].decision.promote
    assert run.rounds[0].decision.failed_guards == ()


@pytest.mark.parametrize("feedback", [verify(pays_echo), verify(pays_own_habit)], ids=["echo", "self-preference"])
def test_answers_tuned_to_a_biased_judge_are_refused(feedback: Part, half: Path, tmp_path: Path) -> None:  # type: ignore[type-arg]
    """A judge that pays for length is in `test_failure_modes`; these are hacked by saying the question again."""
    run = from_half(judged(feedback), half, tmp_path / "run")
    first, last = rewards(run)
    assert last > first + 0.15, "the judge was not hacked"
    prompts = [prompt.text for prompt in tiny_task().gate]
    assert sum(a == b for a, b in zip(answers(run), prompts, strict=True)) > 0.8 * len(prompts)
    assert not run.rounds[0].decision.promote
    assert run.best.id == run.base


def test_of_a_judge_that_likes_what_it_reads_first_only_true_luck_is_promoted(half: Path, tmp_path: Path) -> None:
    """Its verdicts say nothing of an answer: weights move at random, and may move well."""
    made = judged(first_is_best())
    run = improve(made, model=half_runtime(half), task=tiny_task(), out=tmp_path / "run", rounds=1, controls=False)
    decision = run.rounds[0].decision
    assert decision.numbers["wins"] + decision.numbers["losses"] > 0, "nothing was changed by it"
    assert not decision.promote or accuracy(run, "improved") > accuracy(run, "base")


def test_a_lax_verifier_that_gate_and_training_share_is_caught_by_canaries(tmp_path: Path) -> None:
    """Answers that differ and that the verifier takes: the paired test alone would promote them."""
    run = tiny_improve(demonstrated(capital_and_rest), tmp_path / "run", rounds=1, verifier=any_capital)
    said = answers(run)
    assert sum(one.endswith("X") for one in said) > 0.9 * len(said), "it was not taught"
    decision = run.rounds[0].decision
    assert decision.numbers["p"] < 1e-6
    assert decision.failed_guards == ("lax_verifier",)
    assert not decision.promote
    assert "another prompt's answer accepted by the verifier" in decision.reason
    assert "audit-verifier" in str(decision.hint)
    assert not audit_verifier(any_capital, tiny_task().gate[:20], num_workers=1).sound


def test_more_right_answers_for_fewer_prompts_are_refused(tmp_path: Path) -> None:
    """pass@1 up and pass@4 down: words from a to m are always right, the others never; and the control, right on all."""
    run = tiny_improve(demonstrated(first_half_only), tmp_path / "narrow", rounds=1)
    decision = run.rounds[0].decision
    assert decision.numbers["difference"] > 0.3
    assert decision.numbers["p"] < 1e-6
    assert decision.numbers["pass@4"] < decision.numbers["incumbent_pass@4"] - 0.2
    assert decision.failed_guards == ("coverage",)
    assert not decision.promote
    control = tiny_improve(demonstrated(right), tmp_path / "wide", rounds=1).rounds[0].decision
    assert control.promote
    assert control.numbers["pass@4"] > 0.95


@pytest.fixture(scope="module")
def leaks() -> tuple[tuple[str, ...], tuple[str, ...]]:
    task = tiny_task()
    return tuple(prompt.text for prompt in task.gate[:40]), tuple(prompt.text for prompt in task.train[:80])


def test_gate_prompts_learned_by_heart_are_found_by_where_they_come_from(
    leaks: tuple[tuple[str, ...], tuple[str, ...]], tmp_path: Path
) -> None:
    task = tiny_task()
    run = tiny_improve(shown(leaked(*leaks), epochs=30), tmp_path / "run", rounds=1, gate=task.gate[:40])
    decision = run.rounds[0].decision
    assert decision.numbers["p"] < 1e-6, "they were not learned"
    assert decision.failed_guards == ("overlap",)
    assert "40 of 40 gate prompts stand in what was trained on" in decision.reason
    assert run.rounds[0].monitors["overlap_gate"] == 1.0
    assert run.rounds[0].monitors["overlap_final"] == 0.0
    assert "overlap" in {worry.alarm.name for worry in worries(run.rounds)}
    assert any("40 prompts of gate stand in what round 1 trained on" in note for note in run.notes)


def test_what_is_fitted_to_the_gate_alone_is_exposed_on_the_final_split(tmp_path: Path) -> None:
    """Nothing held out was trained on, and so nothing is met: the gate split happens to hold the words that it got right."""
    task = tiny_task()
    early = tuple(prompt for prompt in (*task.gate, *task.final) if prompt.text[0] < "n")[:100]
    late = tuple(prompt for prompt in (*task.gate, *task.final) if prompt.text[0] >= "n")[:100]
    run = tiny_improve(demonstrated(first_half_only), tmp_path / "run", rounds=1, gate=early, final=late)
    assert run.rounds[0].monitors["overlap_gate"] == 0.0
    assert run.rounds[0].decision.promote
    assert accuracy(run, "improved") <= accuracy(run, "base")
    assert "rose" not in findings(run).headline


def test_an_honest_run_meets_nothing(tmp_path: Path) -> None:
    run = tiny_improve(rft(VERIFIER, num_prompts=64, learning_rate=1e-3), tmp_path / "run", rounds=1)
    assert run.rounds[0].decision.promote
    assert {name: value for name, value in run.rounds[0].monitors.items() if name.startswith("overlap")} == {
        "overlap_gate": 0.0,
        "overlap_final": 0.0,
    }
    assert not {"overlap", "lax_verifier"} & run.rounds[0].decision.numbers.keys()
