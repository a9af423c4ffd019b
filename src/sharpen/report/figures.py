"""What a run's final split says: accuracies, paired differences, and one sentence that is true."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from sharpen.gates.pairs import paired_outcomes
from sharpen.report.text import signed
from sharpen.run import Result, Run
from sharpen.stats import Interval, bootstrap_interval, wilson_interval
from sharpen.types import Report

__all__ = ["Difference", "Estimate", "Findings", "Standing", "Versus", "estimate", "findings", "versus"]

METRIC = "accuracy"


@dataclass(frozen=True, kw_only=True)
class Estimate:
    """A mean outcome on a held-out set.

    Attributes:
        mean: over the prompts that have a verdict.
        interval: 95 %, Wilson's for right and wrong, else a bootstrap; None for a single graded prompt.
        num_judged, num_abstained: prompts with a verdict, and without.
        binary: whether every verdict is right (1) or wrong (0).
    """

    mean: float
    interval: Interval | None
    num_judged: int
    num_abstained: int
    binary: bool

    @property
    def text(self) -> str:
        """The mean as people read it.

        >>> Estimate(mean=0.445, interval=None, num_judged=200, num_abstained=0, binary=True).text
        '44.5 %'
        """
        return f"{100 * self.mean:.1f} %" if self.binary else f"{self.mean:.3f}"

    @property
    def interval_text(self) -> str:
        """The interval as people read it, in the mean's unit."""
        if self.interval is None:
            return "no interval"
        low, high = self.interval.low, self.interval.high
        return f"{100 * low:.1f} to {100 * high:.1f}" if self.binary else f"{low:.3f} to {high:.3f}"


@dataclass(frozen=True, kw_only=True)
class Difference:
    """One mean outcome minus another.

    Attributes:
        difference: of the means.
        interval: 95 %, paired; None where fewer than two prompts can be compared.
        binary: whether every verdict is right (1) or wrong (0).
    """

    difference: float
    interval: Interval | None
    binary: bool

    @property
    def text(self) -> str:
        """The difference as people read it."""
        return f"{signed(100 * self.difference)} points" if self.binary else signed(self.difference, 3)

    @property
    def interval_text(self) -> str:
        """The interval as people read it, in the difference's unit."""
        if self.interval is None:
            return "no interval"
        factor, digits = (100, 1) if self.binary else (1, 3)
        return f"{signed(factor * self.interval.low, digits)} to {signed(factor * self.interval.high, digits)}"


@dataclass(frozen=True, kw_only=True)
class Versus(Difference):
    """One report minus another on the prompts where both have a verdict.

    Attributes:
        wins, losses: prompts on which the first scores higher, lower.
        num_pairs: prompts compared.
    """

    wins: int
    losses: int
    num_pairs: int

    @property
    def verdict(self) -> Literal["beats", "is beaten by", "cannot be told from"]:
        """What the interval says."""
        if self.interval is not None and self.interval.low > 0:
            return "beats"
        if self.interval is not None and self.interval.high < 0:
            return "is beaten by"
        return "cannot be told from"


@dataclass(frozen=True, kw_only=True)
class Standing:
    """One that answered the final split.

    Attributes:
        estimate: None where the verifier gave no verdict at all.
        versus: the improved one minus this one; None for the improved one itself, or where they do not compare.
    """

    role: Literal["base", "improved", "control"]
    result: Result
    estimate: Estimate | None
    versus: Versus | None

    @property
    def name(self) -> str:
        """What answered, in words."""
        return self.result.name


