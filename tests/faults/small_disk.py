"""A real small disk in a mount namespace of its own (root): it fills, becomes read-only, and is gone on with. Run by `test_damaged_runs.py`."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from tests.faults.small_run import ending, live

from sharpen.errors import CapacityError, LedgerError, SharpenError
from sharpen.ledger import Ledger


def main(disk: Path, undisturbed: Path) -> None:
    """Fill a disk of 640 KiB with a small run; go on where it is read-only; go on with room."""
    live(undisturbed)
    _mount("tmpfs", "size=640k", disk)
    told = [_ended(disk / "run") for _ in range(2)]
    assert {kind for kind, _ in told} == {CapacityError}, told
    print(told[0][1])
    with Ledger(disk / "run", read_only=True) as ledger:
        assert ledger.damage() == []
        held = [entry.key for entry in ledger.entries("block")]
        assert held
    _mount("tmpfs", "remount,ro", disk)
    kind, sentence = _ended(disk / "run")
    assert kind is LedgerError, (kind, sentence)
    print(sentence)
    with Ledger(disk / "run", read_only=True) as ledger:
        assert [entry.key for entry in ledger.entries("block")] == held
    _mount("tmpfs", "remount,rw,size=20m", disk)
    live(disk / "run")
    with Ledger(disk / "run", read_only=True) as ledger:
        assert [entry.key for entry in ledger.entries("block")][: len(held)] == held
    assert ending(disk / "run") == ending(undisturbed)
    print("ended as an undisturbed run")


def _ended(folder: Path) -> tuple[type[SharpenError], str]:
    """How a run on a disk that will not do ends."""
    try:
        live(folder)
    except SharpenError as error:
        return type(error), str(error)
    raise AssertionError("it came to its end on a disk that was too small")


def _mount(kind: str, options: str, at: Path) -> None:
    subprocess.run(["mount", "-t", kind, "-o", options, kind, at], check=True)


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
