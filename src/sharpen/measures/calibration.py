"""Whether stated confidence is the share of answers that are right, and what is gained by answering only where it is high."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from sharpen.cards import MeasureCard
from sharpen.stats import Interval, Ranked, auroc, bootstrap_interval, wilson_interval
from sharpen.types import Score

__all__ = ["CARD", "Answering", "Bin", "Calibration", "calibration"]

CARD = MeasureCard(
    title="Calibration and selective answering",
    paper="Guo et al., 2017; Brier, 1950; Geifman et al., 2018",
    arxiv="1706.04599",
    claim="By how much confidence and accuracy differ (ECE, Brier), and how wrong the surest answers are (risk and coverage).",
    takes=("a confidence in [0, 1] for each answer", "a verdict for each answer, right or wrong"),
    from_run="how sure it was of its answers to the final split (vote shares, P(True), chances of labels), and the verdicts",
    departs=(
        "10 bins of equal width; the source's tables use 15",
        "beside the ECE stands what confidences without error would give on as many answers (consistency resampling, Bröcker and "
        "Smith, 2007): few answers make any ECE large",
        "answers of equal confidence count as answered in a random order, on average, so that their order changes nothing",
    ),
    shelf="faithful",
    oracle="tests/unit/test_calibration.py::test_four_answers_worked_out_by_hand",
)
_RESAMPLES = 1999
_CHUNK = 2_000_000  # numbers drawn at once, so that memory does not grow with the number of answers


@dataclass(frozen=True, kw_only=True)
class Bin:
    """Answers of about the same confidence, above `low` and at most `high` (0 belongs to the first bin).

    Attributes:
        confidence, accuracy: their means.
        interval: of the accuracy, Wilson's 95 %.
    """

    low: float
    high: float
    num_answers: int
    confidence: float
    accuracy: float
    interval: Interval


@dataclass(frozen=True, kw_only=True)
class Answering:
    """What answering only from a confidence on gives.

    Attributes:
        threshold: the least confidence that is answered.
        coverage: share of answers given.
        risk: share of those that is wrong.
        interval: of the risk, Wilson's 95 %.
    """

    threshold: float
    coverage: float
    risk: float
    interval: Interval


@dataclass(frozen=True, kw_only=True)
class Calibration:
    """Figures of N answers with a confidence and a verdict.

    Attributes:
        num_answers: N.
        num_left_out: answers without a confidence or without a verdict.
        accuracy, confidence: means.
        overconfidence: confidence minus accuracy, with its 95 % interval; None for fewer than two answers (or clusters).
        ece: expected calibration error, in [0, 1].
        ece_by_chance: the mean ECE of N answers that are right exactly as often as these confidences say.
        ece_p: share of such draws whose ECE is at least as large; it takes answers as drawn singly.
        brier: mean squared distance of confidence and verdict, in [0, 1], with its 95 % interval.
        auroc: chance that a right answer has more confidence than a wrong one (a tie is half), with DeLong's 95 % interval;
            None where all answers are right, or all wrong.
        aurc: area under the risk-coverage curve: the mean risk over all coverages 1/N to 1.
        excess_aurc: what it is above the least that so many wrong answers allow.
        bins: of the reliability diagram, empty ones left out.
        curve: one point a distinct confidence, the surest first.
    """

    num_answers: int
    num_left_out: int
    accuracy: float
    confidence: float
    overconfidence: float
    overconfidence_interval: Interval | None
    ece: float
    ece_by_chance: float
    ece_p: float
    brier: float
    brier_interval: Interval | None
    auroc: Ranked | None
    aurc: float
    excess_aurc: float
    bins: tuple[Bin, ...]
    curve: tuple[Answering, ...]

    def at_risk(self, max_risk: float) -> Answering | None:
        """The most answers with at most this share wrong, as measured here; None where even the surest have more."""
        return next((point for point in reversed(self.curve) if point.risk <= max_risk), None)

    def at_coverage(self, min_coverage: float) -> Answering:
        """The surest answers that are at least this share of all."""
        return next((point for point in self.curve if point.coverage >= min_coverage - 1e-12), self.curve[-1])


def calibration(
    confidences: Sequence[float | None],
    verdicts: Sequence[Score],
    *,
    num_bins: int = 10,
    clusters: Sequence[str] | None = None,
    seed: int = 0,
) -> Calibration:
    """How far confidences can be believed.

    With N answers, p_i their confidences and y_i their verdicts: ECE = sum over bins b of (n_b / N) |mean p - mean y| (Guo et
    al. 2017, arXiv 1706.04599, section 2), Brier = mean (p_i - y_i)^2 (Brier 1950, for right and wrong), AURC = (1/N) sum over
    k of the share of wrong answers among the k surest, and its excess over the least possible (Geifman et al. 2018, arXiv
    1805.08206).

    Args:
        confidences: in [0, 1]; None where there is none. Such answers are left out and counted.
        verdicts: 1 right, 0 wrong; None where the verifier abstained.
        num_bins: of equal width over [0, 1].
        clusters: what each answer belongs to, where several came from one; the intervals of means resample those.
        seed: of the draws that `ece_by_chance` is the mean of.

    >>> found = calibration([0.95, 0.85, 0.85, 0.35], [1.0, 1.0, 0.0, 0.0])
    >>> found.accuracy, round(found.ece, 4), round(found.brier, 4), found.auroc.value
    (0.5, 0.275, 0.2175, 0.875)

    Raises:
        ValueError: lengths differ, a confidence lies outside [0, 1], a verdict is neither right nor wrong, or no answer has
            both.
    """
    if len(confidences) != len(verdicts):
        raise ValueError(f"{len(confidences)} confidences are given for {len(verdicts)} verdicts; give one each")
    if clusters is not None and len(clusters) != len(verdicts):
        raise ValueError(f"{len(clusters)} clusters are given for {len(verdicts)} answers; name one each")
    kept = sorted(  # so that the order of the answers does not change which numbers are drawn for them
        (float(confidence), float(verdict), place)
        for place, (confidence, verdict) in enumerate(zip(confidences, verdicts, strict=True))
        if confidence is not None and verdict is not None
    )
    _check(kept, len(confidences), num_bins)
    sure, right = np.array([one[0] for one in kept]), np.array([one[1] for one in kept])
    names = None if clusters is None else [clusters[place] for _, _, place in kept]
    num_units = len(kept) if names is None else len(set(names))
    mean_right, mean_sure = float(right.mean()), float(sure.mean())
    places = np.clip(np.ceil(sure * num_bins - 1e-9).astype(int) - 1, 0, num_bins - 1)
    chance, p = _by_chance(sure, right, places, num_bins, seed)
    risks = _risks(sure, 1.0 - right)
    ranks = np.arange(1, len(kept) + 1)
    least = np.maximum(0.0, ranks - right.sum()) / ranks

    def interval(values: NDArray[np.float64]) -> Interval | None:
        return bootstrap_interval(values.tolist(), clusters=names) if num_units > 1 else None

    return Calibration(
        num_answers=len(kept),
        num_left_out=len(confidences) - len(kept),
        accuracy=mean_right,
        confidence=mean_sure,
        overconfidence=mean_sure - mean_right,
        overconfidence_interval=interval(sure - right),
        ece=_ece(right[None, :] - sure, places, num_bins).item(),
        ece_by_chance=chance,
        ece_p=p,
        brier=float(((sure - right) ** 2).mean()),
        brier_interval=interval((sure - right) ** 2),
        auroc=auroc(sure[right == 1].tolist(), sure[right == 0].tolist()),
        aurc=float(risks.mean()),
        excess_aurc=float((risks - least).mean()),
        bins=tuple(_bin(number, num_bins, sure[places == number], right[places == number]) for number in np.unique(places)),
        curve=_curve(sure, right),
    )


def _check(kept: Sequence[tuple[float, float, int]], number: int, num_bins: int) -> None:
    if num_bins < 1:
        raise ValueError(f"num_bins is {num_bins}; it is at least 1")
    if not kept:
        raise ValueError(f"none of {number} answers has both a confidence and a verdict; there is nothing to measure")
    for confidence, verdict, place in kept:
        if not 0.0 <= confidence <= 1.0:
            raise ValueError(f"confidence {place} is {confidence}; it is a probability in [0, 1]")
        if verdict not in (0.0, 1.0):
            raise ValueError(f"verdict {place} is {verdict}; calibration is of right (1) and wrong (0) answers: give those")


def _ece(gaps: NDArray[np.float64], places: NDArray[np.int64], num_bins: int) -> NDArray[np.float64]:
    """Of each row of gaps [R, N], verdict minus confidence."""
    found: NDArray[np.float64] = np.abs(gaps @ np.eye(num_bins)[places]).sum(axis=1) / gaps.shape[1]
    return found


def _by_chance(
    sure: NDArray[np.float64], right: NDArray[np.float64], places: NDArray[np.int64], num_bins: int, seed: int
) -> tuple[float, float]:
    rng = np.random.default_rng(seed)
    rows = max(1, _CHUNK // len(sure))
    drawn = []
    for start in range(0, _RESAMPLES, rows):
        verdicts = rng.random((min(rows, _RESAMPLES - start), len(sure))) < sure
        drawn.append(_ece(verdicts - sure, places, num_bins))
    found = np.concatenate(drawn)
    hits = int(np.count_nonzero(found >= _ece(right[None, :] - sure, places, num_bins).item() - 1e-12))
    return float(found.mean()), (1 + hits) / (1 + _RESAMPLES)


def _risks(sure: NDArray[np.float64], wrong: NDArray[np.float64]) -> NDArray[np.float64]:
    """For k = 1 to N, the share of wrong answers among the k surest; each of equal confidence is as wrong as their mean."""
    _, groups = np.unique(-sure, return_inverse=True)
    shares = np.bincount(groups, weights=wrong) / np.bincount(groups)
    return np.cumsum(shares[np.sort(groups)]) / np.arange(1, len(sure) + 1)


def _bin(number: int, num_bins: int, sure: NDArray[np.float64], right: NDArray[np.float64]) -> Bin:
    return Bin(
        low=float(number / num_bins),
        high=float((number + 1) / num_bins),
        num_answers=len(sure),
        confidence=float(sure.mean()),
        accuracy=float(right.mean()),
        interval=wilson_interval(int(right.sum()), len(right)),
    )


def _curve(sure: NDArray[np.float64], right: NDArray[np.float64]) -> tuple[Answering, ...]:
    """The point of each distinct confidence, the highest first; confidences come in ascending order."""
    thresholds, starts = np.unique(sure, return_index=True)
    wrong = np.cumsum(1.0 - right[::-1])[::-1]
    points = zip(thresholds.tolist(), (len(sure) - starts).tolist(), wrong[starts].astype(int).tolist(), strict=True)
    found = [
        Answering(threshold=threshold, coverage=given / len(sure), risk=missed / given, interval=wilson_interval(missed, given))
        for threshold, given, missed in points
    ]
    return tuple(found[::-1])
