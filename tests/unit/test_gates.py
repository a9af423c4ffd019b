"""The gate's exact boundaries, its sentences and hints, and what it refuses to compare."""

from __future__ import annotations

import dataclasses
import math
import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from report_builders import HEALTHY, counts, report

from sharpen.digest import digest
from sharpen.gates import AnswersStop, PairedGate, compare, paired_gate, paired_outcomes
from sharpen.protocols import Gate
from sharpen.stats import mcnemar, prompts_needed
from sharpen.types import Report, Score

SCORES = st.sampled_from([0.0, 1.0])


def test_a_gate_is_a_value_that_prints_its_settings_and_compares() -> None:
    gate: Gate = paired_gate(level=0.1, guards=(AnswersStop(),))
    assert repr(gate) == (
        "PairedGate(level=0.1, metric='accuracy', guards=(AnswersStop(max_fall=0.05),), max_abstain=0.1, num_looks=None, "
        "num_resamples=99999)"
    )
    assert gate == paired_gate(level=0.1, guards=(AnswersStop(),))
    assert digest(gate) != digest(paired_gate(level=0.1, guards=(AnswersStop(max_fall=0.06),)))
    assert paired_gate() == PairedGate()


def test_the_sentence_says_what_decided() -> None:
    decision = paired_gate()(*counts(20, 6, 56, 118), 1)
    assert decision.promote
    assert decision.reason == (
        "held-out 31.0 % -> 38.0 % (+7.0 points, 95 % interval +2.2 to +12.4; 20 wins, 6 losses of 200; "
        "exact McNemar p = 0.0047 <= 0.0250 at look 1): promoted"
    )
    assert decision.test == "exact McNemar, one-sided"
    assert decision.hint is None
    assert decision.failed_guards == ()
    expected = {
        "wins": 20,
        "losses": 6,
        "num_pairs": 200,
        "abstained": 0,
        "looks": 1,
        "level": 0.025,
        "candidate": 0.38,
        "incumbent": 0.31,
    }
    assert {name: decision.numbers[name] for name in expected} == expected
    assert decision.numbers["p"] == mcnemar(20, 6)
    assert decision.numbers["difference"] == pytest.approx(0.07)
    assert decision.numbers["low"] == pytest.approx(0.0216, abs=1e-4)
    assert decision.numbers["high"] == pytest.approx(0.1239, abs=1e-4)
    assert decision.numbers["distinct"] == HEALTHY["distinct"]  # the guards' figures travel with the decision


@pytest.mark.parametrize(
    ("level", "look", "wins", "promote"),
    [
        # m wins and no loss have p = 2^-m exactly; level / (k (k + 1)) is made to meet it
        (0.125, 1, 4, True),  # 0.125 / 2 = 1/16
        (0.125, 1, 3, False),
        (0.1249, 1, 4, False),
        (0.75, 2, 3, True),  # 0.75 / 6 = 1/8
        (0.75, 2, 2, False),
        (0.749, 2, 3, False),
        (0.75, 3, 4, True),  # 0.75 / 12 = 1/16
        (0.75, 3, 3, False),
        (0.749, 3, 4, False),
        (0.625, 4, 5, True),  # 0.625 / 20 = 1/32
        (0.625, 4, 4, False),
    ],
)
def test_p_exactly_at_the_level_promotes(level: float, look: int, wins: int, promote: bool) -> None:
    decision = paired_gate(level=level)(*counts(wins, 0, 10, 10), look)
    assert decision.promote is promote
    assert (decision.numbers["p"] <= decision.numbers["level"]) is promote
    assert decision.numbers["level"] == level / (look * (look + 1))


def test_levels_over_all_looks_add_up_to_the_level() -> None:
    gate = paired_gate(level=0.05)
    assert [gate.level_at(look) for look in (1, 2, 3)] == [0.05 / 2, 0.05 / 6, 0.05 / 12]
    for looks in (1, 10, 1000):
        assert math.fsum(gate.level_at(look) for look in range(1, looks + 1)) == pytest.approx(0.05 * (1 - 1 / (looks + 1)))
    for look in (0, -1):
        with pytest.raises(ValueError, match="count from 1"):
            gate.level_at(look)


