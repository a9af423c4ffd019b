"""What this machine has for a run: versions, device, speed, memory, disk, optional packages; what is amiss, and the cure."""

from __future__ import annotations

import os
import platform
import shutil
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Literal

from sharpen.capacity import free_disk, free_memory
from sharpen.errors import SandboxError
from sharpen.models.cache import cache_folder
from sharpen.verifiers.code.boxes import Limits, MontyBoxes, boxes

__all__ = ["EXTRAS", "Finding", "examine"]

EXTRAS = {
    "lora": ("peft", "LoRA adapters"),
    "tasks": ("reasoning-gym", "procedural tasks (--task rg:...)"),
    "gguf": ("gguf", "GGUF files and pypi: models"),
    "math": ("math-verify", "the verifier formula"),
    "data": ("datasets", "datasets objects"),
    "code": ("pydantic-monty", "the fast sandbox for programs that a model wrote"),
    "endpoint": ("httpx2", "models behind a server (endpoint:...)"),
}
"""By extra, its package and what it is for."""

_LITTLE_MEMORY = 4e9  # a 135M model with its optimiser state and activations
_LITTLE_DISK = 5e9  # its checkpoints, the environment aside


@dataclass(frozen=True, kw_only=True)
class Finding:
    """One thing that was looked at.

    Attributes:
        state: `fine`, `missing` (something optional), `tight` (it may not suffice), or `broken` (nothing will run).
        advice: what to do, or None where all is well.
    """

    name: str
    value: str
    state: Literal["fine", "missing", "tight", "broken"] = "fine"
    advice: str | None = None


def examine(folder: Path | None = None) -> list[Finding]:
    """All findings; a few seconds, to load torch and to try the sandboxes.

    Args:
        folder: where runs will be written; the present folder where None.
    """
    return [*_programs(), *_device(), *_room(folder or Path.cwd()), *_sandboxes(), *_optional()]


def _programs() -> Iterator[Finding]:
    old = sys.version_info < (3, 11)
    yield Finding(
        name="python",
        value=f"{platform.python_version()} ({platform.system()} {platform.machine()})",
        state="broken" if old else "fine",
        advice="install Python 3.11 or newer" if old else None,
    )
    for package in ("sharpen", "torch", "transformers", "tokenizers"):
        found = _version(package)
        yield Finding(
            name=package,
            value=found or "not installed",
            state="fine" if found else "broken",
            advice=None if found else f"pip install {package}",
        )


def _device() -> Iterator[Finding]:
    import torch

    from sharpen.runtime.weights import best_device, best_dtype

    device = best_device()
    name = torch.cuda.get_device_name() if device == "cuda" else device
    yield Finding(name="device", value=name)
    usable = len(os.sched_getaffinity(0)) if sys.platform == "linux" else os.cpu_count() or 1
    threads = torch.get_num_threads()
    yield Finding(
        name="threads",
        value=f"{threads} of {usable} cores",
        state="tight" if threads < usable and device == "cpu" else "fine",
        advice=f"OMP_NUM_THREADS or --threads {usable} uses them all" if threads < usable and device == "cpu" else None,
    )
    chosen = best_dtype(torch.device(device))
    ratio = f", bfloat16 products are {_ratio():.1f} times as fast as float32" if device == "cpu" else ""
    yield Finding(name="dtype", value=f"{chosen}{ratio}")


def _ratio() -> float:
    """How much faster a matrix product is in bfloat16; best of five, about 20 ms."""
    import torch

    best = {}
    for dtype in (torch.float32, torch.bfloat16):
        left, right = torch.ones(256, 512, dtype=dtype), torch.ones(512, 1024, dtype=dtype)
        times = []
        for _ in range(6):
            began = time.perf_counter()
            left @ right
            times.append(time.perf_counter() - began)
        best[dtype] = min(times[1:])
    return best[torch.float32] / best[torch.bfloat16]


def _room(folder: Path) -> Iterator[Finding]:
    memory = free_memory("cpu")
    if memory is None:
        yield Finding(name="memory", value="not known")
    else:
        tight = memory < _LITTLE_MEMORY
        yield Finding(
            name="memory",
            value=f"{memory / 1e9:.1f} GB free",
            state="tight" if tight else "fine",
            advice="training a 135M model takes about 4 GB: close other programs" if tight else None,
        )
    disk = free_disk(folder)
    yield Finding(
        name="disk",
        value=f"{disk / 1e9:.1f} GB free under {folder}",
        state="tight" if disk < _LITTLE_DISK else "fine",
        advice="a run of a 135M model keeps up to 5 GB: free some" if disk < _LITTLE_DISK else None,
    )
    cache = cache_folder()
    problem = _unwritable(cache)
    yield Finding(
        name="cache",
        value=f"{cache}, {_size_of(cache) / 1e9:.1f} GB" if cache.is_dir() else f"{cache}, empty",
        state="broken" if problem else "fine",
        advice=f"{problem}: set SHARPEN_CACHE to a folder that can be written" if problem else None,
    )


def _sandboxes() -> Iterator[Finding]:
    """The tiers in which programs that a model wrote can run here, each tried with what must work in it and what must not."""
    for tier in ("bwrap", "warm"):
        yield _sandbox(tier, partial(_boxed, tier))
    if _version("pydantic-monty") is not None:
        yield _sandbox("monty", _interpreted)


def _sandbox(tier: str, try_it: Callable[[], str]) -> Finding:
    try:
        return Finding(name=f"sandbox {tier}", value=try_it())
    except SandboxError as error:
        return Finding(
            name=f"sandbox {tier}", value="none: no program that a model wrote can run", state="missing", advice=str(error)
        )


def _boxed(tier: str) -> str:
    made = boxes(tier)
    made.close()
    return f"CPython {made.interpreter.version}, {made.interpreter.path}"


def _interpreted() -> str:
    made = MontyBoxes()
    try:
        made.open("", Limits()).close()
    finally:
        made.close()
    return f"pydantic-monty {_version('pydantic-monty')}"


def _optional() -> Iterator[Finding]:
    for extra, (package, use) in EXTRAS.items():
        found = _version(package)
        yield Finding(
            name=f"extra {extra}",
            value=f"{package} {found}" if found else f"not installed; {use}",
            state="fine" if found else "missing",
            advice=None if found else f"pip install 'sharpen[{extra}]'",
        )
    browser = next((path for name in ("chromium", "chromium-browser", "google-chrome") if (path := shutil.which(name))), None)
    yield Finding(
        name="chromium",
        value=browser or "not found; only the report's own tests need it",
        state="fine" if browser else "missing",
    )


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None


def _unwritable(folder: Path) -> str | None:
    """Why nothing can be written there, or None. What is tried leaves nothing behind."""
    place = folder
    while not place.exists():
        place = place.parent
    try:
        with tempfile.TemporaryFile(dir=place):
            return None
    except OSError as error:
        return f"{place} cannot be written ({error.strerror})"


def _size_of(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file() and not path.is_symlink())
