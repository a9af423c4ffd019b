"""What the ledger's Parquet files hold: values that come back equal, and columns that people can read."""

from __future__ import annotations

import io
import json
from dataclasses import dataclass

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from example_builders import PROMPT, completion, demonstration, group, preference
from hypothesis import given
from hypothesis import strategies as st

from sharpen.errors import DamagedError
from sharpen.ledger.codec import decode, encode, from_plain, to_plain
from sharpen.types import Checkpoint, Group, Prompt, Text, user


@dataclass(frozen=True, kw_only=True)
class Held:
    """A frozen value of this module."""

    value: object
    more: object = None


@dataclass
class Thawed:
    """No frozen value."""

    value: object = None


class Plain:
    """No dataclass."""

    @dataclass(frozen=True)
    class Inner:
        """A frozen value inside a class."""

        value: int


_PLAIN = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner).map(tuple) | st.dictionaries(st.text(alphabet="@ab", max_size=3), inner),
    max_leaves=8,
)


@given(st.lists(st.builds(Held, value=_PLAIN, more=st.none() | st.builds(Held, value=_PLAIN)), max_size=3))
def test_values_come_back_equal(values: list[Held]) -> None:
    assert decode(encode(values)) == values


def test_lists_come_back_as_tuples_and_keys_as_text() -> None:
    assert from_plain(to_plain([1, [2, (3,)], {4: [5]}])) == (1, (2, (3,)), {"4": (5,)})
    assert from_plain(to_plain({"@": "sharpen.types:Text", "@@": 1, "a@": 2})) == {"@": "sharpen.types:Text", "@@": 1, "a@": 2}
    assert to_plain({"@": 1, "a": 2}) == {"@@": 1, "a": 2}
    assert to_plain(Text(text="a")) == {"@": "sharpen.types:Text", "text": "a"}
    assert from_plain(to_plain(Plain.Inner(value=3))) == Plain.Inner(value=3)


@pytest.mark.parametrize("value", [{1, 2}, b"bytes", Text, open, object()])
def test_what_has_no_plain_form_is_refused(value: object) -> None:
    with pytest.raises(
        TypeError, match=rf"\({type(value).__name__}\) cannot be filed; examples hold plain values and dataclasses"
    ):
        to_plain([value])


def test_the_columns_are_for_people() -> None:
    asked = user("What is\ud800?")
    values = [
        group(["4", "\ud8005"], reward=[1.0, None]),
        asked,
        completion("four"),
        demonstration([1.0]),
        preference([1.0], [1.0]),
        Text(text="other"),
    ]
    content = encode(values)
    table = pq.read_table(io.BytesIO(content))
    assert table.column_names == ["kind", "prompt", "completions", "scores", "value"]
    assert table.column("kind").to_pylist() == ["Group", "Prompt", "Completion", "Demonstration", "Preference", "Text"]
    question = PROMPT.text
    assert table.column("prompt").to_pylist() == [question, "What is\\ud800?", None, question, question, None]
    assert table.column("completions").to_pylist() == [["4", "\\ud8005"], None, ["four"], [""], ["", ""], None]
    assert table.column("scores").to_pylist() == ['{"reward": [1.0, null]}', None, None, None, None, None]
    assert [json.loads(text) for text in table.column("value").to_pylist()] == [to_plain(value) for value in values]
    assert pq.ParquetFile(io.BytesIO(content)).metadata.row_group(0).column(0).compression == "ZSTD"
    assert decode(content) == values
    assert isinstance(decode(content)[0], Group)


def test_no_values_are_a_file_too() -> None:
    content = encode([])
    assert decode(content) == []
    assert pq.read_schema(io.BytesIO(content)).field("completions").type == pa.list_(pa.string())


def _file(value: object) -> bytes:
    buffer = io.BytesIO()
    pq.write_table(pa.table({"value": [json.dumps(value) if value != "broken" else "{"]}), buffer)
    return buffer.getvalue()


@pytest.mark.parametrize(
    "content",
    [
        b"no Parquet",
        b"",
        _file("broken"),
        _file({"@": "sharpen.types:Text", "words": "a"}),
        _file({"@": "sharpen.types:Text"}),
        _file({"@": "sharpen.types:Prompt", "messages": [], "unknown": 1}),
        _file({"@": "sharpen.types:Preference", "chosen": None, "rejected": None, "p_chosen": 2.0}),
    ],
)
def test_a_file_that_cannot_be_read_is_damaged(content: bytes) -> None:
    with pytest.raises(DamagedError, match="a Parquet file of the ledger cannot be read: "):
        decode(content)


def test_a_file_without_values_is_damaged() -> None:
    buffer = io.BytesIO()
    pq.write_table(pa.table({"other": [1]}), buffer)
    with pytest.raises(DamagedError):
        decode(buffer.getvalue())


@pytest.mark.parametrize(
    "name",
    [
        "os:system",
        "sharpen.types:Score",
        "sharpen.types:user",
        "sharpen.types:Prompt.id",
        "sharpen.types:Nothing",
        "not_imported_anywhere:Text",
        "sharpen.types:",
        "sharpen.types",
        f"{__name__}:Thawed",
        f"{__name__}:Plain",
        f"{__name__}:Plain.Missing",
    ],
)
def test_pitfall_a_file_can_name_nothing_but_frozen_dataclasses_of_imported_modules(name: str) -> None:
    with pytest.raises(DamagedError, match=rf"the ledger names '{name}', which is no frozen dataclass"):
        from_plain({"@": name})


def test_a_class_inside_a_value_is_found_and_fields_are_restored() -> None:
    checkpoint = Checkpoint(id="a", parent=None, uri=None) if "parent" in Checkpoint.__dataclass_fields__ else None
    for value in (checkpoint, Prompt(messages=()), {"a": (Text(text="b"), None, True, 1.5)}):
        assert from_plain(json.loads(json.dumps(to_plain(value)))) == value
