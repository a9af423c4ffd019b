"""An export is what plain transformers loads, with cards that say what the run found; it is whole or not there."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
import yaml

from report_pages import PAYLOADS, poisoned, poisoned_ids, poisoned_value
from sharpen.cards import Card
from sharpen.errors import CapacityError, LedgerError, ModelError
from sharpen.examples import Demonstration, Preference, Rollout, Row
from sharpen.export import SUMS, damage_in, export, training_data
from sharpen.protocols import Request, Sampling
from sharpen.report import findings
from sharpen.run import Run
from sharpen.runtime.tiny import tiny_prompts
from sharpen.runtime.torch_runtime import TorchRuntime
from sharpen.types import Completion, Message, Prompt, Text, user
from tiny_runs import COMMAND, VERIFIER, rewritten, tiny_runtime

PLAIN = """
import json, sys
from transformers import AutoModelForCausalLM, AutoTokenizer
folder, words = sys.argv[1], json.loads(sys.argv[2])
tokenizer = AutoTokenizer.from_pretrained(folder)
model = AutoModelForCausalLM.from_pretrained(folder)
found = []
for word in words:
    chat = [{"role": "user", "content": word}]
    inputs = tokenizer.apply_chat_template(chat, add_generation_prompt=True, return_tensors="pt", return_dict=True)
    ids = inputs["input_ids"][0].tolist()
    answer = model.generate(**inputs, do_sample=False, max_new_tokens=6)[0].tolist()[len(ids):]
    found.append([ids, answer])
