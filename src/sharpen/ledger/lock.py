"""One writer at a time: a file lock that the kernel gives back when its process ends, however it ends."""

from __future__ import annotations

import contextlib
import fcntl
import os
import socket
from pathlib import Path

from sharpen.errors import LedgerError, RunBusyError
from sharpen.ledger.files import world_errors

__all__ = ["locked"]


def locked(path: Path) -> int:
    """A descriptor that holds the lock until it is closed. The process id in the file is for people: it decides nothing.

    Raises:
        RunBusyError: another process holds it.
        LedgerError: the folder cannot be written to, or its disk has no locks.
    """
    while True:
        with world_errors(path):
            descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
        try:
            _take(descriptor, path)
            if _is_at(descriptor, path):
                with contextlib.suppress(OSError):  # a full disk must not bar the way to what is there
                    os.ftruncate(descriptor, 0)
                    os.pwrite(descriptor, f"{os.getpid()} on {socket.gethostname()}".encode(), 0)
                return descriptor
        except BaseException:
            os.close(descriptor)
            raise
        os.close(descriptor)  # somebody deleted the file between our opening and locking it


def _take(descriptor: int, path: Path) -> None:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        holder = os.pread(descriptor, 200, 0).decode("utf-8", "replace") or "that has only just started"
        raise RunBusyError(
            f"{path.parent} is in use by process {holder}; wait for it, or watch with `sharpen show {path.parent}`"
        ) from error
    except OSError as error:
        raise LedgerError(
            f"the disk of {path.parent} cannot lock files ({error.strerror}); put the run directory on a local disk"
        ) from error


def _is_at(descriptor: int, path: Path) -> bool:
    with contextlib.suppress(FileNotFoundError):
        return os.path.samestat(os.fstat(descriptor), path.stat())
    return False
