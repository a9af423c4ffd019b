"""What the gate of a task can see, told before a run: at its level of each look, with as many prompts, and as much churn."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from sharpen.digest import digest
from sharpen.evaluate import clusters_of
from sharpen.gates import PairedGate
from sharpen.ledger import Entry, Ledger
from sharpen.ledger.database import DATABASE
from sharpen.stats import mcnemar_power, minimal_detectable_gain
from sharpen.tasks import Task

__all__ = ["GAINS", "Power", "looks_had", "power_of", "split_of"]

GAINS = (0.05, 0.10, 0.15)
"""True gains whose chances of promotion are told."""

_CHURN = 0.05  # share of prompts assumed to turn wrong in spite of a gain, as in the gate's own figures


@dataclass(frozen=True, kw_only=True)
class Power:
    """What the gate can see. It is that of the exact McNemar test alone: a guard can make promotions rarer.

    Attributes:
        num_prompts: of the gate split.
        num_units: prompts that are independent of each other; fewer where several were made from one.
        looks_had: looks at this split that the run directory has on file; they are counted on.
        levels: by look from then on, the level of its test; 0 where there is none left.
        churn: share of prompts that are assumed to turn from right to wrong in spite of a gain.
        churn_from: `assumed`, or `looks on file` for the mean share of losses there.
        redrawn: share of prompts that would turn from right to wrong if the base answered twice by sampling, as the probe saw it:
            about the most that churn can be; None where nothing was sampled and verified.
        gains: by look, the smallest true gain in [0, 1] that is found four times in five; None where none is.
    """

    num_prompts: int
    num_units: int
    looks_had: int
    levels: tuple[float, ...]
    churn: float
    churn_from: str
    redrawn: float | None
    gains: tuple[float | None, ...]

    def chance(self, gain: float, look: int, *, churn: float | None = None) -> float:
        """The chance in [0, 1] that such a true gain is promoted at that look of the run, from 0.

        Args:
            churn: another than the one that is assumed.
        """
        churn = min(self.churn if churn is None else churn, (1.0 - gain) / 2)
        level = self.levels[look]
        return mcnemar_power(self.num_units, gain=gain, churn=churn, level=level) if level > 0.0 else 0.0


def power_of(task: Task, gate: PairedGate, looks: int, *, out: Path | None, redrawn: float | None) -> Power:
    """The power of a run of that many looks.

    Args:
        out: run directory, whose looks at the same split are counted on, and whose share of losses is the churn; None for a new one.
        redrawn: as in `Power`.

    Raises:
        LedgerError: the directory cannot be read as a run's.
    """
    had = _on_file(task, out)
    numbers = [one.value["decision"]["numbers"] for one in had]
    pairs = sum(one.get("num_pairs", 0.0) for one in numbers)
    churn = sum(one.get("losses", 0.0) for one in numbers) / pairs if pairs else _CHURN
    names = clusters_of(task.gate)
    units = len(task.gate) if names is None else len(set(names))
    levels = tuple(gate.level_at(look) for look in range(len(had) + 1, len(had) + looks + 1))
    return Power(
        num_prompts=len(task.gate),
        num_units=units,
        looks_had=len(had),
        levels=levels,
        churn=churn,
        churn_from="looks on file" if pairs else "assumed",
        redrawn=redrawn,
        gains=tuple(minimal_detectable_gain(units, churn=churn, level=level) if level > 0 else None for level in levels),
    )


def split_of(task: Task) -> str:
    """What identifies the gate split that a look reads."""
    return digest("split", [prompt.id for prompt in task.gate])


def looks_had(ledger: Ledger, task: Task) -> Sequence[Entry]:
    """The decisions on file that read this gate split, oldest first."""
    split = split_of(task)
    return [entry for entry in ledger.entries("decision") if entry.value.get("split") == split]


def _on_file(task: Task, out: Path | None) -> Sequence[Entry]:
    if out is None or not (out / DATABASE).exists():
        return ()
    with Ledger(out, read_only=True) as ledger:
        return list(looks_had(ledger, task))
