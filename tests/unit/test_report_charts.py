"""Charts put marks where the numbers are, and shapes tell what colours tell."""

from __future__ import annotations

import xml.etree.ElementTree as ET

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from markupsafe import Markup

from sharpen.report.charts import Point, Scale, Share, axis_cell, interval_cell, rounds_chart, shares_bar, sparkline

NUMBERS = st.floats(min_value=-1e6, max_value=1e6, allow_nan=False).map(lambda value: round(value, 3))
SVG = "{http://www.w3.org/2000/svg}"


def share(text: str | None) -> float:
    assert text is not None
    assert text.endswith("%")
    return float(text[:-1])


def drawn(markup: Markup) -> ET.Element:
    return ET.fromstring(str(markup).replace("<div", f'<div xmlns="{SVG[1:-1]}"', 1))


@given(st.lists(NUMBERS, min_size=1, max_size=20))
def test_a_scale_holds_every_value_between_round_ends(values: list[float]) -> None:
    scale = Scale.over(values)
    assert scale.low <= min(values)
    assert scale.high >= max(values)
    assert scale.ticks[0] == scale.low
    assert scale.ticks[-1] == scale.high
    assert 2 <= len(scale.ticks) <= 8
    assert list(scale.ticks) == sorted(set(scale.ticks))


@given(st.lists(NUMBERS, min_size=2, max_size=9), NUMBERS, NUMBERS)
def test_larger_values_lie_further_right(values: list[float], one: float, other: float) -> None:
    assume(one < other)
    scale = Scale.over([*values, one, other])
    assert share(scale.x(one)) <= share(scale.x(other))
    assert 0 < share(scale.x(one)) < 100


def test_a_scale_of_nothing_and_of_one_value_still_has_a_width() -> None:
    assert Scale.over([]).low < Scale.over([]).high
    assert Scale.over([0.3, 0.3]).low < 0.3 < Scale.over([0.3, 0.3]).high


def test_an_interval_cell_draws_the_mean_and_both_ends_where_they_are() -> None:
    scale = Scale.over([0.0, 1.0])
    cell = drawn(interval_cell(scale, 0.4, 0.2, 0.7, shape="dot", kind="improved"))
    whiskers = [line for line in cell.iter(f"{SVG}line") if line.get("class") == "whisker improved"]
    assert (whiskers[0].get("x1"), whiskers[0].get("x2")) == (scale.x(0.2), scale.x(0.7))
    assert {line.get("x1") for line in whiskers[1:]} == {scale.x(0.2), scale.x(0.7)}
    (mark,) = (inner for inner in cell.iter(f"{SVG}svg") if inner.get("class") == "mark improved")
    assert mark.get("x") == scale.x(0.4)
    assert cell.get("aria-hidden") == "true"


def test_a_cell_without_interval_draws_none() -> None:
    cell = interval_cell(Scale.over([0.0, 1.0]), 0.4, None, None, shape="diamond", kind="control")
    assert "whisker" not in cell


def test_an_axis_is_labelled_in_its_unit() -> None:
    assert [text.text for text in drawn(axis_cell(Scale.over([0.0, 0.5]), percent=True)).iter(f"{SVG}text")][:2] == ["0", "10"]
    signs = [text.text for text in drawn(axis_cell(Scale.over([-0.2, 0.2]), percent=True, signs=True)).iter(f"{SVG}text")]
    assert "0" in signs
    assert "+20" in signs
    assert "-20" in signs


def point(label: str, fate: str, value: float | None, kept: float | None) -> Point:
    low, high = (None, None) if value is None else (value - 0.05, value + 0.05)
    return Point(label=label, fate=fate, value=value, low=low, high=high, kept=kept)  # type: ignore[arg-type]


ROUNDS = [
    point("Base", "base", 0.1, 0.1),
    point("Round 1", "promoted", 0.5, 0.5),
    point("Round 2", "rolled back", 0.55, 0.5),
    point("Round 3", "not tested", None, 0.5),
]


