"""Every byte of a sealed run changed, one at a time: `python -m tests.faults.flip_trial` (weights are sampled), or `flip_trial 2000`.

A change is detected where a reader of what it hit says so and names the file, harmless where every reader reads what was written. The
report is no part of it: it is a view, written anew from what is read here.
"""

from __future__ import annotations

import argparse
import os
import random
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path

from tests.faults.recording import fast_folder
from tests.faults.small_run import sealed

from sharpen.endpoint.account import ACCOUNT, Account, Answer, damage_in_account
from sharpen.errors import DamagedError, LedgerError
from sharpen.export import SUMS, damage_in
from sharpen.ledger import Entry, Ledger

__all__ = ["flip_all", "readers"]

_SAMPLED = 2000  # bytes of a larger file that are tried where no number was asked for
_LARGE = 64 << 10

Reader = Callable[[], str | None]
"""Reads what a file takes part in: a sentence where it is damaged, None where all is as it was written; else it raises AssertionError."""


def readers(folder: Path) -> Mapping[Path, Reader]:
    """Who reads each file of a run directory."""
    ledger = Ledger(folder, read_only=True)
    rows = ledger.standing
    written = {entry.sequence: ledger.items(entry) for entry in rows if entry.path and entry.kind != "checkpoint"}

    def database() -> str | None:
        try:
            with Ledger(folder, read_only=True) as found:
                assert found.standing == rows, "rows are read that were never written"
                return next(iter(found.damage()), None)
        except LedgerError as error:
            return str(error)

    def items(entry: Entry, file: Path, bits: bytes) -> str | None:
        try:
            assert ledger.items(entry) == written[entry.sequence], "values are read that were never written"
        except DamagedError as error:
            return str(error)
        assert file.read_bytes() == bits, "a file is believed that was never written"
        return None

    def weights(entry: Entry, file: Path, bits: bytes) -> str | None:
        try:
            ledger.folder_of(entry)
        except DamagedError as error:
            return str(error)
        assert file.read_bytes() == bits, "weights are believed that were never written"
        return None

    def exported(model: Path, file: Path, bits: bytes) -> str | None:
        told = next(iter(damage_in(model)), None)
        assert told or file.name == SUMS or file.read_bytes() == bits, "a model is believed that was never written"
        return told

    paid = paid_for(folder)

    def account() -> str | None:
        if told := damage_in_account(folder):
            return told[0]
        assert paid_for(folder) == paid, "spending or answers are believed that were never written"
        return None

    found: dict[Path, Reader] = {folder / name: database for name in ("ledger.sqlite", "head", "seal", "lock")}
    if (folder / ACCOUNT).exists():
        found[folder / ACCOUNT] = account
    for entry in rows:
        path = folder / str(entry.path)
        if entry.path and path.is_dir():
            found |= {file: partial(weights, entry, file, file.read_bytes()) for file in path.iterdir()}
        elif entry.path:
            found[path] = partial(items, entry, path, path.read_bytes())
    for model in folder.glob("model-*"):
        for file in model.rglob("*"):
            if file.is_file():
                found[file] = partial(exported, model, file, file.read_bytes())
    return found


def paid_for(folder: Path) -> tuple[object, Mapping[str, Answer]] | None:
    """What the account holds; None where there is none."""
    if not (folder / ACCOUNT).exists():
        return None
    account = Account(folder / ACCOUNT, read_only=True)
    try:
        return account.spending, dict(account.answers(["first", "second", "third"]))
    finally:
        account.close()


def flip_all(
    folder: Path, number: int | None, seed: int = 0, all_bits_of: str | None = None
) -> tuple[Counter[tuple[str, str]], list[str]]:
    """By kind of file and outcome how many changes there were, and what was neither detected nor harmless.

    Args:
        number: changes in all, spread over the files by their size; None for every byte, and 2,000 of each file above 64 KiB.
        all_bits_of: name of a file whose bytes are changed eight times, by one bit each.
    """
    chance, known = random.Random(seed), readers(folder)
    left = {path for path in folder.rglob("*") if path.is_file()} - known.keys()
    assert not left, f"nobody reads {sorted(left)}"
    total = sum(path.stat().st_size for path in known)
    counts, complaints = Counter[tuple[str, str]](), list[str]()
    for path, read in known.items():
        assert read() is None, path
        size = path.stat().st_size
        share = size if number is None and size <= _LARGE else _SAMPLED if number is None else max(1, number * size // total)
        kind = path.relative_to(folder).parts[0]
        named = "ledger.sqlite" if path.name in ("head", "lock") else path.name
        for place in sorted(chance.sample(range(size), min(share, size))):
            drawn = 1 << chance.randrange(8) if chance.random() < 0.5 else chance.randrange(1, 256)
            for mask in [1 << bit for bit in range(8)] if path.name == all_bits_of else [drawn]:
                try:
                    told = _flipped(path, place, mask, read)
                except Exception as error:  # a reader that falls over has noticed nothing
                    complaints.append(f"{path}, byte {place}, bits {mask:08b}: {type(error).__name__}: {error}")
                    continue
                if told is not None and named not in told and path.parent.name not in told:
                    complaints.append(f"{path}, byte {place}: told without its name: {told}")
                counts[kind.split("-")[0], "harmless" if told is None else "detected"] += 1
    return counts, complaints


def _flipped(path: Path, place: int, mask: int, read: Reader) -> str | None:
    """What the reader says with that byte changed; the file is as it was afterwards."""
    descriptor = os.open(path, os.O_RDWR)
    try:
        before = os.pread(descriptor, 1, place)
        os.pwrite(descriptor, bytes([before[0] ^ mask]), place)
        try:
            return read()
        finally:
            os.pwrite(descriptor, before, place)
    finally:
        os.close(descriptor)


def main(words: Sequence[str]) -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("number", type=int, nargs="?")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--all-bits-of", metavar="NAME", help="a file of which each bit is changed, such as served.sqlite")
    asked = parser.parse_args(words)
    began = time.process_time()
    with tempfile.TemporaryDirectory(dir=fast_folder()) as place:
        folder = Path(place) / "run"
        sealed(folder)
        counts, complaints = flip_all(folder, asked.number, asked.seed, asked.all_bits_of)
    for kind in sorted({kind for kind, _ in counts}):
        print(f"{kind:14} {counts[kind, 'detected']:7} detected, {counts[kind, 'harmless']:5} harmless")
    print(
        f"{sum(counts.values())} changes, one at a time: {len(complaints)} complaints; {time.process_time() - began:.0f} s of processor"
    )
    for complaint in complaints[:10]:
        print(f"  {complaint}")
    sys.exit(bool(complaints))


if __name__ == "__main__":
    main(sys.argv[1:])
