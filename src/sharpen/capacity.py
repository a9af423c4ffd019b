"""Whether memory and disk are large enough: told before the first token, with the numbers."""

from __future__ import annotations

import math
import os
import shutil
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from sharpen.errors import CapacityError, ModelError
from sharpen.parts import Recipe

__all__ = [
    "Needs",
    "Shape",
    "check_capacity",
    "free_disk",
    "free_memory",
    "needs_of",
    "needs_of_frozen",
    "recomputes",
    "shape_of",
    "told",
]

_RESERVE = 0.3e9  # bytes that Python, torch and the rest of the machine take beside the model
_OTHERS = 1  # checkpoints in memory beside the one in training: two at most are, and that is one of them
_RECORDS = 50_000_000  # bytes on disk
_KEPT_LOGITS = 2**30  # bytes of logits that the head keeps for the backward pass at most


@dataclass(frozen=True, kw_only=True)
class Shape:
    """What of a model decides its memory: numbers of weights, layers, and values per token."""

    num_parameters: int
    num_layers: int
    width: int
    inner: int
    vocabulary: int


@dataclass(frozen=True, kw_only=True)
class Needs:
    """Bytes that a run needs, by what for.

    Attributes:
        memory: what is certain: weights, gradients, optimiser state.
        activations: what the largest pass of training may add on top.
        recomputed: the same where each layer's activations are worked out again in the backward pass.
        sampling: what keys and values of prompts and answers may add instead, while it samples.
        freed: blocks in use no more that the process may hold beside.
        disk: checkpoints that are kept at one time.
    """

    memory: Mapping[str, int]
    activations: int
    recomputed: int
    disk: Mapping[str, int]
    sampling: int = 0
    freed: int = 0

    @property
    def certain_memory(self) -> int:
        """Bytes of memory without which nothing goes."""
        return sum(self.memory.values())

    @property
    def likely_memory(self) -> int:
        """Bytes of memory where a pass of training is as large as it may be."""
        return self.certain_memory + self.activations

    @property
    def total_disk(self) -> int:
        """Bytes of disk."""
        return sum(self.disk.values())


def shape_of(folder: Path, num_parameters: int, *, remote_code: bool = False) -> Shape:
    """The shape of a model folder, from its configuration; `remote_code` lets the folder's own Python code run.

    Raises:
        ModelError: the configuration cannot be read.
    """
    from transformers import AutoConfig

    try:
        read = AutoConfig.from_pretrained(folder, trust_remote_code=remote_code, local_files_only=True)
    except (OSError, ValueError) as error:
        raise ModelError(f"cannot read the configuration in {folder}: {error}") from error
    config = read.get_text_config().to_dict()
    width = int(config.get("hidden_size") or config.get("n_embd") or config.get("d_model") or 0)
    return Shape(
        num_parameters=num_parameters,
        num_layers=int(config.get("num_hidden_layers") or config.get("n_layer") or 0),
        width=width,
        inner=int(config.get("intermediate_size") or config.get("n_inner") or 4 * width),
        vocabulary=int(config.get("vocab_size") or 0),
    )


def needs_of(recipe: Recipe, shape: Shape, *, pass_tokens: int, half: bool, sampling: int = 0, most_freed: int = 0) -> Needs:
    """What a recipe needs on a model of that shape.

    Weights, gradients and AdamW's two moments are float32: 16 bytes a weight (4 and a little with LoRA). For the backward pass a
    Llama block keeps 40 bytes a width, and 16 bytes an inner width (8 in bfloat16), for each token; the head keeps logits, up to
    1 GiB, and takes its gradient three times over while it works. That is within 10 % of what a process was seen to take at most
    (SmolLM2-135M, 64 rows, LOG.md).

    Args:
        pass_tokens: tokens of a training pass at most, where the recipe does not say.
        half: whether matrix products run in bfloat16, which keeps a copy of each checkpoint's weights.
        sampling: bytes of keys and values at most.
        most_freed: bytes of freed blocks that are kept at most.
    """
    weights = 4 * shape.num_parameters
    trainings = [step.training for step in (*recipe.setup, *recipe.steps) if step.objective is not None]
    memory = {"weights": weights, "a checkpoint to compare with": (_OTHERS if trainings else 0) * weights}
    if half:
        memory["copies in bfloat16"] = weights // 2 * (1 + (_OTHERS if trainings else 0))
    activations = recomputed = 0
    disk = {"the run's records": _RECORDS}
    if trainings:
        full = any(training.lora_rank is None for training in trainings)
        memory["gradients and optimiser state"] = 3 * weights if full else weights // 10
        num_tokens = max(training.token_budget or pass_tokens for training in trainings)
        layer = num_tokens * (40 * shape.width + (8 if half else 16) * shape.inner)
        logits = min(num_tokens * shape.vocabulary * (2 if half else 4), _KEPT_LOGITS)
        head = logits + 3 * 4 * shape.vocabulary * shape.width
        activations = shape.num_layers * layer + head
        recomputed = shape.num_layers * num_tokens * 4 * shape.width + layer + head
        carried = any(step.optimizer == "carried" for step in recipe.steps)
        disk["four checkpoints"] = 4 * weights * (3 if carried else 1)  # incumbent, the one before, a resume point, a candidate
        disk["the exported model"] = weights
    freed = min(most_freed, max(activations, sampling))  # no more was ever in use
    return Needs(memory=memory, activations=activations, recomputed=recomputed, disk=disk, sampling=sampling, freed=freed)


