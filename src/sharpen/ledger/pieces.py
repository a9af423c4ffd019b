"""What lies in a ledger's files, read piece by piece when it is asked for; the newest few pieces stay in memory."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from sharpen.ledger import codec
from sharpen.ledger.codec import Piece

__all__ = ["Pieces"]

_KEPT = 1 << 20  # characters of JSON; as values two to three times as many bytes


class Pieces:
    """The pieces of files in a folder, by path and number."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._kept: OrderedDict[tuple[str, int], Piece] = OrderedDict()
        self._size = 0

    def keep(self, path: str, number: int, piece: Piece) -> None:
        """Hold a piece that was written or read just now; the oldest go where there are too many."""
        self._drop((path, number))
        self._kept[path, number] = piece
        self._size += piece.size
        while self._size > _KEPT and len(self._kept) > 1:
            self._drop(next(iter(self._kept)))

    def values(self, path: str, number: int) -> Sequence[Any]:  # Any: whatever was put
        """The values of a piece, from memory or from disk.

        Raises:
            DamagedError: it cannot be read.
        """
        found = self._kept.get((path, number))
        if found is None:
            found = codec.piece_of(codec.opened(str(self._folder / path)), number)
            self.keep(path, number, found)
        else:
            self._kept.move_to_end((path, number))
        return found.values

    def lengths(self, path: str) -> list[int]:
        """How many values each piece of a file holds.

        Raises:
            DamagedError: it cannot be read.
        """
        facts = codec.opened(str(self._folder / path)).metadata
        return [facts.row_group(number).num_rows for number in range(facts.num_row_groups)]

    def _drop(self, place: tuple[str, int]) -> None:
        found = self._kept.pop(place, None)
        self._size -= found.size if found is not None else 0
