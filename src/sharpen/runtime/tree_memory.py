"""Key/value memory of rows in flight: what rows have in common is kept, and read, once.

A row's context is the root (the beginning that all prompts have in common), its own prompt's rest, and its tail: what it has
drawn so far. A row may start, end and be replaced at any step; nothing is moved for it, and nothing is copied per token.

Shapes: R rows, P prompts, n rows of one prompt at most, S key/value heads, G query heads a key/value head, D head width; columns:
L of the root, W of the longest rest, T of the longest tail.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from transformers.cache_utils import Cache, CacheLayerMixin

from sharpen.runtime.tree_attention import wide_dtype

__all__ = ["TreeMemory"]


class _Layer(CacheLayerMixin):  # type: ignore[misc]  # transformers has no types
    """Keys and values of one layer, wide: root [S, L, D], prompts [P, S, W, D], tails [R, S, room, D]."""

    is_sliding = False

    def __init__(self, memory: TreeMemory) -> None:
        super().__init__()
        self.memory = memory
        self.seen: list[torch.Tensor] = []
        self.root: list[torch.Tensor] = []
        self.prompts: list[torch.Tensor] = []
        self.tails: list[torch.Tensor] = []

    def lazy_initialization(self, key_states: torch.Tensor, value_states: torch.Tensor) -> None:
        """Nothing to do before the first write."""

    def update(
        self, key_states: torch.Tensor, value_states: torch.Tensor, *args: object, **kwargs: object
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Note what a pass over prompts made; write what a step made to the end of the tails."""
        if self.memory.reading:
            dtype = wide_dtype(value_states.dtype)
            self.seen = [key_states[0].to(dtype), value_states[0].to(dtype)]
        else:
            rows, ends = self.memory.steps
            for tails, new in zip(self.tails, (key_states, value_states), strict=True):
                tails[rows, :, ends] = new[: len(rows), :, 0].to(tails.dtype)
        return key_states, value_states

    def get_mask_sizes(self, query_length: int) -> tuple[int, int]:
        """(columns after the write, offset); no mask is made from it."""
        return query_length, 0

    def get_seq_length(self) -> int:
        """0: positions are always given."""
        return 0

    def get_max_length(self) -> int:
        """-1: no limit."""
        return -1


@dataclass(frozen=True)
class _Places:
    """Which rows belong to which prompt: `rows_Pn` pads with row 0, and `back_R` is each row's place in it, flat."""

    rows_Pn: torch.Tensor
    back_R: torch.Tensor