def test_a_known_number_of_looks_shares_the_level_equally() -> None:
    gate = paired_gate(level=0.25, num_looks=4)
    assert [gate.level_at(look) for look in (1, 2, 4, 5)] == [0.0625, 0.0625, 0.0625, 0.0]
    assert gate(*counts(4, 0, 5, 5), 4).promote
    late = gate(*counts(30, 0, 5, 5), 5)
    assert not late.promote
    assert late.hint is not None
    assert "the level is spent after num_looks: use fresh gate prompts" in late.hint
    with pytest.raises(ValueError, match="num_looks"):
        paired_gate(num_looks=0)


@pytest.mark.parametrize(("wins", "losses"), [(0, 0), (1, 1), (6, 6), (0, 1), (3, 10)])
def test_a_tie_or_a_loss_never_promotes(wins: int, losses: int) -> None:
    for gate in (paired_gate(level=0.999), paired_gate(level=0.999, num_looks=1)):  # here p of a tie is below the level
        decision = gate(*counts(wins, losses, 20, 20), 1)
        assert not decision.promote
        assert decision.hint


@pytest.mark.parametrize(
    ("wins", "losses", "verdict", "hint"),
    [
        (0, 0, "rolled back, no outcome changed", "nothing changed: raise the learning rate"),
        (6, 6, "rolled back, a tie", "as much was lost as was won"),
        (12, 6, "rolled back, the gain may be chance", "about 1210 prompts would be needed to see a gain of this size"),
        (3, 10, "rolled back, no gain", "worse: lower the learning rate"),
    ],
)
def test_a_roll_back_says_why_and_what_to_change(wins: int, losses: int, verdict: str, hint: str) -> None:
    decision = paired_gate()(*counts(wins, losses, 50, 150 - wins - losses), 2)
    assert decision.reason.endswith(verdict)
    assert decision.hint is not None
    assert decision.hint.startswith(hint)
    assert decision.failed_guards == ()


def test_an_incumbent_that_solves_all_is_told_that_nothing_is_left_to_gain() -> None:
    solved = (report([1.0] * 20), report([1.0] * 20))
    hint = paired_gate()(*solved, 1).hint
    assert hint is not None
    assert hint.startswith("the incumbent solves every gate prompt: nothing is left to gain on this split; take harder prompts")


def test_the_hint_asks_for_more_prompts_than_there_are() -> None:
    decision = paired_gate()(*counts(9, 3, 100, 88), 1)  # p = 0.073
    assert decision.hint is not None
    wanted = int(decision.hint.split()[1])
    assert wanted > 200
    assert f"enlarge the gate split from 200 to {wanted}" in decision.hint


@pytest.mark.parametrize(
    ("wins", "losses", "shown"), [(40, 0, "p = 9.1e-13 <= 0.0250"), (1, 0, "p = 0.5000 > 0.0250"), (1, 3, "(-10.0 points, ")]
)
def test_numbers_in_the_sentence_can_be_told_apart(wins: int, losses: int, shown: str) -> None:
    assert shown in paired_gate()(*counts(wins, losses, 8, 12 - wins - losses if wins < 12 else 0), 1).reason


def test_a_p_value_just_above_the_level_shows_the_digit_that_differs() -> None:
    p = mcnemar(20, 6)
    reason = paired_gate(level=2 * p - 2e-7)(*counts(20, 6, 56, 118), 1).reason
    assert "p = 0.00467765 > 0.00467755 at look 1): rolled back, the gain may be chance" in reason
    assert "1 win, 0 losses of 2" in paired_gate()(*counts(1, 0, 1), 1).reason
    assert "0 wins, 1 loss of 2" in paired_gate()(*counts(0, 1, 1), 1).reason


