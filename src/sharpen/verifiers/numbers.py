"""The last number of an answer, compared exactly with the target."""

from __future__ import annotations

import re
from collections import deque
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from fractions import Fraction

from sharpen.digest import digest
from sharpen.identity import code_digest
from sharpen.types import Completion, Prompt, Score
from sharpen.verifiers.texts import boxed

__all__ = ["Quantity", "last_number", "number", "read_number"]

MAX_DIGITS = 1_000  # longer literals are no answers, and 1e999999999 must not become an integer

_NUMBER = re.compile(
    r"""
    (?: [=(:\u2248] [ \t]* (?P<spaced>-) [ \t]+                # "= - 5"; a minus between spaces is else an operator or a bullet
      | (?<! [A-Za-z0-9_)\]}%!^-] ) (?<! [\^_]\{ ) (?P<sign>[-+])     # "-5" and "x -5", but not in "5-3", "x-5", "10^{-2}"
      | (?<! [A-Za-z0-9_^] ) (?<! \d ) (?<! \d\. ) (?<! [\^_][{+-] ) (?<! [\^_]\{[+-] )  # not in "x2", "1.2.3", "cm^2", "x_{2}"
    )
    (?: [$€£¥₹] [ \t]? )?
    (?: (?P<grouped> \d{1,3} (?P<comma>[,_'\u00a0\u2009\u202f\u2019]) \d{3} (?: (?P=comma) \d{3} )*+ ) (?! \d )
      | (?P<plain> \d++ )
      | (?<! [A-Za-z0-9.)\]}] ) (?= \.\d )                     # ".5", but neither "No.5" nor "...5"
    )
    (?P<decimals> \.\d++ )?+
    (?P<exponent> [eE][+-]?+\d++ (?! \w | \.\d ) )?+
    (?! \.\d | \^ | [\u00b2\u00b3\u00b9\u2070-\u2079] )        # "1.2.3" is a version, "2^10" has not been worked out
    (?P<percent> [ \t]? % )?
    """,
    re.VERBOSE,
)
_FRACTION = re.compile(r"\\[dt]?frac\s*\{\s*([-+]?\d+)\s*\}\s*\{\s*(\d+)\s*\}")
_DASHES = dict.fromkeys((0x2011, 0x2012, 0x2013, 0x2212, 0xFE63, 0xFF0D), "-") | {0xFF05: "%"}
_DEGREES = re.compile(r"\^\s*\{?\s*\\circ\s*\}?")
_WRAPPED = re.compile(r"\$+(.+?)\$+|\\\((.+)\\\)|\\\[(.+)\\\]", re.DOTALL)


@dataclass(frozen=True, kw_only=True)
class Quantity:
    """A number as it was written.

    Attributes:
        value: exact; of "50%" it is 50.
        percent: a percent sign follows.
        fraction: written as one integer over another.
    """

    value: Fraction
    percent: bool = False
    fraction: bool = False


@dataclass(frozen=True, kw_only=True)
class number:
    r"""A verifier: the last number of the answer equals the target.

    The last `\boxed{...}` is read where there is one, else the whole answer. Numbers may have a sign ("-", "+", unicode
    minus), grouped thousands ("1,234", "1 234" with a thin space, "1_000"), decimals ("3.50" equals "3.5"), an exponent
    ("1e3"), a currency sign before and a unit or percent sign behind. Where readings differ:

    - a minus counts as a sign at "-5", "x -5" and "= - 5"; in "8-5", "x-5" and "8 - 5" it is an operator, and at "- 5 apples" a
      bullet;
    - "1,234" is one number and "3,14" and "1 234" are two (a comma is no decimal sign, a plain space groups nothing);
    - digits inside words, exponents and indices ("x2", "cm^2", "x_{2}") and versions or dates with dots ("1.2.3") are no
      numbers;
    - "50%" equals a target of 50%, 50 or 0.5, and "50" equals a target of 50%; "0.5%" never equals "50%";
    - a fraction ("3/4", "\frac{3}{4}") is read as one number only where the target is written as a fraction; "48/2" never
      passes for 24.

    An answer without a number is wrong (0.0). A missing target, or one that is not a single number ("#### 72" and "$72$" are),
    abstains.

    Attributes:
        tolerance: largest absolute difference that is accepted.
        relative: largest difference that is accepted, as a share of the target. The wider of both counts.

    >>> number()
    number(tolerance=0.0, relative=0.0)
    """

    tolerance: float = 0.0
    relative: float = 0.0

    def __post_init__(self) -> None:
        for name, value in (("tolerance", self.tolerance), ("relative", self.relative)):
            if not 0.0 <= value < float("inf"):
                raise ValueError(f"{name} is {value}; it is a finite number of at least 0")

    @property
    def key(self) -> str:
        """Identifies its parameters and its code."""
        return digest("verifier", repr(self), code_digest(__name__))

    def __call__(self, prompt: Prompt, completion: Completion, /) -> Score:
        """1.0 where the last number equals the target, 0.0 where not, None where the target is no number."""
        target = None if prompt.target is None else read_number(prompt.target)
        if target is None:
            return None
        answer = last_number(completion.text, fractions=target.fraction)
        return float(answer is not None and self._equal(answer, target))

    def answer(self, prompt: Prompt, completion: Completion, /) -> str | None:
        """The last number, exact; None where there is none."""
        found = last_number(completion.text)
        return None if found is None else f"{found.value}{' %' if found.percent else ''}"

    def _equal(self, answer: Quantity, target: Quantity) -> bool:
        if answer.percent == target.percent:
            return self._near(answer.value, target.value)
        whole = self._near(answer.value, target.value)
        scaled = self._near(_share(answer), _share(target))
        return whole or scaled

    def _near(self, answer: Fraction, target: Fraction) -> bool:
        allowed = max(Fraction(str(self.tolerance)), Fraction(str(self.relative)) * abs(target))
        return abs(answer - target) <= allowed


