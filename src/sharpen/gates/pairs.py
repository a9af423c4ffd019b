"""Two reports on the same prompts, laid side by side and compared."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property

from sharpen.stats import Interval, bootstrap_interval, mcnemar, paired_interval, permutation_test
from sharpen.types import Report, Score

__all__ = ["ROUNDING", "Comparison", "Pairs", "compare", "paired_outcomes"]

ROUNDING = 1e-9  # shares such as 1 - 0.95 are off in the last bits; a threshold met exactly is met


@dataclass(frozen=True, kw_only=True)
class Pairs:
    """The outcomes of two checkpoints on the prompts where both have one.

    Attributes:
        candidate, incumbent: n scores each.
        clusters: n names of what each prompt belongs to, or None where prompts were drawn singly.
        num_prompts: prompts of the held-out set.
        refused: prompts that the incumbent has an outcome on and the candidate has none.
    """

    candidate: tuple[float, ...]
    incumbent: tuple[float, ...]
    clusters: tuple[str, ...] | None
    num_prompts: int
    refused: int

    @property
    def num_abstained(self) -> int:
        """Prompts left out because one side or both abstained."""
        return self.num_prompts - len(self.candidate)

    def abstains_above(self, share: float) -> bool:
        """Whether more than this share of the prompts was left out."""
        return self.num_abstained > share * self.num_prompts + ROUNDING

    @cached_property
    def differences(self) -> tuple[float, ...]:
        """By how much each prompt changed: n scores, candidate minus incumbent."""
        return tuple(new - old for new, old in zip(self.candidate, self.incumbent, strict=True))

    @property
    def num_units(self) -> int:
        """Prompts, or clusters of prompts, that are independent of each other."""
        return len(self.candidate) if self.clusters is None else len(set(self.clusters))

    @property
    def wins(self) -> int:
        """Prompts on which the candidate scores higher."""
        return sum(value > 0 for value in self.differences)

    @property
    def losses(self) -> int:
        """Prompts on which the candidate scores lower."""
        return sum(value < 0 for value in self.differences)

    @property
    def binary(self) -> bool:
        """Whether each prompt stands for itself and was right (1) or wrong (0) on both sides."""
        return self.num_units == len(self.candidate) and all(value in (0.0, 1.0) for value in self.candidate + self.incumbent)

    def interval(self, *, confidence: float = 0.95) -> Interval:
        """Where the mean difference lies: Tango's score interval for right and wrong, else a bootstrap."""
        if self.binary:
            return paired_interval(self.wins, self.losses, len(self.candidate), confidence=confidence)
        return bootstrap_interval(self.differences, clusters=self.clusters, confidence=confidence)


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """What a paired one-sided test says of the candidate.

    Attributes:
        test: its name, for people.
        p: the p-value of "better".
        difference: mean difference, candidate minus incumbent.
        mean_square: mean squared difference per prompt, cluster by cluster; it tells how many prompts a gain needs.
    """

    test: str
    p: float
    difference: float
    mean_square: float


def paired_outcomes(candidate: Report, incumbent: Report, metric: str, *, refused_as: float | None = None) -> Pairs:
    """The pairs of outcomes; a prompt on which either side abstained is left out.

    Args:
        refused_as: counts the candidate's abstentions as this score where the incumbent has an outcome; None leaves them out.

    Raises:
        ValueError: the reports are not of the same prompts in the same order, lack the metric, or hold an outcome that is no
            finite number.
    """
    _check_same_prompts(candidate, incumbent)
    new, old = (_column(report, metric) for report in (candidate, incumbent))
    refused = sum(a is None and b is not None for a, b in zip(new, old, strict=True))
    if refused_as is not None:
        new = tuple(refused_as if score is None else score for score in new)
    both = [(i, a, b) for i, (a, b) in enumerate(zip(new, old, strict=True)) if a is not None and b is not None]
    return Pairs(
        candidate=tuple(a for _, a, _ in both),
        incumbent=tuple(b for _, _, b in both),
        clusters=None if candidate.clusters is None else tuple(candidate.clusters[i] for i, _, _ in both),
        num_prompts=len(new),
        refused=refused,
    )


def compare(pairs: Pairs, *, num_resamples: int = 99_999) -> Comparison:
    """Is the candidate better? The exact McNemar test for right and wrong, else the paired permutation test; one-sided both."""
    num_pairs = len(pairs.candidate)
    if pairs.binary:
        test, p = "exact McNemar", mcnemar(pairs.wins, pairs.losses)
    else:
        clustered = pairs.num_units < num_pairs
        test = f"paired permutation of {pairs.num_units} clusters" if clustered else "paired permutation"
        p = permutation_test(pairs.differences, clusters=pairs.clusters, num_resamples=num_resamples)
    units: dict[str, list[float]] = {}
    for name, value in zip(pairs.clusters or map(str, range(num_pairs)), pairs.differences, strict=True):
        units.setdefault(name, []).append(value)
    return Comparison(
        test=test,
        p=p,
        difference=math.fsum(pairs.differences) / num_pairs,
        mean_square=math.fsum(math.fsum(values) ** 2 for values in units.values()) / num_pairs,
    )


def _column(report: Report, metric: str) -> tuple[Score, ...]:
    if metric not in report.outcomes:
        raise ValueError(
            f"report of {report.split!r} for checkpoint {report.checkpoint!r} has no metric {metric!r}; it has "
            f"{sorted(report.outcomes) or 'none'}: name one of them"
        )
    for prompt_id, score in zip(report.prompt_ids, report.outcomes[metric], strict=True):
        if score is not None and not math.isfinite(score):
            raise ValueError(
                f"{metric} of prompt {prompt_id!r} in {report.split!r} is {score}; give a finite number, None to abstain"
            )
    return report.outcomes[metric]


def _check_same_prompts(candidate: Report, incumbent: Report) -> None:
    new, old = candidate.prompt_ids, incumbent.prompt_ids
    if candidate.split != incumbent.split:
        raise ValueError(f"candidate was read on {candidate.split!r}, incumbent on {incumbent.split!r}; read both on one split")
    if len(new) != len(old):
        raise ValueError(
            f"candidate has {len(new)} prompts of {candidate.split!r}, incumbent {len(old)}; read both on the same ones"
        )
    for i, (a, b) in enumerate(zip(new, old, strict=True)):
        if a != b:
            raise ValueError(
                f"prompt {i} of {candidate.split!r} is {a!r} for the candidate and {b!r} for the incumbent; "
                "read both on the same prompts in the same order"
            )
    if candidate.clusters != incumbent.clusters:
        raise ValueError(f"candidate and incumbent name different clusters of {candidate.split!r}; give both the same")
