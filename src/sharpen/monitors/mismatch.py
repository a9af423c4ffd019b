"""Whether sampler and trainer say the same of sampled tokens, as they must while the weights are the same."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from sharpen.monitors.divergence import MAX_LOG_RATIO

__all__ = ["Mismatch", "mismatch"]


@dataclass(frozen=True, kw_only=True)
class Mismatch:
    """How far a trainer's log-probabilities are from the sampler's, over sampled tokens, under the same weights.

    Attributes:
        mean, largest: of the absolute differences (nats).
        probability: mean absolute difference of the probabilities, in [0, 1].
        ratio, ratio_spread: mean and standard deviation of e^(trainer - sampler), which should be 1 and 0.
        num_tokens: N.
    """

    mean: float
    largest: float
    probability: float
    ratio: float
    ratio_spread: float
    num_tokens: int

    @property
    def size(self) -> float:
        """What a threshold is held against: the mean difference of probabilities, or of the mean ratio from 1, if that is more.

        Errors that cancel each other show in the first, a common factor of unlikely tokens in the second. Of the second three
        standard errors are taken off, so that a few tokens' noise is no fault.
        """
        return max(self.probability, abs(self.ratio - 1) - 3 * self.ratio_spread / math.sqrt(self.num_tokens))

    def figures(self) -> Mapping[str, float]:
        """The numbers by the names that reports know them by."""
        return {
            "mismatch/mean": self.mean,
            "mismatch/max": self.largest,
            "mismatch/probability": self.probability,
            "mismatch/ratio": self.ratio,
            "mismatch/ratio_spread": self.ratio_spread,
        }


def mismatch(sampler: Sequence[float], trainer: Sequence[float]) -> Mismatch:
    """The mismatch of N tokens' log-probabilities (nats) at the temperature that they were sampled at.

    Log-ratios are held to [-20, 20].

    >>> found = mismatch([-1.0, -2.0], [-1.0, -2.5])
    >>> found.mean, found.largest, round(found.ratio, 4), round(found.probability, 4)
    (0.25, 0.5, 0.8033, 0.0266)

    Raises:
        ValueError: there are no tokens, or not as many of one as of the other.
    """
    if not sampler or len(sampler) != len(trainer):
        raise ValueError(
            f"{len(sampler)} tokens of the sampler against {len(trainer)} of the trainer; give the same ones, one at least"
        )
    old, new = np.asarray(sampler, dtype=np.float64), np.asarray(trainer, dtype=np.float64)
    gaps = np.abs(new - old)
    ratios = np.exp(np.clip(new - old, -MAX_LOG_RATIO, MAX_LOG_RATIO))
    return Mismatch(
        mean=float(gaps.mean()),
        largest=float(gaps.max()),
        probability=float(np.abs(np.exp(new) - np.exp(old)).mean()),
        ratio=float(ratios.mean()),
        ratio_spread=float(ratios.std()),
        num_tokens=len(sampler),
    )
