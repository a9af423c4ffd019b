"""Records, half of them malformed, through the loaders: `python -m tests.faults.rows_trial 1000000`.

Each file is read with every row allowed to be bad. Nothing but an account may come of it, every record is in it once, and what is kept
equals what a plain reader makes of the good half, which was written with it.
"""

from __future__ import annotations

import csv
import gzip
import io
import json
import pickle
import random
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pyarrow
import pyarrow.parquet

from sharpen.data import read_rows
from sharpen.data.lines import MAX_LINE

PER_FILE = 2000
Record = tuple[str, str, str]
"""Prompt, target and the column `level`."""


@dataclass
class Trial:
    """What came of all files.

    Attributes:
        wrong: files whose account or rows are not as they were written, in words.
        seconds: of the loaders' own CPU time.
    """

    records: int = 0
    kept: int = 0
    rejected: Counter[str] = field(default_factory=Counter)
    failed: Counter[str] = field(default_factory=Counter)
    crashes: list[str] = field(default_factory=list)
    wrong: list[str] = field(default_factory=list)
    seconds: float = 0.0

    def add(self, path: Path, good: list[Record], records: int) -> None:
        """Read a file and compare."""
        self.records += records
        began = time.process_time()
        try:
            rows = read_rows(path, max_bad=1.0)
        except Exception as error:  # what the trial is for
            self.crashes.append(f"{path.name}: {type(error).__name__}: {str(error)[:200]}")
            return
        finally:
            self.seconds += time.process_time() - began
        found = [(row.prompt.text, row.prompt.target, row.prompt.tags["level"]) for row in rows.rows]
        here: dict[str, Counter[str]] = {"rejected": self.rejected, "failed": self.failed}
        for reason, number in rows.dropped.items():
            state, _, kind = reason.partition(": ")
            here[state][kind] += number
        self.kept += len(found)
        if found != good:
            self.wrong.append(f"{path.name}: {len(found)} rows kept where {len(good)} are good, or others")
        if len(found) + sum(rows.dropped.values()) != records:
            self.wrong.append(f"{path.name}: {len(found)} kept and {dict(rows.dropped)} of {records}")

    @property
    def sentence(self) -> str:
        """The figures."""
        return (
            f"{self.records:,} records: {self.kept:,} kept, {self.rejected.total():,} rejected, {self.failed.total():,} failed, "
            f"{len(self.crashes)} crashes, {len(self.wrong)} files not as written; {self.records / self.seconds:,.0f} records a second"
        )


def record(number: int, draw: random.Random) -> Record:
    """A good record, no two alike; odd but lawful characters among it."""
    words = "".join(draw.choices("abc é日本\u202e\ufeff\U0001f600'\\{}[]<>&;,\t", k=draw.randrange(1, 30)))
    return f"{number} {words}?", str(draw.randrange(1000)), draw.choice(["easy", "hard"])


def said(one: Record, **more: object) -> str:
    """A record as JSON."""
    return json.dumps({"prompt": one[0], "target": one[1], "level": one[2], **more}, ensure_ascii=False)


def bad_lines(draw: random.Random) -> dict[str, Callable[[Record], bytes]]:
    """Ways to spoil a record for JSON lines, each of them never lawful, whatever the record."""

    def changed(**values: object) -> Callable[[Record], bytes]:
        return lambda one: said(one, **values).encode("utf-8", "surrogatepass")

    def cut(one: Record) -> bytes:
        whole = said(one).encode()
        return whole[: draw.randrange(1, len(whole))]

    def instead(text: bytes) -> Callable[[Record], bytes]:
        return lambda one: text

    def after(old: str, new: str) -> Callable[[Record], bytes]:
        return lambda one: said(one).replace(old, new, 1).encode()

    def noise(one: Record) -> bytes:
        return b"\xff" + bytes(byte for byte in draw.randbytes(draw.randrange(60)) if byte not in b"\r\n")

    return {
        "cut": cut,
        "noise": noise,
        "pickle": lambda one: pickle.dumps(one).replace(b"\n", b" "),
        "two": lambda one: f"{said(one)} {said(one)}".encode(),
        "list": instead(b"[1, 2]"),
        "text": instead(b'"text"'),
        "null": instead(b"null"),
        "yaml": instead(b"prompt: 1 + 1?"),
        "csv": instead(b"1 + 1?,2,easy"),
        "html": instead(b"<script>alert(1)</script>"),
        "utf-16": lambda one: said(one).encode("utf-16-le").replace(b"\n", b""),
        "byte": lambda one: said(one).encode().replace(b"?", b"\xc3?", 1),
        "raw control": lambda one: said(one).encode().replace(b"?", b"\x01", 1),
        "twice": after("{", '{"prompt": "other", '),
        "twice within": lambda one: said(one).encode()[:-1] + b', "x": {"k": 1, "k": 2}}',
        "nan": lambda one: said(one).encode()[:-1] + b', "x": NaN}',
        "inf": lambda one: said(one).encode()[:-1] + b', "x": 1e999}',
        "long number": lambda one: said(one).encode()[:-1] + b', "x": ' + b"9" * 5000 + b"}",
        "nul": changed(x=["\0"]),
        "surrogate": lambda one: said(one).encode()[:-1] + b', "x": "\\ud800"}',
        "deep": lambda one: said(one).encode()[:-1] + b', "x": ' + b"[" * 40 + b"]" * 40 + b"}",
        "bottomless": lambda one: said(one).encode()[:-1] + b', "x": ' + b"[" * 20000 + b"]" * 20000 + b"}",
        "wide": changed(**{f"c{number}": 1 for number in range(300)}),
        "nameless": changed(**{"": 1}),
        "no prompt": lambda one: json.dumps({"question": one[0]}).encode(),
        "empty": changed(prompt=" "),
        "number": changed(prompt=5),
        "two prompts": changed(messages=[{"role": "user", "content": "x"}]),
        "role": changed(prompt=[{"role": "tool", "content": "x"}]),
        "tool": changed(prompt=[{"role": "user", "content": "x", "tool_calls": [1]}]),
        "picture": changed(prompt=[{"role": "user", "content": [{"type": "image"}]}]),
        "target": changed(target=["x"]),
        "options": changed(options=["yes", "yes"]),
        "id": changed(id="a\nb"),
        "half a pair": changed(chosen="x"),
    }


