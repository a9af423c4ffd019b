"""From timings to a file of fixed keys."""

from __future__ import annotations

import datetime
import json
import math
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from benchmarks.equality import Equality
from benchmarks.sides import Memory, Timing

__all__ = ["KEYS", "PEERS", "ShapeResult", "SideResult", "new_file", "ratio", "summary", "write", "written"]

PEERS = ("trl", "plain")
KEYS = (
    "round.geomean_speed",
    "update.geomean_speed",
    "generate.geomean_speed",
    "score.geomean_speed",
    "memory_ratio",
    "train_share",
    "decode_share",
)
"""Paths of the headline figures in every results file; None where a run did not measure one, or it is void."""
_PHASES = {"round": "seconds", "update": "update_s", "generate": "generate_s"}


@dataclass(kw_only=True)
class SideResult:
    """A side at one shape.

    Attributes:
        timings: one a round.
        others: share of the machine's processor time that other processes took, one a round; None where unknown.
        score_s: seconds of scoring, one an alternation.
        settings: in words.
        failed: why there is nothing, or None.
    """

    timings: list[Timing] = field(default_factory=list)
    others: list[float | None] = field(default_factory=list)
    score_s: list[float] = field(default_factory=list)
    memory: Memory | None = None
    settings: Mapping[str, str | int | float | bool] = field(default_factory=dict)
    failed: str | None = None

    def seconds(self, phase: str) -> list[float]:
        """Of each round or part of it."""
        return self.score_s if phase == "score" else [getattr(timing, _PHASES[phase]) for timing in self.timings]

    def plain(self) -> dict[str, Any]:  # Any: JSON
        """As JSON: median, smallest and largest, and each one."""
        rates = {}
        for phase in ("round", "update", "generate", "score"):
            if found := self.seconds(phase):
                rates[phase] = {"median_s": statistics.median(found), "min_s": min(found), "max_s": max(found), "each_s": found}
        return {
            **rates,
            "tokens": [timing.generated for timing in self.timings],
            "others_share": self.others,
            "memory": None if self.memory is None else {**asdict(self.memory), "working": self.memory.working},
            "settings": dict(self.settings),
            "failed": self.failed,
        }


@dataclass(kw_only=True)
class ShapeResult:
    """All sides at one shape; `natural` where lengths were not forced, so that speeds are of tokens."""

    sides: Mapping[str, SideResult]
    equality: Mapping[str, Equality] = field(default_factory=dict)
    natural: bool = False
    num_prompt_tokens: int = 0

    def void(self, peer: str) -> str | None:
        """Why speeds beside this peer do not count, or None."""
        if failed := (self.sides["ours"].failed or self.sides[peer].failed):
            return failed
        found = self.equality.get(peer)
        if found is None:
            return "gradients were not compared"
        return found.reason

    def speed(self, phase: str, peer: str) -> float | None:
        """How many times faster than the peer, by medians; None where void or not measured."""
        if peer not in self.sides or self.void(peer):
            return None
        ours, theirs = self.sides["ours"].seconds(phase), self.sides[peer].seconds(phase)
        if not (ours and theirs):
            return None
        found = statistics.median(theirs) / statistics.median(ours)
        if self.natural and phase != "score":
            tokens = [statistics.median(t.generated for t in self.sides[side].timings) for side in ("ours", peer)]
            found *= tokens[0] / tokens[1]
        return found

    def memory_ratio(self, peer: str) -> float | None:
        """Our peak over the peer's, both without weights and optimiser state."""
        ours, theirs = (self.sides[side].memory if side in self.sides else None for side in ("ours", peer))
        if ours is None or theirs is None or not theirs.working or self.void(peer):
            return None
        return ours.working / theirs.working

    def plain(self) -> dict[str, Any]:  # Any: JSON
        """As JSON."""
        peers = [peer for peer in PEERS if peer in self.sides]
        cosines = [found.cosine for found in self.equality.values()]
        return {
            "sides": {name: side.plain() for name, side in self.sides.items()},
            "equality": {
                "cosine": min(cosines, default=None),
                "peers": {name: asdict(found) for name, found in self.equality.items()},
            },
            "void": {peer: self.void(peer) for peer in peers},
            "speed": {
                phase: {peer: self.speed(phase, peer) for peer in peers} for phase in ("round", "update", "generate", "score")
            },
            "memory_ratio": {peer: self.memory_ratio(peer) for peer in peers},
            "natural": self.natural,
            "alternations": max(len(side.timings) for side in self.sides.values()),
            "prompt_tokens": self.num_prompt_tokens,
        }


