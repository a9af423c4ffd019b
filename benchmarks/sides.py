"""The interface of a side (ours, a peer), the values that pass through it, and what any side needs to measure itself."""

from __future__ import annotations

import contextlib
import resource
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from time import perf_counter, process_time
from typing import Any, Literal, Protocol

import torch
from safetensors.torch import save_file
from torch.optim.optimizer import register_optimizer_step_pre_hook

from benchmarks.shapes import Batch, Work

__all__ = [
    "LEARNING_RATE",
    "UNCLIPPED",
    "Clock",
    "Memory",
    "Settings",
    "Side",
    "Timing",
    "captured_gradient",
    "memory_now",
    "optimizer_bytes",
    "peak_bytes",
    "reset_peak",
    "set_up_torch",
]  # fmt: skip

LEARNING_RATE = 1e-6  # of every side's AdamW, constant; weight decay 0, betas 0.9 and 0.999, gradients clipped to norm 1
UNCLIPPED = 1e9  # the norm that gradients are "clipped" to where they are compared


@dataclass(frozen=True, kw_only=True)
class Settings:
    """How a side runs.

    Attributes:
        folder: the model, as transformers reads it.
        dtype: of matrix products; `auto` is for our runtime, which chooses.
        batch: rows of a peer's micro-batch; ours goes by tokens.
        max_tokens: padded tokens of a peer's micro-batch at most, so that long shapes fit the memory.
        checkpointing: the peer recomputes activations in the backward pass.
        continuous: the peer generates with transformers' continuous batching.
        weights: dtype of a peer's weights, gradients and optimiser state.
        gradient_only: gradients are to be compared, so that they must not be clipped.
    """

    folder: str
    device: str = "cpu"
    threads: int | None = None
    seed: int = 0
    dtype: Literal["auto", "float32", "bfloat16"] = "auto"
    batch: int = 8
    max_tokens: int = 6144
    checkpointing: bool = False
    continuous: bool = False
    weights: Literal["float32", "bfloat16"] = "float32"
    gradient_only: bool = False


@dataclass(frozen=True, kw_only=True)
class Timing:
    """What a round took.

    Attributes:
        seconds: from before the first prompt to after the optimiser's step; `generate_s` and `update_s` are parts of it.
        generated: tokens sampled, each trained once.
        cpu_s: processor time that this process took meanwhile.
    """

    seconds: float
    generate_s: float
    update_s: float
    generated: int
    cpu_s: float


@dataclass(frozen=True, kw_only=True)
class Memory:
    """Bytes of a side's process (of its GPU, where it has one).

    Attributes:
        baseline: once everything is imported and the weights are there.
        peak: at most since then.
        optimizer: state of AdamW.
        state: dtype of weights and optimiser state.
    """

    baseline: int
    peak: int
    optimizer: int
    state: str

    @property
    def working(self) -> int:
        """Peak without weights and optimiser state, so that sides of different state dtypes can be compared."""
        return max(0, self.peak - self.baseline - self.optimizer)


class Side(Protocol):
    """Somebody's way to do a round."""

    def prepare(self, works: Sequence[Work]) -> None:
        """Load the weights and get ready to do these rounds, in this order; the first is a warm-up."""
        ...

    def round(self, place: int) -> Timing:
        """Do the round of that place: sample, then one optimiser step on all samples."""
        ...

    def score(self, batch: Batch) -> float:
        """Seconds that the log-probabilities of the batch's completions take."""
        ...

    def gradient(self, batch: Batch, path: Path) -> None:
        """Write the gradient of the round's loss on this batch, unclipped, by the names that transformers gives the weights."""
        ...

    def memory(self) -> Memory:
        """What the process took so far."""
        ...

    def described(self) -> Mapping[str, str | int | float | bool]:
        """The settings in words, for the results."""
        ...


class Clock:
    """Wall time and processor time; on a GPU the queue is waited for first."""

    def __init__(self, device: str) -> None:
        self._gpu = device.startswith("cuda")

    def now(self) -> float:
        """Seconds since some point."""
        if self._gpu:
            torch.cuda.synchronize()
        return perf_counter()

    def cpu(self) -> float:
        """Processor seconds of this process, all threads."""
        return process_time()


def set_up_torch(settings: Settings) -> None:
    """Threads and seed, the same way on every side."""
    if settings.threads is not None:
        torch.set_num_threads(settings.threads)
    torch.manual_seed(settings.seed)


def memory_now(device: str) -> int:
    """Bytes held now: resident memory, or what torch holds of the GPU."""
    if device.startswith("cuda"):
        return torch.cuda.memory_allocated()
    return _status("VmRSS") or peak_bytes(device)


def peak_bytes(device: str) -> int:
    """Most bytes held since `reset_peak`, or since the start where the system cannot reset it."""
    if device.startswith("cuda"):
        return torch.cuda.max_memory_allocated()
    unit = 1 if sys.platform == "darwin" else 1024
    return _status("VmHWM") or resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit


def rows_at_once(settings: Settings, works: Sequence[Work]) -> int:
    """Rows of a peer's micro-batch: the most that divide the round's, up to `batch` and `max_tokens`."""
    longest = max(len(ids) + work.max_new_tokens for work in works for ids in work.prompt_ids)
    most = max(1, min(settings.batch, settings.max_tokens // longest))
    return max(size for size in range(1, most + 1) if works[0].num_rows % size == 0)


def baseline_bytes(module: Any, device: str) -> int:  # Any: a transformers model has no useful static type
    """Bytes held with the weights, every one of which is read first: a mapped file counts only where it was touched."""
    for parameter in module.parameters():
        parameter.detach().sum()
    reset_peak(device)
    return memory_now(device)


def reset_peak(device: str) -> None:
    """Forget the peak so far, such as that of loading the weights."""
    if device.startswith("cuda"):
        torch.cuda.reset_peak_memory_stats()
        return
    with contextlib.suppress(OSError):
        Path("/proc/self/clear_refs").write_text("5")


def _status(name: str) -> int | None:
    """A figure of this process in bytes, where the system has /proc."""
    with contextlib.suppress(OSError):
        for line in Path("/proc/self/status").read_text().splitlines():
            if line.startswith(f"{name}:"):
                return int(line.split()[1]) * 1024
    return None


def optimizer_bytes(optimizer: torch.optim.Optimizer | None) -> int:
    """Bytes of an optimiser's state."""
    if optimizer is None:
        return 0
    tensors = [value for state in optimizer.state.values() for value in state.values() if isinstance(value, torch.Tensor)]
    return sum(tensor.numel() * tensor.element_size() for tensor in tensors)


@contextlib.contextmanager
def captured_gradient(module: Any, path: Path) -> Iterator[None]:  # Any: a transformers model has no useful static type
    """Write what the first optimiser step inside the block is given to step with."""
    names = {id(parameter): name for name, parameter in module.named_parameters()}
    found: dict[str, torch.Tensor] = {}

    def keep(optimizer: torch.optim.Optimizer, args: object, kwargs: object) -> None:
        if found:
            return
        for group in optimizer.param_groups:
            for parameter in group["params"]:
                if parameter.grad is not None:
                    found[names[id(parameter)]] = parameter.grad.detach().to("cpu", torch.float32).clone()

    handle = register_optimizer_step_pre_hook(keep)
    try:
        yield
    finally:
        handle.remove()
    save_file(found, path)
