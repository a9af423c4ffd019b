"""`sharpen predict`: labels for other texts, by a classifier that `sharpen classify` made."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from sharpen.classify import label_all, read_texts
from sharpen.classify.corpus import BY, CLASSIFIER, KEY, LABEL, key_of
from sharpen.cli.output import count, say, say_json, visible
from sharpen.compare.written import csv_text
from sharpen.errors import DataError
from sharpen.loading import load_model
from sharpen.report.document import written
from sharpen.runtime.linear_head import HEAD, LinearHead
from sharpen.types import Prompt

__all__ = ["POINTER", "predict", "table_of"]

POINTER = "classifier.txt"
"""In a run directory, the file that names the classifier's folder."""

Given = tuple[Prompt, str, float, str]
"""A text, its label, that label's share in [0, 1], and who gave it."""


def predict(texts: Path, *, run: Path | None, to: Path | None, text: str | None, threads: int | None, as_json: bool) -> None:
    """Write a label for each row of a file, in its order and with its id, by a classifier that `sharpen classify` made.

    Raises:
        DataError: the file cannot be read, or there is no classifier.
        ModelError: the classifier's files are damaged.
    """
    folder = _classifier(run)
    runtime = load_model(str(folder), threads=threads)
    labels = LinearHead.read(folder)[0].labels
    rows = label_all(runtime.load(runtime.base), read_texts(texts, labels, text))
    given = [(one.prompt, one.label, one.share, CLASSIFIER) for one in rows]
    place = written(table_of(given), to or Path(f"{texts.stem}-labelled.csv"))
    counts = dict.fromkeys(labels, 0)
    for one in rows:
        counts[one.label] += 1
    if as_json:
        say_json({"classifier": str(folder), "texts": len(rows), "labels": counts, "to": str(place)})
        return
    say(f"classifier: {folder}")
    say(f"{count(len(rows))} texts labelled: {', '.join(f'{one} {count(n)}' for one, n in counts.items())}")
    print(f"labels: {visible(str(place))}")


def table_of(given: Sequence[Given]) -> str:
    """Labels as CSV, a row each, with the column `id` where a text has one."""
    with_id = ["id"] if any("id" in prompt.tags for prompt, *_ in given) else []
    rows = [
        (key_of(prompt), *(prompt.tags.get(name) for name in with_id), prompt.text, label, f"{share:.3f}", by)
        for prompt, label, share, by in given
    ]
    return csv_text((KEY, *with_id, "text", LABEL, "share", BY), rows)


def _classifier(run: Path | None) -> Path:
    """The classifier's folder: that of the run directory, or the newest of all."""
    if run is None:
        pointers = sorted(Path("runs").glob(f"*/{POINTER}"), key=lambda path: path.stat().st_mtime)
        if not pointers:
            raise DataError(
                "there is no classifier under runs/; make one with `sharpen classify`, or name its folder with --run"
            )
        run = pointers[-1].parent
    if (run / HEAD).is_file():
        return run
    pointer = run / POINTER
    if not pointer.is_file():
        raise DataError(f"{run} holds no classifier; name a run directory of `sharpen classify`")
    folder = run / pointer.read_text("utf-8").strip()
    if not (folder / HEAD).is_file():
        raise DataError(f"{pointer} names {folder}, which holds no classifier; give the command of `sharpen classify` again")
    return folder
