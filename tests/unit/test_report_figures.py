"""Held-out figures and the sentence that they allow, against counts known by hand."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
from report_builders import report

from sharpen.report.figures import Findings, Standing, Versus, estimate, findings, versus
from sharpen.run import Result, Run
from sharpen.stats import Interval, bootstrap_interval, paired_interval, wilson_interval
from sharpen.types import Report, Score
from tiny_runs import rewritten

BASE = [1.0] * 5 + [0.0] * 95
BETTER = [0.0] + [1.0] * 44 + [0.0] * 55


def standing(role: str, name: str, outcomes: Sequence[Score], improved: Report | None = None) -> Standing:
    said = report(outcomes, split="final", checkpoint=name)
    result = Result(kind="control" if role == "control" else "headline", name=name, checkpoint=name, report=said, cost={})
    gain = versus(improved, said) if improved is not None else None
    return Standing(role=role, result=result, estimate=estimate(said), versus=gain)  # type: ignore[arg-type]


def found(*standings: Standing, promoted: int = 1, rounds: int = 2, finished: bool = True) -> Findings:
    return Findings(standings=standings, num_promoted=promoted, num_rounds=rounds, finished=finished)


def test_an_accuracy_carries_wilsons_interval_and_counts_abstentions() -> None:
    one = estimate(report([1.0, 1.0, 0.0, None, 1.0]))
    assert one is not None
    assert (one.mean, one.num_judged, one.num_abstained, one.binary) == (0.75, 4, 1, True)
    assert one.interval == wilson_interval(3, 4)
    assert one.text == "75.0 %"
    assert one.interval_text == "30.1 to 95.4"


def test_a_graded_score_carries_a_bootstrap_interval_in_its_own_unit() -> None:
    one = estimate(report([0.25, 0.75, None]))
    assert one is not None
    assert not one.binary
    assert one.interval == bootstrap_interval([0.25, 0.75])
    assert one.text == "0.500"


def test_prompts_in_clusters_are_not_counted_as_if_drawn_singly() -> None:
    one = estimate(report([1.0, 1.0, None, 0.0], clusters=["a", "a", "b", "c"]))
    assert one is not None
    assert one.interval == bootstrap_interval([1.0, 1.0, 0.0], clusters=["a", "a", "c"])


def test_where_nothing_was_judged_there_is_no_figure_and_one_graded_prompt_has_no_interval() -> None:
    assert estimate(report([None, None])) is None
    assert versus(report([None, 1.0]), report([1.0, None])) is None
    single = estimate(report([0.5]))
    assert single is not None
    assert single.interval is None
    assert single.interval_text == "no interval"


def test_a_comparison_is_paired_prompt_by_prompt() -> None:
    gain = versus(report(BETTER), report(BASE))
    assert gain is not None
    assert (gain.wins, gain.losses, gain.num_pairs) == (40, 1, 100)
    assert gain.difference == pytest.approx(0.39)
    assert gain.interval == paired_interval(40, 1, 100)
    assert gain.text == "+39.0 points"
    assert gain.verdict == "beats"


def test_prompts_without_a_verdict_on_either_side_leave_the_comparison() -> None:
    gain = versus(report([1.0, None, 1.0, 0.0]), report([0.0, 1.0, None, 0.0]))
    assert gain is not None
    assert (gain.wins, gain.losses, gain.num_pairs) == (1, 0, 2)


def test_reports_on_other_prompts_do_not_compare() -> None:
    assert versus(report([1.0]), report([1.0], prompt_ids=["other"])) is None


@pytest.mark.parametrize(
    ("low", "high", "verdict"),
    [(0.01, 0.2, "beats"), (0.0, 0.2, "cannot be told from"), (-0.1, 0.1, "cannot be told from"), (-0.2, 0.0, "cannot be told from"),
     (-0.2, -0.01, "is beaten by")],
)  # fmt: skip
def test_a_verdict_needs_an_interval_that_excludes_nothing_gained(low: float, high: float, verdict: str) -> None:
    interval = Interval(low=low, high=high)
    gain = Versus(difference=(low + high) / 2, interval=interval, wins=0, losses=0, num_pairs=9, binary=True)
    assert gain.verdict == verdict


def test_without_an_interval_nothing_beats_anything() -> None:
    gain = Versus(difference=1.0, interval=None, wins=1, losses=0, num_pairs=1, binary=True)
    assert gain.verdict == "cannot be told from"
    assert gain.interval_text == "no interval"


def test_a_gain_is_told_with_its_figures() -> None:
    improved = standing("improved", "improved", BETTER)
    said = found(standing("base", "base", BASE, improved.result.report), improved)
    assert said.headline == "Held-out accuracy rose from 5.0 % to 44.0 %"
    low, high = (100 * bound for bound in (paired_interval(40, 1, 100).low, paired_interval(40, 1, 100).high))
    assert said.detail == (
        f"+39.0 points, paired 95 % interval {low:+.1f} to {high:+.1f}: 40 gained and 1 lost of 100 prompts of the final split."
    )


def test_a_gain_that_the_setup_alone_made_is_not_the_methods() -> None:
    improved = standing("improved", "improved", BETTER)
    said = found(standing("base", "base", BASE, improved.result.report), improved)
    assert "setup" not in said.detail
    only = dataclasses.replace(said, only_setup=True)
    assert only.detail == f"{said.detail} Only the setup was promoted: the rounds after it added nothing."


def test_a_loss_and_a_draw_are_told_as_such() -> None:
    worse = standing("improved", "improved", BASE)
    said = found(standing("base", "base", BETTER, worse.result.report), worse)
    assert said.headline == "Held-out accuracy fell from 44.0 % to 5.0 %"
    draw = standing("improved", "improved", [1.0] * 6 + [0.0] * 94)
    said = found(standing("base", "base", BASE, draw.result.report), draw)
    assert said.headline == "Held-out accuracy went from 5.0 % to 6.0 %, a difference that may be chance"


def test_a_graded_task_speaks_of_scores_and_prompts_left_out_are_counted() -> None:
    improved = standing("improved", "improved", [0.5, 0.75, 0.5, None])
    said = found(standing("base", "base", [0.25, 0.25, 0.25, 0.25], improved.result.report), improved)
    assert said.headline == "Held-out score rose from 0.250 to 0.583"
    assert said.detail.endswith("3 gained and 0 lost of 3 prompts of the final split, 1 left out for want of a verdict.")


def test_nothing_promoted_is_said_first() -> None:
    base = standing("base", "base", BASE)
    assert found(base, promoted=0).headline == "Nothing was promoted: the weights are the base's"
    voted = standing("improved", "base with majority()", BETTER)
    told = found(standing("base", "base", BASE, voted.result.report), voted, promoted=0).headline
    assert told.startswith("Nothing was promoted: the weights are the base's. Held-out accuracy rose")


def test_a_method_that_only_answers_has_no_candidates_to_speak_of() -> None:
    voted = standing("improved", "base with majority()", BETTER)
    said = found(standing("base", "base", BASE, voted.result.report), voted, promoted=0, rounds=0)
    assert said.headline == "Held-out accuracy rose from 5.0 % to 44.0 %"


def test_an_unfinished_run_and_a_task_without_final_split_claim_nothing() -> None:
    assert found(promoted=1, rounds=1, finished=False).headline == (
        "This run has not come to its end: 1 of 1 candidate was promoted so far"
    )
    assert found(promoted=0, rounds=0, finished=False).headline.endswith("no candidate has a decision so far")
    assert found(promoted=2, rounds=3).headline == "Nothing was measured on a final split; 2 of 3 candidates were promoted"
    assert found().detail == "No figure of the final split is on file."


def test_controls_are_sorted_by_verdict() -> None:
    improved = standing("improved", "improved", BETTER)
    own = improved.result.report
    weak, alike, strong = ([0.0] * 100, BETTER, [1.0] * 100)
    said = found(*(standing("control", name, outcomes, own) for name, outcomes in (("a", weak), ("b", alike), ("c", strong))))
    assert [one.name for one in said.against("beats")] == ["a"]
    assert [one.name for one in said.against("cannot be told from")] == ["b"]
    assert [one.name for one in said.against("is beaten by")] == ["c"]


def test_a_run_is_read_base_first_then_what_it_ends_with(tiny_run: Run) -> None:
    said = findings(tiny_run)
    assert said.finished
    assert said.num_rounds == len(tiny_run.rounds)
    assert said.num_promoted == sum(one.decision.promote for one in tiny_run.rounds) > 0
    assert [one.role for one in said.standings][:2] == ["base", "improved"]
    assert said.improved is not None
    assert said.improved.result.checkpoint == tiny_run.best_id
    assert [one.name for one in said.controls] == [one.name for one in tiny_run.results if one.kind == "control"]
    assert said.headline.startswith("Held-out accuracy rose from ")
    assert not said.only_setup


def test_a_run_whose_setup_alone_was_promoted_is_known(tiny_run: Run, tmp_path: Path) -> None:
    def only_setup(kind: str, value: Mapping[str, Any]) -> Mapping[str, Any]:
        if kind != "round":
            return value
        return {**value, "round": value["round"] - 1, "decision": {**value["decision"], "promote": value["round"] == 0}}

    assert findings(rewritten(tiny_run.folder, tmp_path / "copy", value=only_setup)).only_setup


def test_a_run_that_promoted_nothing_ends_with_its_base(fruitless_run: Run, unfinished_run: Run) -> None:
    assert findings(fruitless_run).improved is None
    assert findings(fruitless_run).headline == "Nothing was promoted: the weights are the base's"
    assert not findings(unfinished_run).finished
    assert findings(unfinished_run).standings == ()