def ratio(values: Sequence[float | None]) -> float | None:
    """Geometric mean; None where any is missing, so that no void timing is left out in silence.

    >>> ratio([2.0, 8.0]), ratio([2.0, None]), ratio([])
    (4.0, None, None)
    """
    known = [value for value in values if value is not None]
    if not known or len(known) < len(values):
        return None
    return round(math.exp(math.fsum(map(math.log, known)) / len(known)), 12)


def summary(shapes: Mapping[str, Mapping[str, Any]], wanted: Sequence[str]) -> dict[str, Any]:  # Any: JSON
    """The headline figures over the shapes with forced lengths: beside TRL, and under `plain` beside the plain loop.

    Generation is compared with the faster of the two, shape by shape: both call transformers.

    Args:
        shapes: by name as `ShapeResult.plain` gives them.
        wanted: names of the shapes that the figures are of; all are None while one is missing.
    """
    forced = [shapes.get(name, {"speed": {}, "memory_ratio": {}}) for name in wanted]
    found: dict[str, Any] = {}  # Any: as above
    for phase in ("round", "update", "generate", "score"):
        by_peer = {peer: ratio([_speed(shape, phase, peer) for shape in forced]) for peer in PEERS}
        found[phase] = {"geomean_speed": by_peer["trl"], "plain": {"geomean_speed": by_peer["plain"]}}
    fastest = [_slowest_gain(list(shape["speed"].get("generate", {}).values())) for shape in forced]
    found["generate"]["trl"] = {"geomean_speed": found["generate"]["geomean_speed"]}
    found["generate"]["geomean_speed"] = ratio(fastest)
    found["memory_ratio"] = ratio([shape["memory_ratio"].get("trl") for shape in forced])
    found["memory_ratio_plain"] = ratio([shape["memory_ratio"].get("plain") for shape in forced])
    return found


def _speed(shape: Mapping[str, Any], phase: str, peer: str) -> float | None:  # Any: JSON
    found: float | None = shape["speed"].get(phase, {}).get(peer)
    return found


def _slowest_gain(speeds: Sequence[float | None]) -> float | None:
    """The speed beside the faster peer; None where any is void."""
    known = [speed for speed in speeds if speed is not None]
    return min(known) if known and len(known) == len(speeds) else None


def new_file(folder: Path, machine: str) -> Path:
    """A path `DATE-MACHINE.json` in the folder, with a number where there is one of that day already."""
    folder.mkdir(parents=True, exist_ok=True)
    stem = f"{datetime.datetime.now(datetime.UTC).date().isoformat()}-{machine}"
    path, number = folder / f"{stem}.json", 1
    while path.exists():
        number += 1
        path = folder / f"{stem}-{number}.json"
    return path


def write(results: Mapping[str, Any], path: Path) -> None:  # Any: JSON
    """Put the results there in one move, so that whoever stops the run finds a whole file."""
    part = path.with_suffix(".part")
    part.write_text(json.dumps(results, indent=1) + "\n", "utf-8")
    part.replace(path)


def written(results: Mapping[str, Any], folder: Path, machine: str) -> Path:  # Any: JSON
    """Write the results to a new file; returns its path."""
    path = new_file(folder, machine)
    write(results, path)
    return path
