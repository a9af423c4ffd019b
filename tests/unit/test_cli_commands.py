"""The commands beside `run`: what they print for people and for programs, and how they end."""

from __future__ import annotations

import json
import re
import shlex
import shutil
import sqlite3
import subprocess
import sys
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from cli_runs import TINY, CliRun, command_for, sharpen
from sharpen import Splits, exact, improve, load_model, load_task
from sharpen.endpoint.account import ACCOUNT, Account, Answer
from sharpen.ledger import Ledger
from sharpen.methods import all_cards, method_names
from sharpen.methods.rft import rft
from sharpen.run import Run

COMMANDS = ("run", "plan", "solve", "show", "report", "measure", "methods", "export", "audit-verifier", "doctor")


def said(command: str) -> str:
    """What a command that is well says on stdout."""
    called = sharpen(command)
    assert called.code == 0, called.err
    return called.out


def told(command: str) -> str:
    """The one sentence of a command that fails, with its exit code before it."""
    called = sharpen(command)
    assert called.code != 0
    assert "Traceback" not in called.err
    return f"{called.code}: {' '.join(called.err.split())}"


@pytest.mark.parametrize("command", COMMANDS)
def test_help_has_an_example_and_is_narrow(command: str) -> None:
    out = said(f"{command} --help")
    assert f"sharpen {command}" in out
    assert "Example: sharpen" in out
    assert "\x1b" not in out
    assert max(map(len, out.splitlines())) <= 100


def test_help_of_a_method_lists_its_own_parameters() -> None:
    out = said("run rft --help")
    assert re.search(r"Parameters of rft:\n  --num-prompts INT +\[256\]", out)
    assert "Parameters of" not in said("run nonsense --help")
    for name in method_names():
        assert f"Parameters of {name}:" in said(f"run {name} --help")


