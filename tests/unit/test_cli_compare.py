"""`sharpen compare`: words and files say the same, mistakes are one sentence, and a small comparison runs to its page."""

from __future__ import annotations

import json
import shlex
from pathlib import Path

import pytest

from cli_runs import TINY, CliRun, sharpen
from sharpen.cli.contenders import Asked, asked_in_file, asked_in_words, read_grid, told
from sharpen.cli.question import read_question
from sharpen.cli.settings import kinds

NONE = dict.fromkeys(kinds())
SMALL = f"{TINY} --num-train 40 --num-gate 60 --num-final 40"


def question(*words: str, own: dict[str, object] | None = None, **flags: object):  # type: ignore[no-untyped-def]
    return read_question(words, {**NONE, "budget_tokens": "100", **flags}, own or {})


def test_words_are_methods_with_parameters_and_names() -> None:
    words = ["rft", "rft,num-samples=4,temperature=0.7", "dr=grpo,scale=none", "mine.py:agreeing,num_samples=2", "placebo"]
    found = asked_in_words(words)
    assert [(one.name, one.method) for one in found] == [
        ("rft", "rft"),
        ("rft", "rft"),
        ("dr", "grpo"),
        ("agreeing", "mine.py:agreeing"),
        ("placebo", "sharpen.compare.controls:placebo"),
    ]
    assert found[1].parameters == {"num_samples": "4", "temperature": "0.7"}
    assert [one.is_control for one in found] == [False] * 4 + [True]
    assert asked_in_words(list(told(found))) == found


def test_a_file_says_the_same_as_words(tmp_path: Path) -> None:
    path = tmp_path / "arena.yaml"
    path.write_text(
        "model: tiny\ntask: tiny\nnum_train: 40\nbudget_tokens: 100\nnum_seeds: 2\ntune: {learning_rate: [1e-4, 3e-4]}\n"
        "methods:\n  rft: {num_samples: 4}\n  dr: [{method: grpo, scale: none}, {method: grpo, scale: none, num_steps: 5}]\n  placebo:\n"
    )
    written = question(str(path), "hast", budget_tokens=None)
    assert [(one.name, one.method) for one in written.asked] == [
        ("rft", "rft"),
        ("dr", "grpo"),
        ("dr", "grpo"),
        ("placebo", "sharpen.compare.controls:placebo"),
        ("hast", "hast"),
    ]
    assert written.asked[2].parameters == {"scale": "none", "num_steps": 5}
    assert (written.num_seeds, written.settings.num_train, written.settings.budget_tokens) == (2, 40, 100)
    assert written.grid == {"learning_rate": ("0.0001", "0.0003")}
    over = question(str(path), budget_tokens="7", own={"num_seeds": 5, "tune": ["epochs=1,2"]})
    assert (over.num_seeds, over.settings.budget_tokens, over.grid) == (5, 7, {"epochs": ("1", "2")})


def test_the_command_asks_for_the_same_again() -> None:
    asked = question(
        "rft,num_samples=4",
        "dr=grpo,scale=none",
        own={"num_seeds": 4, "tune": ["learning_rate=1e-4,3e-4"], "max_samples": 6, "keep_weights": True},
        model="tiny",
        task="tiny",
        num_gate="60",
        seed="3",
    )
    words = shlex.split(asked.command)
    assert words[:4] == ["sharpen", "compare", "rft,num_samples=4", "dr=grpo,scale=none"]
    flags = dict(zip(words[4::2], [*words[5::2], None], strict=False))
    assert flags["--tune"] == "learning_rate=1e-4,3e-4"
    assert flags["--num-seeds"] == "4"
    assert flags["--budget-tokens"] == "100"
    assert words[-1] == "--keep-weights"
    assert "--max-samples" in words


def test_the_folder_is_the_same_for_more_methods_seeds_and_budget_and_another_for_another_task() -> None:
    one = question("rft", model="tiny", task="tiny")
    more = question(
        "rft", "grpo", model="tiny", task="tiny", budget_tokens="200", seed="5", own={"num_seeds": 9}, controls=False
    )
    assert one.folder == more.folder
    assert one.folder.parent == Path("runs")
    assert one.folder != question("rft", model="tiny", task="tiny", num_gate="50").folder
    assert question("rft", out="here").folder == Path("here")


