"""Writes the pages that are made from the code: docs/methods.md, verdicts.md, commands.md and python.md (`make docs`).

With `--check` nothing is written; the exit code is 1 where a page is not what the code says.
"""

from __future__ import annotations

import inspect
import json
import sys
import tomllib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import typer
from typer.testing import CliRunner

import sharpen
from sharpen.cards import Card, MeasureCard
from sharpen.cli import app
from sharpen.cli.recipes import own_parameters
from sharpen.measures import all_measures
from sharpen.methods import all_cards

HERE = Path(__file__).parent
REPRODUCTIONS = HERE.parent / "examples" / "reproductions"
NOTE = "<!-- Made by docs/generate.py; edit the code and run `make docs`. -->"


def methods_page() -> str:
    """Every card of a method or a measure, in tables and in full."""
    cards = all_cards()
    lines = [
        "# Methods",
        "",
        NOTE,
        "",
        "| method | shelf | claim | trains on | needs | told by | source | departures | oracle |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    for name, card in cards.items():
        cells = (
            f"[`{name}`](#{name})",
            _shelf(name, card),
            card.claim,
            card.trains_on or "nothing",
            ", ".join(card.needs) or "nothing",
            ", ".join(card.feedback) or "nothing",
            _source(card),
            f"[{len(card.departs)}](#{name})" if card.departs else "none",
            f"`{card.oracle}`" if card.oracle else "none",
        )
        lines.append(f"| {' | '.join(cells)} |")
    lines += [
        "",
        "*Claim* is the source's. *Trains on* is the kind of example; *needs* is what you must give; *told by* says which answers are",
        "good: a `verifier` (a program), a `judge` (the model itself, asked), `votes` among its samples, its own `confidence`, or given",
        "`labels`. The shelf says how far the method was checked: *sketched* runs, *faithful* was compared with its source and has an",
        "oracle, a test that fails where the formula is broken, *verdict* had its effect predicted first and measured then, with what came",
        'of it. `sharpen methods --search "no labels, have a judge"` finds by what you have; `sharpen run METHOD --help` shows the',
        "same parameters.",
    ]
    for name, card in cards.items():
        lines += ["", f"## {name}", "", f"{card.title}. {_source(card)}.", "", f"Claim: {card.claim}", ""]
        lines += _parameters(name)
        if card.departs:
            lines += ["", "Where it departs from the source:", "", *(f"- {one}" for one in card.departs)]
        if card.answers:
            lines += ["", "It also says how the result answers at test time."]
        if card.oracle:
            lines += ["", f"Its oracle: `{card.oracle}`."]
    return "\n".join([*lines, "", *_measures()]) + "\n"


def _measures() -> list[str]:
    """What is no recipe: the measures' cards, as a table and in full."""
    lines = [
        "# Measures",
        "",
        "A measure is given values and says figures of them; it samples, trains and promotes nothing. `sharpen measure NAME RUN` takes",
        "one of a run where its ledger holds the values; from Python it is `sharpen.measures.NAME.NAME`, whose docstring says the formula.",
        "",
        "| measure | shelf | what it says | of a run | source | departures | oracle |",
        "|---|---|---|---|---|---|---|",
    ]
    cards = all_measures()
    for name, card in cards.items():
        cells = (
            f"[`{name}`](#{name})",
            card.shelf,
            card.claim,
            "yes" if card.from_run else "no",
            _source(card),
            f"[{len(card.departs)}](#{name})" if card.departs else "none",
            f"`{card.oracle}`" if card.oracle else "none",
        )
        lines.append(f"| {' | '.join(cells)} |")
    for name, card in cards.items():
        lines += ["", f"## {name}", "", f"{card.title}. {_source(card)}.", "", card.claim, "", "It takes:", ""]
        lines += [*(f"- {one}" for one in card.takes), "", f"Of a run: {card.from_run or 'nothing, as no run holds these'}."]
        if card.departs:
            lines += ["", "Where it departs from the source:", "", *(f"- {one}" for one in card.departs)]
        if card.oracle:
            lines += ["", f"Its oracle: `{card.oracle}`."]
    return lines


def commands_page() -> str:
    """What each command's `--help` prints."""
    lines = ["# Commands", "", NOTE]
    names = [[], *([name] for name in _command_names())]
    for words in names:
        shown = CliRunner().invoke(app, [*words, "--help"], prog_name="sharpen", terminal_width=100, color=False)
        if shown.exit_code:
            raise SystemExit(f"sharpen {' '.join(words)} --help ended with {shown.exit_code}: {shown.output}")
        text = "\n".join(line.rstrip() for line in shown.stdout.strip("\n").splitlines())
        lines += ["", f"## {' '.join(['sharpen', *words])}", "", "```text", text, "```"]
    return "\n".join(lines) + "\n"


def python_page() -> str:
    """Every public name with the first line of its docstring."""
    lines = ["# Python", "", NOTE, "", "`from sharpen import NAME`; nothing heavy is loaded before a name is asked for.", ""]
    lines += ["| name | what you get | from |", "|---|---|---|"]
    for name in sharpen.__all__:
        value = vars(sharpen)[name] if name in vars(sharpen) else getattr(sharpen, name)
        first = (inspect.getdoc(value) or "").partition("\n")[0].replace("|", "\\|")
        if not first:
            raise SystemExit(f"sharpen.{name} has no docstring; give it one whose first line says what one gets")
        lines.append(f"| `{name}` | {first} | `{value.__module__}` |")
    return "\n".join(lines) + "\n"


def verdicts_page() -> str:
    """What was predicted of each method's claim, and what came of it."""
    lines = [
        "# Verdicts",
        "",
        NOTE,
        "",
        "A prediction is committed before its run, with sign, size, seeds and settings; pilot runs are named in it. *Yes* means that the",
        "95 % t-interval of the difference over the seeds lies on the side of 0 that the source claims; *no* that it lies on the other, or",
        "within 2 points of 0; else *inconclusive*. A verdict is about the claim on the model and task named here. Most were run on a",
        "laboratory model of 0.9 million weights, half of whose schooling was wrong on purpose: it says little about other models.",
        "`python examples/reproductions/reproduce.py NAME` runs one, `bbc_news.py` those on texts.",
        "",
        "| method | its source's claim | against | on | claimed | predicted | found (points, 95 % interval) | verdict | as predicted |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    for name, card in all_cards().items():
        if card.verdict is None:
            continue
        said = tomllib.loads((REPRODUCTIONS / "predictions" / f"{name}.toml").read_text("utf-8"))
        found = json.loads((REPRODUCTIONS / "results" / f"{name}.json").read_text("utf-8"))
        cells = (
            f"[{name}](methods.md#{name})",
            said["claim"],
            _arm(said),
            f"`{said['setting']['model']}`, `{said['setting']['task']}`",
            said["claimed"],
            f"{said['predicted']} {said['size']:g}",
            f"{found['difference']:+.1f} ({found['low']:+.1f} to {found['high']:+.1f}), {len(said['seeds'])} seeds",
            f"[{card.verdict}](../examples/reproductions/results/{name}.json)",
            "yes" if found["prediction_held"] else "no",
        )
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join([*lines, *_language_model_lines(), ""])


def _language_model_lines() -> list[str]:
    """What the methods on texts came to with a causal language model."""
    results = {
        path.stem.removesuffix("_lm"): json.loads(path.read_text("utf-8"))
        for path in (REPRODUCTIONS / "results").glob("*_lm.json")
    }
    setting = results["hast"]["setting"]  # the script has one for all
    lines = [
        "",
        "## With a causal language model",
        "",
        f"`python examples/reproductions/bbc_news.py --policy lm`: `{setting['model']}` on the first {setting['words']} words of "
        f"each of {setting['num_train']} articles,",
        f"measured on {setting['num_final']} others. It is set against itself untrained, and no prediction was committed for it.",
        "",
        "| method | untrained, by seed | after its rounds | difference (points, 95 % interval) |",
        "|---|---|---|---|",
    ]
    for name, found in sorted(results.items()):
        arms = [", ".join(f"{row['treatment'][arm]:.1f}" for row in found["seeds"]) for arm in ("untrained", "accuracy")]
        difference = f"{found['difference']:+.1f} ({found['low']:+.1f} to {found['high']:+.1f})"
        lines.append(f"| [{name}](methods.md#{name}) | {arms[0]} | {arms[1]} | {difference} |")
    return lines


PAGES = {"methods.md": methods_page, "verdicts.md": verdicts_page, "commands.md": commands_page, "python.md": python_page}


def stale() -> Iterator[str]:
    """Names of the pages that are not what the code says."""
    for name, page in PAGES.items():
        path = HERE / name
        if not path.exists() or path.read_text() != page():
            yield name


def main(*, check: bool) -> None:
    """Write the pages, or say which are stale."""
    if check:
        found = list(stale())
        raise SystemExit(f"not what the code says: {', '.join(found)}; run `make docs`" if found else 0)
    for name, page in PAGES.items():
        (HERE / name).write_text(page())


def _shelf(name: str, card: Card) -> str:
    if card.verdict is None:
        return card.shelf
    return f"verdict: [{card.verdict}](../examples/reproductions/results/{name}.json)"


def _arm(said: Mapping[str, Any]) -> str:  # Any: TOML
    """The baseline in words, with what it is set to apart from sizes and rates."""
    plain = ("num_", "method", "learning_rate", "temperature", "epochs", "rounds")
    own = [f"{key}={value}" for key, value in said["baseline"].items() if not key.startswith(plain)]
    return ", ".join([said["baseline"]["method"], *own])


def _source(card: Card | MeasureCard) -> str:
    return f"{card.paper}, [{card.arxiv}](https://arxiv.org/abs/{card.arxiv})" if card.arxiv else card.paper


def _parameters(name: str) -> list[str]:
    found = own_parameters(name)
    if not found:
        return ["It has no parameters."]
    words = [f"`{key}={one.default!r}`" if one.default is not None else f"`{key}=None`" for key, one in found.items()]
    return [f"Parameters: {', '.join(words)}."]


def _command_names() -> list[str]:
    group = typer.main.get_command(app)
    return list(group.commands)  # type: ignore[attr-defined]  # a group of commands


if __name__ == "__main__":
    main(check="--check" in sys.argv[1:])
