"""`sharpen show` and `sharpen report`: how a run stands, on the screen and as a page."""

from __future__ import annotations

import fcntl
import os
import socket
from pathlib import Path
from typing import Literal

from sharpen.cli import summary
from sharpen.cli.output import command_lines, say, say_json, visible
from sharpen.report import findings, write_report
from sharpen.run import Run

__all__ = ["report", "show", "state_of"]


def show(folder: Path, *, as_json: bool) -> None:
    """Print how a run stands; nothing is written, and a run that goes on is not disturbed.

    Raises:
        LedgerError: it is no run directory, or a newer version wrote it.
    """
    run = Run.open(folder)
    state = state_of(run)
    if as_json:
        say_json({"state": state, **summary.as_json(run)})
        return
    facts = run.facts
    known = facts["task"]["sizes"]
    sizes = [f"{known[name]:,} {name}" for name in ("train", "dev", "gate", "final") if known[name]]
    say(f"{folder}: {state}")
    say(f"{facts['method']} on {facts['task']['name']}: {', '.join(sizes)} prompts")
    if "command" in facts["settings"]:
        print(f"command:\n{command_lines(facts['settings']['command'])}")
    say()
    for line in summary.rounds(run):
        say(line)
    found = findings(run)
    if found.standings:
        say()
        for sentence in summary.told(found):
            say(sentence)
        say()
        print(summary.measured(found))
        say(f"the final split was read {run.final_reads} times")
    say()
    print(summary.costs(run))
    for line in summary.served(run):
        say(line)
    for note in run.notes:
        say(f"note: {note}")


def report(folder: Path, *, opened: bool, as_json: bool) -> None:
    """Write the run's report and print where it is.

    Raises:
        LedgerError: it is no run directory.
        DamagedError: a file of the run does not match its checksum.
    """
    place = write_report(Run.open(folder))
    if as_json:
        say_json({"report": str(place)})
    else:
        print(visible(str(place)))
    if opened:
        import webbrowser

        webbrowser.open(place.resolve().as_uri())


def state_of(run: Run) -> Literal["finished", "running", "stopped"]:
    """Whether the run has come to its end, goes on in some process, or was stopped on its way."""
    if _locked(run.folder / "lock"):
        return "running"
    return "finished" if run.finished else "stopped"


def _locked(path: Path) -> bool:
    """Whether a process holds the lock. It is tried only where the process named in it may live: a start is never disturbed."""
    try:
        number, _, host = path.read_text("utf-8").partition(" on ")
        if host == socket.gethostname():
            os.kill(int(number), 0)
    except PermissionError:
        pass  # it lives, and is another user's
    except (OSError, ValueError):
        return False
    with path.open("rb") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
    return False
