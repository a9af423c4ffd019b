"""How often k tries would do: an unbiased share from n samples."""

from __future__ import annotations

import math

__all__ = ["pass_at_k"]


def pass_at_k(num_samples: int, num_correct: int, k: int) -> float:
    """The chance that k of the samples, drawn without replacement, hold a correct one: 1 - C(n - c, k) / C(n, k).

    Unbiased for the chance that k fresh samples do. Source: Chen et al. 2021, arXiv 2107.03374, eq. 1.

    >>> round(pass_at_k(10, 3, 1), 4), round(pass_at_k(10, 3, 5), 4)
    (0.3, 0.9167)

    Raises:
        ValueError: not 0 <= num_correct <= num_samples, or not 1 <= k <= num_samples.
    """
    if not 0 <= num_correct <= num_samples:
        raise ValueError(f"{num_correct} correct of {num_samples} samples; give 0 <= correct <= samples")
    if not 1 <= k <= num_samples:
        raise ValueError(f"k is {k} for {num_samples} samples; it lies between 1 and the number of samples")
    return 1.0 - math.comb(num_samples - num_correct, k) / math.comb(num_samples, k)
