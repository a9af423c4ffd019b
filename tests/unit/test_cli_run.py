"""`sharpen run` on the tiny world: real runs, read back; every mistake as one sentence with its exit code."""

from __future__ import annotations

import functools
import json
import re
import shlex
import shutil
import signal
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest

from cli_runs import TINY, CliRun, run_cli, sharpen
from sharpen.ledger import Ledger
from sharpen.models.cache import cache_folder
from sharpen.run import Run
from sharpen.runtime.tiny import tiny_folder

SMALL = "--num-train 48 --num-gate 20 --num-final 20 --num-prompts 48 --num-samples 4 --rounds 1 --no-controls"


def rows_of(folder: Path) -> int:
    with sqlite3.connect(f"file:{folder / 'ledger.sqlite'}?mode=ro", uri=True) as connection:
        return int(connection.execute("SELECT count(*) FROM entry").fetchone()[0])


def copied(cli_run: CliRun, folder: Path) -> str:
    """The command of the shared run, on a copy of its folder."""
    shutil.copytree(cli_run.folder, folder)
    return cli_run.command.replace(str(cli_run.folder), str(folder))


def words(folder: Path, rows: list[dict[str, object]], name: str = "words.jsonl") -> Path:
    path = folder / name
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path


def sixty(folder: Path, **changes: object) -> Path:
    """Sixty prompts whose target is the prompt in capitals."""
    names = [f"{a}{b}{c}" for a in "abc" for b in "defgh" for c in "ijkl"]
    return words(folder, [{"prompt": name, "target": name.upper(), **changes} for name in names])


def test_a_run_improves_the_tiny_model_and_says_where_all_lies(cli_run: CliRun) -> None:
    run = Run.open(cli_run.folder)
    assert run.finished
    assert [one.decision.promote for one in run.rounds] == [True, False]
    out = cli_run.called.out
    assert "Held-out accuracy rose from" in out
    assert "It beats:" in out
    assert "<|user|>" in out
    assert "round 1: held-out" in out
    plan = r"memory: up to [\d.]+ [MG]B \(weights 1 MB, .* (activations|keys and values in sampling) [\d.]+ [MG]B\), and up to [\d.]+ [MG]B of freed blocks beside; [\d.]+ [MG]B is free"
    assert re.search(plan, " ".join(out.split()))
    assert re.search(
        r"^time in the model: round 1 [\d.]+ s, round 2 [\d.]+ s, final figures [\d.]+ s, controls", out, re.MULTILINE
    )
    assert "before wrong" in out
    for name in ("report", "improved model", "training data", "run directory"):
        place = next(line for line in out.splitlines() if line.startswith(f"{name}: ")).partition(": ")[2]
        assert Path(place).exists()
    assert (cli_run.folder / f"model-{run.best_id[:8]}" / "model.safetensors").exists()
    run.close()


def test_piped_output_is_plain_and_narrow(cli_run: CliRun) -> None:
    assert cli_run.called.err == ""
    for line in cli_run.called.out.splitlines():
        assert "\x1b" not in line
        assert "\r" not in line
        assert len(line) <= 100 or str(cli_run.folder) in line


def test_the_run_records_its_command_and_where_the_model_came_from(cli_run: CliRun) -> None:
    run = Run.open(cli_run.folder)
    settings = run.facts["settings"]
    asked = set(shlex.split(cli_run.command))
    assert set(shlex.split(settings["command"])) == asked | {"sharpen"}
    assert settings["parameters"] == {"learning_rate": 3e-4, "num_prompts": 96, "num_samples": 4}
    assert settings["model"]["spec"] == "tiny"
    assert settings["model"]["provenance"]["source"] == "tiny"
    assert settings["model"]["digest"] == run.base
    run.close()


def test_the_same_command_does_no_work_and_says_the_same(cli_run: CliRun, tmp_path: Path) -> None:
    command = copied(cli_run, tmp_path / "again")
    before = rows_of(tmp_path / "again")
    called = sharpen(command)
    assert called.code == 0
    assert rows_of(tmp_path / "again") == before
    answers = cli_run.called.out[cli_run.called.out.index("Held-out accuracy") :]
    assert answers.replace(str(cli_run.folder), str(tmp_path / "again")) in called.out


def test_more_rounds_go_on_and_sample_nothing_again(cli_run: CliRun, tmp_path: Path) -> None:
    command = copied(cli_run, tmp_path / "on").replace("--rounds 2", "--rounds 3")
    sampled = {one.round: one.tokens for one in Run.open(tmp_path / "on").costs if one.stage == "completions"}
    assert sharpen(f"{command} --quiet").code == 0
    run = Run.open(tmp_path / "on")
    after = {one.round: one.tokens for one in run.costs if one.stage == "completions"}
    assert len(run.rounds) == 3
    assert {index: after[index] for index in sampled} == sampled
    assert set(after) - set(sampled) == {2}
    run.close()


