"""What forbids promotion: each guard at its exact threshold, and the healthy models that must pass."""

from __future__ import annotations

import dataclasses

import pytest
from report_builders import HEALTHY, answer, counts, report

from sharpen.gates import AbilityKept, AnswersStop, AnswersVary, LengthHolds, paired_gate
from sharpen.monitors import answer_statistics
from sharpen.types import Report


def described(**statistics: float) -> Report:
    return report([1.0, 0.0], statistics=statistics)


@pytest.mark.parametrize("statistic", ["distinct", "entropy"])
@pytest.mark.parametrize(
    ("new", "old", "target", "passed"),
    [
        (0.15, 0.95, 0.60, True),  # exactly a quarter of what the targets have
        (0.149, 0.95, 0.60, False),
        (0.149, 0.149, 0.60, False),  # an incumbent that is no better is no excuse
        (0.149, 0.140, 0.60, True),  # but the way up from a degenerate incumbent is open
        (0.20, 0.80, None, True),  # no targets: a quarter of the incumbent
        (0.199, 0.80, None, False),
        (0.0, 0.0, 0.0, True),  # every target is the same
    ],
)
def test_answers_must_vary(statistic: str, new: float, old: float, target: float | None, passed: bool) -> None:
    targets = {} if target is None else {f"target_{statistic}": target}
    guard = AnswersVary(statistic=statistic)  # type: ignore[arg-type]
    finding = guard(described(**{statistic: new}, **targets), described(**{statistic: old}, **targets))
    assert finding.passed is passed
    assert finding.guard == statistic
    assert finding.numbers[statistic] == new
    assert finding.numbers[f"{statistic}_floor"] == 0.25 * (old if target is None else target)


@pytest.mark.parametrize(
    ("new", "old", "passed"), [(0.95, 1.0, True), (0.9499, 1.0, False), (1.0, 0.2, True), (0.0, 0.05, True), (0.3, 0.36, False)]
)
def test_answers_must_stop(new: float, old: float, passed: bool) -> None:
    assert AnswersStop()(described(stop_rate=new), described(stop_rate=old)).passed is passed


@pytest.mark.parametrize(
    ("new", "old", "passed"),
    [(2.0, 100.0, True), (1.99, 100.0, False), (200.0, 10.0, True), (200.1, 10.0, False), (9.0, 0.0, True), (60.0, 3.0, True)],
)
def test_length_must_hold(new: float, old: float, passed: bool) -> None:
    assert LengthHolds()(described(mean_length=new), described(mean_length=old)).passed is passed


def second_task(new: list[float | None], old: list[float | None], **settings: float) -> tuple[bool, str, str]:
    reports = (report([1.0, 0.0], second=report(column, split="second")) for column in (new, old))
    finding = AbilityKept(**settings)(*reports)  # type: ignore[arg-type]
    return finding.passed, finding.sentence, finding.hint


def test_general_ability_must_be_shown_to_be_kept() -> None:
    assert AbilityKept()(report([1.0]), report([0.0])).passed  # there is no second task
    half = [1.0] * 50 + [0.0] * 50
    assert second_task(half, half)[0]
    passed, sentence, hint = second_task([1.0] * 30 + [0.0] * 70, half)
    assert not passed
    assert sentence == (
        "second task 50.0 % -> 30.0 %, a loss of 27.3 points cannot be excluded with 95 % confidence "
        "(10 are allowed, 100 prompts)"
    )
    assert hint.startswith("general ability is lost")
    passed, _, hint = second_task([1.0] * 5 + [0.0] * 5, [0.0] * 2 + [1.0] * 5 + [0.0] * 3)
    assert not passed  # too few prompts to show anything
    assert "too small to tell" in hint
    assert second_task([1.0] * 60 + [0.0] * 40, half)[0]


def test_general_ability_sits_on_the_margin_of_tangos_bound() -> None:
    old = [1.0] * 100 + [0.0] * 100
    new = [1.0] * 93 + [0.0] * 107  # 7 losses of 200: the one-sided 95 % bound is -0.06333
    assert second_task(new, old, margin=0.0634)[0]
    assert not second_task(new, old, margin=0.0633)[0]
    assert second_task(new, old, margin=0.0559, confidence=0.90)[0]  # -0.05580
    assert not second_task(new, old, margin=0.0557, confidence=0.90)[0]


def test_general_ability_with_graded_outcomes_and_abstentions() -> None:
    old: list[float | None] = [0.5, 0.7, 0.6, 0.8] * 25
    assert second_task([0.52, 0.69, 0.61, 0.79] * 25, old)[0]
    assert not second_task([0.3, 0.5, 0.4, 0.6] * 25, old)[0]
    mute: list[float | None] = [None] * 11 + old[11:]
    passed, sentence, hint = second_task(mute, old)
    assert not passed
    assert "11 of 100 prompts of the second task have no verdict" in sentence
    assert "audit" in hint
    assert second_task([None] * 10 + old[10:], old)[0]


