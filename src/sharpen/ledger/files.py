"""Files that are either whole and durable, or not there: temporary name, fsync, rename, fsync of the directory."""

from __future__ import annotations

import contextlib
import hashlib
import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

from sharpen.errors import CapacityError, DamagedError, LedgerError

__all__ = ["file_digest", "folder_digest", "remove_leftovers", "sync_directory", "write_file", "write_folder"]

_TEMPORARY = ".writing-"


def write_file(path: Path, content: bytes) -> str:
    """Write a file that survives a power cut once this returns; its SHA-256 as hex digits.

    Raises:
        CapacityError: the disk is full.
        LedgerError: the disk refuses to write.
    """
    with _world_errors(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary = path.with_name(f"{_TEMPORARY}{path.name}")
        with temporary.open("wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
        sync_directory(path.parent)
    return hashlib.sha256(content).hexdigest()


def write_folder(path: Path, fill: Callable[[Path], None]) -> str:
    """Let `fill` write files into a new folder, make all durable, then give it its name; the folder's digest.

    Raises:
        CapacityError: the disk is full.
        LedgerError: the disk refuses to write.
    """
    with _world_errors(path):
        temporary = path.with_name(f"{_TEMPORARY}{path.name}")
        shutil.rmtree(temporary, ignore_errors=True)
        temporary.mkdir(parents=True)
        fill(temporary)
        for file in sorted(temporary.iterdir()):
            descriptor = os.open(file, os.O_RDONLY)
            try:
                os.fsync(descriptor)
            finally:
                os.close(descriptor)
        sync_directory(temporary)
        if path.exists():
            shutil.rmtree(path)
        os.replace(temporary, path)
        sync_directory(path.parent)
    return folder_digest(path)


def sync_directory(folder: Path) -> None:
    """Make the folder's list of names durable."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def file_digest(path: Path) -> str:
    """SHA-256 of a file as hex digits.

    Raises:
        DamagedError: the file is gone.
    """
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except FileNotFoundError as error:
        raise DamagedError(f"{path} is named in the ledger but is gone") from error


def folder_digest(path: Path) -> str:
    """SHA-256 over the names and contents of a folder's files.

    Raises:
        DamagedError: the folder is gone.
    """
    if not path.is_dir():
        raise DamagedError(f"{path} is named in the ledger but is gone")
    lines = [f"{file.name} {file_digest(file)}\n" for file in sorted(path.iterdir())]
    return hashlib.sha256("".join(lines).encode()).hexdigest()


def remove_leftovers(folder: Path) -> int:
    """Delete what a killed process was writing; how many things that were."""
    found = list(folder.rglob(f"{_TEMPORARY}*"))
    for path in found:
        if path.is_dir():
            shutil.rmtree(path, ignore_errors=True)
        else:
            path.unlink(missing_ok=True)
    return len(found)


@contextlib.contextmanager
def _world_errors(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        if error.errno in (28, 122):  # ENOSPC, EDQUOT
            raise CapacityError(f"no space left to write {path}; free some and run the same command again") from error
        raise LedgerError(f"cannot write {path}: {error.strerror}; nothing after this point is recorded") from error