@given(st.lists(st.tuples(SCORES, SCORES), min_size=2, max_size=60), st.randoms(use_true_random=False), st.integers(1, 3))
@settings(max_examples=80)
def test_properties_of_right_and_wrong(outcomes: list[tuple[float, float]], rng: random.Random, look: int) -> None:
    gate = paired_gate(level=0.5)
    new, old = (report(column) for column in zip(*outcomes, strict=True))
    decision, swapped = gate(new, old, look), gate(old, new, look)
    assert not (decision.promote and swapped.promote)
    assert decision.numbers["difference"] == -swapped.numbers["difference"]
    assert decision.numbers["low"] == pytest.approx(-swapped.numbers["high"], abs=1e-12)

    shuffled = rng.sample(range(len(outcomes)), len(outcomes))
    ids = [f"p{i}" for i in shuffled]
    again = gate(*(report([column[i] for i in shuffled], prompt_ids=ids) for column in zip(*outcomes, strict=True)), look)
    assert (again.promote, again.reason, again.numbers) == (decision.promote, decision.reason, decision.numbers)

    more = [*outcomes, (1.0, 1.0), (0.0, 0.0)]  # prompts that both get right or wrong say nothing of who is better
    diluted = gate(*(report(column) for column in zip(*more, strict=True)), look)
    assert diluted.numbers["p"] == decision.numbers["p"]
    assert diluted.promote == decision.promote
    assert diluted.numbers["p"] == mcnemar(int(decision.numbers["wins"]), int(decision.numbers["losses"]))


@given(st.integers(0, 30), st.integers(0, 30))
@settings(max_examples=40)
def test_one_more_win_never_turns_a_promotion_into_a_roll_back(wins: int, losses: int) -> None:
    gate = paired_gate()
    before, after = gate(*counts(wins, losses, 5, 6), 1), gate(*counts(wins + 1, losses, 5, 5), 1)
    assert after.promote or not before.promote


def test_graded_outcomes_take_the_permutation_test() -> None:
    old = [0.1, 0.4, 0.3, 0.8, 0.5, 0.2]
    new = [0.3, 0.5, 0.4, 0.9, 0.4, 0.5]  # differences .2 .1 .1 .1 -.1 .3: two more sign patterns reach .7
    decision = paired_gate(level=0.25)(report(new), report(old), 1)
    flips = [sum(s * d for s, d in zip(signs, (2, 1, 1, 1, -1, 3), strict=True)) for signs in _signs(6)]
    assert decision.numbers["p"] == sum(value >= 7 for value in flips) / 64 == 5 / 64
    assert decision.promote
    assert decision.test == "paired permutation, one-sided"
    assert decision.reason.startswith("held-out score 0.383 -> 0.500 (+0.117, 95 % interval +")
    assert "5 wins, 1 loss of 6; paired permutation p = 0.0781 <= 0.1250 at look 1): promoted" in decision.reason
    assert not paired_gate(level=0.25)(report(old), report(new), 1).promote
    assert not paired_gate(level=0.15)(report(new), report(old), 1).promote


def _signs(n: int) -> list[tuple[int, ...]]:
    return [tuple(1 - 2 * (i >> j & 1) for j in range(n)) for i in range(2**n)]


def test_one_graded_outcome_is_enough_to_leave_mcnemar() -> None:
    new, old = [1.0, 1.0, 1.0, 0.5], [0.0, 0.0, 1.0, 0.5]
    assert compare(paired_outcomes(report(new), report(old), "accuracy")).test == "paired permutation"
    assert compare(paired_outcomes(report(new[:3]), report(old[:3]), "accuracy")).test == "exact McNemar"


@given(st.lists(st.tuples(st.sampled_from([0.0, 0.3, 0.6, 1.0]), st.sampled_from([0.0, 0.5, 1.0])), min_size=2, max_size=30))
@settings(max_examples=40)
def test_graded_swap_never_promotes_both(outcomes: list[tuple[float, float]]) -> None:
    gate = PairedGate(level=0.5, num_resamples=499)
    new, old = (report(column) for column in zip(*outcomes, strict=True))
    assert not (gate(new, old, 1).promote and gate(old, new, 1).promote)


