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

_BLOCK = 256


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
    if sampling.temperature == 0:
        tokens_R = logits_RV.argmax(-1)
        return Drawn(tokens=tokens_R, logprobs=_logprobs(logits_RV.float(), tokens_R))
    scaled_RV = logits_RV.to(torch.float32, copy=True)
    if sampling.temperature != 1:
        scaled_RV.div_(sampling.temperature)
    if sampling.top_p < 1 or sampling.top_k:
        scaled_RV = _cut(scaled_RV, sampling)
    top_R1 = scaled_RV.amax(-1, keepdim=True)
    mass_RV = scaled_RV.sub_(top_R1).exp_()
    tokens_R, total_R = _inverted(mass_RV, uniform_R.to(torch.float64))
    picked_R = logits_RV.gather(-1, tokens_R[:, None]).float().div_(sampling.temperature).sub_(top_R1).squeeze(-1)
    return Drawn(tokens=tokens_R, logprobs=picked_R - total_R.log().float())


def _inverted(mass_RV: torch.Tensor, uniform_R: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """The first place whose cumulative mass exceeds the number, and the total mass: a token of mass 0 is never drawn.

    In two levels, blocks and then tokens of one block, which is many times as fast as one long cumulative sum in float64.
    """
    rows, width = mass_RV.shape
    padded = torch.nn.functional.pad(mass_RV, (0, -width % _BLOCK))
    blocks_RBK = padded.view(rows, -1, _BLOCK)
    steps_RB = blocks_RBK.sum(-1).cumsum(-1, dtype=torch.float64)
    total_R = steps_RB[:, -1]
    # below the total even where the product rounds up to it, so that some token's cumulative mass exceeds it
    wanted_R1 = torch.minimum(uniform_R * total_R, torch.nextafter(total_R, torch.zeros_like(total_R)))[:, None]
    block_R1 = torch.searchsorted(steps_RB, wanted_R1, right=True).clamp_(max=steps_RB.shape[1] - 1)
    before_R1 = torch.where(block_R1 > 0, steps_RB.gather(1, (block_R1 - 1).clamp(min=0)), 0.0)
    inside_RK = blocks_RBK.gather(1, block_R1[:, :, None].expand(-1, -1, _BLOCK)).squeeze(1).double()
    within_R1 = torch.searchsorted(inside_RK.cumsum(-1), wanted_R1 - before_R1, right=True)
    last_R1 = _BLOCK - 1 - (inside_RK > 0).flip(-1).int().argmax(-1, keepdim=True)  # rounding may pass the block's end
    tokens_R = (block_R1 * _BLOCK + torch.minimum(within_R1, last_R1)).squeeze(1)
    return tokens_R.clamp(max=width - 1), total_R  # past the width only where the mass is not a number


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
