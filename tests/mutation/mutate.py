"""How many small mistakes in the objectives, the gate, the ledger and the selection the fast tests notice.

    python tests/mutation/mutate.py gate --sample 60 --seed 1 [--out FILE]

Each mutant replaces one module of a copy of the tree, and the group's tests run against the copy in a fork of this process, which has
imported pytest, torch and all else before, but nothing of ours. A mutant is killed where a test fails, where the modules cannot be
imported, or where the tests take ten times the processor time that they take without it.
"""

from __future__ import annotations

import argparse
import contextlib
import datetime
import gc
import importlib.util
import json
import os
import random
import resource
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import tomllib
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from hypothesis import Phase, settings
from mutants import Mutant, mutants_of, plain

ROOT = Path(__file__).resolve().parents[2]
EQUIVALENT = Path(__file__).with_name("equivalent.toml")
GROUPS = {  # modules below src/sharpen, and tests below tests
    "objectives": ("objectives/*.py", "unit/test_nll.py unit/test_dpo.py unit/test_policy_gradient.py unit/test_objectives.py"),
    "gate": ("gates/*.py stats/*.py", "unit/test_stats.py unit/test_gates.py unit/test_gate_guards.py"),
    "ledger": ("ledger/*.py filed.py", "unit/test_ledger*.py unit/test_codec*.py unit/test_filed*.py faults/test_*.py"),
    "selection": (
        "select/*.py feedback/consistency.py feedback/votes.py",
        "unit/test_advantages.py unit/test_choose.py unit/test_consistency.py unit/test_demonstrations.py unit/test_given.py "
        "unit/test_keys.py unit/test_preferences.py unit/test_votes.py unit/test_targets.py unit/test_answers.py",
    ),
}
OPTIONS = ["-x", "-q", "--noconftest", "-p", "no:cacheprovider", "-p", "no:xdist", "-m", "not slow", "--basetemp=basetemp"]
OPTIONS += ["-W", "ignore::pytest.PytestAssertRewriteWarning"]
PATIENCE = 10  # times the processor time that the tests take on what is right; the wall clock may take ten times as much again
MAX_MEMORY = 12 << 30  # bytes


@dataclass(frozen=True, kw_only=True)
class Ended:
    """How a run of the tests ended: pytest's exit status or, below 0, the signal that stopped it."""

    status: int
    cpu_s: float
    output: str


def main() -> None:
    """Mutate a group's modules, all ways or a seeded sample of them, and say which mutants lived."""
    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument("groups", nargs="+", choices=GROUPS)
    parser.add_argument("--sample", type=int, help="mutants drawn from each group; all where it is left out")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--only", default="", help="part of the path of the modules to be mutated")
    parser.add_argument("--out", type=Path, help="JSON file in which the groups' results are put")
    asked = parser.parse_args()
    os.environ.update(PYTHONDONTWRITEBYTECODE="1", OMP_NUM_THREADS="1")
    sys.dont_write_bytecode = True
    phases = [Phase.explicit, Phase.generate]  # no shrinking: one failure is enough
    settings.register_profile("mutation", derandomize=True, database=None, deadline=None, phases=phases)
    settings.load_profile("mutation")
    for name in asked.groups:
        with tempfile.TemporaryDirectory() as scratch:
            Path(scratch).chmod(0o755)
            result = _group(name, Path(scratch), asked)
        print(
            "{0}: {killed} of {sampled} killed: {raw} %, and {adjusted} % of those that change anything".format(name, **result)
        )
        if asked.out is not None:
            known = json.loads(asked.out.read_text()) if asked.out.exists() else {}
            asked.out.write_text(json.dumps({**known, name: result}, indent=1, ensure_ascii=False) + "\n")


def _group(name: str, scratch: Path, asked: argparse.Namespace) -> dict[str, Any]:
    ignored = shutil.ignore_patterns("__pycache__", "*.egg-info")
    for part in ("src", "tests"):
        shutil.copytree(ROOT / part, scratch / part, ignore=ignored)
    shutil.copy(ROOT / "pyproject.toml", scratch)
    subprocess.run([sys.executable, "-m", "compileall", "-q", "src"], cwd=scratch, check=True)
    modules, tests = ([found for pattern in patterns.split() for found in sorted((scratch / home).glob(pattern))]
                      for home, patterns in zip(("src/sharpen", "tests"), GROUPS[name], strict=True))  # fmt: skip
    mutants = [one for module in modules if asked.only in str(module) for one in mutants_of(module)]
    count = len(mutants)
    if asked.sample is not None:
        chosen = random.Random(asked.seed).sample(range(count), min(asked.sample, count))
        mutants = [mutants[place] for place in sorted(chosen)]
    _sound_run(scratch, tests)  # tells what to import beforehand
    survivors, per_module, stopped = [], {}, 0
    for module in dict.fromkeys(one.module for one in mutants):
        these = [one for one in mutants if one.module == module]
        lived, late = _try_all(these, scratch, sorted(tests, key=lambda test: module.stem not in test.stem))
        stopped += late
        path = str(module.relative_to(scratch))
        per_module[path] = {"killed": len(these) - len(lived), "survived": len(lived)}
        print(f"{path}: {per_module[path]}", flush=True)
        for one in lived:
            reason = _why_equivalent(path, one)
            survivors.append(
                {"module": path, "line": one.line, "change": one.change, "old": one.old, "new": one.new, "equivalent": reason}
            )
            print(
                f"  {one.line} {one.change}{f' (equivalent: {reason})' if reason else ''}\n    - {one.old}\n    + {one.new}",
                flush=True,
            )
    killed, equivalent = len(mutants) - len(survivors), sum(one["equivalent"] is not None for one in survivors)
    return {
        "date": datetime.date.today().isoformat(),
        "commit": _git("rev-parse", "--short=12", "HEAD"),
        "changed_since": _git("status", "--porcelain", "--", *(str(path.relative_to(scratch)) for path in (*modules, *tests))).splitlines(),
        "python": sys.version.split()[0],
        "seed": asked.seed,
        "mutants": count,
        "sampled": len(mutants),
        "killed": killed,
        "stopped": stopped,
        "equivalent": equivalent,
        "raw": round(100 * killed / len(mutants), 1),
        "adjusted": round(100 * killed / (len(mutants) - equivalent), 1),
        "modules": per_module,
        "survivors": survivors,
    }  # fmt: skip


