"""One shape after another: the equality gate, then rounds of all sides in turn."""

from __future__ import annotations

import dataclasses
import functools
import importlib
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from benchmarks.budget import Budget
from benchmarks.equality import Equality, compared
from benchmarks.machine import busy_s, num_cores
from benchmarks.results import ShapeResult, SideResult
from benchmarks.shapes import Batch, Shape, Work, exact_prompts, length_plan, rewards_for
from benchmarks.sides import Memory, Settings, Side, Timing
from benchmarks.workers import Worker, WorkerError

__all__ = ["Bench", "decode_step_s", "gate", "rounds", "screened_s", "works_of"]

_CLASSES = {"ours": "benchmarks.ours:Ours", "trl": "benchmarks.trl_peer:Trl", "plain": "benchmarks.plain:Plain"}
_GATE_ROWS = 16  # of the batch on which gradients are compared and scoring is timed: two micro-batches of a peer's usual size
_WARM_LENGTH = 3


@dataclass(frozen=True, kw_only=True)
class Bench:
    """What all shapes share.

    Attributes:
        settings: by side how it runs.
        scratch: a folder for logs and gradients.
        tell: told in one line what comes next.
    """

    settings: Mapping[str, Settings]
    alternations: int
    seed: int
    scratch: Path
    tell: Callable[[str], None]

    def log(self, side: str) -> Path:
        """What that side printed."""
        return self.scratch / f"{side}.log"


def make_side(name: str, settings: Settings) -> Side:
    """The side of that name; its module is imported here, in the process that it runs in."""
    module, _, kind = _CLASSES[name].partition(":")
    side: Side = getattr(importlib.import_module(module), kind)(settings)
    return side


@contextmanager
def _worker(bench: Bench, name: str, settings: Settings) -> Iterator[Worker[Side]]:
    with Worker(functools.partial(make_side, name, settings), bench.log(name)) as worker:
        yield worker


def make_works(side: Side, shape: Shape, seed: int) -> dict[str, Work]:
    """The shape's work as our tokenizer measures it: `warm`, `forced`, `natural`."""
    from benchmarks.ours import Ours

    assert isinstance(side, Ours)
    texts = exact_prompts(shape.num_prompts, shape.prompt, seed, side.measure)
    forced = Work(
        texts=texts,
        prompt_ids=side.prompt_ids(texts),
        samples=shape.samples,
        max_new_tokens=shape.longest,
        lengths=length_plan(shape, seed),
        rewards=rewards_for(shape, seed),
    )
    short = tuple(str(number) for number in range(10, 10 + shape.num_prompts))
    warm = dataclasses.replace(
        forced,
        texts=short,
        prompt_ids=side.prompt_ids(short),
        lengths=(min(_WARM_LENGTH, shape.longest),) * shape.num_rows,
    )
    return {"warm": warm, "forced": forced, "natural": dataclasses.replace(forced, lengths=None)}


def sampled_batch(side: Side, work: Work) -> Batch:
    """Completions of our sampler."""
    from benchmarks.ours import Ours

    assert isinstance(side, Ours)
    return side.sampled_batch(work)


def prepare(side: Side, works: Sequence[Work]) -> Mapping[str, str | int | float | bool]:
    """Get ready; the settings in words."""
    side.prepare(works)
    return side.described()


def round_(side: Side, place: int) -> Timing:
    """Do a round."""
    return side.round(place)


def score(side: Side, batch: Batch) -> float:
    """Score a batch."""
    return side.score(batch)


def gradient(side: Side, batch: Batch, path: Path) -> None:
    """Write a gradient."""
    side.gradient(batch, path)


def memory(side: Side) -> Memory:
    """Memory so far."""
    return side.memory()


