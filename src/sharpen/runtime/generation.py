"""Completions from a causal language model: prompts prefilled once, finished rows dropped, free places refilled.

Shapes: R live rows, V vocabulary entries.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field

import torch

from sharpen.errors import ModelError
from sharpen.protocols import Request, Sampling
from sharpen.runtime.decoding import Decoder
from sharpen.runtime.packing import common_beginning
from sharpen.runtime.rendering import Renderer
from sharpen.runtime.sampler import draw, uniforms
from sharpen.types import Completion, Segment

__all__ = ["stream"]

_COMPACT_BELOW = 0.85  # live share under which rows are dropped: a compaction copies the memory once


@dataclass(kw_only=True)
class _Row:
    """A completion in the making.

    Attributes:
        context: ids of the prompt and of the partial completion, if any.
        owner: number of that context among the different ones.
        tokens: ids drawn so far.
        forced: tokens that it gets whatever they are, or None.
    """

    place: int
    request: Request
    context: tuple[int, ...]
    owner: int
    uniforms: torch.Tensor
    tokens: list[int] = field(default_factory=list)
    logprobs: list[float] = field(default_factory=list)
    finish: str | None = None
    forced: int | None = None


def stream(
    decoder: Callable[[tuple[int, ...]], Decoder],
    renderer: Renderer,
    requests: Sequence[Request],
    sampling: Sampling,
    *,
    checkpoint: str,
    device: torch.device,
    max_rows: int,
    max_prompt_tokens: int | None = None,
    lengths: Sequence[int] | None = None,
) -> Iterator[tuple[int, Completion]]:
    """The place of a request and its completion, for one after another as they end.

    Rows are refilled from the queue when a quarter of the places is free, with whole prompts where they fit. The schedule depends
    on the requests and the weights alone, so the same call gives the same bits.

    Args:
        decoder: makes one, from what all contexts begin with.
        renderer, requests, sampling: what to run.
        checkpoint: id that the completions carry.
        device: where the decoder's rows are.
        max_rows: rows in flight at most.
        max_prompt_tokens: of different contexts in flight at most, each counted as long as the longest of them, without what all
            begin with; None for no limit. One context is always let in.
        lengths: tokens that each completion gets exactly, for measurements: stop tokens do not end it; None for natural ends.

    Raises:
        DataError: a prompt leaves no room for the answer.
        ModelError: the model's logits are not numbers.
        ValueError: a partial completion cannot be gone on from.
    """
    if not requests:
        return
    rows = _rows(requests, renderer, sampling)
    if lengths is not None:
        for row, length in zip(rows, lengths, strict=True):
            row.forced = length
    waiting = _neighbours(rows)
    root = common_beginning([row.context for row in waiting])
    batch = _Batch(decoder(root), renderer, sampling, device)
    while waiting or batch.rows:
        taken = _next(waiting, batch.rows, max_rows)
        if max_prompt_tokens is not None:
            taken = _fitting(taken, batch.rows, max_prompt_tokens, len(root))
        if taken:
            waiting = waiting[len(taken) :]
            batch.admit(taken)
        else:
            batch.step()
        for row in batch.retire():
            yield row.place, _completion(row, renderer, sampling, checkpoint)


def _neighbours(rows: list[_Row]) -> list[_Row]:
    """Rows of one context next to each other, in the order of their first."""
    return sorted(rows, key=lambda row: row.owner)


def _next(waiting: list[_Row], flying: list[_Row], max_rows: int) -> list[_Row]:
    """The rows to admit now: none until a quarter of the places is free, and no part of a context that fits a little later."""
    free = max_rows - len(flying)
    if not waiting or free < max(1, max_rows // 4):
        return []
    taken = waiting[:free]
    if len(taken) == len(waiting) or taken[-1].owner != waiting[free].owner:
        return taken
    whole = [row for row in taken if row.owner != taken[-1].owner]
    return whole if whole or flying else taken


def _fitting(taken: list[_Row], flying: list[_Row], max_tokens: int, root: int) -> list[_Row]:
    """Those of the rows, from the first on, whose contexts fit beside those in flight; none while few would, as each time costs a copy."""
    met = {row.owner for row in flying}
    longest = max((len(row.context) for row in flying), default=root) - root
    num_flying = len(met)
    for place, row in enumerate(taken):
        met.add(row.owner)
        longest = max(longest, len(row.context) - root)
        if len(met) > 1 and len(met) * longest > max_tokens:
            return [] if len(met) - 1 - num_flying < num_flying // 4 else taken[:place]
    return taken


class _Batch:
    """The rows in flight."""

    def __init__(self, decoder: Decoder, renderer: Renderer, sampling: Sampling, device: torch.device) -> None:
        self.decoder, self.renderer, self.sampling, self.device = decoder, renderer, sampling, device
        self.stop_ids = torch.tensor(renderer.stop_ids, device=device)
        self.stops = [(stop, renderer.full_text if renderer.spells_special(stop) else renderer.text) for stop in sampling.stop]
        self.rows: list[_Row] = []
        self.last_R = torch.zeros(0, dtype=torch.long, device=device)

    def admit(self, rows: list[_Row]) -> None:
        """Read the rows' prompts, each distinct one once, draw their first tokens, and add them to the batch."""
        contexts = {row.owner: row.context for row in rows}
        places = {owner: place for place, owner in enumerate(contexts)}
        owners = torch.tensor([places[row.owner] for row in rows], device=self.device)
        logits_RV = self.decoder.admit(list(contexts.values()), owners)
        self.last_R = torch.cat([self.last_R, self._draw(logits_RV, rows)])
        self.rows += rows

    def step(self) -> None:
        """Run each row's last token forward and draw the next one."""
        self.last_R = self._draw(self.decoder.step(self.last_R), self.rows)

    def retire(self) -> list[_Row]:
        """Take out finished rows, once there are enough of them to be worth a compaction."""
        live = [place for place, row in enumerate(self.rows) if row.finish is None]
        if len(live) == len(self.rows) or len(live) > _COMPACT_BELOW * len(self.rows):
            return []
        done = [row for row in self.rows if row.finish is not None]
        self.rows = [self.rows[place] for place in live]
        kept = torch.tensor(live, dtype=torch.long, device=self.device)
        self.last_R = self.last_R[kept]
        self.decoder.keep(kept)
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
            if row.forced is None and (stops or self._ends_with_stop_string(row)):
                row.finish = "stop"
            elif len(row.tokens) >= (limit if row.forced is None else row.forced):
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
    owners: dict[tuple[int, ...], int] = {}
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
        owner = owners.setdefault(context, len(owners))
        rows.append(_Row(place=place, request=request, context=context, owner=owner, uniforms=numbers))
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


def _completion(row: _Row, renderer: Renderer, sampling: Sampling, checkpoint: str) -> Completion:
    request = row.request
    before = request.partial.segments if request.partial else ()
    turn = before[-1].turn if before else 0
    new = Segment(token_ids=tuple(row.tokens), logprobs=tuple(row.logprobs), turn=turn, text=renderer.text(row.tokens))
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
