"""What makes two completions the same answer, for `distinct`."""

from __future__ import annotations

import re
import unicodedata
from decimal import Decimal

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
    begins another expression; a sentence's end ends one. Signs of multiplication, division and minus are made alike.

    >>> equations_in("She has 1,200 apples + 35 pears = 1235.0 fruits. Then 1235 × 2 = 2470!")
    ('1200+35=1235', '1235*2=2470')
    >>> equations_in("The answer is 57.")
    ()
    """
    found: list[str] = []
    for clause in _CLAUSE_END.split(_JOINED.sub(" =", text.translate(_SIGNS))):
        expression: list[str] = []
        for match in _TOKEN.finditer(clause):
            token = _number(match.group("number")) if match.group("number") else match.group()
            after_operand = bool(expression) and (expression[-1][-1].isdigit() or expression[-1] in ")%")
            before_operand = token[-1].isdigit() or token == "("
            if after_operand and before_operand:
                found += _equation(expression)
                expression = []
            expression.append(token)
        found += _equation(expression)
    return tuple(found)


_SIGNS = str.maketrans({"×": "*", "·": "*", "∙": "*", "⋅": "*", "∗": "*", "÷": "/", "−": "-", "–": "-", "＝": "="})
_JOINED = re.compile(r"\s*\n\s*=")
_CLAUSE_END = re.compile(r"\n|[;!?:]|[.,](?=\s|$)")
_TOKEN = re.compile(
    r"(?P<number>\d{1,3}(?:,\d{3})+(?:\.\d+)?|\d+(?:\.\d+)?|(?<![\w.])\.\d+)"
    r"|(?<=[\d)]) ?[xX](?= ?[\d(])"
    r"|(?<![^\W\d])[-+*/^](?![^\W\d])|[=()%]"
)


def _number(written: str) -> str:
    value = Decimal(written.replace(",", ""))
    return format(value.normalize(), "f") if value else "0"
