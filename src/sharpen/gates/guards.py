"""What forbids promotion though the held-out score rose: degenerate answers, and lost general ability.

The gate's test already asks for more right answers, so a guard looks for gross harm that a score can hide, and its thresholds
let any healthy improvement pass: a false alarm throws away a round's gain. Lost ability is the exception, see `AbilityKept`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal, Protocol

from sharpen.gates.pairs import ROUNDING, paired_outcomes
from sharpen.stats import prompts_needed
from sharpen.types import Report

__all__ = ["AbilityKept", "AnswersStop", "AnswersVary", "Finding", "Guard", "LengthHolds"]


@dataclass(frozen=True, kw_only=True)
class Finding:
    """What a guard saw.

    Attributes:
        guard: its name, as in `Decision.failed_guards`.
        passed: False forbids promotion.
        sentence: what it saw, with numbers.
        hint: what to change where it did not pass.
        numbers: its figures, as in `Decision.numbers`.
    """

    guard: str
    passed: bool
    sentence: str
    hint: str
    numbers: Mapping[str, float] = field(default_factory=dict)


class Guard(Protocol):
    """A check beside the gate's test."""

    def __call__(self, candidate: Report, incumbent: Report, /) -> Finding:
        """What it saw in the two reports."""
        ...


@dataclass(frozen=True, kw_only=True)
class AnswersVary:
    """Fails where the candidate gives nearly the same answer to every prompt.

    The statistic (share of distinct answers, or their entropy in nats) must reach `min_ratio` of what the targets have; where
    targets are unknown, of what the incumbent has. With known targets a candidate that varies more than the incumbent passes
    too. Targets come first since an incumbent that babbles is more varied than any right answer. A quarter is what a model
    keeps that is right on a quarter of the prompts and gives one constant answer to the rest; a constant answer alone has 1/N
    distinct ones and entropy 0. Entropy is what tells on a closed set of labels, the distinct share on open answers.

    Attributes:
        statistic: `distinct` or `entropy`, as `answer_statistics` computes them.
        min_ratio: in [0, 1].
    """

    statistic: Literal["distinct", "entropy"] = "distinct"
    min_ratio: float = 0.25

    def __post_init__(self) -> None:
        if not 0.0 <= self.min_ratio <= 1.0:
            raise ValueError(f"min_ratio is {self.min_ratio}; it lies in [0, 1]")

    def __call__(self, candidate: Report, incumbent: Report, /) -> Finding:
        """What it saw in the two reports."""
        new, old = _statistic(candidate, self.statistic), _statistic(incumbent, self.statistic)
        targets = candidate.statistics.get(f"target_{self.statistic}")
        floor = self.min_ratio * (old if targets is None else targets)
        passed = new >= floor - ROUNDING or (targets is not None and new > old)
        seen = f"against {_amount(old, self.statistic)} for the incumbent"
        seen += "" if targets is None else f" and {_amount(targets, self.statistic)} for the targets"
        what = "distinct answers are" if self.statistic == "distinct" else "answer entropy is"
        return Finding(
            guard=self.statistic,
            passed=passed,
            sentence=f"{what} {_amount(new, self.statistic)} {seen} (floor {_amount(floor, self.statistic)})",
            hint="answers collapse to a few: train on distinct answers, cap examples a prompt, lower the learning rate, or "
            "restart from base",
            numbers={self.statistic: new, f"incumbent_{self.statistic}": old, f"{self.statistic}_floor": floor},
        )


@dataclass(frozen=True, kw_only=True)
class AnswersStop:
    """Fails where fewer answers end by themselves than the incumbent's, by more than `max_fall` (a share of prompts).

    Five points are three standard errors of the difference at 200 prompts where one answer in twenty changes its ending.
    """

    max_fall: float = 0.05

    def __post_init__(self) -> None:
        if not 0.0 <= self.max_fall <= 1.0:
            raise ValueError(f"max_fall is {self.max_fall}; it is a share in [0, 1]")

    def __call__(self, candidate: Report, incumbent: Report, /) -> Finding:
        """What it saw in the two reports."""
        new, old = _statistic(candidate, "stop_rate"), _statistic(incumbent, "stop_rate")
        return Finding(
            guard="stop_rate",
            passed=old - new <= self.max_fall + ROUNDING,
            sentence=f"{_percent(new)} of answers end by themselves against {_percent(old)} for the incumbent "
            f"(a fall of {100 * self.max_fall:g} points is allowed)",
            hint="answers run on: train on answers that stop, check that the stop token is trained, or raise max_new_tokens",
            numbers={"stop_rate": new, "incumbent_stop_rate": old},
        )


