"""From settings to a task: a file, a generator of reasoning-gym, or the tiny world."""

from __future__ import annotations

from sharpen.cli.settings import Settings
from sharpen.data import Rows, Splits, make_task, need_targets, procedural_task, read_rows
from sharpen.errors import DataError
from sharpen.loading import (
    DEFAULT_MAX_NEW_TOKENS,
    instructed,
    refuse_rejected_targets,
    tiny_task,
)
from sharpen.protocols import Verifier
from sharpen.sample import given_answer
from sharpen.tasks import Task
from sharpen.types import Demonstration
from sharpen.verifiers import choice, exact, formula, load_verifier, number

__all__ = ["make_cli_task"]

_COMPARES = (number, choice, exact, formula)  # these compare with a target; others may not need one


def make_cli_task(settings: Settings) -> Task:
    """The task that the settings ask for, with its second task.

    Raises:
        ValueError: no task is named, or a setting does not go with its kind.
        DataError: a file or row cannot be used, a target is rejected, or there are too few prompts.
    """
    task = _first(settings)
    if settings.demonstrations is not None:
        task = task.replace(demonstrations=_demonstrations(settings.demonstrations, settings))
    if settings.second is None:
        _refuse_without_second(settings)
        return task
    return task.replace(second=_second(settings, task.max_new_tokens))


def _first(settings: Settings) -> Task:
    if settings.task is None:
        raise ValueError(
            "name a task: --task FILE.jsonl (or .csv, .parquet), --task rg:chain_sum, or --task tiny for a first look"
        )
    splits = Splits(
        train=settings.num_train,
        dev=settings.num_dev,
        gate=settings.num_gate,
        final=settings.num_final,
        seed=settings.split_seed,
    )
    verifier = load_verifier(settings.verifier) if settings.verifier is not None else None
    if settings.task == "tiny":
        return _tiny_task(settings, splits, verifier)
    task = _any_task(settings, splits, verifier)
    if settings.check_targets and verifier is not None:
        refuse_rejected_targets(task, verifier, "correct the target or the verifier, or pass --no-check-targets")
    return task


def _second(settings: Settings, max_new_tokens: int) -> Task:
    given = Settings(
        task=settings.second,
        task_args=settings.second_args,
        columns=settings.second_columns,
        verifier=settings.second_verifier,
        instruction=settings.second_instruction,
        max_new_tokens=max_new_tokens,
        num_train=0,
        num_gate=settings.num_second,
        num_final=0,
        check_targets=settings.check_targets,
    )
    task = _first(given)
    if task.verifier is None:
        raise ValueError("the second task needs a verifier of its own: --second-verifier number, exact, module:function, ...")
    return task


def _refuse_without_second(settings: Settings) -> None:
    for name, _ in settings.flags():
        if name.startswith("second_") or name == "num_second":
            raise ValueError(
                f"--{name.replace('_', '-')} is of a second task, and none is named; add --second, or leave it out"
            )


def _any_task(settings: Settings, splits: Splits, verifier: Verifier | None) -> Task:
    assert settings.task is not None
    max_new_tokens = DEFAULT_MAX_NEW_TOKENS if settings.max_new_tokens is None else settings.max_new_tokens
    if settings.task.startswith("rg:"):
        _refuse(settings, "a generated task", "columns", "held_out", "raw")
        return procedural_task(
            settings.task,
            settings.task_args,
            verifier,
            splits=splits,
            instruction=settings.instruction,
            max_new_tokens=max_new_tokens,
            targets_checked=settings.check_targets and verifier is None,
        )
    _refuse(settings, "a file of prompts", "task_args")
    rows = _rows(settings.task, settings, verifier)
    held_out = _rows(settings.held_out, settings, verifier) if settings.held_out is not None else None
    return make_task(rows, verifier, splits=splits, held_out=held_out, max_new_tokens=max_new_tokens, targets_checked=False)


def _rows(path: str, settings: Settings, verifier: Verifier | None) -> Rows:
    columns = {ours: str(theirs) for ours, theirs in settings.columns.items()}
    rows = read_rows(path, columns, raw=settings.raw)
    if isinstance(verifier, _COMPARES):
        need_targets(rows)
    return instructed(rows, settings.instruction)


def _demonstrations(path: str, settings: Settings) -> tuple[Demonstration, ...]:
    found = []
    for row in _rows(path, settings.replace(columns={}), None).rows:
        answer = row.completion if row.completion is not None else row.prompt.target
        if answer is None:
            raise DataError(f"{row.where}: has no 'completion' to show as the worked answer; add it")
        found.append(given_answer(row.prompt, answer))
    return tuple(found)


def _tiny_task(settings: Settings, splits: Splits, verifier: Verifier | None) -> Task:
    _refuse(settings, "the tiny task", "columns", "held_out", "task_args", "instruction", "raw")
    return tiny_task(splits, verifier, settings.max_new_tokens)


def _refuse(settings: Settings, what: str, *names: str) -> None:
    told = dict(settings.flags())
    for name in names:
        if name in told:
            raise ValueError(f"--{name.replace('_', '-')} does not go with {what} ({settings.task}); leave it out")
