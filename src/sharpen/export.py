"""A run's result as a folder that plain transformers loads, with a model card, and the data that made it better."""

from __future__ import annotations

import contextlib
import errno
import os
import shutil
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from sharpen.cards import Card
from sharpen.errors import CapacityError, DamagedError, ModelError
from sharpen.examples import Demonstration, Example, Preference, Rollout, Row
from sharpen.ledger.files import file_digest, sync
from sharpen.methods import all_cards
from sharpen.protocols import Runtime
from sharpen.report.cards import DataFile, data_card, model_card
from sharpen.run import Run
from sharpen.types import Prompt

__all__ = ["SUMS", "damage_in", "export", "training_data"]

SUMS = "SHA256SUMS"
"""Name of the file in an exported folder that holds the digests of the others: `sha256sum -c SHA256SUMS` tests them anywhere."""


def export(run: Run, runtime: Runtime, to: Path | str, *, allow_base: bool = False, card: Card | None = None) -> Path:
    """The folder `to`: weights, tokenizer and model card, and under `data/` the training examples with their own card.

    It appears as a whole or not at all, a power cut included, with the digest of each file in `SHA256SUMS`. The examples have the
    row shapes that other trainers read: `prompt` and `completion`, or `prompt`, `chosen` and `rejected`, as lists of messages (as
    text for prompts without a chat template).

    Args:
        run: one that came to its end.
        runtime: holds the model that the run started from.
        to: a folder that does not exist or is empty.
        allow_base: export the unchanged base where nothing was promoted, instead of refusing.
        card: the method's; None takes that of the shipped method of the recipe's name, if there is one.

    Raises:
        LedgerError: the run has not come to its end.
        ModelError: nothing was promoted.
        ValueError: `to` holds something, or the runtime is of another model.
        DamagedError: the run's weights are gone or do not match their checksum.
        CapacityError: the disk is full.
    """
    to, best_id = Path(to), run.best_id
    if best_id == run.base and not allow_base:
        raise ModelError(
            f"nothing was promoted in {run.folder}, so there is no improved model to export; its report says why, and "
            "allow_base=True (`--allow-base`) exports the unchanged base"
        )
    if runtime.base.id != run.base:
        raise ValueError(f"the run started from {run.base}, and this runtime holds {runtime.base.id}; load the run's own model")
    if to.exists() and (not to.is_dir() or any(to.iterdir())):
        raise ValueError(f"{to} is not an empty folder; name a new one")
    best = runtime.base if best_id == run.base else run.best
    known = card if card is not None else all_cards().get(str(run.facts["method"]))
    with _whole_folder(to) as folder:
        runtime.export(best, folder)
        written = _write_data(training_data(run), folder / "data")
        (folder / "README.md").write_text(model_card(run, known, written), encoding="utf-8")
        if written:
            (folder / "data" / "README.md").write_text(data_card(run, known, written), encoding="utf-8")
        names = sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())
        (folder / SUMS).write_text("".join(f"{file_digest(folder / name)}  {name}\n" for name in names), encoding="utf-8")
    return to


def damage_in(folder: Path) -> list[str]:
    """What in an exported folder is not as it was written, a sentence each; files that were added are nobody's damage.

    A folder without `SHA256SUMS` (version 0.1.0 wrote none) tells nothing.
    """
    found = []
    lines = (folder / SUMS).read_text("utf-8", "replace").splitlines() if (folder / SUMS).exists() else []
    for digest, _, name in (line.partition("  ") for line in lines):
        try:
            same = file_digest(folder / name) == digest
        except (DamagedError, ValueError) as error:
            found.append(str(error))
        else:
            found += [] if same else [f"{folder / name} does not match its checksum in {SUMS}"]
    return found


@dataclass(frozen=True, kw_only=True)
class Records:
    """Training examples of one kind.

    Attributes:
        name: `demonstrations`, `preferences`, `rollouts` or `examples`; those of prompts without a chat template end with `-raw`.
        rows: one mapping a row, all with the same columns.
    """

    name: str
    rows: Sequence[dict[str, Any]]  # Any: columns of several types