class TreeMemory(Cache):  # type: ignore[misc]  # transformers has no types
    """The memory of all layers."""

    def __init__(self, num_layers: int, device: torch.device, room: int) -> None:
        """An empty memory; tails have room for this many tokens at first, and for half as many more whenever it is used up."""
        self.row_layers = [_Layer(self) for _ in range(num_layers)]
        super().__init__(layers=list(self.row_layers))
        self.device, self.room = device, room
        self.reading = True
        self.root_length = 0
        self.owner_R = torch.zeros(0, dtype=torch.long, device=device)
        self.lengths_P = torch.zeros(0, dtype=torch.long, device=device)
        self.ends_R = torch.zeros(0, dtype=torch.long, device=device)
        self.steps: tuple[torch.Tensor, torch.Tensor] = (self.owner_R, self.ends_R)
        self._places: _Places | None = None
        self._mask_R11C: torch.Tensor | None = None
        self._width = 0

    def root(self, layer_index: int) -> Sequence[torch.Tensor]:
        """Keys and values [S, L, D] of what all prompts begin with, once they are read; else nothing."""
        return self.row_layers[layer_index].root if self.root_length else ()

    def join(self, root: int, lengths: list[int], owner_R: torch.Tensor) -> None:
        """Take in prompts that a pass has just read (the root's tokens first, if any, then each one's rest), and their rows."""
        count = len(self.lengths_P)
        self.owner_R = torch.cat([self.owner_R, owner_R + count])
        self.ends_R = torch.cat([self.ends_R, torch.zeros_like(owner_R)])
        self.lengths_P = torch.cat([self.lengths_P, torch.tensor(lengths, device=self.device)])
        for layer in self.row_layers:
            joined, tails = [], []
            for number, seen in enumerate(layer.seen):
                new = torch.nn.utils.rnn.pad_sequence(
                    [part.transpose(0, 1) for part in seen[:, root:].split(lengths, 1)], batch_first=True
                ).transpose(1, 2)
                joined.append(_stacked([*layer.prompts[number : number + 1], new]))
                fresh = seen.new_zeros((len(owner_R), seen.shape[0], self.room, seen.shape[2]))
                tails.append(torch.cat([*layer.tails[number : number + 1], fresh]))
            if root or not layer.root:
                layer.root = [seen[:, :root].clone() for seen in layer.seen]
            layer.prompts, layer.tails, layer.seen = joined, tails, []
        self.root_length = self.root_length or root
        self._places = None

    def keep(self, rows: torch.Tensor) -> None:
        """Keep these rows, and the prompts that they go on from."""
        used, owner_R = self.owner_R[rows].unique(return_inverse=True)
        self.owner_R, self.ends_R, self.lengths_P = owner_R, self.ends_R[rows], self.lengths_P[used]
        width = int(self.lengths_P.max()) if len(used) else 0
        for layer in self.row_layers:
            layer.tails = [tails[rows] for tails in layer.tails]
            layer.prompts = [prompts[used, :, :width] for prompts in layer.prompts]
        self._places = None

    def begin_step(self) -> None:
        """Make room for one more token of every row, and work out what every layer needs."""
        self.reading = False
        self.steps = (torch.arange(len(self.ends_R), device=self.device), self.ends_R)
        if self._places is None:
            self._places = _places(self.owner_R, len(self.lengths_P))
        self._width = int(self.ends_R.max()) + 1
        if self._width > self.room:
            more = self.room // 2 + 1
            self.room += more
            for layer in self.row_layers:
                layer.tails = [torch.nn.functional.pad(tails, (0, 0, 0, more)) for tails in layer.tails]
        columns = torch.arange(int(self.lengths_P.max()), device=self.device)
        mask = [
            torch.zeros((len(self.ends_R), self.root_length), dtype=torch.bool, device=self.device),
            columns >= self.lengths_P[self.owner_R][:, None],
            torch.arange(self._width, device=self.device) > self.ends_R[:, None],
        ]
        self._mask_R11C = torch.cat(mask, 1)[:, None, None]

    def end_step(self) -> None:
        """Count the token that every row has taken in."""
        self.ends_R = self.ends_R + 1
        self.reading = True

    def attend(self, layer_index: int, query: torch.Tensor, scale: float) -> torch.Tensor:
        """[R, 1, H, D] what each row reads with its one query [R, H, 1, D]."""
        layer = self.row_layers[layer_index]
        (root_k, root_v), (prompt_k, prompt_v) = layer.root, layer.prompts
        tail_k, tail_v = (tails[:, :, : self._width] for tails in layer.tails)
        rows, shared, _, dim = tail_k.shape
        queries = query[:rows].to(tail_k.dtype).mul(scale).reshape(rows, shared, -1, dim)
        assert self._places is not None
        assert self._mask_R11C is not None
        widths = [root_k.shape[1], prompt_k.shape[2], self._width]
        scores = torch.cat(
            [
                torch.matmul(queries.transpose(0, 1).flatten(1, 2), root_k.transpose(1, 2))
                .unflatten(1, (rows, -1))
                .transpose(0, 1),
                _per_prompt(queries, prompt_k.transpose(2, 3), self._places),
                # (keys x query), not (query x keys): the order that reads the keys as they lie in memory
                torch.bmm(tail_k.flatten(0, 1), queries.flatten(0, 1).transpose(1, 2)).transpose(1, 2).unflatten(0, (rows, -1)),
            ],
            -1,
        )
        shares = scores.masked_fill_(self._mask_R11C, float("-inf")).softmax(-1)
        of_root, of_prompt, of_tail = shares.split(widths, -1)
        mixed = torch.bmm(of_tail.flatten(0, 1), tail_v.flatten(0, 1)).unflatten(0, (rows, -1))
        mixed += _per_prompt(of_prompt, prompt_v, self._places)
        mixed += torch.matmul(of_root.transpose(0, 1).flatten(1, 2), root_v).unflatten(1, (rows, -1)).transpose(0, 1)
        read: torch.Tensor = mixed.flatten(1, 2)[:, None].expand(len(query), -1, -1, -1)
        return read


def _stacked(parts: list[torch.Tensor]) -> torch.Tensor:
    """Parts [*, S, W, D] of several widths as one, padded on the right."""
    width = max(part.shape[2] for part in parts)
    return torch.cat([torch.nn.functional.pad(part, (0, 0, 0, width - part.shape[2])) for part in parts])


def _places(owner_R: torch.Tensor, num_prompts: int) -> _Places:
    counts_P = torch.bincount(owner_R, minlength=num_prompts)
    order_R = owner_R.argsort(stable=True)
    first_P = counts_P.cumsum(0) - counts_P
    rank_R = torch.empty_like(owner_R)
    rank_R[order_R] = torch.arange(len(owner_R), device=owner_R.device) - first_P[owner_R[order_R]]
    most = int(counts_P.max())
    back_R = owner_R * most + rank_R
    rows_Pn = torch.zeros((num_prompts, most), dtype=torch.long, device=owner_R.device)
    rows_Pn.view(-1)[back_R] = torch.arange(len(owner_R), device=owner_R.device)
    return _Places(rows_Pn, back_R)


def _per_prompt(values_RSGX: torch.Tensor, matrices_PSXY: torch.Tensor, places: _Places) -> torch.Tensor:
    """[R, S, G, Y] each row's values times its prompt's matrix; one product a prompt and head for all its rows."""
    most = places.rows_Pn.shape[1]
    grouped = values_RSGX[places.rows_Pn].transpose(1, 2).flatten(2, 3)  # [P, S, n G, X]
    found = torch.matmul(grouped, matrices_PSXY)
    mixed_RSGY: torch.Tensor = found.unflatten(2, (most, -1)).transpose(1, 2).flatten(0, 1)[places.back_R]
    return mixed_RSGY
