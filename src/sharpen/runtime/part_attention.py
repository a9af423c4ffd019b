"""Attention of a batch of stretches of tokens, each over what comes before it and over itself, each way.

Queries run in blocks, each over the keys that it may see, so that scores stay in a CPU's cache and half of a causal square is never
worked out. Queries of one key head are folded into one matrix, so that no key is copied for every query head.

Shapes: B stretches, K key heads, S query tokens, G query heads a key head, F = S G folded queries, T = A + S keys, of which A come
before the stretch; D head width.
"""

from __future__ import annotations

import functools
from collections.abc import Iterator

import torch

__all__ = ["attend", "gradients"]

_BLOCK = 32  # query tokens: less is worked out for nothing than with more, and calls are not yet too many


def attend(
    q_NFD: torch.Tensor, k_NTD: torch.Tensor, v_NTD: torch.Tensor, hidden_BA: torch.Tensor | None, *, groups: int
) -> tuple[torch.Tensor, torch.Tensor]:
    """What queries read of keys and values [B K, F, D], and the log-sum-exp [B K, F] of their scores.

    Args:
        q_NFD: queries times the scale, [B K, F, D], token by token.
        k_NTD, v_NTD: keys and values, [B K, T, D]; the last S are the queries' own, seen up to each.
        hidden_BA: which of the first A no query sees, or None.
        groups: G.
    """
    out_NFD = torch.empty_like(q_NFD)
    lse_NF = q_NFD.new_empty(q_NFD.shape[:2])
    for here, end in _blocks(q_NFD, k_NTD, groups):
        shares_NFT = _scores(q_NFD[:, here], k_NTD[:, :end], hidden_BA, groups)
        top_NF1 = shares_NFT.amax(-1, keepdim=True)
        total_NF1 = shares_NFT.sub_(top_NF1).exp_().sum(-1, keepdim=True)
        torch.div(torch.bmm(shares_NFT, v_NTD[:, :end]), total_NF1, out=out_NFD[:, here])
        lse_NF[:, here] = total_NF1.log_().add_(top_NF1).squeeze(-1)
    return out_NFD, lse_NF


def gradients(
    grad_NFD: torch.Tensor,
    q_NFD: torch.Tensor,
    k_NTD: torch.Tensor,
    v_NTD: torch.Tensor,
    hidden_BA: torch.Tensor | None,
    lse_NF: torch.Tensor,
    delta_NF: torch.Tensor,
    *,
    groups: int,
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """The gradients of (scaled) queries, keys and values.

    Args:
        grad_NFD: gradient of what the queries read.
        lse_NF: as `attend` gave it; infinite where a query counts for nothing.
        delta_NF: sum of `grad` times what was read, over D.
        q_NFD, k_NTD, v_NTD, hidden_BA, groups: as for `attend`.
    """
    of_q, of_k, of_v = torch.empty_like(q_NFD), torch.zeros_like(k_NTD), torch.zeros_like(v_NTD)
    for here, end in _blocks(q_NFD, k_NTD, groups):
        shares_NFT = _scores(q_NFD[:, here], k_NTD[:, :end], hidden_BA, groups)
        shares_NFT.sub_(lse_NF[:, here, None]).exp_()
        of_v[:, :end] += torch.bmm(shares_NFT.transpose(1, 2), grad_NFD[:, here])
        of_scores_NFT = (
            torch.bmm(grad_NFD[:, here], v_NTD[:, :end].transpose(1, 2)).sub_(delta_NF[:, here, None]).mul_(shares_NFT)
        )
        of_q[:, here] = torch.bmm(of_scores_NFT, k_NTD[:, :end])
        of_k[:, :end] += torch.bmm(of_scores_NFT.transpose(1, 2), q_NFD[:, here])
    return of_q, of_k, of_v


def _blocks(q_NFD: torch.Tensor, k_NTD: torch.Tensor, groups: int) -> Iterator[tuple[slice, int]]:
    """Folded queries, and how many keys they may see."""
    num_queries = q_NFD.shape[1] // groups
    num_before = k_NTD.shape[1] - num_queries
    for start in range(0, num_queries, _BLOCK):
        stop = min(start + _BLOCK, num_queries)
        yield slice(start * groups, stop * groups), num_before + stop


@functools.lru_cache(maxsize=2 * _BLOCK)
def _later(size: int, device: torch.device) -> torch.Tensor:
    """[S, S] where a key is later than the query."""
    return torch.ones((size, size), dtype=torch.bool, device=device).triu_(1)


def _scores(q_NFD: torch.Tensor, k_NTD: torch.Tensor, hidden_BA: torch.Tensor | None, groups: int) -> torch.Tensor:
    """[B K, F, T] scores of one block, minus infinity where a query does not see a key."""
    scores_NFT = torch.bmm(q_NFD, k_NTD.transpose(1, 2))
    new = q_NFD.shape[1] // groups  # only the newest keys are hidden from some of the block's queries
    later_SS = _later(new, q_NFD.device)
    scores_NFT[:, :, -new:].unflatten(1, (new, groups)).masked_fill_(later_SS[:, None], float("-inf"))
    if hidden_BA is not None:
        before = scores_NFT[:, :, : hidden_BA.shape[1]].unflatten(0, (len(hidden_BA), -1))
        before.masked_fill_(hidden_BA[:, None, None], float("-inf"))
    return scores_NFT
