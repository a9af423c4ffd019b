"""One operation of the disk fails, or is the process's last: the ledger says so, writes nothing more, and holds what it said."""

from __future__ import annotations

import errno
import random
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest
from tests.faults.deeds import LIFE, do, state_of, states
from tests.faults.recording import Job, fast_folder, marks, operations, recorder_missing, run_recorded

from sharpen.ledger import Ledger

pytestmark = pytest.mark.skipif(recorder_missing() is not None, reason=str(recorder_missing()))

_KNOWN = list(states())


@pytest.fixture(scope="module")
def place() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(dir=fast_folder()) as folder:
        yield Path(folder).resolve()


@pytest.fixture(scope="module")
def num_operations(place: Path) -> int:
    """How many operations a life takes."""
    job = _jobs(place / "whole", [0], error=0)[0]
    assert [ended.status for ended in run_recorded("live", [job])] == [0]
    return next(int(str(facts["operations"])) for facts in _marks(job) if "operations" in facts)


def _jobs(place: Path, numbers: Sequence[int], *, error: int) -> list[Job]:
    jobs = []
    for number in numbers:
        root = place / str(number)
        root.mkdir(parents=True)
        log = place / f"log {number}"
        jobs.append(Job(root=str(root), folder=str(root / "run"), log=str(log), operation=number, error=error))
    return jobs


def _marks(job: Job) -> list[dict[str, object]]:
    return [dict(facts) for facts in marks(list(operations(Path(job.log))))]


def _fail_at(place: Path, numbers: Sequence[int], error: int, kinds: set[str]) -> int:
    """Live with each of these operations failing; the life checks itself. How often the ledger had to say that one had."""
    jobs = _jobs(place, numbers, error=error)
    told = 0
    for job, ended in zip(jobs, run_recorded("live", jobs), strict=True):
        assert ended.status == 0, f"operation {job.operation}: {ended.said}"
        failures = [facts for facts in _marks(job) if "failed" in facts]
        assert {str(facts["kind"]) for facts in failures} <= kinds, failures
        assert len(failures) <= 1
        told += len(failures)
        with Ledger(Path(job.folder), read_only=True) as ledger:
            assert state_of(ledger) == _KNOWN[-1]
    return told


def _kill_at(place: Path, numbers: Sequence[int]) -> None:
    jobs = _jobs(place, numbers, error=0)
    for job, ended in zip(jobs, run_recorded("live", jobs), strict=True):
        assert ended.status == -9
        said = _marks(job)
        done = max((int(str(facts["done"])) for facts in said if "done" in facts), default=-1)
        with Ledger(Path(job.folder)) as ledger:
            held = state_of(ledger)
            assert held in _KNOWN[done + 1 : done + 3], f"operation {job.operation}"
            for deed in LIFE[done + 1 + _KNOWN[done + 1 : done + 3].index(held) :]:
                do(ledger, deed)
            assert state_of(ledger) == _KNOWN[-1]
        assert not list(Path(job.folder).rglob(".writing-*"))


def _sample(count: int, limit: int, seed: int) -> list[int]:
    return sorted(random.Random(seed).sample(range(1, limit + 1), count))


def test_a_disk_error_at_any_operation_is_told_and_ends_all_writing(num_operations: int, place: Path) -> None:
    assert _fail_at(place / "EIO", _sample(25, num_operations, 1), errno.EIO, {"LedgerError"})


def test_a_full_disk_at_any_operation_is_told_and_gone_on_from(num_operations: int, place: Path) -> None:
    kinds = {"CapacityError", "LedgerError"}  # SQLite passes some on without saying why
    assert _fail_at(place / "ENOSPC", _sample(25, num_operations, 2), errno.ENOSPC, kinds)


def test_a_kill_at_any_operation_loses_nothing(num_operations: int, place: Path) -> None:
    _kill_at(place / "kill", _sample(25, num_operations, 3))


@pytest.mark.long
@pytest.mark.parametrize("error", [errno.EIO, errno.ENOSPC, errno.EROFS])
def test_errors_at_every_operation(error: int, num_operations: int, place: Path) -> None:
    assert _fail_at(place / f"every {error}", range(1, num_operations + 1), error, {"CapacityError", "LedgerError"})


@pytest.mark.long
def test_kills_at_every_operation(num_operations: int, place: Path) -> None:
    _kill_at(place / "every kill", range(1, num_operations + 1))