def _share(quantity: Quantity) -> Fraction:
    return quantity.value / 100 if quantity.percent else quantity.value


def read_number(text: str) -> Quantity | None:
    """The number that the whole text is, or None where it is anything else.

    >>> read_number("#### 1,234.50").value == Fraction("1234.5"), read_number("12 apples")
    (True, None)
    """
    text = text.rsplit("####", maxsplit=1)[-1]
    inside = boxed(text)
    text = (text if inside is None else inside).strip()
    if len(text) > 2 * MAX_DIGITS:
        return None
    if found := _WRAPPED.fullmatch(text):
        text = next(group for group in found.groups() if group is not None)
    text = re.sub(r"^-\s+", "-", _plain(text).strip().rstrip(".").strip())
    matches = list(_NUMBER.finditer(text))
    if not matches or matches[0]["spaced"] or matches[0].start() != 0 or matches[-1].end() != len(text):
        return None
    if len(matches) == 1:
        return _quantity(matches[0])
    return _over(text, matches[0], matches[1]) if len(matches) == 2 else None


def last_number(text: str, *, fractions: bool = False) -> Quantity | None:
    """The last number of a text, boxed numbers first; None where there is none.

    >>> last_number("5 - 8 = -3.").value, last_number("none")
    (Fraction(-3, 1), None)

    Args:
        fractions: "3/4" is one number; otherwise it is a 3 and then a 4.
    """
    inside = boxed(text)
    text = _plain(text if inside is None else inside)
    last: deque[re.Match[str]] = deque(_NUMBER.finditer(text), maxlen=2)
    if not last:
        return None
    if fractions and len(last) == 2 and (whole := _over(text, last[0], last[1])):
        return whole
    return _quantity(last[-1])


def _plain(text: str) -> str:
    """Dashes that may be minus signs as such, and LaTeX for separators, fractions, percent and degrees as plain text."""
    text = text.translate(_DASHES)
    if "\\" not in text and "{" not in text:
        return text
    text = _DEGREES.sub("°", _FRACTION.sub(r"\1/\2", text))
    for written, plain in (("{,}", ","), ("\\!", ""), ("\\,", "\u2009"), ("\\%", "%"), ("\\$", "$")):
        text = text.replace(written, plain)
    return text


def _quantity(match: re.Match[str]) -> Quantity | None:
    whole = match["plain"] or re.sub(r"\D", "", match["grouped"] or "0")
    sign = "-" if "-" in (match["sign"], match["spaced"]) else ""
    literal = f"{sign}{whole}{match['decimals'] or ''}{match['exponent'] or ''}"
    try:
        value = Decimal(literal)
    except InvalidOperation:
        return None
    if not value.is_finite() or len(literal) > MAX_DIGITS or abs(value.adjusted()) > MAX_DIGITS:
        return None
    return Quantity(value=Fraction(value), percent=match["percent"] is not None)


def _over(text: str, top: re.Match[str], bottom: re.Match[str]) -> Quantity | None:
    """The fraction that two neighbouring integers make, or None."""
    chained = top.start() > 0 and text[top.start() - 1] == "/"  # a date, not a fraction
    if chained or top["decimals"] or bottom["decimals"] or not re.fullmatch(r" ?/ ?", text[top.end() : bottom.start()]):
        return None
    above, below = _quantity(top), _quantity(bottom)
    if above is None or below is None or not below.value or above.percent or below.percent:
        return None
    return Quantity(value=above.value / below.value, fraction=True)
