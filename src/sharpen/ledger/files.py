"""Files that are either whole and durable, or not there: temporary name, fsync, rename, fsync of the directory.

A name is durable only when the folder that holds it has been synced, so every new folder is synced into its parent too. A file is
never written over one that a row names; deleting comes after the row that takes the name back, and is done again at the next
opening if a kill came between.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

from sharpen.errors import CapacityError, DamagedError, LedgerError

__all__ = [
    "Draft",
    "file_digest",
    "folder_digest",
    "make_folder",
    "move",
    "remove",
    "remove_leftovers",
    "sync",
    "world_errors",
    "write_file",
    "write_folder",
]

_TEMPORARY = ".writing-"
_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


class Draft:
    """A file in the making, under a temporary name in a folder that exists, until `finish`.

    Every method raises CapacityError where the disk is full, and LedgerError where it refuses to write.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._temporary = path.with_name(f"{_TEMPORARY}{path.name}")
        self._hash = hashlib.sha256()
        with world_errors(path):
            self._file = self._temporary.open("wb")

    def write(self, content: bytes) -> None:
        """Add to the end."""
        self._hash.update(content)
        with world_errors(self._path):
            self._file.write(content)

    def finish(self) -> str:
        """Give the file its name; its SHA-256 as hex digits. It survives a power cut once this returns."""
        with world_errors(self._path):
            self._file.flush()
            os.fsync(self._file.fileno())
            self._file.close()
            move(self._temporary, self._path)
        return self._hash.hexdigest()

    def discard(self) -> None:
        """Close and delete what was written, as far as the disk lets us; the next opening deletes what is left."""
        with contextlib.suppress(OSError):
            self._file.close()
        with contextlib.suppress(OSError):
            self._temporary.unlink(missing_ok=True)


def write_file(path: Path, content: bytes) -> str:
    """Write a file that survives a power cut once this returns; its SHA-256 as hex digits.

    Its folder must exist.

    Raises:
        CapacityError: the disk is full.
        LedgerError: the disk refuses to write.
    """
    draft = Draft(path)
    try:
        draft.write(content)
        return draft.finish()
    except BaseException:
        draft.discard()
        raise


def write_folder(path: Path, fill: Callable[[Path], None]) -> str:
    """Let `fill` write files into a new folder, make all durable, then give it its name; the folder's digest.

    What lies at `path` is deleted first: give a path that no row names.

    Raises:
        CapacityError: the disk is full.
        LedgerError: the disk refuses to write.
    """
    with world_errors(path):
        temporary = path.with_name(f"{_TEMPORARY}{path.name}")
        remove(temporary)
        temporary.mkdir()
        fill(temporary)
        for one in sorted(temporary.rglob("*")):
            sync(one)
        sync(temporary)
        remove(path)
        move(temporary, path)
        return folder_digest(path)


def make_folder(path: Path) -> None:
    """Make a folder, with those above it, whose names survive a power cut once this returns.

    Raises:
        CapacityError: the disk is full.
        LedgerError: the disk refuses to write.
    """
    if path.is_dir():
        return
    make_folder(path.parent)
    with world_errors(path):
        path.mkdir(exist_ok=True)
        sync(path.parent)


def move(source: Path, target: Path) -> None:
    """Rename within one folder, durably. What `target` was is replaced at once."""
    os.replace(source, target)
    sync(target.parent)


def sync(path: Path) -> None:
    """Make a file's bytes, or a folder's list of names, durable."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def remove(path: Path) -> None:
    """Delete a file or folder, if it is there."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def remove_leftovers(folder: Path) -> None:
    """Delete what a killed process was writing in a run directory or in a folder directly below it."""
    for pattern in (f"{_TEMPORARY}*", f"*/{_TEMPORARY}*"):
        for path in list(folder.glob(pattern)):
            with world_errors(path):
                remove(path)


def file_digest(path: Path) -> str:
    """SHA-256 of a file as hex digits.

    Raises:
        DamagedError: the file cannot be read.
    """
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise DamagedError(f"{path} cannot be read: {error.strerror}") from error


def folder_digest(path: Path) -> str:
    """SHA-256 over the names and contents of a folder's files. Names that begin with a dot are other programs' and left out.

    Raises:
        DamagedError: the folder is gone, or a file of it cannot be read.
    """
    if not path.is_dir():
        raise DamagedError(f"{path} is gone")
    found = (file.relative_to(path) for file in path.rglob("*") if file.is_file())
    names = sorted(name.as_posix() for name in found if not any(part.startswith(".") for part in name.parts))
    lines = [f"{name} {file_digest(path / name)}\n" for name in names]
    return hashlib.sha256("".join(lines).encode("utf-8", "surrogateescape")).hexdigest()


@contextlib.contextmanager
def world_errors(path: Path) -> Iterator[None]:
    """Tell what the disk refuses as a `SharpenError`."""
    try:
        yield
    except OSError as error:
        if error.errno in _FULL:
            raise CapacityError(f"no space left to write {path}; free some and run the same command again") from error
        raise LedgerError(f"cannot write {path}: {error.strerror or error}; nothing after this point is recorded") from error
