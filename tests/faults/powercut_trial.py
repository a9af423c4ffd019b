"""Power cuts by the thousand: `python -m tests.faults.powercut_trial 100000`.

Half of them hit a ledger whose every deed is known beforehand, half hit small real runs. A process is recorded down to SQLite's own
writes; at each of its operations the power goes, and a simulated disk loses, tears and reorders what had not been synced. What the
ledger had acknowledged must be there, and nothing else. Of the real runs, one disk of each pass is gone on with, recorded again and cut
again, so that recovery is cut too, and recovery from that; each must end as if nothing had happened.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import random
import shutil
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from tests.faults.deeds import LIFE, do, state_of, states
from tests.faults.powercut import Disk
from tests.faults.recording import Job, Operation, fast_folder, operations, under_recorder

from sharpen.errors import SharpenError
from sharpen.ledger import Ledger

__all__ = ["DeedsJudge", "Judge", "Tally", "complaints"]

_KNOWN = list(states())
RUN = "runs/one"
"""The run directory, below the disk's root: its parents are made, and their names lost, with it."""


class Judge:
    """Knows what a recorded process was told is done, and what may therefore stand."""

    def hear(self, facts: Mapping[str, object]) -> None:
        """Take in a mark."""
        raise NotImplementedError

    def complaint(self, folder: Path, *, goes_on: bool) -> str | None:
        """What is wrong with a run directory after the power cut, or None; where it `goes_on`, its life is lived to the end."""
        raise NotImplementedError

    @property
    def told(self) -> object:
        """All that was heard, as far as it matters."""
        raise NotImplementedError


class DeedsJudge(Judge):
    """Of a life of deeds."""

    def __init__(self, done: int = -1) -> None:
        self._begun = self._done = done

    def hear(self, facts: Mapping[str, object]) -> None:
        self._begun = int(str(facts.get("begin", self._begun)))
        self._done = int(str(facts.get("done", self._done)))

    @property
    def told(self) -> object:
        return self._begun, self._done

    def complaint(self, folder: Path, *, goes_on: bool) -> str | None:
        allowed = _KNOWN[self._done + 1 : max(self._done, self._begun) + 2]
        if not folder.exists() and {} in allowed:
            return None
        with Ledger(folder) as ledger:
            held = state_of(ledger)
            if held not in allowed:
                return f"{held} stands after deed {self._done} was acknowledged and {self._begun} begun"
        if goes_on:
            first = self._done + 1 + allowed.index(held)
            with Ledger(folder) as ledger:
                for deed in LIFE[first:]:
                    do(ledger, deed)
                if state_of(ledger) != _KNOWN[-1]:
                    return f"going on led to {state_of(ledger)}"
        return None


class RunJudge(Judge):
    """Of a real run that found `count` rows; `links` are those of all rows that it came to write."""

    def __init__(self, links: Sequence[str], count: int) -> None:
        self._links = links
        self._count = count

    def hear(self, facts: Mapping[str, object]) -> None:
        self._count = int(str(facts["rows"]))

    @property
    def told(self) -> object:
        return self._count

    def complaint(self, folder: Path, *, goes_on: bool) -> str | None:
        from tests.faults.small_run import chains  # imports torch

        if not folder.exists() and not self._count:
            return None
        told: list[str] = []
        with Ledger(folder, tell=told.append) as ledger:
            if told:
                return told[0]
            if damage := ledger.damage():
                return damage[0]
        held = chains(folder)
        if held != self._links[: len(held)]:
            return "rows stand that were never written"
        if len(held) not in (self._count, self._count + 1):
            return f"{len(held)} rows stand after {self._count} were acknowledged"
        return None


@dataclass
class Tally:
    """What was tried: power cuts, how many different disks they left, and runs that were gone on with."""

    cuts: int = 0
    disks: set[bytes] = field(default_factory=set)
    gone_on: int = 0