def json_file(path: Path, start: int, number: int, draw: random.Random) -> list[Record]:
    """A file of JSON lines; its good records."""
    spoil = list(bad_lines(draw).values())
    good, lines = [], []
    for place in range(number):
        one = record(start + place, draw)
        if place % 2:
            lines.append(draw.choice(spoil)(one))
        else:
            good.append(one)
            lines.append(said(one).encode())
    if number > 2:
        lines[1] = b'{"prompt": "' + b"a" * MAX_LINE + b'"}'
    data = b"\n".join(lines) + b"\n"
    path.write_bytes(gzip.compress(data, 1) if path.suffix == ".gz" else data)
    return good


def csv_file(path: Path, start: int, number: int, draw: random.Random) -> list[Record]:
    """A file of CSV; in one of four a quote is not closed, so that what is behind it cannot be read."""
    good: list[Record] = []
    out = io.BytesIO()
    end = draw.randrange(number // 2, number) if draw.random() < 0.25 else number
    out.write(b"prompt,target,level\r\n")

    def row(*cells: str) -> bytes:
        text = io.StringIO()
        csv.writer(text).writerow(cells)
        return text.getvalue().encode()

    for place in range(number):
        one = record(start + place, draw)
        if place == end:
            out.write(f'"{one[0]},1,easy\r\n'.encode())
        elif place % 2:
            spoilt = draw.choice(
                [(*one, "more"), one[:2], (one[0] + "\0", *one[1:]), ("", *one[1:]), ("  ", *one[1:]), ("\udcff", *one[1:])]
            )
            text = io.StringIO()
            csv.writer(text).writerow(spoilt)
            out.write(text.getvalue().encode("utf-8", "surrogateescape"))
        else:
            if place < end:
                good.append(one)
            out.write(row(*one))
    path.write_bytes(out.getvalue())
    return good


def parquet_file(path: Path, start: int, number: int, draw: random.Random) -> list[Record]:
    """A Parquet file."""
    good, rows = [], []
    for place in range(number):
        one = record(start + place, draw)
        prompt: str | None = one[0]
        if place % 2:
            prompt = draw.choice([None, "", " \n", f"{prompt}\0"])
        else:
            good.append(one)
        rows.append({"prompt": prompt, "target": one[1], "level": one[2]})
    if number > 2:
        rows[1]["prompt"] = "a" * MAX_LINE
    pyarrow.parquet.write_table(pyarrow.Table.from_pylist(rows), path, compression="zstd")
    return good


WRITERS = {".jsonl": json_file, ".jsonl.gz": json_file, ".csv": csv_file, ".parquet": parquet_file}
_ORDER = [".jsonl", ".csv", ".jsonl", ".jsonl.gz", ".jsonl", ".parquet"]


def written(folder: Path, number: int, seed: int) -> Iterator[tuple[Path, list[Record], int]]:
    """Files of so many records together, each with its good records and how many it has in all."""
    for place, start in enumerate(range(0, number, PER_FILE)):
        kind, here = _ORDER[place % len(_ORDER)], min(PER_FILE, number - start)
        path = folder / f"rows-{place}{kind}"
        yield path, WRITERS[kind](path, start, here, random.Random(f"{seed} {place}")), here
        path.unlink()


def trial(number: int, *, seed: int = 0) -> Trial:
    """The loaders over so many records."""
    found = Trial()
    with tempfile.TemporaryDirectory() as folder:
        for path, good, here in written(Path(folder), number, seed):
            found.add(path, good, here)
    return found


if __name__ == "__main__":
    done = trial(int(sys.argv[1]))
    print(done.sentence)
    for state in ("rejected", "failed"):
        for kind, number in sorted(vars(done)[state].items()):
            print(f"  {state}: {number:>9,}  {kind}")
    for line in [*done.crashes[:20], *done.wrong[:20]]:
        print(line)
    sys.exit(bool(done.crashes or done.wrong))
