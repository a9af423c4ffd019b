"""How the helper processes of boxes are started: with the standard library, and nothing else of sharpen or of what is installed."""

from __future__ import annotations

import sys
from pathlib import Path

__all__ = ["boot"]

# the packages on the way are made empty: what their own files import has no place in a process that is to stay small
_BOOT = """
import sys, types
for name, place in {places!r}:
    sys.modules[name] = module = types.ModuleType(name)
    module.__path__ = [place]
from {module} import main
main()
"""


def boot(module: str, *arguments: str) -> list[str]:
    """The command that runs `main` of a module beside this one.

    >>> boot("launcher", "3")[-1]
    '3'
    """
    *_, package = names = [__package__.rsplit(".", up)[0] for up in reversed(range(__package__.count(".") + 1))]
    folders = [str(folder) for folder in Path(__file__).parents[: len(names)]]
    places = list(zip(names, reversed(folders), strict=True))
    return [sys.executable, "-I", "-S", "-c", _BOOT.format(places=places, module=f"{package}.{module}"), *arguments]
