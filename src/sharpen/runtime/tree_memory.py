"""Key/value memory of rows in flight: what rows have in common is kept, and read, once.

A row's context is the root (the beginning that all prompts have in common), its own prompt's rest, and its tail: what it has
drawn so far. All tails are written in the same column at a step, so that a row's tail is the columns since it joined. A row may
join and leave between any two steps; nothing is copied per token.

Shapes: R rows, P prompts, n rows of one prompt at most, S key/value heads, G query heads a key/value head, D head width; columns:
L of the root, W of the longest rest, T of the tails.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from transformers.cache_utils import Cache, CacheLayerMixin

from sharpen.runtime.tree_attention import wide_dtype

__all__ = ["TreeMemory", "tail_bytes", "with_room"]

_ROOM = 32  # columns of tails added when they are full, or half of what there is, if that is more


class _Layer(CacheLayerMixin):  # type: ignore[misc]  # transformers has no types
    """Keys and values of one layer, wide: root [S, L, D], prompts [S, P, W, D], tails [S, R, room, D]."""

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
            self.write(key_states[:, :, 0].transpose(0, 1), value_states[:, :, 0].transpose(0, 1))
        return key_states, value_states

    def write(self, *keys_and_values: torch.Tensor) -> None:
        """Write a step's keys and values [S, R or more, D] to the end of the tails."""
        for tails, new in zip(self.tails, keys_and_values, strict=True):
            tails[:, :, self.memory.width - 1] = new[:, : tails.shape[1]]

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
    """Which rows belong to which prompt, where they are not simply n each, one prompt after another.

    Attributes:
        rows_Pn: rows of each prompt, flat; padded with row 0.
        back_R: each row's place in it.
    """

    rows_Pn: torch.Tensor
    back_R: torch.Tensor


