"""What identifies code: the same in every process, and another when the code is."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import FunctionType

import pytest

from sharpen.identity import code_digest, function_key, source_digest

KEY = """
from sharpen.digest import digest
from sharpen.identity import function_key
def check(prompt, completion):
    return completion.text.lower() in {"yes", "no", "maybe", ("a", frozenset({"b", "c", "d"}))}
print(digest(function_key(check)))
"""


def test_a_function_with_a_set_in_its_code_has_one_key_in_every_process() -> None:
    found = {
        subprocess.run(
            [sys.executable, "-c", KEY], env={**os.environ, "PYTHONHASHSEED": seed}, check=True, capture_output=True, text=True
        ).stdout
        for seed in ("1", "2", "3")
    }
    assert len(found) == 1


@pytest.mark.parametrize(
    "statement", ["from .helpers import limit", "from . import helpers", "from ..checks.helpers import limit"]
)
def test_what_a_module_imports_relatively_is_part_of_its_code(tmp_path: Path, statement: str) -> None:
    package = tmp_path / "mypackage" / "checks"
    package.mkdir(parents=True)
    for folder in (package.parent, package):
        (folder / "__init__.py").write_text("")
    (package / "mine.py").write_text(f"{statement}\n")
    digests = set()
    for limit in (1, 2):
        (package / "helpers.py").write_text(f"limit = {limit}\n")
        command = "from sharpen.identity import code_digest; print(code_digest('mypackage.checks.mine'))"
        ran = subprocess.run([sys.executable, "-c", command], cwd=tmp_path, check=True, capture_output=True, text=True)
        digests.add(ran.stdout)
    assert len(digests) == 2


class Place:
    """A verifier that does not say what it is."""

    def __call__(self, prompt: object, completion: object) -> float:
        return 1.0


def test_an_object_that_prints_its_place_in_memory_is_refused() -> None:
    with pytest.raises(ValueError, match="does not print its values; make its class a frozen dataclass"):
        function_key(Place())


def defined(text: str) -> Callable[..., object]:
    """A function as a notebook defines it: its module is no file."""
    scope: dict[str, object] = {"__name__": "a_notebook"}
    exec(text, scope)
    found = scope["stage"]
    assert isinstance(found, FunctionType)
    return found


def test_an_edited_factory_in_a_notebook_is_another_part() -> None:
    one, other = (
        defined("def stage(n):\n    return lambda v, r: v + n"),
        defined("def stage(n):\n    return lambda v, r: v - n"),
    )
    assert code_digest("a_notebook") == code_digest("a_notebook")
    assert source_digest(one) != source_digest(other)
    assert source_digest(one) == source_digest(defined("def stage(n):\n    return lambda v, r: v + n"))
