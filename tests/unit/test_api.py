"""The names that `import sharpen` offers: all there, the same objects, and none loaded before it is asked for."""

import ast
import json
import subprocess
import sys
from pathlib import Path

import pytest

import sharpen
from sharpen import Splits, load_task
from sharpen.errors import DataError

HEAVY = ("torch", "transformers", "numpy", "pyarrow", "pydantic", "typer", "rich", "jinja2", "yaml", "tokenizers")


def fresh(code: str) -> str:
    """What this code prints in a Python of its own."""
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout


def test_import_loads_nothing_heavy_and_nothing_of_ours() -> None:
    loaded = json.loads(fresh("import sys, json, sharpen; print(json.dumps(sorted(sys.modules)))"))
    assert not [name for name in loaded if name.split(".")[0] in HEAVY]
    assert [name for name in loaded if name.startswith("sharpen")] == ["sharpen"]


def test_import_takes_less_than_three_tenths_of_a_second() -> None:
    code = "import time; begun = time.process_time(); import sharpen; print(time.process_time() - begun)"
    assert min(float(fresh(code)) for _ in range(3)) < 0.3  # processor time: a busy machine says nothing about the code


def test_words_that_need_no_model_load_no_torch() -> None:
    code = "import sys; from sharpen import Run, Task, part, recipe, user, number, load_task, find_method; print('torch' in sys.modules)"
    assert fresh(code).strip() == "False"


@pytest.mark.parametrize("name", sharpen.__all__)
def test_every_public_name_is_there(name: str) -> None:
    assert getattr(sharpen, name) is not None
    assert name in dir(sharpen)


def test_type_checkers_and_python_are_told_the_same() -> None:
    """The names imported for type checkers, those in `__all__`, and those found at run time, each from the same module."""
    tree = ast.parse(Path(str(sharpen.__file__)).read_text())
    block = next(node for node in tree.body if isinstance(node, ast.If))
    told = {alias.name: str(line.module) for line in block.body if isinstance(line, ast.ImportFrom) for alias in line.names}
    assert sorted(told) == sorted(sharpen.__all__)
    for name, module in told.items():
        __import__(module)
        assert getattr(sharpen, name) is vars(sys.modules[module])[name]


def test_no_public_name_hides_a_module() -> None:
    modules = {path.stem for path in Path(str(sharpen.__file__)).parent.iterdir()}
    assert not modules & set(sharpen.__all__)


def test_an_unknown_name_is_told_as_python_does() -> None:
    with pytest.raises(AttributeError, match="no attribute 'improov'"):
        sharpen.improov  # noqa: B018


def good(prompt: sharpen.Prompt, completion: sharpen.Completion) -> float:
    return float(completion.text == prompt.target)


ROWS = [{"question": f"say {n}", "target": f"n{n}"} for n in range(12)]


def test_a_task_from_rows_and_a_function() -> None:
    task = load_task(
        ROWS, good, columns={"prompt": "question"}, splits=Splits(gate=3, final=3), instruction="Say it.", max_new_tokens=9
    )
    assert [len(split) for split in (task.train, task.gate, task.final)] == [6, 3, 3]
    assert task.max_new_tokens == 9
    assert {prompt.text.split("\n")[1] for prompt in task.train} == {"Say it."}


def test_a_task_whose_target_the_verifier_rejects_is_refused() -> None:
    with pytest.raises(DataError, match="12 targets are rejected by number.* as 'none'; correct the target or the verifier"):
        load_task([{**row, "target": "none"} for row in ROWS], "number", columns={"prompt": "question"})


def test_a_rejected_target_is_named_by_its_row_and_can_be_let_pass() -> None:
    rows = [*({"question": f"say {n}", "target": n} for n in range(12)), {"question": "say 12", "target": "none"}]
    asked = {"columns": {"prompt": "question"}, "splits": Splits(gate=3, final=3)}
    with pytest.raises(
        DataError, match=r"1 target is rejected by number.*, the first at row 13: it .* as 'none'; .*check_targets=False"
    ):
        load_task(rows, "number", **asked)  # type: ignore[arg-type]
    assert len(load_task(rows, "number", check_targets=False, **asked).train) == 7  # type: ignore[arg-type]


