"""The file of an account: its tables, and a checksum in every row, so that what the disk changed is not believed."""

from __future__ import annotations

import hashlib
import sqlite3
from pathlib import Path

from sharpen.errors import LedgerError

__all__ = ["FAULTS", "damage", "open_file", "seal"]

FAULTS = (sqlite3.Error, UnicodeDecodeError)
"""What SQLite raises on a file that it cannot read or write; the second where its own message names what is damaged."""

_VERSION = 2
_TABLES = {
    "answers": (
        "key TEXT PRIMARY KEY",
        "endpoint TEXT NOT NULL",
        "text TEXT NOT NULL",
        "finish TEXT NOT NULL",
        "input INTEGER",
        "output INTEGER",
        "at REAL NOT NULL",
    ),
    "attempts": (
        "id INTEGER PRIMARY KEY",
        "key TEXT NOT NULL",
        "endpoint TEXT NOT NULL",
        "reserved INTEGER NOT NULL",
        "cost INTEGER NOT NULL",
        "outcome TEXT NOT NULL",
        "kind TEXT NOT NULL DEFAULT ''",
        "reason TEXT NOT NULL DEFAULT ''",
        "input INTEGER NOT NULL DEFAULT 0",
        "output INTEGER NOT NULL DEFAULT 0",
        "at REAL NOT NULL",
    ),
    "totals": (
        "one INTEGER PRIMARY KEY CHECK (one = 1)",
        "spent INTEGER NOT NULL",
        "seconds REAL NOT NULL",
        "damaged INTEGER NOT NULL DEFAULT 0",
    ),
}
"""Of each table its columns, the first of which is its key."""


def _columns(table: str) -> str:
    """What a checksum is of: each value's type, and the value in letters that are never damaged ones."""
    names = [column.split()[0] for column in _TABLES[table]]
    return ", ".join(f"typeof({name}), iif(typeof({name}) IN ('text', 'blob'), hex({name}), quote({name}))" for name in names)


def _digest(*values: object) -> bytes:
    return hashlib.blake2b(repr(values).encode(), digest_size=16).digest()


def open_file(path: Path | None, *, read_only: bool = False) -> sqlite3.Connection:
    """A connection to the file, which is made where there is none; damaged answers are taken out, and their number is added up.

    Args:
        path: None for a database in memory.
        read_only: of a file that is there, which another process may be writing; nothing is changed or checked.

    Raises:
        LedgerError: what was spent is damaged, or a newer sharpen wrote it.
        sqlite3.Error: SQLite cannot read or write it.
    """
    if read_only and path is not None:
        has_log = path.with_name(f"{path.name}-wal").exists()  # without one there is no writer, and none is made for a reader
        return _connected(f"{path.absolute().as_uri()}?{'mode=ro' if has_log else 'immutable=1'}")
    if path is not None:
        path.parent.mkdir(parents=True, exist_ok=True)
    database = _connected(":memory:" if path is None else path.absolute().as_uri())
    try:
        database.executescript("PRAGMA journal_mode=WAL; PRAGMA synchronous=FULL;")
        database.execute("BEGIN IMMEDIATE")
        _made(database, path)
        found = damage(database)
        if any(not one.startswith("answers") for one in found):
            raise LedgerError(
                f"{path} is damaged: {found[0]}; what was spent cannot be told, so nothing more is: move the file away to begin at 0 "
                "(its answers are then asked again)"
            )
        if found:
            _take_out_damaged(database)
        database.execute("COMMIT")
    except BaseException:
        database.close()  # an error may be held on to, and its lock with it
        raise
    return database


