"""Attention of a batch of queries over keys, as parts of a whole: with the log-sum-exp that puts parts together, each way.

Short parts are plain batched matrix products, with no copy of a key for every query head; long ones take torch's fused kernel,
which holds no matrix of scores.

Shapes: B parts, H query heads, K key heads (H is a multiple), S queries, T keys, D head width.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch

__all__ = ["attend", "gradients"]

_LONGEST = 256  # queries or keys; beyond it the scores of a part no longer stay in a CPU's cache
_flash = torch.ops.aten._scaled_dot_product_flash_attention_for_cpu
_flash_backward = torch.ops.aten._scaled_dot_product_flash_attention_for_cpu_backward


def attend(
    q: torch.Tensor, k: torch.Tensor, v: torch.Tensor, *, causal: bool, scale: float
) -> tuple[torch.Tensor, torch.Tensor]:
    """What queries [B, H, S, D] read of keys and values [B, K, T, D]: [B, H, S, D], and the log-sum-exp of scores [B, H, S]."""
    if max(q.shape[2], k.shape[2]) > _LONGEST:
        copies = q.shape[1] // k.shape[1]
        long, norms = _flash(q, k.repeat_interleave(copies, 1), v.repeat_interleave(copies, 1), 0.0, causal, scale=scale)
        return long, norms
    scores = _scores(q, k, causal=causal, scale=scale)
    top = scores.amax(-1, keepdim=True)
    shares = scores.sub_(top).exp_()
    total = shares.sum(-1, keepdim=True)
    out = torch.matmul(shares, v).div_(total)
    return out.view(q.shape), (total.log_() + top).view(q.shape[:3])


def gradients(
    grad_q_k_v_out: Sequence[torch.Tensor], lse: torch.Tensor, *, causal: bool, scale: float
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """The part's share of the gradients of q, k and v, from `out` and `lse` of the whole that it is part of."""
    grad, q, k, v, out = grad_q_k_v_out
    shared = k.shape[1]
    copies = q.shape[1] // shared
    if max(q.shape[2], k.shape[2]) > _LONGEST:
        every_k, every_v = k.repeat_interleave(copies, 1), v.repeat_interleave(copies, 1)
        of_q, of_k, of_v = _flash_backward(grad, q, every_k, every_v, out, lse, 0.0, causal, scale=scale)
        return of_q, of_k.unflatten(1, (shared, copies)).sum(2), of_v.unflatten(1, (shared, copies)).sum(2)
    folded = (len(q), shared, copies * q.shape[2])
    shares = _scores(q, k, causal=causal, scale=scale).sub_(lse.reshape(*folded, 1)).exp_()
    grad_F, out_F, q_F = (each.reshape(*folded, -1) for each in (grad, out, q))
    of_v = torch.matmul(shares.transpose(2, 3), grad_F)
    of_scores = torch.matmul(grad_F, v.transpose(2, 3)).sub_((grad_F * out_F).sum(-1, keepdim=True)).mul_(shares).mul_(scale)
    of_q = torch.matmul(of_scores, k).view(q.shape)
    return of_q, torch.matmul(of_scores.transpose(2, 3), q_F), of_v


def _scores(q: torch.Tensor, k: torch.Tensor, *, causal: bool, scale: float) -> torch.Tensor:
    """[B, K, copies S, T] scores, minus infinity where a query does not see a key."""
    copies, length = q.shape[1] // k.shape[1], q.shape[2]
    scores = torch.matmul(q.reshape(len(q), k.shape[1], copies * length, -1), k.transpose(2, 3)).mul_(scale)
    if causal:
        hidden = torch.ones((length, k.shape[2]), dtype=torch.bool, device=q.device).triu_(1)
        scores.unflatten(2, (copies, length)).masked_fill_(hidden, float("-inf"))
    return scores