class TreeMemory(Cache):  # type: ignore[misc]  # transformers has no types
    """The memory of all layers.

    Attributes:
        row_layers: one layer each.
        reading: whether passes run over prompts, and not over one token of each row.
        width: columns of tails in use.
    """

    def __init__(self, num_layers: int, device: torch.device) -> None:
        """An empty memory."""
        self.row_layers = [_Layer(self) for _ in range(num_layers)]
        super().__init__(layers=list(self.row_layers))
        self.device = device
        self.reading = True
        self.root_length = 0
        self.width = 0
        self.room = _ROOM
        self.owner_R = torch.zeros(0, dtype=torch.long, device=device)
        self.lengths_P = torch.zeros(0, dtype=torch.long, device=device)
        self.starts_R = torch.zeros(0, dtype=torch.long, device=device)
        self._places: _Places | None = None
        self._hidden_R1C: torch.Tensor | None = None

    def root(self, layer_index: int) -> Sequence[torch.Tensor]:
        """Keys and values [S, L, D] of what all prompts begin with, once they are read; else nothing."""
        return self.row_layers[layer_index].root if self.root_length else ()

    def join(self, root: int, lengths: list[int], owner_R: torch.Tensor, *, num_joining: int, longest: int) -> None:
        """Take in prompts that a pass has just read (the root's tokens first, if any, then each one's rest), and their rows.

        Args:
            root: tokens of the root that the pass read.
            lengths: of each prompt's rest.
            owner_R: which of these prompts each row goes on from.
            num_joining: prompts, these among them, that join before the next step; there is room for all of them from the first on.
            longest: of all their rests.
        """
        filled = len(self.lengths_P)
        self.owner_R = torch.cat([self.owner_R, owner_R + filled])
        self.starts_R = torch.cat([self.starts_R, torch.full_like(owner_R, self.width)])
        self.lengths_P = torch.cat([self.lengths_P, torch.tensor(lengths, device=self.device)])
        for layer in self.row_layers:
            joined, tails = [], []
            for number, seen in enumerate(layer.seen):
                prompts = layer.prompts[number] if layer.prompts else seen.new_empty((len(seen), 0, 0, seen.shape[2]))
                if prompts.shape[1] == filled:
                    prompts = _widened(prompts, filled + num_joining, longest)
                for place, rest in enumerate(seen[:, root:].split(lengths, 1), start=filled):
                    prompts[:, place, : rest.shape[1]] = rest
                joined.append(prompts)
                fresh = seen.new_empty((len(seen), len(owner_R), self.room, seen.shape[2]))
                fresh[:, :, : self.width] = 0  # hidden, but a sum over it has to be a number
                tails.append(torch.cat([*layer.tails[number : number + 1], fresh], 1))
            if root or not layer.root:
                layer.root = [seen[:, :root].clone() for seen in layer.seen]
            layer.prompts, layer.tails, layer.seen = joined, tails, []
        self.root_length = self.root_length or root
        self._hidden_R1C = None

    def keep(self, rows: torch.Tensor) -> None:
        """Keep these rows, the prompts that they go on from, and the columns since the first of them joined."""
        used, owner_R = self.owner_R[rows].unique(return_inverse=True)
        self.owner_R, self.lengths_P = owner_R, self.lengths_P[used]
        longest = int(self.lengths_P.max()) if len(used) else 0
        first = int(self.starts_R[rows].min()) if len(rows) else self.width
        self.starts_R = self.starts_R[rows] - first
        held = slice(first, self.width)
        self.width -= first
        self.room = with_room(self.width)
        for layer in self.row_layers:
            layer.tails = [_roomy(tails[:, :, held].index_select(1, rows), self.room) for tails in layer.tails]
            layer.prompts = [prompts[:, used, :longest] for prompts in layer.prompts]
        self._hidden_R1C = None

    def begin_step(self) -> None:
        """Make room for one more token of every row, and work out what every layer needs."""
        self.reading = False
        self.width += 1
        if self.width > self.room:
            self.room = with_room(self.width)
            for layer in self.row_layers:
                layer.tails = [_roomy(tails, self.room) for tails in layer.tails]
            self._hidden_R1C = None
        if self._hidden_R1C is None:
            self._places = _places(self.owner_R, len(self.lengths_P))
            self._hidden_R1C = self._hidden()

    def _hidden(self) -> torch.Tensor:
        """0 where a row sees a column and minus infinity where not, for all columns that there is room for."""
        rest = torch.arange(int(self.lengths_P.max()), device=self.device) >= self.lengths_P[self.owner_R][:, None]
        before = torch.arange(self.room, device=self.device) < self.starts_R[:, None]
        root = torch.zeros((len(self.owner_R), self.root_length), dtype=torch.bool, device=self.device)
        hidden_RC = torch.cat([root, rest, before], 1)
        dtype = self.row_layers[0].tails[0].dtype
        return torch.zeros(hidden_RC.shape, dtype=dtype, device=self.device).masked_fill_(hidden_RC, float("-inf"))[:, None]

    def end_step(self) -> None:
        """Go back to reading prompts."""
        self.reading = True

    def attend(self, layer_index: int, query_RHD: torch.Tensor, scale: float) -> torch.Tensor:
        """[R, H, D], wide: what each row reads with its one query."""
        layer = self.row_layers[layer_index]
        (root_k, root_v), (prompt_k, prompt_v) = layer.root, layer.prompts
        tail_k, tail_v = (tails[:, :, : self.width].flatten(0, 1) for tails in layer.tails)
        shared, rows, _, dim = layer.tails[0].shape
        before, width = self.root_length, self.root_length + prompt_k.shape[2]
        # a copy, as it is scaled in place
        query_SRGD = (
            query_RHD.view(rows, shared, -1, dim)
            .transpose(0, 1)
            .to(tail_k.dtype, copy=True, memory_format=torch.contiguous_format)
        )
        query_SRGD *= scale
        groups = query_SRGD.shape[2]
        parts = [
            self._per_prompt(query_SRGD, prompt_k.transpose(2, 3)),
            # (keys x query), not (query x keys): the order that reads the keys as they lie in memory
            torch.bmm(tail_k, query_SRGD.flatten(0, 1).transpose(1, 2)).transpose(1, 2).unflatten(0, (shared, rows)),
        ]
        if before:
            parts.insert(0, torch.bmm(query_SRGD.flatten(1, 2), root_k.transpose(1, 2)).unflatten(1, (rows, groups)))
        scores = torch.cat(parts, -1)
        assert self._hidden_R1C is not None
        shares = scores.add_(self._hidden_R1C[..., : scores.shape[-1]]).softmax(-1)
        mixed = torch.bmm(shares[..., width:].flatten(0, 1), tail_v).unflatten(0, (shared, rows))
        mixed += self._per_prompt(shares[..., before:width], prompt_v)
        if before:
            mixed.flatten(1, 2).baddbmm_(shares[..., :before].flatten(1, 2), root_v)
        read_RHD: torch.Tensor = mixed.transpose(0, 1).flatten(1, 2)
        return read_RHD

    def _per_prompt(self, values_SRGX: torch.Tensor, matrices_SPXY: torch.Tensor) -> torch.Tensor:
        """[S, R, G, Y] each row's values times its prompt's matrix; one product a prompt and head for all its rows."""
        heads, count, width, _ = matrices_SPXY.shape
        places = self._places
        if places is not None:
            values_SRGX = values_SRGX.index_select(1, places.rows_Pn)
        groups = values_SRGX.shape[2]
        found = torch.bmm(values_SRGX.reshape(heads * count, -1, width), matrices_SPXY.flatten(0, 1))
        found_SRGY = found.view(heads, -1, groups, found.shape[-1])
        return found_SRGY if places is None else found_SRGY.index_select(1, places.back_R)


