"""A sweep in Markdown, CSV, JSON and as a page with a picture of each setting's way."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from sharpen.compare.charts import curve_chart
from sharpen.compare.sweep import Swept
from sharpen.compare.tried import Tried
from sharpen.compare.written import csv_text, markdown_table, plain
from sharpen.report.charts import Scale
from sharpen.report.document import rendered, written
from sharpen.report.text import amount, duration, visible

__all__ = ["differing", "headline", "percent", "rung_words", "spent_words", "sweep_json", "write_sweep"]

_HEADS = ("method", "setting", "rungs", "gate", "best candidate", "spent", "taken")


def headline(found: Swept) -> str:
    """What was taken of each method, in one sentence; methods are not weighed against each other."""
    taken = [f"{one.name} with {differing(found, one)} ({percent(one.kept)})" for one in found.best.values()]
    return f"Taken by the gate split: {'; '.join(taken)}"


def differing(found: Swept, one: Tried) -> str:
    """A setting's parameters that are not the same in all settings of its method, in words."""
    others = [other.parameters for other in found.tried if other.name == one.name]
    told = {name: value for name, value in one.parameters.items() if any(other.get(name) != value for other in others)}
    return ", ".join(f"{name}={value}" for name, value in told.items()) or one.setting


def rung_words(found: Swept) -> Sequence[str]:
    """What was done in each rung, in words."""
    sizes = ["1 setting" if rung.num_settings == 1 else f"{rung.num_settings} settings" for rung in found.rungs]
    ends = [spent_words(found, rung.each) for rung in found.rungs]
    return [f"{size} of each method until each run has spent {end}" for size, end in zip(sizes, ends, strict=True)]


def spent_words(found: Swept, spent: float) -> str:
    """A part of the budget, with its unit."""
    return f"{amount(round(spent))} tokens" if found.budget.tokens is not None else duration(spent)


def write_sweep(found: Swept, folder: Path, *, command: str, after: str) -> Mapping[str, Path]:
    """Write `sweep.html`, `settings.md` and `settings.csv`; where they are, by what they are.

    Args:
        command: that repeats the sweep.
        after: that compares the settings which were taken.
    """
    texts = {
        "page": ("sweep.html", _page(found, command, after)),
        "markdown": ("settings.md", _markdown(found, command, after)),
        "table": ("settings.csv", csv_text(_HEADS, [_values(found, one) for one in found.tried])),
        "json": ("settings.json", json.dumps(sweep_json(found), indent=1, default=str) + "\n"),
    }
    return {what: written(text, folder / name) for what, (name, text) in texts.items()}


def sweep_json(found: Swept) -> Mapping[str, Any]:  # Any: JSON
    """Everything that the tables say, for programs."""
    return {
        "headline": headline(found),
        "budget": dict(found.budget.record()),
        "spent": found.spent,
        "seeds": list(found.seeds),
        "rungs": [vars(rung) for rung in found.rungs],
        "settings": [
            {
                **{name: value for name, value in vars(one).items() if name not in ("curves", "folders")},
                "taken": _taken(found, one),
                "folders": {str(seed): str(folder) for seed, folder in one.folders.items()},
            }
            for one in found.tried
        ],
    }


def _taken(found: Swept, one: Tried) -> bool:
    return found.best[one.name] is one


def percent(share: float | None) -> str:
    """An accuracy as people read it."""
    return "not tested" if share is None else f"{100 * share:.1f} %"


def _cells(found: Swept, one: Tried) -> tuple[str, ...]:
    taken = "taken" if _taken(found, one) else ""
    spent = spent_words(found, one.spent)
    return one.name, differing(found, one), str(one.rungs), percent(one.kept), percent(one.best), spent, taken


def _values(found: Swept, one: Tried) -> tuple[object, ...]:
    return one.name, one.setting, one.rungs, one.kept, one.best, one.spent, "taken" if _taken(found, one) else ""


def _markdown(found: Swept, command: str, after: str) -> str:
    seeds = ", ".join(map(str, found.seeds))
    parts = [
        f"# A sweep of {plain(', '.join(found.best))} on {plain(str(found.facts['task']['name']))}",
        f"{plain(headline(found))}. Seeds: {seeds}. Budget of all runs: {found.budget}; spent: {spent_words(found, found.spent)}.",
        "\n".join(f"{place}. {words}" for place, words in enumerate(rung_words(found), start=1)),
        markdown_table(_HEADS, [_cells(found, one) for one in found.tried]),
        "Of each method's parameters those are named in which its settings differ. The gate split chose; the final split was not "
        "read. What was chosen by a split stands too high on it: compare afresh.",
        f"```bash\n{command}\n{after}\n```",
    ]
    return "\n\n".join(parts) + "\n"


def _page(found: Swept, command: str, after: str) -> str:
    points = [point for one in found.tried for curve in one.curves for point in curve]
    scale = Scale.over([0.0, *(point.accuracy for point in points)])
    most = max((point.tokens for point in points), default=0)
    return rendered(
        "sweep.html",
        package="sharpen.compare",
        found=found,
        facts=found.facts,
        headline=headline(found),
        rungs=rung_words(found),
        spent=spent_words(found, found.spent),
        seeds=", ".join(map(str, found.seeds)),
        rows=[dict(zip(_HEADS, _cells(found, one), strict=True)) for one in found.tried],
        panels=[_panel(found, one, scale, most) for one in found.tried if any(one.curves)],
        ends=(f"{100 * scale.high:.0f} %", f"{100 * scale.low:.0f} %"),
        most=most,
        command=command,
        after=after,
    )


def _panel(found: Swept, one: Tried, scale: Scale, most: int) -> Mapping[str, Any]:
    name, taken = f"{one.name}, {differing(found, one)}", _taken(found, one)
    label = f"{visible(name)}: accuracy on the gate split by tokens; it ends at {percent(one.kept)}"
    role = "method" if taken else "control"
    chart = curve_chart(one.curves, most_tokens=most, scale=scale, role=role, label=label)
    return {"name": name, "end": percent(one.kept), "chart": chart, "taken": taken}
