"""The tiny model with half of its habit unlearned: right on about half of the words, so that little training changes many answers."""

from __future__ import annotations

from pathlib import Path

from sharpen.methods.rft import rft
from sharpen.models.cache import cache_folder
from sharpen.rounds import improve
from sharpen.runtime.tiny import tiny_folder
from sharpen.runtime.torch_runtime import TorchRuntime
from sharpen.tasks import Task
from sharpen.verifiers import exact

VERIFIER = exact(ignore_case=False)


def half_cured(task: Task, scratch: Path) -> Path:
    """A model folder under that one, trained on 64 of the task's words; made in a second or two."""
    runtime = TorchRuntime(tiny_folder(cache_folder()), base="tiny", device="cpu", dtype="float32", threads=1)
    cured = rft(VERIFIER, num_prompts=64, num_samples=4, learning_rate=1.5e-4)
    run = improve(cured, model=runtime, task=task, out=scratch / "cured", rounds=1, controls=False, final=False)
    folder = scratch / "half"
    folder.mkdir()
    runtime.export(run.best, folder)
    run.close()
    return folder


def half_runtime(folder: Path) -> TorchRuntime:
    return TorchRuntime(folder, base="half", device="cpu", dtype="float32", threads=1, max_resident=4)
