"""What a gate can see: the power of the exact McNemar test, the gain that it would find, the prompts that it would need."""

from __future__ import annotations

import math
from statistics import NormalDist

import numpy as np
from numpy.typing import NDArray

__all__ = ["mcnemar_power", "minimal_detectable_gain", "prompts_needed"]


def mcnemar_power(num_prompts: int, *, gain: float, churn: float, level: float) -> float:
    """The chance that a true gain is found by the exact one-sided McNemar test.

    Each prompt is won with probability churn + gain and lost with probability churn, independently; summed over all numbers of
    changed prompts and of wins, without simulation. `gain=0` gives the test's true size, which is at most `level`.
    Source: Schork and Williams 1980 (the unconditional power of the exact conditional test).

    Args:
        gain: true difference of accuracies in [0, 1].
        churn: share of prompts that turn from right to wrong in spite of it, in [0, 1].
        level: the level of this look.

    >>> round(mcnemar_power(200, gain=0.10, churn=0.05, level=0.025), 3)
    0.875

    Raises:
        ValueError: the shares are not probabilities, the level does not lie in (0, 1), or there are no prompts.
    """
    _check(num_prompts, level, churn, gain)
    changed = gain + 2 * churn
    if changed == 0.0:
        return 0.0
    logs = _log_factorials(num_prompts)
    found = 0.0
    for m, weight in enumerate(_pmf(num_prompts, changed, logs)):
        if weight < 1e-15:
            continue
        # 1e-9 covers the rounding of the logs; two tails never lie so close together unless they are equal
        enough = np.flatnonzero(_tails(m, 0.5, logs) <= level * (1 + 1e-9))
        enough = enough[2 * enough > m]
        if len(enough):
            found += weight * float(_tails(m, (churn + gain) / changed, logs)[enough[0]])
    return min(1.0, float(found))


def minimal_detectable_gain(num_prompts: int, *, churn: float = 0.05, level: float = 0.025, power: float = 0.8) -> float | None:
    """The smallest true gain, to a tenth of a point, that the exact McNemar test finds with this power; None if none is.

    >>> minimal_detectable_gain(200)
    0.089

    Raises:
        ValueError: as `mcnemar_power`, or the power does not lie in (0, 1).
    """
    if not 0.0 < power < 1.0:
        raise ValueError(f"power is {power}; it lies between 0 and 1, such as 0.8")
    _check(num_prompts, level, churn, 0.0)
    low, high = 0, math.floor((1 - 2 * churn) * 1000 + 1e-9)
    if mcnemar_power(num_prompts, gain=high / 1000, churn=churn, level=level) < power:
        return None
    while high - low > 1:
        middle = (low + high) // 2
        if mcnemar_power(num_prompts, gain=middle / 1000, churn=churn, level=level) < power:
            low = middle
        else:
            high = middle
    return high / 1000


def prompts_needed(*, gain: float, mean_square: float, level: float, power: float = 0.8) -> int:
    """About how many prompts a paired test needs to find a gain of this size with this power.

    n = (z_level sqrt(s) + z_power sqrt(s - gain^2))^2 / gain^2, with s the mean squared difference per prompt: for right and
    wrong it is the share of changed prompts. An approximation; the exact test needs a few prompts more.
    Source: Miettinen 1968, as given by Connor 1987.

    >>> prompts_needed(gain=0.10, mean_square=0.20, level=0.025)
    155

    Raises:
        ValueError: the gain is not positive, or its square is above the mean square, or level or power are no probabilities.
    """
    if not gain > 0.0 or gain * gain > mean_square * (1 + 1e-9):
        raise ValueError(f"gain is {gain} with mean square {mean_square}; give 0 < gain and gain^2 <= mean_square")
    if not 0.0 < level < 1.0 or not 0.0 < power < 1.0:
        raise ValueError(f"level is {level} and power {power}; both lie between 0 and 1")
    spread = NormalDist().inv_cdf(1 - level) * math.sqrt(mean_square)
    spread += NormalDist().inv_cdf(power) * math.sqrt(max(mean_square - gain * gain, 0.0))
    return math.ceil((spread / gain) ** 2)


def _check(num_prompts: int, level: float, churn: float, gain: float) -> None:
    if num_prompts < 1:
        raise ValueError(f"{num_prompts} prompts; give at least one")
    if not 0.0 < level < 1.0:
        raise ValueError(f"level is {level}; it lies between 0 and 1, such as 0.05")
    if churn < 0.0 or gain < 0.0 or gain + 2 * churn > 1.0 + 1e-12:
        raise ValueError(f"gain is {gain} and churn {churn}; both are at least 0, and gain + 2 churn is at most 1")


def _log_factorials(n: int) -> NDArray[np.float64]:
    return np.concatenate(([0.0], np.cumsum(np.log(np.arange(1, n + 1)))))


def _pmf(n: int, p: float, logs: NDArray[np.float64]) -> NDArray[np.float64]:
    """Binomial probabilities of 0..n successes."""
    k = np.arange(n + 1)
    if p >= 1.0:
        return np.asarray(k == n, dtype=np.float64)
    log_p: NDArray[np.float64] = logs[n] - logs[k] - logs[n - k] + k * math.log(p) + (n - k) * math.log1p(-p)
    return np.exp(log_p).astype(np.float64)


def _tails(n: int, p: float, logs: NDArray[np.float64]) -> NDArray[np.float64]:
    """Binomial probabilities of at least 0..n successes."""
    return np.asarray(np.cumsum(_pmf(n, p, logs)[::-1])[::-1])