@pytest.mark.parametrize(
    ("words", "flags", "own", "said"),
    [
        (["=rft"], {}, {}, "names no method"),
        (["mine=rftt,num_samples=2"], {}, {}, "did you mean 'rft'"),
        (["rft", "num_prompts=80"], {}, {}, "behind its method, METHOD,num_prompts=VALUE"),
        (["rft,"], {}, {}, "is no parameter=value"),
        (["rft,a=1,a=2"], {}, {}, "a is given twice"),
        (["rft"], {"budget_tokens": None}, {}, "needs an equal budget"),
        (["rft"], {"budget_seconds": "5"}, {}, "exactly one of the two"),
        (["rft"], {}, {"tune": ["learning_rate"]}, "is no name=value,value"),
        (["rft"], {}, {"tune": ["a=1", "a=2"]}, "--tune a is given twice"),
        (["rft"], {}, {"num_seeds": "many"}, "num_seeds is 'many'"),
        (["rft"], {}, {"max_samples": 1}, "max_samples is 1; it is at least 2"),
    ],
)
def test_what_says_nothing_is_refused(words: list[str], flags: dict[str, object], own: dict[str, object], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        question(*words, own=own, **flags)


@pytest.mark.parametrize("methods", [None, {}, ["rft"], {"rft": 3}, {"rft": ["a"]}])
def test_methods_of_a_file_that_are_no_settings_are_refused(methods: object) -> None:
    with pytest.raises(ValueError, match="methods"):
        asked_in_file(methods)


def test_a_grid_is_names_with_values() -> None:
    assert read_grid(["epochs=1,2,3", "learning-rate=1e-4"]) == {"epochs": ("1", "2", "3"), "learning_rate": ("1e-4",)}
    assert asked_in_file({"x": {"method": "rft", "num-samples": 2}}) == [
        Asked(name="x", method="rft", parameters={"num_samples": 2})
    ]


@pytest.mark.parametrize(
    ("command", "code", "said"),
    [
        ("compare rft --model tiny --task tiny", 2, "needs an equal budget"),
        ("compare rft --budget-tokens 100 --task tiny", 2, "name a model"),
        ("compare rft --budget-tokens 100 --model tiny", 2, "name a task"),
        (f"compare rtf --budget-tokens 100 {TINY}", 2, "did you mean 'rft'?"),
        (f"compare rft,num_sample=3 --budget-tokens 100 {TINY}", 2, "did you mean 'num_samples'?"),
        (
            f"compare rft grpo,learning_rate=1 grpo,learning_rate=2 --budget-tokens 100 {SMALL} --no-controls",
            2,
            "numbers of settings",
        ),
        (f"compare a=rft a=grpo --budget-tokens 100 {SMALL}", 2, "name each row apart"),
        (f"compare rft --tune beta=1,2 --budget-tokens 100 {SMALL}", 2, "no parameter 'beta' to tune"),
        (f"compare rft --budget-tokens 100 --budget-seconds 3 {TINY}", 2, "exactly one of the two"),
        (f"plan rft --budget-tokens 100 {TINY}", 2, "foresees rounds"),
        (f"run rft --budget-tokens 0 {TINY}", 2, "at least 1"),
    ],
)
def test_a_mistake_is_one_sentence(command: str, code: int, said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    called = sharpen(command)
    assert called.code == code, called.err
    assert said in " ".join(called.err.split())
    assert not (tmp_path / "runs").exists()


def test_run_directories_and_methods_do_not_mix(cli_run: CliRun, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    mixed = sharpen(f"compare {cli_run.folder} grpo")
    assert mixed.code == 2
    assert "not both" in " ".join(mixed.err.split())
    flagged = sharpen(f"compare {cli_run.folder} --budget-tokens 5")
    assert flagged.code == 2
    assert "--budget-tokens does not go with run directories" in " ".join(flagged.err.split())


def test_a_run_directory_is_compared_with_its_own_controls(cli_run: CliRun, tmp_path: Path) -> None:
    called = sharpen(f"compare {cli_run.folder} --out {tmp_path / 'c'} --json")
    assert called.code == 0, called.err
    found = json.loads(called.out)
    assert [row["role"] for row in found["rows"]][:2] == ["base", "method"]
    assert "placebo of rft" in [row["name"] for row in found["rows"]]
    assert Path(found["places"]["page"]).read_text().startswith("<!DOCTYPE html>")


@pytest.mark.slow
def test_a_comparison_runs_says_where_it_is_and_the_same_command_does_nothing_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    words = f"rft,num_prompts=16,num_samples=4 --budget-tokens 800 --tune learning_rate=3e-4,1e-3 --num-seeds 1 {SMALL} --max-samples 2"
    called = sharpen(f"compare {words}")
    assert called.code == 0, called.err
    lines = called.out.splitlines()
    assert lines[0] == "rft, sft, placebo on tiny, 800 tokens each, 9 runs at most"
    assert any(line.startswith("run 2 of 9: rft, ") and "left" in line for line in lines)
    assert all(len(line) <= 100 or line.lstrip().startswith("runs/") for line in lines)
    table = lines[next(place for place, line in enumerate(lines) if line.startswith("on the final split")) :]
    assert [line.split()[0] for line in table[1:8]] == [
        "base",
        "rft",
        "sft",
        "placebo",
        "prompting",
        "self_consistency",
        "best_of_n",
    ]
    again = sharpen(f"compare {words} --json")
    assert again.code == 0
    assert "run 1 of" not in again.err
    found = json.loads(again.out)
    assert [row["name"] for row in found["rows"]] == [
        "base",
        "rft",
        "sft",
        "placebo",
        "prompting",
        "self_consistency",
        "best_of_n",
    ]
    tried = {row["name"]: [one["chosen"] for one in row["settings_tried"]] for row in found["rows"]}
    assert all(sorted(tried[name]) == [False, True] for name in ("rft", "sft", "placebo"))
    assert Path(found["places"]["page"]).exists()
    arm = Path(found["rows"][1]["runs"][0]["folder"])
    shown = sharpen(f"show {arm} --json")
    command = json.loads(shown.out)["facts"]["settings"]["command"]
    more = sharpen(command.removeprefix("sharpen ").replace("--budget-tokens 800", "--budget-tokens 1600") + " --json")
    assert more.code == 0, more.err
    assert len(json.loads(more.out)["rounds"]) > len(json.loads(shown.out)["rounds"])
