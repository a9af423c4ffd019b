"""The SQLite file of a run directory: opened for writing or reading, its format, and its errors in words."""

from __future__ import annotations

import contextlib
import os
import shutil
import sqlite3
import tempfile
from collections.abc import Iterator
from pathlib import Path

from sharpen.errors import CapacityError, DamagedError, LedgerError, RunBusyError, SharpenError

__all__ = [
    "DATABASE",
    "FAULTS",
    "SCHEMA",
    "DamagedDatabaseError",
    "check_format",
    "copy_database",
    "create_table",
    "has_log",
    "reading",
    "told",
    "writing",
]

SCHEMA = 1
DATABASE = "ledger.sqlite"
FAULTS = (sqlite3.Error, UnicodeDecodeError)
"""What reading a database raises; the second where a message of SQLite's own names what is damaged, and is no text then."""

_BARRED = {sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_READONLY, sqlite3.SQLITE_PERM, sqlite3.SQLITE_IOERR}
_DAMAGE = {sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB, sqlite3.SQLITE_FORMAT, sqlite3.SQLITE_ERROR}
_SMALL = 1 << 20  # bytes free below which an unexplained input/output error is a full disk


class DamagedDatabaseError(DamagedError):
    """The database is not as it was written; `what` says how."""

    def __init__(self, folder: Path, what: str) -> None:
        self.what = f"{DATABASE} was damaged ({what})"
        super().__init__(
            f"{folder / DATABASE} is damaged: {what}; run the same `sharpen run` command again: it sets the damaged database "
            "aside, keeps every row that proves itself, and makes the rest again"
        )


def writing(folder: Path, schema_in_head: int | None) -> sqlite3.Connection:
    """The database, created where there is none, sound as far as SQLite can tell, and durable as it reads now.

    What a killed process wrote last may be in memory alone and, after a disk error, be taken for written when it is not; the
    checkpoint writes it again from what is read.

    Raises:
        DamagedDatabaseError: SQLite finds it malformed.
        LedgerError: it was written by a newer version, or cannot be written.
        CapacityError: the disk is full.
    """
    with _telling(folder):
        connection = sqlite3.connect(folder / DATABASE, isolation_level=None)
        try:
            connection.text_factory = _text
            version = check_format(connection, folder, schema_in_head)
            connection.execute("PRAGMA journal_mode=WAL")
            connection.execute("PRAGMA synchronous=FULL")
            if not version:
                create_table(connection)
            found = connection.execute("PRAGMA quick_check(1)").fetchone()[0]
            if found != "ok":
                raise DamagedDatabaseError(folder, found)
            if connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()[0]:
                raise LedgerError(f"another program keeps {folder / DATABASE} open for reading; close it and run again")
        except BaseException:
            connection.close()
            raise
    return connection


@contextlib.contextmanager
def reading(folder: Path) -> Iterator[sqlite3.Connection]:
    """The database, open for reading beside a writer. Nothing is written beside it: a file there would be the reader's own.

    Without a log there is no writer, and SQLite is told that nothing changes. A log without SQLite's index of it, or with one that
    this user may not use, is read in a copy.

    Raises:
        DamagedDatabaseError: SQLite finds it malformed.
        LedgerError: it cannot be read.
    """
    with contextlib.ExitStack() as stack, _telling(folder):
        connection = None
        if not has_log(folder):
            connection = _opened(folder / DATABASE, "immutable=1")
        elif (folder / f"{DATABASE}-shm").exists():
            try:
                connection = _opened(folder / DATABASE, "mode=ro")
            except sqlite3.OperationalError as error:
                if _code(error) not in _BARRED:
                    raise
        if connection is None:
            scratch = Path(stack.enter_context(tempfile.TemporaryDirectory()))
            copy_database(folder, scratch)
            connection = _opened(scratch / DATABASE, "mode=ro")
        stack.callback(connection.close)
        yield connection


def has_log(folder: Path) -> bool:
    """Whether the database has a log beside it: a writer is at work, or was killed."""
    return (folder / f"{DATABASE}-wal").exists()


def copy_database(source: Path, target: Path) -> None:
    """Copy the database and its log, which belong together, into another folder."""
    for suffix in ("", "-wal"):
        with contextlib.suppress(FileNotFoundError):
            shutil.copyfile(source / f"{DATABASE}{suffix}", target / f"{DATABASE}{suffix}")


def create_table(connection: sqlite3.Connection) -> None:
    """Make the table and number the format, unless a killed process had come so far."""
    connection.execute("BEGIN IMMEDIATE")
    connection.execute(
        "CREATE TABLE IF NOT EXISTS entry(sequence INTEGER PRIMARY KEY, kind TEXT NOT NULL, key TEXT NOT NULL, "
        "value TEXT NOT NULL, path TEXT, sha256 TEXT, at REAL NOT NULL, chain TEXT NOT NULL)"
    )
    connection.execute(f"PRAGMA user_version={SCHEMA}")
    connection.execute("COMMIT")


def check_format(connection: sqlite3.Connection, folder: Path, schema_in_head: int | None) -> int:
    """The format's number; 0 where nothing was recorded yet.

    Raises:
        LedgerError: it is newer than this version reads.
        DamagedDatabaseError: it is not the number that stands in `head` too.
    """
    version = int(connection.execute("PRAGMA user_version").fetchone()[0])
    if version in (0, SCHEMA):
        return version
    if schema_in_head == SCHEMA:
        raise DamagedDatabaseError(folder, f"its format is numbered {version} there and {SCHEMA} in `head`")
    raise LedgerError(
        f"{folder} was written by a newer version of sharpen (format {version}, this one reads {SCHEMA}); update sharpen"
    )


def told(folder: Path, error: sqlite3.Error | UnicodeDecodeError) -> SharpenError:
    """What SQLite says, as the kind of error that it is."""
    if isinstance(error, UnicodeDecodeError):
        return DamagedDatabaseError(folder, "a name in its schema is no text")
    code = _code(error)
    path = folder / DATABASE
    if code in _DAMAGE or (code == sqlite3.SQLITE_READONLY and os.access(path, os.W_OK)):
        return DamagedDatabaseError(folder, str(error))
    if code == sqlite3.SQLITE_FULL or (code == sqlite3.SQLITE_IOERR and shutil.disk_usage(folder).free < _SMALL):
        return CapacityError(f"no space left to record in {folder}; free some and run the same command again")
    if code == sqlite3.SQLITE_CONSTRAINT:
        return RunBusyError(
            f"another process has written to {path} in spite of the lock; end it and run the same command again"
        )
    return LedgerError(f"cannot use {path}: {error}")


@contextlib.contextmanager
def _telling(folder: Path) -> Iterator[None]:
    try:
        yield
    except FAULTS as error:
        raise told(folder, error) from error


def _code(error: sqlite3.Error) -> int:
    """SQLite's primary result code; 0 for what the Python module raises by itself."""
    return int(vars(error).get("sqlite_errorcode", 0)) & 0xFF


def _opened(path: Path, how: str) -> sqlite3.Connection:
    connection = sqlite3.connect(f"{path.absolute().as_uri()}?{how}", uri=True, isolation_level=None)
    connection.text_factory = _text
    try:
        connection.execute("PRAGMA user_version")
    except BaseException:
        connection.close()
        raise
    return connection


def _text(raw: bytes) -> str:
    """Text that cannot fail to decode: damage is for the digest chain to find."""
    return raw.decode("utf-8", "surrogateescape")
