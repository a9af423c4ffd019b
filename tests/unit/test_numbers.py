"""The number verifier: what it reads, what it accepts, what it cannot be talked into."""

import pickle
import time
from decimal import Decimal
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st
from verifier_builders import answer

from sharpen.types import user
from sharpen.verifiers import number
from sharpen.verifiers.numbers import last_number, read_number


def verdict(text, target, **parameters):
    return number(**parameters)(user("?", target=target), answer(text))


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("42", "42"),
        ("It is 42.", "42"),
        ("= 42.", "42"),
        ("x -5", "-5"),
        ("x-5", "5"),
        ("x - 5", "5"),
        ("8-5", "5"),
        ("5 - 8 = -3", "-3"),
        ("5 - 8 = - 3", "-3"),
        ("5 - -3", "-3"),
        ("- 5 apples", "5"),
        ("\u22125", "-5"),
        ("is \u20135", "-5"),
        ("3\u20135", "5"),
        ("+5", "5"),
        ("-$5", "-5"),
        ("$-5", "-5"),
        ("**-5**", "-5"),
        ("1,234", "1234"),
        ("1,234,567.89", "1234567.89"),
        ("1_000", "1000"),
        ("1\u202f234", "1234"),
        ("1\u2019234", "1234"),
        ("1,23", "23"),
        ("1,2345", "2345"),
        ("3.140", "3.14"),
        (".5", "0.5"),
        ("-.5", "-0.5"),
        ("No.5", "5"),
        ("well...5", "5"),
        ("1e3.", "1000"),
        ("1.5E-3", "0.0015"),
        ("5em", "5"),
        ("50%", "50"),
        ("5 cm^2", "5"),
        ("5 cm\u00b2", "5"),
        ("90^\\circ", "90"),
        ("x_{2} = 7", "7"),
        ("7 by H2O", "7"),
        ("7 in version 1.2.3", "7"),
        ("48/2", "2"),
        ("\\boxed{42}, checked in 3 ways", "42"),
        ("\\boxed{1} or \\boxed{x = 2}", "2"),
        ("\\boxed{5\\text{ cm}}", "5"),
        ("\\boxed{10{,}000}", "10000"),
        ("\\boxed{42", "42"),
        ("10,\\!000", "10000"),
        ("\u662f42", "42"),
        ("\uff14\uff12", "42"),
    ],
)
def test_last_number_reads(text, value):
    found = last_number(text)
    assert found is not None
    assert found.value == Fraction(value)


@pytest.mark.parametrize(
    "text", ["", "none", "x2", "2^10", "5\u00b2", "1.2.3", "10^{-2}", "\\boxed{}", "\\boxed{none} 5", "1e999999999"]
)
def test_last_number_finds_none(text):
    assert last_number(text) is None
    assert verdict(text, "5") == 0.0


@pytest.mark.parametrize(
    "target", [None, "", "12 apples", "x = 5", "5 or 6", "forty", "1.2.3", "9" * 3000, "1e999999999", "\\boxed{}"]
)
def test_target_that_is_no_number_abstains(target):
    assert verdict("5", target) is None


@pytest.mark.parametrize(
    "target", ["42", " 42. ", "#### 42", "6*7=<<6*7=42>>42\n#### 42", "$42$", "\\boxed{42}", "\\(42\\)", "42.0", "+42"]
)
def test_target_may_be_dressed(target):
    assert verdict("so it is 42", target) == 1.0
    assert verdict("so it is 43", target) == 0.0


numbers = st.one_of(
    st.integers(-(10**30), 10**30).map(str),
    st.integers(-(10**9), 10**9).map(lambda n: f"{n:,}"),
    st.decimals(-(10**9), 10**9, places=4).map(lambda d: format(d, "f")),
    st.builds(lambda n, d: f"{n}/{d}", st.integers(-999, 999), st.integers(1, 999)),
    st.integers(0, 100).map(lambda n: f"{n}%"),
    st.floats(allow_nan=False, allow_infinity=False).map(repr),
)
dressings = st.sampled_from(
    [
        "{}",
        " {} ",
        "{}.",
        "The answer is {}.",
        "It is {}\n",
        "**{}**",
        "${}$",
        "\\boxed{{}}",
        "12 and 7 make {}!",
        "= {}",
        "#### {}",
        "Answer: {}",
    ]
)


