"""Forward passes of a causal language model with a memory of rows: prompts padded on the left, then one token a row at a time.

Shapes: R rows, W columns of key/value memory, V vocabulary entries.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch

from sharpen.errors import ModelError
from sharpen.runtime.cache import RowCache

__all__ = ["check_decoding", "last_logits", "new_cache", "prefill"]


def new_cache(model: Any, dtype: torch.dtype, room: int) -> RowCache:  # Any: a transformers causal LM
    """An empty memory for the model's layers, with that many columns of room to grow."""
    return RowCache(model.config.get_text_config().num_hidden_layers, dtype, room=room)


def prefill(
    model: Any,  # Any: as above
    contexts: Sequence[tuple[int, ...]],
    cache: RowCache,
) -> tuple[torch.Tensor, torch.Tensor]:
    """Logits [R, V] after each context, and the mask [R, W] of its columns; contexts are padded on the left."""
    width = max(len(ids) for ids in contexts)
    tokens = torch.zeros((len(contexts), width), dtype=torch.long)
    mask = torch.zeros((len(contexts), width), dtype=torch.long)
    for place, ids in enumerate(contexts):
        tokens[place, width - len(ids) :] = torch.tensor(ids)
        mask[place, width - len(ids) :] = 1
    device = next(model.parameters()).device
    tokens, mask = tokens.to(device), mask.to(device)
    return last_logits(model, tokens, mask, (mask.cumsum(-1) - 1).clamp(min=0), cache), mask


def last_logits(
    model: Any,  # Any: as above
    tokens: torch.Tensor,
    mask: torch.Tensor,
    positions: torch.Tensor,
    cache: RowCache,
) -> torch.Tensor:
    """Logits [R, V] at the last column."""
    output = model(
        input_ids=tokens,
        attention_mask=mask,
        position_ids=positions,
        past_key_values=cache,
        use_cache=True,
        logits_to_keep=1,
    )
    logits: torch.Tensor = output.logits[:, -1]
    return logits


@torch.no_grad()
def check_decoding(model: Any) -> None:  # Any: as above
    """Check on a few tokens that this memory serves the model: padded, reordered, one token at a time, as in a plain pass.

    Raises:
        ModelError: it does not (recurrent layers, memory shared between layers), so its samples would be wrong.
    """
    contexts, more = [(1, 2), (3, 0, 1, 2, 3, 1)], (0, 2)
    device = next(model.parameters()).device
    try:
        cache = new_cache(model, torch.float32, room=1)
        _, mask = prefill(model, contexts, cache)
        order = torch.tensor([1, 0, 1], device=device)
        cache.keep(order, 0)
        mask = torch.nn.functional.pad(mask[order], (0, 1), value=1)
        positions = mask.sum(-1, keepdim=True) - 1
        found = last_logits(model, torch.tensor(more, device=device)[order][:, None], mask, positions, cache)
        plain = [
            model(input_ids=torch.tensor([[*ids, last]], device=device), use_cache=False).logits[0, -1]
            for ids, last in zip(contexts, more, strict=True)
        ]
        wanted = torch.stack(plain)[order]
        error, allowed = float((found - wanted).abs().max()), 1e-3 * max(1.0, float(wanted.abs().max()))
        problem = f"logits differ by {error:.3g}" if error > allowed else None  # not a number: for `generate` to say
    except Exception as caught:  # boundary: whatever a model's own code does with a memory that is not made for it
        problem = f"{type(caught).__name__}: {caught}"[:200]
    if problem:
        raise ModelError(
            f"{type(model).__name__} cannot be sampled here, as its layers do not work with key/value memory that rows leave and "
            f"join ({problem}); use a model of plain attention layers"
        )