@dataclass(frozen=True, kw_only=True)
class LengthHolds:
    """Fails where mean answer length (tokens) leaves [min_ratio, max_ratio] times the incumbent's.

    The band is wide on purpose. A base that rambles to a limit of 64 tokens and learns to give the bare answer in two becomes
    thirty times shorter, and over its whole training DeepSeek-R1-Zero went from hundreds of tokens to about ten thousand
    (DeepSeek-AI 2025, arXiv 2501.12948): both are healthy. What one promotion changes by more, a person checks first.
    """

    min_ratio: float = 0.02
    max_ratio: float = 20.0

    def __post_init__(self) -> None:
        if not 0.0 <= self.min_ratio <= 1.0 <= self.max_ratio:
            raise ValueError(f"the band is {self.min_ratio} to {self.max_ratio}; give 0 <= min_ratio <= 1 <= max_ratio")

    def __call__(self, candidate: Report, incumbent: Report, /) -> Finding:
        """What it saw in the two reports."""
        new, old = _statistic(candidate, "mean_length"), _statistic(incumbent, "mean_length")
        low, high = self.min_ratio * old, self.max_ratio * old
        return Finding(
            guard="mean_length",
            passed=old == 0.0 or low * (1 - ROUNDING) <= new <= high * (1 + ROUNDING),
            sentence=f"mean answer length is {new:.1f} tokens against {old:.1f} for the incumbent "
            f"({low:.1f} to {high:.1f} allowed)",
            hint="answer length drifts: look at the answers; where they are good, widen the band with LengthHolds()",
            numbers={"mean_length": new, "incumbent_mean_length": old},
        )


@dataclass(frozen=True, kw_only=True)
class AbilityKept:
    """Fails unless the second task shows, with confidence, that general ability fell by at most `margin`.

    A non-inferiority test: the one-sided lower bound of the paired difference must not lie below -margin (Tango 1998). The
    burden of proof lies on the candidate, since the two errors differ: lost ability is silent, stays, and adds up over
    promotions; a needless roll-back costs one round, is seen, and is cured by more prompts. The price is that a small second
    set proves nothing: for nine of ten unharmed candidates to pass, it needs about 8.6 d / margin^2 prompts, with d the share
    of prompts whose outcome changes (86 at the default margin and d = 0.1, 171 at d = 0.2). It is measured against the
    incumbent, so watch the second task's accuracy over rounds as well. Reports without a second task pass.

    Attributes:
        margin: largest loss that is accepted, in units of the metric.
        confidence: of the one-sided bound.
        metric: name of the second task's outcomes.
        max_abstain: share of prompts without an outcome above which ability counts as not shown.
    """

    margin: float = 0.10
    confidence: float = 0.95
    metric: str = "accuracy"
    max_abstain: float = 0.1

    def __post_init__(self) -> None:
        if not self.margin > 0.0:
            raise ValueError(f"margin is {self.margin}; it is above 0, since no test can show that nothing at all was lost")
        if not 0.5 < self.confidence < 1.0:
            raise ValueError(f"confidence is {self.confidence}; it lies between 0.5 and 1, such as 0.95")
        if not 0.0 <= self.max_abstain <= 1.0:
            raise ValueError(f"max_abstain is {self.max_abstain}; it is a share in [0, 1]")

    def __call__(self, candidate: Report, incumbent: Report, /) -> Finding:
        """What it saw in the two reports.

        Raises:
            ValueError: only one of the reports has a second task, or the two differ in prompts.
        """
        name = "general_ability"
        if candidate.second is None and incumbent.second is None:
            return Finding(guard=name, passed=True, sentence="there is no second task", hint="")
        if candidate.second is None or incumbent.second is None:
            raise ValueError(
                f"only the {'incumbent' if candidate.second is None else 'candidate'} was read on the second task; read both"
            )
        pairs = paired_outcomes(candidate.second, incumbent.second, self.metric)
        count = f"{pairs.num_abstained} of {pairs.num_prompts}"
        if pairs.num_units < 2 or pairs.abstains_above(self.max_abstain):
            return Finding(
                guard=name,
                passed=False,
                sentence=f"general ability cannot be told, since {count} prompts of the second task have no verdict",
                hint="the second task's verifier abstains too often: audit it",
                numbers={"second_abstained": float(pairs.num_abstained)},
            )
        low = pairs.interval(confidence=2 * self.confidence - 1).low
        num_pairs = len(pairs.differences)
        new, old = sum(pairs.candidate) / num_pairs, sum(pairs.incumbent) / num_pairs
        changed = sum(value * value for value in pairs.differences) / num_pairs
        if new - old < -self.margin:
            hint = "general ability is lost: lower the learning rate, train fewer steps, use LoRA, or mix in general prompts"
        else:
            wanted = prompts_needed(
                gain=self.margin, mean_square=max(changed, self.margin**2), level=1 - self.confidence, power=0.9
            )
            hint = f"the second task may be too small to tell: about {wanted} prompts would show it for an unharmed model"
        return Finding(
            guard=name,
            passed=low >= -self.margin - ROUNDING,
            sentence=f"second task {_percent(old)} -> {_percent(new)}, a loss of {-100 * low:.1f} points cannot be excluded "
            f"with {100 * self.confidence:g} % confidence ({100 * self.margin:g} are allowed, {num_pairs} prompts)",
            hint=hint,
            numbers={"second": new, "incumbent_second": old, "second_low": low, "second_abstained": float(pairs.num_abstained)},
        )


def _statistic(report: Report, name: str) -> float:
    if name not in report.statistics:
        raise ValueError(
            f"report of {report.split!r} for checkpoint {report.checkpoint!r} has no statistic {name!r}; fill its statistics "
            "with answer_statistics(), or leave out the guard that reads it"
        )
    return report.statistics[name]


def _percent(share: float) -> str:
    return f"{100 * share:.1f} %"


def _amount(value: float, statistic: str) -> str:
    return f"{value:.2f} nats" if statistic == "entropy" else _percent(value)