@given(numbers, dressings)
def test_accepts_its_own_gold(target, dressing):
    text = dressing.replace("{}", target)
    assert verdict(target, target) == 1.0
    assert verdict(text, target) == 1.0
    assert read_number(target) is not None


@given(numbers, numbers, dressings)
def test_accepts_exactly_the_equal_numbers(target, other, dressing):
    def worth(text):
        top, _, bottom = text.replace(",", "").rstrip("%").partition("/")
        return Fraction(Decimal(top)) / Fraction(bottom or 1)

    gold, said = read_number(target), read_number(other)
    assert gold is not None
    assert said is not None
    if gold.percent == said.percent and (gold.fraction or not said.fraction):
        assert verdict(dressing.replace("{}", other), target) == float(worth(target) == worth(other))


@given(st.integers(-(10**12), 10**12).filter(bool), dressings)
def test_rejects_planted_wrong_answers(gold, dressing):
    target = str(gold)
    wrong = [
        f"1{abs(gold)}",
        f"{gold}1",
        str(-gold),
        str(gold + 1),
        f"{gold}.5",
        f"{gold} 0",
        f"{gold} or {gold + 1}",
        "",
        "none",
    ]
    for text in wrong:
        assert verdict(dressing.replace("{}", text), target) == 0.0


@given(st.text(max_size=200), numbers)
def test_any_text_is_right_or_wrong_never_an_error(text, target):
    assert verdict(text, target) in (0.0, 1.0)
    assert verdict(target, text) in (0.0, 1.0, None)


def test_percent_is_its_number_or_its_share_but_never_both_at_once():
    assert (
        verdict("50%", "50%")
        == verdict("50%", "50")
        == verdict("50%", "0.5")
        == verdict("50", "50%")
        == verdict("0.5", "50%")
        == 1.0
    )
    assert verdict("0.5%", "50%") == verdict("0.5", "50") == verdict("5000%", "50%") == 0.0


def test_fraction_counts_only_where_the_target_is_one():
    assert (
        verdict("\\frac{3}{4}", "3/4")
        == verdict("it is 3/4.", "\\frac{3}{4}")
        == verdict("6/8", "3/4")
        == verdict("0.75", "3/4")
        == 1.0
    )
    assert (
        verdict("What is 48/2?", "24") == verdict("3/4", "0.75") == verdict("on 1/3/4", "3/4") == verdict("4/3", "3/4") == 0.0
    )
    assert verdict("-\\frac{3}{4}", "-3/4") == 1.0
    assert verdict("3/0", "3/4") == 0.0


def test_tolerance_is_decimal_and_inclusive():
    assert verdict("1.1", "1.0", tolerance=0.1) == 1.0  # in binary 1.1 - 1.0 > 0.1
    assert verdict("1.1000001", "1.0", tolerance=0.1) == 0.0
    assert verdict("101", "100", relative=0.01) == verdict("-99", "-100", relative=0.01) == 1.0
    assert verdict("102", "100", relative=0.01) == 0.0
    assert verdict("0.30000000000000004", "0.3") == 0.0


@pytest.mark.parametrize("bad", [{"tolerance": -1.0}, {"relative": float("nan")}, {"tolerance": float("inf")}])
def test_refuses_a_senseless_tolerance(bad):
    with pytest.raises(ValueError, match="at least 0"):
        number(**bad)


def test_is_a_value():
    assert repr(number(tolerance=0.5)) == "number(tolerance=0.5, relative=0.0)"
    assert pickle.loads(pickle.dumps(number(tolerance=0.5))) == number(tolerance=0.5)
    assert number().key == number().key != number(tolerance=0.5).key


@pytest.mark.parametrize(
    "unit", ["1", "1,", "-", "= ", "1.", "$", "\\boxed{", "{", "1,234", "1e", "\\frac{", "1/", " -1", "answer is 1 "]
)
def test_reads_a_megabyte_of_anything_in_linear_time(unit):
    start = time.perf_counter()
    assert verdict(unit * (1_000_000 // len(unit)), "77/78") == 0.0
    assert verdict("77", unit * (1_000_000 // len(unit))) in (0.0, None)
    assert time.perf_counter() - start < 10  # measured: under 0.5 s each; a quadratic expression takes hours
