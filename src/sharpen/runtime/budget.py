"""How many tokens one pass may hold, learned from what did not fit in memory."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

import torch

from sharpen.errors import CapacityError

__all__ = ["Budget", "fitting"]

T = TypeVar("T")

_SIGNS = ("out of memory", "not enough memory", "can't allocate memory")  # of CUDA and MPS, and of the CPU allocator


@dataclass(kw_only=True)
class Budget:
    """Tokens of a pass: as many as are asked for, until that many did not fit.

    Attributes:
        doing: what the passes do, for sentences.
        most: tokens that may still fit; None while nothing failed.
        num_splits: how often something did not fit.
    """

    doing: str
    most: int | None = None
    num_splits: int = 0

    def within(self, asked: int) -> int:
        """The tokens asked for, or fewer."""
        return asked if self.most is None else min(asked, self.most)

    def lower(self, num_tokens: int, num_items: int) -> None:
        """Note that so many tokens of so many items did not fit: later passes hold half at most.

        Raises:
            CapacityError: it was one item, which cannot be split.
        """
        if num_items == 1:
            raise CapacityError(
                f"{num_tokens} tokens of a single example do not fit in memory while {self.doing}; shorten answers "
                "(max_new_tokens), close other programs, or choose a smaller model"
            )
        self.most = num_tokens // 2
        self.num_splits += 1
        limit = f"from here on at most {self.most} are tried"
        warnings.warn(
            f"{num_tokens} tokens at once did not fit in memory while {self.doing}; {limit}", RuntimeWarning, stacklevel=2
        )


def fitting(run: Callable[[], T]) -> T | None:
    """What `run` gives, or None where memory did not suffice; what it had taken is then free again."""
    try:
        return run()
    except RuntimeError as error:  # torch.OutOfMemoryError is one; the CPU allocator raises it plain
        if not (isinstance(error, torch.OutOfMemoryError) or any(sign in str(error).lower() for sign in _SIGNS)):
            raise
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
    return None
