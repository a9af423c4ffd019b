"""What keeps the package readable: short modules, and an import that costs nothing."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

import sharpen

SOURCE = Path(sharpen.__file__).parent
MODULES = sorted(path.relative_to(SOURCE) for path in SOURCE.rglob("*.py"))


@pytest.mark.parametrize("module", MODULES, ids=str)
def test_no_module_holds_two_ideas(module: Path) -> None:
    lines = len((SOURCE / module).read_text("utf-8").splitlines())
    assert lines <= 400, f"{module} has {lines} lines; a longer file than 400 is two ideas: split it"


GOES_ON = re.compile(r"\bpartial=|\.(follow_up|appended)\(|\b(replied|injected)\(")
OTHERS_WRITE = {"sample/criticised.py"}
"""Its second role only writes, so that it may be a served model; a part's needs are of all its roles."""


def test_a_part_that_goes_on_from_tokens_says_so() -> None:
    texts = {str(module): (SOURCE / module).read_text("utf-8") for module in MODULES}
    found = {name for name, text in texts.items() if "\n@part(" in text and GOES_ON.search(text)}
    assert {name for name in found if '"continue"' not in texts[name]} == OTHERS_WRITE


def test_import_loads_no_torch() -> None:
    code = "import sharpen, sys; assert 'torch' not in sys.modules and 'transformers' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)


MISMATCH = """
from sharpen.objectives import NLL
from sharpen.parts import recipe
from sharpen.select import best_vs_worst, demonstrations, rollouts

recipe(name="a", select=rollouts(), objective=NLL())
recipe(name="b", select=best_vs_worst(), objective=NLL())
recipe(name="c", select=demonstrations(), objective=NLL())
"""


def test_a_mismatch_of_select_and_objective_is_a_type_error(tmp_path: Path) -> None:
    """The linter's own cache is used: without it this takes a minute."""
    (tmp_path / "mine.py").write_text(MISMATCH)
    root = SOURCE.parents[1]
    options = ["--strict", "--config-file", str(root / "pyproject.toml"), "--cache-dir", str(root / ".mypy_cache")]
    command = [sys.executable, "-m", "mypy", *options, "mine.py"]
    found = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    told = {line.split(":")[1] for line in found.stdout.splitlines() if line.startswith("mine.py")}
    assert told == {"6", "7"}, found.stdout
