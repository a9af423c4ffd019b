"""Real runs of the tiny model, and copies of them in which chosen values are others."""

from __future__ import annotations

import contextlib
import fcntl
import os
import shutil
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from sharpen.events import Event
from sharpen.ledger import Ledger
from sharpen.methods.rft import rft
from sharpen.models.cache import cache_folder
from sharpen.rounds import improve
from sharpen.run import Run
from sharpen.runtime.tiny import tiny_folder, tiny_prompts
from sharpen.runtime.torch_runtime import TorchRuntime, model_digest
from sharpen.tasks import Task
from sharpen.verifiers import exact

VERIFIER = exact(ignore_case=False)
COMMAND = "sharpen run rft --model tiny --task tiny --out runs/tiny"
PROVENANCE = {
    "source": "pypi:tiny",
    "base_model": "somebody/tiny",
    "licence": "Apache-2.0",
    "made": "dequantised from Q4_1 GGUF to float32",
}
KINDS = ("run", "prompts", "block", "stage", "trained", "report", "pass", "decision", "round", "result", "read", "note", "best")


def tiny_task(*, size: int = 100) -> Task:
    """Words to be answered in capitals: `size` prompts in each split."""
    prompts = tiny_prompts(3 * size, seed=1)
    return Task(
        name="capitals",
        train=tuple(prompts[:size]),
        gate=tuple(prompts[size : 2 * size]),
        final=tuple(prompts[2 * size :]),
        verifier=VERIFIER,
        max_new_tokens=6,
        source={"task": "tiny"},
        dropped={"said twice": 3},
    )


def tiny_runtime() -> TorchRuntime:
    """The tiny model in float32 on one thread."""
    folder = tiny_folder(cache_folder())
    return TorchRuntime(folder, base=model_digest(folder), device="cpu", dtype="float32", threads=1)


class Stopped(Exception):
    """The run was stopped on purpose."""


def stop_in_round(index: int) -> Callable[[Event], None]:
    """An observer that ends the run when that round begins to train."""

    def observe(event: Event) -> None:
        if event.kind == "stage" and event.stage == "train" and event.round == index:
            raise Stopped

    return observe


def improved(out: Path, *, learning_rate: float = 3e-4, observe: Callable[[Event], None] | None = None) -> Run:
    """A run of three rounds; at the default learning rate the first is a gain that no test can miss, and the last is none."""
    recipe = rft(VERIFIER, num_prompts=32, num_samples=4, learning_rate=learning_rate)
    with contextlib.suppress(Stopped):
        improve(
            recipe,
            model=tiny_runtime(),
            task=tiny_task(),
            out=out,
            rounds=3,
            settings={"command": COMMAND, "model": {"spec": "pypi:tiny", "provenance": PROVENANCE}},
            observe=observe or (lambda event: None),
        )
    return Run.open(out)


def shared_run(factory: pytest.TempPathFactory, name: str, make: Callable[[Path], Run]) -> Iterator[Run]:
    """One run for all test processes of this session: the first makes it, the others find it done."""
    folder = factory.getbasetemp()
    folder = folder.parent if "PYTEST_XDIST_WORKER" in os.environ else folder
    with (folder / f"{name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        done = folder / f"{name}.done"
        run = Run.open(folder / name) if done.exists() else make(folder / name)
        done.touch()
    yield run
    run.close()


def rewritten(
    source: Path,
    target: Path,
    *,
    value: Callable[[str, Mapping[str, Any]], Mapping[str, Any]] = lambda kind, value: value,
    item: Callable[[str, Any], Any] = lambda kind, item: item,
) -> Run:
    """A copy of a run directory in which `value` has changed rows, and `item` the values in files; both are told the kind."""
    old = Ledger(source, read_only=True)
    with Ledger(target) as new:
        rows = sorted((entry for kind in KINDS for entry in old.entries(kind)), key=lambda entry: entry.sequence)
        for row in rows:
            items = [item(row.kind, one) for one in old.items(row)] if row.path is not None else None
            new.put(row.kind, row.key, value(row.kind, row.value), items)
        for row in old.entries("checkpoint"):
            new.put_folder("checkpoint", row.key, row.value, _copier(old.folder_of(row)))
    old.close()
    return Run.open(target)


def _copier(source: Path) -> Callable[[Path], None]:
    def fill(folder: Path) -> None:
        for path in source.iterdir():
            shutil.copyfile(path, folder / path.name)

    return fill