def test_a_task_takes_what_the_command_line_takes(tmp_path: Path) -> None:
    held = [{"prompt": f"spell {n}", "target": f"n{n}"} for n in range(6)]
    shown = tmp_path / "shown.jsonl"
    shown.write_text('{"prompt": "say hi", "completion": "hi"}\n', encoding="utf-8")
    second = load_task([{"prompt": f"{n}?", "target": n} for n in range(4)], "number", splits=Splits(train=0, gate=4, final=0))
    rows = [{"prompt": row["question"], "target": row["target"]} for row in ROWS]
    task = load_task(rows, good, held_out=held, raw=True, demonstrations=shown, second=second)
    assert [len(split) for split in (task.train, task.gate, task.final)] == [12, 3, 3]
    assert {prompt.text.split()[0] for prompt in (*task.gate, *task.final)} == {"spell"}
    assert [one.row.completion.text for one in task.demonstrations] == ["hi"]
    assert {prompt.next for prompt in task.train} == {"raw"}
    assert task.second is second
    with pytest.raises(ValueError, match=r"the second task needs a verifier of its own \(`--second-verifier`\)"):
        load_task(rows, good, second=second.replace(verifier=None))
    shown.write_text('{"prompt": "say hi"}\n', encoding="utf-8")
    with pytest.raises(DataError, match="line 1: has no 'completion' to show"):
        load_task(rows, good, demonstrations=shown)


def test_a_task_with_a_verifier_that_compares_needs_targets() -> None:
    with pytest.raises(DataError, match="has no target"):
        load_task([{"prompt": "a"}, {"prompt": "b"}], "number")


def test_a_generated_task_brings_its_verifier() -> None:
    pytest.importorskip("reasoning_gym")
    task = load_task("rg:chain_sum", parameters={"min_terms": 2, "max_terms": 2}, splits=Splits(train=5, gate=4, final=3))
    assert [len(split) for split in (task.train, task.gate, task.final)] == [5, 4, 3]
    assert task.verifier is not None


@pytest.mark.parametrize(
    ("source", "given", "said"),
    [
        ("tiny", {"columns": {"prompt": "q"}}, "columns .* does not go with the tiny task"),
        ("tiny", {"instruction": "x"}, "instruction .* does not go with the tiny task"),
        ("rg:chain_sum", {"columns": {"prompt": "q"}}, "columns .* does not go with a generated task"),
        (ROWS, {"parameters": {"a": 1}}, "parameters .* does not go with rows of one's own"),
        (ROWS, {"verifier": "numbr"}, "number"),
        (ROWS, {"columns": {"prompt": "question"}, "max_new_tokens": 0}, "max_new_tokens is 0; it is at least 1"),
        ("tiny", {"max_new_tokens": 0}, "max_new_tokens is 0; it is at least 1"),
    ],
)
def test_what_does_not_go_together_is_refused(source: object, given: dict[str, object], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        load_task(source, **given)  # type: ignore[arg-type]


def test_the_tiny_model_has_no_revision() -> None:
    with pytest.raises(ValueError, match="no revision"):
        sharpen.load_model("tiny", revision="main")


def test_a_device_that_is_none_is_told() -> None:
    with pytest.raises(ValueError, match="device is 'gpu'"):
        sharpen.load_model("tiny", device="gpu")  # type: ignore[arg-type]


def test_threads_below_one_are_refused() -> None:
    with pytest.raises(ValueError, match="threads is 0"):
        sharpen.load_model("tiny", threads=0)


def test_the_model_of_python_is_the_model_of_the_command_line() -> None:
    from sharpen.cli.build import make_runtime, resolve_model
    from sharpen.cli.settings import Settings

    settings = Settings(model="tiny", device="cpu", dtype="float32")
    theirs = make_runtime(settings, resolve_model(settings, lambda line: None))
    ours = sharpen.load_model("tiny", device="cpu", dtype="float32")
    assert (ours.base, dict(ours.identity)) == (theirs.base, dict(theirs.identity))
