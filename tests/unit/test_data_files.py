from __future__ import annotations

import contextlib
import json
import math
from collections.abc import Callable
from pathlib import Path

import pyarrow
import pyarrow.parquet
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sharpen.data import read_rows
from sharpen.data.files import MAX_LINE, clean, file_rows
from sharpen.errors import DataError

ROWS = [{"prompt": "2 + 2?", "target": "4"}, {"prompt": "é 日本", "target": "x", "level": "3"}]


def json_lines(path: Path, *lines: str | bytes) -> Path:
    path.write_bytes(b"\n".join(line.encode() if isinstance(line, str) else line for line in lines) + b"\n")
    return path


def test_the_three_formats_say_the_same(tmp_path: Path) -> None:
    lines = json_lines(tmp_path / "a.jsonl", *map(json.dumps, ROWS))
    table = tmp_path / "a.csv"
    table.write_text("prompt,target,level\n2 + 2?,4,\né 日本,x,3\n", encoding="utf-8")
    columns = tmp_path / "a.parquet"
    pyarrow.parquet.write_table(pyarrow.Table.from_pylist([{"level": None, **row} for row in ROWS]), columns)
    read = [[row.prompt for row in read_rows(path).rows] for path in (lines, table, columns)]
    assert read[0] == read[1] == read[2]
    assert read[0] == [row.prompt for row in read_rows(ROWS).rows]
    assert read[0][1].tags == {"level": "3"}


def test_a_datasets_object_is_read_as_a_list_is(tmp_path: Path) -> None:
    datasets = pytest.importorskip("datasets")
    data = datasets.Dataset.from_list([{"level": None, **row} for row in ROWS])
    assert [row.prompt for row in read_rows(data).rows] == [row.prompt for row in read_rows(ROWS).rows]
    with pytest.raises(DataError, match=r"one DatasetDict of \['test', 'train'\]; choose a split"):
        read_rows(datasets.DatasetDict({"train": data, "test": data}))


def test_where_a_row_stands_is_known(tmp_path: Path) -> None:
    path = json_lines(tmp_path / "a.jsonl", json.dumps(ROWS[0]), "", json.dumps(ROWS[1]))
    assert [where for where, _ in file_rows(path)] == [f"{path}, line 1", f"{path}, line 3"]
    table = tmp_path / "a.csv"
    table.write_text('prompt,target\n"two\nlines",4\nb,5\n')
    assert [where for where, _ in file_rows(table)] == [f"{table}, line 2", f"{table}, line 4"]


def test_a_byte_order_mark_and_windows_line_ends_are_read(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    path.write_bytes(b"\xef\xbb\xbf" + json.dumps(ROWS[0]).encode() + b"\r\n" + json.dumps(ROWS[1]).encode())
    assert [row.prompt.target for row in read_rows(path).rows] == ["4", "x"]
    table = tmp_path / "a.csv"
    table.write_bytes(b"\xef\xbb\xbfprompt,target\r\na,4\r\n")
    assert read_rows(table).rows[0].prompt.target == "4"


GOOD = json.dumps(ROWS[0])


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("{", "is not a JSON object"),
        ("not json", "is not a JSON object"),
        ("[1, 2]", "holds list, not an object"),
        ('"text"', "holds str, not an object"),
        ("null", "holds NoneType, not an object"),
        ('{"prompt": "a"} {"prompt": "b"}', "is not a JSON object"),
        ('{"prompt": "a", "prompt": "b"}', "key 'prompt' stands twice"),
        ('{"prompt": "a", "x": {"k": 1, "k": 2}}', "key 'k' stands twice"),
        ('{"prompt": "a", "x": NaN}', "NaN is not JSON"),
        ('{"prompt": "a", "x": -Infinity}', "-Infinity is not JSON"),
        ('{"prompt": "a", "x": 1e999}', "holds inf"),
        ('{"prompt": "a\\u0000b"}', "NUL character"),
        ('{"prompt": "a", "x": [{"y": "\\u0000"}]}', "NUL character"),
        ('{"prompt": "a", "x": {"\\u0000": 1}}', "NUL character"),
        ('{"prompt": "\\ud800"}', "half a surrogate pair"),
        ('{"": 1, "prompt": "a"}', "has no name"),
        ('{"prompt": "a", "x": ' + "[" * 40 + "]" * 40 + "}", "nested more than 32 deep"),
        ('{"prompt": "a", "x": ' + "[" * 100_000 + "]" * 100_000 + "}", "is not a JSON object"),
        ('{"prompt": "a", "x": ' + "9" * 5000 + "}", "is not a JSON object"),
        (json.dumps({"prompt": "a", **{f"c{i}": i for i in range(300)}}), "has 301 columns"),
        (json.dumps({"prompt": "a" * MAX_LINE}), "is longer than 1048576 bytes"),
        (b'{"prompt": "\xff"}', "is not UTF-8 at byte 12"),
        (b'{"prompt": "\xc3"}', "is not UTF-8"),
        (GOOD.encode("utf-16"), "is not UTF-8"),
        (b"\x80\x04\x95pickle", "is not UTF-8"),
        (b"\x1f\x8b\x08gzip", "is not UTF-8"),
    ],
)
def test_a_malformed_line_is_refused_with_file_and_line(tmp_path: Path, line: str | bytes, message: str) -> None:
    path = json_lines(tmp_path / "bad.jsonl", GOOD, line, GOOD)
    with pytest.raises(DataError, match=message) as raised:
        read_rows(path)
    assert str(raised.value).startswith(f"{path}, line 2")
    assert "\n" not in str(raised.value)
    assert len(str(raised.value)) < 400


