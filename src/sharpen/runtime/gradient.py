"""The gradient of a batch: passes within a token budget, whose sums no split can change.

Shapes: R rows of a pass, T tokens of its longest completion.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import torch

from sharpen.protocols import Columns, Objective
from sharpen.runtime.budget import Budget, fitting
from sharpen.runtime.forward import ForwardPass, Scored
from sharpen.runtime.packing import Encoded
from sharpen.types import Example, Row

__all__ = ["Found", "Item", "batch_gradient"]


@dataclass(frozen=True, kw_only=True)
class Item:
    """An example with its rows as ids and their scored columns."""

    example: Example
    rows: tuple[Encoded, ...]
    numbers: Mapping[str, tuple[tuple[float, ...], ...]]

    def __len__(self) -> int:
        return sum(map(len, self.rows))


@dataclass(kw_only=True)
class Found:
    """What a batch gave beside its gradient.

    Attributes:
        loss: by term, its value.
        metrics: by name, (total, count).
        num_tokens: of the rows that ran.
    """

    loss: dict[str, float] = field(default_factory=dict)
    metrics: dict[str, tuple[float, float]] = field(default_factory=dict)
    num_tokens: int = 0

    def add(self, other: Found) -> None:
        """Add what another part of the batch gave."""
        for term, value in other.loss.items():
            self.loss[term] = self.loss.get(term, 0.0) + value
        for name, (total, count) in other.metrics.items():
            before = self.metrics.get(name, (0.0, 0.0))
            self.metrics[name] = (before[0] + total, before[1] + count)
        self.num_tokens += other.num_tokens


def batch_gradient(
    parameters: Sequence[torch.nn.Parameter],
    batch: Sequence[Item],
    forward: ForwardPass,
    objective: Objective[Any],  # Any: whatever kind of example these are
    *,
    budget: Budget,
    token_budget: int,
) -> Found:
    """Set each parameter's `grad` to that of the objective over the whole batch.

    Examples that teach nothing are left out; where none teaches, the shortest one runs, so that the optimiser sees the zeros that
    it would have seen. Where memory does not suffice for a pass, all begins again with half as many tokens: nothing of a pass that
    failed half-way stays in the sums.

    Raises:
        CapacityError: a single example does not fit.
    """
    counts = objective.counts([item.example for item in batch])
    taught = [item for item in batch if objective.teaches(item.example)] or [min(batch, key=len)]
    splits = budget.num_splits
    found = None
    while found is None:
        for parameter in parameters:
            parameter.grad = None
        found = _passes(taught, forward, objective, counts, budget=budget, token_budget=token_budget)
    found.metrics["idle_rows"] = (float(sum(len(item.rows) for item in batch) - sum(len(item.rows) for item in taught)), 1.0)
    found.metrics["memory_splits"] = (float(budget.num_splits - splits), 1.0)
    return found


def _passes(
    items: Sequence[Item],
    forward: ForwardPass,
    objective: Objective[Any],  # Any: as above
    counts: Mapping[str, float],
    *,
    budget: Budget,
    token_budget: int,
) -> Found | None:
    """What the passes over these items gave, or None where memory did not suffice for one; gradients are added up."""
    found = Found(loss=dict.fromkeys(counts, 0.0))
    for places in forward.groups([item.rows for item in items], budget.within(token_budget)):
        part = [items[place] for place in places]
        more = fitting(partial(_backward, part, forward, objective, counts))
        if more is None:
            budget.lower(forward.num_tokens([item.rows for item in part]), len(part))
            return None
        found.add(more)
    return found


def _backward(
    part: Sequence[Item],
    forward: ForwardPass,
    objective: Objective[Any],  # Any: as above
    counts: Mapping[str, float],
) -> Found:
    """Add these examples' share of the batch gradient."""
    rows = [row for item in part for row in item.rows]
    scored = forward(rows, entropies="entropies" in objective.columns)
    columns = _columns(part, scored)
    examples = [item.example for item in part]
    totals = objective.totals(examples, columns)
    shares = {term: total / counts[term] for term, total in totals.items() if counts[term] > 0}
    loss = torch.stack(list(shares.values())).sum() if shares else None
    if loss is not None and loss.requires_grad:
        loss.backward()
    with torch.no_grad():
        metrics = dict(objective.metrics(examples, columns))
    return Found(
        loss={term: float(share.detach()) for term, share in shares.items()},
        metrics=metrics,
        num_tokens=sum(map(len, rows)),
    )


def _columns(part: Sequence[Item], found: Scored) -> Columns:
    rows = [row for item in part for row in item.example.rows]
    device, width = found.logps.device, found.logps.shape[1]

    def padded(values: Sequence[Sequence[float]], dtype: torch.dtype) -> torch.Tensor:
        return torch.tensor([[*row, *([0] * (width - len(row)))] for row in values], dtype=dtype, device=device)

    names = part[0].numbers
    return Columns(
        logps=found.logps,
        weights=padded([row.token_weights for row in rows], torch.float32),
        advantages=padded([_advantages(row) for row in rows], torch.float32),
        turns=padded([row.completion.turns for row in rows], torch.long),
        scored={name: padded([row for item in part for row in item.numbers[name]], torch.float32) for name in names},
        entropies=found.entropies,
    )


def _advantages(row: Row) -> tuple[float, ...]:
    return row.advantages if row.advantages is not None else (0.0,) * len(row.completion.token_ids)
