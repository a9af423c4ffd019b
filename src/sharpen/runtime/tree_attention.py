"""Attention over a pack: every segment sees itself, branches see their trunk too, and nothing is padded or computed twice.

A branch's attention is made of two parts, over itself (causal) and over its trunk (whole), which their log-sum-exps put together
exactly. In the backward pass each part is run with the log-sum-exp of the whole, which gives its share of the gradient.

Shapes: N tokens of the pack, H query heads, D head width; R segments of a bucket, S tokens of its longest.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch

from sharpen.runtime.packing import Pack, Span

__all__ = ["Layout", "tree_attention"]

_forward = torch.ops.aten._scaled_dot_product_flash_attention_for_cpu
_backward = torch.ops.aten._scaled_dot_product_flash_attention_for_cpu_backward


@dataclass(frozen=True, kw_only=True)
class _Bucket:
    """Segments of similar length as rows.

    Attributes:
        places_RS: [R, S] the place in the pack; 0 past a segment's end.
        valid_RS: [R, S] where there is a token.
    """

    places_RS: torch.Tensor
    valid_RS: torch.Tensor


class Layout:
    """Which tokens of a pack see which, as index tensors, made once for all layers."""

    def __init__(self, pack: Pack, device: torch.device) -> None:
        self.crosses: list[tuple[Span, Span]] = [pair for pair in zip(pack.branches, pack.trunks, strict=True) if len(pair[0])]
        self.buckets = [_bucket(spans, device) for spans in _similar(pack.segments)]
        padded = torch.cat([bucket.places_RS[bucket.valid_RS] for bucket in self.buckets])
        width = sum(bucket.places_RS.numel() for bucket in self.buckets)
        valid = torch.cat([bucket.valid_RS.flatten() for bucket in self.buckets])
        self.back_N = torch.empty(len(padded), dtype=torch.long, device=device)
        self.back_N[padded] = torch.arange(width, device=device)[valid]


def _similar(segments: tuple[Span, ...]) -> list[list[Span]]:
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
    valid = steps < torch.tensor([len(span) for span in spans])[:, None]
    return _Bucket(places_RS=torch.where(valid, starts + steps, 0).to(device), valid_RS=valid.to(device))


def tree_attention(
    query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, layout: Layout, scale: float | None
) -> torch.Tensor:
    """[N, H, D] what each token reads, at least float32 inside, in the dtype of `value` outside.

    Args:
        query: [N, H, D].
        key, value: [N, heads, D] with a number of heads that divides H.
        layout: who sees whom.
        scale: of the scores; None is D ** -0.5.
    """
    out: torch.Tensor = _TreeAttention.apply(query, key, value, layout, scale)  # type: ignore[no-untyped-call]  # as torch is
    return out


class _TreeAttention(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any,  # Any: torch's context takes any attribute
        query: torch.Tensor,
        key: torch.Tensor,
        value: torch.Tensor,
        layout: Layout,
        scale: float | None,
    ) -> torch.Tensor:
        q, k, v = _heads(query, key, value)
        out, lse = _own(q, k, v, layout, scale)
        for branch, trunk in layout.crosses:
            _join(out, lse, branch, *_seen(q, k, v, branch, trunk, scale))
        out = out.to(value.dtype)
        ctx.save_for_backward(query, key, value, out, lse)
        ctx.layout, ctx.scale = layout, scale
        return out

    @staticmethod
    def backward(ctx: Any, grad: torch.Tensor) -> tuple[torch.Tensor | None, ...]:  # type: ignore[override]  # Any: as above
        query, key, value, out, lse = ctx.saved_tensors
        layout, scale = ctx.layout, ctx.scale
        q, k, v = _heads(query, key, value)
        out, grad = out.to(q.dtype), grad.to(q.dtype)
        grads = _own_gradients(grad, q, k, v, out, lse, layout, scale)
        for branch, trunk in layout.crosses:
            of_q, of_k, of_v = _backward(
                _row(grad, branch),
                _row(q, branch),
                _row(k, trunk),
                _row(v, trunk),
                _row(out, branch),
                lse[branch.start : branch.end].T[None],
                0.0,
                False,
                scale=scale,
            )
            for total, more, span in zip(grads, (of_q, of_k, of_v), (branch, trunk, trunk), strict=True):
                total[span.start : span.end] += more[0].transpose(0, 1)
        shared = key.shape[1]
        of_q, of_k, of_v = (total.unflatten(1, (shared, -1)) for total in grads)
        return of_q.flatten(1, 2).to(query.dtype), of_k.sum(2).to(key.dtype), of_v.sum(2).to(value.dtype), None, None


def _heads(query: torch.Tensor, key: torch.Tensor, value: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """[N, H, D] each, at least float32: a key head serves several query heads."""
    dtype = torch.promote_types(value.dtype, torch.float32)
    copies = query.shape[1] // key.shape[1]
    return query.to(dtype), key.to(dtype).repeat_interleave(copies, 1), value.to(dtype).repeat_interleave(copies, 1)


def _row(values: torch.Tensor, span: Span) -> torch.Tensor:
    """[1, H, tokens, D] of a span."""
    return values[span.start : span.end].transpose(0, 1)[None]


def _own(
    q: torch.Tensor, k: torch.Tensor, v: torch.Tensor, layout: Layout, scale: float | None
) -> tuple[torch.Tensor, torch.Tensor]:
    """What each token reads in its own segment [N, H, D], and the log-sum-exp of its scores [N, H]."""
    outs, lses = [], []
    for bucket in layout.buckets:
        out, lse = _forward(*(_gathered(each, bucket) for each in (q, k, v)), 0.0, True, scale=scale)
        outs.append(out.transpose(1, 2).flatten(0, 1))
        lses.append(lse.transpose(1, 2).flatten(0, 1))
    return torch.cat(outs)[layout.back_N], torch.cat(lses)[layout.back_N]


def _seen(
    q: torch.Tensor, k: torch.Tensor, v: torch.Tensor, branch: Span, trunk: Span, scale: float | None
) -> tuple[torch.Tensor, torch.Tensor]:
    out, lse = _forward(_row(q, branch), _row(k, trunk), _row(v, trunk), 0.0, False, scale=scale)
    return out[0].transpose(0, 1), lse[0].T


def _join(out: torch.Tensor, lse: torch.Tensor, span: Span, more: torch.Tensor, more_lse: torch.Tensor) -> None:
    """Put a second part of the attention of a span into the first."""
    here = slice(span.start, span.end)
    total = torch.logaddexp(lse[here], more_lse)
    share = (lse[here] - total).exp_()[..., None]
    out[here] = out[here] * share + more * (1 - share)
    lse[here] = total


def _own_gradients(
    grad: torch.Tensor,
    q: torch.Tensor,
    k: torch.Tensor,
    v: torch.Tensor,
    out: torch.Tensor,
    lse: torch.Tensor,
    layout: Layout,
    scale: float | None,
) -> list[torch.Tensor]:
    found: list[list[torch.Tensor]] = [[], [], []]
    for bucket in layout.buckets:
        # past the end the log-sum-exp is infinite, so that the share of every key there is exactly 0
        bounds = lse[bucket.places_RS].masked_fill(~bucket.valid_RS[..., None], float("inf")).transpose(1, 2)
        each = (_gathered(values, bucket) for values in (grad, q, k, v, out))
        for pieces, piece in zip(found, _backward(*each, bounds, 0.0, True, scale=scale), strict=True):
            pieces.append(piece.transpose(1, 2).flatten(0, 1))
    return [torch.cat(pieces)[layout.back_N] for pieces in found]


def _gathered(values: torch.Tensor, bucket: _Bucket) -> torch.Tensor:
    """[R, H, S, D] of [N, H, D]."""
    return values[bucket.places_RS].transpose(1, 2)