@pytest.mark.parametrize(
    ("text", "line", "message"),
    [
        ("prompt,prompt\na,b\n", 1, "empty or repeated name"),
        ("prompt,\na,b\n", 1, "empty or repeated name"),
        ("prompt,target\na,1\nb,2,3\n", 3, "has 3 cells for 2 columns"),
        ("prompt,target\na,1\nb\n", 3, "has 1 cells for 2 columns"),
        ('prompt,target\na,1\n"b,2\n', 3, "is not CSV"),
        ('prompt,target\na,1\n"b"x,2\n', 3, "is not CSV"),
        ("prompt,target\na,1\n" + "b" * 140_000 + ",2\n", 3, "is not CSV"),
        ("prompt,target\na\x00,1\n", 2, "NUL"),
    ],
)
def test_malformed_csv_is_refused_with_the_line(tmp_path: Path, text: str, line: int, message: str) -> None:
    path = tmp_path / "bad.csv"
    path.write_text(text)
    with pytest.raises(DataError, match=message) as raised:
        read_rows(path)
    assert f"line {line}" in str(raised.value)


@pytest.mark.parametrize("damage", [lambda b: b[:-20], lambda b: b"PAR1" + b[4:][::-1], lambda b: b"", lambda b: b"text"])
def test_a_damaged_parquet_file_is_refused(tmp_path: Path, damage: Callable[[bytes], bytes]) -> None:
    path = tmp_path / "bad.parquet"
    pyarrow.parquet.write_table(pyarrow.Table.from_pylist(ROWS), path)
    path.write_bytes(damage(path.read_bytes()))
    with pytest.raises(DataError, match="is not readable as Parquet"):
        read_rows(path)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("absent.jsonl", "there is no file"),
        ("rows.json", "is none of .jsonl"),
        ("rows.pkl", "is none of .jsonl"),
        (".", "there is no file"),
    ],
)
def test_a_missing_or_foreign_file_is_one_sentence(tmp_path: Path, name: str, message: str) -> None:
    for made in ("rows.json", "rows.pkl"):
        (tmp_path / made).write_text("[]")
    with pytest.raises(DataError, match=message):
        read_rows(tmp_path / name)


@pytest.mark.parametrize(
    ("name", "content"),
    [("a.jsonl", ""), ("a.jsonl", "\n\n"), ("a.csv", ""), ("a.csv", "prompt,target\n"), ("a.parquet", None)],
)
def test_empty_data_is_one_sentence(tmp_path: Path, name: str, content: str | None) -> None:
    path = tmp_path / name
    if content is None:
        pyarrow.parquet.write_table(pyarrow.Table.from_pylist([], pyarrow.schema([("prompt", pyarrow.string())])), path)
    else:
        path.write_text(content)
    with pytest.raises(DataError, match="holds no rows"):
        read_rows(path)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)


@given(JSON)
def test_a_clean_row_is_one_that_json_and_utf8_can_say(value: object) -> None:
    row = {"column": value}
    try:
        clean("here", row)
    except DataError as error:
        assert str(error).startswith("here")
        return
    text = json.dumps(row, allow_nan=False, ensure_ascii=False)
    assert json.loads(text.encode("utf-8").decode("utf-8")) == row
    assert not (isinstance(value, float) and not math.isfinite(value))


@settings(max_examples=300)
@given(st.binary(max_size=200))
def test_whatever_bytes_a_file_holds_only_a_data_error_comes_out(
    tmp_path_factory: pytest.TempPathFactory, content: bytes
) -> None:
    for suffix in (".jsonl", ".csv", ".parquet"):
        path = tmp_path_factory.getbasetemp() / f"fuzz{suffix}"
        path.write_bytes(content)
        with contextlib.suppress(DataError):  # any other exception fails the test
            read_rows(path)


@settings(max_examples=300)
@given(JSON, st.sampled_from(["prompt", "messages", "completion", "chosen", "rejected", "target", "id", "options", "x"]))
def test_whatever_a_cell_holds_only_a_data_error_comes_out(value: object, name: str) -> None:
    try:
        rows = read_rows([{"prompt": "a", name: value}])
    except DataError as error:
        assert "\n" not in str(error)
    else:
        assert len(rows.rows) == 1
