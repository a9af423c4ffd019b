"""Short forms of the trials; the long ones are `python -m tests.faults.NAME_trial NUMBER`. Each must notice a ledger that breaks its rules."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest
from tests.faults.flip_trial import flip_all
from tests.faults.recording import fast_folder, recorder_missing
from tests.faults.small_run import sealed

from sharpen.ledger import files, rows, store

recorded = pytest.mark.skipif(recorder_missing() is not None, reason=str(recorder_missing()))


@pytest.fixture(scope="module")
def run() -> Iterator[Path]:
    """A sealed small run."""
    with tempfile.TemporaryDirectory(dir=fast_folder()) as folder:
        sealed(Path(folder) / "run")
        yield Path(folder) / "run"


def _trial(name: str, *words: str) -> subprocess.CompletedProcess[str]:
    root = Path(__file__).parents[2]
    path = os.pathsep.join(filter(None, [str(root), *sys.path]))
    command = [sys.executable, "-m", f"tests.faults.{name}", *words]
    return subprocess.run(
        command, cwd=root, env={**os.environ, "PYTHONPATH": path}, capture_output=True, text=True, check=False
    )


@recorded
def test_a_power_cut_at_any_operation_of_a_real_run_loses_nothing() -> None:
    done = _trial("powercut_trial", "2000", "--seed", "11")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "small real runs" in done.stdout
    assert "0 runs were gone on with" not in done.stdout.splitlines()[-1]


@recorded
def test_a_killed_run_ends_as_if_nothing_had_happened() -> None:
    done = _trial("kill_trial", "6", "--seed", "12")
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.startswith("6 kills")


def test_a_changed_byte_is_detected_or_harmless(run: Path) -> None:
    counts, complaints = flip_all(run, 1200, seed=13)
    assert complaints == []
    found = {kind for kind, outcome in counts if outcome == "detected"}
    assert {"ledger.sqlite", "block", "stage", "report", "checkpoint", "model"} <= found
    unread = {"ledger.sqlite", "served.sqlite", "head", "seal", "lock", "model"}
    assert {kind for kind, outcome in counts if outcome == "harmless"} <= unread


def _believe_folders(patch: Callable[..., None]) -> None:
    digest = files.folder_digest
    known: dict[Path, str] = {}
    patch(files, "folder_digest", lambda path: known.setdefault(path, digest(path)))


def _believe_files(patch: Callable[..., None]) -> None:
    patch(store, "hashlib", SimpleNamespace(file_digest=lambda file, name: SimpleNamespace(hexdigest=lambda: Anything())))


def _believe_rows(patch: Callable[..., None]) -> None:
    patch(rows, "proves", lambda previous, row: True)


class Anything(str):
    """Equal to any digest."""

    __slots__ = ()
    __hash__ = str.__hash__

    def __eq__(self, other: object) -> bool:
        return True

    def __ne__(self, other: object) -> bool:
        return False


@pytest.mark.parametrize("mutant", [_believe_folders, _believe_files, _believe_rows])
def test_a_digest_that_is_not_read_is_noticed(
    mutant: Callable[[Callable[..., None]], None], run: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    mutant(monkeypatch.setattr)
    _, complaints = flip_all(run, 800, seed=14)
    assert complaints
