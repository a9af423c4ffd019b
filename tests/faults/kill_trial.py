"""SIGKILL by the thousand: `python -m tests.faults.kill_trial 1000`.

Small real runs are killed at a point drawn by the seed: at an operation of the disk, or after so much time of the processor. Each life is
a fork of a process that has imported everything. The next life is the same command again, until one comes to its end: that end must be
an undisturbed run's, bit for bit, with no row lost or recorded twice, and hardly a token sampled again.
"""

from __future__ import annotations

import argparse
import json
import mmap
import os
import random
import shutil
import struct
import sys
import tempfile
import time
import traceback
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from tests.faults.recording import fast_folder, recorder_missing, under_recorder

from sharpen.errors import SharpenError

__all__ = ["Found", "trial"]

_KILLS_A_RUN = 4
"""At most; a run that survived them comes to its end undisturbed."""


class Shared:
    """Numbers that a forked process leaves behind when it is killed: tokens sampled, rows acknowledged."""

    _FORM = struct.Struct("<2q")

    def __init__(self) -> None:
        self._memory = mmap.mmap(-1, mmap.PAGESIZE)

    def add(self, tokens: int) -> None:
        """Count tokens that were drawn."""
        self._memory[: self._FORM.size] = self._FORM.pack(self.tokens + tokens, self.rows)

    def acknowledge(self, count: int) -> None:
        """So many rows are on file, as the ledger says."""
        self._memory[: self._FORM.size] = self._FORM.pack(self.tokens, count)

    @property
    def tokens(self) -> int:
        """Over all lives."""
        return int(self._FORM.unpack_from(self._memory)[0])

    @property
    def rows(self) -> int:
        """The newest that was acknowledged."""
        return int(self._FORM.unpack_from(self._memory)[1])


@dataclass(frozen=True, kw_only=True)
class Undisturbed:
    """What a run comes to when nobody kills it.

    Attributes:
        operations: of the disk, in one life.
        cpu_s: seconds of the processor that it takes a fork.
        tokens: sampled; `block_tokens` in its largest block.
    """

    ending: object
    operations: int
    cpu_s: float
    tokens: int
    block_tokens: int


@dataclass
class Found:
    """What the trial came to."""

    runs: int = 0
    kills: int = 0
    by_disk: int = 0
    tokens: int = 0
    complaints: list[str] = field(default_factory=list)


def trial(kills: int, seed: int, place: Path) -> tuple[Found, Undisturbed]:
    """Runs that are killed, until there were so many kills."""
    expected = _undisturbed(place)
    found = Found()
    while found.kills < kills:
        chance = random.Random(f"{seed} {found.runs}")
        folder = place / f"run {found.runs}"
        folder.mkdir()
        before = found.kills
        shared = Shared()
        for number in range(_KILLS_A_RUN + 1):
            spared = number == _KILLS_A_RUN or found.kills == kills
            if _life(folder, shared, "none" if spared else chance.choice(["disk", "time"]), chance, expected, found):
                break
        found.runs += 1
        found.tokens += shared.tokens
        bound = 1.05 * expected.tokens + (found.kills - before) * expected.block_tokens
        name = f"run {found.runs - 1}, killed {found.kills - before} times"
        if shared.tokens > bound:
            found.complaints.append(f"{name}: {shared.tokens} tokens were sampled; at most {bound:.0f} may be")
        found.complaints += [f"{name}: {complaint}" for complaint in _complaints(folder / "run", expected)]
        shutil.rmtree(folder)
    return found, expected


def _complaints(folder: Path, expected: Undisturbed) -> list[str]:
    from tests.faults.small_run import ending, twice

    try:
        found = [] if ending(folder) == expected.ending else ["it ended otherwise than an undisturbed run"]
    except SharpenError as error:
        found = [str(error)]
    return [*found, *(f"{name} was recorded twice" for name in twice(folder))]