def test_the_rounds_chart_tells_fates_by_shape_and_word_and_what_the_run_goes_on_with_by_a_line() -> None:
    chart = drawn(rounds_chart(ROUNDS, Scale.over([0.0, 0.6]), percent=True, label="accuracy by <round>"))
    assert (chart.get("role"), chart.get("aria-label")) == ("img", "accuracy by <round>")
    marks = {
        str(inner.get("class")): inner[0] for inner in chart.iter(f"{SVG}svg") if str(inner.get("class")).startswith("mark")
    }
    shapes = {name: (inner.tag.removeprefix(SVG), inner.get("class")) for name, inner in marks.items()}
    assert shapes == {
        "mark base": ("rect", None),
        "mark promoted": ("circle", None),
        "mark rolled-back": ("path", "stroke"),
        "mark not-tested": ("circle", "hollow"),
    }
    words = [text.text for text in chart.iter(f"{SVG}text") if text.text]
    assert words[-7:] == ["Base", "Round 1", "promoted", "Round 2", "rolled back", "Round 3", "not tested"]
    kept = [line for line in chart.iter(f"{SVG}line") if line.get("class") == "kept-line"]
    heights = [(float(str(line.get("y1"))), float(str(line.get("y2")))) for line in kept]
    assert heights[0][0] > heights[0][1]  # up, which is a smaller y
    assert heights[1][0] == heights[1][1] == heights[2][1]


def test_many_rounds_keep_their_marks_and_thin_out_their_words() -> None:
    many = [ROUNDS[0], *(point(f"Round {n}", "promoted", n / 50, n / 50) for n in range(1, 41))]
    chart = drawn(rounds_chart(many, Scale.over([0.0, 1.0]), percent=True, label=""))
    assert sum(inner.get("class") == "mark promoted" for inner in chart.iter(f"{SVG}svg")) == 40
    assert sum(bool(text.text) and str(text.text).startswith("Round") for text in chart.iter(f"{SVG}text")) <= 12


def test_a_sparkline_leaves_a_gap_where_a_round_has_no_value() -> None:
    chart = drawn(sparkline([0.1, None, 0.3, 0.4], low=0.0, high=1.0, label="yield"))
    assert len(list(chart.iter(f"{SVG}circle"))) == 3
    assert sum(line.get("class") == "spark" for line in chart.iter(f"{SVG}line")) == 1
    heights = [float(str(circle.get("cy"))) for circle in chart.iter(f"{SVG}circle")]
    assert heights == sorted(heights, reverse=True)


def test_a_sparkline_of_equal_ends_is_level_and_inside() -> None:
    chart = drawn(sparkline([3.0, 3.0], low=3.0, high=3.0, label=""))
    heights = {float(str(circle.get("cy"))) for circle in chart.iter(f"{SVG}circle")}
    assert len(heights) == 1
    assert 6 <= heights.pop() <= 42


def test_a_bar_is_as_long_as_its_stretches() -> None:
    shares = [Share(name="sampling", size=3.0), Share(name="training", size=1.0)]
    chart = drawn(shares_bar(shares, 8.0, label=""))
    stretches = [(share(rect.get("x")), share(rect.get("width"))) for rect in chart.iter(f"{SVG}rect")]
    assert stretches == [(0.0, 37.5), (37.5, 12.5)]
    assert [title.text for title in chart.iter(f"{SVG}title")] == ["sampling: 3", "training: 1"]


def test_a_bar_of_no_time_has_no_length() -> None:
    chart = drawn(shares_bar([Share(name="sampling", size=0.0)], 0.0, label=""))
    assert [rect.get("width") for rect in chart.iter(f"{SVG}rect")] == ["0.00%"]


@pytest.mark.parametrize("hostile", ['"><script>x</script>', "a & b", "<b>"])
def test_labels_are_escaped(hostile: str) -> None:
    assert drawn(sparkline([1.0], low=0.0, high=1.0, label=hostile)).get("aria-label") == hostile
    chart = drawn(rounds_chart([point(hostile, "base", 0.1, 0.1)], Scale.over([0.0, 1.0]), percent=True, label=hostile))
    assert hostile in {text.text for text in chart.iter(f"{SVG}text")}
