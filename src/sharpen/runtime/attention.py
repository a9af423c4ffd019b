"""The attention that models run with here: over packs of rows, for decoding on a CPU, and torch's own for all else.

Decoding has one query a row against long keys.
torch's fused CPU kernel is made for long queries. With one query a row, two batched matrix products over the key/value heads are
three times as fast (measured in LOG.md), and exact: everything is float32. Longer queries and other devices take torch's kernel.

Shapes: R rows, H key/value heads, W columns, G query heads a key/value head.
"""

from __future__ import annotations

from typing import Any

import torch
from transformers import AttentionInterface, AttentionMaskInterface
from transformers.integrations.sdpa_attention import sdpa_attention_forward
from transformers.masking_utils import sdpa_mask

from sharpen.runtime.tree_attention import Layout, tree_attention
from sharpen.runtime.tree_memory import TreeMemory

__all__ = ["ATTENTION"]

ATTENTION = "sharpen"
"""The name under which transformers finds this attention."""


def _attention(
    module: torch.nn.Module,
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    attention_mask: torch.Tensor | None,
    dropout: float = 0.0,
    scaling: float | None = None,
    layout: Layout | None = None,
    memory: TreeMemory | None = None,
    **others: Any,  # Any: transformers passes what the model's own attention takes
) -> tuple[torch.Tensor, None]:
    if memory is not None or layout is not None:
        if others.get("sliding_window") is not None or others.get("position_bias") is not None:
            raise NotImplementedError("attention over a window or with a bias, over a pack")  # `packs_exactly` says no
        scale = query.shape[-1] ** -0.5 if scaling is None else scaling
        with torch.autocast(query.device.type, enabled=False):
            layer: int = module.layer_idx  # type: ignore[assignment]  # every attention module of transformers has its number
            if layout is None:
                assert memory is not None
                read = memory.attend(layer, query[: len(memory.owner_R), :, 0], scale)
                return read.to(value.dtype)[:, None].expand(len(query), -1, -1, -1), None
            query_NHD, key_NKD, value_NKD = (each[0].transpose(0, 1) for each in (query, key, value))
            before = memory.root(layer) if memory is not None else ()
            return tree_attention(query_NHD, key_NKD, value_NKD, layout, scale, before)[None], None
    if query.shape[2] != 1 or query.device.type != "cpu" or others.get("position_bias") is not None or torch.is_grad_enabled():
        found: tuple[torch.Tensor, None] = sdpa_attention_forward(
            module, query, key, value, attention_mask, dropout=dropout, scaling=scaling, **others
        )
        return found
    rows, heads, _, dim = query.shape
    shared = key.shape[1]
    with torch.autocast("cpu", enabled=False):
        # (keys x query), not (query x keys): the order that reads the keys as they lie in memory
        keys, values = key.float().flatten(0, 1), value.float().flatten(0, 1)
        queries = query.float().reshape(rows * shared, heads // shared, dim)
        scores = torch.bmm(keys, queries.transpose(1, 2)).mul_(dim**-0.5 if scaling is None else scaling)
        scores_RHWG = scores.view(rows, shared, -1, heads // shared)
        if attention_mask is not None and attention_mask.dtype == torch.bool:
            scores_RHWG = scores_RHWG.masked_fill(~attention_mask.transpose(2, 3), float("-inf"))
        elif attention_mask is not None:
            scores_RHWG = scores_RHWG + attention_mask.transpose(2, 3)
        shares = scores_RHWG.softmax(2).flatten(0, 1).transpose(1, 2)
        mixed = torch.bmm(shares, values)
    return mixed.reshape(rows, 1, heads, value.shape[-1]).to(query.dtype), None


AttentionInterface.register(ATTENTION, _attention)
AttentionMaskInterface.register(ATTENTION, sdpa_mask)
