"""A database with a flipped bit, or cut short: nothing false is believed, what proves itself is kept, and writing goes on."""

from __future__ import annotations

import random
import shutil
import sqlite3
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest
from tests.faults.recording import fast_folder

from sharpen.errors import DamagedError, LedgerError
from sharpen.ledger import Ledger
from sharpen.ledger.rows import Rows

_COUNT = 40


@pytest.fixture(scope="module")
def place() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(dir=fast_folder()) as folder:
        yield Path(folder)


@pytest.fixture(scope="module")
def closed(place: Path) -> Path:
    """A ledger whose writer came to its end: one database file of several pages."""
    with Ledger(place / "closed") as ledger:
        _write(ledger)
    return place / "closed"


@pytest.fixture(scope="module")
def killed(place: Path) -> Path:
    """A ledger whose writer was killed: most rows are in SQLite's log alone."""
    with Ledger(place / "open") as ledger:
        _write(ledger)
        shutil.copytree(place / "open", place / "killed")
    return place / "killed"


def _write(ledger: Ledger) -> None:
    for number in range(_COUNT):
        ledger.put("fact", f"f{number}", {"text": f"{number} " * 100})


def _facts(ledger: Ledger) -> Mapping[str, object]:
    return {entry.key: entry.value for entry in ledger.entries("fact")}


_WHOLE = {f"f{number}": {"text": f"{number} " * 100} for number in range(_COUNT)}


def _check(folder: Path) -> int:
    """Open a damaged run directory for reading, then for writing; how many facts are left."""
    try:
        with Ledger(folder, read_only=True) as ledger:
            assert _facts(ledger) == _WHOLE
        noticed = False
    except DamagedError as error:
        assert "run the same" in str(error)
        noticed = True
    sentences: list[str] = []
    with Ledger(folder, tell=sentences.append) as ledger:
        held = _facts(ledger)
        assert held.items() <= _WHOLE.items()
        assert len(held) == _COUNT or sentences
        assert noticed <= bool(sentences)
        assert [entry.value["message"] for entry in ledger.entries("note")] == sentences
        for key in _WHOLE.keys() - held.keys():
            ledger.put("fact", key, _WHOLE[key])
    with Ledger(folder) as ledger:
        assert _facts(ledger) == _WHOLE
        assert len(ledger.entries("note")) == len(sentences)
    if sentences:
        assert "damaged/1" in sentences[0]
        assert (folder / "damaged" / "1" / "ledger.sqlite").exists()
    return len(held)


def _flipped(source: Path, out: Path, name: str, place: int, bit: int) -> Path:
    shutil.rmtree(out, ignore_errors=True)
    shutil.copytree(source, out)
    content = bytearray((out / name).read_bytes())
    content[place] ^= 1 << bit
    (out / name).write_bytes(content)
    return out


def _cut(source: Path, out: Path, name: str, length: int) -> Path:
    shutil.rmtree(out, ignore_errors=True)
    shutil.copytree(source, out)
    with (out / name).open("r+b") as file:
        file.truncate(length)
    return out


def _flip_everywhere(source: Path, out: Path, name: str, *, header: int, elsewhere: int, seed: int) -> list[int]:
    chance = random.Random(seed)
    size = (source / name).stat().st_size
    places = [*chance.sample(range(100), header), *(chance.randrange(100, size) for _ in range(elsewhere))]
    left = []
    for number, byte in enumerate(places):
        bit = chance.randrange(8)
        try:
            left.append(_check(_flipped(source, out, name, byte, bit)))
        except LedgerError as error:
            raise AssertionError(f"flip {number}: byte {byte}, bit {bit}") from error
    return left


def test_a_flipped_bit_of_the_database_is_harmless_or_costs_what_it_hit(closed: Path, place: Path) -> None:
    left = _flip_everywhere(closed, place / "flip", "ledger.sqlite", header=25, elsewhere=60, seed=1)
    assert min(left) < _COUNT  # some were noticed
    assert sum(count >= _COUNT - 12 for count in left) > len(left) * 0.7  # most cost no more than the rows of a page


def test_a_flipped_bit_of_the_schema_costs_no_row(closed: Path, place: Path) -> None:
    """Bit 7 makes SQLite's own messages bytes that are no text; the byte before the text is where the rows begin."""
    start = (closed / "ledger.sqlite").read_bytes().index(b"CREATE TABLE")
    places = [(byte, bit) for byte in range(start - 20, start + 100, 8) for bit in (0, 7)]
    for byte, bit in [*places, (start - 1, 0), (start - 1, 2), (31, 1)]:
        assert _check(_flipped(closed, place / "flip", "ledger.sqlite", byte, bit)) == _COUNT, byte