def complaints(
    disk: Disk,
    done: Sequence[Operation],
    judge: Judge,
    chance: random.Random,
    out: Path,
    *,
    cuts: int,
    tally: Tally | None = None,
    kept: Callable[[Path], None] = lambda folder: None,
) -> Iterator[str]:
    """What a power cut, `cuts` at each operation, can do to what had been acknowledged.

    Args:
        out: where the disk is put together after each cut.
        kept: called with each such disk, before anybody opens it.
    """
    tally = tally if tally is not None else Tally()
    for number, operation in enumerate(done):
        if operation.kind == "mark":
            judge.hear(json.loads(operation.data))
            continue
        disk.do(operation)
        for _ in range(cuts):
            tally.cuts += 1
            shutil.rmtree(out, ignore_errors=True)
            held = hashlib.blake2b(repr(judge.told).encode(), digest_size=12)
            disk.after_power_cut(chance, out, held)
            goes_on = chance.random() < 0.2
            kept(out)
            if held.digest() in tally.disks and not goes_on:
                continue  # the same bytes and the same acknowledgements were judged before
            tally.disks.add(held.digest())
            try:
                complaint = judge.complaint(out / RUN, goes_on=goes_on)
            except SharpenError as error:
                complaint = str(error)
            left = [path for path in (out / RUN).rglob("*") if ".writing-" in path.name]
            complaint = complaint or (f"left over: {left}" if left else None)
            if complaint:
                yield f"operation {number} ({operation.kind} {operation.path}): {complaint}"


def job_in(place: Path, **changes: object) -> Job:
    """A job whose disk is an empty folder below `place`."""
    root = place / "disk"
    root.mkdir(parents=True)
    return Job(**{"root": str(root), "folder": str(root / RUN), "log": str(place / "log"), **changes})  # type: ignore[arg-type]


def cut_deeds(number: int, chance: random.Random, place: Path, *, mutant: str = "none") -> tuple[Tally, list[str]]:
    """At least so many cuts of a life of deeds."""
    done = _recorded(job_in(place / "deeds", mutant=mutant))
    tally, found = Tally(), list[str]()
    while tally.cuts < number:
        found += complaints(Disk(place / "deeds" / "disk"), done, DeedsJudge(), chance, place / "out", cuts=1, tally=tally)
    return tally, found


def cut_runs(number: int, chance: random.Random, place: Path, *, mutant: str = "none") -> tuple[Tally, list[str]]:
    """At least so many cuts of small real runs: of a whole one, then of ones that go on from a disk of the pass before."""
    from tests.faults.small_run import chains, ending, prepared

    prepared(place / "undisturbed")
    expected = ending(place / "undisturbed")
    tally, found = Tally(), list[str]()
    job = job_in(place / "run 0", subject="run", mutant=mutant)
    disk = Disk(Path(job.root))
    for life in range(1, number):
        count = len(chains(Path(job.folder)))
        done = _recorded(job)
        if ending(Path(job.folder)) != expected:
            found.append(f"life {life} ended otherwise than an undisturbed run")
        following = job_in(place / f"run {life}", subject="run", mutant=mutant)
        at, before = chance.randrange(sum(one.kind != "mark" for one in done)), tally.cuts

        def keep(out: Path, at: int = before + at + 1, target: Path = Path(following.root)) -> None:
            if tally.cuts == at:
                shutil.copytree(out, target, dirs_exist_ok=True)

        judge = RunJudge(chains(Path(job.folder)), count)
        found += complaints(disk, done, judge, chance, place / "out", cuts=1, tally=tally, kept=keep)
        shutil.rmtree(Path(job.root).parent)
        if tally.cuts >= number or (found and mutant != "none"):
            break
        tally.gone_on += 1
        job, disk = following, Disk.holding(Path(following.root))
    return tally, found


def _recorded(job: Job) -> list[Operation]:
    from tests.faults.live import lived

    ended = lived(job)
    assert ended.status == 0, ended.said
    return list(operations(Path(job.log)))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("number", type=int, help="power cuts")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--mutant", default="none", help="break a rule of the ledger (see live.py): exits 1, as it must")
    asked = parser.parse_args()
    under_recorder("tests.faults.powercut_trial", sys.argv[1:])
    bad = 0
    for name, cut in (("deeds", cut_deeds), ("small real runs", cut_runs)):
        began = time.process_time()
        with tempfile.TemporaryDirectory(dir=fast_folder()) as folder:
            chance = random.Random(f"{asked.seed} {name}")
            tally, found = cut(asked.number // 2, chance, Path(folder).resolve(), mutant=asked.mutant)
        bad += len(found)
        print(
            f"{name}: {tally.cuts} power cuts left {len(tally.disks)} different disks, {tally.gone_on} runs were gone on with from one "
            f"and ended; {len(found)} complaints; {time.process_time() - began:.0f} s of processor",
            flush=True,
        )
        for complaint in found[:5]:
            print(f"  {complaint}")
    sys.exit(bool(bad))


if __name__ == "__main__":
    main()
