"""A real run on a disk that damages it: the same command names what was lost, makes that again and no more, and ends as it had ended."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tarfile
import tempfile
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import pytest
from tests.faults.recording import fast_folder
from tests.faults.small_run import ending, live

from sharpen.errors import LedgerError
from sharpen.events import Event
from sharpen.ledger import Ledger
from sharpen.report import findings, write_report
from sharpen.run import Run

_FORMATS = Path(__file__).parents[1] / "fixtures" / "formats"


@pytest.fixture(scope="module")
def place() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(dir=fast_folder()) as folder:
        live(Path(folder) / "whole")
        yield Path(folder)


@pytest.fixture
def copy(place: Path) -> Iterator[Path]:
    shutil.copytree(place / "whole", place / "copy")
    yield place / "copy"
    shutil.rmtree(place / "copy")


def _file(folder: Path, kind: str) -> Path:
    with Ledger(folder, read_only=True) as ledger:
        return folder / str(ledger.entries(kind)[-1].path)


def _flip(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 4
    path.write_bytes(content)


def _cut(path: Path) -> None:
    os.truncate(path, path.stat().st_size // 2)


_DAMAGES: Mapping[str, tuple[str, str, Callable[[Path], None]]] = {
    "a flipped bit of a stage's file": ("stage", "", _flip),
    "a report cut short": ("report", "", _cut),
    "a report deleted": ("report", "", Path.unlink),
    "prompts cut to nothing": ("prompts", "", lambda path: os.truncate(path, 0)),
    "a flipped bit of the weights": ("checkpoint", "model.safetensors", _flip),
    "a missing file of the weights": ("checkpoint", "model.safetensors", Path.unlink),
    "a file too many in the weights": ("checkpoint", "", lambda path: (path / "more").write_text("x") and None),
    "weights deleted": ("checkpoint", "", shutil.rmtree),
}


@pytest.mark.parametrize("name", _DAMAGES)
def test_damage_is_named_and_only_what_depended_on_it_is_made_again(name: str, copy: Path, place: Path) -> None:
    kind, file, damage = _DAMAGES[name]
    hit = _file(copy, kind)
    with Ledger(copy, read_only=True) as ledger:
        before = len(ledger.entries("block"))
    damage(hit / file if file else hit)
    with Ledger(copy, read_only=True) as ledger:
        assert str(hit) in ledger.damage()[0]
    events: list[Event] = []
    live(copy, events.append)
    run = Run.open(copy)
    assert [note for note in run.notes if hit.relative_to(copy).as_posix() in note]
    assert run.finished
    run.close()
    made, expected = ending(copy), ending(place / "whole")
    assert {key: made[key] for key in expected} == expected
    with Ledger(copy, read_only=True) as ledger:
        assert len(ledger.entries("block")) == before, "samples were drawn again"
    assert sum(event.kind == "stage" for event in events) <= 1


def test_every_file_lost_but_the_database_is_made_again(copy: Path, place: Path) -> None:
    for path in copy.iterdir():
        if path.is_dir():
            shutil.rmtree(path)
    live(copy)
    made, expected = ending(copy), ending(place / "whole")
    assert {key: made[key] for key in expected} == expected


@pytest.mark.skipif(os.geteuid() != 0 or shutil.which("unshare") is None, reason="mounting a small disk needs root and unshare")
def test_a_full_and_a_read_only_disk_end_a_run_with_a_sentence_and_it_goes_on_with_room(tmp_path: Path) -> None:
    (tmp_path / "disk").mkdir()
    root = Path(__file__).parents[2]
    path = os.pathsep.join(filter(None, [str(root), *sys.path]))
    command = ["unshare", "-m", sys.executable, "-m", "tests.faults.small_disk", tmp_path / "disk", tmp_path / "undisturbed"]
    done = subprocess.run(
        command, cwd=root, env={**os.environ, "PYTHONPATH": path}, capture_output=True, text=True, check=False
    )
    if "Operation not permitted" in done.stderr or "unshare failed" in done.stderr:
        pytest.skip("this machine lets no process have mounts of its own")
    assert done.returncode == 0, done.stderr
    full, barred, end = done.stdout.splitlines()
    assert full.startswith("no space left")
    assert "Read-only file system" in barred
    assert end == "ended as an undisturbed run"


def test_a_run_whose_folder_goes_away_says_so(place: Path) -> None:
    def observe(event: Event) -> None:
        if event.kind == "trained":
            shutil.rmtree(place / "gone")

    with pytest.raises(LedgerError, match="was moved or deleted while a run was writing to it"):
        live(place / "gone", observe)
    shutil.rmtree(place / "gone", ignore_errors=True)


@pytest.mark.parametrize("archive", sorted(_FORMATS.glob("*.tar.xz")), ids=lambda path: path.name)
def test_a_run_of_every_released_format_can_be_read(archive: Path, tmp_path: Path) -> None:
    """`1`: a run like `small_run`'s of 32, 24 and 16 prompts by version 0.1.0, without its weights, which are most of its size."""
    with tarfile.open(archive) as packed:
        packed.extractall(tmp_path, filter="data")
    (folder,) = tmp_path.iterdir()
    run = Run.open(folder)
    assert run.finished
    assert [one.decision.promote for one in run.rounds] == [True, False]
    assert [one.name for one in run.results] == ["base", "improved"]
    assert all(one.gate is not None for one in run.rounds)
    assert len(run.groups(0)) == 16
    assert run.examples(0)
    assert len(run.held_out) == 40
    assert findings(run).standings
    assert "83.3" in write_report(run).read_text("utf-8")
    run.close()
    with Ledger(folder, read_only=True) as ledger:
        assert [sentence.rpartition("/")[2] for sentence in ledger.damage()] == [f"{run.best_id} is gone"]
