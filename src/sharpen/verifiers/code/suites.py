"""The tests of a prompt: code of the task's author, run by the tester outside every box."""

from __future__ import annotations

import ast
import builtins
import contextlib
import json
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Literal

from sharpen.digest import digest
from sharpen.errors import DataError
from sharpen.types import Prompt

__all__ = ["Call", "Part", "Suite", "need_tests", "suite_of"]

Part = Literal["all", "visible", "hidden", "mutated"]


@dataclass(frozen=True, kw_only=True)
class Call:
    """A call of a program's function, by name, with plain values; as text it is Python."""

    name: str
    arguments: tuple[Any, ...]

    def __str__(self) -> str:
        return f"{self.name}({', '.join(map(repr, self.arguments))})"


@dataclass(frozen=True, kw_only=True)
class Suite:
    """What a program must do.

    Attributes:
        tests: source text that defines `check(candidate)`, as in HumanEval, or that asserts, as in MBPP.
        setup: source text that the tests need: helpers, imports, the stub that the program replaces.
        entry_point: the function that `check` is given; None where asserts call functions by name.
    """

    tests: str
    setup: str = ""
    entry_point: str | None = None

    @cached_property
    def names(self) -> tuple[str, ...]:
        """The functions of the program that the tests call by name: whatever they call and nobody defines."""
        if self.entry_point is not None:
            return (self.entry_point,)
        found = ast.parse(self.tests)
        bound = _bound(found) | _bound(ast.parse(self.setup))
        called = [node.func.id for node in ast.walk(found) if isinstance(node, ast.Call) and isinstance(node.func, ast.Name)]
        return tuple(dict.fromkeys(name for name in called if name not in bound and not hasattr(builtins, name)))

    @cached_property
    def calls(self) -> tuple[Call, ...]:
        """Calls of the program in the asserts, those whose arguments are literals.

        >>> [str(call) for call in Suite(tests="assert f(1, [2]) == 3 and f(n) < 4").calls]
        ['f(1, [2])']
        """
        holder = _holder(ast.parse(self.tests))
        names = {name: name for name in self.names}
        if isinstance(holder, ast.FunctionDef) and self.entry_point and holder.args.args:
            names[holder.args.args[0].arg] = self.entry_point
        found = []
        for node in (inside for one in holder.body if isinstance(one, ast.Assert) for inside in ast.walk(one)):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in names and not node.keywords:
                with contextlib.suppress(ValueError, TypeError):  # something in it is no literal
                    found.append(Call(name=names[node.func.id], arguments=tuple(map(ast.literal_eval, node.args))))
        return tuple(found)

    def part(self, which: Part) -> Suite | None:
        r"""The tests, or the visible or hidden half of their asserts, drawn by their hash; tests of one assert are all hidden, and None
        is visible. For `mutated` it is the hidden half, beside which mutated inputs stand (`code.mutated`).

        >>> suite = Suite(tests="assert f(1) == 1\\nassert f(2) == 4\\nassert f(3) == 9")
        >>> [len(suite.part(which).tests.splitlines()) for which in ("all", "visible", "hidden")]
        [3, 2, 1]
        """
        if which == "all":
            return self
        found = ast.parse(self.tests)
        holder = _holder(found)
        asserts = [node for node in holder.body if isinstance(node, ast.Assert)]
        if len(asserts) < 2:
            return None if which == "visible" else self
        order = sorted(asserts, key=lambda node: digest("assert", ast.unparse(node)))
        visible = order[: (len(order) + 1) // 2]
        kept = visible if which == "visible" else order[len(visible) :]
        holder.body = [node for node in holder.body if not isinstance(node, ast.Assert) or any(node is one for one in kept)]
        return Suite(tests=ast.unparse(found), setup=self.setup, entry_point=self.entry_point)


def suite_of(prompt: Prompt) -> Suite:
    """The tests that a prompt's columns hold: `test` with `entry_point`, or `test_list` (a list of asserts); `context` and
    `test_setup_code` go before them.

    Raises:
        DataError: there are none, or they are no Python.
    """
    tags = prompt.tags
    where = _where(prompt)
    setup = "\n\n".join(str(tags[name]) for name in ("context", "test_setup_code") if tags.get(name))
    if tags.get("test_list"):
        listed = json.loads(str(tags["test_list"])) if str(tags["test_list"]).startswith("[") else [str(tags["test_list"])]
        suite = Suite(tests="\n".join(map(str, listed)), setup=setup)
    elif tags.get("test") and tags.get("entry_point"):
        suite = Suite(tests=str(tags["test"]), setup=setup, entry_point=str(tags["entry_point"]))
    else:
        raise DataError(
            f"{where} has no tests: give it the columns 'test' (defines check(candidate)) and 'entry_point', or 'test_list' (asserts)"
        )
    try:
        ast.parse(suite.setup)
        found = ast.parse(suite.tests)
    except (SyntaxError, ValueError) as error:
        raise DataError(f"the tests of {where} are no Python ({error}); mend them") from error
    if not any(isinstance(node, (ast.Assert, ast.Raise)) for node in ast.walk(found)):
        raise DataError(f"the tests of {where} assert nothing, so every program would pass; add an assert")
    return suite


def need_tests(prompts: Iterable[Prompt], part: Part = "all") -> None:
    """Check that every prompt has tests, before a token is spent, and for `mutated` a target to say what is right.

    Raises:
        DataError: one has none, or such as cannot be read.
    """
    for prompt in prompts:
        suite_of(prompt)
        if part == "mutated" and prompt.target is None:
            raise DataError(
                f"{_where(prompt)} has no target, a program that is right, so its tests cannot be mutated: give it one, or use code:hidden"
            )


def _where(prompt: Prompt) -> str:
    return f"prompt {prompt.tags.get('id', prompt.text[:60])!r}"


def _holder(tests: ast.Module) -> ast.Module | ast.FunctionDef:
    """What holds the asserts: `check`, or the text itself."""
    return next((node for node in tests.body if isinstance(node, ast.FunctionDef) and node.name == "check"), tests)


def _bound(tree: ast.Module) -> set[str]:
    """Names that the text itself binds, anywhere."""
    found: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
            found.add(node.name)
        elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            found.add(node.id)
        elif isinstance(node, ast.arg):
            found.add(node.arg)
        elif isinstance(node, (ast.Import, ast.ImportFrom)):
            found.update((one.asname or one.name).split(".")[0] for one in node.names)
    return found
