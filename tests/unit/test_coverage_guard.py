"""The guard of pass@n at its margin, and planted answers that a verifier must not take."""

from __future__ import annotations

import dataclasses
import functools

import numpy as np
import pytest
from report_builders import HEALTHY, report

from sharpen.data.task import given
from sharpen.gates import CoverageKept, paired_gate
from sharpen.stats import paired_interval
from sharpen.types import Completion, Prompt, Report, Score, user
from sharpen.verifiers import exact, number
from sharpen.verifiers.canaries import fooled


def sampled(solved: list[Score]) -> Report:
    return report(solved, metric="pass@4", statistics=HEALTHY)


def fall(losses: int, wins: int, total: int = 100, **settings: float) -> bool:
    new = [0.0] * losses + [1.0] * (total - losses)
    old = [1.0] * losses + [0.0] * wins + [1.0] * (total - losses - wins)
    return CoverageKept(**settings)(sampled(list(new)), sampled(list(old))).passed


def test_a_fall_beyond_the_margin_and_beyond_chance_fails() -> None:
    assert fall(10, 0)  # exactly the margin
    assert not fall(11, 0)
    assert fall(30, 20)  # 10 points
    assert fall(31, 20)  # 11 points, which chance explains
    assert not fall(35, 20)
    assert fall(2, 0, total=10)  # 20 points of 10 prompts: chance
    assert paired_interval(0, 2, 10, confidence=0.9).high > 0
    assert not fall(4, 0, total=10)
    assert fall(30, 0, margin=0.3)
    assert fall(0, 40)


def test_how_often_it_errs() -> None:
    rng = np.random.default_rng(0)
    refused = functools.cache(lambda losses, wins: not fall(losses, wins, total=64))
    for lost, low, high in ((0.0, 0.0, 0.012), (0.1, 0.4, 0.56), (0.2, 0.9, 0.95)):
        drawn = rng.multinomial(64, [0.05, 0.05 + lost, 0.9 - lost], size=2_000)
        assert low <= np.mean([refused(int(losses), int(wins)) for wins, losses, _ in drawn]) <= high


def test_what_was_not_sampled_passes_and_says_so() -> None:
    guard = CoverageKept()
    for pair in (
        (report([1.0]), report([0.0])),
        (sampled([None, None]), sampled([1.0, 1.0])),
        (sampled([None, 1.0]), sampled([1.0, None])),
    ):
        assert guard(*pair).passed
    with pytest.raises(ValueError, match="margin is -0.1"):
        CoverageKept(margin=-0.1)


def test_the_gate_refuses_a_gain_that_narrows() -> None:
    def both(right: list[float], solved: list[float]) -> Report:
        return dataclasses.replace(report(right), outcomes={"accuracy": tuple(right), "pass@4": tuple(solved)})

    decision = paired_gate()(
        both([1.0] * 60 + [0.0] * 40, [1.0] * 60 + [0.0] * 40), both([1.0] * 20 + [0.0] * 80, [1.0] * 100), 1
    )
    assert decision.numbers["p"] < 1e-9
    assert decision.failed_guards == ("coverage",)
    assert (
        "pass@4 is 60.0 % against 100.0 % for the incumbent on 100 prompts (a fall of 10 points is allowed)" in decision.reason
    )
    assert decision.numbers["incumbent_pass@4"] == 1.0


SUMS = [user(f"What is {n} + {n}?", target=str(2 * n)) for n in range(20, 40)]


def answered(prompts: list[Prompt], texts: list[str]) -> list[Completion]:
    return [given(prompt, text) for prompt, text in zip(prompts, texts, strict=True)]


def any_number(prompt: Prompt, completion: Completion) -> float:
    return float(any(map(str.isdigit, completion.text)))


def holds_target(prompt: Prompt, completion: Completion) -> float:
    return float(str(prompt.target) in completion.text)


def polite(prompt: Prompt, completion: Completion) -> float:
    return float("damn" not in completion.text)


def test_a_sound_verifier_is_not_fooled() -> None:
    texts = [str(prompt.target) for prompt in SUMS]
    for verifier in (exact(), number()):
        assert fooled(verifier, SUMS, answered(SUMS, texts), [1.0] * 20) == {}
        assert fooled(verifier, SUMS, answered(SUMS, ["no"] * 20), [0.0] * 20) == {}


def test_what_a_lax_verifier_takes_is_told_by_prompt() -> None:
    texts = [str(prompt.target) for prompt in SUMS]
    found = fooled(any_number, SUMS, answered(SUMS, texts), [1.0] * 20)
    assert set(found.values()) == {"the prompt itself"}
    assert len(found) == 20
    everything = " ".join(str(prompt.target) for prompt in SUMS)  # all answers at once, taken on every prompt
    found = fooled(holds_target, SUMS, answered(SUMS, [everything] * 20), [1.0] * 20)
    assert set(found.values()) == {"another prompt's answer"}
    assert len(found) == 20
    assert fooled(holds_target, SUMS, answered(SUMS, texts), [1.0] * 20) == {}  # it is lax, and was not used so
    assert set(fooled(polite, SUMS[:3], answered(SUMS[:3], ["x"] * 3), [1.0] * 3).values()) == {"an empty answer"}


def test_prompts_that_are_their_own_answer_and_prompts_without_targets() -> None:
    copies = [user("abc", target="ABC"), user("xyz", target="xyz")]
    found = fooled(exact(ignore_case=True), copies, answered(copies, ["abc", "xyz"]), [1.0, 1.0])
    assert found == {}
    bare = [user("Say anything.")]
    assert fooled(polite, bare, answered(bare, ["x"]), [1.0]) == {bare[0].id: "an empty answer"}
