"""Kills of a real run from the command line: `python -m tests.faults.kill_quickstart 20` (two to three times the run itself).

`sharpen run examples/quickstart.yaml` is killed after drawn times of the processor, verifier workers and all that it started left alone, and
begun again until it ends. Its rows, its weights and the model that it writes must be those of a run that nobody killed.
"""

from __future__ import annotations

import argparse
import hashlib
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

from tests.faults.small_run import ending, twice

from sharpen.export import damage_in
from sharpen.ledger import Ledger

_TICKS = os.sysconf("SC_CLK_TCK")


def main(words: Sequence[str]) -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, epilog="Further words, after the options, replace examples/quickstart.yaml."
    )
    parser.add_argument("kills", type=int)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--folder", type=Path, help="where the two runs are kept; an undisturbed one there is used again")
    parser.add_argument("what", nargs="*", default=["examples/quickstart.yaml"])
    asked = parser.parse_args(words)
    with tempfile.TemporaryDirectory() as scratch:
        place = asked.folder or Path(scratch)
        place.mkdir(exist_ok=True)
        complaints = _trial(asked.kills, asked.seed, asked.what, place)
    for complaint in complaints:
        print(f"  {complaint}")
    sys.exit(bool(complaints))


def _trial(kills: int, seed: int, what: Sequence[str], place: Path) -> list[str]:
    whole, killed, chance = place / "undisturbed", place / "killed", random.Random(seed)
    used_s = _undisturbed(what, whole)
    done, began = 0, time.perf_counter()
    while True:
        # so that the kills lie all over one run
        limit_s = chance.uniform(0, 2 * used_s / max(kills, 1)) if done < kills else None
        _, code = _run(what, killed, limit_s)
        if code == 0 and done >= kills:
            break
        if code == 0:  # it came to its end before the kill: the next ones hit a run from the start
            os.rename(killed, place / f"ended-{done}")
            continue
        if code != -signal.SIGKILL:
            return [f"it ended by itself with exit code {code}"]
        done += 1
    folders = [killed, *place.glob("ended-*")]
    complaints = [f"{folder}: {sentence}" for folder in folders for sentence in _complaints(folder, whole, done)]
    print(
        f"{done} kills of {len(folders)} runs in {time.perf_counter() - began:.0f} s: {len(complaints)} complaints; tokens sampled "
        f"on file {_tokens(killed)}, undisturbed {_tokens(whole)}"
    )
    return complaints


def _undisturbed(what: Sequence[str], folder: Path) -> float:
    """Seconds of the processor that an undisturbed run takes, which is made where it is not there yet."""
    told = folder.with_suffix(".seconds")
    if not told.exists():
        assert not folder.exists(), f"{folder} is there without {told}, so nobody knows how long it took; delete it"
        used_s, code = _run(what, folder, None)
        assert code == 0, f"an undisturbed run ends with exit code {code}"
        told.write_text(f"{used_s}\n")
    return float(told.read_text())


def _complaints(folder: Path, whole: Path, kills: int) -> list[str]:
    found = [f"{name} was recorded twice" for name in twice(folder)]
    if ending(folder) != ending(whole):
        found.append("it ended otherwise than an undisturbed run")
    if _models(folder) != _models(whole):
        found.append("the model that it writes is another")
    if _tokens(folder) != _tokens(whole):
        found.append(f"it has {_tokens(folder)} sampled tokens on file, and an undisturbed run {_tokens(whole)}")
    return found + [sentence for model in folder.glob("model-*") for sentence in damage_in(model)]


def _models(folder: Path) -> Mapping[str, str]:
    """Digests of the exported weights."""
    files = sorted(folder.glob("model-*/*.safetensors"))
    return {path.relative_to(folder).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


def _tokens(folder: Path) -> int:
    with Ledger(folder, read_only=True) as ledger:
        return sum(one.value["tokens"] for one in ledger.entries("block") if one.value["call"] == "generate")


def _run(what: Sequence[str], folder: Path, limit_s: float | None) -> tuple[float, int]:
    """Seconds of the processor that the command took, and its exit code; it is killed once it took `limit_s`."""
    command = [sys.executable, "-c", "from sharpen.cli import app; app()", "run", *what, "--quiet", "--out", str(folder)]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
    used = 0.0
    while process.poll() is None:
        used = _used_s(process.pid) or used
        if limit_s is not None and used >= limit_s:
            process.kill()
            process.wait()
        time.sleep(0.02)
    return used, process.returncode


def _used_s(pid: int) -> float:
    """Seconds of the processor that a process has used, all its threads together."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return 0.0
    return (int(fields[11]) + int(fields[12])) / _TICKS


if __name__ == "__main__":
    main(sys.argv[1:])
