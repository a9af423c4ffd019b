"""The seal of a round's end: rows lost from the end, or all replaced, are noticed even where `head` went with them."""

from __future__ import annotations

import shutil
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from sharpen.errors import DamagedError
from sharpen.ledger import Ledger, rows
from sharpen.ledger.seal import Seal, read_seal, write_seal


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return _sealed(tmp_path / "run", "a")


def _sealed(folder: Path, name: str) -> Path:
    with Ledger(folder) as ledger:
        for number in range(6):
            ledger.put("fact", f"{name}{number}", {"number": number})
        ledger.seal()
        ledger.put("fact", "after", {})
    return folder


def _without_last(folder: Path, number: int) -> None:
    with closing(sqlite3.connect(folder / "ledger.sqlite", isolation_level=None)) as connection:
        connection.execute("DELETE FROM entry WHERE sequence > (SELECT max(sequence) FROM entry) - ?", (number,))
    (folder / "head").unlink()


def test_rows_lost_from_the_end_are_noticed_though_head_is_lost_too(folder: Path) -> None:
    _without_last(folder, 2)
    with pytest.raises(DamagedError, match=r"not the rows that were sealed in `seal`"):
        Ledger(folder, read_only=True)
    told: list[str] = []
    with Ledger(folder, tell=told.append) as ledger:
        assert [entry.key for entry in ledger.entries("fact")] == [f"a{number}" for number in range(5)]
        ledger.put("fact", "a5", {"number": 5})
        ledger.seal()
    assert "sealed" in told[0]
    with Ledger(folder, read_only=True) as ledger:
        assert len(ledger.entries("note")) == 1


def test_what_came_after_the_seal_may_be_gone(folder: Path) -> None:
    _without_last(folder, 1)
    with Ledger(folder, read_only=True) as ledger:
        assert len(ledger.entries("fact")) == 6


def test_another_runs_database_is_noticed(folder: Path, tmp_path: Path) -> None:
    other = _sealed(tmp_path / "other", "b")
    shutil.copyfile(other / "ledger.sqlite", folder / "ledger.sqlite")
    with pytest.raises(DamagedError, match="sealed"):
        Ledger(folder, read_only=True)


def test_a_seal_that_is_not_read_would_believe_another_runs_database(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = _sealed(tmp_path / "other", "b")
    shutil.copyfile(other / "ledger.sqlite", folder / "ledger.sqlite")
    monkeypatch.setattr("sharpen.ledger.store.read_seal", lambda folder: None)
    with Ledger(folder, read_only=True) as ledger:
        assert ledger.get("fact", "b0")


def test_a_damaged_seal_harms_nothing_and_is_told_and_written_anew(folder: Path) -> None:
    content = (folder / "seal").read_bytes()
    for place in range(len(content)):
        (folder / "seal").write_bytes(content[:place] + bytes([content[place] ^ 1]) + content[place + 1 :])
        assert read_seal(folder) is None
    with Ledger(folder, read_only=True) as ledger:
        assert "seal does not match its checksum" in ledger.damage()[0]
    with Ledger(folder) as ledger:
        ledger.seal()
        assert ledger.damage() == []


def test_a_run_without_a_seal_and_one_sealed_before_its_first_row_can_be_read(tmp_path: Path) -> None:
    with Ledger(tmp_path) as ledger:
        ledger.seal()
        assert read_seal(tmp_path) == Seal(count=0, link=rows.GENESIS)
    for _ in range(2):
        with Ledger(tmp_path) as ledger:
            ledger.put("fact", "a", {})
        (tmp_path / "seal").unlink(missing_ok=True)


def test_a_seal_is_durable_and_replaced_as_a_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_seal(tmp_path, Seal(count=1, link="a" * 64))
    with monkeypatch.context() as patch:
        patch.setattr("os.replace", lambda *names: (_ for _ in ()).throw(OSError(5, "no")))
        with pytest.raises(Exception, match="cannot write"):
            write_seal(tmp_path, Seal(count=2, link="b" * 64))
    assert read_seal(tmp_path) == Seal(count=1, link="a" * 64)
    assert [path.name for path in tmp_path.iterdir()] == ["seal"]