def _try_all(mutants: list[Mutant], scratch: Path, tests: list[Path]) -> tuple[list[Mutant], int]:
    """The mutants of one module that no test noticed, and how many were stopped for taking too long."""
    module = mutants[0].module
    original = module.read_text()
    Path(importlib.util.cache_from_source(str(module))).unlink(missing_ok=True)
    module.write_text(plain(module))
    sound = _sound_run(scratch, tests)
    lived, stopped = [], 0
    for mutant in mutants:
        module.write_text(mutant.source)
        ended = _run(scratch, tests, limit_s=5 + int(PATIENCE * sound.cpu_s))
        if ended.status in (pytest.ExitCode.INTERNAL_ERROR, pytest.ExitCode.USAGE_ERROR, pytest.ExitCode.NO_TESTS_COLLECTED):
            raise SystemExit(f"pytest could not run: {ended.output}")
        stopped += ended.status < 0
        if not ended.status:
            lived.append(mutant)
    module.write_text(original)
    return lived, stopped


def _sound_run(scratch: Path, tests: list[Path]) -> Ended:
    ended = _run(scratch, tests, limit_s=600)
    if ended.status:
        raise SystemExit(f"the tests fail without any mutant:\n{ended.output}")
    return ended


def _run(scratch: Path, tests: list[Path], limit_s: int) -> Ended:
    """Run the tests against the copy of the tree, in a child that has imported everything but it."""
    said = scratch / "said"
    loaded = scratch / "loaded"
    child = os.fork()
    if not child:
        status = 70
        with contextlib.suppress(BaseException):
            status = _in_child(scratch, tests, limit_s, said, loaded)
        os._exit(status)
    deadline = time.monotonic() + 10 * limit_s
    while True:
        pid, code, used = os.wait4(child, os.WNOHANG)
        if pid:
            break
        if time.monotonic() > deadline:
            os.killpg(child, signal.SIGKILL)
        time.sleep(0.02)
    with contextlib.suppress(ProcessLookupError):
        os.killpg(child, signal.SIGKILL)  # what the tests have started and left
    if loaded.exists():
        _preload(json.loads(loaded.read_text()))
        loaded.unlink()
        gc.freeze()  # what is shared with the children is neither searched nor copied by them
    return Ended(status=os.waitstatus_to_exitcode(code), cpu_s=used.ru_utime + used.ru_stime, output=said.read_text()[-4000:])


def _in_child(scratch: Path, tests: list[Path], limit_s: int, said: Path, loaded: Path) -> int:
    os.setsid()
    resource.setrlimit(resource.RLIMIT_CPU, (limit_s, limit_s))
    resource.setrlimit(resource.RLIMIT_DATA, (MAX_MEMORY, MAX_MEMORY))
    with said.open("wb") as file:
        os.dup2(file.fileno(), 1)
        os.dup2(file.fileno(), 2)
    os.chdir(scratch)
    sys.path.insert(0, str(scratch / "src"))
    tempfile.tempdir = str(scratch / "temporary")
    os.makedirs(tempfile.tempdir, exist_ok=True)
    os.chmod(tempfile.tempdir, 0o1777)  # some tests become another user
    os.environ.update(PYTHONPATH=str(scratch / "src"), TMPDIR=tempfile.tempdir)
    before = set(sys.modules)
    status = int(pytest.main([*OPTIONS, *map(str, tests)]))
    ours = str(scratch)
    new = [name for name, module in list(sys.modules.items())
           if name not in before and not str(getattr(module, "__file__", None) or ours).startswith(ours)]  # fmt: skip
    if not status:
        loaded.write_text(json.dumps(new))
    sys.stdout.flush()
    return status


def _preload(names: list[str]) -> None:
    """Import what the tests imported, so that the next children need not."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for name in names:
            with contextlib.suppress(Exception):
                importlib.import_module(name)


def _why_equivalent(path: str, mutant: Mutant) -> str | None:
    for known in tomllib.loads(EQUIVALENT.read_text()).get("mutant", []):
        if (known["module"], known["old"], known["new"]) == (path, mutant.old, mutant.new):
            return str(known["reason"])
    return None


def _git(*arguments: str) -> str:
    return subprocess.run(["git", *arguments], cwd=ROOT, capture_output=True, text=True, check=True).stdout.strip()


if __name__ == "__main__":
    main()
