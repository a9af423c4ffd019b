"""Attention over a pack: segments see themselves and what they go on from, and nothing is computed twice.

A token's attention is made of parts, over its own segment (causal), its trunk and the root (whole), which their log-sum-exps put
together exactly. In the backward pass each part is run with the log-sum-exp of the whole, which gives its share of the gradient.
Parts of similar lengths run together.

Under bfloat16 the forward pass is worked out in float64, so that its result, rounded to bfloat16, does not depend on the order of
sums: a token reads the same, to the bit, in a pack and while it is sampled (docs/adr/0009).

Shapes: N tokens of the pack, H query heads, K key heads, G query heads a key head, D head width; B pairs of a part, S tokens of its
longest queries, T of its longest keys.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch

from sharpen.runtime.packing import Pack, Span
from sharpen.runtime.part_attention import attend, gradients

__all__ = ["Layout", "tree_attention", "wide_dtype"]


def wide_dtype(dtype: torch.dtype) -> torch.dtype:
    """What attention is worked out in where values are of this dtype."""
    return dtype if dtype in (torch.float32, torch.float64) else torch.float64


class _Part:
    """Pairs of queries and the keys that they see, padded to one size.

    Attributes:
        queries, keys: the pack's places [B, S] and [B, T]; 0 past an end.
        past_queries, past_keys: where there is no token.
        causal: whether queries are keys, and see those up to their own.
    """

    def __init__(self, pairs: Sequence[tuple[Span, Span]], device: torch.device, *, causal: bool) -> None:
        (self.queries, self.past_queries), (self.keys, self.past_keys) = (
            _padded(spans, device) for spans in zip(*pairs, strict=True)
        )
        self.causal = causal

    def query_rows(self, values: torch.Tensor, shared: int) -> torch.Tensor:
        """[B K, S G, ...] of [N, H, ...]: folded by key head, token by token."""
        heads = values.shape[1]
        rows = self.queries[:, None, :, None] * heads + torch.arange(heads, device=values.device).view(shared, 1, -1)
        return _taken(values, rows).view(len(rows) * shared, -1, *values.shape[2:])

    def key_rows(self, values: torch.Tensor) -> torch.Tensor:
        """[B K, T, D] of [N, K, D]."""
        heads = values.shape[1]
        rows = self.keys[:, None] * heads + torch.arange(heads, device=values.device)[:, None]
        return _taken(values, rows).view(len(rows) * heads, -1, values.shape[2])

    def hidden(self, shared: int) -> torch.Tensor | None:
        """[B K, T] where there is no key; None where a causal query never gets there."""
        if self.causal or not self.past_keys.any():
            return None
        return self.past_keys.repeat_interleave(shared, 0)


def _padded(spans: Sequence[Span], device: torch.device) -> tuple[torch.Tensor, torch.Tensor]:
    steps = torch.arange(max(map(len, spans)))
    starts = torch.tensor([span.start for span in spans])[:, None]
    past = steps >= torch.tensor([len(span) for span in spans])[:, None]
    return torch.where(past, 0, starts + steps).to(device), past.to(device)


def _taken(values: torch.Tensor, rows: torch.Tensor) -> torch.Tensor:
    return values.flatten(0, 1).index_select(0, rows.flatten())


class Layout:
    """Which tokens of a pack see which, as index tensors, made once for all layers.

    Attributes:
        levels: parts; a token's query is in one part of a level at most, and so is its key. The first level is the segments' own.
    """

    def __init__(self, pack: Pack, device: torch.device) -> None:
        self.size = len(pack.tokens_N)
        own = [(span, span) for span in pack.segments]
        self.levels = [
            [_Part(pairs, device, causal=level is own) for pairs in _similar(level)]
            for level in (own, *map(list, pack.crosses))
        ]
        self._back: dict[tuple[int, int, int, bool], torch.Tensor] = {}

    def flat(
        self, pieces: Sequence[torch.Tensor], level: int, heads: int, shared: int, *, keys: bool = False, fill: float = 0
    ) -> torch.Tensor:
        """[N, heads, ...] of what a level's parts have as [B K, S G, ...], or [B K, T, ...] of keys; `fill` where none has a token."""
        rest = pieces[0].shape[2:]
        every = torch.cat([*(piece.flatten(0, 1) for piece in pieces), pieces[0].new_full((1, *rest), fill)])
        which = (level, heads, shared, keys)
        if which not in self._back:
            self._back[which] = self._places(self.levels[level], heads, shared, keys=keys)
        return every.index_select(0, self._back[which]).view(self.size, heads, *rest)

    def _places(self, parts: Sequence[_Part], heads: int, shared: int, *, keys: bool) -> torch.Tensor:
        """For each token and head its row among the parts' rows; the row after the last where there is none."""
        order, taken = [], []
        for part in parts:
            places, past = (part.keys, part.past_keys) if keys else (part.queries, part.past_queries)
            ids = torch.arange(heads, device=places.device).view(shared, 1, -1)
            order.append((places[:, None, :, None] * heads + ids).flatten())
            taken.append((~past)[:, None, :, None].expand(-1, shared, -1, heads // shared).flatten())
        rows, kept = torch.cat(order), torch.cat(taken)
        back = torch.full((self.size * heads,), len(rows), dtype=torch.long, device=rows.device)
        back[rows[kept]] = torch.arange(len(rows), device=rows.device)[kept]
        return back


def _similar(pairs: Sequence[tuple[Span, Span]]) -> list[list[tuple[Span, Span]]]:
    """The pairs by length, longest first, in groups that padding makes at most a quarter longer."""
    groups: list[list[tuple[Span, Span]]] = []
    for pair in sorted(pairs, key=lambda pair: (-len(pair[0]), -len(pair[1]))):
        first = groups[-1][0] if groups else None
        if first and all(max(map(len, both)) <= 1.25 * min(map(len, both)) + 8 for both in zip(first, pair, strict=True)):
            groups[-1].append(pair)
        else:
            groups.append([pair])
    return groups


def tree_attention(
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    layout: Layout,
    scale: float,
    before: Sequence[torch.Tensor] = (),
) -> torch.Tensor:
    """[N, H, D] what each token reads, in the dtype of `value`.

    Args:
        query: [N, H, D].
        key, value: [N, K, D], where K divides H.
        layout: who sees whom.
        scale: of the scores.
        before: keys and values [K, T, D], wide, that every token sees beside; they get no gradient.
    """
    out: torch.Tensor = _TreeAttention.apply(query, key, value, layout, scale, before)  # type: ignore[no-untyped-call]  # as torch is
    return out


class _TreeAttention(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any,  # Any: torch's context takes any attribute
        query: torch.Tensor,
        key: torch.Tensor,
        value: torch.Tensor,
        layout: Layout,
        scale: float,
        before: Sequence[torch.Tensor],
    ) -> torch.Tensor:
        wide, heads, shared = wide_dtype(value.dtype), query.shape[1], key.shape[1]

        def read(level: int) -> tuple[torch.Tensor, torch.Tensor]:
            pieces = []
            for part in layout.levels[level]:
                q = part.query_rows(query, shared).to(wide).mul_(scale)
                k, v = (part.key_rows(values).to(wide) for values in (key, value))
                pieces.append(attend(q, k, v, part.hidden(shared), groups=heads // shared, causal=part.causal))
            outs, norms = zip(*pieces, strict=True)
            return layout.flat(outs, level, heads, shared), layout.flat(norms, level, heads, shared, fill=float("-inf"))

        out, lse = read(0)
        for level in range(1, len(layout.levels)):
            out, lse = _joined(out, lse, *read(level))
        if before:
            q = query.to(wide).mul(scale).unflatten(1, (shared, -1)).transpose(0, 1).flatten(1, 2)
            more = attend(q, before[0], before[1], None, groups=heads // shared, causal=False)
            each = (values.unflatten(1, (len(query), -1)).transpose(0, 1).flatten(1, 2) for values in more)
            out, lse = _joined(out, lse, *each)
        out = out.to(value.dtype)
        ctx.save_for_backward(query, key, value, out, lse.to(torch.promote_types(value.dtype, torch.float32)))
        ctx.layout, ctx.scale = layout, scale
        return out

    @staticmethod
    def backward(ctx: Any, *grads: torch.Tensor) -> tuple[torch.Tensor | None, ...]:  # Any: as above
        query, key, value, out, lse = ctx.saved_tensors
        layout: Layout = ctx.layout
        heads, shared = query.shape[1], key.shape[1]
        grad = grads[0].to(lse.dtype)
        delta = (grad * out).sum(-1)

        def shares(level: int) -> list[torch.Tensor]:
            pieces = []
            for part in layout.levels[level]:
                of_out, q = (part.query_rows(values, shared).to(lse.dtype) for values in (grad, query))
                k, v = (part.key_rows(values).to(lse.dtype) for values in (key, value))
                bound, deltas = (part.query_rows(values, shared) for values in (lse, delta))
                # past the end the log-sum-exp is infinite, so that the share of every key there is exactly 0
                past = part.past_queries[:, None, :, None].expand(-1, shared, -1, heads // shared).reshape(bound.shape)
                bound.masked_fill_(past, float("inf"))
                how = {"groups": heads // shared, "causal": part.causal}
                pieces.append(gradients(of_out, q.mul_(ctx.scale), k, v, part.hidden(shared), bound, deltas, **how))
            of_q, of_k, of_v = zip(*pieces, strict=True)
            return [
                layout.flat(of_q, level, heads, shared).mul_(ctx.scale),
                *(layout.flat(each, level, shared, shared, keys=True) for each in (of_k, of_v)),
            ]

        totals = shares(0)
        for level in range(1, len(layout.levels)):
            totals = [total.add_(more) for total, more in zip(totals, shares(level), strict=True)]
        return (*(total.to(given.dtype) for total, given in zip(totals, (query, key, value), strict=True)), None, None, None)


def _joined(
    out: torch.Tensor, lse: torch.Tensor, more: torch.Tensor, more_lse: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor]:
    """Two parts of attention [N, H, D] with their log-sum-exps [N, H] as one."""
    total = torch.logaddexp(lse, more_lse)
    return more.lerp_(out, (lse - total).exp_()[..., None]), total