def _life(folder: Path, shared: Shared, way: str, chance: random.Random, expected: Undisturbed, found: Found) -> bool:
    """Live until the end or the kill; whether it was the end."""
    from tests.faults.small_run import chains

    acknowledged = chains(folder / "run")[: shared.rows]
    limit_s = chance.uniform(0, expected.cpu_s)
    operation = chance.randint(1, expected.operations)
    child = _fork(folder, shared, operation if way == "disk" else 0)
    status = _waited(child, limit_s if way == "time" else None)
    if status not in (0, -9):
        found.complaints.append(
            f"run {found.runs}: it ended by itself with exit code {status}: {(folder / 'said').read_text()}"
        )
        return True
    if status:
        found.kills += 1
        found.by_disk += way == "disk"
    links = chains(folder / "run")
    if links[: len(acknowledged)] != acknowledged or len(links) not in (shared.rows, shared.rows + 1):
        found.complaints.append(f"run {found.runs}: {len(links)} rows are on file after {shared.rows} were acknowledged")
    return not status


def _fork(folder: Path, shared: Shared, operation: int) -> int:
    from tests.faults.live import arm, num_operations, record, tell_rows
    from tests.faults.small_run import live, tell_tokens

    child = os.fork()
    if child:
        return child
    try:
        os.dup2(os.open(folder / "said", os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o644), 2)
        tell_rows(shared.acknowledge)
        tell_tokens(shared.add)
        record(str(folder / "run"), "/dev/null")
        arm(operation)
        live(folder / "run")
        (folder / "life").write_text(json.dumps([num_operations(), time.process_time()]))
    except BaseException:
        traceback.print_exc()
        os._exit(1)
    os._exit(0)


def _waited(child: int, limit_s: float | None) -> int:
    """How the child ended, killed once it has used so much time of the processor."""
    while limit_s is not None and not (done := os.waitpid(child, os.WNOHANG))[0]:
        try:
            used = int(Path(f"/proc/{child}/schedstat").read_text().split()[0]) / 1e9
        except (OSError, IndexError):
            used = 0.0
        if used >= limit_s:
            os.kill(child, 9)
            limit_s = None
        else:
            time.sleep(0.001)
    else:
        if limit_s is not None:
            return os.waitstatus_to_exitcode(done[1])
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def _undisturbed(place: Path) -> Undisturbed:
    from tests.faults.small_run import block_tokens, ending, prepared

    prepared(place / "first")
    folder, shared = place / "undisturbed", Shared()
    folder.mkdir()
    status = _waited(_fork(folder, shared, 0), None)
    assert status == 0, (folder / "said").read_text()
    operations, cpu_s = json.loads((folder / "life").read_text())
    return Undisturbed(
        ending=ending(folder / "run"),
        operations=operations,
        cpu_s=cpu_s,
        tokens=shared.tokens,
        block_tokens=block_tokens(folder / "run"),
    )


def main(words: Sequence[str]) -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("kills", type=int)
    parser.add_argument("--seed", type=int, default=0)
    asked = parser.parse_args(words)
    if missing := recorder_missing():
        sys.exit(missing)
    under_recorder("tests.faults.kill_trial", words)
    began = time.perf_counter()
    with tempfile.TemporaryDirectory(dir=fast_folder()) as folder:
        found, expected = trial(asked.kills, asked.seed, Path(folder).resolve())
    used = os.times()
    print(
        f"{found.kills} kills ({found.by_disk} at an operation of the disk, the others at a time) of {found.runs} runs: "
        f"{len(found.complaints)} complaints; {found.tokens / found.runs:.1f} tokens sampled a run, {expected.tokens} by an undisturbed one "
        f"(blocks of at most {expected.block_tokens}); "
        f"{used.user + used.system + used.children_user + used.children_system:.0f} s of processor in {time.perf_counter() - began:.0f} s"
    )
    for complaint in found.complaints[:10]:
        print(f"  {complaint}")
    sys.exit(bool(found.complaints))


if __name__ == "__main__":
    main(sys.argv[1:])
