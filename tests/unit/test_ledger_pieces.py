"""Values are filed as they are made and read as they are asked for, and no more of them is in memory than a few pieces."""

from __future__ import annotations

import tracemalloc
from collections.abc import Iterator
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from sharpen.digest import digest
from sharpen.errors import DamagedError
from sharpen.ledger import Contents, Ledger
from sharpen.ledger.codec import to_plain
from sharpen.types import Prompt, user

_LONG = "x" * 10_000  # some thirty make a piece


def _prompts(count: int) -> Iterator[Prompt]:
    return (user(f"{number} {_LONG}") for number in range(count))


def _facts(made: Contents) -> dict[str, object]:
    return {"out": made.number, "digest": made.digest}


def test_what_is_made_is_read_in_order_by_this_process_and_the_next(tmp_path: Path) -> None:
    expected = list(_prompts(100))
    with Ledger(tmp_path) as ledger:
        entry = ledger.put_made("stage", "a", _prompts(100), _facts)
        assert ledger.sequence([entry]) == expected
    with Ledger(tmp_path) as ledger:
        entry = ledger.entries("stage")[0]
        ledger.check(entry)
        found = ledger.sequence([entry])
        assert len(found) == 100
        assert found == expected
        assert [found[-1], found[0], found[50]] == [expected[-1], expected[0], expected[50]]
        assert ledger.items(entry) == expected


def test_several_rows_read_as_one_sequence(tmp_path: Path) -> None:
    with Ledger(tmp_path) as ledger:
        entries = [
            ledger.put("block", "a", {}, [user("1"), user("2")]),
            ledger.put("block", "none", {}, []),
            ledger.put_made("stage", "c", _prompts(70), _facts),
        ]
        assert ledger.sequence(entries) == [user("1"), user("2"), *_prompts(70)]
        assert ledger.sequence([]) == []


@pytest.mark.parametrize("count", [0, 1, 100])
def test_the_facts_are_told_what_was_made(count: int, tmp_path: Path) -> None:
    with Ledger(tmp_path) as ledger:
        value = ledger.put_made("stage", "a", _prompts(count), _facts).value
    plain = [to_plain(prompt) for prompt in _prompts(count)]
    assert value == {"out": count, "digest": digest("content", plain)}


def test_what_is_made_may_record_rows_of_its_own(tmp_path: Path) -> None:
    def made(ledger: Ledger) -> Iterator[Prompt]:
        for number, prompt in enumerate(_prompts(70)):
            ledger.put("block", str(number), {}, [prompt])
            yield prompt

    with Ledger(tmp_path) as ledger:
        ledger.put_made("stage", "a", made(ledger), _facts)
        assert [entry.kind for entry in (*ledger.entries("block"), *ledger.entries("stage"))] == ["block"] * 70 + ["stage"]


def test_what_fails_while_it_is_made_leaves_no_row_and_no_file(tmp_path: Path) -> None:
    def failing() -> Iterator[Prompt]:
        yield from _prompts(70)
        raise OSError("the part's own")

    with Ledger(tmp_path) as ledger:
        with pytest.raises(OSError, match="the part's own"):
            ledger.put_made("stage", "a", failing(), _facts)
        assert ledger.get("stage", "a") is None
        assert list((tmp_path / "stage").iterdir()) == []
        entry = ledger.put_made("stage", "a", _prompts(3), _facts)  # and the ledger goes on
        assert ledger.sequence([entry]) == list(_prompts(3))


@pytest.mark.parametrize("damage", ["cut", "gone"])
def test_a_file_that_is_lost_after_it_was_checked_is_told_when_it_is_read(damage: str, tmp_path: Path) -> None:
    with Ledger(tmp_path) as ledger:
        ledger.put_made("stage", "a", _prompts(400), _facts)
    with Ledger(tmp_path) as ledger:
        entry = ledger.entries("stage")[0]
        ledger.check(entry)
        found = ledger.sequence([entry])
        path = tmp_path / str(entry.path)
        path.unlink() if damage == "gone" else path.write_bytes(b"\0" * path.stat().st_size)
        with pytest.raises(DamagedError, match="cannot be read any more"):
            found[0]
        assert ledger.get("stage", "a") is None


def test_a_changed_page_is_never_read_as_values(tmp_path: Path) -> None:
    with Ledger(tmp_path) as ledger:
        entry = ledger.put("stage", "a", {}, [user(digest(number)) for number in range(500)])
    path = tmp_path / str(entry.path)
    content = bytearray(path.read_bytes())
    column = pq.read_metadata(path).row_group(0).column(4)  # of values
    content[column.data_page_offset + column.total_compressed_size // 2] ^= 1
    path.write_bytes(content)
    with Ledger(tmp_path) as ledger, pytest.raises(DamagedError, match="cannot be read any more"):
        list(ledger.sequence(ledger.entries("stage")))


def test_memory_does_not_grow_with_what_is_filed_and_read(tmp_path: Path) -> None:
    peaks = []
    for count in (200, 1000):
        with Ledger(tmp_path / str(count)) as ledger:
            tracemalloc.start()
            entry = ledger.put_made("stage", "a", _prompts(count), _facts)
            ledger.check(entry)
            assert sum(1 for _ in ledger.sequence([entry])) == count
            peaks.append(tracemalloc.get_traced_memory()[1])
            tracemalloc.stop()
    assert peaks[1] - peaks[0] < 800 * 500  # each has 10,000 characters
