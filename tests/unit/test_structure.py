"""What keeps the package readable: short modules, and an import that costs nothing."""

from __future__ import annotations

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


def test_import_loads_no_torch() -> None:
    code = "import sharpen, sys; assert 'torch' not in sys.modules and 'transformers' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)


MISMATCH = """
from sharpen.objectives import NLL
from sharpen.parts import recipe
from sharpen.select import {select}
recipe(name="x", select={select}(), objective=NLL())
"""


@pytest.mark.parametrize(("select", "agrees"), [("rollouts", False), ("best_vs_worst", False), ("demonstrations", True)])
def test_a_mismatch_of_select_and_objective_is_a_type_error(select: str, agrees: bool, tmp_path: Path) -> None:
    (tmp_path / "mine.py").write_text(MISMATCH.format(select=select))
    command = [sys.executable, "-m", "mypy", "--strict", "--config-file", str(SOURCE.parents[1] / "pyproject.toml"), "mine.py"]
    found = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert (found.returncode == 0) == agrees, found.stdout
