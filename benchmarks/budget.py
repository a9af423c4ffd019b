"""Time that a run may take, shared out among what there is to do."""

from __future__ import annotations

import math
import time
from dataclasses import dataclass

__all__ = ["Budget"]


@dataclass(frozen=True, kw_only=True)
class Budget:
    """Ends at a point of the monotonic clock (seconds); never where that is infinite."""

    ends: float = math.inf

    @classmethod
    def of(cls, minutes: float | None) -> Budget:
        """From now on; without an end for None."""
        return cls() if minutes is None else cls(ends=time.monotonic() + 60 * minutes)

    def left_s(self) -> float:
        """Seconds until it ends; negative afterwards."""
        return self.ends - time.monotonic()

    def allows(self, seconds: float) -> bool:
        """Whether something of that length would end in time.

        >>> Budget.of(None).allows(1e9), Budget.of(1).allows(61)
        (True, False)
        """
        return self.left_s() >= seconds

    def part(self, share: float) -> Budget:
        """That share, in (0, 1], of what is left, from now on."""
        return Budget(ends=time.monotonic() + share * self.left_s())
