"""`sharpen compare`: methods, or run directories, against each other; where the tables and the page lie."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, TextIO

from sharpen.cli.field import Watching, prepared
from sharpen.cli.output import command_lines, count, say, say_json, table, visible
from sharpen.cli.question import Question, read_question
from sharpen.compare import Comparison, Contest, of_contest, of_runs, tables
from sharpen.compare.page import write_comparison
from sharpen.digest import digest
from sharpen.ledger.database import DATABASE

__all__ = ["compare"]


def compare(
    words: Sequence[str],
    flags: Mapping[str, Any],  # Any: as parsed
    own: Mapping[str, object],
    *,
    quiet: bool,
    as_json: bool,
) -> None:
    """Run, or go on with, a comparison of methods; or compare runs that are there. Write and print what came of it.

    Args:
        own: flags that are no settings of a run (`question.OWN`), empty where they were not given.

    Raises:
        ValueError: a word or setting is wrong.
        SharpenError: the world is not as a run needs it.
        KeyboardInterrupt: Ctrl-C; what was finished is on file.
    """
    folders = [Path(word) for word in words if (Path(word) / DATABASE).is_file()]
    if folders:
        _refuse_beside_runs(words, {**flags, **own})
        found, out = of_runs(folders), Path(flags.get("out") or f"runs/comparison-{digest('runs', sorted(words))[:8]}")
    else:
        question = read_question(words, flags, own)
        out = question.folder
        found = _contested(question, quiet=quiet, file=sys.stderr if as_json else sys.stdout)
    places = {what: str(path) for what, path in write_comparison(found, out).items()}
    if as_json:
        say_json({**tables.as_json(found), "places": places})
    else:
        _tell(found, places)


def _refuse_beside_runs(words: Sequence[str], flags: Mapping[str, object]) -> None:
    other = next((word for word in words if not (Path(word) / DATABASE).is_file()), None)
    if other is not None:
        raise ValueError(f"{other!r} is no run directory, and others are; compare methods, or run directories, not both")
    given = [name for name, value in flags.items() if value not in (None, False, []) and name != "out"]
    if given:
        raise ValueError(
            f"--{given[0].replace('_', '-')} does not go with run directories, which are as they are; leave it out"
        )


def _contested(question: Question, *, quiet: bool, file: TextIO) -> Comparison:
    """The comparison; arms that are not done are run now."""
    budget = question.settings.budget
    assert budget is not None
    field = prepared(question, budget=budget, controls=question.settings.controls)
    contest = Contest(
        arms=field.arms,
        contenders=field.contenders,
        seeds=question.seeds,
        watch=Watching(arms=field.arms, quiet=quiet, file=file),
        max_samples=question.max_samples if question.settings.controls else 0,
        notes=field.notes,
    )
    if not quiet:
        names = ", ".join(one.name for one in field.contenders)
        say(f"{names} on {field.arms.task.name}, {budget} each, {contest.total} runs at most", file=file)
        say(f"comparison: {question.folder}", file=file)
    found = of_contest(contest, command=question.command)
    field.account.close()
    return found


def _tell(found: Comparison, places: Mapping[str, str]) -> None:
    say()
    say(f"{found.headline}.")
    say(found.detail)
    say()
    rows = []
    for row in found.rows:
        gain, cost = found.gain(row), tables.cost_words(found, row)
        spent = count(row.mean("tokens")) if row.trains else ""
        rows.append(
            (
                row.name,
                gain.text if gain else "",
                gain.interval_text if gain else "",
                gain.p_text if gain else "",
                spent,
                cost["time"],
            )
        )
    heads = ("on the final split", "gain over base", "95 %", "p (Holm)", "tokens", "time")
    print(table(heads, rows, right=(1, 2, 3, 4, 5)))
    for note in found.notes:
        say(f"note: {note}")
    if found.command:
        print(f"\nto go on with it, or to see it again:\n{command_lines(found.command)}")
    for what, place in places.items():
        print(f"{what}: {visible(str(place))}")
