"""Two rows on the same prompts with the same seeds: their difference, its interval, and a p-value that holds among all others."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean
from typing import Literal

from sharpen.compare.rows import Row
from sharpen.errors import DataError
from sharpen.gates.pairs import Pairs, paired_outcomes
from sharpen.report.figures import METRIC, Difference
from sharpen.stats import Interval, crossed_mean, holm, mcnemar, permutation_test
from sharpen.types import Report, Score

__all__ = ["LEVEL", "Contrast", "contrast", "contrasts"]

LEVEL = 0.05
"""Chance of any false finding among all contrasts of a comparison."""


@dataclass(frozen=True, kw_only=True)
class Contrast(Difference):
    """The first row minus the second, over seeds and the prompts that have a verdict on both sides with every seed.

    Attributes:
        p: two-sided, of no difference, and not corrected.
        corrected: the same after Holm's correction for all contrasts of the comparison.
        num_seeds, num_prompts: that were compared.
        num_left_out: prompts without a verdict somewhere.
        wins, losses: prompts on which the first scores higher, lower, mean over seeds.
    """

    first: str
    second: str
    p: float
    corrected: float
    num_seeds: int
    num_prompts: int
    num_left_out: int
    wins: float
    losses: float

    def turned(self) -> Contrast:
        """The second minus the first."""
        interval = Interval(low=-self.interval.high, high=-self.interval.low) if self.interval is not None else None
        return dataclasses.replace(
            self,
            first=self.second,
            second=self.first,
            difference=-self.difference,
            interval=interval,
            wins=self.losses,
            losses=self.wins,
        )

    @property
    def verdict(self) -> Literal["beats", "is beaten by", "cannot be told from"]:
        """What the corrected p-value says."""
        if self.corrected > LEVEL or self.difference == 0:
            return "cannot be told from"
        return "beats" if self.difference > 0 else "is beaten by"

    @property
    def p_text(self) -> str:
        """The corrected p-value as people read it.

        >>> Contrast(first="a", second="b", difference=0.1, interval=None, p=1e-5, corrected=2e-5, num_seeds=3, num_prompts=9,
        ...          num_left_out=0, wins=1.0, losses=0.0, binary=True).p_text
        '< 0.001'
        """
        return "< 0.001" if self.corrected < 0.001 else f"{self.corrected:.3f}"


def contrast(
    first: Mapping[int, Report], second: Mapping[int, Report], *, names: tuple[str, str] = ("first", "second")
) -> Contrast | None:
    """The first minus the second, paired by prompt and seed; None where no prompt has a verdict on both sides with every seed.

    With two seeds or more, seeds and prompts both count as drawn (`crossed_mean`). With one seed, or where no seed and prompt
    changed anything, the paired interval and test over prompts that reports use: they say nothing of other seeds.

    Args:
        first, second: reports on the final split by seed.

    Raises:
        DataError: they share no seed.
        ValueError: the reports are not of the same prompts.
    """
    seeds = sorted(first.keys() & second.keys())
    if not seeds:
        raise DataError(
            f"{names[0]} has the seeds {sorted(first)} and {names[1]} {sorted(second)}: none in common, so they cannot be paired; "
            "run both with the same seeds"
        )
    reports = [report for seed in seeds for report in (first[seed], second[seed])]
    for report in reports:
        paired_outcomes(report, reports[0], METRIC)  # refuses other prompts
    judged = _judged([report.outcomes[METRIC] for report in reports])
    pairs = [paired_outcomes(_only(first[seed], judged), _only(second[seed], judged), METRIC) for seed in seeds]
    if not judged:
        return None
    binary = all(one.binary for one in pairs)
    interval, p = _tested(pairs, binary=binary)
    return Contrast(
        first=names[0],
        second=names[1],
        difference=fmean(value for one in pairs for value in one.differences),
        interval=interval,
        p=p,
        corrected=p,
        num_seeds=len(seeds),
        num_prompts=len(judged),
        num_left_out=len(first[seeds[0]].prompt_ids) - len(judged),
        wins=fmean(one.wins for one in pairs),
        losses=fmean(one.losses for one in pairs),
        binary=binary,
    )


def contrasts(rows: Sequence[Row]) -> tuple[Contrast, ...]:
    """Every pair of rows but those of two controls, the p-values corrected for their number by Holm's method.

    Of each pair the one that stands further up is second, but for the base and controls, which always are.

    Raises:
        DataError: two rows share no seed.
    """
    order = {"base": 0, "control": 1, "method": 2}
    ranked = sorted(rows, key=lambda row: order[row.role])
    found = [
        contrast(first.reports, second.reports, names=(first.name, second.name))
        for place, first in enumerate(ranked)
        for second in ranked[:place]
        if not (first.role == second.role == "control")
    ]
    known = [one for one in found if one is not None]
    corrected = holm([one.p for one in known])
    return tuple(dataclasses.replace(one, corrected=p) for one, p in zip(known, corrected, strict=True))


def _tested(pairs: Sequence[Pairs], *, binary: bool) -> tuple[Interval | None, float]:
    """95 % interval and two-sided p-value."""
    one = pairs[0]
    if one.num_units < 2:
        return None, 1.0
    if len(pairs) > 1:
        found = crossed_mean([each.differences for each in pairs], clusters=one.clusters)
        if found.error > 0:
            low, high = found.interval.low, found.interval.high
            return Interval(low=max(-1.0, low), high=min(1.0, high)) if binary else found.interval, found.p
    if one.binary:
        return one.interval(), mcnemar(one.wins, one.losses, alternative="two-sided")
    return one.interval(), permutation_test(one.differences, clusters=one.clusters, alternative="two-sided")


def _judged(columns: Sequence[Sequence[Score]]) -> list[int]:
    """Places of the prompts that have an outcome in every column."""
    return [place for place, scores in enumerate(zip(*columns, strict=True)) if None not in scores]


def _only(report: Report, places: Sequence[int]) -> Report:
    """The report on these prompts alone."""
    return dataclasses.replace(
        report,
        prompt_ids=tuple(report.prompt_ids[place] for place in places),
        outcomes={METRIC: tuple(report.outcomes[METRIC][place] for place in places)},
        completions=tuple(report.completions[place] for place in places),
        clusters=None if report.clusters is None else tuple(report.clusters[place] for place in places),
    )
