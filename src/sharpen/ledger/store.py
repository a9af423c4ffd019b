"""One run directory: SQLite rows chained by digest, large values in files beside it, one writer at a time.

A row is written only after the files that it names are durable. Rows are never changed: a damaged or pruned value is withdrawn
by a later row, and what depended on it is made again.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import shutil
import sqlite3
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sharpen.digest import canonical
from sharpen.errors import CapacityError, DamagedError, LedgerError, RunBusyError
from sharpen.ledger import codec, files

__all__ = ["Entry", "Ledger"]

SCHEMA = 1
_GENESIS = "0" * 64


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


class Ledger:
    """A run directory, open for writing (locked) or for reading (no lock)."""

    def __init__(self, folder: Path, *, read_only: bool = False) -> None:
        """Open or create a run directory.

        Raises:
            RunBusyError: another process writes to it.
            LedgerError: it is no run directory, or was written by a newer version.
            DamagedError: a row does not match the chain.
        """
        self.folder, self.read_only = folder, read_only
        self._lock: int | None = None
        if read_only and not (folder / "ledger.sqlite").exists():
            raise LedgerError(
                f"{folder} is no run directory: it has no ledger.sqlite; name the folder that `sharpen run` wrote"
            )
        if not read_only:
            try:
                folder.mkdir(parents=True, exist_ok=True)
            except OSError as error:
                raise LedgerError(f"cannot create the run directory {folder}: {error.strerror}") from error
            self._lock = _locked(folder / "lock")
        try:
            self._connection = _connect(folder / "ledger.sqlite", read_only=read_only)
            self._index: dict[tuple[str, str], Entry] = {}
            self._chain, self._sequence = _GENESIS, 0
            self._load()
        except sqlite3.DatabaseError as error:
            self.close()
            raise _sqlite_error(folder, error) from error
        except BaseException:
            self.close()
            raise
        if not read_only:
            files.remove_leftovers(folder)

    def close(self) -> None:
        """Close the database and give the lock back."""
        if hasattr(self, "_connection"):
            self._connection.close()
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None

    def __enter__(self) -> Ledger:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def get(self, kind: str, key: str) -> Entry | None:
        """The latest standing row of that kind and key."""
        return self._index.get((kind, key))

    def entries(self, kind: str) -> list[Entry]:
        """Standing rows of a kind, oldest first."""
        return [entry for (name, _), entry in self._index.items() if name == kind]

    def put(self, kind: str, key: str, value: Mapping[str, Any], items: Sequence[object] | None = None) -> Entry:
        """Record facts, and values in a Parquet file beside them; durable when this returns.

        Raises:
            CapacityError: the disk is full; nothing was recorded.
            LedgerError: the disk refuses to write; nothing was recorded.
        """
        path = sha256 = None
        if items is not None:
            path = f"{kind}/{key}.parquet"
            sha256 = files.write_file(self.folder / path, codec.encode(items))
        return self._append(kind, key, value, path, sha256)

    def put_folder(self, kind: str, key: str, value: Mapping[str, Any], fill: Callable[[Path], None]) -> Entry:
        """Record a folder that `fill` writes, as a whole.

        Raises:
            CapacityError: the disk is full; nothing was recorded.
            LedgerError: the disk refuses to write; nothing was recorded.
        """
        path = f"{kind}/{key}"
        sha256 = files.write_folder(self.folder / path, fill)
        return self._append(kind, key, value, path, sha256)

    def items(self, entry: Entry) -> list[Any]:  # Any: whatever was put
        """The values of a row's Parquet file.

        Raises:
            DamagedError: the file is gone or does not match its checksum. The row is withdrawn, so the same command makes it again.
        """
        assert entry.path is not None
        path = self.folder / entry.path
        try:
            content = path.read_bytes()
        except OSError as error:
            raise self._damaged(entry, "cannot be read") from error
        if hashlib.sha256(content).hexdigest() != entry.sha256:
            raise self._damaged(entry, "does not match its checksum")
        return codec.decode(content)

    def folder_of(self, entry: Entry) -> Path:
        """The row's folder, its checksum tested.

        Raises:
            DamagedError: it is gone or does not match. The row is withdrawn.
        """
        assert entry.path is not None
        path = self.folder / entry.path
        try:
            intact = files.folder_digest(path) == entry.sha256
        except (DamagedError, OSError) as error:
            raise self._damaged(entry, "cannot be read") from error
        if not intact:
            raise self._damaged(entry, "does not match its checksum")
        return path

    def withdraw(self, entry: Entry, reason: str) -> None:
        """Take a row back, and its file with it; what depends on it will be made again."""
        self._append("withdrawn", f"{entry.kind}:{entry.key}", {"reason": reason}, None, None)
        if entry.path is not None:
            path = self.folder / entry.path
            if path.is_dir():
                shutil.rmtree(path, ignore_errors=True)
            else:
                path.unlink(missing_ok=True)

    def _damaged(self, entry: Entry, what: str) -> DamagedError:
        message = f"{self.folder / str(entry.path)} {what}"
        if self.read_only:
            return DamagedError(f"{message}; run the same `sharpen run` command again to make it anew")
        self.withdraw(entry, message)
        return DamagedError(f"{message}; it was withdrawn and is made again by the same command")

    def _append(self, kind: str, key: str, value: Mapping[str, Any], path: str | None, sha256: str | None) -> Entry:
        if self.read_only:
            raise LedgerError(f"{self.folder} was opened for reading; nothing can be recorded")
        text = canonical(value)
        at = time.time()
        chain = _chained(self._chain, kind, key, text, path, sha256)
        try:
            with self._connection:
                self._connection.execute(
                    "INSERT INTO entry(sequence, kind, key, value, path, sha256, at, chain) VALUES (?,?,?,?,?,?,?,?)",
                    (self._sequence + 1, kind, key, text, path, sha256, at, chain),
                )
        except sqlite3.Error as error:
            raise _sqlite_error(self.folder, error) from error
        self._chain, self._sequence = chain, self._sequence + 1
        entry = Entry(sequence=self._sequence, kind=kind, key=key, value=json.loads(text), path=path, sha256=sha256, at=at)
        self._remember(entry)
        return entry

    def _remember(self, entry: Entry) -> None:
        if entry.kind == "withdrawn":
            kind, _, key = entry.key.partition(":")
            self._index.pop((kind, key), None)
        else:
            self._index.pop((entry.kind, entry.key), None)
            self._index[entry.kind, entry.key] = entry

    def _load(self) -> None:
        version = self._connection.execute("PRAGMA user_version").fetchone()[0]
        if version > SCHEMA:
            raise LedgerError(
                f"{self.folder} was written by a newer version of sharpen (format {version}, this one reads {SCHEMA}); update sharpen"
            )
        for row in self._rows():
            sequence, kind, key, text, path, sha256, at, chain = row
            expected = _chained(self._chain, kind, key, text, path, sha256)
            if chain != expected or sequence != self._sequence + 1:
                raise DamagedError(
                    f"row {sequence} ({kind} {key}) of {self.folder / 'ledger.sqlite'} does not match the digest chain: the database "
                    "was damaged or edited; start a new run directory, or restore this one from a copy"
                )
            self._chain, self._sequence = chain, sequence
            value = json.loads(text)
            self._remember(Entry(sequence=sequence, kind=kind, key=key, value=value, path=path, sha256=sha256, at=at))

    def _rows(self) -> Iterator[tuple[Any, ...]]:  # Any: SQLite columns
        query = "SELECT sequence, kind, key, value, path, sha256, at, chain FROM entry ORDER BY sequence"
        yield from self._connection.execute(query)


def _chained(previous: str, kind: str, key: str, text: str, path: str | None, sha256: str | None) -> str:
    return hashlib.sha256(canonical([previous, kind, key, text, path, sha256]).encode("utf-8", "surrogatepass")).hexdigest()


def _connect(path: Path, *, read_only: bool) -> sqlite3.Connection:
    if read_only:
        return sqlite3.connect(f"file:{path}?mode=ro", uri=True)
    connection = sqlite3.connect(path)
    connection.execute("PRAGMA journal_mode=WAL")
    connection.execute("PRAGMA synchronous=FULL")
    with connection:
        connection.execute(
            "CREATE TABLE IF NOT EXISTS entry(sequence INTEGER PRIMARY KEY, kind TEXT NOT NULL, key TEXT NOT NULL, "
            "value TEXT NOT NULL, path TEXT, sha256 TEXT, at REAL NOT NULL, chain TEXT NOT NULL)"
        )
        if connection.execute("PRAGMA user_version").fetchone()[0] == 0:
            connection.execute(f"PRAGMA user_version={SCHEMA}")
    return connection


def _locked(path: Path) -> int:
    try:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
    except OSError as error:
        raise LedgerError(f"cannot write in {path.parent}: {error.strerror}") from error
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        holder = os.read(descriptor, 100).decode("utf-8", "replace") or "unknown"
        os.close(descriptor)
        raise RunBusyError(
            f"{path.parent} is in use by process {holder}; wait for it, or watch with `sharpen show {path.parent}`"
        ) from error
    os.ftruncate(descriptor, 0)
    os.write(descriptor, str(os.getpid()).encode())
    return descriptor


def _sqlite_error(folder: Path, error: sqlite3.Error) -> Exception:
    text = str(error)
    if "full" in text:
        return CapacityError(f"no space left to record in {folder}; free some and run the same command again")
    if "malformed" in text or "not a database" in text:
        return DamagedError(
            f"{folder / 'ledger.sqlite'} is damaged ({text}); restore it from a copy or start a new run directory"
        )
    return LedgerError(f"cannot record in {folder}: {text}")
