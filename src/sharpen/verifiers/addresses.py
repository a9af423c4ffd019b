"""Where a function is found again by another process: a module that can be imported, or a file, and a name in it."""

from __future__ import annotations

import difflib
import hashlib
import importlib
import importlib.util
import os
import sys
import types
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import reduce
from pathlib import Path

from sharpen.errors import VerifierError
from sharpen.verifiers.verdicts import told

__all__ = ["Address", "address_of", "import_file", "parse_address", "resolve"]


@dataclass(frozen=True, kw_only=True)
class Address:
    """A name in a module.

    Attributes:
        module: as `import` or `sys.modules` knows it.
        name: dotted path of attributes within the module.
        file: the module's source file, or None where it has none.
        sha256: of that file when the address was made; another content is not the same verifier.
    """

    module: str
    name: str
    file: str | None = None
    sha256: str | None = None


def parse_address(spec: str) -> Address:
    """The address that `module:name` or `path/to/file.py:name` says; the module or file is imported to see that it holds.

    Raises:
        ValueError: it is of neither form, or there is no such file, module or name.
        VerifierError: the module fails while it is imported.
    """
    where, colon, name = spec.rpartition(":")
    if not colon or not where or not name:
        raise ValueError(f"{spec!r} names no function; write module:function or path/to/file.py:function")
    try:
        module = import_file(Path(where)) if where.endswith(".py") else _import_module(where)
    except FileNotFoundError as error:
        raise ValueError(f"{spec!r}: there is no file {where!r} below {Path.cwd()}; correct the path") from error
    except ModuleNotFoundError as error:
        if error.name and (where == error.name or where.startswith(f"{error.name}.")):
            message = f"{spec!r}: there is no module {where!r}; correct the name, or give the path of a .py file"
            raise ValueError(message) from error
        raise VerifierError(f"{where} cannot be imported: {error}; install what it needs") from error
    except Exception as error:
        raise VerifierError(f"{where} cannot be imported: {told(error)}") from error
    address = _in_module(module, name)
    _attribute(module, address)
    return address


def address_of(function: object) -> Address | None:
    """Where another process finds this function or class, or None for what only this process has.

    Those are lambdas, functions inside functions, and all of `__main__` (a script or notebook, which must not be run again).
    """
    if not isinstance(function, (types.FunctionType, types.BuiltinFunctionType, type)):
        return None
    module = sys.modules.get(function.__module__ or "")
    if module is None or module.__name__ == "__main__" or "<" in function.__qualname__:
        return None
    address = _in_module(module, function.__qualname__)
    try:
        return address if _attribute(module, address) is function else None
    except ValueError:
        return None


def resolve(address: Address) -> object:
    """What is at the address, imported by name where that leads to the same file, else from the file.

    Raises:
        VerifierError: the file has another content than when the address was made.
        ValueError: the name is gone.
    """
    if address.file is not None and _sha256(Path(address.file).read_bytes()) != address.sha256:
        raise VerifierError(f"{address.file} was changed after the run had read it; start the command again to use the new one")
    module = sys.modules.get(address.module)
    if module is None:
        try:
            spec = importlib.util.find_spec(address.module)
        except (ImportError, ValueError):
            spec = None
        if spec is not None and (address.file is None or _same(spec.origin, address.file)):
            module = importlib.import_module(address.module)
        elif address.file is not None:
            module = import_file(Path(address.file), name=address.module)
        else:
            raise VerifierError(f"module {address.module!r} cannot be imported here; put its folder on PYTHONPATH")
    return _attribute(module, address)


def import_file(path: Path, *, name: str | None = None) -> types.ModuleType:
    """The module that a file makes, run with its folder first on the path, as `python file.py` would.

    Its name holds a digest of its content, so an edited file is another module. Nothing is cached on disk.

    Raises:
        FileNotFoundError: there is no such file.
    """
    path = path.resolve()
    source = path.read_bytes()
    name = name or f"{path.stem.replace('.', '_')}@{_sha256(source)[:12]}"
    if name in sys.modules and sys.modules[name].__file__ == str(path):
        return sys.modules[name]
    module = types.ModuleType(name)
    module.__file__ = str(path)
    module.__spec__ = importlib.util.spec_from_file_location(name, path)
    sys.modules[name] = module
    try:
        with _first_on_path(str(path.parent)):
            exec(compile(source, str(path), "exec"), module.__dict__)
    except BaseException:
        del sys.modules[name]
        raise
    return module


@contextmanager
def _first_on_path(folder: str) -> Iterator[None]:
    """The folder is first while the module runs and last afterwards, for what its functions import later."""
    sys.path.insert(0, folder)
    try:
        yield
    finally:
        sys.path.remove(folder)
        if folder not in sys.path:
            sys.path.append(folder)


def _import_module(name: str) -> types.ModuleType:
    """The module of that name; the current folder is searched last, as a console script leaves it out."""
    if not {"", os.getcwd()} & set(sys.path):
        sys.path.append(os.getcwd())
    importlib.invalidate_caches()
    return importlib.import_module(name)


def _same(origin: str | None, file: str) -> bool:
    return origin is not None and os.path.realpath(origin) == os.path.realpath(file)


def _in_module(module: types.ModuleType, name: str) -> Address:
    file = module.__dict__.get("__file__")
    if not isinstance(file, str) or not file.endswith(".py") or not os.path.exists(file):
        return Address(module=module.__name__, name=name)
    return Address(module=module.__name__, name=name, file=file, sha256=_sha256(Path(file).read_bytes()))


def _attribute(module: types.ModuleType, address: Address) -> object:
    try:
        found: object = reduce(getattr, address.name.split("."), module)
    except AttributeError:
        near = difflib.get_close_matches(address.name, [key for key in vars(module) if callable(vars(module)[key])], n=1)
        hint = f"; did you mean {near[0]!r}?" if near else ""
        raise ValueError(f"{address.file or address.module} has no {address.name!r}{hint}") from None
    return found


def _sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()
