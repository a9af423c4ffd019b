"""What glibc does with freed memory: kept for the next tensors, and given back where it has grown too large."""

from __future__ import annotations

import contextlib
import ctypes
from functools import cache
from typing import Any

__all__ = ["MOST_KEPT", "give_back_freed_memory", "keep_freed_memory"]

_M_TRIM_THRESHOLD, _M_TOP_PAD, _M_MMAP_MAX = -1, -2, -4  # malloc.h

MOST_KEPT = 2**32
"""Freed bytes that are kept between two calls. A GRPO step of 64 rows of SmolLM2-135M frees at most 3.5 GB, so that the next one needs no
new pages; those of a model that frees more do."""


class _Counts(ctypes.Structure):
    """`struct mallinfo2` of malloc.h."""

    _fields_ = tuple(
        (name, ctypes.c_size_t)
        for name in ["arena", "ordblks", "smblks", "hblks", "hblkhd", "usmblks", "fsmblks", "uordblks", "fordblks", "keepcost"]
    )


@cache
def _glibc() -> Any | None:  # Any: functions of a C library
    """The library, set to keep what is freed; None where there is another, or an older one, which cannot be asked."""
    with contextlib.suppress(OSError, AttributeError):
        library = ctypes.CDLL("libc.so.6")
        for option, value in ((_M_MMAP_MAX, 0), (_M_TRIM_THRESHOLD, -1), (_M_TOP_PAD, 2**26)):
            library.mallopt(option, value)
        library.mallinfo2.restype = _Counts  # of glibc 2.33 and later
        return library
    return None


def keep_freed_memory() -> None:
    """Have glibc hand freed blocks to the next tensors: it would give large ones back, and the system clear them every time.

    That halves the time of a training step on a CPU (LOG.md).
    """
    _glibc()


def give_back_freed_memory() -> None:
    """Give the system what is kept, where that is more than 4 GiB: sampling and training use blocks of different sizes, and no call
    can fill all the holes that the one before it left, so that the process would grow from one to the next.
    """
    library = _glibc()
    if library is not None and _resident() - library.mallinfo2().uordblks > MOST_KEPT:
        library.malloc_trim(0)


def _resident() -> int:
    """Bytes of memory that this process has written to: holes that were given back are none of it, though glibc counts them as free. 0
    where the system does not say.
    """
    with contextlib.suppress(OSError), open("/proc/self/status", encoding="ascii") as lines:
        return next((int(line.split()[1]) << 10 for line in lines if line.startswith("RssAnon:")), 0)
    return 0
