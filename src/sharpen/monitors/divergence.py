"""How far a checkpoint has moved from another, from log-probabilities of the same tokens."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

__all__ = ["Divergence", "kl_from_logprobs"]

MAX_LOG_RATIO = 20.0  # e^20 in one token would drown all others; a probability that far off is a floor, not a fact


@dataclass(frozen=True, kw_only=True)
class Divergence:
    """Two estimates of KL(new || old) in nats per token, on tokens that `new` sampled.

    Attributes:
        k1: mean of log new - log old; unbiased, can be negative.
        k3: mean of e^d - d - 1 with d = log old - log new; never negative, 0 only where all agree, less noisy.
        num_tokens: tokens they are means over.
    """

    k1: float
    k3: float
    num_tokens: int


def kl_from_logprobs(new: Sequence[Sequence[float]], old: Sequence[Sequence[float]]) -> Divergence:
    """KL(new || old) per token, from log-probabilities (nats) of completions that `new` sampled at temperature 1.

    d is held to [-20, 20] in k3. Source: Schulman 2020, "Approximating KL divergence".

    Args:
        new, old: for each completion its T numbers, under the one policy and the other.

    >>> kl = kl_from_logprobs([[-1.0]], [[-2.0]])
    >>> kl.k1, round(kl.k3, 4)
    (1.0, 0.3679)

    Raises:
        ValueError: the shapes differ, there are no tokens, or a number is not finite.
    """
    if [len(row) for row in new] != [len(row) for row in old]:
        raise ValueError("new and old log-probabilities differ in shape; score the same completions under both policies")
    log_new, log_old = (np.array([value for row in rows for value in row], dtype=np.float64) for rows in (new, old))
    if not log_new.size:
        raise ValueError("no tokens to compare; give at least one completion with tokens")
    if not (np.isfinite(log_new).all() and np.isfinite(log_old).all()):
        raise ValueError("a log-probability is not finite; leave out tokens that a policy cannot produce")
    d = np.clip(log_old - log_new, -MAX_LOG_RATIO, MAX_LOG_RATIO)
    return Divergence(
        k1=float(np.mean(log_new - log_old)),
        k3=float(np.mean(np.expm1(d) - d)),
        num_tokens=int(log_new.size),
    )
