"""How often k tries would do: unbiased shares from n samples."""

from __future__ import annotations

import math

__all__ = ["pass_at_k", "pass_at_k_distinct"]


def pass_at_k(num_samples: int, num_correct: int, k: int) -> float:
    """The chance that k of the samples, drawn without replacement, hold a correct one: 1 - C(n - c, k) / C(n, k).

    Unbiased for the chance that k fresh samples do. Source: Chen et al. 2021, arXiv 2107.03374, eq. 1.

    >>> round(pass_at_k(10, 3, 1), 4), round(pass_at_k(10, 3, 5), 4)
    (0.3, 0.9167)

    Raises:
        ValueError: not 0 <= num_correct <= num_samples, or not 1 <= k <= num_samples.
    """
    _check(num_samples, num_correct, k)
    return 1.0 - math.comb(num_samples - num_correct, k) / math.comb(num_samples, k)


def pass_at_k_distinct(num_samples: int, num_distinct_correct: int, k: int, at_least: int) -> float:
    """The chance that k of the samples hold at least that many distinct correct answers (pass@K-S).

    With u distinct correct of n: sum over j >= S of C(u, j) C(n - u, k - j) / C(n, k).
    Source: B-STaR, Zeng et al. 2024, arXiv 2412.17256; `at_least=1` and no repeats is pass@k.

    >>> pass_at_k_distinct(10, 3, 5, 2)
    0.5

    Raises:
        ValueError: not 0 <= num_distinct_correct <= num_samples, not 1 <= k <= num_samples, or `at_least` below 1.
    """
    _check(num_samples, num_distinct_correct, k)
    if at_least < 1:
        raise ValueError(f"at_least is {at_least}; it is at least 1")
    ways = sum(
        math.comb(num_distinct_correct, j) * math.comb(num_samples - num_distinct_correct, k - j)
        for j in range(at_least, k + 1)
    )
    return ways / math.comb(num_samples, k)


def _check(num_samples: int, num_correct: int, k: int) -> None:
    if not 0 <= num_correct <= num_samples:
        raise ValueError(f"{num_correct} correct of {num_samples} samples; give 0 <= correct <= samples")
    if not 1 <= k <= num_samples:
        raise ValueError(f"k is {k} for {num_samples} samples; it lies between 1 and the number of samples")
