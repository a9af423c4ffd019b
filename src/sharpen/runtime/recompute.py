"""Layers that keep their input alone, and are run again in the backward pass: less memory for a third more time."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from functools import partial
from typing import Any

from torch.utils.checkpoint import checkpoint
from transformers.modeling_layers import GradientCheckpointingLayer

__all__ = ["recomputed"]


@contextlib.contextmanager
def recomputed(model: Any) -> Iterator[None]:  # Any: a transformers causal LM has no useful static type
    """Have every layer of the model run so in forward passes within.

    transformers' own switch acts in training mode only, where dropout would act too; a layer without that switch is left as it is.
    """
    layers = [module for module in model.modules() if isinstance(module, GradientCheckpointingLayer)]
    for layer in layers:
        layer.forward = partial(checkpoint, layer.forward, use_reentrant=False, preserve_rng_state=False)
    try:
        yield
    finally:
        for layer in layers:
            del layer.forward
