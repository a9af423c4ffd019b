"""The process that a verifier runs in: it reads pairs, writes verdicts, and may be killed at any moment."""

from __future__ import annotations

import faulthandler
import io
import os
import resource
import sys
from collections.abc import Mapping
from contextlib import suppress
from typing import Any, NoReturn

from sharpen.protocols import Verifier
from sharpen.verifiers.addresses import Address, resolve
from sharpen.verifiers.functions import FunctionVerifier
from sharpen.verifiers.verdicts import judge, told
from sharpen.verifiers.wire import decode_pair, encode_verdict, frame, read_frame

__all__ = ["build", "main", "serve"]


def main() -> NoReturn:
    """Serve on what were standard input and output, with the verifier that the first frame describes."""
    requests, replies = os.dup(0), os.dup(1)
    isolate(requests, replies)
    order = read_frame(requests)
    if order is None:
        os._exit(0)
    try:
        verifier = build(order["verifier"])
    except BaseException as error:  # foreign modules may raise anything while they are imported
        _write(replies, frame({"failed": told(error)}))
        os._exit(1)
    serve(verifier, requests, replies, limit_s=order["limit_s"])


def build(described: Mapping[str, Any]) -> Verifier:  # Any: decoded JSON
    """The verifier that a pool described: a function by its address, or an instance by its class and fields."""
    found = resolve(Address(**described["address"]))
    if "fields" in described:
        fields = {name: tuple(value) if isinstance(value, list) else value for name, value in described["fields"].items()}
        found = found(**fields)  # type: ignore[operator]  # the pool described a class
    if "columns" in described:
        return FunctionVerifier(  # form and shape as the pool saw them
            function=found,  # type: ignore[arg-type]  # the pool found it callable
            name=described["name"],
            columns=described["columns"],
            form=described["form"],
        )
    return found  # type: ignore[return-value]  # the pool found it to be a verifier


def isolate(requests: int, replies: int) -> None:
    """Make this process safe to share with foreign code.

    Reads of standard input end at once, prints go where errors go, children lose the pipes, the kernel kills us first when
    memory runs out, and a crash leaves its traceback but no core file.
    """
    null = os.open(os.devnull, os.O_RDWR)
    os.dup2(null, 0)
    os.dup2(2, 1)
    os.close(null)
    sys.stdin = io.TextIOWrapper(io.FileIO(0, closefd=False), "utf-8")
    sys.stdout = io.TextIOWrapper(io.FileIO(1, "wb", closefd=False), "utf-8", "backslashreplace", write_through=True)
    sys.stderr = io.TextIOWrapper(io.FileIO(2, "wb", closefd=False), "utf-8", "backslashreplace", write_through=True)
    faulthandler.enable(file=sys.stderr)
    resource.setrlimit(resource.RLIMIT_CORE, (0, resource.getrlimit(resource.RLIMIT_CORE)[1]))  # a sandbox sets its own
    with suppress(OSError), open("/proc/self/oom_score_adj", "w") as file:
        file.write("1000")
    os.register_at_fork(after_in_child=lambda: _forget(requests, replies))


def _forget(*descriptors: int) -> None:
    """A child that outlives us must not hold the pipes open, or the pool would not see us end."""
    for descriptor in descriptors:
        with suppress(OSError):
            os.close(descriptor)


def serve(verifier: Verifier, requests: int, replies: int, *, limit_s: float) -> NoReturn:
    """Judge pairs until the pool is gone.

    Args:
        limit_s: a verdict that takes longer ends the process. The pool kills it before; this is for when the pool itself was
            killed.
    """
    own = os.getpid()
    _write(replies, frame({"ready": own}))
    while (pairs := read_frame(requests)) is not None:
        for number, encoded in pairs:
            prompt, completion = decode_pair(encoded)
            faulthandler.dump_traceback_later(limit_s, exit=True, file=sys.stderr)
            verdict = judge(verifier, prompt, completion, catch=BaseException)
            faulthandler.cancel_dump_traceback_later()
            if os.getpid() != own:  # a child that the verifier forked and let come back to us
                os._exit(0)
            _write(replies, frame(encode_verdict(number, verdict)))
    os._exit(0)


def _write(descriptor: int, data: bytes) -> None:
    view = memoryview(data)
    try:
        while view:
            view = view[os.write(descriptor, view) :]
    except OSError:  # the pool is gone
        os._exit(0)
