"""Examples to new weights: optimiser steps over token-budget micro-batches, exact under any split.

Shapes: R rows of a micro-batch, T tokens of its longest completion.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from sharpen.errors import DivergedError
from sharpen.protocols import Columns, Objective, Trained, Training
from sharpen.runtime.forward import ForwardPass, Scored
from sharpen.runtime.packing import Encoded
from sharpen.types import Example, Row

__all__ = ["check_columns", "fit", "learning_rate_at", "optimizer_for", "plan_steps"]


@dataclass(frozen=True, kw_only=True)
class _Item:
    """An example with its rows as ids and their scored columns."""

    example: Example
    rows: tuple[Encoded, ...]
    numbers: Mapping[str, tuple[tuple[float, ...], ...]]


def plan_steps(num_examples: int, training: Training, seed: int) -> list[list[int]]:
    """For each optimiser step the places of its examples: each epoch is a permutation that depends on the seed alone."""
    size = training.batch_size or num_examples
    steps: list[list[int]] = []
    for epoch in range(training.epochs):
        order = np.random.Generator(np.random.Philox(key=[seed, epoch])).permutation(num_examples).tolist()
        steps += [order[start : start + size] for start in range(0, num_examples, size)]
    return steps[: training.max_steps]


def learning_rate_at(step: int, num_steps: int, training: Training) -> float:
    """The learning rate of a step (from 0): linear warm-up, then constant, linear or cosine decay.

    >>> [round(learning_rate_at(s, 4, Training(learning_rate=1.0, schedule="linear")), 2) for s in range(4)]
    [1.0, 0.75, 0.5, 0.25]
    """
    warm = math.ceil(training.warmup * num_steps)
    if step < warm:
        return training.learning_rate * (step + 1) / warm
    share = (step - warm) / max(1, num_steps - warm)
    if training.schedule == "linear":
        return training.learning_rate * (1 - share)
    if training.schedule == "cosine":
        return training.learning_rate * 0.5 * (1 + math.cos(math.pi * share))
    return training.learning_rate


def optimizer_for(
    parameters: Sequence[torch.nn.Parameter], training: Training, *, carried: torch.optim.AdamW | None
) -> torch.optim.AdamW:
    """The optimiser that came with the weights, under this call's settings; a fresh AdamW where none did."""
    if carried is not None:
        carried.param_groups[0].update(lr=training.learning_rate, betas=training.betas, weight_decay=training.weight_decay)
        return carried
    return torch.optim.AdamW(
        parameters,
        lr=training.learning_rate,
        betas=training.betas,
        weight_decay=training.weight_decay,
        fused=parameters[0].device.type != "mps",
    )


def check_columns(rows: Sequence[Row], columns: Sequence[str], scored: Mapping[str, Sequence[tuple[float, ...]]]) -> None:
    """Check that every row has tokens, and every column that the objective reads one number for each of them.

    Raises:
        ValueError: it is not so; training would go on with numbers of other tokens, or with none.
    """
    for row in rows:
        if not row.completion.token_ids:
            raise ValueError(
                f"a completion of prompt {row.prompt.text[:60]!r} has no tokens; given text is made tokens by `runtime.encode`"
            )
    for name in (name for name in columns if name != "entropies"):
        if name not in scored:
            raise ValueError(f"the objective reads {name!r}, which is not among the scored columns {sorted(scored)}; score it")
    for name, numbers in scored.items():
        if [len(one) for one in numbers] != [len(row.completion.token_ids) for row in rows]:
            raise ValueError(f"scored column {name!r} does not have one number per token of {len(rows)} rows; score these rows")


