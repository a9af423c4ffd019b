"""Forward passes of a causal language model with a memory of rows that come and go: prompts first, then one token a row at a time.

Shapes: R rows, P prompts, W columns of key/value memory, V vocabulary entries.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Protocol

import torch

from sharpen.errors import ModelError
from sharpen.runtime.cache import RowCache
from sharpen.runtime.packing import LEAST_ROOT, Encoded, pack_rows
from sharpen.runtime.tree_attention import Layout
from sharpen.runtime.tree_memory import TreeMemory

__all__ = ["Decoder", "ModuleStep", "PaddedDecoder", "Step", "TreeDecoder", "check_decoding"]

Step = Callable[[torch.Tensor, torch.Tensor, TreeMemory], torch.Tensor]
"""From one token [R] of every row and its position [R], more than one row, to logits [R, V]; keys and values go to the memory."""


class Decoder(Protocol):
    """A model with the memory of its rows."""

    def admit(self, contexts: Sequence[tuple[int, ...]], owner_R: torch.Tensor) -> torch.Tensor:
        """Read distinct contexts, add rows that go on from `contexts[owner]`, and return the logits [R, V] after them."""
        ...

    def step(self, tokens_R: torch.Tensor) -> torch.Tensor:
        """Take in one token of every row; the logits [R, V] after it."""
        ...

    def keep(self, rows: torch.Tensor) -> None:
        """Keep these rows, in this order, and drop the others."""
        ...


class ModuleStep:
    """A step through the modules of a model that runs over packs."""

    def __init__(self, model: Any) -> None:  # Any: a transformers causal LM
        """Wrap the model."""
        self.model = model

    def __call__(self, tokens_R: torch.Tensor, positions_R: torch.Tensor, memory: TreeMemory) -> torch.Tensor:
        """As `Step`."""
        output = self.model(
            input_ids=tokens_R[:, None],
            position_ids=positions_R[:, None],
            attention_mask=_taken_as_it_is(tokens_R.device),
            past_key_values=memory,
            use_cache=True,
            memory=memory,
        )
        logits_RV: torch.Tensor = output.logits[:, -1]
        return logits_RV


class TreeDecoder:
    """Runs prompts as packs, without padding, and keeps what rows have in common once (see `tree_memory`)."""

    def __init__(self, model: Any, step: Step, root: tuple[int, ...], prefill_tokens: int, max_length: int) -> None:
        """A decoder without rows.

        Args:
            model: a transformers causal LM that runs over packs.
            step: how it takes one token of every row.
            root: what all contexts to come begin with, and end after.
            prefill_tokens: prompt tokens run forward at once, at most.
            max_length: positions that the model has.
        """
        self.model, self.run_step, self.prefill_tokens, self.max_length = model, step, prefill_tokens, max_length
        self.root = root if len(root) >= LEAST_ROOT else ()
        self.device = next(model.parameters()).device
        self.memory = TreeMemory(model.config.get_text_config().num_hidden_layers, self.device)
        self.positions_R = torch.zeros(0, dtype=torch.long, device=self.device)

    def admit(self, contexts: Sequence[tuple[int, ...]], owner_R: torch.Tensor) -> torch.Tensor:
        """As `Decoder.admit`; `owner_R` is in ascending order."""
        found = []
        longest = max(map(len, contexts)) - len(self.root)
        for part in _chunks([len(ids) - len(self.root) for ids in contexts], self.prefill_tokens):
            here = (owner_R >= part.start) & (owner_R < part.stop)
            owners = owner_R[here] - part.start
            rests = [ids[len(self.root) :] for ids in contexts[part]]
            first = 0 if self.memory.root_length else len(self.root)  # tokens of the root that this pass has to read
            logits_PV = self._read(rests, first)
            self.memory.join(first, list(map(len, rests)), owners, num_joining=len(contexts) - part.start, longest=longest)
            lengths_P = torch.tensor([len(ids) for ids in contexts[part]], device=self.device)
            self.positions_R = torch.cat([self.positions_R, lengths_P[owners]])
            found.append(logits_PV[owners])
        return torch.cat(found)

    def _read(self, rests: Sequence[tuple[int, ...]], first: int) -> torch.Tensor:
        rows = [(self.root, (*ids, 0)) if first else (ids, (0,)) for ids in rests]  # a row's last token is not run
        pack = pack_rows([Encoded(prompt_ids=before, completion_ids=after, temperature=1.0) for before, after in rows])
        positions_N = pack.positions_N if first else pack.positions_N + len(self.root)
        ends = torch.tensor(list(map(len, rests))).cumsum(0) + first - 1
        ends = ends.repeat(2) if len(ends) == 1 else ends  # as in `step`
        output = self.model(
            input_ids=pack.tokens_N[None].to(self.device),
            position_ids=positions_N[None].to(self.device),
            attention_mask=_taken_as_it_is(self.device),
            past_key_values=self.memory,
            use_cache=True,
            logits_to_keep=ends.to(self.device),
            layout=Layout(pack, self.device, num_before=self.memory.root_length),
            memory=self.memory,
        )
        logits_PV: torch.Tensor = output.logits[0, : len(rests)]
        return logits_PV

    def step(self, tokens_R: torch.Tensor) -> torch.Tensor:
        """As `Decoder.step`."""
        self.memory.begin_step()
        # a finished row runs on until it is dropped, and must not run out of the model's positions
        positions_R = self.positions_R.clamp(max=self.max_length - 1)
        copies = 2 if len(tokens_R) == 1 else 1  # one row alone would take another kernel, which rounds otherwise
        logits_RV = self.run_step(tokens_R.repeat(copies), positions_R.repeat(copies), self.memory)[: len(tokens_R)]
        self.memory.end_step()
        self.positions_R = self.positions_R + 1
        return logits_RV

    def keep(self, rows: torch.Tensor) -> None:
        """As `Decoder.keep`."""
        self.memory.keep(rows)
        self.positions_R = self.positions_R[rows]


class PaddedDecoder:
    """For models whose attention is their own: prompts padded on the left, every row with its own copy."""

    def __init__(self, model: Any, prefill_tokens: int, max_length: int, dtype: torch.dtype) -> None:  # Any: as above
        """A decoder without rows; `dtype` is that of its memory, the rest as for `TreeDecoder`."""
        self.model, self.prefill_tokens, self.max_length, self.dtype = model, prefill_tokens, max_length, dtype
        self.device = next(model.parameters()).device
        self.cache: RowCache | None = None
        self.mask_RW = torch.zeros((0, 0), dtype=torch.long, device=self.device)
        self.positions_R = torch.zeros(0, dtype=torch.long, device=self.device)

    def admit(self, contexts: Sequence[tuple[int, ...]], owner_R: torch.Tensor) -> torch.Tensor:
        """As `Decoder.admit`; `owner_R` is in ascending order."""
        found = []
        for part in _chunks([max(map(len, contexts))] * len(contexts), self.prefill_tokens):
            cache = RowCache(self.model.config.get_text_config().num_hidden_layers, self.dtype, room=64)
            logits_PV, mask_PW = self._read(contexts[part], cache)
            owners = owner_R[(owner_R >= part.start) & (owner_R < part.stop)] - part.start
            cache.keep(owners, 0)
            mask_RW = mask_PW[owners]
            self.positions_R = torch.cat([self.positions_R, mask_RW.sum(-1)])
            if self.cache is None:
                self.cache, self.mask_RW = cache, mask_RW
            else:
                self.cache.append(cache)
                self.mask_RW = torch.cat([_left_padded(mask, self.cache.width) for mask in (self.mask_RW, mask_RW)])
            found.append(logits_PV[owners])
        return torch.cat(found)

    def _read(self, contexts: Sequence[tuple[int, ...]], cache: RowCache) -> tuple[torch.Tensor, torch.Tensor]:
        width = max(len(ids) for ids in contexts)
        tokens_PW = torch.zeros((len(contexts), width), dtype=torch.long)
        mask_PW = torch.zeros((len(contexts), width), dtype=torch.long)
        for place, ids in enumerate(contexts):
            tokens_PW[place, width - len(ids) :] = torch.tensor(ids)
            mask_PW[place, width - len(ids) :] = 1
        tokens_PW, mask_PW = tokens_PW.to(self.device), mask_PW.to(self.device)
        return self._run(tokens_PW, mask_PW, (mask_PW.cumsum(-1) - 1).clamp(min=0), cache), mask_PW

    def step(self, tokens_R: torch.Tensor) -> torch.Tensor:
        """As `Decoder.step`."""
        assert self.cache is not None
        self.mask_RW = torch.nn.functional.pad(self.mask_RW, (0, 1), value=1)
        positions_R = self.positions_R.clamp(max=self.max_length - 1)  # as in `TreeDecoder.step`
        logits_RV = self._run(tokens_R[:, None], self.mask_RW, positions_R[:, None], self.cache)
        self.positions_R = self.positions_R + 1
        return logits_RV

    def keep(self, rows: torch.Tensor) -> None:
        """As `Decoder.keep`."""
        self.mask_RW, self.positions_R = self.mask_RW[rows], self.positions_R[rows]
        if not len(rows):
            self.cache = None
            return
        first = int(self.mask_RW.argmax(-1).min())
        self.mask_RW = self.mask_RW[:, first:]
        assert self.cache is not None
        self.cache.keep(rows, first)

    def _run(self, tokens: torch.Tensor, mask: torch.Tensor, positions: torch.Tensor, cache: RowCache) -> torch.Tensor:
        output = self.model(
            input_ids=tokens,
            attention_mask=mask,
            position_ids=positions,
            past_key_values=cache,
            use_cache=True,
            logits_to_keep=1,
        )
        logits: torch.Tensor = output.logits[:, -1]
        return logits


def _taken_as_it_is(device: torch.device) -> torch.Tensor:
    """A mask of four dimensions, which transformers hands on without making one of its own."""
    return torch.ones((1, 1, 1, 1), dtype=torch.bool, device=device)


def _left_padded(mask_RW: torch.Tensor, width: int) -> torch.Tensor:
    return torch.nn.functional.pad(mask_RW, (width - mask_RW.shape[1], 0))


def _chunks(lengths: Sequence[int], limit: int) -> list[slice]:
    """Neighbours whose lengths add up to the limit at most, or are alone."""
    chunks, start, total = [], 0, 0
    for place, length in enumerate(lengths):
        if place > start and total + length > limit:
            chunks.append(slice(start, place))
            start, total = place, 0
        total += length
    return [*chunks, slice(start, len(lengths))]


@torch.no_grad()
def check_decoding(model: Any, make: Callable[[tuple[int, ...]], Decoder]) -> None:  # Any: as above
    """Check on a few tokens that a decoder serves the model: rows reordered, one token at a time, as in a plain pass.

    Raises:
        ModelError: it does not (recurrent layers, memory shared between layers), so its samples would be wrong.
    """
    root = (1, 2, 3, 0, 1, 2, 0, 3)
    contexts, more = [(*root, 1, 2), (*root, 3, 0, 1, 2, 3, 1)], (0, 2)
    device = next(model.parameters()).device
    try:
        decoder = make(root)
        decoder.admit(contexts, torch.tensor([0, 1], device=device))
        order = torch.tensor([1, 0, 1], device=device)
        decoder.keep(order)
        decoder.step(torch.tensor(more, device=device)[order])
        found = decoder.step(torch.tensor(more, device=device)[order])
        plain = [
            model(input_ids=torch.tensor([[*ids, last, last]], device=device), use_cache=False).logits[0, -1]
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