print("FOUND", json.dumps([str(model.dtype), sorted(name for name in sys.modules if name.startswith("sharpen")), found]))
"""


@pytest.fixture(scope="module")
def runtime() -> TorchRuntime:
    return tiny_runtime()


@pytest.fixture(scope="module")
def exported(tiny_run: Run, runtime: TorchRuntime, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return export(tiny_run, runtime, tmp_path_factory.mktemp("export") / "model")


def header(path: Path) -> Mapping[str, Any]:
    _, front, _ = path.read_text("utf-8").split("---\n", 2)
    found: Mapping[str, Any] = yaml.safe_load(front)
    return found


def test_plain_transformers_in_another_process_answers_alike(tiny_run: Run, exported: Path, runtime: TorchRuntime) -> None:
    prompts = tiny_prompts(330, seed=1)[300:]
    words = [prompt.text for prompt in prompts]
    quiet = {**os.environ, "HF_HUB_OFFLINE": "1", "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-c", PLAIN, str(exported), json.dumps(words)]
    told = subprocess.run(command, capture_output=True, text=True, env=quiet, check=True, timeout=240)
    line = next(line for line in told.stdout.splitlines() if line.startswith("FOUND "))
    dtype, ours, found = json.loads(line.removeprefix("FOUND "))
    assert (dtype, ours) == ("torch.float32", [])
    policy = runtime.load(tiny_run.best)
    sampling = Sampling(temperature=0, max_new_tokens=6)
    answers = policy.generate([Request(prompt=prompt) for prompt in prompts], sampling)
    assert [ids for ids, _ in found] == [runtime.renderer.prompt_ids(prompt) for prompt in prompts]
    assert [tuple(answer) for _, answer in found] == [answer.token_ids for answer in answers]
    assert len({answer.text for answer in answers}) > 20


def test_the_export_is_the_promoted_model_and_no_other(exported: Path, runtime: TorchRuntime) -> None:
    prompts = tiny_prompts(320, seed=1)[300:]
    sampling = Sampling(temperature=0, max_new_tokens=6)
    base = runtime.load(runtime.base).generate([Request(prompt=prompt) for prompt in prompts], sampling)
    again = TorchRuntime(exported, base="exported", device="cpu", dtype="float32", threads=1)
    improved = again.load(again.base).generate([Request(prompt=prompt) for prompt in prompts], sampling)
    right = [sum(VERIFIER(p, a) or 0.0 for p, a in zip(prompts, answers, strict=True)) for answers in (base, improved)]
    assert right[1] > right[0] + 10


def test_every_file_of_an_export_has_its_checksum_and_a_changed_one_is_named(exported: Path, tmp_path: Path) -> None:
    done = subprocess.run(["sha256sum", "-c", "--quiet", SUMS], cwd=exported, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (0, "")
    listed = {line.partition("  ")[2] for line in (exported / SUMS).read_text().splitlines()}
    found = {path.relative_to(exported).as_posix() for path in exported.rglob("*") if path.is_file()}
    assert found == listed | {SUMS}
    copy = tmp_path / "copy"
    shutil.copytree(exported, copy)
    (copy / "mine.txt").write_text("a file that was added")
    assert damage_in(copy) == []
    content = bytearray((copy / "model.safetensors").read_bytes())
    content[-1] ^= 1
    (copy / "model.safetensors").write_bytes(content)
    (copy / "config.json").unlink()
    gone, changed = damage_in(copy)
    assert gone == f"{copy / 'config.json'} cannot be read: No such file or directory"
    assert changed == f"{copy / 'model.safetensors'} does not match its checksum in SHA256SUMS"


def test_an_export_is_on_disk_before_it_has_its_name(
    tiny_run: Run, runtime: TorchRuntime, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    synced: list[str] = []
    sync, replace = os.fsync, os.replace

    def fsync(descriptor: int) -> None:
        synced.append(os.readlink(f"/proc/self/fd/{descriptor}"))
        sync(descriptor)

    def named(source: Path, target: Path) -> None:
        if Path(target) == tmp_path / "model":
            inside = {str(path) for path in Path(source).rglob("*")}
            assert inside | {str(source)} <= set(synced)
            synced.clear()
        replace(source, target)

    monkeypatch.setattr(os, "fsync", fsync)
    monkeypatch.setattr(os, "replace", named)
    export(tiny_run, runtime, tmp_path / "model")
    assert synced == [str(tmp_path)]


def test_the_model_card_holds_the_runs_figures(tiny_run: Run, exported: Path) -> None:
    text = (exported / "README.md").read_text("utf-8")
    told = header(exported / "README.md")
    assert told["base_model"] == "somebody/tiny"
    assert told["license"] == "apache-2.0"
    assert "rft" in told["tags"]
    found = findings(tiny_run)
    assert f"{found.headline}. {found.detail}" in text
    for one in found.standings:
        assert one.estimate is not None
        assert f"{one.estimate.text} | {one.estimate.interval_text}" in text
        if one.versus is not None:
            assert f"{one.versus.text} | {one.versus.interval_text} | {one.versus.verdict} it" in text
    assert text.count("**promoted**") == found.num_promoted
    assert text.count("**rolled back**") == found.num_rounds - found.num_promoted
    assert "[arXiv:2308.01825](https://arxiv.org/abs/2308.01825)" in text
    assert COMMAND in text
    assert "dequantised from Q4\\_1 (4 bits a weight)" in text
    assert f"sharpen: {tiny_run.facts['versions']['sharpen']}" in text
    assert "No second task was given" in text
    assert re.sub(r"[\s,]", "", str(tiny_run.facts["recipe"])) in re.sub(r"[\s,]", "", text)


def test_the_data_is_what_promoted_rounds_were_trained_on(tiny_run: Run, exported: Path) -> None:
    rows = pq.read_table(exported / "data" / "demonstrations.parquet").to_pylist()
    promoted = [one.index for one in tiny_run.rounds if one.decision.promote]
    expected = [(index, example) for index in promoted for example in tiny_run.examples(index)]
    assert len(rows) == len(expected) > 0
    for row, (index, example) in zip(rows, expected, strict=True):
        (trained,) = example.rows
        assert row["prompt"] == [{"role": "user", "content": trained.prompt.text}]
        assert row["completion"] == [{"role": "assistant", "content": trained.completion.text}]
        assert (row["round"], row["target"]) == (index + 1, trained.prompt.target)
        assert row["checkpoint"] == trained.completion.checkpoint is not None
    told = header(exported / "data" / "README.md")
    assert told["license"] == "unknown"
    assert told["configs"] == [{"config_name": "demonstrations", "data_files": "demonstrations.parquet"}]
    text = (exported / "data" / "README.md").read_text("utf-8")
    assert f"{len(rows)} rows" in text
    assert "Prompts and targets: **unknown**" in text
    assert "output of a model under Apache-2.0" in text


def test_the_data_loads_in_datasets(exported: Path, tmp_path: Path) -> None:
    datasets = pytest.importorskip("datasets", reason="the extra 'data' is not installed")
    path = str(exported / "data" / "demonstrations.parquet")
    loaded = datasets.Dataset.from_parquet(path, cache_dir=str(tmp_path))
    assert loaded[0]["prompt"][0]["role"] == "user"


def test_nothing_promoted_is_nothing_to_export(fruitless_run: Run, runtime: TorchRuntime, tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="nothing was promoted in") as caught:
        export(fruitless_run, runtime, tmp_path / "model")
    assert "--allow-base" in str(caught.value)
    assert list(tmp_path.iterdir()) == []
    assert export(fruitless_run, runtime, str(tmp_path / "model"), allow_base=True) == tmp_path / "model"
    text = (tmp_path / "model" / "README.md").read_text("utf-8")
    assert "Nothing was promoted: the weights are the base's." in text
    assert not (tmp_path / "model" / "data").exists()
    again = TorchRuntime(tmp_path / "model", base="exported", device="cpu", dtype="float32", threads=1)
    prompts = tiny_prompts(5, seed=1)
    greedy = Sampling(temperature=0, max_new_tokens=6)
    answers = [one.load(one.base).generate([Request(prompt=p) for p in prompts], greedy) for one in (again, runtime)]
    assert [answer.token_ids for answer in answers[0]] == [answer.token_ids for answer in answers[1]]


def test_an_unfinished_run_is_not_exported(unfinished_run: Run, runtime: TorchRuntime, tmp_path: Path) -> None:
    with pytest.raises(LedgerError, match="not come to its end"):
        export(unfinished_run, runtime, tmp_path / "model")
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_holds_something_is_refused_and_left_alone(tiny_run: Run, runtime: TorchRuntime, tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "notes.txt").write_text("keep")
    (tmp_path / "file").write_text("keep")
    for name in ("mine", "file"):
        with pytest.raises(ValueError, match="is not an empty folder"):
            export(tiny_run, runtime, tmp_path / name)
    assert (tmp_path / "mine" / "notes.txt").read_text() == (tmp_path / "file").read_text() == "keep"


def test_an_empty_folder_is_filled(tiny_run: Run, runtime: TorchRuntime, tmp_path: Path) -> None:
    (tmp_path / "model").mkdir()
    assert export(tiny_run, runtime, tmp_path / "model") == tmp_path / "model"
    assert (tmp_path / "model" / "model.safetensors").stat().st_mode & 0o777 == 0o644
    assert [path.name for path in tmp_path.iterdir()] == ["model"]


def test_a_runtime_of_another_model_is_refused(tiny_run: Run, runtime: TorchRuntime, tmp_path: Path) -> None:
    other = TorchRuntime(runtime.folder, base="another", device="cpu", dtype="float32", threads=1)
    with pytest.raises(ValueError, match="this runtime holds another"):
        export(tiny_run, other, tmp_path / "model")


class FullDisk(TorchRuntime):
    """A runtime whose disk is full when it exports."""

    def export(self, checkpoint: object, folder: Path) -> None:
        """Write half, then fail."""
        (folder / "config.json").write_text("{}")
        raise OSError(28, "No space left on device")


def test_a_full_disk_leaves_nothing_behind(tiny_run: Run, runtime: TorchRuntime, tmp_path: Path) -> None:
    full = FullDisk(runtime.folder, base=tiny_run.base, device="cpu", dtype="float32", threads=1)
    with pytest.raises(CapacityError, match="no space left"):
        export(tiny_run, full, tmp_path / "model")
    assert list(tmp_path.iterdir()) == []


def test_a_card_of_ones_own_is_cited(tiny_run: Run, runtime: TorchRuntime, tmp_path: Path) -> None:
    own = Card(title="My method", paper="Me, 2026", arxiv=None, claim="It works.", trains_on=None, departs=("all | of it",))
    export(tiny_run, runtime, tmp_path / "model", card=own)
    text = (tmp_path / "model" / "README.md").read_text("utf-8")
    assert "My method (Me, 2026). It works." in text
    assert "- all \\| of it" in text


def test_hostile_text_does_not_become_markup_or_front_matter(tiny_run: Run, runtime: TorchRuntime, tmp_path: Path) -> None:
    ids = poisoned_ids(tiny_run.held_out)
    base, best = tiny_run.base, tiny_run.best_id
    run = rewritten(
        tiny_run.folder,
        tmp_path / "poisoned",
        value=lambda kind, value: poisoned(dict(value), ids),
        item=lambda kind, item: poisoned_value(item, ids) if kind in ("prompts", "stage", "report", "result") else item,
    )
    assert (run.base, run.best_id) == (base, best)
    export(run, runtime, tmp_path / "model")
    for path in (tmp_path / "model" / "README.md", tmp_path / "model" / "data" / "README.md"):
        text = path.read_text("utf-8")
        assert set(header(path)) <= {
            "license",
            "library_name",
            "pipeline_tag",
            "tags",
            "base_model",
            "base_model_relation",
            "configs",
        }
        prose = re.sub(r"^(`{3,})\w*\n.*?^\1$", "", text.split("---\n", 2)[2], flags=re.DOTALL | re.MULTILINE)
        assert any(payload[1:12] in text for payload in PAYLOADS)
        assert not re.search(r"(?<!\\)<(?!https)", prose)
        assert not re.search(r"(?<!\\)!\[", prose)
        assert not re.search("[\u202a-\u202e\u2066-\u2069\u200b\x00\x1b]", text)


def row(prompt: Prompt, text: str, checkpoint: str | None) -> Row:
    completion = Completion(segments=(), text=text, finish="given", prompt_id=prompt.id, checkpoint=checkpoint)
    return Row(prompt=prompt, completion=completion)


ASKED = user("2 + 2?", target="4", tags={"id": "q1"})
TEXT = Prompt(messages=(Message(role="user", content=(Text(text="Once upon"),)),), next="raw")


@pytest.mark.parametrize(
    ("example", "name", "columns"),
    [
        (
            Preference(chosen=row(ASKED, "4", "a"), rejected=row(ASKED, "5", "b"), p_chosen=0.75, margin=0.5),
            "preferences",
            {
                "prompt": [{"role": "user", "content": "2 + 2?"}],
                "chosen": [{"role": "assistant", "content": "4"}],
                "rejected": [{"role": "assistant", "content": "5"}],
                "p_chosen": 0.75,
                "margin": 0.5,
                "checkpoint": "a",
                "rejected_checkpoint": "b",
                "prompt_id": "q1",
            },
        ),
        (
            Rollout(row=row(ASKED, "4", "a"), reward=0.5, group="g"),
            "rollouts",
            {"reward": 0.5, "group": "g", "advantage": None},
        ),
        (Demonstration(row=row(TEXT, " a time", None)), "demonstrations-raw", {"prompt": "Once upon", "completion": " a time"}),
    ],
)
def test_every_kind_of_example_has_the_row_shape_of_other_trainers(
    tiny_run: Run, tmp_path: Path, example: Any, name: str, columns: Mapping[str, object]
) -> None:
    run = rewritten(
        tiny_run.folder,
        tmp_path / "copy",
        item=lambda kind, item: example if kind == "stage" and isinstance(item, Demonstration) else item,
    )
    (records,) = training_data(run)
    assert records.name == name
    assert records.rows[0] | dict(columns) == records.rows[0]
    assert {one["round"] for one in records.rows} == {one.index + 1 for one in run.rounds if one.decision.promote}
