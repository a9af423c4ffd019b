"""The gate of a classifier: labels that people gave are believed, and the model's own have to be proved."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass

from sharpen.gates import PairedGate
from sharpen.types import Decision, Report

__all__ = ["LabelsFirst"]


@dataclass(frozen=True)
class LabelsFirst:
    """A gate that keeps the first candidate unless it is worse; every later one has to be proved better.

    The first is trained on people's labels alone, which nobody would leave unused for want of a proof.

    Args:
        proof: the gate for what comes after.
    """

    proof: PairedGate

    def __call__(self, candidate: Report, incumbent: Report, looks: int, /) -> Decision:
        """The decision at the `looks`-th reading (from 1) of this held-out set."""
        decision = self.proof(candidate, incumbent, looks)
        if looks > 1 or decision.promote or decision.failed_guards or decision.numbers.get("difference", -1.0) < 0:
            return decision
        told = decision.reason.rsplit(":", 1)[0]
        return dataclasses.replace(
            decision,
            promote=True,
            reason=f"{told}: kept, as it learned from people's labels alone and is not worse",
            hint=None,
        )
