"""Everything that a run is asked to do, as one value: what flags, settings files and the record of a run all say."""

from __future__ import annotations

import dataclasses
import re
import shlex
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, get_type_hints

from sharpen.budget import Budget
from sharpen.cli.files import written_yaml
from sharpen.cli.values import read_value, written_value
from sharpen.digest import digest

__all__ = ["GROUPS", "MAPPINGS", "RENAMINGS", "Settings", "kinds", "read_settings"]

GROUPS = ("Model", "Task", "Run")
RENAMINGS = ("columns", "second_columns", "roles")
MAPPINGS = ("task_args", "second_args", *RENAMINGS)
_WHERE_AND_HOW_LONG = (
    "out",
    "device",
    "dtype",
    "threads",
    "rounds",
    "budget_tokens",
    "budget_seconds",
    "max_cost",
    "max_hours",
    "controls",
)
"""A run goes on under another value of these."""


def _setting(group: str, help: str, default: Any = None) -> Any:  # Any: as dataclasses.field
    facts = {"group": group, "help": help}
    if default == {}:
        return field(default_factory=dict, metadata=facts)
    return field(default=default, metadata=facts)


@dataclass(frozen=True, kw_only=True)
class Settings:
    """What a user asked for, checked for form alone.

    Every field but `method` and `parameters` is a flag (`--num-train`) and a key of a settings file (`num_train`); the method's
    own parameters stand beside them.
    """

    method: str | None = None
    parameters: Mapping[str, object] = field(default_factory=dict)

    model: str | None = _setting(
        "Model",
        "hub id, folder, FILE.gguf@sha256:CHECKSUM, pypi:PACKAGE, endpoint:MODEL@URL (served; it answers, and is not trained), or made "
        "on the spot: tiny (in seconds), lab:addition (in minutes)",
    )
    revision: str | None = _setting("Model", "branch, tag or commit of a hub model")
    trust_remote_code: bool = _setting("Model", "let a hub model run code of its own; needs --revision COMMIT", False)
    device: Literal["auto", "cpu", "cuda", "mps"] = _setting("Model", "where to compute", "auto")
    dtype: Literal["auto", "float32", "bfloat16"] = _setting("Model", "of matrix products; weights stay float32", "auto")
    threads: int | None = _setting("Model", "CPU threads; a run keeps those that it was started with")

    roles: Mapping[str, Any] = _setting(
        "Model",
        "other models for roles that the method asks: --roles judge=endpoint:MODEL@URL,key=VARIABLE,input=0.15,output=0.6",
        {},
    )

    task: str | None = _setting(
        "Task",
        "a JSONL, CSV or Parquet file, rg:GENERATOR of reasoning-gym, lab:PROBLEMS,difficulty=N, pypi:PACKAGE with labelled texts, or tiny",
    )
    task_args: Mapping[str, Any] = _setting("Task", "parameters of the generator: --task-args min_digits=2 max_digits=2", {})
    columns: Mapping[str, Any] = _setting("Task", "our name=your name: --columns prompt=question target=answer", {})
    verifier: str | None = _setting(
        "Task",
        "number, choice, exact, formula, pattern:REGEX, code, module:function or file.py:function; rg: and pypi: tasks bring their own",
    )
    allow_code_execution: bool = _setting("Task", "let the verifier code run programs that a model wrote, in a sandbox", False)
    held_out: str | None = _setting(
        "Task", "file whose prompts are the gate and final splits; by default they are cut from --task"
    )
    demonstrations: str | None = _setting("Task", "file of worked examples (prompt, completion) to show in prompts")
    num_train: int | None = _setting("Task", "train prompts; by default all that are left (rg: 1000)")
    num_dev: int = _setting("Task", "prompts for steering by labels, kept out of train", 0)
    num_gate: int | None = _setting("Task", "held-out prompts that each round is tested on; by default a quarter, 200 at most")
    num_final: int | None = _setting("Task", "held-out prompts for the last figures; by default as --num-gate")
    split_seed: int = _setting("Task", "another number draws and splits otherwise", 0)
    instruction: str | None = _setting("Task", "text for a line of its own after each prompt")
    raw: bool = _setting("Task", "prompts are texts to go on from, without the chat template", False)
    max_new_tokens: int | None = _setting("Task", "tokens that an answer may take; 256 by default (tiny: 8)")
    overlong: Literal["refuse", "drop"] = _setting(
        "Task", "what to do about prompts that do not fit the model's context", "refuse"
    )
    check_targets: bool = _setting("Task", "refuse a target that the verifier rejects", True)
    second: str | None = _setting("Task", "another task, on which the model must not get worse")
    second_args: Mapping[str, Any] = _setting("Task", "as --task-args, of the second task", {})
    second_columns: Mapping[str, Any] = _setting("Task", "as --columns, of the second task", {})
    second_verifier: str | None = _setting("Task", "as --verifier, of the second task")
    second_instruction: str | None = _setting("Task", "as --instruction, of the second task")
    num_second: int = _setting("Task", "prompts of the second task", 100)

    rounds: int | None = _setting("Run", "rounds at most, by default the method's own number; ask for more, and a run goes on")
    budget_tokens: int | None = _setting(
        "Run", "tokens sampled and trained, after which a run ends; rounds are then as many as it takes"
    )
    budget_seconds: float | None = _setting("Run", "the same in seconds in the model; measuring is not counted in either")
    max_cost: float | None = _setting(
        "Run", "dollars that served models may cost at most, over all starts; set aside before each request"
    )
    max_hours: float | None = _setting("Run", "hours of asking served models at most, over all starts")
    seed: int = _setting("Run", "of everything random but the splits", 0)
    level: float = _setting("Run", "chance that the gate ever promotes what is no better", 0.05)
    controls: bool = _setting("Run", "also measure what a sceptic would ask for, at equal or lower cost", True)
    out: str | None = _setting("Run", "run directory; by default runs/METHOD-TASK-HASH, so that the same command goes on")

    @property
    def folder(self) -> Path:
        """The run directory."""
        if self.out is not None:
            return Path(self.out)
        method = (self.method or "").rpartition(":")[2]
        task = Path((self.task or "").removeprefix("rg:")).stem
        told = {name: _named(value) for name, value in self.flags() if name not in _WHERE_AND_HOW_LONG}
        key = digest("settings", self.method, told, dict(self.parameters))[:8]
        return Path("runs") / "-".join(re.sub(r"[^A-Za-z0-9_.]+", "_", word) for word in (method, task, key))

    def flags(self) -> Iterator[tuple[str, object]]:
        """(name, value) of each setting that is not at its default."""
        defaults = vars(Settings())
        yield from ((name, vars(self)[name]) for name in kinds() if vars(self)[name] != defaults[name])

    @property
    def budget(self) -> Budget | None:
        """What the model may cost, or None.

        Raises:
            ValueError: both bounds are given, or one is not above 0.
        """
        if self.budget_tokens is None and self.budget_seconds is None:
            return None
        return Budget(tokens=self.budget_tokens, seconds=self.budget_seconds)

    @property
    def command(self) -> str:
        """The command that repeats the run, wherever its settings came from."""
        words = ["sharpen", "run", self.method or ""]
        told = dict(self.flags())
        given = {"model": told.pop("model", None), "task": told.pop("task", None), **told}
        for name, value in given.items():
            flag = f"--{name.replace('_', '-')}"
            if isinstance(value, Mapping):
                written = str if name in RENAMINGS else written_yaml
                words += [flag, *(f"{key}={written(item)}" for key, item in value.items())]
            elif isinstance(value, bool):
                words.append(flag if value else f"--no-{flag[2:]}")
            elif value is not None:
                words += _pair(flag, written_value(value))
        for name, value in self.parameters.items():
            words += _pair(f"--{name.replace('_', '-')}", written_value(value))
        return shlex.join(words)

    def record(self) -> dict[str, object]:
        """The settings as JSON, for `read_settings` to read back."""
        return {"method": self.method, **dict(self.flags()), **self.parameters}

    def replace(self, **changes: object) -> Settings:
        """The settings with some changed."""
        return dataclasses.replace(self, **changes)  # type: ignore[arg-type]  # fields of Settings


