"""Tokens from logits, with random numbers that belong to the sample and not to the batch.

Shapes: R rows, V vocabulary entries.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch

from sharpen.digest import digest
from sharpen.protocols import Request, Sampling

__all__ = ["Drawn", "draw", "uniforms"]


@dataclass(frozen=True, kw_only=True)
class Drawn:
    """Drawn tokens [R] int64 and their log-probabilities [R] float32 (nats), at the sampling temperature."""

    tokens: torch.Tensor
    logprobs: torch.Tensor


def uniforms(request: Request, count: int) -> np.ndarray:
    """`count` float64 numbers in [0, 1) that depend on the prompt, the seed and the sample index alone."""
    key = int(digest("sample", request.prompt.id, request.seed, request.index), 16)
    start = len(request.partial.token_ids) if request.partial else 0
    generator = np.random.Generator(np.random.Philox(key=key))
    return generator.random(start + count)[start:]


def draw(logits_RV: torch.Tensor, uniform_R: torch.Tensor, sampling: Sampling) -> Drawn:
    """One token a row by inverting the cumulative distribution; the arg max at temperature 0 (log-probability at 1)."""
    logits_RV = logits_RV.float()
    if sampling.temperature == 0:
        tokens_R = logits_RV.argmax(-1)
        return Drawn(tokens=tokens_R, logprobs=_logprobs(logits_RV, tokens_R))
    if sampling.temperature != 1:
        logits_RV = logits_RV / sampling.temperature
    if sampling.top_p < 1 or sampling.top_k:
        logits_RV = _cut(logits_RV, sampling)
    top_R1 = logits_RV.amax(-1, keepdim=True)
    mass_RV = (logits_RV - top_R1).exp_()
    steps_RV = mass_RV.cumsum(-1, dtype=torch.float64)
    total_R1 = steps_RV[:, -1:]
    wanted_R1 = uniform_R.to(torch.float64)[:, None] * total_R1
    # `right`: the first place whose cumulative mass exceeds the number, so that a token of mass 0 is never drawn
    tokens_R = torch.searchsorted(steps_RV, wanted_R1, right=True).squeeze(-1).clamp_(max=logits_RV.shape[1] - 1)
    picked_R = logits_RV.gather(-1, tokens_R[:, None]).squeeze(-1)
    logprobs_R = picked_R - top_R1.squeeze(-1) - total_R1.squeeze(-1).log().float()
    return Drawn(tokens=tokens_R, logprobs=logprobs_R)


def _logprobs(logits_RV: torch.Tensor, tokens_R: torch.Tensor) -> torch.Tensor:
    picked_R = logits_RV.gather(-1, tokens_R[:, None]).squeeze(-1)
    return picked_R - logits_RV.logsumexp(-1)


def _cut(logits_RV: torch.Tensor, sampling: Sampling) -> torch.Tensor:
    """Logits with all but the top-k tokens, then all but the smallest set of mass top_p, at minus infinity."""
    ordered_RV, places_RV = logits_RV.sort(dim=-1, descending=True, stable=True)
    if sampling.top_k:
        ordered_RV[:, sampling.top_k :] = float("-inf")
    if sampling.top_p < 1:
        mass_RV = ordered_RV.softmax(-1, dtype=torch.float64)
        before_RV = mass_RV.cumsum(-1) - mass_RV
        ordered_RV = ordered_RV.masked_fill(before_RV >= sampling.top_p, float("-inf"))
    return torch.empty_like(logits_RV).scatter_(-1, places_RV, ordered_RV)
