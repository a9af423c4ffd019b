"""From settings to a task, with its second task."""

from __future__ import annotations

from sharpen.cli.settings import Settings
from sharpen.data import Splits
from sharpen.loading import load_task, with_second
from sharpen.tasks import Task

__all__ = ["make_cli_task"]


def make_cli_task(settings: Settings) -> Task:
    """The task that the settings ask for, with its second task.

    Raises:
        ValueError: no task is named, or a setting does not go with its kind.
        DataError: a file or row cannot be used, a target is rejected, or there are too few prompts.
    """
    if settings.task is None:
        raise ValueError(
            "name a task: --task FILE.jsonl (or .csv, .parquet), --task rg:chain_sum, or --task tiny for a first look"
        )
    if settings.second is None:
        _refuse_without_second(settings)
    splits = Splits(
        train=settings.num_train,
        dev=settings.num_dev,
        gate=settings.num_gate,
        final=settings.num_final,
        seed=settings.split_seed,
    )
    task = load_task(
        settings.task,
        settings.verifier,
        columns=settings.columns or None,
        parameters=settings.task_args or None,
        splits=splits,
        held_out=settings.held_out,
        instruction=settings.instruction,
        raw=settings.raw,
        max_new_tokens=settings.max_new_tokens,
        demonstrations=settings.demonstrations,
        check_targets=settings.check_targets,
        allow_code_execution=settings.allow_code_execution,
    )
    return task if settings.second is None else with_second(task, _second(settings, task.max_new_tokens))


def _second(settings: Settings, max_new_tokens: int) -> Task:
    assert settings.second is not None
    return load_task(
        settings.second,
        settings.second_verifier,
        columns=settings.second_columns or None,
        parameters=settings.second_args or None,
        splits=Splits(train=0, gate=settings.num_second, final=0),
        instruction=settings.second_instruction,
        max_new_tokens=max_new_tokens,
        check_targets=settings.check_targets,
        allow_code_execution=settings.allow_code_execution,
    )


def _refuse_without_second(settings: Settings) -> None:
    for name, _ in settings.flags():
        if name.startswith("second_") or name == "num_second":
            raise ValueError(
                f"--{name.replace('_', '-')} is of a second task, and none is named; add --second, or leave it out"
            )
