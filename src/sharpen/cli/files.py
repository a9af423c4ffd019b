"""Settings files: YAML of names and plain values. A file holds values, never code."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from sharpen.errors import DataError
from sharpen.strict_yaml import read_yaml

__all__ = ["read_file"]

_MOST = 2**20


def read_file(path: Path) -> Mapping[str, object]:
    """The names and values of a settings file.

    Raises:
        DataError: it cannot be read, is no YAML, or is no mapping of names; the message has the line.
    """
    try:
        if path.stat().st_size > _MOST:
            raise DataError(f"{path} is larger than {_MOST} bytes, so it is no settings file; check the path")
        text = path.read_text("utf-8")
    except OSError as error:
        raise DataError(f"cannot read the settings file {path}: {error.strerror}; correct the path") from error
    except UnicodeDecodeError as error:
        raise DataError(f"{path} is not UTF-8 text; a settings file is YAML") from error
    try:
        found = read_yaml(text)
    except ValueError as error:
        raise DataError(f"{path}, {error}") from error
    if not isinstance(found, Mapping):
        raise DataError(f"{path} holds {type(found).__name__}, not settings; write lines such as `method: rft`")
    for name in found:
        if not isinstance(name, str):
            raise DataError(f"{path}: {name!r} is no name of a setting; write lines such as `rounds: 3`")
    return {name.replace("-", "_"): value for name, value in found.items()}
