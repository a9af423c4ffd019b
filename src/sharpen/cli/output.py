"""How the command line prints: plain text within 100 columns, nothing of a model's own can move the cursor."""

from __future__ import annotations

import json
import math
import shlex
import sys
import textwrap
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, TextIO

from sharpen.report.text import duration
from sharpen.report.text import visible as marked

__all__ = ["WIDTH", "command_lines", "count", "duration", "one_line", "percent", "say", "say_json", "size", "table", "visible"]

WIDTH = 100


def visible(text: str) -> str:
    r"""The text with hidden and control characters written out: a terminal obeys none of a model's.

    >>> visible("a\x1b[2Jb")
    'a[U+001B][2Jb'
    """
    return str(marked(text))


def one_line(text: str, limit: int = 160) -> str:
    r"""The text on one line, cut in the middle where it is long.

    >>> one_line("2 + 2\nis  4"), one_line("abcdefghijkl", 9)
    ('2 + 2 is 4', 'abc...jkl')
    """
    line = " ".join(visible(text).split())
    half = (limit - 3) // 2
    return line if len(line) <= limit else f"{line[:half]}...{line[-half:]}"


def say(text: str = "", *, indent: str = "", hang: str | None = None, file: TextIO | None = None) -> None:
    """Print text wrapped to 100 columns; `hang` indents all lines but the first."""
    for line in visible(text).split("\n"):
        wrapped = textwrap.wrap(
            line,
            WIDTH,
            initial_indent=indent,
            subsequent_indent=indent + "  " if hang is None else hang,
            break_on_hyphens=False,
            break_long_words=False,
        )
        print("\n".join(wrapped), file=file or sys.stdout)


def command_lines(command: str, *, width: int = WIDTH) -> str:
    r"""A command within 100 columns that can be copied whole: a line that goes on ends with a backslash.

    >>> print(command_lines("sharpen run rft --model tiny --instruction 'Say it.'", width=30))
    sharpen run rft --model tiny \
      --instruction 'Say it.'
    """
    lines = [""]
    for word in map(shlex.quote, shlex.split(command)):
        if lines[-1].strip() and len(lines[-1]) + len(word) + 1 > width - 2:
            lines.append(f"  {word}")
        else:
            lines[-1] += f" {word}" if lines[-1].strip() else word
    return visible(" \\\n".join(lines))


def say_json(value: object) -> None:
    """Print a value as JSON for programs; numbers that are no numbers become null, and what a terminal might obey is escaped."""
    text = json.dumps(_plain(value), indent=1, ensure_ascii=False, allow_nan=False)
    print("".join(letter if letter.isprintable() or letter == "\n" else json.dumps(letter)[1:-1] for letter in text))


def table(heads: Sequence[str], rows: Iterable[Sequence[str]], *, right: Sequence[int] = ()) -> str:
    """A table as text: columns two spaces apart, those in `right` set to the right.

    >>> print(table(("name", "n"), [("a", "1"), ("bc", "22")], right=(1,)))
    name   n
    a      1
    bc    22
    """
    lines = [list(map(visible, heads)), *(list(map(visible, row)) for row in rows)]
    widths = [max(len(line[place]) for line in lines) for place in range(len(heads))]
    return "\n".join(
        "  ".join(
            cell.rjust(width) if place in right else cell.ljust(width)
            for place, (cell, width) in enumerate(zip(line, widths, strict=True))
        ).rstrip()
        for line in lines
    )


def size(num_bytes: float) -> str:
    """Bytes in words.

    >>> size(512), size(2.5e6), size(5e9)
    ('512 B', '2.5 MB', '5.0 GB')
    """
    for unit, scale in (("GB", 1e9), ("MB", 1e6), ("kB", 1e3)):
        if num_bytes >= scale:
            return f"{num_bytes / scale:.1f} {unit}"
    return f"{num_bytes:.0f} B"


def count(number: float) -> str:
    """A whole number with its thousands apart.

    >>> count(1234567.0)
    '1,234,567'
    """
    return f"{round(number):,}"


def percent(share: float) -> str:
    """A share as a percentage.

    >>> percent(0.305)
    '30.5 %'
    """
    return f"{100 * share:.1f} %"


def _plain(value: Any) -> Any:  # Any: JSON
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(item) for item in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value
