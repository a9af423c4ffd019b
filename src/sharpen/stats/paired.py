"""Graded scores on the same prompts: sign flips for the test, resampling for the interval."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from sharpen.stats.proportions import Interval

__all__ = ["bootstrap_interval", "permutation_test"]

MAX_EXACT = 16  # 2^16 sign flips take a millisecond; more non-zero differences are sampled
CHUNK = 4_000_000  # numbers drawn at once, so that memory does not grow with the number of prompts


def permutation_test(
    differences: Sequence[float],
    *,
    clusters: Sequence[str] | None = None,
    alternative: Literal["greater", "two-sided"] = "greater",
    num_resamples: int = 99_999,
    seed: int = 0,
) -> float:
    """The p-value that so large a sum of differences comes by chance when each is as likely to have the other sign.

    All 2^m sign flips where at most 16 differences are not 0; else `num_resamples` random ones, the observed one counted among
    them: p = (1 + hits) / (1 + num_resamples), which is valid and never 0. With `clusters` the flips are of whole clusters:
    prompts that share a passage or a template rise and fall together. The order of the prompts does not matter.
    Source: Fisher 1935, The Design of Experiments; Phipson and Smyth 2010 for the +1.

    Args:
        differences: N scores, candidate minus incumbent.
        clusters: N names of what each prompt belongs to; None takes each for itself.

    >>> permutation_test([0.5, 0.25, 0.0, 0.25])
    0.125

    Raises:
        ValueError: clusters and differences have different lengths.
    """
    units = _units(differences, clusters)
    total = np.array(sorted(unit[0] for unit in units if unit[0]), dtype=np.float64)
    slack = 1e-9 * float(np.abs(total).sum())  # sums that are equal on paper differ in the last bits
    observed = math.fsum(total) if alternative == "greater" else abs(math.fsum(total))
    exact = len(total) <= MAX_EXACT
    hits = 0
    for sums in [_all_flips(total)] if exact else _random_flips(total, num_resamples, seed):
        hits += int(np.count_nonzero((sums if alternative == "greater" else np.abs(sums)) >= observed - slack))
    return hits / 2 ** len(total) if exact else (1 + hits) / (1 + num_resamples)


def bootstrap_interval(
    differences: Sequence[float],
    *,
    clusters: Sequence[str] | None = None,
    confidence: float = 0.95,
    num_resamples: int = 9_999,
    seed: int = 0,
) -> Interval:
    """Where the mean difference lies: percentiles of the means of resampled prompts (or clusters).

    Resampled means spread too little by sqrt((n - 1) / n); that is put right. All differences equal gives no width.
    Source: Efron 1979; the narrowness is described by Hesterberg 2015, arXiv 1411.5279.

    Raises:
        ValueError: there are fewer than two prompts (or clusters), or clusters and differences have different lengths.
    """
    if not 0.0 < confidence < 1.0:
        raise ValueError(f"confidence is {confidence}; it lies between 0 and 1, such as 0.95")
    units = sorted(_units(differences, clusters))
    if len(units) < 2:
        raise ValueError(f"{len(units)} independent prompts give no interval; give at least two")
    total, size = (np.array(column, dtype=np.float64) for column in zip(*units, strict=True))
    rng = np.random.default_rng(seed)
    rows = max(1, CHUNK // len(units))
    means = []
    for start in range(0, num_resamples, rows):
        drawn = rng.integers(0, len(units), size=(min(rows, num_resamples - start), len(units)))
        means.append(total[drawn].sum(axis=1) / size[drawn].sum(axis=1))
    centre = float(total.sum() / size.sum())
    widened = centre + (np.concatenate(means) - centre) * math.sqrt(len(units) / (len(units) - 1))
    low, high = np.quantile(widened, [(1 - confidence) / 2, (1 + confidence) / 2])
    return Interval(low=float(low), high=float(high))


def _units(differences: Sequence[float], clusters: Sequence[str] | None) -> list[tuple[float, int]]:
    """Each cluster's summed difference, float noise taken as 0, and its number of prompts."""
    if clusters is None:
        return [(float(value), 1) for value in differences]
    members: dict[str, list[float]] = {}
    for name, value in zip(clusters, differences, strict=True):
        members.setdefault(name, []).append(float(value))
    noise = 1e-12 * max(map(abs, differences), default=0.0)
    sums = [(math.fsum(values), len(values)) for values in members.values()]
    return [(0.0 if abs(total) <= noise * size else total, size) for total, size in sums]


def _all_flips(total: NDArray[np.float64]) -> NDArray[np.float64]:
    sums = np.zeros(1)
    for value in total:
        sums = np.concatenate((sums + value, sums - value))
    return sums


def _random_flips(total: NDArray[np.float64], num_resamples: int, seed: int) -> list[NDArray[np.float64]]:
    rng = np.random.default_rng(seed)
    rows = max(1, CHUNK // len(total))
    found = []
    for start in range(0, num_resamples, rows):
        count = min(rows, num_resamples - start)
        bits = np.unpackbits(np.frombuffer(rng.bytes((count * len(total) + 7) // 8), dtype=np.uint8))
        kept = bits[: count * len(total)].reshape(count, len(total))
        found.append(2.0 * (kept @ total) - total.sum())
    return found
