"""Sides in processes of their own, so that memory and threads are theirs alone, asked one at a time."""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import traceback
from collections.abc import Callable
from multiprocessing.connection import Connection
from pathlib import Path
from types import TracebackType
from typing import Any, Generic, Self, TypeVar

__all__ = ["Worker", "WorkerError"]

S = TypeVar("S")
T = TypeVar("T")

_JOIN_S = 20.0


class WorkerError(RuntimeError):
    """What went wrong in a side's process."""


class Worker(Generic[S]):
    """A process that makes one value and answers questions to it."""

    def __init__(self, make: Callable[[], S], log: Path) -> None:
        """Start it.

        Args:
            make: makes the value there; a partial of a class or function of some module.
            log: what the process prints is added to it.
        """
        context = multiprocessing.get_context("spawn")
        self._connection, other = context.Pipe()
        self._process = context.Process(target=_serve, args=(other, make, str(log)), daemon=True)
        self._process.start()
        other.close()

    def ask(self, question: Callable[[S], T], *, limit_s: float | None = None) -> T:
        """What the question, a partial of some module's function, gives for the value there.

        Raises:
            WorkerError: it failed, the process ended, or there is no answer within the limit; then nothing more can be asked.
        """
        try:
            self._connection.send(question)
            if not self._connection.poll(limit_s):
                self._process.kill()
                raise WorkerError(f"no answer within {limit_s:.0f} s")
            failed, answer = self._connection.recv()
        except (EOFError, ConnectionError) as error:
            self._process.join(_JOIN_S)
            raise WorkerError(
                f"the process ended with exit code {self._process.exitcode}; it may have run out of memory"
            ) from error
        if failed:
            raise WorkerError(answer)
        found: T = answer
        return found

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        """End the process."""
        self._connection.close()
        self._process.join(_JOIN_S)
        if self._process.is_alive():
            self._process.kill()
            self._process.join()


def _serve(connection: Connection, make: Callable[[], Any], log: str) -> None:  # Any: whatever is made
    with Path(log).open("a", buffering=1) as file:
        os.dup2(file.fileno(), 1)
        os.dup2(file.fileno(), 2)
    value, made = None, False
    with contextlib.suppress(EOFError):
        while True:
            question = connection.recv()
            try:
                if not made:
                    value, made = make(), True
                connection.send((False, question(value)))
            except Exception as error:  # boundary: the side's failure is the parent's data
                traceback.print_exc()
                connection.send((True, f"{type(error).__name__}: {error}"))