def test_help_and_the_table_of_methods_are_quick() -> None:
    program = (
        "import sys\nfrom sharpen.cli import app\n"
        "try:\n    app({})\nexcept SystemExit as end:\n    assert end.code == 0\n"
        "print(sorted(name for name in ('torch', 'transformers') if name in sys.modules))"
    )
    for words in (["--help"], ["run", "--help"], ["methods"], ["--version"]):
        done = subprocess.run([sys.executable, "-c", program.format(words)], capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        assert done.stdout.splitlines()[-1] == "[]"


def test_no_words_show_the_help_and_an_unknown_flag_is_one_sentence() -> None:
    assert "Commands:" in sharpen("").err
    assert said("--version").startswith("sharpen 0.")
    assert told("methods --serch x").startswith("2: sharpen: No such option: --serch")
    assert told("show").startswith("2: sharpen: Missing argument")


def test_methods_lists_every_card() -> None:
    out = said("methods")
    assert all(name in out for name in method_names())
    assert max(map(len, out.splitlines())) <= 100
    listed = {name: card for name, card in json.loads(said("methods --json")).items() if card["kind"] == "method"}
    assert set(listed) == set(method_names())
    assert all({"shelf", "oracle", "verdict"} <= set(card) for card in listed.values())
    assert json.loads(said("methods grpo --json"))["grpo"]["arxiv"] == all_cards()["grpo"].arxiv
    assert "departs:" in said("methods grpo")
    assert told("methods grop") == "2: sharpen: there is no method or measure 'grop'; did you mean 'grpo'?"


def test_show_tells_the_whole_run(cli_run: CliRun) -> None:
    out = said(f"show {cli_run.folder}")
    assert out.startswith(f"{cli_run.folder}: finished\n")
    assert "rft on tiny: 128 train, 60 gate, 60 final prompts" in out
    begun = out[out.index("sharpen run") : out.index("\n\n")]
    assert max(map(len, begun.splitlines())) <= 100
    assert set(shlex.split(begun.replace("\\\n", ""))) == {"sharpen", *shlex.split(cli_run.command)}  # as a shell reads it
    assert "round 1: held-out" in out
    assert re.search(r"\n  kept \d+, rejected \d+, abstained 0 of 384 sampled\n", out)
    assert re.search(r"completions +[\d,]+ +", out)
    facts = json.loads(said(f"show {cli_run.folder} --json"))
    assert facts["state"] == "finished"
    assert [one["promoted"] for one in facts["rounds"]] == [True, False]
    assert facts["costs"][0]["tokens"] > 0
    assert facts["final_reads"] >= 2


def test_show_works_while_the_run_goes_on_and_writes_nothing(cli_run: CliRun, tmp_path: Path) -> None:
    shutil.copytree(cli_run.folder, tmp_path / "run")
    before = {path: path.read_bytes() for path in sorted((tmp_path / "run").rglob("*.parquet"))}
    with Ledger(tmp_path / "run"):
        assert json.loads(said(f"show {tmp_path / 'run'} --json"))["state"] == "running"
    assert json.loads(said(f"show {tmp_path / 'run'} --json"))["state"] == "finished"
    assert {path: path.read_bytes() for path in sorted((tmp_path / "run").rglob("*.parquet"))} == before


def test_a_check_names_what_is_damaged_and_the_same_command_writes_the_model_again(cli_run: CliRun, tmp_path: Path) -> None:
    folder = tmp_path / "run"
    shutil.copytree(cli_run.folder, folder)
    sound = sharpen(f"show {folder} --check")
    assert (sound.code, sound.err) == (0, "")
    assert "0 files are not as they were written" in sound.out
    (model,) = folder.glob("model-*")
    (model / "model.safetensors").write_bytes(b"")
    with Ledger(folder, read_only=True) as ledger:
        report = folder / next(str(one.path) for one in ledger.entries("report") if one.value["split"] == "final")
    report.unlink()
    told = sharpen(f"show {folder} --check --json")
    assert told.code == 1
    first, second = json.loads(told.out)["damage"]
    assert str(report) in first
    assert str(model / "model.safetensors") in second
    again = sharpen(command_for(folder))
    assert again.code == 0
    assert f"{model}-damaged-1" in "".join(again.err.split())
    assert sharpen(f"show {folder} --check").code == 0
    (left,) = folder.glob("model-*-damaged-1")
    assert (left / "model.safetensors").read_bytes() == b""


def test_a_check_reads_what_served_models_cost(cli_run: CliRun, tmp_path: Path) -> None:
    folder = tmp_path / "run"
    shutil.copytree(cli_run.folder, folder)
    account = Account(folder / ACCOUNT)
    account.keep("key", "judge", Answer(text="4", finish="given"))
    account.close()
    assert sharpen(f"show {folder} --check").code == 0
    with sqlite3.connect(folder / ACCOUNT) as database:
        database.execute("UPDATE answers SET text = '5'")
    database.close()
    told = sharpen(f"show {folder} --check")
    assert told.code == 1
    assert f"{ACCOUNT}: answers: 1 of its rows do not match their checksums" in told.out
    assert "1 files are not as they were written" in told.out
    assert "asks damaged answers again" in " ".join(told.out.split())
    assert "makes again what the run still needs" not in told.out


def test_a_run_of_another_user_s_process_is_running(cli_run: CliRun, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def forbidden(process: int, number: int) -> None:
        raise PermissionError(1, "Operation not permitted")

    shutil.copytree(cli_run.folder, tmp_path / "run")
    with Ledger(tmp_path / "run"):
        monkeypatch.setattr("os.kill", forbidden)
        assert json.loads(said(f"show {tmp_path / 'run'} --json"))["state"] == "running"


def test_a_folder_that_is_no_run_is_told(tmp_path: Path) -> None:
    for command in ("show", "report", "export --to x", "solve a --run"):
        assert told(f"{command} {tmp_path}").startswith("1: sharpen:")
        assert "is no run directory" in told(f"{command} {tmp_path}")


def test_report_says_where_it_is(cli_run: CliRun, tmp_path: Path) -> None:
    shutil.copytree(cli_run.folder, tmp_path / "run")
    (tmp_path / "run" / "report.html").unlink()
    place = Path(said(f"report {tmp_path / 'run'}").strip())
    assert place.read_text("utf-8").lower().startswith("<!doctype html>")
    assert json.loads(said(f"report {tmp_path / 'run'} --json")) == {"report": str(place)}


def test_export_writes_a_folder_with_cards_and_data(cli_run: CliRun, tmp_path: Path) -> None:
    out = said(f"export {cli_run.folder} --to {tmp_path / 'model'}")
    assert "README.md says how to load it" in " ".join(out.split())
    assert (tmp_path / "model" / "model.safetensors").exists()
    assert (tmp_path / "model" / "README.md").exists()
    rows = pq.read_table(next((tmp_path / "model" / "data").glob("*.parquet"))).to_pylist()
    assert rows
    assert {"prompt", "completion"} <= rows[0].keys()
    assert told(f"export {cli_run.folder} --to {tmp_path / 'model'}").startswith("2: sharpen:")


def test_a_run_that_promoted_nothing_has_no_model_to_export(tmp_path: Path) -> None:
    sizes = "--num-train 16 --num-gate 10 --num-final 0 --num-prompts 16 --num-samples 2 --learning-rate 1e-9 --rounds 1"
    out = said(f"run rft {TINY} {sizes} --no-controls --quiet --out {tmp_path / 'run'}")
    assert "improved model:" not in out
    assert "nothing was promoted" in told(f"export {tmp_path / 'run'} --to {tmp_path / 'model'}")
    said(f"export {tmp_path / 'run'} --to {tmp_path / 'model'} --allow-base")
    assert (tmp_path / "model" / "config.json").exists()


def test_solve_answers_with_a_model_or_with_what_a_run_promoted(cli_run: CliRun) -> None:
    assert said("solve qxv --model tiny --device cpu") == "qxv\n"  # the habit that the run unlearns
    assert said(f"solve qxv abc --run {cli_run.folder}") == "QXV\nABC\n"
    assert sharpen(f"solve --run {cli_run.folder}", stdin="qxv\n\nabc\n").out == "QXV\nABC\n"
    answers = json.loads(said(f"solve qxv qxv --run {cli_run.folder} --method self_consistency --num-samples 8 --json"))
    assert answers == [{"prompt": "qxv", "answer": "QXV", "finish": "stop", "tokens": 4}] * 2


def test_solve_uses_the_test_time_method_of_a_run(tmp_path: Path) -> None:
    said(f"run best_of_n {TINY} --num-train 4 --num-gate 0 --num-final 4 --no-controls --quiet --out {tmp_path / 'run'}")
    run = Run.open(tmp_path / "run")
    assert "best_of_n" in run.facts["method"]
    run.close()
    assert json.loads(said(f"solve qxv --run {tmp_path / 'run'} --num-samples 2 --json"))[0]["prompt"] == "qxv"


def test_a_run_from_python_is_answered_with_and_exported_too(tmp_path: Path) -> None:
    task = load_task("tiny", splits=Splits(train=64, gate=40, final=0))
    recipe = rft(exact(ignore_case=False), num_prompts=64, num_samples=4, learning_rate=3e-4)
    run = improve(recipe, model="tiny", task=task, rounds=1, out=tmp_path / "run", controls=False)
    assert run.best_id != run.base
    run.close()
    assert said(f"solve qxv --run {tmp_path / 'run'}").strip().lower() == "qxv"
    said(f"export {tmp_path / 'run'} --to {tmp_path / 'model'}")
    assert (tmp_path / "model" / "config.json").exists()
    improve(recipe, model=load_model("tiny"), task=task, rounds=1, out=tmp_path / "memory", controls=False).close()
    assert "was started from Python with a model in memory" in told(f"solve qxv --run {tmp_path / 'memory'}")


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ("solve qxv", "2: sharpen: name a model (--model M) or a run (--run DIR) to answer with"),
        ("solve qxv --model tiny --run {run}", "2: sharpen: name a model or a run, not both: a run knows its own model"),
        ("solve qxv --model tiny --method rft", "2: sharpen: rft needs a verifier"),
        ("solve qxv --model tiny --method sft", "1: sharpen: sft needs targets"),
        ("solve qxv --model tiny --method best_of_m", "2: sharpen: there is no method 'best_of_m'; did you mean 'best_of_n'?"),
        (
            "solve qxv --model tiny --num-samples 3",
            "2: sharpen: --num-samples is a parameter of a method; name one with --method",
        ),
        ("solve qxv --model tiny --num-samples", "2: sharpen: --num-samples needs a value"),
        ("solve qxv --model tiny --method best_of_n --num-sample 3", "did you mean 'num_samples'?"),
        ("solve qxv --model tiny --max-new-tokens 0", "2: sharpen: max_new_tokens is 0; it is at least 1"),
        ("solve --model tiny", "1: sharpen: there is nothing to answer"),
    ],
)
def test_solve_s_mistakes_are_one_sentence(arguments: str, sentence: str, cli_run: CliRun) -> None:
    assert sentence in told(arguments.format(run=cli_run.folder))


