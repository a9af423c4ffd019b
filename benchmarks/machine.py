"""The machine: what it is, without its name, and whether anything else is running on it."""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import platform
import re
import subprocess
import time
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

__all__ = ["Load", "LoadedError", "busy_s", "commit", "describe", "measured_load", "refuse_loaded", "short_name"]

MIN_SHARE = 0.93
"""Share of its time that a busy loop on every core must get; a second busy process leaves about a half."""
MAX_AVERAGE = 0.75
"""Load average of the last minute, a core."""
_SPIN_S = 2.0


class LoadedError(RuntimeError):
    """The machine has other work, so that timings would mean nothing."""


@dataclass(frozen=True, kw_only=True)
class Load:
    """How busy the machine is.

    Attributes:
        share: processor time that the worst of one busy loop a core got, over wall time, in [0, 1].
        average: processes that wanted to run in the last minute, a core; None where the system does not say.
    """

    share: float
    average: float | None


def num_cores() -> int:
    """Cores that this process may use."""
    with contextlib.suppress(AttributeError):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def measured_load(*, with_average: bool = True) -> Load:
    """The load now, by a busy loop of two seconds on every core.

    Args:
        with_average: also read the load average; after timings of our own it shows those.
    """
    cores = num_cores()
    average = None
    if with_average:
        with contextlib.suppress(OSError):
            average = os.getloadavg()[0] / cores
    with multiprocessing.get_context("spawn").Pool(cores) as pool:
        shares = pool.map(_spin, [_SPIN_S] * cores, chunksize=1)
    return Load(share=min(shares), average=average)


def _spin(seconds: float) -> float:
    wall, cpu = time.perf_counter(), time.process_time()
    while time.perf_counter() - wall < seconds:
        sum(range(1000))
    return (time.process_time() - cpu) / (time.perf_counter() - wall)


def refuse_loaded(load: Load, *, allow: bool) -> str | None:
    """None on a quiet machine; on a loaded one what is wrong, which `allow` lets pass.

    Raises:
        LoadedError: the machine is loaded, and that is not allowed.

    >>> refuse_loaded(Load(share=0.99, average=0.1), allow=False)
    """
    reasons = []
    if load.share < MIN_SHARE:
        reasons.append(f"a busy loop got {load.share:.0%} of a core")
    if load.average is not None and load.average > MAX_AVERAGE:
        reasons.append(f"the load average is {load.average:.2f} a core")
    if not reasons:
        return None
    told = "; ".join(reasons)
    if not allow:
        raise LoadedError(
            f"the machine has other work ({told}), so timings would mean nothing; end it or wait a minute, or pass --loaded, "
            "which is recorded"
        )
    return told


def busy_s() -> float | None:
    """Processor seconds that the whole machine has been busy, or None where the system does not say."""
    with contextlib.suppress(OSError, ValueError, IndexError):
        fields = [int(field) for field in Path("/proc/stat").read_text().split("\n", 1)[0].split()[1:]]
        user, nice, system, _, _, irq, softirq = fields[:7]
        steal = fields[7] if len(fields) > 7 else 0
        return (user + nice + system + irq + softirq + steal) / os.sysconf("SC_CLK_TCK")
    return None


def describe(device: str) -> Mapping[str, str | int | float | None]:
    """Processor, memory, device and versions; no name of a host, and no path."""
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    found: dict[str, str | int | float | None] = {
        "processor": _processor(),
        "cores": num_cores(),
        "memory_gib": round(memory, 1),
        "system": f"{platform.system()} {platform.machine()}",
        "python": platform.python_version(),
        "device": device,
    }
    if device.startswith("cuda"):
        import torch

        found["gpu"] = torch.cuda.get_device_name()
    for name in ("torch", "transformers", "trl", "accelerate", "sharpen"):
        with contextlib.suppress(PackageNotFoundError):
            found[name] = version(name)
    return found


def _processor() -> str:
    with contextlib.suppress(OSError):
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                return line.split(":", 1)[1].strip()
    return platform.processor() or platform.machine()


def short_name(machine: Mapping[str, object]) -> str:
    """A name for files: the GPU or the processor, and the number of cores.

    >>> short_name({"processor": "AMD EPYC", "cores": 2})
    'amd-epyc-2'
    """
    words = str(machine.get("gpu") or f"{machine['processor']} {machine['cores']}")
    return re.sub(r"[^a-z0-9]+", "-", words.lower()).strip("-")[:48]


def commit() -> str:
    """The commit of this work tree, with `+changes` where files differ from it; `unknown` outside git."""
    folder = Path(__file__).parent
    try:
        head = subprocess.run(
            ["git", "rev-parse", "HEAD"], cwd=folder, capture_output=True, text=True, check=True
        ).stdout.strip()
        status = ["git", "status", "--porcelain", "--untracked-files=no", "--", "../src", "."]
        changed = subprocess.run(status, cwd=folder, capture_output=True, text=True, check=True).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return "unknown"
    return f"{head}{'+changes' if changed else ''}"
