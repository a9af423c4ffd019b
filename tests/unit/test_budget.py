"""What a run spends is read from its ledger by place, and bound by a budget."""

from __future__ import annotations

from pathlib import Path

import pytest

from sharpen.budget import Budget, Meter
from sharpen.costs import Cost, Spent, costs_of, spent_on_model
from sharpen.ledger import Ledger


@pytest.fixture
def ledger(tmp_path: Path) -> Ledger:
    """Two rounds of two passes: 10 tokens sampled and 20 trained in each pass, 5 scored in the second round; and measuring."""
    with Ledger(tmp_path / "run") as ledger:
        number = 0

        def block(round: int, number_: int, step: str, stage: str, call: str, tokens: int, seconds: float = 1.0) -> None:
            nonlocal number
            number += 1
            facts = {"round": round, "pass": number_, "step": step, "stage": stage, "call": call}
            ledger.put("block", f"b{number}", {**facts, "tokens": tokens, "seconds": seconds})

        for round in (0, 1):
            for number_ in (0, 1):
                block(round, number_, "grpo", "completions", "generate", 10)
                facts = {"round": round, "pass": number_, "step": "grpo", "num_tokens": 20, "seconds": 2.0}
                ledger.put("trained", f"t{round}{number_}", facts)
            block(round, 0, "gate", "evaluate on gate", "generate", 1000)
        block(1, 1, "grpo", "score under base", "score", 5)
        block(-1, 0, "final", "evaluate on final", "generate", 1000)
        block(-1, 0, "final answer", "completions", "generate", 1000)
        block(-1, 0, "controls", "probe", "generate", 1000)
        ledger.put("trained", "p", {"round": -1, "pass": 0, "step": "placebo", "num_tokens": 1000, "seconds": 9.0})
        ledger.put("trained", "s", {"round": -1, "pass": 0, "step": "seed", "num_tokens": 7, "seconds": 3.0})
    return Ledger(tmp_path / "run", read_only=True)


def test_what_went_into_the_model_is_told_from_measuring(ledger: Ledger) -> None:
    assert spent_on_model(costs_of(ledger)) == Spent(sampled=40, trained=87, scored=5, seconds=4 + 8 + 1 + 3)
    assert spent_on_model(costs_of(ledger)).tokens == 127
    calls = {(cost.step, cost.call) for cost in costs_of(ledger)}
    assert ("grpo", "train") in calls
    assert ("grpo", "score") in calls


def test_what_came_later_is_not_counted_earlier(ledger: Ledger) -> None:
    places = [(-1, 0), (0, 0), (0, 1), (1, 0), (1, 1)]
    tokens = [spent_on_model(costs_of(ledger, until=place)).tokens for place in places]
    assert tokens == [7, 37, 67, 97, 127]


def test_a_recipe_step_may_be_called_as_a_control_is() -> None:
    costs = [Cost(round=0, step="placebo", stage="train", call="train", tokens=9, seconds=1.0)]
    assert spent_on_model(costs).trained == 9


def test_the_meter_reads_up_to_a_pass_and_says_when_it_is_spent(ledger: Ledger) -> None:
    meter = Meter(budget=Budget(tokens=90))
    meter.begin_round()
    meter.read(ledger, 0, 0)
    meter.read(ledger, 0, 1)
    assert not meter.exhausted
    assert meter.told() == {"spent": 67.0, "size": 90.0}
    assert meter.end(1) is None
    meter.begin_round()
    meter.read(ledger, 1, 0)
    assert meter.exhausted
    assert meter.end(2) == "the budget is spent (97 of 90 tokens): the run ends after 2 rounds"


def test_a_pass_that_would_miss_the_budget_by_more_than_is_left_is_not_made(ledger: Ledger) -> None:
    """Passes of 30 after a setup of 7: at 67, 14 are left of 81, and 15 of 82 are half a pass, which is not enough either."""
    for tokens, spent in ((81, True), (82, True), (83, False)):
        meter = Meter(budget=Budget(tokens=tokens))
        meter.begin_round()
        for place in ((-1, 0), (0, 0), (0, 1)):
            meter.read(ledger, *place)
        assert meter.exhausted is spent, tokens
    meter.budget = Budget(tokens=81)
    assert meter.end(1) == (
        "another pass would overspend the budget by more than is left of it (67 of 81 tokens): the run ends after 1 round"
    )


def test_a_round_that_costs_nothing_ends_a_run(ledger: Ledger) -> None:
    meter = Meter(budget=Budget(seconds=1000))
    meter.read(ledger, 1, 1)
    meter.begin_round()
    meter.read(ledger, 1, 1)
    assert meter.end(0) is None  # a setup may cost nothing
    assert meter.end(1) == "a round cost nothing: the run ends after 1 round (16 of 1000 seconds spent)"


def test_without_a_budget_nothing_is_counted(ledger: Ledger) -> None:
    meter = Meter(budget=None)
    meter.begin_round()
    meter.read(ledger, 1, 1)
    assert meter.spent == Spent()
    assert not meter.exhausted
    assert meter.end(3) is None
    assert meter.told() == {}


def test_seconds_count_scoring_too_and_tokens_do_not() -> None:
    spent = Spent(sampled=30, trained=20, scored=1000, seconds=7.5)
    assert Budget(tokens=40).counted(spent) == 50
    assert Budget(seconds=5.0).overshoot(spent) == pytest.approx(0.5)
    assert Budget(tokens=100).overshoot(spent) == pytest.approx(-0.5)
    assert (str(Budget(tokens=2_000_000)), str(Budget(seconds=90))) == ("2,000,000 tokens", "90 seconds")


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({}, "exactly one"),
        ({"tokens": 1, "seconds": 1.0}, "exactly one"),
        ({"tokens": 0}, "at least 1"),
        ({"seconds": 0.0}, "above 0"),
        ({"seconds": float("inf")}, "above 0"),
    ],
)
def test_a_budget_that_bounds_nothing_is_refused(given: dict[str, float], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        Budget(**given)  # type: ignore[arg-type]
