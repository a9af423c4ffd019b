"""What a GGUF file says of itself, checked against the file before any parser believes it."""

from __future__ import annotations

import math
import mmap
import struct
from collections.abc import Mapping
from pathlib import Path

from sharpen.errors import ModelError

__all__ = ["check_gguf"]

_SCALARS = {0: "B", 1: "b", 2: "H", 3: "h", 4: "I", 5: "i", 6: "f", 7: "?", 10: "Q", 11: "q", 12: "d"}
_STRING, _ARRAY = 8, 9
_MOST_KEYS = 4096
_MOST_TENSORS = 65_536
_MOST_NAME = 2**16  # bytes of a key or of a tensor's name
_WIDTHS = ("embedding_length", "feed_forward_length", "vocab_size")


def check_gguf(path: Path) -> None:
    """Check that a GGUF file's header is whole, and that all that it announces lies in the file.

    Raises:
        ModelError: it is not; the message has the place.
    """
    size = path.stat().st_size
    if size < 24:
        raise ModelError(f"{path} cannot be read as a GGUF model: it has {size} bytes; download it again")
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
        try:
            _Header(data).check()
        except (_Wrong, struct.error, UnicodeDecodeError) as error:
            raise ModelError(f"{path} cannot be read as a GGUF model: {error}; download it again") from error


class _Wrong(Exception):  # never leaves this module
    pass


class _Header:
    def __init__(self, data: mmap.mmap) -> None:
        self._data = data
        self._place = 0

    def check(self) -> None:
        if self._take(4) != b"GGUF":
            raise _Wrong("it does not begin with GGUF")
        version, num_tensors, num_keys = self._number("I"), self._number("Q"), self._number("Q")
        if version not in (2, 3):
            raise _Wrong(f"version {version} is not read, only 2 and 3, little-endian")
        if num_tensors > _MOST_TENSORS or num_keys > _MOST_KEYS:
            raise _Wrong(
                f"it announces {num_tensors} tensors and {num_keys} keys; {_MOST_TENSORS} and {_MOST_KEYS} are read at most"
            )
        known: dict[str, object] = {}
        for _ in range(num_keys):
            name = self._name()
            if name in known:
                raise _Wrong(f"the key {name!r} stands twice")
            known[name] = self._value(self._number("I"))
        self._check_tensors(num_tensors, known)

    def _check_tensors(self, number: int, known: Mapping[str, object]) -> None:
        from gguf.constants import GGML_QUANT_SIZES

        sizes = {int(kind): sizes for kind, sizes in GGML_QUANT_SIZES.items()}
        found: dict[str, tuple[list[int], int, int]] = {}
        for _ in range(number):
            name, dimensions = self._name(), self._number("I")
            if name in found or not 1 <= dimensions <= 4:
                raise _Wrong(f"tensor {name!r} stands twice, or has {dimensions} dimensions")
            shape = [self._number("Q") for _ in range(dimensions)]
            kind, offset = self._number("I"), self._number("Q")
            if kind not in sizes:
                raise _Wrong(f"tensor {name!r} is of a kind {kind} that is not known")
            block, width = sizes[kind]
            if not all(shape) or shape[0] % block:
                raise _Wrong(f"tensor {name!r} has the shape {shape}, which {block} values a block do not fill")
            found[name] = (shape, offset, math.prod(shape) // block * width)
        step = known.get("general.alignment", 32)
        if not isinstance(step, int) or not 8 <= step <= 2**16 or step & (step - 1):
            raise _Wrong(f"its alignment is {step}")
        start = -(-self._place // step) * step
        for name, (_, offset, num_bytes) in found.items():
            if offset % step or start + offset + num_bytes > len(self._data):
                raise _Wrong(
                    f"tensor {name!r} does not lie in the file ({num_bytes} bytes at {start + offset} of {len(self._data)})"
                )
        _check_architecture(known, [shape for shape, _, _ in found.values()])

    def _value(self, kind: int, *, inside: bool = False) -> object:
        if kind in _SCALARS:
            return self._number(_SCALARS[kind])
        if kind == _STRING:
            return self._text(self._number("Q"))
        if kind != _ARRAY or inside:
            raise _Wrong(f"a value at byte {self._place} is of a kind {kind} that is not known there")
        kind, count = self._number("I"), self._number("Q")
        least = struct.calcsize(_SCALARS[kind]) if kind in _SCALARS else 8
        if count * least > len(self._data) - self._place:
            raise _Wrong(f"a list at byte {self._place} announces {count} values, more than the file holds")
        if kind in _SCALARS:
            self._take(count * least)
        else:
            for _ in range(count):
                self._value(kind, inside=True)
        return None

    def _number(self, form: str) -> int:
        """The next number; of one with a point, which decides nothing here, 0."""
        data = self._take(struct.calcsize(form))
        return 0 if form in "fd" else int(struct.unpack(f"<{form}", data)[0])

    def _name(self) -> str:
        length = self._number("Q")
        if not 1 <= length <= _MOST_NAME:
            raise _Wrong(f"a name at byte {self._place} has {length} bytes")
        return self._text(length)

    def _text(self, length: int) -> str:
        return self._take(length).decode("utf-8", "replace")

    def _take(self, length: int) -> bytes:
        end = self._place + length
        if end > len(self._data):
            raise _Wrong(f"it ends at byte {len(self._data)}, in the middle of its header")
        taken = self._data[self._place : end]
        self._place = end
        return taken


def _check_architecture(known: Mapping[str, object], shapes: list[list[int]]) -> None:
    """No more layers than tensors and nothing wider than the widest: a model is allocated by what the keys say."""
    widest = max((max(shape) for shape in shapes), default=0)
    for key, value in known.items():
        if isinstance(value, int) and shapes:
            name = key.rpartition(".")[2]
            if (name == "block_count" and value > len(shapes)) or (name in _WIDTHS and value > widest):
                raise _Wrong(f"{key} is {value}, and it has {len(shapes)} tensors, the widest of {widest}")
