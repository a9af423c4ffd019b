"""How much a run may spend on its model: a number of tokens or of seconds, looked at after each pass of a recipe's steps."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field

from sharpen.costs import Spent, costs_of, spent_on_model
from sharpen.ledger import Ledger

__all__ = ["Budget", "Meter"]


@dataclass(frozen=True, kw_only=True)
class Budget:
    """A bound on what goes into a model; exactly one of the two is given.

    A run with a budget goes on round after round, roll-backs or not, and stops after the pass that brings it nearest to the budget, as
    far as the pass before tells: where less than half of that is left. So it misses the budget by about half a pass at most, on either
    side; a first pass that is larger is made all the same. What measures (gate, final split, controls) is not counted.

    Attributes:
        tokens: sampled and trained, at least 1.
        seconds: in the model, above 0.
    """

    tokens: int | None = None
    seconds: float | None = None

    def __post_init__(self) -> None:
        if (self.tokens is None) == (self.seconds is None):
            raise ValueError(f"the budget is {self.tokens} tokens and {self.seconds} seconds; give exactly one of the two")
        if self.tokens is not None and self.tokens < 1:
            raise ValueError(f"the budget is {self.tokens} tokens; it is at least 1")
        if self.seconds is not None and not 0 < self.seconds < math.inf:
            raise ValueError(f"the budget is {self.seconds} seconds; it is above 0")

    @property
    def size(self) -> float:
        """The bound, in its own unit."""
        return float(self.tokens if self.tokens is not None else self.seconds or 0.0)

    def counted(self, spent: Spent) -> float:
        """What was spent, in the budget's own unit.

        >>> Budget(tokens=100).counted(Spent(sampled=70, trained=50, scored=10, seconds=2.0))
        120.0
        """
        return float(spent.tokens) if self.tokens is not None else spent.seconds

    def overshoot(self, spent: Spent) -> float:
        """By how much more than the budget was spent, as a share of it; negative where some is left.

        >>> Budget(tokens=100).overshoot(Spent(sampled=70, trained=50))
        0.2
        """
        return self.counted(spent) / self.size - 1

    def record(self) -> Mapping[str, float]:
        """The bound as JSON."""
        return {"tokens": self.tokens} if self.tokens is not None else {"seconds": self.size}

    def __str__(self) -> str:
        return f"{self.tokens:,} tokens" if self.tokens is not None else f"{self.size:g} seconds"


@dataclass(kw_only=True)
class Meter:
    """What a run has spent of its budget, and whether it may go on, if it has one.

    Attributes:
        budget: None counts nothing, and everything may go on.
        spent: when it was last read.
    """

    budget: Budget | None
    spent: Spent = field(default_factory=Spent)
    _at_start: float | None = None
    _last_pass: float = 0.0

    @property
    def exhausted(self) -> bool:
        """Whether there is a budget, and a pass like the last would end further from it than the run stands."""
        if self.budget is None:
            return False
        return self.budget.size - self.budget.counted(self.spent) <= self._last_pass / 2

    def begin_round(self) -> None:
        """Note what was spent before a round."""
        self._at_start = self.budget.counted(self.spent) if self.budget is not None else None

    def read(self, ledger: Ledger, round: int, number: int) -> None:
        """Count what was spent up to that pass of that round: a run that is gone on with counts as it did before."""
        if self.budget is not None:
            before = self.budget.counted(self.spent)
            self.spent = spent_on_model(costs_of(ledger, until=(round, number)))
            self._last_pass = self.budget.counted(self.spent) - before

    def told(self) -> Mapping[str, float]:
        """What is `spent` of the budget's `size`, in its own unit; nothing without a budget."""
        return {"spent": self.budget.counted(self.spent), "size": self.budget.size} if self.budget is not None else {}

    def end(self, rounds: int) -> str | None:
        """Why a run ends after that many rounds, in a sentence, or None where it may go on."""
        if self.budget is None:
            return None
        spent = f"{self.budget.counted(self.spent):,.0f} of {self.budget}"
        if self.exhausted and self.budget.overshoot(self.spent) < 0:
            return f"another pass would overspend the budget by more than is left of it ({spent}): the run ends after {_told(rounds)}"
        if self.exhausted:
            return f"the budget is spent ({spent}): the run ends after {_told(rounds)}"
        if rounds and self._at_start == self.budget.counted(self.spent):
            return f"a round cost nothing: the run ends after {_told(rounds)} ({spent} spent)"
        return None


def _told(rounds: int) -> str:
    return f"{rounds} round{'s' if rounds != 1 else ''}"
