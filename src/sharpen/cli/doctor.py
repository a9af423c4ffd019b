"""`sharpen doctor`: this machine, and what to do where something is amiss."""

from __future__ import annotations

import dataclasses

import typer

from sharpen.cli.output import say, say_json, table
from sharpen.cli.program import WORLD
from sharpen.doctor import examine

__all__ = ["doctor"]


def doctor(*, as_json: bool) -> None:
    """Print all findings; exit code 1 where nothing could run."""
    found = examine()
    if as_json:
        say_json([dataclasses.asdict(one) for one in found])
    else:
        print(table(("", "", ""), [(one.name, one.state, one.value) for one in found]).lstrip("\n"))
        for one in found:
            if one.advice:
                say(f"{one.name}: {one.advice}")
    if any(one.state == "broken" for one in found):
        raise typer.Exit(WORLD)
