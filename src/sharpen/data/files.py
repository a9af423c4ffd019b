"""Rows of a file, read strictly: whatever is odd is refused with the file and the line, and nothing is guessed."""

from __future__ import annotations

import csv
import json
import math
from collections.abc import Iterator, Mapping
from pathlib import Path

from sharpen.data.lines import MAX_LINE, MAX_RATIO, raw_lines
from sharpen.data.refused import Refused, RowError
from sharpen.errors import DataError

__all__ = ["MAX_LINE", "clean", "file_rows"]

MAX_COLUMNS = 256
MAX_DEPTH = 32

_BATCH = 32  # rows of Parquet that are unpacked at a time: a cell may be large
_FREE = 64 * 2**20

Entry = tuple[str, Mapping[str, object]]
"""Where a row stands, for messages, and its columns."""

_Read = tuple[str, object | RowError]
"""Where a row stands, and what was found there."""


def file_rows(path: Path, *, refused: Refused | None = None) -> Iterator[Entry]:
    """The rows of a `.jsonl` (or `.ndjson`), `.csv` or `.parquet` file, with where each stands. The first three may end in `.gz`.

    Args:
        refused: takes what cannot be used; None allows nothing, and the first such row raises. Where CSV cannot be told apart any more
            (a quote that is not closed), and where packed data or Parquet is damaged, what is left of the file is one refusal.

    Raises:
        DataError: the file is missing, of another kind, or malformed; the message names the line.
    """
    refused = refused or Refused()
    readers = {".jsonl": _json_lines, ".ndjson": _json_lines, ".csv": _csv, ".parquet": _parquet}
    kind = (
        path.suffixes[-2]
        if path.suffix == ".gz" and len(path.suffixes) > 1 and path.suffixes[-2] != ".parquet"
        else path.suffix
    )
    if not path.is_file():
        raise DataError(f"there is no file {str(path)!r}; check the path")
    if kind not in readers:
        raise DataError(f"{path} is none of {', '.join(readers)}; write one JSON object a line into a .jsonl file")
    try:
        for where, row in readers[kind](path):
            if isinstance(row, RowError):
                refused.take(row)
                continue
            try:
                entry = where, clean(where, row)
            except RowError as error:
                refused.take(error)
            else:
                yield entry
    except RowError as error:
        refused.take(error)
    except OSError as error:
        raise DataError(f"{path} cannot be read ({error}); check the disk and the file's rights") from error


def clean(where: str, row: object) -> Mapping[str, object]:
    """A row that holds only what JSON can say, in texts that UTF-8 can hold.

    Raises:
        RowError: it is no object, has a text with NUL or half a surrogate pair, a number that is not finite, or is too deep.
    """
    if not isinstance(row, Mapping):
        raise RowError(
            f"{where}: holds {type(row).__name__}, not an object with columns; write one object a row", kind="no object"
        )
    if len(row) > MAX_COLUMNS:
        raise RowError(f"{where}: has {len(row)} columns; {MAX_COLUMNS} are read at most", kind="too many columns")
    for name, value in row.items():
        if not isinstance(name, str) or not name:
            raise RowError(f"{where}: column {name!r} has no name; name columns by text", kind="column without a name")
        _check(f"{where}, column {name[:80]!r}", name, 0)
        _check(f"{where}, column {name!r}", value, 0)
    return row


def _check(where: str, value: object, depth: int) -> None:
    if depth > MAX_DEPTH:
        raise RowError(f"{where}: is nested more than {MAX_DEPTH} deep; flatten it", kind="nested too deep")
    if isinstance(value, str):
        if "\x00" in value:
            raise RowError(f"{where}: holds a NUL character; remove it", kind="NUL character")
        try:
            value.encode("utf-8")
        except UnicodeEncodeError as error:
            if "\udc80" <= value[error.start] <= "\udcff":  # a byte that `_text_of` could not decode
                raise RowError(f"{where}: is not UTF-8; save the file as UTF-8", kind="not UTF-8") from error
            said = f"{where}: holds half a surrogate pair at character {error.start}; remove it"
            raise RowError(said, kind="half a surrogate pair") from error
    elif isinstance(value, float) and not math.isfinite(value):
        said = f"{where}: holds {value}, which is not a number that JSON can say; leave the cell out"
        raise RowError(said, kind="number that is not finite")
    elif isinstance(value, Mapping):
        for name, item in value.items():
            _check(where, name, depth + 1)
            _check(where, item, depth + 1)
    elif isinstance(value, (list, tuple)):
        for item in value:
            _check(where, item, depth + 1)


