"""The paired gate: a candidate is promoted where it beats the incumbent on the same held-out prompts, and not by chance."""

from __future__ import annotations

from dataclasses import dataclass

from sharpen.gates.coverage import CoverageKept
from sharpen.gates.guards import AbilityKept, AnswersStop, AnswersVary, Finding, Guard, LengthHolds
from sharpen.gates.pairs import Comparison, Pairs, compare, paired_outcomes
from sharpen.stats import prompts_needed
from sharpen.types import Decision, Report

__all__ = ["DEFAULT_GUARDS", "PairedGate", "paired_gate"]

DEFAULT_GUARDS: tuple[Guard, ...] = (
    AnswersVary(statistic="distinct"),
    AnswersVary(statistic="entropy"),
    AnswersStop(),
    LengthHolds(),
    AbilityKept(),
    CoverageKept(),
)


@dataclass(frozen=True, kw_only=True)
class PairedGate:
    """Promotes where a paired one-sided test passes at the level of this look and no guard forbids it.

    Right and wrong: the exact McNemar test and Tango's interval. Graded outcomes, or prompts in clusters: the paired
    permutation test and a bootstrap interval. A tie does not promote.

    Looks. The gate split is read once a round, so round after round of noise would pass in the end. Look k is tested at
    level / (k (k + 1)). A candidate that is no better than its incumbent, and that was made without reading the split, passes
    with at most that probability; so the chance that any such candidate is ever promoted is at most the sum over all k, which
    is the level, since 1 / (k (k + 1)) = 1 / k - 1 / (k + 1) sums to 1. This is the union bound: it needs no independence
    between looks, and the number of looks need not be known, so a run can be extended. An incumbent that was itself promoted
    on these prompts was lucky on them if anything, which makes later promotions rarer. Where the number of looks is known and
    large, `num_looks` shares the level equally (Bonferroni) and finds more: with 200 prompts, 5 % churn and ten looks, a gain
    of 10 points is found with probability 0.70 at each look, against 0.57 on average; with three looks 0.83 against 0.77.

    Abstentions. A prompt without a verdict on either side is left out and counted. A candidate could win by making the verifier
    give up where it would lose, so a promotion must also stand with the candidate's own abstentions counted as wrong.

    Correlated prompts. The test holds for prompts drawn one by one, however alike. Where several come from one passage or
    template, name it in `Report.clusters`: then whole clusters are flipped.

    Attributes:
        level: chance of any false promotion over all looks, in (0, 1).
        metric: name of the outcomes that are compared.
        guards: what else can forbid promotion.
        max_abstain: share of prompts without a verdict above which the gate cannot tell.
        num_looks: number of looks to share the level equally among, later ones having none; None keeps the number open.
        num_resamples: random sign flips of the permutation test.
    """

    level: float = 0.05
    metric: str = "accuracy"
    guards: tuple[Guard, ...] = DEFAULT_GUARDS
    max_abstain: float = 0.1
    num_looks: int | None = None
    num_resamples: int = 99_999

    def __post_init__(self) -> None:
        if not 0.0 < self.level < 1.0:
            raise ValueError(f"level is {self.level}; it lies between 0 and 1, such as 0.05")
        if not 0.0 <= self.max_abstain < 1.0:
            raise ValueError(f"max_abstain is {self.max_abstain}; it is a share in [0, 1)")
        if self.num_looks is not None and self.num_looks < 1:
            raise ValueError(f"num_looks is {self.num_looks}; it is at least 1, or None where it is not known")
        if self.num_resamples < 1:
            raise ValueError(f"num_resamples is {self.num_resamples}; it is at least 1")

    def level_at(self, look: int) -> float:
        """The level of the test at that look, from 1.

        >>> [round(PairedGate().level_at(look), 4) for look in (1, 2, 3)], PairedGate(num_looks=5).level_at(3)
        ([0.025, 0.0083, 0.0042], 0.01)

        Raises:
            ValueError: the look is below 1.
        """
        if look < 1:
            raise ValueError(f"look is {look}; looks at the gate split count from 1")
        if self.num_looks is None:
            return self.level / (look * (look + 1))
        return self.level / self.num_looks if look <= self.num_looks else 0.0

    def __call__(self, candidate: Report, incumbent: Report, looks: int, /) -> Decision:
        """The decision at the `looks`-th reading (from 1) of this held-out set.

        Raises:
            ValueError: the reports do not pair, or lack the metric or a statistic that a guard reads.
        """
        level = self.level_at(looks)
        pairs = paired_outcomes(candidate, incumbent, self.metric)
        if not pairs.num_prompts:
            raise ValueError(f"split {candidate.split!r} holds no prompts; give the gate at least two")
        if pairs.num_units < 2 or pairs.abstains_above(self.max_abstain):
            return _cannot_tell(pairs, self.max_abstain, looks, level)
        result = compare(pairs, num_resamples=self.num_resamples)
        better = result.difference > 0.0 and result.p <= level
        findings = [guard(candidate, incumbent) for guard in self.guards]
        if better and pairs.refused:
            findings.append(self._without_refusals(candidate, incumbent, level))
        failed = [finding for finding in findings if not finding.passed]
        interval = pairs.interval()
        num_pairs = len(pairs.candidate)
        numbers = {
            "candidate": sum(pairs.candidate) / num_pairs,
            "incumbent": sum(pairs.incumbent) / num_pairs,
            "difference": result.difference,
            "low": interval.low,
            "high": interval.high,
            "wins": float(pairs.wins),
            "losses": float(pairs.losses),
            "num_pairs": float(num_pairs),
            "abstained": float(pairs.num_abstained),
            "p": result.p,
            "level": level,
            "looks": float(looks),
        }
        for finding in findings:
            numbers |= finding.numbers
        return Decision(
            promote=better and not failed,
            test=f"{result.test}, one-sided",
            reason=_reason(pairs, result, numbers, failed, better=better),
            numbers=numbers,
            failed_guards=tuple(finding.guard for finding in failed),
            hint=self._hint(pairs, result, failed, looks, better=better),
        )

    def _without_refusals(self, candidate: Report, incumbent: Report, level: float) -> Finding:
        """Whether the promotion stands with the candidate's own abstentions counted as wrong."""
        known = [score for report in (candidate, incumbent) for score in report.outcomes[self.metric] if score is not None]
        pairs = paired_outcomes(candidate, incumbent, self.metric, refused_as=min(0.0, *known))
        result = compare(pairs, num_resamples=self.num_resamples)
        return Finding(
            guard="abstained",
            passed=result.difference > 0.0 and result.p <= level,
            sentence=f"{pairs.refused} answers of the candidate got no verdict, and counting them wrong gives "
            f"{_p(result.p, level)}",
            hint="the verifier gives up on answers of the candidate: read them in the report, then audit the verifier",
            numbers={"refused": float(pairs.refused), "p_refused_wrong": result.p},
        )

    def _hint(self, pairs: Pairs, result: Comparison, failed: list[Finding], looks: int, *, better: bool) -> str | None:
        hints = []
        if not better:
            if not pairs.wins and min(pairs.incumbent) >= 1.0:
                hints.append(
                    "the incumbent solves every gate prompt: nothing is left to gain on this split; take harder prompts"
                )
            elif not pairs.wins and not pairs.losses:
                hints.append(
                    "nothing changed: raise the learning rate, train longer, or check that examples were selected at all"
                )
            elif result.difference > 0.0:
                hints.append(self._more_prompts(result, pairs.num_prompts, looks))
            elif result.difference == 0.0:
                hints.append(
                    "as much was lost as was won: sample more prompts or more answers a prompt, and check what is kept"
                )
            else:
                hints.append("worse: lower the learning rate, restart from base, or read the answers that were trained on")
        return "; ".join(dict.fromkeys([*hints, *(finding.hint for finding in failed)])) or None

    def _more_prompts(self, result: Comparison, num_prompts: int, looks: int) -> str:
        level = self.level_at(looks + 1) or self.level_at(1)
        wanted = prompts_needed(gain=result.difference, mean_square=result.mean_square, level=level)
        wanted = max(wanted, num_prompts + 1)
        wanted = -(-wanted // 10) * 10
        spent = "" if self.level_at(looks + 1) else "the level is spent after num_looks: use fresh gate prompts; "
        return (
            f"{spent}about {wanted} prompts would be needed to see a gain of this size four times in five: enlarge the gate "
            f"split from {num_prompts} to {wanted}, or make the gain larger"
        )


def paired_gate(
    *,
    level: float = 0.05,
    metric: str = "accuracy",
    guards: tuple[Guard, ...] = DEFAULT_GUARDS,
    max_abstain: float = 0.1,
    num_looks: int | None = None,
) -> PairedGate:
    """The gate that `improve` uses: see `PairedGate` for what each setting means and how often it errs.

    >>> paired_gate(level=0.1, guards=()).level_at(1)
    0.05
    """
    return PairedGate(level=level, metric=metric, guards=guards, max_abstain=max_abstain, num_looks=num_looks)


def _cannot_tell(pairs: Pairs, max_abstain: float, looks: int, level: float) -> Decision:
    count, total = pairs.num_abstained, pairs.num_prompts
    if pairs.abstains_above(max_abstain):
        reason = (
            f"{count} of {total} held-out prompts have no verdict on one side or the other ({100 * count / total:.1f} %, more "
            f"than the {100 * max_abstain:g} % allowed): rolled back, cannot tell"
        )
        hint = "the verifier abstains too often: see why in the report, audit it, or raise its time limit"
    else:
        reason = f"{pairs.num_units} independent held-out prompts are too few to compare: rolled back, cannot tell"
        hint = "enlarge the gate split: plan says how many prompts a gain needs"
    return Decision(
        promote=False,
        test="none",
        reason=reason,
        numbers={"abstained": float(count), "refused": float(pairs.refused), "looks": float(looks), "level": level},
        hint=hint,
    )


def _reason(pairs: Pairs, result: Comparison, numbers: dict[str, float], failed: list[Finding], *, better: bool) -> str:
    if pairs.binary:
        scores = f"held-out {100 * numbers['incumbent']:.1f} % -> {100 * numbers['candidate']:.1f} %"
        gain = f"{_signed(100 * result.difference)} points, 95 % interval {_signed(100 * numbers['low'])} to "
        gain += _signed(100 * numbers["high"])
    else:
        scores = f"held-out score {numbers['incumbent']:.3f} -> {numbers['candidate']:.3f}"
        gain = f"{result.difference:+.3f}, 95 % interval {numbers['low']:+.3f} to {numbers['high']:+.3f}"
    left_out = f", {pairs.num_abstained} left out without a verdict" if pairs.num_abstained else ""
    counts = f"{_count(pairs.wins, 'win')}, {_count(pairs.losses, 'loss')} of {len(pairs.candidate)}{left_out}"
    test = f"{result.test} {_p(result.p, numbers['level'])} at look {numbers['looks']:.0f}"
    head = f"{scores} ({gain}; {counts}; {test})"
    harm = "; ".join(finding.sentence for finding in failed)
    if better:
        return f"{head}, but {harm}: rolled back" if failed else f"{head}: promoted"
    if not pairs.wins and not pairs.losses:
        verdict = "no outcome changed"
    elif result.difference > 0.0:
        verdict = "the gain may be chance"
    else:
        verdict = "a tie" if result.difference == 0.0 else "no gain"
    return f"{head}: rolled back, {verdict}" + (f"; also {harm}" if failed else "")


def _p(p: float, level: float) -> str:
    """Both numbers, with as many digits as it takes to see which is larger."""
    sign = "<=" if p <= level else ">"
    digits = next((digits for digits in (4, 6, 8) if f"{p:.{digits}f}" != f"{level:.{digits}f}"), 4)
    return f"p = {f'{p:.{digits}f}' if p >= 1e-4 else f'{p:.1e}'} {sign} {level:.{digits}f}"


def _signed(value: float) -> str:
    return f"{value:+.1f}" if f"{value:+.1f}" != "-0.0" else "+0.0"


def _count(number: int, word: str) -> str:
    plural = "es" if word.endswith("s") else "s"
    return f"{number} {word}" if number == 1 else f"{number} {word}{plural}"