def test_a_graded_tie_does_not_promote() -> None:
    decision = paired_gate(level=0.999, num_looks=1)(report([0.75, 0.25, 0.5]), report([0.25, 0.75, 0.5]), 1)
    assert not decision.promote
    assert decision.reason.endswith("rolled back, a tie")


def test_clusters_count_as_one_draw_each() -> None:
    new, old = [1.0] * 12 + [0.0] * 12, [0.0] * 12 + [0.0] * 12
    clusters = [f"passage {i // 4}" for i in range(24)]
    alone = paired_gate()(report(new), report(old), 1)
    assert alone.promote
    together = paired_gate()(report(new, clusters=clusters), report(old, clusters=clusters), 1)
    assert together.numbers["p"] == 1 / 8  # three passages moved
    assert not together.promote
    assert together.test == "paired permutation of 6 clusters, one-sided"
    single = [str(i) for i in range(24)]
    assert paired_gate()(report(new, clusters=single), report(old, clusters=single), 1).test == "exact McNemar, one-sided"


def test_an_abstained_outcome_leaves_its_pair_out_and_is_counted() -> None:
    new: list[Score] = [1.0] * 8 + [0.0] * 12
    old: list[Score] = [0.0] * 8 + [1.0] * 1 + [0.0] * 11
    old[8] = None  # the one loss is not known
    decision = paired_gate()(report(new), report(old), 1)
    assert decision.numbers["abstained"] == 1
    assert decision.numbers["num_pairs"] == 19
    assert decision.numbers["p"] == 0.5**8
    assert "8 wins, 0 losses of 19, 1 left out without a verdict" in decision.reason
    assert decision.promote


@pytest.mark.parametrize(("abstained", "tells"), [(0, True), (2, True), (3, False), (20, False)])
def test_too_many_abstentions_cannot_tell(abstained: int, tells: bool) -> None:
    old: list[Score] = [None] * abstained + [0.0] * (20 - abstained)
    decision = paired_gate(max_abstain=0.1)(report([1.0] * 20), report(old), 1)
    assert decision.promote is tells
    assert ("cannot tell" in decision.reason) is not tells
    if not tells:
        assert f"{abstained} of 20 held-out prompts have no verdict on one side or the other" in decision.reason
        assert decision.test == "none"
        assert decision.numbers["abstained"] == abstained
        assert decision.hint is not None
        assert "verifier abstains too often" in decision.hint


def test_abstaining_is_not_a_way_to_win() -> None:
    new: list[Score] = [1.0] * 20 + [None] * 11 + [0.0] * 169
    old = [0.0] * 20 + [1.0] * 11 + [0.0] * 169
    decision = paired_gate()(report(new), report(old), 1)
    assert decision.numbers["p"] == 0.5**20
    assert not decision.promote
    assert decision.failed_guards == ("abstained",)
    assert "11 answers of the candidate got no verdict, and counting them wrong gives p = 0.0748 > 0.0250" in decision.reason
    assert decision.numbers["p_refused_wrong"] == mcnemar(20, 11)
    assert decision.numbers["refused"] == 11
    few: list[Score] = [1.0] * 20 + [None] * 5 + [0.0] * 175
    assert paired_gate()(report(few), report([0.0] * 20 + [1.0] * 5 + [0.0] * 175), 1).promote
    both: list[Score] = [1.0] * 6 + [None, 0.0]  # where the incumbent abstained too, nothing can have been hidden
    decision = paired_gate(max_abstain=0.2)(report(both), report([0.0] * 6 + [None, 0.0]), 1)
    assert decision.promote
    assert "refused" not in decision.numbers


def test_abstaining_does_not_win_graded_outcomes_either() -> None:
    new: list[Score] = [0.9] * 12 + [None] * 2
    old = [0.8] * 12 + [1.0] * 2
    assert paired_gate(max_abstain=0.2)(report(new), report(old), 1).failed_guards == ("abstained",)