def test_what_a_model_says_cannot_move_the_cursor(tmp_path: Path) -> None:
    """Prompts are shown by the plan as the model sees them, whatever is in them."""
    rows = [{"prompt": f"a\x1b[2J{n}", "target": "x"} for n in range(12)]
    (tmp_path / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    out = said(
        f"plan rft {TINY.replace('--task tiny', '')} --task {tmp_path / 'rows.jsonl'} --verifier exact --max-new-tokens 6"
    )
    assert "\x1b" not in out
    assert "[U+001B]" in out


def test_an_audit_finds_a_lax_verifier_and_passes_a_sound_one(tmp_path: Path) -> None:
    rows = tmp_path / "rows.jsonl"
    rows.write_text(
        "".join(json.dumps({"prompt": f"{n} + {n}?", "target": str(2 * n)}) + "\n" for n in range(20, 60)), encoding="utf-8"
    )
    lax = tmp_path / "lax.py"
    lax.write_text("def check(prompt, completion):\n    return float(len(completion.text) > 0)\n", encoding="utf-8")
    out = said(f"audit-verifier --task {rows} --verifier number")
    assert "is sound on 40 prompts" in " ".join(out.split())
    assert max(map(len, out.splitlines())) <= 100
    facts = json.loads(said(f"audit-verifier --task {rows} --verifier number --max-prompts 10 --json"))
    assert facts["sound"] is True
    assert all(row["passed"] for row in facts["rows"])
    called = sharpen(f"audit-verifier --task {rows} --verifier {lax}:check --max-prompts 10")
    assert called.code == 1
    assert "is not sound" in " ".join(called.out.split())
    assert told("audit-verifier --task tiny --columns prompt=x").startswith("2:")
    assert "name the verifier" in told(f"audit-verifier --task {rows}")


def test_doctor_tells_what_is_there() -> None:
    out = said("doctor")
    for name in ("python", "torch", "device", "threads", "dtype", "memory", "disk", "cache", "extra lora"):
        assert re.search(rf"^{name} +(fine|tight|missing) ", out, re.MULTILINE)
    found = {one["name"]: one for one in json.loads(said("doctor --json"))}
    assert found["python"]["state"] == "fine"
    assert found["extra tasks"]["value"].startswith("reasoning-gym")


def test_doctor_finds_a_cache_that_cannot_be_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").write_text("", encoding="utf-8")
    monkeypatch.setenv("SHARPEN_CACHE", str(tmp_path / "file" / "cache"))
    called = sharpen("doctor")
    assert called.code == 1
    assert "set SHARPEN_CACHE" in " ".join(called.out.split())
