"""Power cuts by the thousand: `python -m tests.faults.powercut_trial 100000`.

Half of them hit a ledger whose every deed is known beforehand, half hit small real runs. A process is recorded down to SQLite's own
writes; at each of its operations the power goes, and a simulated disk loses, tears and reorders what had not been synced. What the
ledger had acknowledged must be there, and nothing else. Of the real runs, one disk of each pass is gone on with, recorded again and cut
again, so that recovery is cut too, and recovery from that; each must end as if nothing had happened.
"""

from __future__ import annotations

import argparse
import itertools
import json
import os
import random
import shutil
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from tests.faults.deeds import LIFE, do, state_of, states
from tests.faults.powercut import Disk, Image, Survived
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
    disks: set[int] = field(default_factory=set)
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
    kept: Callable[[Survived], None] = lambda survived: None,
) -> Iterator[str]:
    """What a power cut, `cuts` at each operation, can do to what had been acknowledged.

    Args:
        out: where the disk is put together after each cut.
        kept: called with what each cut leaves.
    """
    tally, image = tally if tally is not None else Tally(), Image(out)
    for number, operation in enumerate(done):
        if operation.kind == "mark":
            judge.hear(json.loads(operation.data))
            continue
        disk.do(operation)
        for _ in range(cuts):
            tally.cuts += 1
            survived, goes_on = disk.after_power_cut(chance), chance.random() < 0.2
            kept(survived)
            key = hash((judge.told, *survived.items()))
            if key in tally.disks and not goes_on:
                continue  # the same bytes and the same acknowledgements were judged before
            tally.disks.add(key)
            image.hold(survived)
            try:
                complaint = judge.complaint(out / RUN, goes_on=goes_on)
            except SharpenError as error:
                complaint = str(error)
            left = [name for _, folders, files in os.walk(out) for name in (*folders, *files) if ".writing-" in name]
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
    """At least so many cuts of small real runs: of a whole one, of one that goes on from a disk that this left, and of one from that."""
    from tests.faults.small_run import chains, ending, prepared

    prepared(place / "undisturbed")
    expected = ending(place / "undisturbed")
    tally, found = Tally(), list[str]()
    whole = _recorded(job_in(place / "whole", subject="run", mutant=mutant))
    links = chains(place / "whole" / "disk" / RUN)
    for life in itertools.count():
        left = _cut_pass(Disk(place / "whole" / "disk"), whole, RunJudge(links, 0), chance, place / "out", tally, found)
        for generation in range(2):
            if tally.cuts >= number or (found and mutant != "none"):
                return tally, found
            job = job_in(place / f"life {life}-{generation}", subject="run", mutant=mutant)
            Image(Path(job.root)).hold(left)
            disk, count = Disk.holding(Path(job.root)), len(chains(Path(job.folder)))
            done = _recorded(job)
            tally.gone_on += 1
            if ending(Path(job.folder)) != expected:
                found.append(f"{job.folder} ended otherwise than an undisturbed run")
            left = _cut_pass(disk, done, RunJudge(chains(Path(job.folder)), count), chance, place / "out", tally, found)
            shutil.rmtree(Path(job.root).parent)
    raise AssertionError


def _cut_pass(
    disk: Disk, done: Sequence[Operation], judge: Judge, chance: random.Random, out: Path, tally: Tally, found: list[str]
) -> Survived:
    """Cut at every operation; one of the disks that were left, drawn."""
    kept: Survived = {}
    at = tally.cuts + chance.randrange(1, 1 + sum(one.kind != "mark" for one in done))

    def keep(survived: Survived) -> None:
        nonlocal kept
        kept = survived if tally.cuts == at else kept

    found += complaints(disk, done, judge, chance, out, cuts=1, tally=tally, kept=keep)
    return kept


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
