"""How the program ends: every error as one sentence and an exit code; Ctrl-C and SIGTERM are safe and say so."""

from __future__ import annotations

import contextlib
import errno
import signal
import sys
import textwrap
import threading
from collections.abc import Iterator
from typing import Any

import typer
from typer.core import TyperGroup

from sharpen.errors import SharpenError

__all__ = ["FINE", "INTERRUPTED", "MISTAKE", "WORLD", "Program", "sentence"]

FINE, WORLD, MISTAKE, INTERRUPTED = 0, 1, 2, 130
"""Exit codes: all is well; the world was not as needed; the command was wrong; Ctrl-C. Other signals that end it: 128 + their number."""

_ENDING = (signal.SIGTERM, signal.SIGHUP)  # a service manager's or a container's end, and a closed terminal's


class _Ended(KeyboardInterrupt):
    """The system asks the program to end; `number` is the signal's."""

    def __init__(self, number: int) -> None:
        super().__init__()
        self.number = number


_USAGE = typer.BadParameter.__mro__[1]  # typer's usage error, which it does not export


class Program(TyperGroup):
    """The group of commands. `--debug`, wherever it stands, shows where an error comes from."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:  # Any: typer's own context, which it does not export
        """Parse the words without `--debug`."""
        ctx.meta["sharpen.debug"] = "--debug" in args
        return super().parse_args(ctx, [word for word in args if word != "--debug"])

    def invoke(self, ctx: Any) -> Any:  # Any: as above
        """Run the command; an error becomes a sentence on stderr and an exit code."""
        try:
            with _heeding_signals():
                return super().invoke(ctx)
        except KeyboardInterrupt as error:
            with contextlib.suppress(OSError):  # the terminal may be gone
                print("\nstopped; nothing that was finished is lost: the same command goes on", file=sys.stderr, flush=True)
            raise typer.Exit(128 + error.number if isinstance(error, _Ended) else INTERRUPTED) from None
        except (typer.Exit, typer.Abort):
            raise
        except Exception as error:  # the boundary to people
            if ctx.meta["sharpen.debug"] or _is_broken_pipe(error):
                raise
            message, code = sentence(error)
            _tell(f"sharpen: {message}")
            raise typer.Exit(code) from None


@contextlib.contextmanager
def _heeding_signals() -> Iterator[None]:
    """Let what asks the program to end unwind it as Ctrl-C does: workers are ended, the database is closed."""

    def end(number: int, frame: object) -> None:
        raise _Ended(number)

    here = threading.current_thread() is threading.main_thread()
    heeded = [
        number for number in _ENDING if here and signal.getsignal(number) is signal.SIG_DFL
    ]  # else ignored on purpose (nohup)
    for number in heeded:
        signal.signal(number, end)
    try:
        yield
    finally:
        for number in heeded:
            signal.signal(number, signal.SIG_DFL)


def sentence(error: Exception) -> tuple[str, int]:
    """The error in one sentence, and the exit code that goes with it.

    >>> sentence(ValueError("rounds is 0; it is at least 1"))
    ('rounds is 0; it is at least 1', 2)
    """
    if isinstance(error, SharpenError):
        return str(error), WORLD
    if isinstance(error, _USAGE):
        return f"{error.format_message()} See --help", MISTAKE  # type: ignore[attr-defined]  # as typer's own
    if isinstance(error, MemoryError) or "out of memory" in str(error).lower() or "can't allocate memory" in str(error):
        return (
            "memory ran out; nothing that was finished is lost: close other programs, shorten answers (--max-new-tokens), or "
            "choose a smaller model, then run the same command again",
            WORLD,
        )
    if isinstance(error, OSError) and error.errno == errno.ENOSPC:
        return "the disk is full; free some and run the same command again", WORLD
    if isinstance(error, OSError) and error.strerror:
        return f"{error.filename or 'the system'}: {error.strerror}", WORLD
    if isinstance(error, ValueError):
        return str(error), MISTAKE
    if isinstance(error, TypeError):  # the caller's where we raised it, ours where Python did; it does not say
        return f"{error} (--debug shows where)", MISTAKE
    return f"{type(error).__name__}: {error} - a fault of sharpen's own; --debug shows where", WORLD


def _is_broken_pipe(error: Exception) -> bool:
    return isinstance(error, OSError) and error.errno == errno.EPIPE


def _tell(text: str) -> None:
    """Print on stderr within 100 columns; what a file or model may have put into a message cannot move the cursor."""
    safe = "".join(letter if letter.isprintable() else ascii(letter)[1:-1] for letter in text)
    lines = textwrap.wrap(safe, 100, subsequent_indent="  ", break_long_words=False, break_on_hyphens=False)
    print("\n".join(lines), file=sys.stderr)