def tail_bytes(config: Any, num_bytes: int) -> int:  # Any: a configuration of transformers
    """Bytes that one token of one row takes in all layers, at so many bytes a number."""
    heads = getattr(config, "num_key_value_heads", None) or config.num_attention_heads
    dim = getattr(config, "head_dim", None) or config.hidden_size // config.num_attention_heads
    return int(2 * config.num_hidden_layers * heads * dim * num_bytes)


def with_room(width: int) -> int:
    """Columns that tails of that width have, with room for more."""
    return width + max(_ROOM, width // 2)


def _roomy(tails: torch.Tensor, room: int) -> torch.Tensor:
    """The same columns, and room after them."""
    more = tails.new_empty((*tails.shape[:2], room, tails.shape[3]))
    more[:, :, : tails.shape[2]] = tails
    return more


def _widened(prompts: torch.Tensor, count: int, longest: int) -> torch.Tensor:
    """The same prompts [S, P, W, D] among `count`, padded on the right with zeros."""
    before, width = prompts.shape[1:3]
    found = prompts.new_zeros((len(prompts), count, max(width, longest), prompts.shape[3]))
    found[:, :before, :width] = prompts
    return found


def _places(owner_R: torch.Tensor, num_prompts: int) -> _Places | None:
    counts_P = torch.bincount(owner_R, minlength=num_prompts)
    most = int(counts_P.max())
    device = owner_R.device
    if torch.equal(owner_R, torch.arange(num_prompts, device=device).repeat_interleave(most)):
        return None
    order_R = owner_R.argsort(stable=True)
    first_P = counts_P.cumsum(0) - counts_P
    rank_R = torch.empty_like(owner_R)
    rank_R[order_R] = torch.arange(len(owner_R), device=device) - first_P[owner_R[order_R]]
    back_R = owner_R * most + rank_R
    rows_Pn = torch.zeros(num_prompts * most, dtype=torch.long, device=device)
    rows_Pn[back_R] = torch.arange(len(owner_R), device=device)
    return _Places(rows_Pn, back_R)
