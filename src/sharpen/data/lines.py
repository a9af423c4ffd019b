"""Lines of a file, plain or gzipped: whatever the file holds, one is at most a mebibyte, and a bomb ends the reading."""

from __future__ import annotations

import gzip
import itertools
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO, cast

from sharpen.data.refused import RowError
from sharpen.errors import DataError

__all__ = ["MAX_LINE", "MAX_RATIO", "raw_lines"]

MAX_LINE = 2**20
"""Bytes of a line at most, its end included."""

MAX_RATIO = 200
"""Bytes that a packed byte may become, once more than 64 MiB have come out; texts reach 3 to 20, a bomb about 1,000."""

_FREE = 64 * 2**20
_OTHER_MARKS = (b"\xff\xfe", b"\xfe\xff", b"\x00\x00\xfe\xff")


def raw_lines(path: Path) -> Iterator[tuple[int, bytes | None]]:
    """The lines of a file from 1, each with its end; None for one that is longer than `MAX_LINE`, which is skipped.

    A byte order mark of UTF-8 is left out. A name that ends in `.gz` is unpacked as it is read.

    Raises:
        RowError: the packed data is damaged, ends early or is a bomb; nothing behind that line can be read.
        DataError: the file is UTF-16 or UTF-32.
    """
    with path.open("rb") as file:
        source = _Unpacked(file) if path.suffix == ".gz" else file
        for number in itertools.count(1):
            try:
                line = source.readline(MAX_LINE + 1)
                whole = len(line) <= MAX_LINE
                last = line
                while not whole and last and not last.endswith(b"\n"):
                    last = source.readline(MAX_LINE)
            except (EOFError, zlib.error, gzip.BadGzipFile) as error:
                said = f"{path}, line {number}: the packed data cannot be read on ({error}); pack the file again"
                raise RowError(said, kind="packed data that cannot be read on", rest=1) from error
            if not line:
                return
            if number == 1:
                line = _without_mark(path, line)
            yield number, line if whole else None


class _Unpacked:
    """The lines of a gzipped file, until more has come out than a file of texts would give."""

    def __init__(self, packed: BinaryIO) -> None:
        self._packed = packed
        self._file = cast(BinaryIO, gzip.GzipFile(fileobj=packed))
        self._out = 0

    def readline(self, limit: int) -> bytes:
        """At most so many bytes, up to and with a line's end.

        Raises:
            EOFError: the data ends early, or is a bomb.
            OSError, zlib.error: it is damaged.
        """
        line = self._file.readline(limit)
        self._out += len(line)
        if self._out > _FREE and self._out > MAX_RATIO * self._packed.tell():
            raise EOFError(f"{self._packed.tell():,} bytes have unpacked to {self._out:,}, over {MAX_RATIO} times as many")
        return line


def _without_mark(path: Path, line: bytes) -> bytes:
    if line.startswith(_OTHER_MARKS):
        raise DataError(f"{path} is UTF-16 or UTF-32, not UTF-8; save the file as UTF-8")
    return line.removeprefix(b"\xef\xbb\xbf")
