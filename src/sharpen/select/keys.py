"""What makes two completions the same answer, for `distinct`."""

from __future__ import annotations

import re
import unicodedata

from sharpen.types import Completion

__all__ = ["equations", "equations_in", "text"]


def text(completion: Completion) -> str:
    """The completion's text in Unicode form NFC, each run of white space as one space, none at the ends."""
    return " ".join(unicodedata.normalize("NFC", completion.text).split())


def equations(completion: Completion) -> tuple[str, ...]:
    """The completion's equations in order: its path, whatever the words around it (RFT: Yuan et al. 2023, arXiv 2308.01825).

    Completions without any equation all share the empty path.
    """
    return equations_in(completion.text)


def equations_in(text: str) -> tuple[str, ...]:
    """The arithmetic equations of a text in order, with white space, words, units and number formats taken out.

    A chain `a = b = c` is one equation. Words between a number and an operator are left out, and a number after a number
    begins another expression; a sentence's end ends one. The signs of multiplication, division and minus are made alike.

    >>> equations_in("She has 1,200 apples + 35 pears = 1235.0 fruits. Then 1235 x 2 = 2470!")
    ('1200+35=1235', '1235*2=2470')
    >>> equations_in("The answer is 57.")
    ()
    """
    for old, new in _SPELLINGS:
        text = old.sub(new, text)
    found: list[str] = []
    for clause in _CLAUSE_END.split(text):
        expression: list[str] = []
        for match in _TOKEN.finditer(clause):
            token = _plain(match.group().strip())
            if expression and expression[-1][-1] in _ENDS_OPERAND and token[0] in _STARTS_OPERAND:
                found += _equation(expression)
                expression = []
            expression.append(token)
        found += _equation(expression)
    return tuple(found)


_SPELLINGS = (
    (re.compile(r"\\times|\\cdot|[×·∙⋅∗]"), "*"),  # noqa: RUF001  # these signs are what is looked for
    (re.compile(r"\\div|÷"), "/"),
    (re.compile(r"[−–]"), "-"),  # noqa: RUF001  # as above
    (re.compile(r"(?<=[\d)])\s*\*\*\s*(?=[\d(])"), "^"),
    (re.compile(r"\*\*"), ""),  # bold type
    (re.compile(r"^[ \t]*[-+*•][ \t]+", re.MULTILINE), ""),  # items of a list
    (re.compile(r"\n\s*+="), " ="),  # an equation broken before its sign
)
_CLAUSE_END = re.compile(r"\n|[;!?:]|[.,](?=\s|$)")
_TOKEN = re.compile(
    r"\d{1,3}(?:,\d{3})+(?!\d)(?:\.\d+)?|\d+(?:\.\d+)?|(?<![\w.])\.\d+"  # a number
    r"|(?<=[\d)])\s*+[xX](?=\s*[\d(])"  # times, written as a letter
    r"|(?<![^\W\d])[-+*/^](?![^\W\d])|[=()%]"  # an operator, but no hyphen inside a word
)
_STARTS_OPERAND = "0123456789("
_ENDS_OPERAND = "0123456789)%"


def _plain(token: str) -> str:
    """A number without separators, leading or trailing zeros; any other token as it is."""
    if token in "xX":
        return "*"
    whole, _, fraction = token.replace(",", "").partition(".")
    if not (whole + fraction).isdecimal():
        return token
    fraction = fraction.rstrip("0")
    return (whole.lstrip("0") or "0") + (f".{fraction}" if fraction else "")


def _equation(expression: list[str]) -> list[str]:
    """The expression as an equation, or nothing where it has not at least two sides."""
    sides = [side for side in (_balanced(side) for side in "".join(expression).split("=")) if any(map(str.isdecimal, side))]
    return ["=".join(sides)] if len(sides) > 1 else []


def _balanced(side: str) -> str:
    side = side.lstrip("*/^+%)").rstrip("*/^+-(")
    while side.startswith("(") and side.count("(") > side.count(")"):
        side = side[1:]
    while side.endswith(")") and side.count(")") > side.count("("):
        side = side[:-1]
    return side
