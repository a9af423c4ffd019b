"""Freed memory is kept for the next tensors, and given back above a limit; in a process of its own, since it is set for all of one."""

import platform
import subprocess
import sys

import pytest

SCRIPT = """
import sys
import torch
from sharpen.runtime import freed_memory

def resident():
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * 4096

freed_memory.keep_freed_memory()
freed_memory.MOST_KEPT = int(sys.argv[1])
before = resident()
blocks = [torch.ones(2**22) for _ in range(32)]
holds = blocks[::2]
del blocks
freed_memory.give_back_freed_memory()
given = resident()
if freed_memory.MOST_KEPT < 2**28:
    small = [torch.ones(2**22) for _ in range(2)]
    del small
    kept = resident()
    freed_memory.MOST_KEPT = 2**28
    freed_memory.give_back_freed_memory()
    assert abs(resident() - kept) < 2**24, "the holes that were given back are counted again"
print(round((given - before) / 2**24), float(sum(map(torch.sum, holds))) == 16 * 2**22)
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="glibc's")
@pytest.mark.parametrize(("most", "blocks"), [(2**30, 32), (2**20, 16)])
def test_what_is_freed_is_kept_up_to_a_limit(most: int, blocks: int) -> None:
    """32 blocks of 16 MiB, of which every second one is freed: holes between blocks in use."""
    found = subprocess.run([sys.executable, "-c", SCRIPT, str(most)], capture_output=True, text=True, check=True).stdout
    number, whole = found.split()
    assert abs(int(number) - blocks) <= 2
    assert whole == "True"
