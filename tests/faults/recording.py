"""What a process did to a folder, operation by operation: real programs under a preloaded recorder (`recorder.c`)."""

from __future__ import annotations

import functools
import json
import os
import shutil
import struct
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

__all__ = [
    "Ended",
    "Job",
    "Operation",
    "fast_folder",
    "marks",
    "operations",
    "recorder_missing",
    "run_recorded",
    "under_recorder",
]

_HERE = Path(__file__).parent
_LIBRARY = "recorder.so"
_RECORD = struct.Struct("<5Q")
_KINDS = {"c": "create", "w": "write", "t": "truncate", "s": "sync", "r": "rename", "u": "unlink", "m": "mkdir", "a": "mark"}


@dataclass(frozen=True, kw_only=True)
class Operation:
    """One change, or a `mark` that the program made.

    Attributes:
        inode: of the file or folder created, written, truncated or synced.
        offset: of a write; the new size of a truncation.
        data: bytes written, the new path of a rename, the text of a mark.
    """

    kind: str
    inode: int
    offset: int
    path: str
    data: bytes


def recorder_missing() -> str | None:
    """Why processes cannot be recorded here, or None."""
    if not sys.platform.startswith("linux"):
        return "recording a process's file operations needs Linux"
    return None if shutil.which("cc") else "recording a process's file operations needs a C compiler (cc)"


@functools.cache
def _recorder() -> Path:
    """The compiled recorder."""
    library = Path(tempfile.mkdtemp(prefix="sharpen-recorder-")) / _LIBRARY
    command = [
        "cc",
        "-shared",
        "-fPIC",
        "-O1",
        "-Wall",
        "-Wextra",
        "-Werror",
        "-o",
        library,
        _HERE / "recorder.c",
        "-ldl",
        "-lpthread",
    ]
    subprocess.run(command, check=True)
    return library


def under_recorder(module: str, words: Sequence[str]) -> None:
    """Begin this process anew, as that module with those words, under the recorder; do nothing where it runs under it."""
    if os.environ.get("LD_PRELOAD", "").endswith(f"/{_LIBRARY}"):
        return
    os.environ["LD_PRELOAD"] = str(_recorder())
    os.execv(sys.executable, [sys.executable, "-m", module, *words])


def fast_folder() -> Path:
    """Where to make folders whose durability is simulated: in memory where that is possible."""
    memory = Path("/dev/shm")
    return memory if memory.is_dir() and os.access(memory, os.W_OK) else Path(tempfile.gettempdir())


@dataclass(frozen=True, kw_only=True)
class Job:
    """A life to be lived in a process of its own, recorded.

    Attributes:
        folder: the run directory, below `root`.
        subject: `deeds`, or `run` for a small real run.
        first: number of the first deed to do.
        operation: the disk's operation, counted from 1, at which the process is killed or which fails; 0: none.
        error: errno of the failing operation; 0: killed.
    """

    root: str
    folder: str
    log: str
    subject: str = "deeds"
    mutant: str = "none"
    first: int = 0
    operation: int = 0
    error: int = 0


def run_recorded(program: str, jobs: Sequence[Job]) -> list[Ended]:
    """Run a module of this folder, which forks for each job; how each ended."""
    told = json.dumps([asdict(job) for job in jobs])
    command = [sys.executable, "-m", f"tests.faults.{program}"]
    path = os.pathsep.join(filter(None, [str(_HERE.parents[1]), *sys.path]))
    environment = {**os.environ, "LD_PRELOAD": str(_recorder()), "PYTHONPATH": path}
    done = subprocess.run(command, env=environment, input=told, capture_output=True, text=True, timeout=280, check=False)
    assert done.returncode == 0, done.stderr
    return [Ended(**one) for one in json.loads(done.stdout)]


@dataclass(frozen=True, kw_only=True)
class Ended:
    """How a job's process ended: its exit status (negative: the signal), and what it wrote to standard error."""

    status: int
    said: str


def operations(log: Path) -> Iterator[Operation]:
    """The operations in a log, in order."""
    content = log.read_bytes()
    place = 0
    while place < len(content):
        kind, inode, offset, path_length, data_length = _RECORD.unpack_from(content, place)
        place += _RECORD.size
        path = content[place : place + path_length].decode()
        data = content[place + path_length : place + path_length + data_length]
        place += path_length + data_length
        yield Operation(kind=_KINDS[chr(kind)], inode=inode, offset=offset, path=path, data=data)


def marks(done: Sequence[Operation]) -> list[Mapping[str, object]]:
    """What the program said, decoded."""
    return [json.loads(one.data) for one in done if one.kind == "mark"]
