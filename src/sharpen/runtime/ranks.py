"""Several processes that train one model, each on its share of a batch: torch.distributed where it was started, else one process.

Counts are of the whole batch (docs/adr/0006), so that the shares of a gradient are added up and never averaged (docs/adr/0010).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeVar

import torch
from torch import distributed

__all__ = ["add_up", "gathered", "own_share"]

T = TypeVar("T")


def own_share(sizes: Sequence[int]) -> range:
    """Places of this process's items: neighbours, so that they go on sharing prompts, with about as many tokens as others have.

    >>> own_share([5, 3, 4])
    range(0, 3)
    """
    if not _several():
        return range(len(sizes))
    total, before = sum(sizes), 0
    owners = []
    for size in sizes:
        owners.append(distributed.get_world_size() * (2 * before + size) // (2 * total))
        before += size
    rank = distributed.get_rank()
    return range(sum(owner < rank for owner in owners), sum(owner <= rank for owner in owners))


def add_up(parameters: Sequence[torch.nn.Parameter]) -> None:
    """Make each `grad` the sum over processes; a parameter that no process has one for keeps none."""
    if not _several():
        return
    device = parameters[0].device
    has = torch.tensor([parameter.grad is not None for parameter in parameters], dtype=torch.int32, device=device)
    distributed.all_reduce(has)
    for parameter, number in zip(parameters, has.tolist(), strict=True):
        if number:
            if parameter.grad is None:
                parameter.grad = torch.zeros_like(parameter)
            distributed.all_reduce(parameter.grad)


def gathered(value: T) -> list[T]:
    """What each process has, in the order of ranks."""
    if not _several():
        return [value]
    values: list[T | None] = [None] * distributed.get_world_size()
    distributed.all_gather_object(values, value)
    return values  # type: ignore[return-value]  # every place is filled


def _several() -> bool:
    return distributed.is_available() and distributed.is_initialized()