def kinds() -> Mapping[str, Any]:  # Any: annotations have no common type
    """By name, the annotation of every setting that is a flag."""
    hints = get_type_hints(Settings)
    return {one.name: hints[one.name] for one in dataclasses.fields(Settings) if one.metadata}


def read_settings(given: Mapping[str, object]) -> Settings:
    """Settings from names and values as written; names that are no setting are taken for the method's own parameters.

    Raises:
        ValueError: a value is not of its setting's type, or `method` is not text.
    """
    wanted, found, parameters = kinds(), dict[str, object](), dict[str, object]()
    for name, value in given.items():
        if name == "method":
            found[name] = read_value(name, value, str)
        elif name not in wanted:
            parameters[name] = value
        elif name in MAPPINGS:
            found[name] = _mapping(name, value)
        elif value is True and wanted[name] is not bool:
            raise ValueError(f"{name} needs a value: --{name.replace('_', '-')} VALUE")
        else:
            found[name] = read_value(name, value, wanted[name])
    return Settings(parameters=parameters).replace(**found)


def _mapping(name: str, value: object) -> Mapping[str, object]:
    if isinstance(value, Mapping):
        return {str(key): str(item) if name in RENAMINGS else item for key, item in value.items()}
    raise ValueError(f"{name} is {value!r}; write names and values: --{name.replace('_', '-')} name=value")


def _named(value: object) -> object:
    """A setting as it names a folder: of a served model who is asked and where, not its price or pace."""
    if isinstance(value, Mapping):
        return {key: _named(item) for key, item in value.items()}
    return value.partition(",")[0] if isinstance(value, str) and value.startswith("endpoint:") else value


def _pair(flag: str, text: str) -> list[str]:
    return [f"{flag}={text}"] if text.startswith("-") else [flag, text]
