"""A damaged database: every row that proves itself is kept, the damaged files are set aside, and a note says so.

A row that the chain proves against the row before it is as it was written, whatever became of others. What is missing is made
again by the run, whose results depend on nothing but their keys.
"""

from __future__ import annotations

import contextlib
import sqlite3
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from sharpen.digest import canonical
from sharpen.errors import DamagedError
from sharpen.ledger import files
from sharpen.ledger.database import DATABASE, FAULTS, copy_database, create_table, reading
from sharpen.ledger.rows import GENESIS, HEAD, INSERT, SELECT, Row, chained, proves, read_head
from sharpen.ledger.seal import SEAL

__all__ = ["finish_salvage", "salvage"]

_SALVAGED = "salvaged.sqlite"
_PAGE = 4096  # bytes, SQLite's own default


def salvage(folder: Path, what: str) -> str:
    """Put a sound database in the place of the damaged one; the sentence that is recorded in it.

    A kill at any moment leaves the damaged database, or the sound one beside it: `finish_salvage` goes on from there.

    Raises:
        CapacityError: the disk is full.
        LedgerError: the disk refuses to write.
    """
    home = folder / "damaged"
    files.make_folder(home)
    aside = home / str(1 + sum(1 for _ in home.iterdir()))
    files.write_folder(aside, lambda target: copy_database(folder, target))
    kept = max(_proven(folder, aside), _under_new_schema(folder, aside), key=len)
    place = aside.relative_to(folder).as_posix()
    note = (
        f"{what}: {len(kept)} rows prove themselves and are kept, what is missing is made again; {place} holds the old database"
    )
    sound = folder / f".writing-{_SALVAGED}"
    with files.world_errors(sound):
        files.remove(sound)
        _build(sound, [*kept, (0, "note", f"salvage {place}", canonical({"message": note}), None, None, time.time())])
        files.sync(sound)
        files.move(sound, folder / _SALVAGED)
    finish_salvage(folder)
    return note


def finish_salvage(folder: Path) -> None:
    """Give a sound database its name. The old log must be gone for good before: SQLite would apply it to any database.

    Raises:
        LedgerError: the disk refuses to write.
    """
    if not (folder / _SALVAGED).exists():
        return
    with files.world_errors(folder):
        for name in (HEAD, SEAL, f"{DATABASE}-wal", f"{DATABASE}-shm"):
            files.remove(folder / name)
        files.sync(folder)
        files.move(folder / _SALVAGED, folder / DATABASE)


def _proven(folder: Path, aside: Path) -> list[Row]:
    """Rows that follow from the row before them, as read one by one from the copy."""
    head = read_head(folder)
    kept: list[Row] = []
    with contextlib.suppress(DamagedError), reading(aside) as connection:
        link: object = GENESIS
        for sequence in range(1, max(head.count if head else 0, _last(connection)) + 1):
            try:
                row = connection.execute(f"{SELECT} WHERE sequence = ?", (sequence,)).fetchone()
            except FAULTS:
                row = None
            if row is not None and isinstance(link, str) and proves(link, row):
                kept.append(row)
            link = row[-1] if row is not None else None
    return kept


def _under_new_schema(folder: Path, aside: Path) -> list[Row]:
    """Proven rows where what is damaged is the first page, which says what table there is: every database of ours begins alike."""
    with files.world_errors(folder), tempfile.TemporaryDirectory(prefix=".writing-", dir=folder) as place:
        scratch = Path(place)
        copy_database(aside, scratch)
        if not (scratch / DATABASE).exists():
            return []
        _build(scratch / "new", ())
        page = bytearray((scratch / "new").read_bytes()[:_PAGE])
        page[28:32] = bytes(4)  # the number of pages is not known: SQLite goes by the file's size
        with (scratch / DATABASE).open("r+b") as file:
            file.write(page)
        return _proven(folder, scratch)


def _last(connection: sqlite3.Connection) -> int:
    with contextlib.suppress(*FAULTS):
        return int(connection.execute("SELECT max(sequence) FROM entry").fetchone()[0] or 0)
    return 0


def _build(path: Path, rows: Sequence[Row]) -> None:
    """A database of these rows, numbered and chained anew."""
    connection = sqlite3.connect(path, isolation_level=None)
    try:
        create_table(connection)
        link = GENESIS
        connection.execute("BEGIN")
        for sequence, row in enumerate(rows, start=1):
            link = chained(link, *row[1:7])
            connection.execute(INSERT, (sequence, *row[1:7], link))
        connection.execute("COMMIT")
    finally:
        connection.close()
