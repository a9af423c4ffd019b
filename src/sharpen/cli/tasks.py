"""From settings to a task: a file, a generator of reasoning-gym, or the tiny world."""

from __future__ import annotations

import dataclasses

from sharpen.cli.settings import Settings
from sharpen.data import DataRow, Rows, Splits, make_task, need_targets, procedural_task, read_rows
from sharpen.errors import DataError
from sharpen.protocols import Verifier
from sharpen.sample import given_answer
from sharpen.tasks import Task
from sharpen.types import Demonstration, Message, Prompt, Text
from sharpen.verifiers import VerifierPool, choice, exact, formula, load_verifier, number
from sharpen.verifiers.audit import rejected_targets

__all__ = ["DEFAULT_MAX_NEW_TOKENS", "make_cli_task", "with_instruction"]

DEFAULT_MAX_NEW_TOKENS = 256
_TINY_MAX_NEW_TOKENS = 8
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
        return task
    return task.replace(second=_second(settings, task.max_new_tokens))


def with_instruction(prompt: Prompt, instruction: str) -> Prompt:
    """The prompt with the instruction on a line of its own at the end of its last message."""
    *before, last = prompt.messages
    parts = (*last.content[:-1], Text(text=f"{last.content[-1].text}\n{instruction}"))
    return dataclasses.replace(prompt, messages=(*before, Message(role=last.role, content=parts)))


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
        _check_targets(task, verifier)
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


def _any_task(settings: Settings, splits: Splits, verifier: Verifier | None) -> Task:
    assert settings.task is not None
    max_new_tokens = settings.max_new_tokens or DEFAULT_MAX_NEW_TOKENS
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
    if settings.instruction is None:
        return rows
    found = tuple(_instructed(row, settings.instruction) for row in rows.rows)
    return dataclasses.replace(rows, rows=found, source={**rows.source, "instruction": settings.instruction})


def _demonstrations(path: str, settings: Settings) -> tuple[Demonstration, ...]:
    found = []
    for row in _rows(path, settings.replace(columns={}), None).rows:
        answer = row.completion if row.completion is not None else row.prompt.target
        if answer is None:
            raise DataError(f"{row.where}: has no 'completion' to show as the worked answer; add it")
        found.append(given_answer(row.prompt, answer))
    return tuple(found)


def _instructed(row: DataRow, instruction: str) -> DataRow:
    return dataclasses.replace(row, prompt=with_instruction(row.prompt, instruction))


def _tiny_task(settings: Settings, splits: Splits, verifier: Verifier | None) -> Task:
    from sharpen.runtime.tiny import tiny_prompts

    _refuse(settings, "the tiny task", "columns", "held_out", "task_args", "instruction", "raw")
    sizes = {
        "gate": 100 if splits.gate is None else splits.gate,
        "final": 100 if splits.final is None else splits.final,
        "dev": splits.dev,
        "train": 256 if splits.train is None else splits.train,
    }
    prompts = iter(tiny_prompts(sum(sizes.values()), splits.seed))
    found = {name: tuple(next(prompts) for _ in range(size)) for name, size in sizes.items()}
    return Task(
        name="tiny",
        train=found["train"],
        dev=found["dev"],
        gate=found["gate"],
        final=found["final"],
        verifier=verifier or exact(ignore_case=False),
        max_new_tokens=settings.max_new_tokens or _TINY_MAX_NEW_TOKENS,
        source={"generator": "tiny", "seed": splits.seed},
        licence="Apache-2.0",
    )


def _refuse(settings: Settings, what: str, *names: str) -> None:
    told = dict(settings.flags())
    for name in names:
        if name in told:
            raise ValueError(f"--{name.replace('_', '-')} does not go with {what} ({settings.task}); leave it out")


def _check_targets(task: Task, verifier: Verifier) -> None:
    """Refuse a task of which a prompt could never be solved. The verifier runs bounded: it may be anybody's code.

    Raises:
        DataError: a target is accepted in none of the forms in which answers are usually written.
    """
    prompts = [*task.train, *task.dev, *task.gate, *task.final]
    with VerifierPool(verifier) as pool:
        rejected = rejected_targets(pool, prompts)
    if rejected:
        prompt, verdict = rejected[0]
        said = f"scores it {verdict.score:g}" if verdict.score is not None else f"abstains ({verdict.reason})"
        raise DataError(
            f"{_count(len(rejected))} by {verifier!r}, the first for prompt {prompt.tags.get('id', prompt.text[:60])!r}: it {said} "
            f"as {(prompt.target or '')[:80]!r}; correct the target or the verifier, or pass --no-check-targets"
        )


def _count(number: int) -> str:
    return "1 target is rejected" if number == 1 else f"{number} targets are rejected"
