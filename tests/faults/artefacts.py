"""Everything that a run left on disk, as text to look through: packed columns and databases read out, the rest as bytes."""

from __future__ import annotations

import gzip
import sqlite3
from collections.abc import Iterator
from pathlib import Path

import pyarrow.parquet

__all__ = ["files_that_tell", "texts_in"]


def texts_in(path: Path) -> Iterator[str]:
    """The file's bytes, and what they hold in a packed form."""
    content = path.read_bytes()
    yield path.name
    yield content.decode("utf-8", "replace")
    if path.suffix == ".parquet":
        yield str(pyarrow.parquet.read_table(path).to_pydict())
        yield str(pyarrow.parquet.read_schema(path).metadata)
    elif path.suffix == ".gz":
        yield gzip.decompress(content).decode("utf-8", "replace")
    elif content.startswith(b"SQLite format 3"):
        with sqlite3.connect(f"file:{path}?mode=ro", uri=True) as database:
            yield from database.iterdump()
        database.close()


def files_that_tell(folder: Path, words: str) -> list[Path]:
    """The files below a folder in which these words stand."""
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    return [path for path in files if any(words in text for text in texts_in(path))]