def _json_lines(path: Path) -> Iterator[_Read]:
    for number, line in raw_lines(path):
        where = f"{path}, line {number}"
        if line is None:
            yield where, _too_long(where)
        elif line.strip():
            yield where, _json_row(where, line)


def _json_row(where: str, line: bytes) -> object | RowError:
    try:
        row: object = json.loads(line.decode("utf-8"), parse_constant=_no_constant, object_pairs_hook=_no_duplicates)
    except UnicodeDecodeError as error:
        return RowError(f"{where}: is not UTF-8 at byte {error.start}; save the file as UTF-8", kind="not UTF-8")
    except (ValueError, RecursionError) as error:
        return RowError(f"{where}: is not a JSON object ({error}); write one object a line", kind="no JSON object")
    return row


def _too_long(where: str, *, rest: int = 0) -> RowError:
    return RowError(f"{where}: is longer than {MAX_LINE} bytes; shorten the row", kind="line too long", rest=rest)


def _no_constant(name: str) -> object:
    raise ValueError(f"{name} is not JSON")


def _no_duplicates(pairs: list[tuple[str, object]]) -> dict[str, object]:
    row = dict(pairs)
    if len(row) != len(pairs):
        names = [name for name, _ in pairs]
        raise ValueError(f"key {next(name for name in names if names.count(name) > 1)[:80]!r} stands twice")
    return row


def _csv(path: Path) -> Iterator[_Read]:
    """Rows of CSV. Behind a quoting fault nobody knows where a row begins, so that is the end of the file."""
    texts = _texts(path)
    reader = csv.reader(texts, strict=True)
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
            elif len(cells) != len(header):
                said = f"{where}: has {len(cells)} cells for {len(header)} columns; quote cells that hold a comma"
                yield where, RowError(said, kind="another number of cells")
            else:
                yield where, {name: cell or None for name, cell in zip(header, cells, strict=True)}
    except csv.Error as error:
        said = f"{path}, line {first}: is not CSV ({error}); quote cells that hold quotes or line ends"
        left = reader.line_num - first + 1 + sum(1 for _ in texts)
        raise RowError(said, kind="CSV that cannot be read on", rest=left) from error


def _texts(path: Path) -> Iterator[str]:
    """Lines as texts; bytes that are not UTF-8 become half surrogates, which `clean` refuses in their own row alone."""
    for number, line in raw_lines(path):
        if line is None:
            raise _too_long(f"{path}, line {number}", rest=1)
        yield line.decode("utf-8", "surrogateescape")


def _parquet(path: Path) -> Iterator[_Read]:
    import pyarrow.lib
    import pyarrow.parquet

    number = num_rows = 0
    try:
        with pyarrow.parquet.ParquetFile(path) as file:
            num_rows = file.metadata.num_rows
            _check_size(path, file.metadata)
            for batch in file.iter_batches(batch_size=_BATCH):
                for row in batch.to_pylist():
                    number += 1
                    yield f"{path}, row {number}", _within_bounds(f"{path}, row {number}", row)
    except (pyarrow.lib.ArrowException, UnicodeDecodeError, OverflowError, ValueError) as error:
        said = f"{path}, after row {number}: is not readable as Parquet ({' '.join(str(error).split())[:200]}); write it again"
        raise RowError(said, kind="Parquet that cannot be read on", rest=max(1, num_rows - number)) from error


def _check_size(path: Path, metadata: object) -> None:
    """Refuse a file that says of itself that it is a bomb."""
    groups = [metadata.row_group(place) for place in range(metadata.num_row_groups)]  # type: ignore[attr-defined]  # pyarrow has no types
    largest = max((group.total_byte_size for group in groups), default=0)
    if largest > _FREE and largest > MAX_RATIO * path.stat().st_size:
        said = f"{path}: {path.stat().st_size:,} bytes would unpack to {largest:,} at once; it is not read"
        raise RowError(said, kind="packed too densely", rest=max(1, metadata.num_rows))  # type: ignore[attr-defined]  # as above


def _within_bounds(where: str, row: Mapping[str, object]) -> object | RowError:
    """The row, where its cells together are no longer than a line of another format might be."""
    return row if _size(row, MAX_LINE) >= 0 else _too_long(where)


def _size(value: object, left: int) -> int:
    """What is left of so many characters and cells behind a value; below 0 where they do not suffice."""
    if isinstance(value, (str, bytes)):
        return left - len(value)
    left -= 1
    items = value.items() if isinstance(value, Mapping) else enumerate(value) if isinstance(value, (list, tuple)) else ()
    for name, item in items:
        left = _size(item, left - (len(name) if isinstance(name, str) else 0))
        if left < 0:
            break
    return left
