"""The processes that live a ledger's life, one a job that is read from standard input; run under the recorder.

Each marks what it begins and what it was told is done: by deeds (`deeds.py`), or by rows of a small real run (`small_run.py`). A mutant
breaks one rule of the ledger, so that the tests can show that they would notice.
"""

from __future__ import annotations

import ctypes
import dataclasses
import json
import os
import sqlite3
import stat
import sys
import tempfile
import traceback
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from tests.faults.deeds import LIFE, do, state_of, states
from tests.faults.recording import Ended, Job

from sharpen.errors import SharpenError
from sharpen.ledger import Entry, Ledger, codec, database, files, rows
from sharpen.types import user

_RECORDER = ctypes.CDLL(None)


def main() -> None:
    codec.decode(codec.encode([user("x")]))  # loads what it needs once, before the forks
    json.dump([dataclasses.asdict(lived(Job(**job))) for job in json.load(sys.stdin)], sys.stdout)


def lived(job: Job) -> Ended:
    """How a job's process ended, which is a fork of this one."""
    with tempfile.TemporaryFile("w+") as said:
        child = os.fork()
        if not child:
            os.dup2(said.fileno(), 2)
            _run(job)
        _, status = os.waitpid(child, 0)
        said.seek(0)
        return Ended(status=os.waitstatus_to_exitcode(status), said=said.read())


def _run(job: Job) -> None:
    try:
        MUTANTS[job.mutant]()
        record(job.root, job.log)
        _RECORDER.recorder_arm(ctypes.c_long(job.operation), job.error)
        if job.subject == "run":
            _run_on(Path(job.folder))
        elif job.error:
            _live_on_a_failing_disk(Path(job.folder))
        else:
            _live(Path(job.folder), job.first)
    except BaseException:
        traceback.print_exc()
        os._exit(1)
    os._exit(0)  # the database stays open: nothing is tidied up


def _mark(**facts: object) -> None:
    _RECORDER.recorder_mark(json.dumps(facts).encode())


def record(root: str, log: str) -> None:
    """Let the recorder see what this process does below `root` from now on."""
    assert _RECORDER.recorder_start(root.encode(), log.encode()) == 0


def arm(operation: int) -> None:
    """Let this process be killed at that operation of the disk, counted from 1."""
    _RECORDER.recorder_arm(ctypes.c_long(operation), 0)


def num_operations() -> int:
    """Operations of the disk that this process has done so far."""
    return int(_RECORDER.recorder_count())


def tell_rows(told: Callable[[int], None]) -> None:
    """Call `told` with the number of rows each time that the ledger has said that a row is on file, or has been opened."""
    open_rows, append = rows.Rows.__init__, rows.Rows.append

    def opened(self: rows.Rows, folder: Path) -> None:
        open_rows(self, folder)
        told(self._sequence)

    def appended(self: rows.Rows, *facts: Any) -> Entry:
        entry = append(self, *facts)
        told(self._sequence)
        return entry

    rows.Rows.__init__, rows.Rows.append = opened, appended


def _run_on(folder: Path) -> None:
    from tests.faults.small_run import live  # imports torch

    tell_rows(lambda count: _mark(rows=count))
    live(folder)


def _live(folder: Path, first: int) -> None:
    _mark(begin=first)
    ledger = Ledger(folder)
    first += state_of(ledger) != list(states())[first]  # the deed that a kill cut short may have come to its end
    _mark(done=first - 1)
    for number, deed in enumerate(LIFE[first:], start=first):
        _mark(begin=number)
        if deed.what == "reopen":
            ledger.close()
            ledger = Ledger(folder)
        else:
            do(ledger, deed)
        _mark(done=number)
    _mark(operations=num_operations())


