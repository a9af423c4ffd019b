"""What identifies code: the text of a module and of the first-party modules that it imports; a function by its bytecode's source."""

from __future__ import annotations

import ast
import functools
import hashlib
import importlib.util
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import CodeType

from sharpen.digest import digest

__all__ = ["code_digest", "function_key", "source_digest"]


@functools.cache
def code_digest(module: str) -> str:
    """Hash of a module's source and of every module of the same top-level package or folder that it imports.

    Editing a comment changes it: a needless repeat is cheaper than a result that no code explains.
    """
    texts = {name: _source(name) for name in _closure(module)}
    return digest("code", {name: hashlib.sha256(text).hexdigest() for name, text in texts.items()})


def source_digest(function: Callable[..., object]) -> str:
    """Hash of a function's own code and of its module's: in a notebook, which is no file, the first alone tells."""
    code = getattr(function, "__code__", None)
    return digest("source", _code(code) if isinstance(code, CodeType) else None, code_digest(function.__module__))


def function_key(function: Callable[..., object]) -> object:
    """What identifies a function argument: where it is defined, and its code.

    Raises:
        ValueError: it is a closure that captures values; two of those print alike, so neither could be filed. Or it is an object
            that prints its place in memory, which is another in every process.
    """
    own = getattr(function, "key", None)
    if isinstance(own, str):
        return own
    if isinstance(function, functools.partial):
        return ["partial", function_key(function.func), list(function.args), dict(function.keywords)]
    if getattr(function, "__closure__", None):
        names = ", ".join(function.__code__.co_freevars) if hasattr(function, "__code__") else "values"
        raise ValueError(
            f"{getattr(function, '__qualname__', function)!r} captures {names}; move it to module level, use functools.partial, "
            "or make it a @part, so that what it does can be told from how it prints"
        )
    module = getattr(function, "__module__", None) or type(function).__module__
    name = getattr(function, "__qualname__", None)
    if name is None:  # an instance with __call__: its repr must tell its values
        if repr(function) == object.__repr__(function):
            raise ValueError(f"{function!r} does not print its values; make its class a frozen dataclass")
        return [module, repr(function), code_digest(module)]
    code = getattr(function, "__code__", None)
    return [module, name, _code(code) if isinstance(code, CodeType) else None, code_digest(module)]


def _code(code: CodeType) -> object:
    constants = [_constant(item) for item in code.co_consts]
    return [hashlib.sha256(code.co_code).hexdigest(), constants, list(code.co_names)]


def _constant(value: object) -> object:
    """A constant of a function's code; a set of them prints in another order in every process."""
    if isinstance(value, CodeType):
        return _code(value)
    if isinstance(value, tuple):
        return [_constant(item) for item in value]
    if isinstance(value, frozenset):
        return ["set", *sorted(map(repr, value))]
    return repr(value)


def _source(module: str) -> bytes:
    path = _path(module)
    return path.read_bytes() if path else b""


def _path(module: str) -> Path | None:
    loaded = sys.modules.get(module)
    file = getattr(loaded, "__file__", None)
    if file is None and loaded is None:
        try:
            spec = importlib.util.find_spec(module)
        except (ImportError, ValueError):
            return None
        file = spec.origin if spec else None
    return Path(file) if file and file.endswith(".py") and Path(file).exists() else None


def _closure(module: str) -> list[str]:
    seen: set[str] = set()
    waiting = [module]
    while waiting:
        name = waiting.pop()
        if name in seen or _path(name) is None:
            continue
        seen.add(name)
        waiting.extend(_first_party_imports(name, module))
    return sorted(seen)


def _first_party_imports(module: str, root: str) -> Iterator[str]:
    path, home = _path(module), _path(root)
    if path is None or home is None:
        return
    package = root.split(".", maxsplit=1)[0]
    for node in ast.walk(ast.parse(path.read_bytes())):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            origin = _origin(node, module, is_package=path.name == "__init__.py")
            names = [origin, *(f"{origin}.{alias.name}" for alias in node.names)]
        else:
            continue
        for name in names:
            if name.split(".")[0] == package or ("." not in name and (home.parent / f"{name}.py").exists()):
                yield name


def _origin(node: ast.ImportFrom, module: str, *, is_package: bool) -> str:
    """The module that `from ... import` names; each dot after the first goes one package up."""
    if not node.level:
        return node.module or ""
    package = module.split(".") if is_package else module.split(".")[:-1]
    return ".".join([*package[: len(package) - node.level + 1], *([node.module] if node.module else [])])
