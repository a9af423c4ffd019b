"""A program that a model wrote, as the tester holds it: something that answers calls with plain values, and is believed nothing else."""

from __future__ import annotations

import json
import math
import secrets
import struct
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, Protocol

from sharpen.verifiers.code import program
from sharpen.verifiers.code.boxes import BoxClosed, Boxes, Ending, Limits, MontyBoxes, Raised
from sharpen.verifiers.code.boxes.monty import Foreign
from sharpen.verifiers.code.program import RefusedValueError, decode, encode, pack

__all__ = ["BoxedCandidate", "Candidate", "InterpretedCandidate", "Raised", "StoppedError"]

Kind = Literal["fail", "timeout", "resource", "could not run"]

_PROGRAM = Path(program.__file__).read_text(encoding="utf-8") + "\nserve()\n"
_HEAD = struct.Struct(">I")
_SLACK_S = 0.5  # past its wall-clock limit, for the box to say itself that it was reached


class StoppedError(BaseException):
    """The candidate can be asked nothing more; no `except Exception` of a test may hide it.

    Attributes:
        kind: what the verdict is.
        text: why, for people and as feedback.
    """

    def __init__(self, kind: Kind, text: str) -> None:
        super().__init__(f"{kind}: {text}")
        self.kind = kind
        self.text = text


class Candidate(Protocol):
    """A loaded program."""

    def call(self, name: str, arguments: Sequence[Any], keywords: Mapping[str, Any]) -> Any:  # Any: plain values
        """What its function of that name returns, of plain types exactly.

        Raises:
            Raised: it raised instead.
            StoppedError: it broke a limit or the protocol, returned what does not cross, or is gone.
            Unsupported: only another kind of box can run it.
            RefusedValueError: an argument is no plain value.
        """
        ...

    def close(self) -> None:
        """End it."""
        ...


class BoxedCandidate:
    """A program in CPython in a box, spoken to over the wire of `program`.

    A reply that is not the one to the call just made (early, late, twice, with another's nonce) ends it.

    Raises:
        Raised: it raised while it was loaded.
        StoppedError: it broke a limit or the protocol meanwhile, or the box could not run.
    """

    def __init__(self, boxes: Boxes, source: str, limits: Limits) -> None:
        self._box = boxes.open(_PROGRAM, limits)
        self._until = time.monotonic() + limits.wall_seconds + _SLACK_S
        self._limits = limits
        self._number = 0
        self._bytes = bytearray()
        try:
            self._ask({"source": source})
        except BaseException:
            self._box.close()
            raise

    def call(self, name: str, arguments: Sequence[Any], keywords: Mapping[str, Any]) -> Any:  # Any: plain values
        """As `Candidate.call`."""
        plain = {key: encode(value) for key, value in keywords.items()}
        return self._ask({"call": name, "arguments": [encode(value) for value in arguments], "keywords": plain})

    def close(self) -> None:
        """End it."""
        self._box.close()

    def _ask(self, message: Mapping[str, Any]) -> Any:  # Any: JSON; plain values
        self._number += 1
        said = {"number": self._number, "nonce": secrets.token_hex(8)}
        data = pack({**said, **message})
        try:
            self._box.send(data)
            reply = json.loads(self._receive(), parse_constant=_no_constant)
            return _value(reply, said)
        except BoxClosed:
            raise self._ended() from None
        except TimeoutError:
            raise StoppedError("timeout", self._late()) from None
        except (RefusedValueError, ValueError, RecursionError) as error:
            why = error if isinstance(error, RefusedValueError) else "what is no message"
            raise StoppedError("fail", f"the program sent {why}") from None

    def _receive(self) -> bytes:
        """One frame's content: nothing may have come before the call, and nothing may follow it."""
        size = None
        while size is None or len(self._bytes) < size:
            part = self._box.receive(1 << 16, max(0.001, self._until - time.monotonic()))
            if not part:
                raise BoxClosed
            self._bytes += part
            if size is None and len(self._bytes) >= _HEAD.size:
                size = _HEAD.size + _HEAD.unpack_from(self._bytes)[0]
                if size > program.MAX_BYTES:
                    raise RefusedValueError(f"a message of {size} bytes; {program.MAX_BYTES} are allowed")
        if len(self._bytes) > size:
            raise RefusedValueError("more than the reply that was due")
        data = bytes(self._bytes[_HEAD.size :])
        self._bytes.clear()
        return data

    def _late(self) -> str:
        ending = self._box.close()
        return ending.reason if ending.kind == "timeout" else f"no reply within {self._limits.wall_seconds:g} s"

    def _ended(self) -> StoppedError:
        return stopped(self._box.close())


