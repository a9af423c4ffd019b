"""Words of a command line as typed values."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sharpen.cli.values import is_scalar, metavar, nearest, read_value, written_value

REAL = st.floats(allow_nan=False, allow_infinity=False)


@given(
    st.one_of(st.tuples(st.just(int), st.integers()), st.tuples(st.just(float), REAL), st.tuples(st.just(bool), st.booleans()))
)
def test_what_is_written_is_read_back(case: tuple[type, object]) -> None:
    kind, value = case
    assert read_value("x", written_value(value), kind) == value
    assert read_value("x", value, kind) == value
    assert read_value("x", written_value(None), kind | None) is None


@pytest.mark.parametrize(
    ("text", "kind", "value"),
    [
        ("4", int, 4),
        ("-3", int, -3),
        ("1e-5", float, 1e-5),
        ("7", float, 7.0),
        ("yes", bool, True),
        ("OFF", bool, False),
        ("current", Literal["base", "current"], "current"),
        ("2", Literal[1, 2], 2),
        ("none", int | None, None),
        ("5", int | None, 5),
        ("a b", str, "a b"),
        ("runs/x", Path, Path("runs/x")),
    ],
)
def test_reads_each_kind(text: str, kind: object, value: object) -> None:
    found = read_value("x", text, kind)
    assert found == value
    assert type(found) is type(value)


@pytest.mark.parametrize(
    ("value", "kind", "said"),
    [
        ("4.5", int, "x is '4.5'; it is a whole number"),
        (4.0, int, "x is 4.0; it is a whole number"),
        (True, int, "x is True; it is a whole number"),
        ("many", float, "x is 'many'; it is a number"),
        ("nan", float, "x is 'nan'; it is a number"),
        ("inf", float, "x is 'inf'; it is a number"),
        (True, float, "x is True; it is a number"),
        ("maybe", bool, "x is 'maybe'; it is true or false"),
        (1, bool, "x is 1; it is true or false"),
        ("bsae", Literal["base", "current"], "x is 'bsae'; it is one of base, current; did you mean 'base'?"),
        (3, str, "x is 3; it is text, so write it in quotes"),
        ("zero", int | None, "x is 'zero'; it is a whole number"),
        (None, int, "x is None; it is a whole number"),
    ],
)
def test_refuses_what_is_of_another_kind(value: object, kind: object, said: str) -> None:
    with pytest.raises(ValueError) as caught:
        read_value("x", value, kind)
    assert str(caught.value) == said


def test_knows_which_annotations_are_one_word() -> None:
    assert all(is_scalar(kind) for kind in (int, float, str, bool, Path, Literal["a", 1], int | None, float | str))
    assert not any(is_scalar(kind) for kind in (list[int], dict[str, int], None, tuple[int, ...], list[int] | None, object))


def test_help_shows_what_a_value_looks_like() -> None:
    assert [metavar(kind) for kind in (int, float, bool, str, Path, int | None)] == [
        "INT",
        "NUMBER",
        "true|false",
        "TEXT",
        "PATH",
        "INT",
    ]


def test_nearest_says_nothing_where_nothing_is_near() -> None:
    assert nearest("num-sample", ["num_samples"]) == "; did you mean 'num_samples'?"
    assert nearest("zzz", ["num_samples"]) == ""
