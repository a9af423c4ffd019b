"""The settings at which a peer is tried, on the first shape; the best of them is timed."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal

from benchmarks.budget import Budget
from benchmarks.runs import Bench, screened_s, works_of
from benchmarks.shapes import Shape
from benchmarks.sides import Settings

__all__ = ["CANDIDATES", "Candidate", "screened"]

_LIMIT_S = 300.0  # several times what the slowest usable setting takes on two cores


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
    bench: Bench, shape: Shape, base: Settings, candidates: Mapping[str, Sequence[Candidate]], budget: Budget
) -> tuple[dict[str, Settings], dict[str, Any]]:  # Any: JSON
    """By peer the settings of the fastest round, and all that were tried with their times or failures.

    A candidate is left as soon as it is slower than the fastest of its peer before it. When the budget ends the rest are not tried,
    which is recorded; each peer has an equal share.
    """
    works = works_of(bench, shape)
    chosen: dict[str, Settings] = {}
    tried: dict[str, Any] = {}  # Any: as above
    for number, (peer, options) in enumerate(candidates.items()):
        own = budget.part(1 / (len(candidates) - number))
        fastest, chosen[peer], tried[peer] = _LIMIT_S, options[0].settings(base), {}
        for option in options if len(options) > 1 else ():
            if tried[peer] and not own.allows(fastest):
                tried[peer][option.name] = {"failed": "not tried: the time for screening was over"}
                continue
            bench.tell(f"{shape.name}: {peer} with {option.name}")
            found = screened_s(bench, works, peer, option.settings(base), limit_s=fastest)
            if isinstance(found, str):
                tried[peer][option.name] = {"failed": found.replace(base.folder, "MODEL")}
            else:
                tried[peer][option.name] = asdict(found)
                fastest, chosen[peer] = found.seconds, option.settings(base)
    return chosen, tried