def test_one_sided_reports_and_missing_statistics_are_refused() -> None:
    with pytest.raises(ValueError, match="only the candidate was read on the second task"):
        AbilityKept()(report([1.0], second=report([1.0])), report([1.0]))
    with pytest.raises(ValueError, match="only the incumbent"):
        AbilityKept()(report([1.0]), report([1.0], second=report([1.0])))
    with pytest.raises(ValueError, match=r"no statistic 'stop_rate'; fill its statistics with answer_statistics\(\)"):
        AnswersStop()(described(), described())


@pytest.mark.parametrize(
    ("guard", "wrong"),
    [
        (AnswersVary, {"min_ratio": 1.1}),
        (AnswersStop, {"max_fall": -0.1}),
        (LengthHolds, {"min_ratio": 1.5}),
        (LengthHolds, {"max_ratio": 0.5}),
        (AbilityKept, {"margin": 0.0}),
        (AbilityKept, {"confidence": 0.5}),
        (AbilityKept, {"max_abstain": 2.0}),
    ],
)
def test_settings_that_guard_nothing_are_refused(guard: type, wrong: dict[str, float]) -> None:
    with pytest.raises(ValueError):
        guard(**wrong)


@pytest.mark.parametrize(
    ("harm", "name", "says"),
    [
        (
            {"distinct": 0.005, "entropy": 0.0},
            "distinct",
            "distinct answers are 0.5 % against 60.0 % for the incumbent and 62.0 % for the targets",
        ),
        ({"entropy": 0.5}, "entropy", "answer entropy is 0.50 nats against 4.50 nats"),
        ({"stop_rate": 0.9}, "stop_rate", "90.0 % of answers end by themselves against 98.0 %"),
        ({"mean_length": 300.0}, "mean_length", "mean answer length is 300.0 tokens against 9.0"),
    ],
)
def test_a_guard_overrules_a_significant_gain_and_says_so(harm: dict[str, float], name: str, says: str) -> None:
    new, old = counts(40, 2, 60, 98)
    decision = paired_gate()(dataclasses.replace(new, statistics={**HEALTHY, **harm}), old, 1)
    assert decision.numbers["p"] < 1e-6
    assert not decision.promote
    assert name in decision.failed_guards
    assert f"at look 1), but {says}" in decision.reason
    assert decision.reason.endswith(": rolled back")
    assert decision.hint


def test_a_roll_back_for_no_gain_still_names_the_guard() -> None:
    new, old = counts(1, 40, 10, 149)
    decision = paired_gate()(dataclasses.replace(new, statistics={**HEALTHY, "distinct": 0.005, "entropy": 0.0}), old, 1)
    assert decision.failed_guards == ("distinct", "entropy")
    assert "rolled back, no gain; also distinct answers are 0.5 %" in decision.reason
    assert decision.hint is not None
    assert decision.hint.startswith("worse: ")
    assert decision.hint.count("answers collapse to a few") == 1


def answers(texts: list[str], targets: list[str], *, num_tokens: int, finish: str = "stop") -> dict[str, float]:
    return dict(answer_statistics([answer(text, num_tokens=num_tokens, finish=finish) for text in texts], targets=targets))


def sums() -> list[str]:
    return [str(((i * 7919) % 189) - 89) for i in range(200)]


def test_a_healthy_improvement_from_a_babbling_base_passes_every_guard() -> None:
    targets = sums()
    base = answers([f"To find the sum we first {i} ..." for i in range(200)], targets, num_tokens=60, finish="length")
    better = [target if i % 10 < 3 else str(i % 37) for i, target in enumerate(targets)]  # 30 % right, favourite wrong numbers
    improved = answers(better, targets, num_tokens=3)
    new, old = counts(60, 5, 4, 131)
    decision = paired_gate()(dataclasses.replace(new, statistics=improved), dataclasses.replace(old, statistics=base), 1)
    assert decision.promote
    assert decision.failed_guards == ()


def test_right_on_a_quarter_and_constant_on_the_rest_is_where_the_floor_lies() -> None:
    targets = sums()
    quarter = answers([target if i % 4 == 0 else "0" for i, target in enumerate(targets)], targets, num_tokens=2)
    tenth = answers([target if i % 10 == 0 else "0" for i, target in enumerate(targets)], targets, num_tokens=2)
    base = answers(targets, targets, num_tokens=2)
    for statistic in ("distinct", "entropy"):
        guard = AnswersVary(statistic=statistic)  # type: ignore[arg-type]
        assert guard(described(**quarter), described(**base)).passed
        assert not guard(described(**tenth), described(**base)).passed