def test_a_flipped_bit_of_the_log_is_noticed(killed: Path, place: Path) -> None:
    left = _flip_everywhere(killed, place / "flip", "ledger.sqlite-wal", header=5, elsewhere=25, seed=2)
    assert min(left) < _COUNT


def test_a_flipped_bit_of_the_head_is_harmless(closed: Path, place: Path) -> None:
    for byte in range((closed / "head").stat().st_size):
        assert _check(_flipped(closed, place / "flip", "head", byte, byte % 8)) == _COUNT


@pytest.mark.parametrize("name", ["ledger.sqlite", "ledger.sqlite-wal"])
def test_a_database_cut_short_keeps_what_proves_itself(name: str, closed: Path, killed: Path, place: Path) -> None:
    source = killed if name.endswith("-wal") else closed
    chance = random.Random(3)
    size = (source / name).stat().st_size
    for length in [0, size - 1, *chance.sample(range(size), 12)]:
        assert _check(_cut(source, place / "cut", name, length)) < _COUNT


def test_a_lost_log_is_noticed(killed: Path, place: Path) -> None:
    shutil.copytree(killed, place / "without log")
    (place / "without log" / "ledger.sqlite-wal").unlink()
    assert _check(place / "without log") < _COUNT


@pytest.mark.long
def test_flipped_bits_at_length(closed: Path, killed: Path, place: Path) -> None:
    _flip_everywhere(closed, place / "flip", "ledger.sqlite", header=100, elsewhere=1500, seed=4)
    _flip_everywhere(closed, place / "flip", "ledger.sqlite", header=100, elsewhere=0, seed=5)
    _flip_everywhere(killed, place / "flip", "ledger.sqlite-wal", header=30, elsewhere=400, seed=6)


def test_an_edited_row_is_set_aside_and_the_rest_kept(closed: Path, place: Path) -> None:
    folder = place / "edited"
    shutil.copytree(closed, folder)
    connection = sqlite3.connect(folder / "ledger.sqlite")
    connection.execute("UPDATE entry SET value = '{\"text\":\"forged\"}' WHERE key = 'f7'")
    connection.commit()
    connection.close()
    with pytest.raises(DamagedError, match=r"row 8 \(fact f7\) does not match the digest chain"):
        Ledger(folder, read_only=True)
    assert _check(folder) == _COUNT - 1


@pytest.mark.parametrize(
    "change", ["DELETE FROM entry WHERE key = 'f7'", "UPDATE entry SET at = at + 1 WHERE key = 'f7'", "DELETE FROM entry"]
)
def test_a_removed_or_redated_row_is_noticed(change: str, closed: Path, place: Path) -> None:
    folder = place / "changed"
    shutil.rmtree(folder, ignore_errors=True)
    shutil.copytree(closed, folder)
    connection = sqlite3.connect(folder / "ledger.sqlite")
    connection.execute(change)
    connection.commit()
    connection.close()
    with pytest.raises(DamagedError):
        Ledger(folder, read_only=True)
    _check(folder)


def test_a_chain_that_is_not_checked_would_believe_an_edited_row(
    closed: Path, place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = place / "unchecked"
    shutil.copytree(closed, folder)
    connection = sqlite3.connect(folder / "ledger.sqlite")
    connection.execute("UPDATE entry SET value = '{\"text\":\"forged\"}' WHERE key = 'f7'")
    connection.commit()
    connection.close()
    monkeypatch.setattr("sharpen.ledger.rows.proves", lambda previous, row: True)
    with pytest.raises(AssertionError):
        _check(folder)


def test_damage_found_while_writing_ends_all_writing(closed: Path, place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shutil.copytree(closed, place / "while writing")
    with Ledger(place / "while writing") as ledger:

        def malformed(self: Rows, *facts: object) -> None:
            raise LedgerError("cannot use it")

        with monkeypatch.context() as patch:
            patch.setattr(Rows, "append", malformed)
            with pytest.raises(LedgerError):
                ledger.put("fact", "more", {})
        with pytest.raises(LedgerError, match="records nothing more"):
            ledger.put("fact", "more", {})
