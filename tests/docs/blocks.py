"""Code blocks of a Markdown page, and the script that runs them in order as a reader would.

A comment on the line before a block can say one of two things:

    <!-- file: PATH -->                              the block shows that file of the repository, and is not run by itself
    <!-- tests run this with: OLD -> NEW; ... -->    what is replaced before the block is run; each OLD must occur in it
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

RUN = ("bash", "python")
DATA = ("json", "toml", "yaml")
PLAIN = ("text",)  # output and diagrams

_FILE = re.compile(r"<!-- file: (\S+) -->")
_WITH = re.compile(r"<!-- tests run this with: (.+) -->")
_ABOUT_TESTS = re.compile(r"<!--\s*(file|tests?)\b")


@dataclass(frozen=True, kw_only=True)
class Block:
    """One fenced block.

    Attributes:
        line: of its opening fence, from 1.
        text: as printed on the page.
        file: the file that it shows, or None.
        replaced: (old, new) pairs.
    """

    line: int
    language: str
    text: str
    file: str | None = None
    replaced: tuple[tuple[str, str], ...] = ()

    @property
    def run(self) -> str:
        """The text as the tests run it."""
        text = self.text
        for old, new in self.replaced:
            if old not in text:
                raise ValueError(f"line {self.line}: {old!r} is to be replaced, but does not occur in the block")
            text = text.replace(old, new)
        return text


def blocks(page: str) -> list[Block]:
    """The blocks of a page, in order.

    Raises:
        ValueError: a fence is not closed or names no language, or a comment for the tests is misspelt or has no block after it.
    """
    found: list[Block] = []
    lines = page.split("\n")
    at = 0
    while at < len(lines):
        line = lines[at]
        if _ABOUT_TESTS.match(line) and not lines[at + 1].startswith("```"):
            raise ValueError(f"line {at + 1}: {line!r} has no block after it")
        if not line.startswith("```"):
            at += 1
            continue
        language = line[3:].strip()
        if not language:
            raise ValueError(f"line {at + 1}: the block names no language; `text` is for output")
        try:
            end = lines.index("```", at + 1)
        except ValueError:
            raise ValueError(f"line {at + 1}: the block is not closed") from None
        file, replaced = _told(lines[at - 1], at) if at else (None, ())
        text = "\n".join(lines[at + 1 : end]) + "\n"
        found.append(Block(line=at + 1, language=language, text=text, file=file, replaced=replaced))
        at = end + 1
    return found


def script(found: Sequence[Block], name: str, folder: Path) -> str:
    """A bash script that runs the blocks one after the other in one shell; Python blocks are put into files in `folder`."""
    lines = ["set -euo pipefail"]
    for block in found:
        if block.file is not None or block.language not in RUN:
            continue
        lines.append(f"echo {shlex.quote(f'== {name}, line {block.line}')}")
        if block.language == "bash":
            lines.append(block.run)
        else:
            file = folder / f"line_{block.line}.py"
            file.write_text(f"import sys\nsys.path[0] = ''\n{block.run}")
            lines.append(f"python {shlex.quote(str(file))}")
    return "\n".join(lines)


def _told(line: str, at: int) -> tuple[str | None, tuple[tuple[str, str], ...]]:
    if not _ABOUT_TESTS.match(line):
        return None, ()
    if shown := _FILE.fullmatch(line):
        return shown[1], ()
    if told := _WITH.fullmatch(line):
        pairs = [pair.split(" -> ") for pair in told[1].split("; ")]
        if all(len(pair) == 2 for pair in pairs):
            return None, tuple((old, new) for old, new in pairs)
    raise ValueError(f"line {at}: {line!r} is neither `file: PATH` nor `tests run this with: OLD -> NEW; OLD -> NEW`")