def test_json_is_for_programs(cli_run: CliRun, tmp_path: Path) -> None:
    called = sharpen(f"{copied(cli_run, tmp_path / 'json')} --json")
    told = json.loads(called.out)
    assert told["finished"] is True
    assert [one["promoted"] for one in told["rounds"]] == [True, False]
    assert {one["role"] for one in told["final"]} == {"base", "improved", "control"}
    assert Path(told["places"]["report"]).exists()
    assert "round 1: held-out" in called.err


def test_quiet_says_results_alone(cli_run: CliRun, tmp_path: Path) -> None:
    called = sharpen(f"{copied(cli_run, tmp_path / 'quiet')} --quiet")
    assert "round 1: " not in called.out
    assert called.out.lstrip().startswith("Held-out accuracy rose")


def test_a_settings_file_is_the_same_run(cli_run: CliRun, tmp_path: Path) -> None:
    copied(cli_run, tmp_path / "file")
    path = tmp_path / "settings.yaml"
    path.write_text(
        f"method: rft\nmodel: tiny\ntask: tiny\ndevice: cpu\ndtype: float32\nnum_train: 128\nnum_gate: 60\nnum_final: 60\n"
        f"num_prompts: 1\nnum_samples: 4\nlearning_rate: 3e-4\nrounds: 2\nout: {tmp_path / 'file'}\n",
        encoding="utf-8",
    )
    before = rows_of(tmp_path / "file")
    assert sharpen(f"run {path} num_prompts=96 --quiet").code == 0
    assert rows_of(tmp_path / "file") == before


def test_a_started_run_keeps_its_threads_and_dtype(cli_run: CliRun, tmp_path: Path) -> None:
    command = copied(cli_run, tmp_path / "kept")
    before = rows_of(tmp_path / "kept")
    threads = Run.open(tmp_path / "kept").facts["runtime"]["threads"]
    called = sharpen(f"{command.replace('--dtype float32', '--dtype bfloat16')} --threads {threads + 1} --quiet")
    assert called.code == 0
    assert "was started with dtype float32 and goes on so, not with bfloat16" in " ".join(called.err.split())
    assert f"with threads {threads} and goes on so, not with {threads + 1}" in " ".join(called.err.split())
    assert rows_of(tmp_path / "kept") == before


