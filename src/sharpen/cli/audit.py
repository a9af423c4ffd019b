"""`sharpen audit-verifier`: what a verifier accepts that it should not, and rejects that it should not."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

import typer

from sharpen.cli.flags import given_settings
from sharpen.cli.output import duration, say, say_json, table
from sharpen.cli.program import WORLD
from sharpen.cli.settings import read_settings
from sharpen.cli.tasks import make_cli_task
from sharpen.verifiers import audit_verifier

__all__ = ["audit"]


def audit(flags: Mapping[str, Any], *, max_prompts: int, as_json: bool) -> None:  # Any: as parsed
    """Print the audit of the task's verifier; exit code 1 where it is not sound.

    Raises:
        ValueError: no task or verifier is named.
        SharpenError: a file cannot be used, or the verifier cannot be started.
    """
    settings = read_settings(given_settings([], flags)).replace(check_targets=False)
    task = make_cli_task(settings)
    if task.verifier is None:
        raise ValueError(
            "name the verifier: --verifier number, choice, exact, pattern:REGEX, module:function or file.py:function"
        )
    prompts = [*task.train, *task.dev, *task.gate, *task.final]
    found = audit_verifier(task.verifier, prompts, max_prompts=max_prompts)
    if as_json:
        rows = [{**dataclasses.asdict(row), "passed": row.passed} for row in found.rows]
        say_json({**dataclasses.asdict(found), "rows": rows, "sound": found.sound, "sentence": found.sentence})
    else:
        rows_ = [
            (
                row.name,
                row.expected,
                f"{row.num_accepted:,}",
                f"{row.num_rejected:,}",
                f"{row.num_abstained:,}",
                "as expected" if row.passed else "NOT as expected",
            )
            for row in found.rows
        ]
        print(table(("planted", "should", "accepted", "rejected", "abstained", ""), rows_, right=(2, 3, 4)))
        say(f"\n{found.sentence}")
        say(
            f"answers were written as {found.form!r}; a verdict takes {duration(found.mean_s)}, at most {duration(found.max_s)}"
        )
        for reason, number in found.reasons.items():
            say(f"abstained {number:,} times: {reason}")
    if not found.sound:
        raise typer.Exit(WORLD)
