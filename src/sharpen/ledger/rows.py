"""Rows, each chained to the one before it by digest, so that what a disk lost or changed is found when they are read.

SQLite takes a damaged end of its write-ahead log for its regular end, and is silent about what it drops. So the number of rows
stands in a file beside it too, `head`, written after each row without waiting for the disk: it may lag, but never leads.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import sqlite3
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sharpen.digest import canonical
from sharpen.errors import LedgerError
from sharpen.ledger import database
from sharpen.ledger.database import DATABASE, SCHEMA, DamagedDatabaseError
from sharpen.ledger.files import world_errors
from sharpen.ledger.seal import SEAL, Seal, read_seal

__all__ = ["GENESIS", "HEAD", "INSERT", "SELECT", "Entry", "Rows", "chained", "proves", "read_head", "read_rows"]

HEAD = "head"
GENESIS = "0" * 64
_COLUMNS = "sequence, kind, key, value, path, sha256, at, chain"
SELECT = f"SELECT {_COLUMNS} FROM entry"
INSERT = f"INSERT INTO entry({_COLUMNS}) VALUES (?,?,?,?,?,?,?,?)"
Row = tuple[Any, ...]  # Any: SQLite columns


@dataclass(frozen=True, kw_only=True)
class Entry:
    """One row: what was made (`kind`, `key`), plain facts about it, and the file or folder that holds the rest.

    Attributes:
        sequence: row number, from 1.
        value: JSON facts.
        path: file or folder relative to the run directory, or None.
        sha256: digest of that file or folder, or None.
        at: Unix time (seconds) of writing; in no key.
    """

    sequence: int
    kind: str
    key: str
    value: Mapping[str, Any]  # Any: JSON
    path: str | None
    sha256: str | None
    at: float


@dataclass(frozen=True, kw_only=True)
class Head:
    """What stands beside the database: the format, and how many rows there are at least."""

    schema: int
    count: int


class Rows:
    """The rows of a run directory, open for appending by the process that holds its lock."""

    def __init__(self, folder: Path) -> None:
        """Open or create the database, and read every row.

        Raises:
            DamagedDatabaseError: something is lost or changed.
            LedgerError: it was written by a newer version, or cannot be written.
            CapacityError: the disk is full.
        """
        head, seal = read_head(folder), read_seal(folder)
        self._folder = folder
        self._connection = database.writing(folder, head.schema if head else None)
        try:
            self.entries, self._chain = read_rows(self._connection, folder, head, seal)
            self._sequence = len(self.entries)
            self._identity = _identity(folder)
            with world_errors(folder / HEAD):
                self._head = os.open(folder / HEAD, os.O_RDWR | os.O_CREAT, 0o644)
        except BaseException:
            self._connection.close()
            raise

    def append(self, kind: str, key: str, value: Mapping[str, Any], path: str | None, sha256: str | None) -> Entry:
        """Add a row; durable when this returns.

        Raises:
            CapacityError: the disk is full.
            LedgerError: the database refuses, or the folder is not where it was.
        """
        self.check_place()  # SQLite writes on into a deleted file
        text = canonical(value).encode("utf-8", "backslashreplace").decode()  # a lone surrogate as its JSON escape
        sequence, at = self._sequence + 1, time.time()
        chain = chained(self._chain, kind, key, text, path, sha256, at)
        try:
            self._connection.execute(INSERT, (sequence, kind, key, text, path, sha256, at, chain))
        except sqlite3.Error as error:
            raise database.told(self._folder, error) from error
        with world_errors(self._folder / HEAD):
            os.pwrite(self._head, _head_line(sequence).encode(), 0)
        self._chain, self._sequence = chain, sequence
        return Entry(sequence=sequence, kind=kind, key=key, value=json.loads(text), path=path, sha256=sha256, at=at)

    @property
    def end(self) -> Seal:
        """The newest row."""
        return Seal(count=self._sequence, link=self._chain)

    def check_place(self) -> None:
        """Make sure that the database is where it was opened.

        Raises:
            LedgerError: it is not.
        """
        if _identity(self._folder) != self._identity:
            raise LedgerError(f"{self._folder} was moved or deleted while a run was writing to it; nothing more is recorded")

    def close(self) -> None:
        """Close the database."""
        self._connection.close()
        os.close(self._head)


def read_rows(connection: sqlite3.Connection, folder: Path, head: Head | None, seal: Seal | None) -> tuple[list[Entry], str]:
    """All rows, oldest first, and the chain's end.

    Raises:
        DamagedDatabaseError: a row does not follow from the one before it, rows are missing, or are not those that were sealed.
    """
    entries: list[Entry] = []
    chain, sealed = GENESIS, seal is None or not seal.count
    try:
        for row in connection.execute(f"{SELECT} ORDER BY sequence"):
            if row[0] != len(entries) + 1 or not proves(chain, row):
                raise DamagedDatabaseError(folder, f"row {row[0]} ({row[1]} {row[2]}) does not match the digest chain")
            entries.append(_entry(row))
            chain = row[-1]
            sealed |= seal == Seal(count=row[0], link=chain)
    except database.FAULTS as error:
        raise database.told(folder, error) from error
    if head is not None and len(entries) < head.count:
        raise DamagedDatabaseError(folder, f"{head.count} rows were written and {len(entries)} are left")
    if not sealed:
        raise DamagedDatabaseError(folder, f"these are not the rows that were sealed in `{SEAL}` when a round ended")
    return entries, chain


def chained(previous: str, kind: str, key: str, text: str, path: str | None, sha256: str | None, at: float) -> str:
    """A row's link: the digest of the link before it and of all that the row holds."""
    written = canonical([previous, kind, key, text, path, sha256, at])
    return hashlib.sha256(written.encode("utf-8", "surrogatepass")).hexdigest()


def proves(previous: str, row: Row) -> bool:
    """Whether a row is as it was written after the row with that link."""
    try:
        return bool(chained(previous, *row[1:-1]) == row[-1])
    except TypeError:  # a damaged column may be of any type
        return False


def read_head(folder: Path) -> Head | None:
    """What stands in `head`; None where it is absent, or was being written when the power went."""
    with contextlib.suppress(FileNotFoundError):
        text = (folder / HEAD).read_bytes().decode("ascii", "replace")
        schema, _, count = text[:17].partition(" ")
        if schema.isdecimal() and count.isdecimal() and text == _head_line(int(count), int(schema)):
            return Head(schema=int(schema), count=int(count))
    return None


def _head_line(count: int, schema: int = SCHEMA) -> str:
    line = f"{schema:04d} {count:012d}"
    return f"{line} {hashlib.sha256(line.encode()).hexdigest()[:16]}\n"


def _entry(row: Row) -> Entry:
    sequence, kind, key, text, path, sha256, at, _ = row
    return Entry(sequence=sequence, kind=kind, key=key, value=json.loads(text), path=path, sha256=sha256, at=at)


def _identity(folder: Path) -> tuple[int, int] | None:
    with world_errors(folder / DATABASE), contextlib.suppress(FileNotFoundError):
        status = (folder / DATABASE).stat()
        return status.st_dev, status.st_ino
    return None
