"""Completions from a causal language model: prompts prefilled once, finished rows dropped, free places refilled.

Shapes: R live rows, W columns of key/value memory, V vocabulary entries.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import torch

from sharpen.errors import ModelError
from sharpen.protocols import Request, Sampling
from sharpen.runtime.cache import RowCache
from sharpen.runtime.decoding import last_logits, new_cache, prefill
from sharpen.runtime.rendering import Renderer
from sharpen.runtime.sampler import draw, uniforms
from sharpen.types import Completion, Segment

__all__ = ["generate"]

_COMPACT_BELOW = 0.85  # live share under which rows are dropped: a compaction copies the memory once


@dataclass(kw_only=True)
class _Row:
    """A completion in the making.

    Attributes:
        context: ids of the prompt and of the partial completion, if any.
        tokens: ids drawn so far.
    """

    place: int
    request: Request
    context: tuple[int, ...]
    uniforms: torch.Tensor
    tokens: list[int] = field(default_factory=list)
    logprobs: list[float] = field(default_factory=list)
    finish: str | None = None


@torch.no_grad()
def generate(
    model: Any,  # a transformers causal LM has no useful static type
    renderer: Renderer,
    requests: Sequence[Request],
    sampling: Sampling,
    *,
    checkpoint: str,
    max_rows: int,
    prefill_tokens: int,
    cache_dtype: torch.dtype,
) -> list[Completion]:
    """One completion per request, in order.

    Rows are refilled from the queue when half of the places are free. The schedule depends on the requests and the weights alone,
    so the same call gives the same bits.

    Args:
        model, renderer, requests, sampling: what to run.
        checkpoint: id that the completions carry.
        max_rows: rows in flight at most.
        prefill_tokens: prompt tokens run forward at once, at most.
        cache_dtype: of the key/value memory.

    Raises:
        DataError: a prompt leaves no room for the answer.
        ModelError: the model's logits are not numbers.
        ValueError: a partial completion cannot be gone on from.
    """
    waiting = _rows(requests, renderer, sampling)
    finished: list[Completion | None] = [None] * len(waiting)
    batch = _Batch(model, renderer, sampling, cache_dtype)
    while waiting or batch.rows:
        if waiting and len(batch.rows) <= max_rows // 2:
            taken = waiting[: max_rows - len(batch.rows)]
            waiting = waiting[len(taken) :]
            batch.admit(taken, prefill_tokens)
        else:
            batch.step()
        for row in batch.retire():
            finished[row.place] = _completion(row, renderer, sampling, checkpoint)
    assert all(completion is not None for completion in finished)
    return [completion for completion in finished if completion is not None]


class _Batch:
    """The rows in flight with their key/value memory, aligned at the right edge."""

    def __init__(self, model: Any, renderer: Renderer, sampling: Sampling, dtype: torch.dtype) -> None:  # Any: as above
        self.model, self.renderer, self.sampling, self.dtype = model, renderer, sampling, dtype
        self.device = next(model.parameters()).device
        self.stop_ids = torch.tensor(renderer.stop_ids, device=self.device)
        self.stops = [(stop, renderer.full_text if renderer.spells_special(stop) else renderer.text) for stop in sampling.stop]
        self.rows: list[_Row] = []
        self.cache: RowCache | None = None
        self.mask_RW = torch.zeros((0, 0), dtype=torch.long, device=self.device)
        self.positions_R = torch.zeros(0, dtype=torch.long, device=self.device)
        self.last_R = torch.zeros(0, dtype=torch.long, device=self.device)

    def admit(self, rows: list[_Row], prefill_tokens: int) -> None:
        """Prefill the rows' prompts, each distinct one once, draw their first tokens, and add them to the batch."""
        contexts: dict[tuple[int, ...], list[_Row]] = {}
        for row in rows:
            contexts.setdefault(row.context, []).append(row)
        by_length = sorted(contexts.items(), key=lambda item: len(item[0]))
        start = 0
        while start < len(by_length):
            end = start + 1
            while end < len(by_length) and len(by_length[end][0]) * (end + 1 - start) <= prefill_tokens:
                end += 1
            self._admit_chunk(by_length[start:end])
            start = end

    def _admit_chunk(self, contexts: list[tuple[tuple[int, ...], list[_Row]]]) -> None:
        cache = new_cache(self.model, self.dtype, room=min(64, self.sampling.max_new_tokens))
        logits_PV, mask = prefill(self.model, [ids for ids, _ in contexts], cache)
        repeats = torch.tensor([len(rows) for _, rows in contexts], device=self.device)
        owner_R = torch.arange(len(contexts), device=self.device).repeat_interleave(repeats)
        new = [row for _, rows in contexts for row in rows]
        cache.keep(owner_R, 0)
        mask, positions = mask[owner_R], mask.sum(-1)[owner_R]
        last = self._draw(logits_PV[owner_R], new)
        if self.cache is None:
            self.cache, self.mask_RW, self.positions_R, self.last_R = cache, mask, positions, last
        else:
            self.cache.append(cache)
            width = self.cache.width
            self.mask_RW = torch.cat([_left_padded(self.mask_RW, width), _left_padded(mask, width)])
            self.positions_R = torch.cat([self.positions_R, positions])
            self.last_R = torch.cat([self.last_R, last])
        self.rows += new

    def step(self) -> None:
        """Run each row's last token forward and draw the next one."""
        ones = torch.ones((len(self.rows), 1), dtype=torch.long, device=self.device)
        self.mask_RW = torch.cat([self.mask_RW, ones], dim=1)
        assert self.cache is not None
        logits_RV = last_logits(self.model, self.last_R[:, None], self.mask_RW, self.positions_R[:, None], self.cache)
        self.last_R = self._draw(logits_RV, self.rows)
        # a finished row runs on until it is dropped, and must not run out of the model's positions
        self.positions_R = (self.positions_R + 1).clamp(max=self.renderer.max_length - 1)

    def retire(self) -> list[_Row]:
        """Take out finished rows, once there are enough of them to be worth a compaction."""
        live = [place for place, row in enumerate(self.rows) if row.finish is None]
        few_left = len(live) <= _COMPACT_BELOW * len(self.rows)
        if len(live) == len(self.rows) or not few_left:
            return []
        done = [row for row in self.rows if row.finish is not None]
        self.rows = [self.rows[place] for place in live]
        if not live:
            self.cache = None
            return done
        kept = torch.tensor(live, device=self.device)
        self.mask_RW, self.positions_R, self.last_R = self.mask_RW[kept], self.positions_R[kept], self.last_R[kept]
        first = int(self.mask_RW.argmax(-1).min())
        self.mask_RW = self.mask_RW[:, first:]
        assert self.cache is not None
        self.cache.keep(kept, first)
        return done

    def _draw(self, logits_RV: torch.Tensor, rows: list[_Row]) -> torch.Tensor:
        """Next tokens [R]; those of finished rows are ignored."""
        limit = self.sampling.max_new_tokens
        numbers = [row.uniforms[min(len(row.tokens), limit - 1)] for row in rows]
        device = torch.device("cpu") if self.device.type == "mps" else self.device  # there are no float64 numbers on mps
        drawn = draw(logits_RV.to(device), torch.stack(numbers).to(device), self.sampling)
        next_R = drawn.tokens.to(self.device)
        is_stop = torch.isin(next_R, self.stop_ids).tolist()
        tokens, logprobs = drawn.tokens.tolist(), drawn.logprobs.tolist()
        for row, token, logprob, stops in zip(rows, tokens, logprobs, is_stop, strict=True):
            if row.finish is not None:
                continue
            if not math.isfinite(logprob):
                raise ModelError(
                    f"the model's logits are not numbers (log-probability {logprob} after {len(row.context)} prompt tokens and "
                    f"{len(row.tokens)} more); its weights are damaged: take another checkpoint"
                )
            row.tokens.append(token)
            row.logprobs.append(logprob)
            if stops or self._ends_with_stop_string(row):
                row.finish = "stop"
            elif len(row.tokens) >= limit:
                row.finish = "length"
        return next_R

    def _ends_with_stop_string(self, row: _Row) -> bool:
        """Whether the newest token completes a stop string; one that was there before (in given text) does not count."""
        before = row.request.partial.token_ids if row.request.partial else ()
        for stop, text in self.stops:
            ids = [*before, *row.tokens][-(4 * len(stop) + 4) :]  # a token is at least a byte, so this covers the string
            if stop in text(ids) and text(ids).count(stop) > text(ids[:-1]).count(stop):
                return True
        return False


