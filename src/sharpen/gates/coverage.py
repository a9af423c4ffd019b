"""A guard against answers that narrow: more right greedy answers, and fewer prompts that any of several samples solves."""

from __future__ import annotations

from dataclasses import dataclass

from sharpen.gates.guards import Finding
from sharpen.gates.pairs import ROUNDING, paired_outcomes
from sharpen.types import Report

__all__ = ["CoverageKept"]


@dataclass(frozen=True, kw_only=True)
class CoverageKept:
    """Fails where the share of prompts that one of several samples solves fell by more than `margin`, and not by chance.

    A model can answer greedily better and have lost the answers that later rounds, votes and searches live on: pass@1 up, pass@n down.
    The fall must be larger than the margin, and its one-sided 95 % bound below 0 (Tango 1998). Of 64 prompts, while 5 % turn each way: an
    unharmed candidate is refused 6 times in 1,000, one that lost 20 points in 92 of 100, one that lost exactly the margin in 48.
    Reports without such samples pass; the loop draws them before a promotion alone.

    Attributes:
        margin: largest fall that is accepted, in [0, 1].
        metric: name of the outcomes that tell.
    """

    margin: float = 0.10
    metric: str = "pass@4"

    def __post_init__(self) -> None:
        if not 0.0 <= self.margin < 1.0:
            raise ValueError(f"margin is {self.margin}; it is a share in [0, 1)")

    def __call__(self, candidate: Report, incumbent: Report, /) -> Finding:
        """What it saw in the two reports."""
        name = "coverage"
        if not all(any(score is not None for score in one.outcomes.get(self.metric, ())) for one in (candidate, incumbent)):
            return Finding(guard=name, passed=True, sentence="no samples were drawn", hint="")
        pairs = paired_outcomes(candidate, incumbent, self.metric)
        count = len(pairs.differences)
        if pairs.num_units < 2:
            return Finding(guard=name, passed=True, sentence="too few samples have a verdict", hint="")
        new, old = sum(pairs.candidate) / count, sum(pairs.incumbent) / count
        fell = new - old < -self.margin - ROUNDING and pairs.interval(confidence=0.9).high < 0.0
        return Finding(
            guard=name,
            passed=not fell,
            sentence=f"{self.metric} is {100 * new:.1f} % against {100 * old:.1f} % for the incumbent on {count} prompts "
            f"(a fall of {100 * self.margin:g} points is allowed)",
            hint="samples collapse onto few answers: raise the temperature, cap examples a prompt, train less, or restart from base",
            numbers={self.metric: new, f"incumbent_{self.metric}": old},
        )