def training_data(run: Run) -> Sequence[Records]:
    """The examples that promoted rounds were trained on, as rows that other trainers read.

    Every row names its round, its prompt's id and target, and the checkpoint that sampled it (null for given text).
    """
    found: dict[str, list[dict[str, Any]]] = {}
    for one in run.rounds:
        if one.decision.promote:
            for number, example in enumerate(run.examples(one.index)):
                for name, row in _rows(example, number):
                    raw = "-raw" if example.rows[0].prompt.next == "raw" else ""
                    found.setdefault(f"{name}{raw}", []).append({**row, "round": one.index + 1})
    return [Records(name=name, rows=rows) for name, rows in found.items()]


def _rows(example: Example, number: int) -> Iterator[tuple[str, dict[str, Any]]]:
    match example:
        case Demonstration(row=row, weight=weight):
            yield "demonstrations", {**_completed(row), "weight": weight, **_origin(row)}
        case Preference(chosen=chosen, rejected=rejected):
            numbers = {"p_chosen": example.p_chosen, "margin": example.margin, "weight": example.weight}
            sides = {"chosen": _said(chosen), "rejected": _said(rejected), "prompt": _asked(chosen.prompt)}
            yield "preferences", {**sides, **numbers, **_origin(chosen), "rejected_checkpoint": rejected.completion.checkpoint}
        case Rollout(row=row, reward=reward, group=group):
            advantage = row.advantages[-1] if row.advantages else None
            yield "rollouts", {**_completed(row), "reward": reward, "advantage": advantage, "group": group, **_origin(row)}
        case _:
            for row in example.rows:
                yield "examples", {**_completed(row), "example": number, **_origin(row)}


def _completed(row: Row) -> dict[str, Any]:  # Any: text or messages
    return {"prompt": _asked(row.prompt), "completion": _said(row)}


def _asked(prompt: Prompt) -> str | list[dict[str, str]]:
    if prompt.next == "raw":
        return prompt.text
    return [{"role": message.role, "content": message.text} for message in prompt.messages]


def _said(row: Row) -> str | list[dict[str, str]]:
    if row.prompt.next == "raw":
        return row.completion.text
    return [{"role": row.prompt.next, "content": row.completion.text}]


def _origin(row: Row) -> dict[str, str | None]:
    prompt = row.prompt
    own = prompt.tags.get("id")
    name = prompt.id if own is None else str(own)
    return {"prompt_id": name, "target": prompt.target, "checkpoint": row.completion.checkpoint}


def _write_data(records: Sequence[Records], folder: Path) -> Sequence[DataFile]:
    found = []
    for one in records:
        folder.mkdir(exist_ok=True)
        path = folder / f"{one.name}.parquet"
        pq.write_table(pa.Table.from_pylist(list(one.rows)), path, compression="zstd")
        sampled = {str(row["checkpoint"]) for row in one.rows if row["checkpoint"] is not None}
        given = sum(row["checkpoint"] is None for row in one.rows)
        columns = tuple(one.rows[0])
        found.append(
            DataFile(
                name=one.name, columns=columns, num_rows=len(one.rows), num_given=given, checkpoints=tuple(sorted(sampled))
            )
        )
    return found


@contextlib.contextmanager
def _whole_folder(to: Path) -> Iterator[Path]:
    """A folder beside `to` that takes its name once the block has filled it; nothing is left behind where it fails."""
    scratch: Path | None = None
    try:
        to.parent.mkdir(parents=True, exist_ok=True)
        scratch = Path(tempfile.mkdtemp(prefix=f".{to.name}-", dir=to.parent))
        yield scratch
        scratch.chmod(0o755)
        for path in scratch.rglob("*"):
            path.chmod(0o755 if path.is_dir() else 0o644)  # some libraries write files that only their owner may read
            sync(path)
        sync(scratch)
        if to.exists():
            to.rmdir()
        os.replace(scratch, to)
        sync(to.parent)
    except OSError as error:
        if error.errno == errno.ENOSPC:
            raise CapacityError(f"no space left to write {to}; free some and export again") from error
        raise
    finally:
        if scratch is not None and scratch.exists():
            shutil.rmtree(scratch, ignore_errors=True)
