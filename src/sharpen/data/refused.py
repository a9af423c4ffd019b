"""Rows that cannot be used: each is told of with its reason, counted, and never taken for something else."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field

from sharpen.errors import DataError

__all__ = ["Refused", "RowError"]

_TOLD = 20


class RowError(DataError):
    """A row that cannot be used.

    Attributes:
        kind: what it is counted under, in a few words.
        rest: where the file cannot be followed behind it, how many lines or rows of it are left unread, 1 where nobody knows; else 0.
    """

    def __init__(self, message: str, *, kind: str, rest: int = 0) -> None:
        super().__init__(message)
        self.kind = kind
        self.rest = rest


@dataclass
class Refused:
    """What of a source was not kept, within the share that its user allows.

    Attributes:
        max_share: of the rows, in [0, 1], that may be refused; at 0 the first raises.
        rejected: by kind, how many rows were read and refused.
        failed: by kind, how many could not be read at all, for what stood before them.
        first: the first refusals in full, 20 at most.

    >>> refused = Refused(max_share=0.5)
    >>> refused.take(RowError("a.jsonl, line 2: is no JSON", kind="no JSON"))
    >>> refused.check("a.jsonl", kept=1)
    >>> dict(refused.counts)
    {'rejected: no JSON': 1}

    Raises:
        ValueError: the share is outside [0, 1].
    """

    max_share: float = 0.0
    rejected: Counter[str] = field(default_factory=Counter)
    failed: Counter[str] = field(default_factory=Counter)
    first: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        if not 0 <= self.max_share <= 1:
            raise ValueError(
                f"max_bad_rows is {self.max_share}; it is a share in [0, 1], and 0 refuses a file at its first bad row"
            )

    def take(self, error: DataError) -> None:
        """Count a refusal.

        Raises:
            DataError: that refusal, where none is allowed.
        """
        if self.max_share == 0:
            raise error
        if len(self.first) < _TOLD:
            self.first.append(str(error))
        kind = error.kind if isinstance(error, RowError) else "fields that cannot be used"
        rest = error.rest if isinstance(error, RowError) else 0
        (self.failed if rest else self.rejected)[kind] += max(1, rest)

    @property
    def total(self) -> int:
        """Rows that were not kept."""
        return self.rejected.total() + self.failed.total()

    @property
    def counts(self) -> Mapping[str, int]:
        """All refusals by state and kind."""
        rejected = {f"rejected: {kind}": number for kind, number in self.rejected.items()}
        return rejected | {f"failed: {kind}": number for kind, number in self.failed.items()}

    def check(self, name: str, *, kept: int) -> None:
        """Refuse a source of which more than the allowed share was refused.

        Raises:
            DataError: it was; the message has the counts and the first refusal.
        """
        if self.total > self.max_share * (self.total + kept):
            counts = ", ".join(f"{number:,} {kind}" for kind, number in self.counts.items())
            raise DataError(
                f"{name}: {self.total:,} of {self.total + kept:,} rows cannot be used ({counts}), and {self.max_share:.1%} are allowed "
                f"(`--max-bad-rows`); the first: {self.first[0]}"
            )
