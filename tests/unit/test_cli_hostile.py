"""What files, models and runs say is printed, never obeyed: no command lets a control or direction character through."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from test_report import poisoned_run

from cli_runs import TINY, sharpen
from sharpen.run import Run

HOSTILE = "a\x1b]0;pwned\x07\x1b[2J\x9b31m\u202eb\u2066\u200b\r\x08<b>[red]c[/red]"
OBEYED = re.compile("[\x00-\x09\x0b-\x1f\x7f-\x9f\u200b-\u200f\u202a-\u202e\u2060-\u2069\ufeff]")


@pytest.fixture(scope="module")
def poisoned(tiny_run: Run, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return poisoned_run(tiny_run, tmp_path_factory.mktemp("poisoned") / "run").folder


@pytest.mark.parametrize("command", ["show {}", "show {} --json", "report {}", "report {} --json", "measure calibration {}", "measure calibration {} --json", "compare {} {}"])  # fmt: skip
def test_a_hostile_run_is_told_without_a_character_that_a_terminal_obeys(command: str, poisoned: Path) -> None:
    called = sharpen(command.replace("{}", str(poisoned)))
    assert OBEYED.search(called.out + called.err) is None
    if command.startswith("show"):
        assert "pwned" in called.out
    if command.endswith("--json") and called.code == 0:
        json.loads(called.out)


@pytest.fixture
def rows(tmp_path: Path) -> Path:
    path = tmp_path / "rows.jsonl"
    lines = [{"prompt": f"{HOSTILE} {n}", "target": f"{HOSTILE} {n}", "level": HOSTILE} for n in range(30)]
    path.write_text("".join(f"{json.dumps(line)}\n" for line in lines))
    return path


@pytest.mark.parametrize(
    "command",
    [
        "audit-verifier --task {} --verifier number",
        "audit-verifier --task {} --verifier exact",
        "audit-verifier --task {} --verifier exact --json",
        "audit-verifier --task {} --verifier exact --columns prompt=level",
        "audit-verifier --task {} --verifier exact --columns prompt=missing",
        f"run rft {TINY} --task {{}} --verifier number --out {{}}.run",
        f"run rft {TINY} --task {{}} --verifier nothing --out {{}}.run",
        "run \x1b[2Jrft --model tiny --task tiny",
        "methods \x1b[2J",
        "show \x1b[2J",
    ],
)
def test_hostile_rows_and_words_are_told_without_a_character_that_a_terminal_obeys(command: str, rows: Path) -> None:
    called = sharpen(command.replace("--task tiny ", "", 1).replace("{}", str(rows)) if "{}" in command else command)
    assert called.out + called.err
    assert OBEYED.search(called.out + called.err) is None
