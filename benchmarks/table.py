"""The results as a person reads them, from what the file holds."""

from __future__ import annotations

import statistics
from collections.abc import Mapping
from typing import Any

from rich.console import Console
from rich.table import Table

__all__ = ["show", "where_a_peer_wins"]

_PHASES = ("generate", "score", "update", "round")
_Json = Mapping[str, Any]  # Any: JSON


def show(results: _Json, console: Console) -> None:
    """Print a table a shape, the headline figures, and where a peer wins."""
    for name, shape in results["shapes"].items():
        console.print(_table(name, shape))
        for peer, why in shape["void"].items():
            if why:
                console.print(f"  void beside {peer}: {why}", markup=False)
    console.print()
    if not results["complete"]:
        missing = [name for name in results["run"]["prompts"] if name not in results["shapes"]]
        console.print(f"not measured yet: {', '.join(missing)}; --resume adds it", markup=False, highlight=False)
    for label, value in _headlines(results):
        console.print(f"{label}: {value}", markup=False, highlight=False)
    losses = where_a_peer_wins(results["shapes"])
    console.print("Where a peer wins:" if losses else "No peer wins anywhere that was timed.")
    for loss in losses:
        console.print(f"  {loss}", markup=False)


def _table(name: str, shape: _Json) -> Table:
    table = Table(title=f"{name} in seconds: median ± half the range", title_justify="left")
    for column in ("side", *_PHASES, "tokens/s", "memory"):
        table.add_column(column, justify="left" if column == "side" else "right")
    for side, result in shape["sides"].items():
        cells = [_range(result.get(phase)) for phase in _PHASES]
        memory = f"{result['memory']['working'] / 2**20:,.0f} MiB" if result["memory"] else ""
        table.add_row(side, *cells, _rate(result), memory)
    for peer, share in shape["memory_ratio"].items():
        speeds = [_times(shape["speed"][phase][peer]) for phase in _PHASES]
        table.add_row(f"us to {peer}", *speeds, "", "" if share is None else f"{share:.0%}")
    return table


def _rate(result: _Json) -> str:
    if "generate" not in result:
        return ""
    rates = [tokens / seconds for tokens, seconds in zip(result["tokens"], result["generate"]["each_s"], strict=True)]
    return f"{statistics.median(rates):,.0f}"


def _range(found: _Json | None) -> str:
    if found is None:
        return ""
    middle, half = found["median_s"], (found["max_s"] - found["min_s"]) / 2
    return f"{middle:.2f}" if len(found["each_s"]) == 1 else f"{middle:.2f} ±{half:.2f}"


def _times(speed: float | None) -> str:
    return "" if speed is None else f"{speed:.2f}x"


def _headlines(results: _Json) -> list[tuple[str, str]]:
    found = []
    for phase in ("round", "update", "generate", "score"):
        beside = "the faster peer" if phase == "generate" else "TRL"
        found.append((f"{phase}, beside {beside}", _known(results[phase]["geomean_speed"], "{:.2f}x")))
        found.append((f"{phase}, beside the plain loop", _known(results[phase]["plain"]["geomean_speed"], "{:.2f}x")))
    found.append(("memory beside TRL, without weights and optimiser state", _known(results["memory_ratio"], "{:.0%}")))
    found.append(("share of the GEMM peak in training", _known(results["train_share"], "{:.0%}")))
    found.append(("share of the bound in decoding, 64 rows", _known(results["decode_share"], "{:.0%}")))
    return found


def _known(value: float | None, form: str) -> str:
    return "not measured, or void" if value is None else form.format(value)


def where_a_peer_wins(shapes: Mapping[str, _Json]) -> list[str]:
    """A sentence for each shape, phase and peer that is faster than we are, or needs less memory."""
    found = []
    for name, shape in shapes.items():
        for peer, share in shape["memory_ratio"].items():
            for phase in _PHASES:
                speed = shape["speed"][phase][peer]
                if speed is not None and speed < 1:
                    found.append(f"{name}: {peer} is {1 / speed:.2f} times faster in {phase}")
            if share is not None and share > 1:
                found.append(f"{name}: {peer} needs {1 / share:.0%} of our memory")
    return found
