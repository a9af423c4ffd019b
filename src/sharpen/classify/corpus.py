"""Texts to be classified, labels that people gave, and which of these are held back for measuring."""

from __future__ import annotations

import dataclasses
import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from sharpen.data.fields import data_row
from sharpen.data.files import file_rows
from sharpen.digest import digest
from sharpen.errors import DataError
from sharpen.types import Prompt

__all__ = ["BY", "CLASSIFIER", "KEY", "LABEL", "Corpus", "descriptions", "key_of", "read_corpus", "read_texts"]

KEY, LABEL, BY = "key", "label", "by"
"""Columns of the files that we write: what a text is known by, where a person writes its label, and who gave it."""

CLASSIFIER = "classifier"
"""In the column `by`, a label that nobody gave: to measure by it would be to ask the classifier whether it is right."""

_TEXT_COLUMNS = ("text", "prompt", "body", "content", "message", "document", "sentence", "review", "mail", "title")
_KEY_LENGTH = 12


@dataclass(frozen=True, kw_only=True)
class Corpus:
    """What there is to learn from.

    Attributes:
        labels: the closed set, in the order given.
        pool: texts without a label that is trained on, different from each other; their targets are not known.
        taught: labelled texts to train on.
        held_back: labelled texts that nothing is trained on: the gate and the estimate read them.
        rows: every row's text in the order of the file of texts, with its id where it has one: repeated ones too, labelled or not.
        dropped: by reason, how many rows were left out.
    """

    labels: tuple[str, ...]
    pool: tuple[Prompt, ...]
    rows: tuple[Prompt, ...] = ()
    taught: tuple[Prompt, ...] = ()
    held_back: tuple[Prompt, ...] = ()
    dropped: Mapping[str, int] = field(default_factory=dict)

    @property
    def texts(self) -> tuple[Prompt, ...]:
        """All of them, those with labels first."""
        return (*self.taught, *self.held_back, *self.pool)


def key_of(prompt: Prompt) -> str:
    """What a text is known by in the files that we write: whatever a spreadsheet does to the text, this stays."""
    return prompt.id[:_KEY_LENGTH]


def read_texts(path: Path, labels: Sequence[str], column: str | None = None) -> tuple[Prompt, ...]:
    """The texts of a file, to be answered with one of the labels: one for each row, in order, with its id where it has one.

    Args:
        path: CSV, JSONL or Parquet.
        labels: what an answer may be.
        column: that holds the text; by default the first of text, prompt, body, content, message, ... that there is.

    Raises:
        DataError: the file cannot be read, has no such column or no rows, or a row has no text.
    """
    name = _text_column(path, column)
    return tuple(_asked(where, row, name, labels) for where, row in file_rows(path))


def read_corpus(
    texts: Path,
    labels: Sequence[str],
    labelled: Sequence[Path] = (),
    *,
    column: str | None = None,
    held_back: float = 0.5,
    seed: int = 0,
) -> Corpus:
    """The texts, and the labels that people gave, a share of each class held back.

    A row of `labelled` without a label is left out and counted, so that a file of texts to label can come back half done, and so is
    one whose column `by` says that a classifier gave its label. A text that stands in both files is the same text, by its column
    `key` where it has one.

    Args:
        texts: file of texts; see `read_texts`.
        labels: at least two, different.
        labelled: files with a column `label` beside the text.
        held_back: share of each class's labelled texts that is not trained on, in [0, 1); which ones depends on the texts and the seed.

    Raises:
        ValueError: the labels or the share are wrong.
        DataError: a file cannot be used, a label is none of those given, or a text has two.
    """
    if len(labels) < 2 or len(set(labels)) < len(labels) or not all(label.strip() for label in labels):
        raise ValueError(f"the labels are {', '.join(map(repr, labels))}; give at least two, each once")
    if not 0 <= held_back < 1:
        raise ValueError(f"held_back is {held_back}; it is a share of the labelled texts, at least 0 and below 1")
    rows = read_texts(texts, labels, column)
    unique: dict[str, Prompt] = {}
    for prompt in rows:
        unique.setdefault(prompt.id, prompt)
    counts = Counter({"repeated text": len(rows) - len(unique)})
    by_key = {key_of(prompt): prompt for prompt in unique.values()}
    known: dict[str, Prompt] = {}
    for path in labelled:
        for where, prompt, label, by in _labelled_rows(path, labels, column, by_key):
            if label is None or by == CLASSIFIER:
                counts["no label yet" if label is None else "label of a classifier, not of a person"] += 1
                continue
            if label not in labels:
                raise DataError(f"{where}: label {label!r} is none of {', '.join(labels)}; correct it, or add it to --labels")
            if prompt.id in known and known[prompt.id].target != label:
                raise DataError(f"{where}: this text has the label {known[prompt.id].target!r} elsewhere; keep one of the two")
            counts["label given twice"] += prompt.id in known
            known[prompt.id] = dataclasses.replace(prompt, target=label)
    back = set(_held_back(list(known.values()), held_back, seed))
    return Corpus(
        labels=tuple(labels),
        pool=tuple(prompt for prompt in unique.values() if prompt.id not in known),
        rows=rows,
        taught=tuple(prompt for prompt in known.values() if prompt.id not in back),
        held_back=tuple(prompt for prompt in known.values() if prompt.id in back),
        dropped={reason: count for reason, count in counts.items() if count},
    )