def test_the_folder_is_named_by_what_was_asked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for _ in range(2):
        assert sharpen(f"run self_consistency {TINY} --num-train 8 --num-gate 0 --num-final 10 --no-controls --quiet").code == 0
    (folder,) = (tmp_path / "runs").iterdir()
    assert folder.name.startswith("self_consistency-tiny-")


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_ctrl_c_and_an_asked_end_are_safe_and_the_same_command_goes_on(
    number: signal.Signals, code: int, tmp_path: Path
) -> None:
    command = f"run rft {TINY} {SMALL.replace('--rounds 1', '--rounds 2')} --out {tmp_path / 'run'}"
    program = [sys.executable, "-c", "from sharpen.cli import app; app()", *shlex.split(command)]
    heed = functools.partial(signal.signal, number, signal.SIG_DFL)  # a job in the background is born deaf to Ctrl-C
    with subprocess.Popen(program, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, preexec_fn=heed) as process:
        assert process.stdout is not None
        for line in process.stdout:
            if "sampled" in line:
                process.send_signal(number)
                break
        _, err = process.communicate(timeout=120)
    assert process.returncode == code
    assert "the same command goes on" in err
    assert "Traceback" not in err
    tokens = sum(one.tokens for one in Run.open(tmp_path / "run").costs if one.stage == "completions" and one.round == 0)
    assert sharpen(f"{command} --quiet").code == 0
    run = Run.open(tmp_path / "run")
    assert sum(one.tokens for one in run.costs if one.stage == "completions" and one.round == 0) == tokens
    assert run.finished
    run.close()


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ("run", "Missing argument"),
        ("rnu rft", "No such command 'rnu'"),
        (f"run rtf {TINY}", "there is no method 'rtf'; did you mean 'rft'?"),
        (f"run rft {TINY} --num-sample 4", "rft has no parameter of that name; did you mean 'num_samples'?"),
        (f"run rft {TINY} --num-gat 4", "did you mean 'num_gate'?"),
        (f"run rft {TINY} --num-samples few", "num_samples is 'few'; it is a whole number"),
        (f"run rft {TINY} --seed 1 --seed=2", "--seed is given twice; keep one"),
        (f"run rft {TINY} --controls --no-controls", "--controls is given twice; keep one"),
        (
            "run rft --model tiny --task nowhere",
            "there is no file 'nowhere'; write rg:nowhere for the generator of reasoning-gym",
        ),
        (f"run rft {TINY} --rounds 0", "rounds is 0; it is at least 1"),
        (f"run rft {TINY} --level 2", "level is 2.0; it lies between 0 and 1"),
        (f"run rft {TINY} --seed one", "seed is 'one'; it is a whole number"),
        (f"run rft {TINY} --max-new-tokens 0", "max_new_tokens is 0; it is at least 1"),
        (f"run rft {TINY} --second-verifier number", "--second-verifier is of a second task, and none is named; add --second"),
        (f"run rft {TINY} --num-second 5", "--num-second is of a second task, and none is named"),
        (f"run rft {TINY} --task-args a=1", "(`--task-args`) does not go with the tiny task"),
        (f"run rft {TINY} --raw", "(`--raw`) does not go with the tiny task"),
        (f"run rft {TINY} --second rg:chain_sum --second-columns prompt=x", "does not go with a generated task (rg:chain_sum)"),
        (f"run rft {TINY} --columns prompt=x", "(`--columns`) does not go with the tiny task"),
        (f"run rft {TINY} --verifier numbr", "there is no verifier 'numbr'; did you mean 'number'"),
        (f"run rft {TINY} --threads 0", "threads is 0; it is at least 1"),
        ("run rft --task tiny", "name a model: --model"),
        ("run rft --model tiny", "name a task: --task"),
        ("run rft --model tiny --task rg:chain_summ", "did you mean"),
        ("run rft --model tiny --task rg:chain_sum --task-args min_digit=2 --num-train 9", "min_digit"),
        ("run rft --model ./nowhere --task tiny", "there is no folder"),
        ("run rft --model tiny --task nowhere.jsonl", "nowhere.jsonl"),
        ("run nowhere.yaml", "cannot read the settings file nowhere.yaml"),
        ("run mine.py:recipe --model tiny --task tiny", "there is no file 'mine.py'"),
    ],
)
def test_mistakes_are_one_sentence(arguments: str, said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    called = sharpen(arguments)
    assert said in " ".join(called.err.split())
    assert called.code == (1 if "nowhere" in arguments else 2)
    assert "Traceback" not in called.err
    assert called.out == ""
    assert not (tmp_path / "runs").exists()


def test_debug_shows_where(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="there is no method"):
        sharpen(f"run rtf {TINY} --debug")


@pytest.mark.parametrize(
    ("text", "flags", "said"),
    [
        ('{"prompt": "a", "target": "A"}\n{"prompt": \n', "", "line 2"),
        ('{"question": "a", "target": "A"}\n', "", "columns={'prompt': 'question'}"),
        ('{"prompt": "a", "target": "A"}\n', "--columns target=answer", "has no column 'answer'"),
        ("", "", "holds no rows"),
        ('{"prompt": "a", "target": "A", "id": 1}\n{"prompt": "b", "target": "B", "id": 1}\n', "", "id '1' is that of"),
        ('{"prompt": "a"}\n{"prompt": "b"}\n', "", "has no target to check answers against"),
    ],
)
def test_bad_data_is_one_sentence_with_its_line(text: str, flags: str, said: str, tmp_path: Path) -> None:
    path = tmp_path / "words.jsonl"
    path.write_text(text, encoding="utf-8")
    called = sharpen(f"run rft --model tiny --task {path} --verifier exact {flags} --out {tmp_path / 'run'}")
    assert said in " ".join(called.err.split())
    assert called.code == 1
    assert not (tmp_path / "run").exists()


def test_a_target_that_the_verifier_rejects_is_told(tmp_path: Path) -> None:
    path = words(tmp_path, [{"prompt": f"{n}", "target": "four" if n == 3 else f"{n}"} for n in range(40)])
    flags = f"--model tiny --task {path} --verifier number --num-gate 5 --num-final 5 --out {tmp_path / 'run'}"
    called = sharpen(f"run rft {flags}")
    told = " ".join(called.err.split())
    assert "1 target is rejected by number(" in told
    assert "words.jsonl, line 4: it" in told
    assert "'four'" in called.err
    assert called.code == 1
    assert "--no-check-targets" in called.err


def test_train_and_held_out_prompts_must_differ(tmp_path: Path) -> None:
    held_out = words(tmp_path, [{"prompt": "adi", "target": "ADI"}], "held.jsonl")
    called = sharpen(f"run rft --model tiny --task {sixty(tmp_path)} --held-out {held_out} --verifier exact")
    assert "is also in the training rows" in " ".join(called.err.split())
    assert called.code == 1


def test_prompts_that_do_not_fit_are_refused_or_counted(tmp_path: Path) -> None:
    path = sixty(tmp_path)
    with path.open("a", encoding="utf-8") as file:
        file.write(json.dumps({"prompt": "a" * 400, "target": "A"}) + "\n")
    command = f"run rft --model tiny --task {path} --verifier exact --max-new-tokens 6 {SMALL} --out {tmp_path / 'run'}"
    command = command.replace("--num-train 48", "--num-train 21")
    called = sharpen(command)
    assert "do not fit" in " ".join(called.err.split())
    assert "--overlong drop" in " ".join(called.err.split())
    assert called.code == 1
    called = sharpen(f"{command} --overlong drop --quiet")
    assert called.code == 0, called.err
    run = Run.open(tmp_path / "run")
    assert run.facts["task"]["dropped"]["longer than the model reads"] == 1
    run.close()


def test_a_model_without_a_chat_template_is_told(tmp_path: Path) -> None:
    folder = tmp_path / "model"
    shutil.copytree(tiny_folder(cache_folder()), folder)
    (folder / "chat_template.jinja").unlink(missing_ok=True)
    path = folder / "tokenizer_config.json"
    facts = json.loads(path.read_text("utf-8"))
    facts.pop("chat_template", None)
    path.write_text(json.dumps(facts), encoding="utf-8")
    command = f"run rft --model {folder} --task {sixty(tmp_path)} --verifier exact --max-new-tokens 6 {SMALL}"
    command = command.replace("--num-train 48", "--num-train 20")
    called = sharpen(f"{command} --out {tmp_path / 'chat'}")
    assert "this model has no chat template" in " ".join(called.err.split())
    assert "--raw" in called.err
    assert called.code == 1
    assert sharpen(f"{command} --raw --out {tmp_path / 'raw'} --quiet").code == 0


def test_no_room_on_the_disk_is_told_before_the_first_token(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    full = shutil.disk_usage(tmp_path)._replace(free=10_000_000)
    monkeypatch.setattr(shutil, "disk_usage", lambda path: full)
    called = sharpen(f"run rft {TINY} {SMALL} --out {tmp_path / 'run'}")
    assert "of disk" in called.err
    assert "10 MB is free" in " ".join(called.err.split())
    assert called.code == 1
    assert not (tmp_path / "run").exists()


def test_room_is_looked_for_unless_the_very_run_is_finished(
    cli_run: CliRun, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    command = copied(cli_run, tmp_path / "run")
    monkeypatch.setattr("sharpen.capacity._machine_memory", lambda: 1_000_000)
    assert sharpen(command).code == 0
    for other in (command.replace("--rounds 2", "--rounds 3"), command.replace("run rft", "run rft --seed 3")):
        called = sharpen(other)
        assert "of memory (weights 1 MB" in " ".join(called.err.split())
        assert called.code == 1


def test_no_memory_is_told_before_the_first_token(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sharpen.capacity._machine_memory", lambda: 1_000_000)
    called = sharpen(f"run rft {TINY} {SMALL} --out {tmp_path / 'run'}")
    assert "of memory (weights 1 MB" in " ".join(called.err.split())
    assert called.code == 1
    assert not (tmp_path / "run").exists()


def test_a_folder_in_use_is_told_and_left_alone(cli_run: CliRun, tmp_path: Path) -> None:
    command = copied(cli_run, tmp_path / "busy")
    with Ledger(tmp_path / "busy"):
        called = sharpen(f"{command} --quiet")
    assert "is in use by process" in " ".join(called.err.split())
    assert called.code == 1
    assert sharpen(f"{command} --quiet").code == 0


def test_a_folder_of_a_newer_version_is_told(cli_run: CliRun, tmp_path: Path) -> None:
    command = copied(cli_run, tmp_path / "newer")
    with sqlite3.connect(tmp_path / "newer" / "ledger.sqlite") as connection:
        connection.execute("PRAGMA user_version=99")
    (tmp_path / "newer" / "head").unlink()  # it holds the number too
    for words_ in (f"{command} --quiet", f"show {tmp_path / 'newer'}"):
        called = sharpen(words_)
        assert "newer version of sharpen" in " ".join(called.err.split())
        assert called.code == 1


def test_a_recipe_of_one_s_own_runs(tmp_path: Path) -> None:
    path = tmp_path / "mine.py"
    path.write_text(
        "from sharpen.methods.rft import rft\n\ndef gentle(verifier, *, num: int = 4):\n    return rft(verifier, num_samples=num)\n",
        encoding="utf-8",
    )
    flags = SMALL.replace("--num-prompts 48 --num-samples 4", "--num 3")
    called = sharpen(f"run {path}:gentle {TINY} {flags} --out {tmp_path / 'run'} --quiet")
    assert called.code == 0, called.err
    run = Run.open(tmp_path / "run")
    assert "completions(3," in run.facts["recipe"]
    run.close()


def test_a_folder_that_cannot_be_made_is_told(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("", encoding="utf-8")
    with pytest.raises(AssertionError, match="cannot"):
        run_cli(tmp_path / "file" / "run")
