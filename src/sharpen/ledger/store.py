"""One run directory: SQLite rows chained by digest, large values in files beside it, one writer at a time.

A row is written only after the files that it names are durable. Rows are never changed: a damaged or pruned value is withdrawn
by a later row, after which its files go, and what depended on it is made again. After a write that failed, nothing more is
believed: the ledger refuses until it is opened again.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import re
from bisect import bisect_right
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from itertools import accumulate
from pathlib import Path
from typing import Any

from sharpen.errors import CapacityError, DamagedError, LedgerError
from sharpen.ledger import codec, files
from sharpen.ledger.codec import Contents, Piece
from sharpen.ledger.database import DATABASE, DamagedDatabaseError, check_format, has_log, reading
from sharpen.ledger.lock import locked
from sharpen.ledger.pieces import Pieces
from sharpen.ledger.rows import Entry, Rows, read_head, read_rows
from sharpen.ledger.salvage import finish_salvage, salvage
from sharpen.ledger.seal import SEAL, read_seal, write_seal
from sharpen.sequences import Lazy

__all__ = ["Entry", "Ledger"]

_WITHDRAWN = "withdrawn"
_FILE_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]*")


def _quiet(sentence: str) -> None:
    """Nobody listens."""


class Ledger:
    """A run directory, open for writing (locked) or for reading (no lock)."""

    def __init__(self, folder: Path, *, read_only: bool = False, tell: Callable[[str], None] = _quiet) -> None:
        """Open or create a run directory. A reader sees the rows that stood when it opened, beside a writer too.

        Args:
            folder: the run directory.
            read_only: read a run that another process may be writing.
            tell: called with each sentence about damage found and repaired; the ledger records them as notes.

        Raises:
            RunBusyError: another process writes to it.
            LedgerError: it is no run directory, or was written by a newer version.
            DamagedError: the database is damaged, and was opened for reading; a writer repairs it and records a note.
            CapacityError: the disk is full.
        """
        self.folder, self.read_only = folder, read_only
        self._tell = tell
        self._refusal: str | None = None
        self._index: dict[tuple[str, str], Entry] = {}
        self._dropped: set[str] = set()
        self._rows: Rows | None = None
        self._lock: int | None = None
        self._pieces = Pieces(folder)
        if read_only:
            try:
                self._remember_all(_read(folder))
            except OSError as error:
                raise LedgerError(f"cannot read {folder}: {error.strerror}") from error
            return
        files.make_folder(folder)
        self._lock = locked(folder / "lock")
        try:
            files.remove_leftovers(folder)
            self._rows = self._sound_rows()
            self._remember_all(self._rows.entries)
            self._remove(self._dropped)
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        """Close the database and give the lock back."""
        rows, self._rows = self._rows, None
        lock, self._lock = self._lock, None
        try:
            if rows is not None:
                rows.close()
        finally:
            if lock is not None:
                os.close(lock)

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

    @property
    def standing(self) -> Sequence[Entry]:
        """All standing rows, oldest first."""
        return sorted(self._index.values(), key=lambda entry: entry.sequence)

    def damage(self) -> list[str]:
        """What of the seal and of the files that standing rows name is not as it was written, a sentence each; every byte is read."""
        found = []
        if (self.folder / SEAL).exists() and read_seal(self.folder) is None:
            found.append(
                f"{self.folder / SEAL} does not match its checksum; the rows are whole, and the next round's end seals them again"
            )
        for entry in self.standing:
            if entry.path is None:
                continue
            path = self.folder / entry.path
            if not path.exists():
                found.append(f"{path} is gone")
                continue
            try:
                digest = files.folder_digest(path) if path.is_dir() else files.file_digest(path)
            except DamagedError as error:
                found.append(str(error))
            else:
                found += [f"{path} does not match its checksum"] if digest != entry.sha256 else []
        return found

    def put(self, kind: str, key: str, value: Mapping[str, Any], items: Sequence[object] | None = None) -> Entry:
        """Record facts, and values in a Parquet file beside them; durable when this returns.

        Raises:
            CapacityError: the disk is full; nothing was recorded.
            LedgerError: the disk refuses to write, or refused before; nothing was recorded.
        """
        if items is None:
            return self._append(kind, key, value, None, None)
        encoder = codec.Encoder()
        pieces = list(encoder.pieces(items))
        with self._writing():
            path = self._free_path(kind, key, ".parquet")
            sha256 = files.write_file(self.folder / path, encoder.taken())
        for number, piece in enumerate(pieces):
            self._pieces.keep(path, number, piece)
        return self._append(kind, key, value, path, sha256)

    def put_made(self, kind: str, key: str, items: Iterable[object], facts: Callable[[Contents], Mapping[str, Any]]) -> Entry:
        """Record values as they are made, a piece in memory at a time, and facts about them; durable when this returns.

        Args:
            items: asked for one after the other; other rows may be recorded meanwhile. What they raise leaves no row.
            facts: the row's, once all values are known.

        Raises:
            CapacityError: the disk is full; nothing was recorded.
            LedgerError: the disk refuses to write, or refused before; nothing was recorded.
        """
        encoder = codec.Encoder()
        with self._writing():
            path = self._free_path(kind, key, ".parquet")
            draft = files.Draft(self.folder / path)
        try:
            for number, piece in enumerate(encoder.pieces(items)):
                self._pieces.keep(path, number, piece)
                with self._writing():
                    draft.write(encoder.taken())
            with self._writing():
                draft.write(encoder.taken())
                sha256 = draft.finish()
        except BaseException:
            draft.discard()
            raise
        return self._append(kind, key, facts(encoder.contents), path, sha256)

    def put_folder(self, kind: str, key: str, value: Mapping[str, Any], fill: Callable[[Path], None]) -> Entry:
        """Record a folder that `fill` writes, as a whole.

        Raises:
            CapacityError: the disk is full; nothing was recorded.
            LedgerError: the disk refuses to write, or refused before; nothing was recorded.
        """
        with self._writing():
            path = self._free_path(kind, key, "")
            sha256 = files.write_folder(self.folder / path, fill)
        return self._append(kind, key, value, path, sha256)

    def items(self, entry: Entry) -> list[Any]:  # Any: whatever was put
        """The values of a row's Parquet file.

        Raises:
            DamagedError: the file is gone, does not match its checksum, or holds what this version cannot read. The row is withdrawn
                and a note recorded, so the same command makes it again.
        """
        return [value for piece in self._pieces_of(entry) for value in piece.values]

    def check(self, entry: Entry) -> None:
        """Read a row's Parquet file to its end, a piece in memory at a time.

        Raises:
            DamagedError: as in `items`.
        """
        for number, piece in enumerate(self._pieces_of(entry)):
            self._pieces.keep(str(entry.path), number, piece)

    def sequence(self, entries: Sequence[Entry]) -> Sequence[Any]:  # Any: whatever was put
        """The values of these rows' files, one row's after another's, read from disk when they are asked for.

        What another process wrote is checked before (`check`). A file that is lost or changed after that raises DamagedError when it
        is asked for, and its row is withdrawn.
        """
        places = [(entry, number, length) for entry in entries for number, length in enumerate(self._lengths(entry))]
        ends = list(accumulate(length for _, _, length in places))

        def value(place: int) -> Any:  # Any: as above
            at = bisect_right(ends, place)
            entry, number, length = places[at]
            try:
                values = self._pieces.values(str(entry.path), number)
            except DamagedError as error:
                raise self._damaged(entry, f"cannot be read any more ({error})") from error
            return values[place - ends[at] + length]

        return Lazy(ends[-1] if ends else 0, value)

    def _lengths(self, entry: Entry) -> Sequence[int]:
        try:
            return self._pieces.lengths(str(entry.path))
        except DamagedError as error:
            raise self._damaged(entry, f"cannot be read any more ({error})") from error

    def _pieces_of(self, entry: Entry) -> Iterator[Piece]:
        assert entry.path is not None
        path = self.folder / entry.path
        try:
            with path.open("rb") as file:
                found = hashlib.file_digest(file, "sha256").hexdigest()
        except OSError as error:
            raise self._damaged(entry, f"cannot be read ({error.strerror})") from error
        if found != entry.sha256:
            raise self._damaged(entry, "does not match its checksum")
        try:
            yield from codec.pieces_of(str(path))
        except DamagedError as error:
            raise self._damaged(entry, f"holds what this version cannot read ({error})") from error

    def folder_of(self, entry: Entry) -> Path:
        """The row's folder, its checksum tested.

        Raises:
            DamagedError: it is gone or does not match. The row is withdrawn and a note recorded.
        """
        assert entry.path is not None
        path = self.folder / entry.path
        try:
            intact = files.folder_digest(path) == entry.sha256
        except DamagedError as error:
            raise self._damaged(entry, "is gone or cannot be read") from error
        if not intact:
            raise self._damaged(entry, "does not match its checksum")
        return path

    def withdraw(self, entry: Entry, reason: str) -> None:
        """Take a row back, and its file with it; what depends on it will be made again."""
        self._append(_WITHDRAWN, f"{entry.kind}:{entry.key}", {"reason": reason}, None, None)

    def seal(self) -> None:
        """Write down, durably, which rows stand now: if one of them is lost later, or all are replaced, that is found.

        Raises:
            CapacityError: the disk is full.
            LedgerError: the disk refuses to write, or refused before.
        """
        with self._writing() as rows:
            if read_seal(self.folder) != rows.end:
                write_seal(self.folder, rows.end)

    def _damaged(self, entry: Entry, what: str) -> DamagedError:
        message = f"{self.folder / str(entry.path)} {what}"
        if self.read_only:
            return DamagedError(f"{message}; run the same `sharpen run` command again to make it anew")
        note = f"{entry.path} {what}: it is withdrawn, and made again where it is needed"
        self._append("note", f"damaged {entry.sequence}", {"message": note}, None, None)
        self._tell(note)
        self.withdraw(entry, what)
        return DamagedError(f"{message}; it was withdrawn and is made again by the same command")

    def _sound_rows(self) -> Rows:
        finish_salvage(self.folder)
        try:
            return Rows(self.folder)
        except DamagedDatabaseError as error:
            self._tell(salvage(self.folder, error.what))
        return Rows(self.folder)

    def _append(self, kind: str, key: str, value: Mapping[str, Any], path: str | None, sha256: str | None) -> Entry:
        with self._writing() as rows:
            entry = rows.append(kind, key, value, path, sha256)
        self._remember(entry)
        self._remove(self._dropped)
        return entry

    @contextlib.contextmanager
    def _writing(self) -> Iterator[Rows]:
        """Refuse after the first failure: what a disk says after an error proves nothing."""
        if self.read_only:
            raise LedgerError(f"{self.folder} was opened for reading; nothing can be recorded")
        if self._rows is None:
            raise LedgerError(f"{self.folder} was closed; nothing can be recorded")
        if self._refusal is not None:
            raise LedgerError(
                f"{self.folder} records nothing more since a write failed ({self._refusal}); run the command again"
            )
        try:
            self._rows.check_place()
            yield self._rows
        except (LedgerError, CapacityError) as error:
            self._refusal = str(error)
            raise
        except KeyboardInterrupt:
            self._refusal = "it was interrupted"
            raise

    def _free_path(self, kind: str, key: str, suffix: str) -> str:
        """Where a value goes: never where a standing row's lies, so that a kill half-way leaves that one whole."""
        if not _FILE_NAME.fullmatch(key):
            raise ValueError(f"key {key!r} cannot name a file; use letters, digits, '_', '-' and '.'")
        files.make_folder(self.folder / kind)
        standing = self.get(kind, key)
        path = f"{kind}/{key}{suffix}"
        if standing is None or standing.path != path:
            return path
        return f"{kind}/{key}-{standing.sequence}{suffix}"

    def _remember(self, entry: Entry) -> None:
        place = (entry.kind, entry.key)
        if entry.kind == _WITHDRAWN:
            kind, _, key = entry.key.partition(":")
            place = (kind, key)
        before = self._index.pop(place, None)
        if before is not None and before.path is not None:
            self._dropped.add(before.path)
        if entry.kind != _WITHDRAWN:
            self._index[place] = entry
        if entry.path is not None:
            self._dropped.discard(entry.path)

    def _remember_all(self, entries: Sequence[Entry]) -> None:
        for entry in entries:
            self._remember(entry)

    def _remove(self, paths: set[str]) -> None:
        """Delete what no row names any more; what cannot be deleted now is tried again at the next opening."""
        for path in sorted(paths):
            with contextlib.suppress(OSError):
                files.remove(self.folder / path)
        paths.clear()


def _read(folder: Path) -> list[Entry]:
    """All rows of a run directory, read without a lock."""
    if not (folder / DATABASE).exists():
        raise LedgerError(f"{folder} is no run directory: it has no {DATABASE}; name the folder that `sharpen run` wrote")
    while True:
        quiet = not has_log(folder)
        try:
            entries = _read_once(folder)
        except DamagedError:
            if not quiet or not has_log(folder):
                raise
        else:
            if not quiet or not has_log(folder):
                return entries
        # a writer came while nothing was to change: what was read may be half of one state and half of another


def _read_once(folder: Path) -> list[Entry]:
    head, seal = read_head(folder), read_seal(folder)  # before the rows, of which a writer may add more meanwhile
    with reading(folder) as connection:
        if not check_format(connection, folder, head.schema if head else None) and head is None:
            return []  # a writer has only just created it
        return read_rows(connection, folder, head, seal)[0]