def _rows(requests: Sequence[Request], renderer: Renderer, sampling: Sampling) -> list[_Row]:
    """A row per request, each distinct prompt rendered once, and everything checked before the first token."""
    prompt_ids: dict[str, list[int]] = {}
    rows = []
    for place, request in enumerate(requests):
        prompt, partial = request.prompt, request.partial
        if prompt.id not in prompt_ids:
            prompt_ids[prompt.id] = renderer.prompt_ids(prompt)
        if partial is not None:
            _check_partial(prompt.id, partial, renderer, sampling)
        context = (*prompt_ids[prompt.id], *(partial.token_ids if partial else ()))
        renderer.check_length(prompt, len(context), sampling.max_new_tokens)
        numbers = torch.from_numpy(uniforms(request, sampling.max_new_tokens))
        rows.append(_Row(place=place, request=request, context=context, uniforms=numbers))
    return rows


def _check_partial(prompt_id: str, partial: Completion, renderer: Renderer, sampling: Sampling) -> None:
    if partial.prompt_id != prompt_id:
        raise ValueError(f"a partial completion of prompt {partial.prompt_id} cannot go on under prompt {prompt_id}")
    if partial.finish == "stop" or (partial.token_ids[-1:] and partial.token_ids[-1] in renderer.stop_ids):
        raise ValueError(f"completion {partial.index} of prompt {prompt_id} has ended; only an unended one can be gone on from")
    sampled = any(segment.source == "policy" and segment.logprobs is not None for segment in partial.segments)
    if sampled and partial.temperature != sampling.temperature:
        raise ValueError(
            f"a partial completion sampled at temperature {partial.temperature} cannot go on at {sampling.temperature}; "
            "its log-probabilities would be of two kinds"
        )


def _left_padded(mask_RW: torch.Tensor, width: int) -> torch.Tensor:
    return torch.nn.functional.pad(mask_RW, (width - mask_RW.shape[1], 0))


def _completion(row: _Row, renderer: Renderer, sampling: Sampling, checkpoint: str) -> Completion:
    request = row.request
    before = request.partial.segments if request.partial else ()
    turn = before[-1].turn if before else 0
    new = Segment(token_ids=tuple(row.tokens), logprobs=tuple(row.logprobs), turn=turn)
    ids = [token for segment in (*before, new) for token in segment.token_ids]
    assert row.finish in ("stop", "length")
    return Completion(
        segments=(*before, new),
        text=renderer.text(ids),
        finish="stop" if row.finish == "stop" else "length",
        prompt_id=request.prompt.id,
        checkpoint=checkpoint,
        index=request.index,
        seed=request.seed,
        temperature=sampling.temperature,
        truncated=sampling.top_p < 1 or sampling.top_k > 0 or (request.partial is not None and request.partial.truncated),
        parents=(request.partial.id,) if request.partial else (),
    )
