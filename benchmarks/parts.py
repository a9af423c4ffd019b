"""A part of a run: peaks, screening where it was not done, and the shapes that the results lack, one after another."""

from __future__ import annotations

import dataclasses
import functools
import statistics
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from benchmarks.budget import Budget
from benchmarks.candidates import CANDIDATES, screened
from benchmarks.limits import ModelSize, PeakMeter, Peaks, best_of, decode_bound_s, train_flop
from benchmarks.results import ShapeResult, SideResult
from benchmarks.runs import Bench, decode_step_s, gate, make_side, rounds
from benchmarks.shapes import DECODE, Shape, length_plan
from benchmarks.sides import Settings
from benchmarks.workers import Worker, WorkerError

__all__ = ["NATURAL", "Plan", "measured"]

NATURAL = "100/60/256/8"
"""The shape that is also run with natural lengths, and whose update `train_share` is of."""
_SCREENING = 0.25  # of the time
_BYTES = {"float32": 4, "bfloat16": 2}


@dataclass(frozen=True, kw_only=True)
class Plan:
    """What is to be measured.

    Attributes:
        base: settings that all sides share.
        wanted: shapes of the whole run.
        quick: no screening, no natural lengths, and a glance at the peaks.
        budget: screening and alternations after the first fit into it; a shape is not begun after its end.
    """

    base: Settings
    wanted: Sequence[Shape]
    peers: Sequence[str]
    quick: bool
    budget: Budget


def measured(bench: Bench, plan: Plan, results: Mapping[str, Any]) -> Iterator[dict[str, Any]]:  # Any: JSON
    """The results with what this part adds: once before its first shape, then after each."""
    base, found = plan.base, dict(results)
    make = functools.partial(PeakMeter, base.folder, base.device, base.threads, quick=plan.quick)
    with Worker(make, bench.log("peaks")) as meter:
        bench.tell("peaks of this machine")
        size, before, found["threads"] = meter.ask(PeakMeter.size), meter.ask(PeakMeter.peaks), meter.ask(PeakMeter.threads)
        steps, dtype = _decode_step(bench)
        if "peers" not in found:
            found["peers"] = _screening(bench, plan)
        settings = {name: dataclasses.replace(base, **how) for name, how in found["peers"]["chosen"].items()}
        bench = dataclasses.replace(bench, settings={**bench.settings, **settings})
        peaks = best_of(before, meter.ask(PeakMeter.peaks))
        todo = [shape for shape in plan.wanted if shape.name not in found["shapes"]]
        for number, shape in enumerate([None, *todo]):
            if shape is not None:
                if not plan.budget.allows(0):
                    return
                own = plan.budget.part(_weight(shape) / sum(map(_weight, todo[number - 1 :])))
                shapes = {name: one.plain() for name, one in _timed(bench, shape, own, quick=plan.quick).items()}
                peaks = best_of(peaks, meter.ask(PeakMeter.peaks))
                found["shapes"] = found["shapes"] | shapes
                if shape.name == NATURAL or len(plan.wanted) == 1:
                    found["train_share"] = _train_share(shapes[shape.name], shape, bench.seed, size, peaks)
            found["decode"] = _decode_figures(steps, dtype, size, peaks)
            found["decode_share"] = found["decode"]["share"]
            found["peaks"] = {**asdict(peaks), "before": asdict(before), "model": asdict(size)}
            yield found


def _weight(shape: Shape) -> int:
    """What a shape's time goes with, on the peers' side: all positions of its padded rows."""
    return shape.num_rows * (shape.prompt + shape.longest)


def _screening(bench: Bench, plan: Plan) -> dict[str, Any]:  # Any: JSON
    candidates = {name: CANDIDATES[name][:1] if plan.quick else CANDIDATES[name] for name in plan.peers}
    settings, tried = screened(bench, plan.wanted[0], plan.base, candidates, plan.budget.part(_SCREENING))
    kept = {name: asdict(how) for name, how in settings.items()}
    chosen = {name: {key: how[key] for key in how if key not in ("folder", "gradient_only")} for name, how in kept.items()}
    return {"screened_on": plan.wanted[0].name, "candidates": tried, "chosen": chosen}


def _timed(bench: Bench, shape: Shape, budget: Budget, *, quick: bool) -> dict[str, ShapeResult]:
    try:
        batch, equality = gate(bench, shape)
        results = rounds(bench, shape, natural=shape.name == NATURAL and not quick, batch=batch, budget=budget)
    except WorkerError as error:  # ours: a long run keeps what it has
        return {shape.name: ShapeResult(sides={name: SideResult(failed=str(error)) for name in bench.settings})}
    for result in results.values():
        result.equality = equality
    return results


def _train_share(
    result: Mapping[str, Any], shape: Shape, seed: int, size: ModelSize, peaks: Peaks
) -> float | None:  # Any: JSON
    """FLOP that our update needs, a second, over the GEMM peak of its dtype."""
    ours = result["sides"]["ours"]
    if "update" not in ours:
        return None
    flop = train_flop(size, shape.prompt, length_plan(shape, seed), shape.samples)
    return float(flop / ours["update"]["median_s"] / peaks.gemm[ours["settings"]["dtype"]])


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
