"""Calling the command line in this process, and one finished run of the tiny world that tests share."""

from __future__ import annotations

import dataclasses
import fcntl
import json
import os
import shlex
from dataclasses import dataclass
from pathlib import Path

import pytest
from typer.testing import CliRunner

from sharpen.cli import app

TINY = "--model tiny --task tiny --device cpu --dtype float32"


@dataclass(frozen=True)
class Called:
    """What a command said, and how it ended."""

    code: int
    out: str
    err: str


@dataclass(frozen=True)
class CliRun:
    """A finished run, the words that made it, and what it said."""

    folder: Path
    command: str
    called: Called


def sharpen(command: str, *, stdin: str | None = None) -> Called:
    """Call `sharpen` with these words, as a pipe sees it."""
    result = CliRunner().invoke(app, shlex.split(command), input=stdin)
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    return Called(code=result.exit_code, out=result.stdout, err=result.stderr)


def command_for(folder: Path) -> str:
    """The words of the shared run."""
    sizes = "--num-train 128 --num-gate 60 --num-final 60 --num-prompts 96 --num-samples 4 --learning-rate 0.0003 --rounds 2"
    return f"run rft {TINY} {sizes} --out {folder}"


def run_cli(folder: Path) -> CliRun:
    """Two rounds of rft on the tiny world, with controls: some seconds."""
    command = command_for(folder)
    called = sharpen(command)
    assert called.code == 0, called.err
    return CliRun(folder=folder, command=command, called=called)


def shared_cli_run(factory: pytest.TempPathFactory) -> CliRun:
    """One run for all test processes of this session: the first makes it, the others find it done."""
    place = factory.getbasetemp()
    place = place.parent if "PYTEST_XDIST_WORKER" in os.environ else place
    with (place / "cli-run.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        told = place / "cli-run.json"
        if not told.exists():
            told.write_text(json.dumps(dataclasses.asdict(run_cli(place / "cli-run").called)), encoding="utf-8")
        called = Called(**json.loads(told.read_text("utf-8")))
    return CliRun(folder=place / "cli-run", command=command_for(place / "cli-run"), called=called)
