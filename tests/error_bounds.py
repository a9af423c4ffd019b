"""Exact bounds on a share of which some trials were seen."""

from __future__ import annotations

import math

import numpy as np


def tail(trials: int, p: float, hits: int) -> float:
    """P(at most that many hits)."""
    k = np.arange(hits + 1)
    logs = np.concatenate(([0.0], np.cumsum(np.log(np.arange(1, trials + 1)))))
    return float(np.exp(logs[trials] - logs[k] - logs[trials - k] + k * math.log(p) + (trials - k) * math.log1p(-p)).sum())


def upper_bound(hits: int, trials: int) -> float:
    """The one-sided 95 % Clopper-Pearson bound on the true share."""
    low, high = hits / trials, 1.0
    for _ in range(40):
        middle = (low + high) / 2
        low, high = (middle, high) if tail(trials, middle, hits) > 0.05 else (low, middle)
    return high


def lower_bound(hits: int, trials: int) -> float:
    """Its mirror image."""
    return 1.0 - upper_bound(trials - hits, trials)
