"""Text for people: numbers in words, and untrusted text in which nothing stays invisible."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Mapping, Sequence

from markupsafe import Markup, escape

__all__ = ["amount", "duration", "pretty_call", "shown", "signed", "told", "typeset", "visible"]

# What a reader cannot see, or what moves the text around it: controls, formats, separators, fillers, tags, private use,
# surrogates and non-characters. White space that people type (tab, line feed) stays, and so do joiners inside a script.
_HIDDEN = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\xad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180b-\u180f\u200b\u200e\u200f\u2028-\u202e"
    "\u2060-\u206f\u2800\u3164\ufeff\uffa0\ufff0-\ufffb\ufdd0-\ufdef\ufffe\uffff\ud800-\udfff\ue000-\uf8ff"
    "\U0001bca0-\U0001bca3\U0001d173-\U0001d17a\U000e0000-\U000e0fff\U000f0000-\U0010ffff]"
    "|(?<![^\x00-\x7f\u200b-\u200f])[\u200c\u200d]"
)


def visible(value: object) -> object:
    r"""The value, with hidden characters of a text written out: what every expression of the page goes through.

    >>> visible("safe\u202etxt.exe"), visible(3)
    ('safe[U+202E]txt.exe', 3)
    """
    if isinstance(value, Markup) or not isinstance(value, str):
        return value
    return _HIDDEN.sub(lambda found: f"[U+{ord(found[0]):04X}]", value)


def shown(text: str, limit: int | None = None) -> Markup:
    r"""Untrusted text as markup: escaped, isolated from the direction of what surrounds it, hidden characters marked.

    Args:
        limit: characters shown; how many more there are is said.

    >>> shown("<b>\x1b")
    Markup('<bdi>&lt;b&gt;<span class="hidden-character" title="control character">U+001B</span></bdi>')
    """
    kept = text if limit is None else text[:limit]
    pieces: list[str] = []
    place = 0
    for found in _HIDDEN.finditer(kept):
        name = unicodedata.name(found[0], "control character").lower()
        pieces += [escape(kept[place : found.start()]), _mark(f"U+{ord(found[0]):04X}", name)]
        place = found.end()
    pieces.append(escape(kept[place:]))
    more = len(text) - len(kept)
    rest = Markup(' <span class="cut">[{} more characters]</span>').format(f"{more:,}") if more else Markup("")
    return Markup("<bdi>{}</bdi>{}").format(Markup("").join(pieces), rest)


def _mark(code: str, name: str) -> Markup:
    return Markup('<span class="hidden-character" title="{}">{}</span>').format(name, code)


def signed(value: float, digits: int = 1) -> str:
    """A number with its sign; what rounds to nothing is +0.

    >>> signed(3.14), signed(-0.01)
    ('+3.1', '+0.0')
    """
    text = f"{value:+.{digits}f}"
    return text.replace("-", "+") if not text.strip("+-0.") else text


def duration(seconds: float) -> str:
    """Seconds as people say them.

    >>> duration(3.21), duration(95), duration(4000)
    ('3.2 s', '1 min 35 s', '1 h 7 min')
    """
    if seconds < 59.95:
        return f"{seconds:.1f} s"
    if seconds < 3599.5:
        return "{} min {} s".format(*divmod(round(seconds), 60))
    return "{} h {} min".format(*divmod(round(seconds / 60), 60))


def amount(value: float) -> str:
    """A figure with three digits that matter, and whole numbers in full.

    >>> amount(0.123456), amount(1234567.0), amount(0.0000012), amount(float("nan"))
    ('0.123', '1,234,567', '1.2e-06', 'nan')
    """
    if value == 0 or (abs(value) >= 100 and abs(value) < 1e15):
        return f"{value:,.0f}"
    return f"{value:.3g}" if abs(value) >= 1e-4 else f"{value:.1e}"


def pretty_call(text: str, *, width: int = 84) -> str:
    """A printed call with a line for each argument wherever one line is too narrow; nothing but white space is added.

    >>> print(pretty_call("f(a=1, b=g(x, 'y, z'))", width=12))
    f(
        a=1,
        b=g(
            x,
            'y, z',
        ),
    )
    """
    return _broken(text, 0, width)


def _broken(text: str, depth: int, width: int) -> str:
    opening = next((place for place, character in _bare(text) if character in "([{"), None)
    if len(text) + 4 * depth <= width or opening is None:
        return text
    closing = _closing(text, opening)
    inner = text[opening + 1 : closing]
    if closing is None or not inner.strip():
        return text
    indent = "    " * (depth + 1)
    lines = [f"{indent}{_broken(piece, depth + 1, width)}," for piece in _split(inner)]
    rest = text[closing + 1 :]
    return "\n".join([text[: opening + 1], *lines, f"{'    ' * depth}{text[closing]}{_broken(rest, depth, width)}"])


def _bare(text: str) -> list[tuple[int, str]]:
    """Places and characters outside of quotes."""
    found: list[tuple[int, str]] = []
    quote = ""
    skip = False
    for place, character in enumerate(text):
        if skip:
            skip = False
        elif quote:
            skip = character == "\\"
            quote = "" if character == quote else quote
        elif character in "'\"":
            quote = character
        else:
            found.append((place, character))
    return found


def _closing(text: str, opening: int) -> int | None:
    depth = 0
    for place, character in _bare(text):
        if place >= opening:
            depth += (character in "([{") - (character in ")]}")
            if depth == 0:
                return place
    return None


def _split(inner: str) -> Sequence[str]:
    depth, start = 0, 0
    pieces: list[str] = []
    for place, character in _bare(inner):
        depth += (character in "([{") - (character in ")]}")
        if character == "," and depth == 0:
            pieces.append(inner[start:place].strip())
            start = place + 1
    pieces.append(inner[start:].strip())
    return [piece for piece in pieces if piece]


def typeset(sentence: str) -> str:
    """A sentence of ours as a printer would set it.

    >>> typeset("held-out 2.0 % -> 61.0 %, p <= 0.0250")
    'Held-out 2.0 % → 61.0 %, p ≤ 0.0250'
    """
    for plain, printed in ((" -> ", " → "), (" <= ", " ≤ "), (" >= ", " ≥ ")):
        sentence = sentence.replace(plain, printed)
    return sentence[:1].upper() + sentence[1:]


def told(value: object) -> str:
    """A recorded fact in words: absent ones are said to be."""
    if value is None:
        return "not known"
    if isinstance(value, Mapping):
        return ", ".join(f"{key}: {told(item)}" for key, item in value.items()) or "none"
    if isinstance(value, (list, tuple)):
        return ", ".join(map(told, value)) or "none"
    return str(value)
