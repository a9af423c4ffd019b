"""Attention over a pack: every segment sees itself, branches see their trunk too, and nothing is padded or computed twice.

A branch's attention is made of two parts, over itself (causal) and over its trunk (whole), which their log-sum-exps put together
exactly. In the backward pass each part is run with the log-sum-exp of the whole, which gives its share of the gradient.

Under bfloat16 the forward pass is worked out in float64, so that its result, rounded to bfloat16, does not depend on the order of
sums: a token reads the same, to the bit, in a pack and while it is sampled (docs/adr/0009).

Shapes: N tokens of the pack, H query heads, K key heads, D head width; B segments of a bucket, S tokens of its longest.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch

from sharpen.runtime.packing import Pack, Span
from sharpen.runtime.part_attention import attend, gradients

__all__ = ["Layout", "tree_attention", "wide_dtype"]


def wide_dtype(dtype: torch.dtype) -> torch.dtype:
    """What attention is worked out in where values are of this dtype."""
    return dtype if dtype in (torch.float32, torch.float64) else torch.float64


@dataclass(frozen=True, kw_only=True)
class _Bucket:
    """Segments of similar length as rows.

    Attributes:
        places_BS: the place in the pack; 0 past a segment's end.
        past_BS: where there is no token.
    """

    places_BS: torch.Tensor
    past_BS: torch.Tensor

    def rows(self, values: torch.Tensor) -> torch.Tensor:
        """[B, heads, S, D] of [N, heads, D]."""
        found = values.index_select(0, self.places_BS.flatten())
        return found.view(*self.places_BS.shape, *values.shape[1:]).transpose(1, 2)


class Layout:
    """Which tokens of a pack see which, as index tensors, made once for all layers."""

    def __init__(self, pack: Pack, device: torch.device) -> None:
        self.crosses: list[tuple[Span, Span]] = [pair for pair in zip(pack.branches, pack.trunks, strict=True) if len(pair[0])]
        self.buckets = [_bucket(spans, device) for spans in _similar(pack.segments)]
        places = torch.cat([bucket.places_BS.flatten() for bucket in self.buckets])
        taken = ~torch.cat([bucket.past_BS.flatten() for bucket in self.buckets])
        self.back_N = torch.empty(int(taken.sum()), dtype=torch.long, device=device)
        self.back_N[places[taken]] = torch.arange(len(places), device=device)[taken]

    def flat(self, pieces: Sequence[torch.Tensor]) -> torch.Tensor:
        """[N, heads, ...] of what each bucket has as [B, heads, S, ...]."""
        return torch.cat([piece.transpose(1, 2).flatten(0, 1) for piece in pieces]).index_select(0, self.back_N)


def _similar(segments: Sequence[Span]) -> list[list[Span]]:
    """The segments by length, longest first, in groups that padding makes at most a quarter longer."""
    groups: list[list[Span]] = []
    for span in sorted(segments, key=lambda span: -len(span)):
        if groups and len(groups[-1][0]) <= 1.25 * len(span) + 8:
            groups[-1].append(span)
        else:
            groups.append([span])
    return groups


def _bucket(spans: list[Span], device: torch.device) -> _Bucket:
    steps = torch.arange(len(spans[0]))
    starts = torch.tensor([span.start for span in spans])[:, None]
    past = steps >= torch.tensor([len(span) for span in spans])[:, None]
    return _Bucket(places_BS=torch.where(past, 0, starts + steps).to(device), past_BS=past.to(device))


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
        wide = wide_dtype(value.dtype)
        parts = []
        for bucket in layout.buckets:
            each = (bucket.rows(values).to(wide) for values in (query, key, value))
            parts.append(attend(*each, causal=True, scale=scale))
        out, lse = (layout.flat(pieces) for pieces in zip(*parts, strict=True))
        for branch, trunk in layout.crosses:
            spans = zip((query, key, value), (branch, trunk, trunk), strict=True)
            more, more_lse = attend(*(_row(values, span).to(wide) for values, span in spans), causal=False, scale=scale)
            _join(out[branch.start : branch.end], lse[branch.start : branch.end], more[0].transpose(0, 1), more_lse[0].T)
        if before:
            q_1HND = query.to(wide).transpose(0, 1)[None]
            more, more_lse = attend(q_1HND, before[0][None], before[1][None], causal=False, scale=scale)
            _join(out, lse, more[0].transpose(0, 1), more_lse[0].T)
        out = out.to(value.dtype)
        ctx.save_for_backward(query, key, value, out, lse.to(torch.promote_types(value.dtype, torch.float32)))
        ctx.layout, ctx.scale = layout, scale
        return out

    @staticmethod
    def backward(ctx: Any, *grads: torch.Tensor) -> tuple[torch.Tensor | None, ...]:  # Any: as above
        query, key, value, out, lse = ctx.saved_tensors
        layout, scale = ctx.layout, ctx.scale
        q, k, v, out, grad = (values.to(lse.dtype) for values in (query, key, value, out, grads[0]))
        pieces = []
        for bucket in layout.buckets:
            # past the end the log-sum-exp is infinite, so that the share of every key there is exactly 0
            bound = bucket.rows(lse[..., None])[..., 0].masked_fill(bucket.past_BS[:, None], float("inf"))
            pieces.append(gradients([bucket.rows(values) for values in (grad, q, k, v, out)], bound, causal=True, scale=scale))
        totals = [layout.flat(piece) for piece in zip(*pieces, strict=True)]
        for branch, trunk in layout.crosses:
            spans = zip((grad, q, k, v, out), (branch, branch, trunk, trunk, branch), strict=True)
            bound = lse[branch.start : branch.end].T[None]
            more = gradients([_row(values, span) for values, span in spans], bound, causal=False, scale=scale)
            for total, share, span in zip(totals, more, (branch, trunk, trunk), strict=True):
                total[span.start : span.end] += share[0].transpose(0, 1)
        return (*(total.to(given.dtype) for total, given in zip(totals, (query, key, value), strict=True)), None, None, None)


def _row(values: torch.Tensor, span: Span) -> torch.Tensor:
    """[1, heads, tokens, D] of a span."""
    return values[span.start : span.end].transpose(0, 1)[None]


def _join(out: torch.Tensor, lse: torch.Tensor, more: torch.Tensor, more_lse: torch.Tensor) -> None:
    """Put a second part of attention [tokens, H, D] with its log-sum-exp [tokens, H] into the first."""
    total = torch.logaddexp(lse, more_lse)
    share = (lse - total).exp_()[..., None]
    out.mul_(share).add_(more.mul(1 - share))
    lse.copy_(total)