@pytest.mark.parametrize("num_prompts", [1])
def test_a_single_prompt_cannot_tell(num_prompts: int) -> None:
    decision = paired_gate(level=0.999)(report([1.0] * num_prompts), report([0.0] * num_prompts), 1)
    assert not decision.promote
    assert "1 independent held-out prompts are too few to compare" in decision.reason
    together = paired_gate()(report([1.0] * 9, clusters=["a"] * 9), report([0.0] * 9, clusters=["a"] * 9), 1)
    assert "cannot tell" in together.reason
    with pytest.raises(ValueError, match="holds no prompts"):
        paired_gate()(report([]), report([]), 1)


def test_reports_of_other_prompts_are_refused() -> None:
    new, old = counts(3, 1, 2, 2)
    gate = paired_gate()
    swapped = dataclasses.replace(old, prompt_ids=(*old.prompt_ids[:5], "p6", "p5", "p7"))
    with pytest.raises(ValueError, match="prompt 5 of 'gate' is 'p5' for the candidate and 'p6' for the incumbent"):
        gate(new, swapped, 1)
    with pytest.raises(ValueError, match="candidate has 8 prompts of 'gate', incumbent 9"):
        gate(new, report([0.0] * 9), 1)
    with pytest.raises(ValueError, match="read on 'gate', incumbent on 'final'"):
        gate(new, dataclasses.replace(old, split="final"), 1)
    with pytest.raises(ValueError, match="different clusters"):
        gate(dataclasses.replace(new, clusters=tuple("abababab")), old, 1)
    with pytest.raises(ValueError, match=r"has no metric 'f1'; it has \['accuracy'\]"):
        paired_gate(metric="f1")(new, old, 1)
    with pytest.raises(ValueError, match="count from 1"):
        gate(new, old, 0)


@pytest.mark.parametrize("bad", [math.nan, math.inf])
def test_an_outcome_that_is_no_number_is_refused(bad: float) -> None:
    with pytest.raises(ValueError, match="prompt 'p1' in 'gate'"):
        paired_gate()(report([1.0, bad]), report([1.0, 0.0]), 1)


def test_another_metric_decides_where_it_is_named() -> None:
    def both(accuracy: list[float], judged: list[float]) -> Report:
        return dataclasses.replace(report(accuracy), outcomes={"accuracy": tuple(accuracy), "judged": tuple(judged)})

    new, old = both([0.0] * 9, [1.0] * 9), both([1.0] * 9, [0.0] * 9)
    assert paired_gate(metric="judged")(new, old, 1).promote
    assert not paired_gate()(new, old, 1).promote


@pytest.mark.parametrize(
    "wrong",
    [{"level": 0.0}, {"level": 1.0}, {"max_abstain": -0.1}, {"max_abstain": 1.0}, {"num_resamples": 0}, {"num_looks": 0}],
)
def test_settings_that_make_no_gate_are_refused(wrong: dict[str, float]) -> None:
    with pytest.raises(ValueError, match=next(iter(wrong))):
        PairedGate(**wrong)  # type: ignore[arg-type]


def test_clusters_must_be_one_a_prompt() -> None:
    with pytest.raises(ValueError, match="3 clusters for 2 prompts"):
        report([1.0, 0.0], clusters=["a", "b", "c"])


