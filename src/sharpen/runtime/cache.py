"""Key/value memory of a changing set of rows: written in place, compacted and refilled without a copy per token.

Shapes: R rows, H key/value heads, W columns in use, D head width. Rows are aligned at the right edge, so that every row writes
its next token into the same column.
"""

from __future__ import annotations

import torch
from transformers.cache_utils import Cache, CacheLayerMixin

__all__ = ["RowCache"]


class _RowLayer(CacheLayerMixin):  # type: ignore[misc]  # transformers has no types
    """One layer's keys and values in a buffer with room at the right."""

    is_sliding = False

    def __init__(self, dtype: torch.dtype, room: int) -> None:
        super().__init__()
        self.stored_dtype, self.room, self.width = dtype, room, 0
        self.keys_RHWD: torch.Tensor | None = None
        self.values_RHWD: torch.Tensor | None = None

    def lazy_initialization(self, key_states: torch.Tensor, value_states: torch.Tensor) -> None:
        """Nothing to do before the first write."""

    def update(
        self, key_states: torch.Tensor, value_states: torch.Tensor, *args: object, **kwargs: object
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Write the new columns and return all columns in use."""
        new = key_states.shape[2]
        self._reserve(key_states, value_states, self.width + new)
        assert self.keys_RHWD is not None
        assert self.values_RHWD is not None
        self.keys_RHWD[:, :, self.width : self.width + new] = key_states
        self.values_RHWD[:, :, self.width : self.width + new] = value_states
        self.width += new
        return self.keys_RHWD[:, :, : self.width], self.values_RHWD[:, :, : self.width]

    def _reserve(self, key_states: torch.Tensor, value_states: torch.Tensor, width: int) -> None:
        if self.keys_RHWD is not None and self.keys_RHWD.shape[2] >= width:
            return
        buffers = []
        for old, new in ((self.keys_RHWD, key_states), (self.values_RHWD, value_states)):
            rows, heads, _, dim = new.shape
            buffer = torch.empty((rows, heads, width + self.room, dim), dtype=self.stored_dtype, device=new.device)
            if old is not None:
                buffer[:, :, : self.width] = old[:, :, : self.width]
            buffers.append(buffer)
        self.keys_RHWD, self.values_RHWD = buffers

    def keep(self, rows: torch.Tensor, first: int) -> None:
        """Keep these rows and the columns from `first` on."""
        assert self.keys_RHWD is not None
        assert self.values_RHWD is not None
        width = self.width - first
        for name, old in (("keys_RHWD", self.keys_RHWD), ("values_RHWD", self.values_RHWD)):
            shape = (len(rows), old.shape[1], width + self.room, old.shape[3])
            buffer = torch.empty(shape, dtype=old.dtype, device=old.device)
            buffer[:, :, :width] = old[:, :, first : self.width].index_select(0, rows)
            setattr(self, name, buffer)
        self.width = width

    def append(self, other: _RowLayer) -> None:
        """Add another layer's rows, both aligned at the right edge; the pad columns hold zeros."""
        assert self.keys_RHWD is not None
        assert self.values_RHWD is not None
        assert other.keys_RHWD is not None
        assert other.values_RHWD is not None
        width = max(self.width, other.width)
        pairs = (("keys_RHWD", self.keys_RHWD, other.keys_RHWD), ("values_RHWD", self.values_RHWD, other.values_RHWD))
        for name, mine, theirs in pairs:
            shape = (mine.shape[0] + theirs.shape[0], mine.shape[1], width + self.room, mine.shape[3])
            buffer = torch.zeros(shape, dtype=mine.dtype, device=mine.device)
            buffer[: mine.shape[0], :, width - self.width : width] = mine[:, :, : self.width]
            buffer[mine.shape[0] :, :, width - other.width : width] = theirs[:, :, : other.width]
            setattr(self, name, buffer)
        self.width = width

    def get_mask_sizes(self, query_length: int) -> tuple[int, int]:
        """(columns after the write, offset)."""
        return self.width + query_length, 0

    def get_seq_length(self) -> int:
        """Columns in use."""
        return self.width

    def get_max_length(self) -> int:
        """-1: no limit."""
        return -1


class RowCache(Cache):  # type: ignore[misc]  # transformers has no types
    """A transformers cache whose rows can be dropped and added between steps."""

    def __init__(self, num_layers: int, dtype: torch.dtype, room: int) -> None:
        self.row_layers = [_RowLayer(dtype, room) for _ in range(num_layers)]
        super().__init__(layers=list(self.row_layers))

    @property
    def width(self) -> int:
        """Columns in use."""
        return self.row_layers[0].width

    def keep(self, rows: torch.Tensor, first: int) -> None:
        """Keep these rows (repeats allowed: that is how one prompt serves its n completions), columns from `first` on."""
        for layer in self.row_layers:
            layer.keep(rows, first)

    def append(self, other: RowCache) -> None:
        """Add the rows of another cache at the end."""
        for layer, more in zip(self.row_layers, other.row_layers, strict=True):
            layer.append(more)