def gate(bench: Bench, shape: Shape) -> tuple[Batch, dict[str, Equality]]:
    """Some rows of this shape, sampled by us, and how each peer's gradient on them compares with ours, all in float32."""
    small = dataclasses.replace(shape, num_prompts=min(max(1, _GATE_ROWS // shape.samples), shape.num_prompts))
    ours = bench.scratch / "ours.safetensors"
    bench.tell(f"{shape.name}: gradients on {small.num_rows} rows in float32")
    with _worker(bench, "ours", _exact(bench.settings["ours"])) as worker:
        work = worker.ask(functools.partial(make_works, shape=small, seed=bench.seed))["forced"]
        worker.ask(functools.partial(prepare, works=[work]))
        batch = worker.ask(functools.partial(sampled_batch, work=work))
        worker.ask(functools.partial(gradient, batch=batch, path=ours))
    found = {}
    for name in bench.settings:
        if name == "ours":
            continue
        theirs = bench.scratch / f"{name}.safetensors"
        try:
            with _worker(bench, name, _exact(bench.settings[name])) as worker:
                worker.ask(functools.partial(prepare, works=[work]))
                worker.ask(functools.partial(gradient, batch=batch, path=theirs))
            found[name] = compared(ours, theirs)
            theirs.unlink()
        except WorkerError as error:
            found[name] = Equality(cosine=0.0, norm_ratio=0.0, reason=f"the peer gave no gradient: {error}")
    ours.unlink()
    return batch, found


def _exact(settings: Settings) -> Settings:
    return dataclasses.replace(settings, dtype="float32", weights="float32", continuous=False, gradient_only=True)


def rounds(bench: Bench, shape: Shape, *, natural: bool, batch: Batch | None, budget: Budget) -> dict[str, ShapeResult]:
    """Rounds of all sides in turn: with forced lengths, and then with natural ones where asked for.

    Args:
        natural: then once more, with the model ending its answers.
        batch: what scoring is timed on, or None not to time it.
        budget: alternations after the first are made while it lasts.
    """
    kinds = ("forced", "natural") if natural else ("forced",)
    with ExitStack() as stack:
        workers = {name: stack.enter_context(_worker(bench, name, bench.settings[name])) for name in bench.settings}
        works = workers["ours"].ask(functools.partial(make_works, shape=shape, seed=bench.seed))
        turns = {"forced": bench.alternations, "natural": 1}
        order = [works["warm"], *(works[kind] for kind in kinds for _ in range(turns[kind]))]
        told, broken = {}, {}
        for name, worker in workers.items():
            bench.tell(f"{shape.name}: {name} gets ready")
            try:
                told[name] = worker.ask(functools.partial(prepare, works=order))
                worker.ask(functools.partial(round_, place=0))
            except WorkerError as error:
                broken[name] = str(error)
        found = {}
        for number, kind in enumerate(kinds):
            sides = {name: SideResult(settings=told.get(name, {}), failed=broken.get(name)) for name in workers}
            longest = 0.0
            for turn in range(turns[kind]):
                ahead = len(kinds) - number  # alternations still to make: this one, and the natural one
                if turn and not budget.allows(ahead * longest):
                    break
                began = time.monotonic()
                place = 1 + number * turns["forced"] + turn
                for name, worker in workers.items():
                    _turn(bench, worker, sides[name], f"{shape.name}, {kind}: {name}, round {turn + 1}", place, batch)
                longest = max(longest, time.monotonic() - began)
            for name, worker in workers.items():
                if sides[name].failed is None and kind == "forced":
                    sides[name].memory = worker.ask(memory)
            label = shape.name if kind == "forced" else f"{shape.name} natural"
            prompts = shape.prompt * shape.num_prompts
            found[label] = ShapeResult(sides=sides, natural=kind == "natural", num_prompt_tokens=prompts)
    return found


def _turn(bench: Bench, worker: Worker[Side], side: SideResult, label: str, place: int, batch: Batch | None) -> None:
    """One round of one side, and scoring; a failure is noted, and the side left out from then on."""
    if side.failed is not None:
        return
    bench.tell(label)
    try:
        before = busy_s()
        timing = worker.ask(functools.partial(round_, place=place))
        after = busy_s()
        if batch is not None:
            side.score_s.append(worker.ask(functools.partial(score, batch=batch)))
    except WorkerError as error:
        side.failed = str(error)
        return
    side.timings.append(timing)
    known = before is not None and after is not None
    side.others.append(max(0.0, (after - before - timing.cpu_s) / (num_cores() * timing.seconds)) if known else None)  # type: ignore[operator]  # both known


def works_of(bench: Bench, shape: Shape) -> dict[str, Work]:
    """The shape's work, made in a process of its own."""
    with _worker(bench, "ours", bench.settings["ours"]) as worker:
        return worker.ask(functools.partial(make_works, shape=shape, seed=bench.seed))


def screened_s(bench: Bench, works: Mapping[str, Work], name: str, settings: Settings, *, limit_s: float) -> Timing | str:
    """A round of one peer at other settings, after a warm-up; or why there is none.

    Args:
        limit_s: the round, and the warm-up of short rows, must not take longer.
    """
    try:
        with _worker(bench, name, settings) as worker:
            worker.ask(functools.partial(prepare, works=[works["warm"], works["forced"]]))
            worker.ask(functools.partial(round_, place=0), limit_s=limit_s)
            return worker.ask(functools.partial(round_, place=1), limit_s=limit_s)
    except WorkerError as error:
        return str(error)


def decode_step_s(side: Side, shape: Shape, seed: int, repeats: int) -> list[float]:
    """Seconds of one decoding step: rows of one length, less the same rows of a few tokens, over the steps between."""
    from benchmarks.ours import Ours

    assert isinstance(side, Ours)
    work = make_works(side, shape, seed)["forced"]
    side.prepare([work])
    long, short = ((length,) * shape.num_rows for length in (shape.longest, shape.longest // 8))
    found = []
    for _ in range(repeats + 1):
        took = [side.step_s(dataclasses.replace(work, lengths=lengths)) for lengths in (short, long)]
        found.append((took[1] - took[0]) / (long[0] - short[0]))
    return found[1:]