def test_the_sentence_of_a_boundary_of_a_small_gain_and_of_a_gate_that_cannot_tell() -> None:
    assert "exact McNemar p = 0.0625 <= 0.0625 at look 1): promoted" in paired_gate(level=0.125)(*counts(4, 0, 5, 5), 1).reason
    small = paired_gate()(*counts(12, 0, 994, 994), 1)  # a gain of 0.6 points is a gain
    assert small.promote
    assert "held-out 49.7 % -> 50.3 % (+0.6 points, 95 % interval +0.3 to +1.0; 12 wins, 0 losses of 2000;" in small.reason
    assert paired_gate()(*counts(1, 0, 1), 1).reason.endswith("rolled back, the gain may be chance")
    assert paired_gate()(*counts(0, 1, 1), 1).reason.endswith("rolled back, no gain")
    mute: list[Score] = [None] * 3 + [1.0] * 17
    assert paired_gate(max_abstain=0.1)(report(mute), report([0.0] * 20), 1).reason == (
        "3 of 20 held-out prompts have no verdict on one side or the other (15.0 %, more than the 10 % allowed): "
        "rolled back, cannot tell"
    )
    strict = paired_gate(max_abstain=0.0)
    assert strict(report([1.0] * 20), report([0.0] * 20), 1).promote
    assert "(5.0 %, more than the 0 % allowed)" in strict(report([None] + [1.0] * 19), report([0.0] * 20), 1).reason


@pytest.mark.parametrize(("num_looks", "look", "next_look"), [(None, 1, 2), (None, 3, 4), (5, 4, 5)])
def test_the_hint_counts_prompts_at_the_level_of_the_next_look(num_looks: int | None, look: int, next_look: int) -> None:
    gate = paired_gate(num_looks=num_looks)
    decision = gate(*counts(7, 5, 40, 48), look)
    wanted = prompts_needed(gain=0.02, mean_square=0.12, level=gate.level_at(next_look))
    assert decision.hint is not None
    assert decision.hint.startswith(f"about {math.ceil(wanted / 10) * 10} prompts would be needed")
    # a gain of 0.6 points rolled back for its size alone is still a gain
    tiny = gate(*counts(9, 3, 994, 994), look).hint
    assert tiny is not None
    assert "prompts would be needed" in tiny


def test_two_pairs_are_enough_to_compare() -> None:
    assert paired_gate(level=0.5)(*counts(2, 0), 1).promote


def test_the_check_of_abstentions_has_the_same_exact_boundary() -> None:
    def gate(level: float, wins: int, refused: int, num_looks: int | None = None) -> bool:
        new: list[Score] = [1.0] * wins + [None] * refused + [0.0] * 994
        old = [0.0] * wins + [1.0] * refused + [0.0] * 994
        return paired_gate(level=level, num_looks=num_looks)(report(new), report(old), 1).promote

    assert gate(0.21875, 5, 1)  # p = 7/64 exactly at the level
    assert not gate(0.2187, 5, 1)
    assert not gate(0.999, 3, 3, num_looks=1)  # a tie, though its p is below the level
    assert gate(0.999, 4, 3, num_looks=1)  # a gain of a tenth of a point
    assert not gate(0.999, 3, 4, num_looks=1)


def test_a_refused_graded_answer_counts_as_the_worst_score_known() -> None:
    new: list[Score] = [-0.5] * 10 + [None]
    old = [-0.9] * 10 + [0.0]
    # ten gains of 0.4 and a loss of 0.9 sum to 3.1; as much come to 1 + 10 + 45 sign patterns with +0.9 and to itself
    decision = paired_gate(level=114 / 2**11)(report(new), report(old), 1)
    assert decision.numbers["p_refused_wrong"] == 57 / 2**11
    assert decision.promote
    assert not paired_gate(level=113 / 2**11)(report(new), report(old), 1).promote


def test_the_smallest_settings_are_allowed() -> None:
    assert PairedGate(num_resamples=1, num_looks=1, max_abstain=0.0).level_at(1) == 0.05


def test_the_interval_in_the_sentence_is_the_one_in_the_numbers() -> None:
    decision = paired_gate()(*counts(90, 2, 4, 4), 1)
    low, high = 100 * decision.numbers["low"], 100 * decision.numbers["high"]
    assert f"(+88.0 points, 95 % interval {low:+.1f} to {high:+.1f}; 90 wins, 2 losses of 100;" in decision.reason
    assert 77 < low < 78  # far enough from 0 for a wrong factor to show
