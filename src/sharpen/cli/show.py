"""`sharpen show` and `sharpen report`: how a run stands, on the screen and as a page."""

from __future__ import annotations

import fcntl
import os
import socket
from pathlib import Path
from typing import Literal

import typer

from sharpen.cli import summary
from sharpen.cli.output import command_lines, count, say, say_json, visible
from sharpen.cli.program import WORLD
from sharpen.endpoint.account import damage_in_account
from sharpen.export import damage_in
from sharpen.ledger import Ledger
from sharpen.report import findings, write_report
from sharpen.run import Run

__all__ = ["check", "report", "show", "state_of"]


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


def check(folder: Path, *, as_json: bool) -> None:
    """Print what in a run directory is not as it was written; every byte of its rows, files and exported models is read.

    The report is not looked at: it is written anew from all that is.

    Raises:
        DamagedError: the database is damaged.
        LedgerError: it is no run directory, or a newer version wrote it.
        typer.Exit: with code 1, where something is damaged.
    """
    with Ledger(folder, read_only=True) as ledger:
        rows, found = len(ledger.standing), ledger.damage()
    for model in sorted(folder.glob("model-*/")):
        found += damage_in(model) if "-damaged-" not in model.name else []
    account = damage_in_account(folder)
    if as_json:
        say_json({"rows": rows, "damage": [*found, *account]})
    else:
        for sentence in (*found, *account):
            say(sentence)
        number = len(found) + bool(account)
        say(f"{count(rows)} rows stand, and the digest chain proves them; {count(number)} files are not as they were written")
        if found:
            say("the same `sharpen run` command makes again what the run still needs of them")
        if account:
            say("the same command asks damaged answers again; where it cannot tell what was spent, it says so and what to do")
    if found or account:
        raise typer.Exit(WORLD)


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