def _take_out_damaged(database: sqlite3.Connection) -> None:
    """Keep the sound answers, in a table and an index of their own, and add up how many were not."""
    columns = ", ".join(column.split()[0] for column in _TABLES["answers"])
    number = database.execute("SELECT count(*) FROM answers NOT INDEXED").fetchone()[0]
    database.execute(f"CREATE TABLE sound ({', '.join(_TABLES['answers'])}, seal BLOB)")
    kept = database.execute(
        f"INSERT OR IGNORE INTO sound SELECT {columns}, seal FROM answers NOT INDEXED WHERE seal IS seal({_columns('answers')})"
    ).rowcount
    database.execute("DROP TABLE answers")
    database.execute("ALTER TABLE sound RENAME TO answers")
    database.execute("UPDATE totals SET damaged = damaged + ?", (number - kept,))
    seal(database, "totals", 1)


def _connected(address: str) -> sqlite3.Connection:
    database = sqlite3.connect(address, uri=True, check_same_thread=False, isolation_level=None, timeout=30.0)
    database.create_function("seal", -1, _digest, deterministic=True)
    return database


def _made(database: sqlite3.Connection, path: Path | None) -> None:
    """Tables of this version in the file; those of the first, which had no checksums, get them now."""
    version = _version(database)
    if version > _VERSION:
        raise LedgerError(
            f"{path} was written by a newer sharpen (format {version}, this one knows {_VERSION}); update sharpen"
        )
    if version == _VERSION or _has_seals(database):
        return
    there = {name for (name,) in database.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
    for table, columns in _TABLES.items():
        if table not in there:
            database.execute(f"CREATE TABLE {table} ({', '.join(columns)}, seal BLOB)")
            continue
        database.execute(f"ALTER TABLE {table} ADD COLUMN seal BLOB")
        if table == "totals":
            database.execute("ALTER TABLE totals ADD COLUMN damaged INTEGER NOT NULL DEFAULT 0")
        database.execute(f"UPDATE {table} SET seal = seal({_columns(table)})")
    if database.execute("INSERT OR IGNORE INTO totals (one, spent, seconds) VALUES (1, 0, 0.0)").rowcount:
        seal(database, "totals", 1)
    database.execute(f"PRAGMA user_version = {_VERSION}")


def _version(database: sqlite3.Connection) -> int:
    return int(database.execute("PRAGMA user_version").fetchone()[0])


def _has_seals(database: sqlite3.Connection) -> bool:
    return any(name == "seal" for _, name, *_ in database.execute("PRAGMA table_info(totals)"))


def seal(database: sqlite3.Connection, table: str, key: str | int) -> None:
    """Bring the checksum of a row that was just written up to it."""
    name = _TABLES[table][0].split()[0]
    database.execute(f"UPDATE {table} SET seal = seal({_columns(table)}) WHERE {name} = ?", (key,))


def damage(database: sqlite3.Connection) -> list[str]:
    """A sentence for each thing that is not as it was written; `answers` begins one about answers, which can be asked again.

    Raises:
        sqlite3.Error: SQLite cannot read it.
    """
    found = []
    version, sealed = _version(database), _has_seals(database)
    if version != _VERSION and sealed:
        found.append(f"its format is numbered {version}, and what it holds is of format {_VERSION}")
    if not sealed:  # the first version's, or nothing yet
        return ["totals: it has none of the tables that its format has"] if version == _VERSION else []
    for table in _TABLES:
        told = database.execute(f"PRAGMA integrity_check('{table}')").fetchone()[0]
        if told != "ok":
            found.append(f"{table}: SQLite says {told!r}")
        number = database.execute(
            f"SELECT count(*) FROM {table} NOT INDEXED WHERE seal IS NOT seal({_columns(table)})"
        ).fetchone()[0]
        if number:
            found.append(f"{table}: {number} of its rows do not match their checksums")
    spent, of_attempts = database.execute("SELECT spent, (SELECT sum(cost) FROM attempts) FROM totals").fetchone() or (None, 0)
    if spent != (of_attempts or 0):
        found.append(f"totals: {spent} picodollars were spent, and the attempts cost {of_attempts or 0}")
    return found