@dataclass(frozen=True, kw_only=True)
class Findings:
    """All that the final split says of a run.

    Attributes:
        standings: everything measured, base first, then what the run ends with, then controls.
        num_promoted, num_rounds: candidates that were promoted, and that have a decision; a method that only answers has none.
        finished: whether the run came to its end.
        only_setup: whether the one thing promoted is what was made before the first round.
    """

    standings: tuple[Standing, ...]
    num_promoted: int
    num_rounds: int
    finished: bool
    only_setup: bool = False

    @property
    def base(self) -> Standing | None:
        """The model that the run started from."""
        return next((one for one in self.standings if one.role == "base"), None)

    @property
    def improved(self) -> Standing | None:
        """What the run ends with; None where nothing was promoted and answers are the base's own."""
        return next((one for one in self.standings if one.role == "improved"), None)

    @property
    def controls(self) -> tuple[Standing, ...]:
        """What a sceptic would ask first."""
        return tuple(one for one in self.standings if one.role == "control")

    def against(self, verdict: str) -> tuple[Standing, ...]:
        """Controls on which the improved one has this verdict."""
        return tuple(one for one in self.controls if one.versus is not None and one.versus.verdict == verdict)

    @property
    def headline(self) -> str:
        """The run in one sentence."""
        if not self.finished:
            return f"This run has not come to its end: {_rounds(self.num_promoted, self.num_rounds)} so far"
        said = self._measured()
        if self.num_promoted or not self.num_rounds:
            return said
        unchanged = "Nothing was promoted: the weights are the base's"
        return f"{unchanged}. {said}" if self.improved is not None else unchanged

    def _measured(self) -> str:
        base, improved = self.base, self.improved
        if base is None or base.estimate is None:
            return f"Nothing was measured on a final split; {_rounds(self.num_promoted, self.num_rounds)}"
        what = "accuracy" if base.estimate.binary else "score"
        if improved is None or improved.estimate is None or base.versus is None:
            return f"Held-out {what} of the base is {base.estimate.text}"
        change = f"from {base.estimate.text} to {improved.estimate.text}"
        match base.versus.verdict:
            case "beats":
                return f"Held-out {what} rose {change}"
            case "is beaten by":
                return f"Held-out {what} fell {change}"
            case _:
                return f"Held-out {what} went {change}, a difference that may be chance"

    @property
    def detail(self) -> str:
        """The figures behind the headline, in one sentence."""
        base, improved = self.base, self.improved
        if base is None or base.estimate is None:
            return "No figure of the final split is on file."
        if improved is None or base.versus is None:
            prompts = _prompts(base.estimate)
            return f"The base reaches {base.estimate.text} (95 % interval {base.estimate.interval_text}) on {prompts}."
        pairs = base.versus
        counts = f"{pairs.wins} gained and {pairs.losses} lost of {pairs.num_pairs} prompts of the final split"
        without = len(base.result.report.prompt_ids) - pairs.num_pairs
        counts += f", {without} left out for want of a verdict" if without else ""
        setup = " Only the setup was promoted: the rounds after it added nothing." if self.only_setup else ""
        return f"{pairs.text}, paired 95 % interval {pairs.interval_text}: {counts}.{setup}"


def estimate(report: Report) -> Estimate | None:
    """The mean outcome of a report with its 95 % interval; None where every prompt abstained."""
    column = report.outcomes[METRIC]
    judged = [place for place, score in enumerate(column) if score is not None]
    scores = [score for score in column if score is not None]
    if not scores:
        return None
    binary = report.clusters is None and all(score in (0.0, 1.0) for score in scores)
    clusters = None if report.clusters is None else [report.clusters[place] for place in judged]
    interval = None
    if binary:
        interval = wilson_interval(round(sum(scores)), len(scores))
    elif len(set(clusters) if clusters is not None else scores) > 1 or (clusters is None and len(scores) > 1):
        interval = bootstrap_interval(scores, clusters=clusters)
    return Estimate(
        mean=sum(scores) / len(scores),
        interval=interval,
        num_judged=len(scores),
        num_abstained=len(column) - len(scores),
        binary=binary,
    )


def versus(first: Report, second: Report) -> Versus | None:
    """The first minus the second, paired; None where they share no judged prompt or are of different prompts."""
    if first.prompt_ids != second.prompt_ids or first.clusters != second.clusters:
        return None
    pairs = paired_outcomes(first, second, METRIC)
    if not pairs.differences:
        return None
    return Versus(
        difference=sum(pairs.differences) / len(pairs.differences),
        interval=pairs.interval() if pairs.binary or pairs.num_units > 1 else None,
        wins=pairs.wins,
        losses=pairs.losses,
        num_pairs=len(pairs.differences),
        binary=pairs.binary,
    )


def findings(run: Run) -> Findings:
    """Read a run's decisions and final figures."""
    results = run.results
    rounds = run.rounds
    base = next((one for one in results if one.kind == "headline" and one.name == "base"), None)
    improved = _improved(run, results)
    found: list[Standing] = []
    for result in results:
        role: Literal["base", "improved", "control"] = "control"
        if result is base:
            role = "base"
        elif result is improved:
            role = "improved"
        gain = versus(improved.report, result.report) if improved is not None and result is not improved else None
        found.append(Standing(role=role, result=result, estimate=estimate(result.report), versus=gain))
    order = ("base", "improved", "control")
    return Findings(
        standings=tuple(sorted(found, key=lambda one: order.index(one.role))),
        num_promoted=sum(one.decision.promote for one in rounds),
        num_rounds=sum(one.decision.test != "not due" for one in rounds),
        finished=run.finished,
        only_setup={one.index for one in rounds if one.decision.promote} == {-1},
    )


def _improved(run: Run, results: Sequence[Result]) -> Result | None:
    """The last headline of the checkpoint that the run ends with, unless that is the base answering as it did before."""
    if not run.finished:
        return None
    ends = [one for one in results if one.kind == "headline" and one.name != "base" and one.checkpoint == run.best_id]
    return ends[-1] if ends else None


def _rounds(promoted: int, total: int) -> str:
    if not total:
        return "no candidate has a decision"
    return f"{promoted} of {total} candidate{'s' if total != 1 else ''} {'were' if promoted != 1 else 'was'} promoted"


def _prompts(found: Estimate) -> str:
    without = f", {found.num_abstained} more without a verdict" if found.num_abstained else ""
    return f"{found.num_judged} prompts of the final split{without}"
