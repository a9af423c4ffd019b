"""The power goes: what the ledger had acknowledged is there afterwards, whatever the disk made of the rest.

Real processes are recorded down to SQLite's own writes; a simulated disk then loses, tears and reorders what they had not synced.
"""

from __future__ import annotations

import random
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import pytest
from tests.faults.deeds import LIFE, do, state_of, states
from tests.faults.live import MUTANTS
from tests.faults.powercut import Disk, Image
from tests.faults.powercut_trial import RUN, DeedsJudge, complaints, job_in
from tests.faults.recording import Job, Operation, fast_folder, marks, operations, recorder_missing, run_recorded

from sharpen.ledger import Ledger

pytestmark = pytest.mark.skipif(recorder_missing() is not None, reason=str(recorder_missing()))

_KNOWN = list(states())


@pytest.fixture(scope="module")
def place() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(dir=fast_folder()) as folder:
        yield Path(folder).resolve()


@pytest.fixture(scope="module")
def lives(place: Path) -> Mapping[str, Sequence[Operation]]:
    """By mutant, what a whole life did to the disk."""
    jobs = {mutant: job_in(place / f"life {number}", mutant=mutant) for number, mutant in enumerate(MUTANTS)}
    return {mutant: _lived(job) for mutant, job in zip(jobs, _run(list(jobs.values())), strict=True)}


def _run(jobs: Sequence[Job]) -> Sequence[Job]:
    for job, ended in zip(jobs, run_recorded("live", jobs), strict=True):
        assert ended.status == (-9 if job.operation else 0), ended.said
    return jobs


def _lived(job: Job) -> list[Operation]:
    done = list(operations(Path(job.log)))
    assert {"write", "rename", "mkdir", "create", "unlink"} <= {one.kind for one in done}
    assert {"done": len(LIFE) - 1} in marks(done)
    return done


def _complaints(disk: Disk, done: Sequence[Operation], out: Path, *, seed: int, cuts: int) -> list[str]:
    return list(complaints(disk, done, DeedsJudge(), random.Random(seed), out, cuts=cuts))


def test_what_was_acknowledged_survives_a_power_cut_at_every_operation(
    lives: Mapping[str, Sequence[Operation]], place: Path
) -> None:
    done = lives["none"]
    assert any(one.kind == "sync" and one.path.endswith("-wal") for one in done), "SQLite's own writes are not recorded"
    assert _complaints(Disk(place / "life 0" / "disk"), done, place / "out", seed=1, cuts=2) == []


@pytest.mark.long
@pytest.mark.parametrize("seed", range(10))
def test_power_cuts_at_length(lives: Mapping[str, Sequence[Operation]], place: Path, seed: int) -> None:
    disk = Disk(place / "life 0" / "disk")
    assert _complaints(disk, lives["none"], place / "out", seed=100 + seed, cuts=20) == []


@pytest.mark.parametrize("mutant", [name for name in MUTANTS if name not in ("none", "believes what it reads")])
def test_a_broken_rule_is_noticed(mutant: str, lives: Mapping[str, Sequence[Operation]], place: Path) -> None:
    disk = Disk(place / f"life {list(MUTANTS).index(mutant)}" / "disk")
    assert next(complaints(disk, lives[mutant], DeedsJudge(), random.Random(2), place / "out", cuts=10), None) is not None


def _killed_then_cut(place: Path, mutant: str, kills: Sequence[int], seed: int) -> list[str]:
    """A process is killed at an operation; the next one reads what it left and goes on; then the power goes."""
    first = [job_in(place / f"{mutant} {kill}", operation=kill, mutant=mutant) for kill in kills]
    _run(first)
    second = []
    for job in first:
        said = [int(str(facts["done"])) for facts in marks(list(operations(Path(job.log)))) if "done" in facts]
        second.append(Job(root=job.root, folder=job.folder, log=job.log, mutant=mutant, first=max(said, default=-1) + 1))
    _run(second)
    found = []
    for job in second:
        disk = Disk(Path(job.root))
        found += _complaints(disk, list(operations(Path(job.log))), place / "out", seed=seed, cuts=1)
    return found


def _row_syncs(done: Sequence[Operation]) -> list[int]:
    """Numbers, from 1, of the operations that sync SQLite's log after a row was written to it."""
    counted = [one for one in done if one.kind != "mark"]
    return [
        number
        for number, (one, following) in enumerate(zip(counted, counted[1:], strict=False), start=1)
        if one.kind == "sync" and one.path.endswith("-wal") and following.path.endswith("/head")
    ]


def test_what_a_process_read_after_a_kill_survives_a_power_cut(lives: Mapping[str, Sequence[Operation]], place: Path) -> None:
    kills = _row_syncs(lives["none"])[1:10:4]
    assert _killed_then_cut(place / "read", "none", kills, seed=3) == []


def test_believing_what_was_read_after_a_kill_is_noticed(lives: Mapping[str, Sequence[Operation]], place: Path) -> None:
    kills = _row_syncs(lives["believes what it reads"])[1:10:4]
    assert _killed_then_cut(place / "believed", "believes what it reads", kills, seed=4)


def test_a_power_cut_while_recovering_from_a_power_cut(lives: Mapping[str, Sequence[Operation]], place: Path) -> None:
    chance = random.Random(5)
    done = lives["none"]
    jobs, disks = [], []
    for number, cut in enumerate(sorted(chance.sample(range(len(done) // 4, len(done)), 3))):
        disk = Disk(place / "life 0" / "disk")
        acknowledged = -1
        for operation in done[:cut]:
            if operation.kind != "mark":
                disk.do(operation)
            elif "done" in (facts := marks([operation])[0]):
                acknowledged = int(str(facts["done"]))
        job = job_in(place / f"recovery {number}", first=acknowledged + 1)
        Image(Path(job.root)).hold(disk.after_power_cut(chance))
        jobs.append(job)
        disks.append(Disk.holding(Path(job.root)))
    _run(jobs)
    for job, disk in zip(jobs, disks, strict=True):
        start = job.first - 1
        done = [_mark_done(start), *operations(Path(job.log))]
        assert _complaints(disk, done, place / "out", seed=6, cuts=1) == []


def _mark_done(number: int) -> Operation:
    return Operation(kind="mark", inode=0, offset=0, path="", data=f'{{"done": {number}}}'.encode())


def test_a_power_cut_while_a_damaged_database_is_repaired(place: Path) -> None:
    job = job_in(place / "repair", first=len(LIFE))
    folder = Path(job.folder)
    with Ledger(folder) as ledger:
        for deed in LIFE:
            do(ledger, deed)
    _damage(folder / "ledger.sqlite", b"decision")
    disk = Disk.holding(Path(job.root))
    expected = {name: value for name, value in _KNOWN[-1].items() if not name.startswith("decision")}
    ended = run_recorded("live", [job])
    assert ended[0].status == 0, ended[0].said
    chance, image = random.Random(7), Image(place / "repaired")
    for operation in operations(Path(job.log)):
        if operation.kind == "mark":
            continue
        disk.do(operation)
        image.hold(disk.after_power_cut(chance))
        with Ledger(place / "repaired" / RUN) as ledger:
            held = state_of(ledger)
            assert {name: value for name, value in held.items() if not name.startswith("note")} == expected
            assert any(name.startswith("note/salvage") for name in held)


def _damage(path: Path, text: bytes) -> None:
    content = bytearray(path.read_bytes())
    content[content.index(text)] ^= 1
    path.write_bytes(bytes(content))
