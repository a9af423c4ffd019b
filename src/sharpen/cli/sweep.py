"""`sharpen sweep`: settings of methods under one budget; which was best, and the comparison that tests them afresh."""

from __future__ import annotations

import dataclasses
import shlex
import sys
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from sharpen.cli.contenders import Asked
from sharpen.cli.field import Field, Watching, prepared
from sharpen.cli.output import command_lines, say, say_json, table, visible
from sharpen.cli.question import Question, read_question
from sharpen.compare.sweep import Sweep, Swept
from sharpen.compare.sweep_page import differing, headline, percent, rung_words, spent_words, sweep_json, write_sweep
from sharpen.compare.tried import Tried
from sharpen.digest import digest
from sharpen.report.document import written
from sharpen.strict_yaml import written_yaml

__all__ = ["sweep"]

_COMPARISON = "compare.yaml"
_CUT = 3  # one of three goes on, as in Hyperband (Li et al., 2017, arXiv 1603.06560)


def sweep(
    words: Sequence[str],
    flags: Mapping[str, Any],  # Any: as parsed
    own: Mapping[str, object],
    *,
    num_settings: int | None,
    cut: int | None,
    quiet: bool,
    as_json: bool,
) -> None:
    """Run, or go on with, a sweep. Write and print what came of it, and the file of a comparison of what was taken.

    Args:
        own: flags that are no settings of a run, empty where they were not given.
        num_settings: of each method, drawn from all combinations of the grid; None takes every one.
        cut: one setting of so many goes on from rung to rung; None is 3.

    Raises:
        ValueError: a word or setting is wrong.
        SharpenError: the world is not as a run needs it.
        KeyboardInterrupt: Ctrl-C; what was finished is on file.
    """
    asked = read_question(words, flags, {"num_seeds": 1, **{name: value for name, value in own.items() if value}})
    question = _placed(asked, num_settings, cut)
    file = sys.stderr if as_json else sys.stdout
    budget = question.settings.budget
    assert budget is not None
    field = _drawn(prepared(question, budget=budget, controls=False), num_settings, seed=question.settings.seed)
    made = Sweep(
        arms=field.arms,
        contenders=field.contenders,
        seeds=question.seeds,
        budget=budget,
        watch=Watching(arms=field.arms, quiet=quiet, file=file),
        cut=cut or _CUT,
    )
    if not quiet:
        names = ", ".join(one.name for one in field.contenders)
        say(f"{names} on {field.arms.task.name}: {made.num_settings} settings each, {budget} for all runs together", file=file)
        say(f"sweep: {question.folder}", file=file)
    found = made.found()
    field.account.close()
    command = _command(question, num_settings, cut)
    path = written(_comparison(question, found), question.folder / _COMPARISON)
    after = shlex.join(["sharpen", "compare", str(path)])
    places = {what: str(place) for what, place in write_sweep(found, question.folder, command=command, after=after).items()}
    if as_json:
        say_json({**sweep_json(found), "places": places, "compare": after})
    else:
        _tell(found, places, after)


def _placed(question: Question, num_settings: int | None, cut: int | None) -> Question:
    """The question with a folder of its own, where none was named: a sweep's is not a comparison's."""
    if question.settings.out is not None:
        return question
    told = [(one.name, one.method, dict(one.parameters)) for one in question.asked]
    name = question.folder.name.replace("compare-", "sweep-", 1)
    key = digest("sweep", told, dict(question.grid), dict(question.settings.flags()), question.num_seeds, num_settings, cut)[:6]
    return dataclasses.replace(question, settings=question.settings.replace(out=f"runs/{name}-{key}"))


def _drawn(field: Field, num_settings: int | None, *, seed: int) -> Field:
    """The field with so many settings of each method, at the same places of their lists where these are equally long."""
    if num_settings is None:
        return field
    contenders = []
    for one in field.contenders:
        if len(one.settings) < num_settings:
            raise ValueError(
                f"--num-settings is {num_settings}, and {one.name} has {len(one.settings)}; name more values with --tune"
            )
        places = np.random.default_rng([seed, len(one.settings)]).choice(len(one.settings), num_settings, replace=False)
        contenders.append(dataclasses.replace(one, settings=tuple(one.settings[place] for place in sorted(places))))
    return dataclasses.replace(field, contenders=tuple(contenders))


def _command(question: Question, num_settings: int | None, cut: int | None) -> str:
    words = shlex.split(question.command)
    words[1] = "sweep"
    words += ["--num-settings", str(num_settings)] if num_settings is not None else []
    words += ["--cut", str(cut)] if cut is not None else []
    return shlex.join(words)


def _comparison(question: Question, found: Swept) -> str:
    """The file of a comparison of the settings taken, with seeds that the sweep did not use."""
    settings = dict(question.settings.flags())
    for name in ("out", "budget_tokens", "budget_seconds", "seed", "controls"):
        settings.pop(name, None)
    each = found.rungs[-1].each
    settings["seed"] = max(found.seeds) + 1
    settings["out"] = str(question.folder / "comparison")
    if found.budget.tokens is not None:
        settings["budget_tokens"] = max(1, round(each))
    else:
        settings["budget_seconds"] = each
    lines = [
        f"# sharpen compare {question.folder / _COMPARISON}",
        "# The settings that a sweep took, with seeds that it did not use.",
    ]
    lines += [f"{name}: {_value(value)}" for name, value in settings.items()]
    lines += ["num_seeds: 3", "methods:"]
    asked = {one.name: one for one in question.asked}
    lines += [f"  {written_yaml(name)}: {_value(_parameters(asked[name], one))}" for name, one in found.best.items()]
    return "\n".join(lines) + "\n"


def _parameters(asked: Asked, one: Tried) -> Mapping[str, object]:
    named = {} if asked.method == one.name else {"method": asked.method}
    return {**named, **one.parameters}


def _value(value: object) -> str:
    return written_yaml(dict(value) if isinstance(value, Mapping) else value)


def _tell(found: Swept, places: Mapping[str, str], after: str) -> None:
    say()
    say(f"{headline(found)}.")
    say(f"Spent: {spent_words(found, found.spent)}, the budget being {found.budget}, in {len(found.rungs)} rungs:")
    for number, words in enumerate(rung_words(found), start=1):
        say(f"  {number}. {words}")
    say()
    rows = [
        (one.name, differing(found, one), str(one.rungs), percent(one.kept), percent(one.best), spent_words(found, one.spent))
        for one in found.tried
    ]
    print(table(("method", "setting", "rungs", "gate", "best candidate", "spent"), rows, right=(2, 3, 4, 5)))
    say()
    say(
        "The gate split chose, so these figures are too high; this tests the settings taken on the final split, with fresh seeds:"
    )
    print(command_lines(after))
    for what, place in places.items():
        print(f"{what}: {visible(str(place))}")
