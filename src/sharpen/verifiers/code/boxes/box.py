"""What a box is: one program that a model wrote, running where it can harm nothing, spoken to over two pipes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, Protocol

__all__ = ["Box", "BoxClosed", "Boxes", "Ending", "Limits"]


class BoxClosed(Exception):
    """The program is gone, so that nothing can be sent to it; `close` tells how it ended."""


@dataclass(frozen=True, kw_only=True)
class Limits:
    """What one program may use; whichever is reached first ends it with all that it started.

    Attributes:
        cpu_seconds: of processor time, of any one of its processes.
        wall_seconds: from start to end, whatever it waits for.
        memory_bytes: resident, of all its processes together; also the address space of each.
        num_processes: processes and threads at one time.
        file_bytes: of one file, and of each of the few places that can be written, which are in memory.
        output_bytes: written to standard output and standard error, each.
    """

    cpu_seconds: int = 3
    wall_seconds: float = 6.0
    memory_bytes: int = 512 << 20
    num_processes: int = 32
    file_bytes: int = 16 << 20
    output_bytes: int = 256 << 10


@dataclass(frozen=True, kw_only=True)
class Ending:
    """How a program ended.

    Attributes:
        kind: `exited` by itself with `code`; out of `timeout` (wall clock or processor), `memory` or `output`; `killed` by a signal
            or by `close` while it still ran; or `could_not_run`, which says nothing about the program.
        code: exit code, minus the signal's number where a signal ended it, or None where there is neither.
        errors: the end of what it wrote to standard error, bounded, as bytes of its choice: never print them unescaped.
        reason: one sentence for people.
    """

    kind: Literal["exited", "timeout", "memory", "output", "killed", "could_not_run"]
    code: int | None
    errors: bytes
    reason: str


class Box(Protocol):
    """One running program in a sandbox."""

    def send(self, data: bytes) -> None:
        """Write to the program's standard input.

        Raises:
            BoxClosed: the program is gone, or does not read within its wall-clock limit.
        """
        ...

    def receive(self, size: int, seconds: float) -> bytes:
        """Up to `size` bytes of the program's standard output as soon as there are any; `b""` at its end.

        Raises:
            TimeoutError: nothing came within `seconds`.
        """
        ...

    def close(self) -> Ending:
        """Kill what is left of the program and wait until nothing is left; the same value when called again."""
        ...


class Boxes(Protocol):
    """One way to make boxes.

    Attributes:
        name: of the tier: `bwrap`, `warm`.
    """

    name: str

    def open(self, program: str, limits: Limits) -> Box:
        """CPython started on the source text `program`, alone in a new box, with pipes for standard input and output."""
        ...

    def close(self) -> None:
        """End all boxes that are open, and what was kept to make new ones."""
        ...