def descriptions(path: Path, labels: Sequence[str]) -> Mapping[str, str]:
    """What each label means, from a file of lines `label: what it means`, or of Markdown headings with text below them.

    Raises:
        DataError: the file cannot be read, or lacks a label.
    """
    try:
        text = path.read_text("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"cannot read {path}: {error}; write a line `label: what it means` for each label") from error
    found: dict[str, str] = {}
    current = None
    for line in text.splitlines():
        bare = re.sub(r"^[#*\-\s]+", "", line).strip().replace("**", "")
        name, colon, meaning = bare.partition(":")
        start = next((label for label in labels if name.strip().casefold() == label.casefold()), None)
        if start is not None and (colon or line.lstrip().startswith("#")):
            current = start
            found[current] = meaning.strip()
        elif current is not None and bare:
            found[current] = f"{found[current]} {bare}".strip()
    missing = [label for label in labels if not found.get(label)]
    if missing:
        raise DataError(f"{path} does not say what {missing[0]!r} means; add a line `{missing[0]}: what it means`")
    return found


def _text_column(path: Path, column: str | None) -> str:
    _, first = next(file_rows(path), ("", {}))
    name = column if column is not None else next((name for name in _TEXT_COLUMNS if name in first), None)
    if name is None or name not in first:
        there = ", ".join(map(repr, first)) or "nothing"
        raise DataError(
            f"{path} has no column {repr(column) if column else 'text'}; it has {there}: name the texts' with --text"
        )
    return name


def _asked(where: str, row: Mapping[str, object], name: str, labels: Sequence[str]) -> Prompt:
    """The row's text with the labels as its options; what else the row says, but for its id, must not be read."""
    text = row.get(name)
    if text is None or (isinstance(text, str) and not text.strip()):
        raise DataError(f"{where}: has no text in the column {name!r}; fill it in, or remove the row")
    own = {"id": row["id"]} if row.get("id") is not None and name != "id" else {}
    return dataclasses.replace(data_row(where, {"prompt": text, **own}).prompt, options=tuple(labels))


def _labelled_rows(
    path: Path, labels: Sequence[str], column: str | None, by_key: Mapping[str, Prompt]
) -> Iterator[tuple[str, Prompt, str | None, str | None]]:
    """Where each row stands, its text as the pool has it, its label, and who gave it where the row says so."""
    name = _text_column(path, column)
    for where, row in file_rows(path):
        if LABEL not in row:
            raise DataError(f"{where}: has no column {LABEL!r} ({', '.join(row)}); add one with the text's label")
        shown = by_key.get(str(row.get(KEY) or "")) or _asked(where, row, name, labels)
        label = "" if row[LABEL] is None else str(row[LABEL]).strip()
        if label not in labels:
            label = label.removeprefix("'")  # as we write what a table program would take for a formula
        yield where, shown, label or None, str(row.get(BY) or "") or None


def _held_back(known: Sequence[Prompt], share: float, seed: int) -> Iterator[str]:
    by_class: dict[str | None, list[Prompt]] = {}
    for prompt in sorted(known, key=lambda prompt: digest("held back", seed, prompt.id)):
        by_class.setdefault(prompt.target, []).append(prompt)
    for members in by_class.values():
        yield from (prompt.id for prompt in members[: int(share * len(members))])
