"""Values on the wire between tester and box: what crosses, exactly, and what does not."""

from __future__ import annotations

import json
import math
import sys
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

sys.path.insert(0, str(Path(__file__).parents[1] / "sandbox"))
from plain_boxes import PlainBoxes

from sharpen.verifiers.code.boxes import Limits, Raised
from sharpen.verifiers.code.candidates import BoxedCandidate, StoppedError
from sharpen.verifiers.code.program import MAX_DEPTH, MAX_ITEMS, RefusedValueError, decode, encode, pack

KEYS = st.one_of(st.none(), st.booleans(), st.integers(), st.text(max_size=4), st.binary(max_size=4))
VALUES = st.recursive(
    st.one_of(KEYS, st.floats(allow_nan=False), st.integers(-(2**600), 2**600)),
    lambda inner: st.one_of(
        st.lists(inner, max_size=4),
        st.lists(inner, max_size=4).map(tuple),
        st.dictionaries(KEYS, inner, max_size=4),
        st.sets(KEYS, max_size=4),
        st.frozensets(KEYS, max_size=4),
    ),
    max_leaves=20,
)


def shape(value: Any) -> object:
    """A value with the class of everything in it, since 1 == True == 1.0."""
    kind = type(value)
    if kind is dict:
        return kind, [(shape(key), shape(item)) for key, item in value.items()]
    if kind in (list, tuple):
        return kind, [shape(item) for item in value]
    if kind in (set, frozenset):
        return kind, sorted(map(repr, map(shape, value)))
    return kind, repr(value)


@settings(max_examples=60, deadline=None)
@given(VALUES)
def test_a_value_comes_back_with_its_types(value: object) -> None:
    assert shape(decode(json.loads(json.dumps(encode(value))))) == shape(value)


class Whole(int):
    pass


class Words(list[str]):
    pass


DEEP: list[Any] = []
for _ in range(MAX_DEPTH + 1):
    DEEP = [DEEP]
LOOP: list[Any] = []
LOOP.append(LOOP)


@pytest.mark.parametrize(
    "value",
    [
        Whole(1),
        [Whole(1)],
        Words(),
        {"a": Words()},
        {Whole(1): 1},
        object(),
        len,
        int,
        1j,
        range(3),
        bytearray(b"a"),
        iter([]),
        DEEP,
        LOOP,
    ],
    ids=lambda value: type(value).__name__,
)
def test_what_is_not_plain_does_not_cross(value: object) -> None:
    with pytest.raises(RefusedValueError):
        encode(value)


def test_too_much_does_not_cross() -> None:
    assert len(decode(encode([0] * (MAX_ITEMS - 1)))) == MAX_ITEMS - 1
    with pytest.raises(RefusedValueError, match="parts"):
        encode([0] * MAX_ITEMS)
    with pytest.raises(RefusedValueError, match="bytes"):
        pack(encode("x" * (1 << 20)))


@settings(max_examples=100, deadline=None)
@given(
    st.recursive(
        st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=5)),
        lambda inner: st.one_of(
            st.lists(inner, max_size=3),
            st.dictionaries(st.sampled_from(["t", "s", "z", "d", "i", "f", "b", "x"]), inner, max_size=2),
        ),
        max_leaves=12,
    )
)
def test_any_json_is_a_plain_value_or_refused(data: object) -> None:
    try:
        value = decode(data)
    except RefusedValueError:
        return
    again = encode(value)  # only plain values can be written
    assert shape(decode(again)) == shape(value)


def loaded(source: str, **limits: Any) -> BoxedCandidate:
    return BoxedCandidate(PlainBoxes(), source, Limits(**limits))


def test_a_program_answers_calls_and_what_it_does_to_arguments_stays_there() -> None:
    candidate = loaded(
        "seen = []\ndef f(x, *, y=1):\n    x.append(y)\n    seen.append(x)\n    print('noise')\n    return len(seen), x\n"
    )
    try:
        given_ = [1]
        assert candidate.call("f", [given_], {"y": (2.5, None)}) == (1, [1, (2.5, None)])
        assert candidate.call("f", [given_], {}) == (2, [1, 1])
        assert given_ == [1]
        with pytest.raises(Raised) as found:
            candidate.call("f", [3], {})
        assert found.value.kind == "AttributeError"
        assert "x.append(y)" in found.value.text
        with pytest.raises(Raised, match="defines no 'g'"):
            candidate.call("g", [], {})
        with pytest.raises(RefusedValueError, match="class function"):
            candidate.call("f", [lambda: None], {})
        assert candidate.call("f", [[]], {}) == (3, [1]), "it goes on after errors"
    finally:
        candidate.close()


@pytest.mark.parametrize(
    ("body", "kind", "text"),
    [
        ("return float('nan')", "fail", "NaN"),
        ("return {1: [float('nan')]}", "fail", "NaN"),
        ("return (n for n in ())", "fail", "class generator"),
        ("return [0] * 30_000", "fail", "parts"),
        ("import os\n    os._exit(0)", "fail", "ended with code 0"),
        ("import time\n    time.sleep(60)", "timeout", "too long"),
    ],
)
def test_what_ends_a_candidate(body: str, kind: str, text: str) -> None:
    candidate = loaded(f"def f(x):\n    {body}\n", wall_seconds=1.0)
    try:
        with pytest.raises(StoppedError) as found:
            candidate.call("f", [1], {})
        assert (found.value.kind, text in found.value.text) == (kind, True), found.value
    finally:
        candidate.close()


def test_infinities_and_long_integers_cross() -> None:
    candidate = loaded("def f(x):\n    return [x, -x, 7 ** 3000]\n")
    try:
        assert candidate.call("f", [math.inf], {}) == [math.inf, -math.inf, 7**3000]
    finally:
        candidate.close()