def _live_on_a_failing_disk(folder: Path) -> None:
    """One operation fails: the ledger says so and refuses all else; opened again, it holds what was done, and life goes on."""
    known = list(states())
    ledger = None
    number = 0
    while number < len(LIFE):
        deed = LIFE[number]
        try:
            if ledger is None or deed.what == "reopen":
                if ledger is not None:
                    ledger.close()
                ledger = None
                ledger = Ledger(folder)
                assert state_of(ledger) in known[number : number + 2]
            if deed.what != "reopen":
                do(ledger, deed)
        except SharpenError as error:
            _mark(failed=str(error), kind=type(error).__name__)
            if ledger is not None:
                _expect_refusal(ledger)
                ledger.close()
            ledger = Ledger(folder)
            held = state_of(ledger)
            assert held in known[number : number + 2], (number, held)
            number += held != known[number]
            continue
        number += 1
    assert state_of(ledger) == known[-1]


def _expect_refusal(ledger: Ledger) -> None:
    for write in (lambda: ledger.put("more", "m", {}), lambda: ledger.put("more", "m", {}, [user("x")])):
        try:
            write()
        except SharpenError:
            continue
        raise AssertionError("the ledger wrote on after a write had failed")


def _nothing() -> None:
    """The program as it is."""


def _no_file_sync() -> None:
    _replace_sync(lambda mode: not stat.S_ISREG(mode))


def _no_folder_sync() -> None:
    _replace_sync(lambda mode: not stat.S_ISDIR(mode))


def _replace_sync(kept: Callable[[int], bool]) -> None:
    real = os.fsync

    def fsync(descriptor: int) -> None:
        if kept(os.fstat(descriptor).st_mode):
            real(descriptor)

    os.fsync = fsync


def _row_before_file() -> None:
    real = Ledger._append
    waiting: list[Callable[[], object]] = []

    def write_file(path: Path, content: bytes) -> str:
        waiting.append(lambda: real_write(path, content))
        return files.hashlib.sha256(content).hexdigest()

    def append(self: Ledger, *facts: Any) -> Entry:
        entry = real(self, *facts)
        while waiting:
            waiting.pop()()
        return entry

    real_write, files.write_file, Ledger._append = files.write_file, write_file, append


def _unsynchronised() -> None:
    _replace_sql("PRAGMA synchronous=FULL", "PRAGMA synchronous=OFF")


def _believes_what_it_reads() -> None:
    _replace_sql("PRAGMA wal_checkpoint(TRUNCATE)", "SELECT 0")


def _replace_sql(old: str, new: str) -> None:
    class Connection(sqlite3.Connection):
        def execute(self, sql: str, *parameters: Any) -> sqlite3.Cursor:
            return super().execute(new if sql == old else sql, *parameters)

    real = sqlite3.connect
    database.sqlite3.connect = lambda *given, **named: real(*given, **named, factory=Connection)


def _file_before_row() -> None:
    real = Ledger.withdraw

    def withdraw(self: Ledger, entry: Entry, reason: str) -> None:
        files.remove(self.folder / str(entry.path))
        real(self, entry, reason)

    Ledger.withdraw = withdraw


def _writes_over_a_standing_file() -> None:
    Ledger._free_path = lambda self, kind, key, suffix: (files.make_folder(self.folder / kind), f"{kind}/{key}{suffix}")[1]


def _head_before_row() -> None:
    real = rows.Rows.append

    def append(self: rows.Rows, *facts: Any) -> Entry:
        os.pwrite(self._head, rows._head_line(self._sequence + 1).encode(), 0)
        return real(self, *facts)

    rows.Rows.append = append


MUTANTS: Mapping[str, Callable[[], None]] = {
    "none": _nothing,
    "no file sync": _no_file_sync,
    "no folder sync": _no_folder_sync,
    "row before file": _row_before_file,
    "synchronous off": _unsynchronised,
    "believes what it reads": _believes_what_it_reads,
    "file before row": _file_before_row,
    "writes over a standing file": _writes_over_a_standing_file,
    "head before row": _head_before_row,
}

if __name__ == "__main__":
    main()
