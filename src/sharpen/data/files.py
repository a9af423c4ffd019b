"""Rows of a file, read strictly: whatever is odd is refused with the file and the line, and nothing is guessed."""

from __future__ import annotations

import csv
import itertools
import json
import math
from collections.abc import Iterator, Mapping
from pathlib import Path

from sharpen.errors import DataError

__all__ = ["MAX_LINE", "clean", "file_rows"]

MAX_LINE = 2**20
"""Bytes of a line at most, its end included."""

MAX_COLUMNS = 256
MAX_DEPTH = 32

Entry = tuple[str, Mapping[str, object]]
"""Where a row stands, for messages, and its columns."""


def file_rows(path: Path) -> Iterator[Entry]:
    """The rows of a `.jsonl` (or `.ndjson`), `.csv` or `.parquet` file, with where each stands.

    Raises:
        DataError: the file is missing, of another kind, or malformed; the message names the line.
    """
    readers = {".jsonl": _json_lines, ".ndjson": _json_lines, ".csv": _csv, ".parquet": _parquet}
    if not path.is_file():
        raise DataError(f"there is no file {str(path)!r}; check the path")
    if path.suffix not in readers:
        raise DataError(f"{path} is none of {', '.join(readers)}; write one JSON object a line into a .jsonl file")
    try:
        for where, row in readers[path.suffix](path):
            yield where, clean(where, row)
    except OSError as error:
        raise DataError(f"{path} cannot be read ({error}); check the disk and the file's rights") from error


def clean(where: str, row: object) -> Mapping[str, object]:
    """A row that holds only what JSON can say, in texts that UTF-8 can hold.

    Raises:
        DataError: it is no object, has a text with NUL or half a surrogate pair, a number that is not finite, or is too deep.
    """
    if not isinstance(row, Mapping):
        raise DataError(f"{where}: holds {type(row).__name__}, not an object with columns; write one object a row")
    if len(row) > MAX_COLUMNS:
        raise DataError(f"{where}: has {len(row)} columns; {MAX_COLUMNS} are read at most")
    for name, value in row.items():
        if not isinstance(name, str) or not name:
            raise DataError(f"{where}: column {name!r} has no name; name columns by text")
        _check(f"{where}, column {name!r}", value, 0)
    return row


def _check(where: str, value: object, depth: int) -> None:
    if depth > MAX_DEPTH:
        raise DataError(f"{where}: is nested more than {MAX_DEPTH} deep; flatten it")
    if isinstance(value, str):
        if "\x00" in value:
            raise DataError(f"{where}: holds a NUL character; remove it")
        try:
            value.encode("utf-8")
        except UnicodeEncodeError as error:
            raise DataError(f"{where}: holds half a surrogate pair at character {error.start}; remove it") from error
    elif isinstance(value, float) and not math.isfinite(value):
        raise DataError(f"{where}: holds {value}, which is not a number that JSON can say; leave the cell out")
    elif isinstance(value, Mapping):
        for name, item in value.items():
            _check(where, name, depth + 1)
            _check(where, item, depth + 1)
    elif isinstance(value, (list, tuple)):
        for item in value:
            _check(where, item, depth + 1)


def _lines(path: Path) -> Iterator[tuple[int, str]]:
    with path.open("rb") as file:
        for number in itertools.count(1):
            line = file.readline(MAX_LINE + 1)
            if not line:
                return
            if len(line) > MAX_LINE:
                raise DataError(f"{path}, line {number}: is longer than {MAX_LINE} bytes; shorten the row")
            try:
                text = line.decode("utf-8-sig" if number == 1 else "utf-8")
            except UnicodeDecodeError as error:
                raise DataError(f"{path}, line {number}: is not UTF-8 at byte {error.start}; save the file as UTF-8") from error
            yield number, text


def _json_lines(path: Path) -> Iterator[tuple[str, object]]:
    for number, line in _lines(path):
        if not line.strip():
            continue
        where = f"{path}, line {number}"
        try:
            row = json.loads(line, parse_constant=_no_constant, object_pairs_hook=_no_duplicates)
        except (ValueError, RecursionError) as error:
            raise DataError(f"{where}: is not a JSON object ({error}); write one object a line") from error
        yield where, row


def _no_constant(name: str) -> object:
    raise ValueError(f"{name} is not JSON")


def _no_duplicates(pairs: list[tuple[str, object]]) -> dict[str, object]:
    row = dict(pairs)
    if len(row) != len(pairs):
        names = [name for name, _ in pairs]
        raise ValueError(f"key {next(name for name in names if names.count(name) > 1)!r} stands twice")
    return row


def _csv(path: Path) -> Iterator[tuple[str, object]]:
    reader = csv.reader((line for _, line in _lines(path)), strict=True)
    header: list[str] | None = None
    first = 1
    try:
        for cells in reader:
            where, first = f"{path}, line {first}", reader.line_num + 1
            if not cells:
                continue
            if header is None:
                header = cells
                if len(set(header)) != len(header) or not all(name.strip() for name in header):
                    raise DataError(f"{where}: the header {header} has an empty or repeated name; name each column once")
                continue
            if len(cells) != len(header):
                raise DataError(f"{where}: has {len(cells)} cells for {len(header)} columns; quote cells that hold a comma")
            yield where, {name: cell or None for name, cell in zip(header, cells, strict=True)}
    except csv.Error as error:
        raise DataError(f"{path}, line {first}: is not CSV ({error}); quote cells that hold quotes or line ends") from error


def _parquet(path: Path) -> Iterator[tuple[str, object]]:
    import pyarrow.lib
    import pyarrow.parquet

    number = 0
    try:
        with pyarrow.parquet.ParquetFile(path) as file:
            for batch in file.iter_batches(batch_size=1024):
                for row in batch.to_pylist():
                    number += 1
                    yield f"{path}, row {number}", row
    except (pyarrow.lib.ArrowException, UnicodeDecodeError) as error:
        raise DataError(
            f"{path}, after row {number}: is not readable as Parquet ({str(error)[:200]}); write it again"
        ) from error