def needs_of_frozen(num_parameters: int) -> Needs:
    """What a model needs whose weights are only read, float32, and of which a head of some kilobytes is trained."""
    weights = 4 * num_parameters
    disk = {"the run's records": _RECORDS, "the exported model": weights}
    return Needs(memory={"weights": weights}, activations=0, recomputed=0, disk=disk)


def recomputes(needs: Needs, memory: int | None) -> bool:
    """Whether activations are to be worked out again in the backward pass: only where they do not fit in `memory` free bytes."""
    return memory is not None and memory < needs.likely_memory + _RESERVE


def told(needs: Needs, memory: int | None) -> str:
    """The plan of memory in one sentence."""
    kept = not recomputes(needs, memory)
    activations = needs.activations if kept else needs.recomputed
    of_training = activations >= needs.sampling
    most = {"activations" if of_training else "keys and values in sampling": max(activations, needs.sampling)}
    parts = {**needs.memory, **most}
    beside = f", and up to {_size(needs.freed)} of freed blocks beside" if needs.freed else ""
    free = _size(memory) if memory is not None else "an unknown amount"
    sentence = f"memory: up to {_size(sum(parts.values()))} ({_listed(parts)}){beside}; {free} is free"
    if kept:
        return sentence
    return (
        f"{sentence}; activations, which would take {_size(needs.activations)}, are worked out again in the backward pass, "
        "and a step takes about a third longer"
    )


def check_capacity(needs: Needs, *, memory: int | None, disk: int, out: Path) -> str | None:
    """A warning where it may become tight, or None.

    Args:
        memory, disk: bytes that are free; None where that cannot be told.

    Raises:
        CapacityError: it cannot fit.
    """
    if disk < needs.total_disk:
        raise CapacityError(
            f"the run needs {_size(needs.total_disk)} of disk ({_listed(needs.disk)}) and {_size(disk)} is free under {out}; free "
            "some, or choose another --out"
        )
    if memory is None:
        return None
    if memory < needs.certain_memory + _RESERVE:
        raise CapacityError(
            f"the run needs {_size(needs.certain_memory + _RESERVE)} of memory ({_listed(needs.memory)}) and {_size(memory)} is "
            "free; close other programs, or choose a smaller model"
        )
    if memory < needs.certain_memory + needs.recomputed + _RESERVE:
        most = needs.certain_memory + needs.recomputed + _RESERVE
        return (
            f"memory may become tight: training may take {_size(most)} and {_size(memory)} is free; "
            "shorter answers (--max-new-tokens) or a smaller batch need less"
        )
    return None


def free_disk(folder: Path) -> int:
    """Bytes that can still be written where the folder is or will be."""
    place = folder.absolute()
    while not place.exists():
        place = place.parent
    return shutil.disk_usage(place).free


def free_memory(device: str) -> int | None:
    """Bytes of the device's memory that are free (of this process's container where it has a limit), or None if unknown."""
    if device == "cuda":
        import torch

        return int(torch.cuda.mem_get_info()[0])
    found = [bytes_ for bytes_ in (_machine_memory(), _container_memory()) if bytes_ is not None]
    return min(found, default=None)


def _machine_memory() -> int | None:
    if sys.platform == "linux":
        for line in Path("/proc/meminfo").read_text("ascii").splitlines():
            if line.startswith("MemAvailable:"):
                return int(line.split()[1]) * 1024
        return None
    try:
        return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") // 2  # no count of free pages here: half of all
    except (OSError, ValueError):
        return None


def _container_memory(root: Path = Path("/sys/fs/cgroup")) -> int | None:
    """What the control group leaves, version 2 or 1; page cache counts as free."""
    for limit, used, stat, cached in (
        ("memory.max", "memory.current", "memory.stat", "inactive_file"),
        ("memory/memory.limit_in_bytes", "memory/memory.usage_in_bytes", "memory/memory.stat", "total_inactive_file"),
    ):
        try:
            most = (root / limit).read_text("ascii").strip()
            if most == "max" or int(most) >= 1 << 60:
                continue
            facts = dict(line.split() for line in (root / stat).read_text("ascii").splitlines())
            return int(most) - int((root / used).read_text("ascii")) + int(facts.get(cached, 0))
        except (OSError, ValueError):
            continue
    return None


def _listed(parts: Mapping[str, int]) -> str:
    return ", ".join(f"{name} {_size(number)}" for name, number in parts.items() if number)


def _size(number: float) -> str:
    """Bytes with a digit that matters.

    >>> _size(2_500_000_000), _size(40_000_000)
    ('2.5 GB', '40 MB')
    """
    return f"{number / 1e9:.1f} GB" if number >= 1e8 else f"{math.ceil(number / 1e6)} MB"
