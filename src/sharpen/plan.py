"""What a run would do, cost and be able to show, told before it spends."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from sharpen.checks import check_needs, fitting
from sharpen.controls import MAX_EXAMPLES, control_training, is_supervised
from sharpen.errors import DataError
from sharpen.events import Observer, silent
from sharpen.examples import Row
from sharpen.gates import PairedGate
from sharpen.ledger import Ledger
from sharpen.loading import loaded
from sharpen.parts import Recipe, Step
from sharpen.power import Power, power_of
from sharpen.protocols import Runtime
from sharpen.rehearsal import Headroom, Rehearsed, Work, forward_speed, headroom_of, rehearse, row_tokens, warm_up
from sharpen.sample import completions
from sharpen.scrutiny import PROMPTS, SAMPLES
from sharpen.session import Session
from sharpen.tasks import Task
from sharpen.types import Group, Prompt

__all__ = ["PROBE", "Headroom", "Plan", "Power", "Work", "make_plan"]

PROBE = 24
"""Train (or dev) prompts that the probe asks: enough to see whether there is anything to learn from, few enough to be cheap."""

_SAMPLES = 8  # a prompt, where the recipe itself samples fewer than two
_SCORED = 32  # rows that the forward pass is timed on, twice
_CONTROL_PROBE = 3 * 64  # train prompts that the controls ask to choose among prompts


@dataclass(frozen=True, kw_only=True)
class Plan:
    """A run foreseen. Estimates are scaled up from the probe, measured on this machine.

    Attributes:
        first_prompt: the first train prompt exactly as the model will see it.
        sizes: prompts by split; `dropped`: by reason, rows that were left out.
        headroom: None where there is no verifier.
        power: None where nothing is trained.
        work: by kind, over the whole run.
        examples: expected to be trained on in a round.
        speed: tokens a second while sampling.
        spent: seconds that the plan took.
    """

    first_prompt: str
    first_prompt_tokens: int
    sizes: Mapping[str, int]
    dropped: Mapping[str, int]
    rounds: int
    headroom: Headroom | None
    power: Power | None
    work: tuple[Work, ...]
    examples: float
    speed: float
    spent: float

    @property
    def seconds(self) -> float:
        """Seconds of the whole run."""
        return sum(one.seconds for one in self.work)

    @property
    def tokens(self) -> float:
        """Tokens of the whole run."""
        return sum(one.tokens for one in self.work)


def make_plan(
    recipe: Recipe,
    *,
    model: str | Path | Runtime,
    task: Task,
    rounds: int | None = None,
    gate: PairedGate | None = None,
    overlong: Literal["refuse", "drop"] = "refuse",
    controls: bool = True,
    seed: int = 0,
    out: Path | None = None,
    observe: Observer = silent,
) -> Plan:
    """The plan of `improve` with the same arguments. Nothing is trained, and no held-out prompt is asked.

    Args:
        out: the run directory; where it holds a run, its looks at the gate split are counted on.

    Raises:
        LedgerError: the run directory cannot be read.
        DataError: the task has no train prompts to look at, or some that do not fit.
        ModelError: the runtime lacks what the recipe needs.
        SharpenError: whatever the recipe's own stages raise on the probe.
    """
    began = time.perf_counter()
    rounds = recipe.rounds if rounds is None else rounds
    runtime = loaded(model).runtime
    task = fitting(task, runtime, overlong, observe)
    check_needs(recipe, runtime, task, rounds)
    rounds = rounds if recipe.steps else 0
    probe = _probed(task)
    with tempfile.TemporaryDirectory() as scratch, Ledger(Path(scratch)) as ledger:
        session = Session(ledger=ledger, runtime=runtime, task=task, seed=seed, observe=observe)
        session.roles = dict.fromkeys(("base", "incumbent", "previous", "current"), runtime.base.id)
        warm_up(runtime, probe[0])
        passes = [(step, 1) for step in recipe.setup] + [(step, recipe.repeat * rounds) for step in recipe.steps]
        rehearsed = [rehearse(session, step, times, probe) for step, times in passes]
        groups = next((one.groups for one in rehearsed if _is_sampled(one.groups)), None) or _sampled(session, probe)
        headroom = headroom_of(session, groups)
        answer = _answered(session, recipe, probe)
        sampled = [entry.value for entry in ledger.entries("block") if entry.value["call"] == "generate"]
        rows = [row for one in rehearsed for example in one.examples for row in example.rows] or _rows(groups)
        forward = forward_speed(runtime, rows[:_SCORED])
    speed = sum(block["tokens"] for block in sampled) / max(1e-9, sum(block["seconds"] for block in sampled))
    made = [one for group in groups for one in group.completions]
    length = sum(len(one.token_ids) for one in made) / len(made)
    looks = rounds + any(step.writes == "current" and step.trains for step in recipe.setup)
    models = _control_models(recipe, task) if controls and task.final and task.verifier is not None else None
    held_out = _held_out_tokens(task, length, looks, answer, trains=rounds > 0, models=models)
    work = [work for one in rehearsed for work in one.over_run()]
    work += [one.training(runtime, forward) for one in rehearsed if one.step.objective is not None]
    work += [Work(name=name, tokens=tokens, seconds=tokens / speed) for name, tokens in held_out.items()]
    if models:
        work.append(_controls_trained(recipe, rehearsed, models, runtime, forward))
    return Plan(
        first_prompt=runtime.rendered(task.train[0]),
        first_prompt_tokens=runtime.prompt_length(task.train[0]),
        sizes={"train": len(task.train), "dev": len(task.dev), "gate": len(task.gate), "final": len(task.final)},
        dropped=dict(task.dropped),
        rounds=rounds,
        headroom=headroom,
        power=power_of(task, gate or PairedGate(), looks, out=out, redrawn=headroom.redrawn if headroom else None)
        if rounds and task.gate
        else None,
        work=_summed(work),
        examples=sum(one.num_examples * one.times / max(1, rounds) for one in rehearsed if one.step in recipe.steps),
        speed=speed,
        spent=time.perf_counter() - began,
    )


def _probed(task: Task) -> list[Prompt]:
    """The prompts of the probe, of dev first. They come from the end of train: demonstrations are shown from its start."""
    if not task.train:
        raise DataError("the task has no train prompts, so there is nothing to plan with; give some")
    return [*task.dev, *sorted(task.train, key=lambda prompt: prompt.id, reverse=True)][:PROBE]


def _is_sampled(groups: Sequence[Group]) -> bool:
    return bool(groups) and len(groups[0].completions) > 1


def _sampled(session: Session, probe: Sequence[Prompt]) -> Sequence[Group]:
    return rehearse(session, Step(name="probe", sample=completions(_SAMPLES)), 0, probe).groups


def _rows(groups: Sequence[Group]) -> list[Row]:
    return [Row(prompt=group.prompt, completion=one) for group in groups for one in group.completions if one.token_ids]


def _answered(session: Session, recipe: Recipe, probe: Sequence[Prompt]) -> float:
    """Answers that the recipe's test-time method samples for each prompt; 0 where it has none."""
    if recipe.answer is None:
        return 0.0
    before = len(session.ledger.entries("block"))
    rehearse(session, Step(name="answer", sample=recipe.answer), 0, probe)
    blocks = [entry.value for entry in session.ledger.entries("block")[before:]]
    rows: int = sum(block["rows"] for block in blocks if block["call"] == "generate")
    return rows / len(probe)


