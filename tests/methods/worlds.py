"""The tiny world for method tests: a real small transformer with a habit to unlearn, 160 train and 200 held-out prompts."""

from __future__ import annotations

from pathlib import Path

from sharpen.models.cache import cache_folder
from sharpen.parts import Recipe
from sharpen.rounds import improve
from sharpen.run import Run
from sharpen.runtime.tiny import tiny_folder, tiny_prompts
from sharpen.runtime.torch_runtime import TorchRuntime
from sharpen.tasks import Task
from sharpen.verifiers import exact

VERIFIER = exact(ignore_case=False)


def tiny_task(**changes: object) -> Task:
    prompts = tiny_prompts(460, seed=5)
    task = Task(
        name="tiny",
        train=tuple(prompts[:160]),
        gate=tuple(prompts[160:310]),
        final=tuple(prompts[310:460]),
        verifier=VERIFIER,
        max_new_tokens=6,
    )
    return task.replace(**changes)


def tiny_runtime() -> TorchRuntime:
    return TorchRuntime(tiny_folder(cache_folder()), base="tiny", device="cpu", dtype="float32")


def tiny_improve(recipe: Recipe, out: Path, *, rounds: int | None = None, controls: bool = False, **changes: object) -> Run:
    return improve(recipe, model=tiny_runtime(), task=tiny_task(**changes), out=out, rounds=rounds, controls=controls)


def accuracy(run: Run, name: str) -> float:
    result = run.result(name)
    assert result is not None
    outcomes = result.report.outcomes["accuracy"]
    return sum(score or 0.0 for score in outcomes) / len(outcomes)
