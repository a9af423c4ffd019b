"""A small real run of the tiny model, in about half a second: what trials kill, cut and damage, and how it must end."""

from __future__ import annotations

import functools
import hashlib
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch

from sharpen.endpoint.account import ACCOUNT, Account, Answer
from sharpen.errors import DamagedError
from sharpen.events import Event, silent
from sharpen.export import export
from sharpen.ledger import Entry, Ledger
from sharpen.ledger.database import reading
from sharpen.methods.rft import rft
from sharpen.models.cache import cache_folder
from sharpen.parts import Recipe
from sharpen.rounds import improve
from sharpen.run import Run
from sharpen.runtime import generation
from sharpen.runtime.tiny import tiny_folder, tiny_prompts
from sharpen.runtime.torch_runtime import TorchRuntime, model_digest
from sharpen.tasks import Task
from sharpen.verifiers import exact

__all__ = ["ROWS_AT_ONCE", "block_tokens", "chains", "ending", "live", "prepared", "sealed", "tell_tokens", "twice"]

ROWS_AT_ONCE = 16
"""A block is twice as many rows; with the runtime's own number a call of this run would be one block."""

_VERIFIER = exact(ignore_case=False)
_OWN = frozenset({"seconds", "settings"})
_ONCE = ("block", "stage", "trained", "report", "pass", "decision", "round", "result", "read", "best")


def _task() -> Task:
    prompts = tiny_prompts(64, seed=1)
    return Task(
        name="capitals",
        train=tuple(prompts[:24]),
        gate=tuple(prompts[24:48]),
        final=tuple(prompts[48:]),
        verifier=_VERIFIER,
        max_new_tokens=5,
    )


def _recipe() -> Recipe:
    return rft(_VERIFIER, num_prompts=16, num_samples=4, learning_rate=1e-3)


@functools.cache
def _base() -> tuple[Path, str]:
    folder = tiny_folder(cache_folder())
    return folder, model_digest(folder)


def _runtime() -> TorchRuntime:
    folder, base = _base()
    runtime = TorchRuntime(folder, base=base, device="cpu", dtype="float32", threads=1)
    runtime.max_rows = ROWS_AT_ONCE
    return runtime


def prepared(folder: Path) -> None:
    """Load whatever a first run loads, so that forks need not; `folder` is left with an undisturbed run."""
    live(folder)


def live(folder: Path, observe: Callable[[Event], None] = silent) -> None:
    """Run, or go on: two rounds, of which the first is promoted."""
    improve(_recipe(), model=_runtime(), task=_task(), out=folder, rounds=2, controls=False, observe=observe).close()


def sealed(folder: Path) -> None:
    """A finished run with the model that it exports, and with an account of served models."""
    account = Account(folder / ACCOUNT, max_cost=1.0)
    for key in ("first", "second", "third"):
        attempt = account.reserve(key, "judge", 2000)
        assert attempt is not None
        account.settle(attempt, "charged", 1500, tokens=(60, 3))
        account.keep(key, "judge", Answer(text=f"Grade of the {key}: 4", finish="given", input_tokens=60, output_tokens=3))
    account.took(1.5)
    account.close()
    live(folder)
    run = Run.open(folder)
    export(run, _runtime(), folder / f"model-{run.best_id[:8]}")
    run.close()


def _facts(entry: Entry) -> Mapping[str, Any]:  # Any: JSON
    """A row's facts without those that are one run's own: times, the words of its command, where weights were written again."""
    if entry.kind == "checkpoint":
        return {"parent": entry.value["parent"]}
    return {name: fact for name, fact in entry.value.items() if name not in _OWN}


def ending(folder: Path) -> Mapping[str, object]:
    """All that two runs of one command have in common: every standing row, and every byte of the files that they name.

    Raises:
        DamagedError: a file does not match its row.
    """
    with Ledger(folder, read_only=True) as ledger:
        if found := ledger.damage():
            raise DamagedError(found[0])
        found_rows = {f"{one.kind}/{one.key}": (_facts(one), one.sha256) for one in ledger.standing}
        weights = [ledger.folder / str(one.path) for one in ledger.entries("checkpoint")]
        bits = {path.name: hashlib.sha256((path / "model.safetensors").read_bytes()).hexdigest() for path in weights}
    return {**found_rows, "weights": bits}


def block_tokens(folder: Path) -> int:
    """Tokens of the largest sampled block on file."""
    with Ledger(folder, read_only=True) as ledger:
        return max(one.value["tokens"] for one in ledger.entries("block") if one.value["call"] == "generate")


def tell_tokens(told: Callable[[int], None]) -> None:
    """Call `told` with the number of tokens each time that some have been drawn."""
    draw = generation._Batch._draw

    def drawn(self: generation._Batch, logits: torch.Tensor, rows: list[generation._Row]) -> torch.Tensor:
        before = sum(len(row.tokens) for row in rows)
        found = draw(self, logits, rows)
        told(sum(len(row.tokens) for row in rows) - before)
        return found

    generation._Batch._draw = drawn


def chains(folder: Path) -> Sequence[str]:
    """The link of each row on file, oldest first; none where there is no database yet."""
    if not (folder / "ledger.sqlite").exists():
        return []
    with reading(folder) as connection:
        if not connection.execute("SELECT count(*) FROM sqlite_master WHERE name = 'entry'").fetchone()[0]:
            return []
        return [chain for (chain,) in connection.execute("SELECT chain FROM entry ORDER BY sequence")]


def twice(folder: Path) -> Sequence[str]:
    """What was recorded more than once though a key is for ever."""
    with reading(folder) as connection:
        rows = connection.execute("SELECT kind, key FROM entry GROUP BY kind, key HAVING count(*) > 1").fetchall()
    return [f"{kind}/{key}" for kind, key in rows if kind in _ONCE]
