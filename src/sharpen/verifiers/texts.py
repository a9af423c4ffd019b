"""Reading a text as an answer: what is boxed, what follows the mark, and what is left when form is taken away."""

from __future__ import annotations

import re
import unicodedata
from collections import deque

__all__ = ["after_mark", "boxed", "normal"]

_BOX = re.compile(r"\\f?boxed\s*\{")
_MARK = re.compile(r"\banswer\b[\s*_]*(?:is|:|=)[\s*_]*(?:is\b|:)?", re.IGNORECASE)
_AROUND = " \t\r\n\"'`\u201c\u201d\u2018\u2019«»*_"


def boxed(text: str) -> str | None:
    r"""What the last `\boxed{...}` holds (to the end where it is never closed), or None where there is no box.

    >>> boxed(r"so \boxed{\frac{1}{2}}.")
    '\\frac{1}{2}'
    """
    last = _last(_BOX, text)
    if last is None:
        return None
    inside = text[last.end() :]
    depth = 1
    for brace in re.finditer(r"[{}]", inside):
        depth += 1 if brace[0] == "{" else -1
        if not depth:
            return inside[: brace.start()]
    return inside


def after_mark(text: str) -> str | None:
    """What follows the last "answer is", "Answer:" or "answer =", or None where nothing says so.

    >>> after_mark("I think. **Answer:** (B)")
    '(B)'
    """
    last = _last(_MARK, text)
    return None if last is None else text[last.end() :].strip()


def normal(text: str, *, ignore_case: bool = True) -> str:
    """A text without what does not matter: quotes or emphasis around, a full stop at the end, kinds of white space, case.

    >>> normal(' **Blue   Whale**. ')
    'blue whale'
    """
    text = " ".join(unicodedata.normalize("NFC", text).split())
    bare = text.strip(_AROUND)
    bare = bare.removesuffix(".").strip(_AROUND) or bare
    return bare.casefold() if ignore_case else bare


def _last(pattern: re.Pattern[str], text: str) -> re.Match[str] | None:
    found = deque(pattern.finditer(text), maxlen=1)
    return found[0] if found else None