def _held_out_tokens(
    task: Task, length: float, looks: int, answer: float, *, trains: bool, models: int | None
) -> Mapping[str, float]:
    """Tokens of answers to held-out prompts, by what for; `models` are trained as controls, None where there are no controls."""
    second = len(task.second.gate) if task.second else 0
    found = {
        "gate": (looks + 1) * (len(task.gate) * (answer or 1.0) + second) * length if trains else 0.0,
        "promotions": (looks + 1) * SAMPLES * min(PROMPTS, len(task.gate)) * length if trains else 0.0,
        "final figures": len(task.final) * (1 + trains) * (1 + answer) * length,
    }
    if models is not None:
        reads = len(task.final) * (2 + _SAMPLES + models * trains)
        found["controls"] = (reads + _CONTROL_PROBE) * length
    return found


def _control_models(recipe: Recipe, task: Task) -> int:
    """How many models the controls train: the placebo where the recipe samples, and one on targets where it does not itself."""
    with_targets = any(prompt.target is not None for prompt in task.train) and not is_supervised(recipe.steps)
    return any(step.sample is not None for step in recipe.steps) + with_targets


def _controls_trained(
    recipe: Recipe, rehearsed: Sequence[Rehearsed], models: int, runtime: Runtime, tokens_a_second: float
) -> Work:
    """The training of that many models, each on as many examples as the run's own."""
    rows = [row for one in rehearsed for example in one.examples for row in example.rows]
    count = min(MAX_EXAMPLES, sum(one.num_examples * one.times for one in rehearsed))
    length = sum(row_tokens(runtime, row) for row in rows) / max(1, len(rows))
    tokens = models * count * length * control_training(recipe.steps).epochs
    return Work(name="controls", tokens=tokens, seconds=3 * tokens / tokens_a_second)


def _summed(work: Iterable[Work]) -> tuple[Work, ...]:
    sums: dict[str, tuple[float, float]] = {}
    for one in work:
        tokens, seconds = sums.get(one.name, (0.0, 0.0))
        sums[one.name] = (tokens + one.tokens, seconds + one.seconds)
    return tuple(Work(name=name, tokens=tokens, seconds=seconds) for name, (tokens, seconds) in sums.items() if tokens)