def fit(
    parameters: Sequence[torch.nn.Parameter],
    optimizer: torch.optim.Optimizer,
    forward: ForwardPass,
    encoded: Sequence[Encoded],
    examples: Sequence[Example],
    objective: Objective[Any],  # Any: whatever kind of example these are
    training: Training,
    *,
    scored: Mapping[str, Sequence[tuple[float, ...]]],
    token_budget: int,
    seed: int,
    progress: Callable[[int, int], None] | None,
) -> Trained:
    """Run the optimiser steps and return what they did.

    Args:
        parameters, optimizer: what is trained, and how.
        forward: from rows to log-probabilities with gradient.
        encoded: every row of every example as ids, in order.
        examples, objective, training: what to minimise.
        scored: by column name, one tuple of T numbers per row.
        token_budget: tokens of a micro-batch at most.
        seed: of the order of examples.
        progress: called with (steps done, steps in all).

    Raises:
        DivergedError: the loss or the gradient norm is not finite.
    """
    began = time.perf_counter()
    items = _items(examples, encoded, scored)
    steps = plan_steps(len(items), training, seed)
    sums: dict[str, list[float]] = {}
    num_tokens = 0
    for number, places in enumerate(steps):
        batch = [items[place] for place in places]
        counts = objective.counts([item.example for item in batch])
        for group in optimizer.param_groups:
            group["lr"] = learning_rate_at(number, len(steps), training)
        optimizer.zero_grad(set_to_none=True)
        values = {f"loss/{term}": [0.0, 1.0] for term in counts}
        for micro in forward.groups([item.rows for item in batch], token_budget):
            part = [batch[place] for place in micro]
            found = _backward(part, forward, objective, counts)
            for name, (total, count) in found.items():
                if name in values and name.startswith("loss/"):
                    values[name][0] += total
                else:
                    pair = values.setdefault(name, [0.0, 0.0])
                    pair[0], pair[1] = pair[0] + total, pair[1] + count
            num_tokens += sum(len(row) for item in part for row in item.rows)
        norm = float(torch.nn.utils.clip_grad_norm_(parameters, training.max_grad_norm))
        loss = sum(total for name, (total, _) in values.items() if name.startswith("loss/"))
        if not (math.isfinite(norm) and math.isfinite(loss)):
            raise DivergedError(
                f"the loss is {loss:.4g} and the gradient norm {norm:.4g} at step {number + 1} of {len(steps)}; "
                "lower the learning rate"
            )
        optimizer.step()
        values["gradient_norm"] = [norm, 1.0]
        for name, (total, count) in values.items():
            if count:
                sums.setdefault(name, []).append(total / count)
        if progress:
            progress(number + 1, len(steps))
    metrics = {name: float(np.mean(column)) for name, column in sums.items()}
    return Trained(metrics=metrics, num_steps=len(steps), num_tokens=num_tokens, seconds=time.perf_counter() - began)


def _items(
    examples: Sequence[Example], encoded: Sequence[Encoded], scored: Mapping[str, Sequence[tuple[float, ...]]]
) -> list[_Item]:
    items, start = [], 0
    for example in examples:
        end = start + len(example.rows)
        numbers = {name: tuple(column[start:end]) for name, column in scored.items()}
        items.append(_Item(example=example, rows=tuple(encoded[start:end]), numbers=numbers))
        start = end
    assert start == len(encoded)
    return items


def _backward(
    part: Sequence[_Item],
    forward: ForwardPass,
    objective: Objective[Any],  # Any: as in `fit`
    counts: Mapping[str, float],
) -> dict[str, tuple[float, float]]:
    """Add these examples' share of the batch gradient; return their share of each term, and the metrics."""
    rows = [row for item in part for row in item.rows]
    found = forward(rows, entropies="entropies" in objective.columns)
    columns = _columns(part, found)
    examples = [item.example for item in part]
    totals = objective.totals(examples, columns)
    shares = {term: total / counts[term] for term, total in totals.items() if counts[term] > 0}
    loss = torch.stack(list(shares.values())).sum() if shares else None
    if loss is not None and loss.requires_grad:
        loss.backward()
    with torch.no_grad():
        metrics = dict(objective.metrics(examples, columns))
    return {**metrics, **{f"loss/{term}": (float(share.detach()), 1.0) for term, share in shares.items()}}


def _columns(part: Sequence[_Item], found: Scored) -> Columns:
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
