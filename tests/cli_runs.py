"""Calling the command line in this process, and one finished run of the tiny world that tests share."""

from __future__ import annotations

import shlex
from dataclasses import dataclass
from pathlib import Path

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
class TinyRun:
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


def run_tiny(folder: Path) -> TinyRun:
    """Two rounds of rft on the tiny world, with controls: some seconds."""
    command = f"run rft {TINY} --num-train 128 --num-gate 60 --num-final 60 --num-prompts 96 --num-samples 4 --rounds 2 --out {folder}"
    called = sharpen(command)
    assert called.code == 0, called.err
    return TinyRun(folder=folder, command=command, called=called)
