"""What stood when a round ended: how many rows, and the digest chain's link there, durable in a file of its own.

A chain does not tell that its last rows are gone, nor that another run's whole database lies in its place. `head` counts rows too, but
nobody waits for the disk to write it.
"""

from __future__ import annotations

import contextlib
import hashlib
from dataclasses import dataclass
from pathlib import Path

from sharpen.ledger.files import write_file

__all__ = ["SEAL", "Seal", "read_seal", "write_seal"]

SEAL = "seal"


@dataclass(frozen=True, kw_only=True)
class Seal:
    """The last row that was sealed: its number, and its link."""

    count: int
    link: str


def write_seal(folder: Path, seal: Seal) -> None:
    """Replace a run directory's seal; it survives a power cut once this returns.

    Raises:
        CapacityError: the disk is full.
        LedgerError: the disk refuses to write.
    """
    write_file(folder / SEAL, _line(seal).encode())


def read_seal(folder: Path) -> Seal | None:
    """The seal; None where there is none, or where it does not prove itself: it is replaced as a whole, so that is damage."""
    with contextlib.suppress(FileNotFoundError):
        text = (folder / SEAL).read_bytes().decode("ascii", "replace")
        count, _, rest = text.partition(" ")
        if count.isdecimal() and text == _line(found := Seal(count=int(count), link=rest[:64])):
            return found
    return None


def _line(seal: Seal) -> str:
    line = f"{seal.count} {seal.link}"
    return f"{line} {hashlib.sha256(line.encode('utf-8', 'replace')).hexdigest()[:16]}\n"