def test_a_constant_label_is_degenerate_though_it_scores_better() -> None:
    targets = ["yes"] * 120 + ["no"] * 80
    base = answers(["yes", "no"] * 100, targets, num_tokens=1)  # a coin: 50 %
    constant = answers(["yes"] * 200, targets, num_tokens=1)  # 60 %
    new = [1.0] * 120 + [0.0] * 80
    old = [float(text == target) for text, target in zip(["yes", "no"] * 100, targets, strict=True)]
    gate = paired_gate(level=0.5)
    decision = gate(report(new, statistics=constant), report(old, statistics=base), 1)
    assert decision.numbers["p"] < 0.05
    assert decision.failed_guards == ("entropy",)
    swapped = answers(["no"] * 200, targets, num_tokens=1)  # from one constant to a luckier one
    assert "entropy" in gate(report(new, statistics=constant), report(old, statistics=swapped), 1).failed_guards
    skewed = answers(["yes"] * 185 + ["no"] * 15, targets, num_tokens=1)
    assert gate(report(new, statistics=skewed), report(old, statistics=base), 1).promote


def test_the_extreme_settings_are_allowed_and_what_lies_beyond_is_not() -> None:
    steady, falling = described(stop_rate=0.5), described(stop_rate=0.4)
    assert AnswersStop(max_fall=0.0)(steady, steady).passed
    assert not AnswersStop(max_fall=0.0)(falling, steady).passed
    assert AnswersStop(max_fall=1.0)(described(stop_rate=0.0), described(stop_rate=1.0)).passed
    for fixed in (LengthHolds(min_ratio=1.0, max_ratio=1.0), LengthHolds(min_ratio=0.0, max_ratio=1.0)):
        assert fixed(described(mean_length=0.1 + 0.2), described(mean_length=0.3)).passed  # equal but for float noise
        assert not fixed(described(mean_length=0.31), described(mean_length=0.3)).passed
    assert AnswersVary(min_ratio=0.0)(described(distinct=0.0), described(distinct=1.0)).passed
    assert not AnswersVary(min_ratio=1.0)(described(distinct=0.99), described(distinct=1.0)).passed
    same: list[float | None] = [1.0, 0.0] * 60
    assert second_task(same, same, max_abstain=0.0)[0]
    assert not second_task([None, *same[1:]], same, max_abstain=0.0)[0]
    assert second_task([None] * 60 + same[60:], same, max_abstain=1.0)[0]
    assert second_task([1.0, 1.0], [0.0, 0.0], confidence=0.51, margin=0.9)[0]  # two prompts are a comparison
    for settings in ({"confidence": 1.0}, {"max_abstain": -0.01}, {"margin": -0.1}):
        with pytest.raises(ValueError, match=next(iter(settings))):
            AbilityKept(**settings)
    with pytest.raises(ValueError, match="max_fall"):
        AnswersStop(max_fall=1.01)
    with pytest.raises(ValueError, match="min_ratio"):
        AnswersVary(min_ratio=-0.01)
    with pytest.raises(ValueError, match="the band"):
        LengthHolds(min_ratio=-0.01)


def test_the_sentences_of_the_guards() -> None:
    stop = AnswersStop()(described(stop_rate=0.5), described(stop_rate=0.975))
    assert (
        stop.sentence == "50.0 % of answers end by themselves against 97.5 % for the incumbent (a fall of 5 points is allowed)"
    )
    length = LengthHolds()(described(mean_length=250.0), described(mean_length=10.0))
    assert length.sentence == "mean answer length is 250.0 tokens against 10.0 for the incumbent (0.2 to 200.0 allowed)"
    vary = AnswersVary()(described(distinct=0.1), described(distinct=0.8))
    assert vary.sentence == "distinct answers are 10.0 % against 80.0 % for the incumbent (floor 20.0 %)"
    flat = AnswersVary(statistic="entropy")(
        described(entropy=0.1, target_entropy=4.0), described(entropy=3.0, target_entropy=4.0)
    )
    assert flat.sentence == (
        "answer entropy is 0.10 nats against 3.00 nats for the incumbent and 4.00 nats for the targets (floor 1.00 nats)"
    )
    # every outcome changed and nothing was lost: (1.6449 + 1.2816 sqrt(1 - 0.1^2))^2 / 0.1^2 = 853
    half: list[float | None] = [1.0] * 30 + [0.0] * 30
    passed, _, hint = second_task(half[::-1], half)
    assert not passed
    assert hint == "the second task may be too small to tell: about 853 prompts would show it for an unharmed model"
