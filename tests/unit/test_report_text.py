"""Numbers in words; untrusted text in which nothing is invisible and nothing is markup."""

from __future__ import annotations

import re
import unicodedata
import xml.etree.ElementTree as ET

import pytest
from hypothesis import given
from hypothesis import strategies as st
from markupsafe import Markup

from sharpen.report.text import amount, duration, pretty_call, shown, signed, told, visible

SEEN = {"\t", "\n", "\u200c", "\u200d"}  # joiners hold letters and pictures together where they stand inside a script


@given(st.text())
def test_visible_text_holds_nothing_that_cannot_be_seen(text: str) -> None:
    for character in str(visible(text)):
        hidden = unicodedata.category(character) in ("Cc", "Zl", "Zp", "Cs", "Co")
        assert character in SEEN or not hidden, f"U+{ord(character):04X}"


@pytest.mark.parametrize(
    "character",
    ["\x00", "\x1b", "\r", "\x7f", "\x85", "\xad", "\u061c", "\u200b", "\u200e", "\u2028", "\u202e", "\u2066", "\u2069", "\ufeff",
     "\u3164", "\ud800", "\ue000", "\ufffe", "\U000e0041", "\U0010ffff"],
)  # fmt: skip
def test_each_hidden_character_is_written_out(character: str) -> None:
    assert visible(f"a{character}b") == f"a[U+{ord(character):04X}]b"
    assert f">U+{ord(character):04X}</span>" in shown(f"a{character}b")


@pytest.mark.parametrize(
    "text",
    ["naïve café", "日本語", "👩\u200d🚀", "\u0645\u06cc\u200c\u062e\u0648\u0627\u0647\u0645", "שלום", "1\t2\n3", "e\u0301"],
)
def test_ordinary_writing_is_left_alone(text: str) -> None:
    assert visible(text) == text
    assert shown(text) == f"<bdi>{text}</bdi>"


def test_a_joiner_after_plain_letters_is_hidden_writing() -> None:
    assert visible("ad\u200dmin") == "ad[U+200D]min"


@given(st.text())
def test_shown_text_is_one_isolated_well_formed_element_with_the_text_as_its_text(text: str) -> None:
    element = ET.fromstring(shown(text))
    assert element.tag == "bdi"
    assert {inner.tag for inner in element.iter()} <= {"bdi", "span"}
    assert "".join(element.itertext()) == re.sub(r"\[(U\+[0-9A-F]+)\]", r"\1", str(visible(text))) or "[U+" in text


def test_a_long_text_is_cut_and_says_by_how_much() -> None:
    assert shown("x" * 1500, 10) == '<bdi>xxxxxxxxxx</bdi> <span class="cut">[1,490 more characters]</span>'
    assert shown("xy", 2) == "<bdi>xy</bdi>"


def test_markup_of_ours_passes_and_other_values_stay_what_they_are() -> None:
    assert visible(Markup("<b>\x00</b>")) == "<b>\x00</b>"
    assert visible(None) is None


@pytest.mark.parametrize(
    ("value", "text"), [(0.0, "+0.0"), (-0.04, "+0.0"), (-0.05000001, "-0.1"), (12.34, "+12.3"), (-100.0, "-100.0")]
)
def test_signed(value: float, text: str) -> None:
    assert signed(value) == text


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0.0, "0.0 s"),
        (59.94, "59.9 s"),
        (59.96, "1 min 0 s"),
        (3599.4, "59 min 59 s"),
        (3599.6, "1 h 0 min"),
        (86_400, "24 h 0 min"),
    ],
)
def test_duration(seconds: float, text: str) -> None:
    assert duration(seconds) == text


@pytest.mark.parametrize(
    ("value", "text"),
    [(0, "0"), (1, "1"), (99.96, "100"), (0.5, "0.5"), (1234.5, "1,234"), (-0.25, "-0.25"), (3e-5, "3.0e-05")],
)
def test_amount(value: float, text: str) -> None:
    assert amount(value) == text


CALLS = st.recursive(
    st.sampled_from(["1", "None", "'a, (b'", '"it\'s"', "x", "0.5", r"'\''"]),
    lambda inner: (
        st.lists(inner, max_size=4).map(lambda parts: f"name({', '.join(parts)})")
        | st.lists(inner, min_size=2, max_size=3).map(lambda parts: f"[{', '.join(parts)}]")
        | inner.map(lambda part: f"key={part}")
    ),
    max_leaves=20,
)


@given(CALLS, st.integers(min_value=1, max_value=60))
def test_a_call_set_over_lines_is_the_same_call(call: str, width: int) -> None:
    printed = pretty_call(call, width=width)
    assert re.sub(r",(?=[)\]])", "", re.sub(r"\s+", "", printed)) == re.sub(r",(?=[)\]])", "", re.sub(r"\s+", "", call))


@pytest.mark.parametrize("text", ["", "(", ")))", "f(", "f(a]b", "'open (", "a" * 200, "f()" * 50])
def test_what_is_no_call_is_printed_without_loss(text: str) -> None:
    assert re.sub(r"[\s,]", "", pretty_call(text, width=10)) == re.sub(r"[\s,]", "", text)


def test_facts_in_words() -> None:
    assert told({"a": None, "b": [1, 2], "c": {}}) == "a: not known, b: 1, 2, c: none"