class InterpretedCandidate:
    """A program in the interpreter that has no system to call.

    Raises:
        Raised, StoppedError: as of `BoxedCandidate`.
        Unsupported: it uses what the interpreter lacks.
    """

    def __init__(self, boxes: MontyBoxes, source: str, limits: Limits) -> None:
        self._limits = limits
        try:
            self._box = boxes.open(source, limits)
        except TimeoutError:
            raise StoppedError("timeout", self._late()) from None
        except BoxClosed as error:
            raise StoppedError("resource", str(error) or "the program broke a limit") from None

    def call(self, name: str, arguments: Sequence[Any], keywords: Mapping[str, Any]) -> Any:  # Any: plain values
        """As `Candidate.call`."""
        for value in (*arguments, *keywords.values()):
            encode(value)  # checks it
        try:
            found = self._box.call(name, arguments, keywords)
            if isinstance(found, Foreign):
                raise RefusedValueError(f"a value of class {found.kind}; plain values alone cross")
            encode(found)
            return _checked(found)
        except TimeoutError:
            raise StoppedError("timeout", self._late()) from None
        except BoxClosed:
            raise stopped(self._box.close()) from None
        except RefusedValueError as error:
            raise StoppedError("fail", f"the program returned {error}") from None

    def close(self) -> None:
        """End its session."""
        self._box.close()

    def _late(self) -> str:
        return f"it took longer than {self._limits.wall_seconds:g} s"


def stopped(ending: Ending) -> StoppedError:
    """Why a program that is gone gets no further, from how it ended."""
    kinds: dict[str, Kind] = {"timeout": "timeout", "memory": "resource", "output": "resource", "could_not_run": "could not run"}
    return StoppedError(kinds.get(ending.kind, "fail"), ending.reason)


def _value(reply: Any, said: Mapping[str, Any]) -> Any:  # Any: decoded JSON, from a hostile process; plain values
    if type(reply) is not dict or len(reply) != 3 or any(reply.get(key) != value for key, value in said.items()):
        raise RefusedValueError("a reply that is not to this call")
    if "value" in reply:
        return _checked(decode(reply["value"]))
    told = reply.get("raised")
    if type(told) is list and len(told) == 2 and all(type(one) is str for one in told):
        raise Raised(told[0][:100], told[1][: program.MAX_TEXT])
    if type(reply.get("refused")) is str:
        raise StoppedError("fail", f"the program returned {reply['refused'][:200]}")
    raise RefusedValueError("what is no reply")


def _checked(value: Any) -> Any:  # Any: plain values
    """The value, unless there is a NaN in it: it is neither equal nor unequal by more than a margin, so it slips past careless tests."""
    waiting = [value]
    while waiting:
        one = waiting.pop()
        if type(one) is float and math.isnan(one):
            raise StoppedError("fail", "the program returned NaN, which no test can compare")
        if type(one) is dict:
            waiting += [*one, *one.values()]
        elif type(one) in (list, tuple, set, frozenset):
            waiting += one
    return value


def _no_constant(name: str) -> None:
    raise RefusedValueError(f"the number {name}")
