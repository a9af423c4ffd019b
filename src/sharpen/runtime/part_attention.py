"""Attention of a batch of queries over keys, as parts of a whole: with the log-sum-exp that puts parts together, each way.

Queries run in blocks, each over the keys that it may see, so that scores stay in a CPU's cache and half of a causal square is never
worked out. Queries of one key head are folded into one matrix, so that no key is copied for every query head.

Shapes: B parts (segments x key heads), S query tokens, G query heads a key head, F = S G folded queries, T keys, D head width.
"""

from __future__ import annotations

from collections.abc import Iterator

import torch

__all__ = ["attend", "gradients"]

_BLOCK = 32  # query tokens of a causal block: less is worked out for nothing than with more, and calls are not yet too many
_SCORES = 2**19  # of a block that is not causal, at most


def attend(
    q_BFD: torch.Tensor, k_BTD: torch.Tensor, v_BTD: torch.Tensor, hidden_BT: torch.Tensor | None, *, groups: int, causal: bool
) -> tuple[torch.Tensor, torch.Tensor]:
    """What queries read of keys and values [B, F, D], and the log-sum-exp [B, F] of their scores.

    Args:
        q_BFD: queries times the scale, token by token.
        k_BTD, v_BTD: keys and values.
        hidden_BT: keys that no query sees, or None.
        groups: G.
        causal: whether a query sees only the keys up to its own place.
    """
    out_BFD = torch.empty_like(q_BFD)
    lse_BF = q_BFD.new_empty(q_BFD.shape[:2])
    for here, end in _blocks(q_BFD, k_BTD, groups, causal=causal):
        shares_BFT = _scores(q_BFD[:, here], k_BTD[:, :end], hidden_BT, groups=groups, causal=causal)
        top_BF1 = shares_BFT.amax(-1, keepdim=True)
        total_BF1 = shares_BFT.sub_(top_BF1).exp_().sum(-1, keepdim=True)
        torch.div(torch.bmm(shares_BFT, v_BTD[:, :end]), total_BF1, out=out_BFD[:, here])
        lse_BF[:, here] = total_BF1.log_().add_(top_BF1).squeeze(-1)
    return out_BFD, lse_BF


def gradients(
    grad_BFD: torch.Tensor,
    q_BFD: torch.Tensor,
    k_BTD: torch.Tensor,
    v_BTD: torch.Tensor,
    hidden_BT: torch.Tensor | None,
    lse_BF: torch.Tensor,
    delta_BF: torch.Tensor,
    *,
    groups: int,
    causal: bool,
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """The part's share of the gradients of (scaled) queries, keys and values.

    Args:
        grad_BFD: gradient of what the queries read of the whole.
        lse_BF: log-sum-exp of the whole; infinite where a query's share counts for nothing.
        delta_BF: sum of `grad` times what was read, over D.
        q_BFD, k_BTD, v_BTD, hidden_BT, groups, causal: as for `attend`.
    """
    of_q, of_k, of_v = torch.empty_like(q_BFD), torch.zeros_like(k_BTD), torch.zeros_like(v_BTD)
    for here, end in _blocks(q_BFD, k_BTD, groups, causal=causal):
        shares_BFT = _scores(q_BFD[:, here], k_BTD[:, :end], hidden_BT, groups=groups, causal=causal)
        shares_BFT.sub_(lse_BF[:, here, None]).exp_()
        of_v[:, :end] += torch.bmm(shares_BFT.transpose(1, 2), grad_BFD[:, here])
        of_scores_BFT = (
            torch.bmm(grad_BFD[:, here], v_BTD[:, :end].transpose(1, 2)).sub_(delta_BF[:, here, None]).mul_(shares_BFT)
        )
        of_q[:, here] = torch.bmm(of_scores_BFT, k_BTD[:, :end])
        of_k[:, :end] += torch.bmm(of_scores_BFT.transpose(1, 2), q_BFD[:, here])
    return of_q, of_k, of_v


def _blocks(q_BFD: torch.Tensor, k_BTD: torch.Tensor, groups: int, *, causal: bool) -> Iterator[tuple[slice, int]]:
    """Folded queries, and how many keys they may see."""
    folded, keys = q_BFD.shape[1], k_BTD.shape[1]
    step = _BLOCK * groups if causal else max(groups, _SCORES // (len(q_BFD) * keys))
    for start in range(0, folded, step):
        stop = min(start + step, folded)
        yield slice(start, stop), stop // groups if causal else keys


def _scores(
    q_BFD: torch.Tensor, k_BTD: torch.Tensor, hidden_BT: torch.Tensor | None, *, groups: int, causal: bool
) -> torch.Tensor:
    """[B, F, T] scores of one block, minus infinity where a query does not see a key."""
    scores_BFT = torch.bmm(q_BFD, k_BTD.transpose(1, 2))
    if causal:  # only the newest keys are hidden from some of the block's queries
        new = q_BFD.shape[1] // groups
        later_SS = torch.ones((new, new), dtype=torch.bool, device=q_BFD.device).triu_(1)
        scores_BFT[:, :, -new:].unflatten(1, (new, groups)).masked_fill_(later_SS[:, None], float("-inf"))
    if hidden_BT is not None:
        scores_BFT.masked_fill_(hidden_BT[:, None], float("-inf"))
    return scores_BFT
