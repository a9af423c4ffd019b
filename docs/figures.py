"""Prints a run's figures as Markdown, and puts them into README.md between `<!-- quickstart figures -->` and `<!-- end -->`.

`python docs/figures.py runs/quickstart` prints and rewrites the block; with `--print` it prints alone.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

from sharpen.cli.output import count, duration
from sharpen.cli.settings import read_settings
from sharpen.report import Standing, findings
from sharpen.run import Run

README = Path(__file__).parent.parent / "README.md"
BEGIN, END = "<!-- quickstart figures -->", "<!-- end -->"


def figures(run: Run) -> str:
    """The run's headline, rounds, controls, machine, seed and command.

    Raises:
        ValueError: the run has not come to its end.
    """
    if not run.finished:
        raise ValueError(f"{run.folder} has not come to its end; run the same command again, then take its figures")
    return "\n".join([*_headline(run), "", *_rounds(run), "", *_standings(run), "", *_origin(run)])


def filled(readme: str, text: str) -> str:
    """The README with the text between the two marks.

    Raises:
        ValueError: it has not one block with these marks.
    """
    head, begin, rest = readme.partition(BEGIN)
    _, end, tail = rest.partition(END)
    if not begin or not end or BEGIN in rest:
        raise ValueError(f"the README needs one block from {BEGIN} to {END}")
    return f"{head}{BEGIN}\n{text}\n{END}{tail}"


def _headline(run: Run) -> Iterator[str]:
    found = findings(run)
    yield f"**{found.headline}.** {found.detail}"


def _rounds(run: Run) -> Iterator[str]:
    yield "| round | kept of sampled | the gate's decision |"
    yield "|---|---|---|"
    for one in run.rounds:
        name = "setup" if one.index < 0 else str(one.index + 1)
        kept = f"{count(one.accounts['kept'])} of {count(one.accounts['sampled'])}" if one.accounts else ""
        yield f"| {name} | {kept} | {_cell(one.decision.reason)} |"


def _standings(run: Run) -> Iterator[str]:
    yield "| on the final split | accuracy (95 % interval) | improved minus this (paired 95 % interval) |"
    yield "|---|---|---|"
    for one in findings(run).standings:
        yield f"| {_cell(one.name)} | {_estimate(one)} | {_versus(one)} |"


def _origin(run: Run) -> Iterator[str]:
    facts = run.facts
    machine, runtime, settings = facts["machine"], facts["runtime"], facts["settings"]
    sizes = [f"{number} {name}" for name, number in facts["task"]["sizes"].items() if number]
    seconds = sum(one.seconds for one in run.costs)
    tokens = sum(one.tokens for one in run.costs)
    yield (
        f"Prompts: {', '.join(sizes)}. Seed {facts['seed']}. {count(tokens)} tokens in {duration(seconds)} on "
        f"{machine['processor']}, {runtime['device']}, {runtime['dtype']}, {runtime['threads']} threads, Python {machine['python']}, "
        f"torch {facts['versions']['torch']}. The final split was read {run.final_reads} times."
    )
    if "settings" in settings:
        yield f"\nCommand: `{read_settings(settings['settings']).command}`"


def _estimate(one: Standing) -> str:
    return f"{one.estimate.text} ({one.estimate.interval_text})" if one.estimate else "no verdict"


def _versus(one: Standing) -> str:
    return f"{one.versus.text} ({one.versus.interval_text})" if one.versus else ""


def _cell(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|")


def main(words: list[str]) -> None:
    """Print the figures of the run directory that the words name, and rewrite the README's block."""
    folders = [word for word in words if not word.startswith("-")]
    if len(folders) != 1:
        raise SystemExit("name one run directory: python docs/figures.py runs/quickstart")
    run = Run.open(folders[0])
    text = figures(run)
    run.close()
    print(text)
    if "--print" not in words:
        README.write_text(filled(README.read_text(), text))


if __name__ == "__main__":
    main(sys.argv[1:])
