"""Which part of an answer is the program."""

from __future__ import annotations

import ast
import re
import warnings

__all__ = ["code_of", "program_of"]

_FENCE = re.compile(r"^[ \t]*(`{3,}|~{3,})[^\n`]*\n(.*?)^[ \t]*\1[ \t]*$", re.DOTALL | re.MULTILINE)
_OPEN = re.compile(r"^[ \t]*(?:`{3,}|~{3,})[^\n`]*\n", re.MULTILINE)


def code_of(text: str) -> str:
    """The content of an answer's last fenced block, closed or (at the end, where the answer was cut) not; else the whole text.

    >>> code_of("It adds.\\n```python\\ndef f(x):\\n    return x + 1\\n```\\nDone.")
    'def f(x):\\n    return x + 1\\n'
    """
    closed = list(_FENCE.finditer(text))
    rest = text[closed[-1].end() :] if closed else text
    opened = list(_OPEN.finditer(rest))
    if opened:
        return rest[opened[-1].end() :]
    return closed[-1][2] if closed else text


def program_of(text: str, *, context: str = "", entry_point: str | None = None) -> str:
    """The program that an answer stands for, with what the task gives before it.

    Where the code defines `entry_point` at its top level, it follows `context` (imports, helpers, the stub that it replaces) as it
    is. Where it does not, it is read as the body that `context` ends before, up to the first line that is no part of it: a model that
    goes on from a stub seldom stops there.

    >>> print(program_of("    return x\\nprint(f(2))", context="def f(x):\\n", entry_point="f"))
    def f(x):
        return x
    <BLANKLINE>
    """
    code = code_of(text)
    if not context:
        return code
    if entry_point is None or _defines(code, entry_point):
        return f"{context}\n{code}"
    return context + _body(code)


def _defines(code: str, name: str) -> bool:
    """Whether the name is bound at the top level; code that cannot be parsed is searched for the words."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of the candidate's escapes and comparisons
            found = ast.parse(code)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return re.search(rf"^(?:async\s+)?(?:def|class)\s+{re.escape(name)}\b", code, re.MULTILINE) is not None
    for node in found.body:
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)) and node.name == name:
            return True
        if isinstance(node, ast.Assign) and any(isinstance(one, ast.Name) and one.id == name for one in node.targets):
            return True
        if isinstance(node, (ast.Import, ast.ImportFrom)) and any((one.asname or one.name) == name for one in node.names):
            return True
    return False


def _body(code: str) -> str:
    lines = code.lstrip("\n").splitlines(keepends=True)
    for place, line in enumerate(lines):
        if line.strip() and not line[0].isspace():
            return "".join(lines[:place]) if place else code
    return "".join(lines)
