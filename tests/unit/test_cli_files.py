"""Settings files are values and nothing else."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sharpen.cli.files import read_file
from sharpen.errors import DataError
from sharpen.strict_yaml import read_yaml, written_yaml

PLAIN = st.recursive(
    st.one_of(
        st.none(),
        st.booleans(),
        st.integers(),
        st.floats(allow_nan=False, allow_infinity=False),
        st.text("abc019-.e _:#'\"\\[]{}"),
    ),
    lambda inner: st.lists(inner, max_size=3),
    max_leaves=5,
)


def wrote(folder: Path, text: str) -> Path:
    path = folder / "settings.yaml"
    path.write_text(text, encoding="utf-8")
    return path


@given(PLAIN)
def test_a_value_on_one_line_is_read_back(value: object) -> None:
    text = written_yaml(value)
    assert "\n" not in text
    assert read_yaml(text) == value


def test_reads_names_and_values(tmp_path: Path) -> None:
    path = wrote(
        tmp_path, "method: rft\nnum-train: 12\nlearning_rate: 1e-5\ntask_args: {a: 1, b: [x, 2]}\nraw: false\nday: 2024-01-02\n"
    )
    assert read_file(path) == {
        "method": "rft",
        "num_train": 12,
        "learning_rate": 1e-5,
        "task_args": {"a": 1, "b": ["x", 2]},
        "raw": False,
        "day": "2024-01-02",
    }


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("no", "no"),
        ("NO", "NO"),
        ("off", "off"),
        ("y", "y"),
        ("Yes", "Yes"),
        ("true", True),
        ("1e3", 1000.0),
        ("1e-5", 1e-5),
        ("1:30", "1:30"),
        ("22:22:22", "22:22:22"),
        ("0777", "0777"),
        ("0x1F", "0x1F"),
        ("0b1", "0b1"),
        ("1_000", "1_000"),
        ("+1", 1),
        ("1.", 1.0),
        (".inf", float("inf")),
        ("2001-12-14", "2001-12-14"),
        ("=", "="),
        ("<<", "<<"),
        ("~", None),
        ("", None),
        ("null", None),
    ],
)
def test_values_mean_what_yaml_1_2_says(text: str, value: object) -> None:
    assert read_yaml(f"a: {text}\n") == {"a": value}
    assert type(read_yaml(text)) is type(value)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("rounds: 1\nseed: 2\nrounds: 3\n", "line 3: 'rounds' is given twice; keep one"),
        ("task_args: {a: 1, a: 2}\n", "line 1: 'a' is given twice; keep one"),
        ("a: &x 1\nb: *x\n", "line 2: aliases are not read; write the value out"),
        ("rounds: [1\n", "line 2:"),
        ("- rft\n- tiny\n", "holds list, not settings"),
        ("just words\n", "holds str, not settings"),
        ("", "holds NoneType, not settings"),
        ("3: rounds\n", "3 is no name of a setting"),
        (
            "method: !!python/object/apply:os.system ['true']\n",
            "line 1: the tag 'tag:yaml.org,2002:python/object/apply:os.system'",
        ),
        ("rounds: !!int '3'\n", "line 1: the tag 'tag:yaml.org,2002:int' is not read"),
        ("rounds: !own 3\n", "line 1: the tag '!own' is not read"),
        ("a: &a [x, x]\nb: &b [*a, *a]\nc: [*b, *b]\n", "line 2: aliases are not read"),
        ("base: {a: 1}\nb: {<<: *base}\n", "line 2: aliases are not read"),
        ("a: 1\n---\nb: 2\n", "line 2:"),
        ("a: " + "[" * 5000 + "]" * 5000 + "\n", "nested too deep"),
        ("? [a, b]\n: 1\n", "line 1:"),
        ("#" * 2**20 + "\na: 1\n", "is larger than 1048576 bytes"),
    ],
)
def test_refuses_what_is_no_plain_mapping_and_names_the_line(tmp_path: Path, text: str, said: str) -> None:
    path = wrote(tmp_path, text)
    with pytest.raises(DataError, match=r"settings\.yaml") as caught:
        read_file(path)
    assert said in str(caught.value)


def test_a_file_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"cannot read the settings file .*gone\.yaml: No such file"):
        read_file(tmp_path / "gone.yaml")
    path = tmp_path / "settings.yaml"
    path.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(DataError, match="is not UTF-8 text"):
        read_file(path)
