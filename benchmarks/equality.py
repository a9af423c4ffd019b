"""The gate before any timing: on the same samples, in float32, another side's gradient must be ours."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from safetensors import safe_open

__all__ = ["MIN_COSINE", "NORM_TOLERANCE", "Equality", "compared"]

MIN_COSINE = 0.9999
NORM_TOLERANCE = 1e-3


@dataclass(frozen=True, kw_only=True)
class Equality:
    """How far two gradients agree.

    Attributes:
        cosine: of the angle between them, over all weights at once.
        norm_ratio: the peer's norm over ours; another normalisation of the loss shows here.
        reason: why timings beside this peer are void, or None where they stand.
    """

    cosine: float
    norm_ratio: float
    reason: str | None


def compared(ours: Path, peers: Path) -> Equality:
    """The comparison of two files of gradients; one tensor of each is in memory at a time."""
    with safe_open(ours, framework="numpy") as left, safe_open(peers, framework="numpy") as right:
        names, others = set(left.keys()), set(right.keys())
        if names != others:
            odd = sorted(names ^ others)[0]
            return Equality(cosine=0.0, norm_ratio=0.0, reason=f"only one side has a gradient of {odd}")
        product = square = other_square = 0.0
        for name in sorted(names):
            a, b = left.get_tensor(name).ravel().astype(np.float64), right.get_tensor(name).ravel().astype(np.float64)
            product += float(a @ b)
            square += float(a @ a)
            other_square += float(b @ b)
    if not (square > 0 and other_square > 0 and math.isfinite(square) and math.isfinite(other_square)):
        return Equality(cosine=0.0, norm_ratio=0.0, reason="a gradient is zero or not finite")
    cosine, ratio = product / math.sqrt(square * other_square), math.sqrt(other_square / square)
    reasons = []
    if not cosine >= MIN_COSINE:
        reasons.append(f"the cosine between the gradients is {cosine:.6f}, below {MIN_COSINE}")
    if not abs(ratio - 1) <= NORM_TOLERANCE:
        reasons.append(f"the peer's gradient has {ratio:.5f} times our norm, which is off by more than {NORM_TOLERANCE}")
    return Equality(cosine=cosine, norm_ratio=ratio, reason="; ".join(reasons) or None)
