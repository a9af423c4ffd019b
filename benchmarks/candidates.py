"""The settings at which a peer is tried, on the first shape; the best of them is timed."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal

from benchmarks.runs import Bench, screened_s
from benchmarks.shapes import Shape
from benchmarks.sides import Settings

__all__ = ["CANDIDATES", "Candidate", "screened"]


@dataclass(frozen=True, kw_only=True)
class Candidate:
    """A peer's settings under a name; see `Settings`."""

    name: str
    dtype: Literal["float32", "bfloat16"] = "bfloat16"
    batch: int = 8
    checkpointing: bool = False
    continuous: bool = False
    weights: Literal["float32", "bfloat16"] = "float32"

    def settings(self, base: Settings) -> Settings:
        """The base settings with these."""
        return dataclasses.replace(
            base,
            dtype=self.dtype,
            batch=self.batch,
            checkpointing=self.checkpointing,
            continuous=self.continuous,
            weights=self.weights,
        )


CANDIDATES: Mapping[str, Sequence[Candidate]] = {
    "trl": (
        Candidate(name="no checkpointing"),
        Candidate(name="default", checkpointing=True),
        Candidate(name="no checkpointing, batch 16", batch=16),
        Candidate(name="no checkpointing, float32", dtype="float32"),
        Candidate(name="no checkpointing, continuous batching", continuous=True),
        Candidate(name="no checkpointing, bfloat16 weights", weights="bfloat16"),
    ),
    "plain": (
        Candidate(name="bfloat16"),
        Candidate(name="bfloat16, batch 16", batch=16),
        Candidate(name="float32", dtype="float32"),
    ),
}
"""The first of each is what `--quick` takes. `bfloat16 weights` keeps weights and optimiser state in bfloat16: less exact, a setting
that people use."""


def screened(
    bench: Bench, shape: Shape, base: Settings, candidates: Mapping[str, Sequence[Candidate]]
) -> tuple[dict[str, Settings], dict[str, Any]]:  # Any: JSON
    """By peer the settings of the fastest round, and all that were tried with their times or failures."""
    chosen: dict[str, Settings] = {}
    tried: dict[str, Any] = {}  # Any: as above
    for peer, options in candidates.items():
        seconds: dict[str, float] = {}
        tried[peer] = {}
        if len(options) > 1:
            for option in options:
                bench.tell(f"{shape.name}: {peer} with {option.name}")
                found = screened_s(bench, shape, peer, option.settings(base))
                if isinstance(found, str):
                    tried[peer][option.name] = {"failed": found.replace(base.folder, "MODEL")}
                else:
                    tried[peer][option.name] = asdict(found)
                    seconds[option.name] = found.seconds
        best = min(options, key=lambda option: seconds.get(option.name, float("inf")))
        chosen[peer] = best.settings(base)
    return chosen, tried
