"""Watching a run: a live panel on a terminal, plain lines in a pipe."""

from __future__ import annotations

import contextlib
import sys
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import TextIO

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from sharpen.cli.output import WIDTH, count, duration, percent, say, visible
from sharpen.cli.progress import Extent, Progress, in_words
from sharpen.events import Event, Observer, silent

__all__ = ["Lines", "Panel", "happened", "watching"]

_EVERY_S = 30.0  # between two lines of one long stage
_SILENT_S = 60.0  # without an event, after which a pipe is told what is awaited


@contextlib.contextmanager
def watching(
    extent: Extent, *, quiet: bool, file: TextIO | None = None, clock: Callable[[], float] = time.monotonic
) -> Iterator[Observer]:
    """An observer for `improve`: a panel where `file` (stdout) is a terminal, lines where not, nothing where quiet."""
    file = file or sys.stdout
    progress = Progress(extent=extent, clock=clock)
    if quiet:
        yield silent
    elif file.isatty():
        console = Console(file=file, highlight=False, width=min(WIDTH, Console(file=file).width))
        panel = Panel(progress)
        with Live(panel, console=console, refresh_per_second=4, transient=True):

            def observe(event: Event) -> None:
                progress.update(event)
                for line in happened(event, progress):
                    console.print(Text(visible(line)))

            yield observe
    else:
        lines = Lines(progress, file)
        with _beating(lines.beat):
            yield lines


@contextlib.contextmanager
def _beating(beat: Callable[[], None]) -> Iterator[None]:
    """Call `beat` now and then, beside what goes on."""
    ended = threading.Event()

    def go_on() -> None:
        while not ended.wait(_EVERY_S):
            beat()

    thread = threading.Thread(target=go_on, name="heartbeat", daemon=True)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()


def happened(event: Event, progress: Progress) -> Iterator[str]:
    """Sentences about what is worth keeping on the screen: decisions, held-out figures, notes."""
    if event.kind == "decision":
        name = "setup" if event.round < 0 else f"round {event.round + 1}"
        yield f"{name}: {event.message}"
    elif event.kind == "held-out":
        yield f"{event.stage}: {event.message}: {percent(event.numbers['accuracy'])} of {count(event.numbers['prompts'])}"
    elif event.kind == "note":
        yield event.message


@dataclass
class Lines:
    """Prints what happens as lines within 100 columns; a long stage says where it is every half minute, a silent one that it lasts."""

    progress: Progress
    file: TextIO
    _told: float = field(init=False)
    _heard: float = field(init=False)

    def __post_init__(self) -> None:
        self._told = self._heard = self.progress.clock()

    def __call__(self, event: Event) -> None:
        """Take an event in, and print what it says."""
        self.progress.update(event)
        self._heard = self.progress.clock()
        for line in (*happened(event, self.progress), *self._moved(event)):
            self._say(line)

    def beat(self) -> None:
        """Say what is awaited, where nothing was heard or said for a minute: a verifier that takes long, a server that is slow."""
        now, progress = self.progress.clock(), self.progress
        if now - max(self._heard, self._told) > _SILENT_S:
            self._say(f"  waiting for {in_words(progress.stage) or 'the start'}: nothing new for {duration(now - self._heard)}")

    def _say(self, line: str) -> None:
        say(line, file=self.file)
        self.file.flush()
        self._told = self.progress.clock()

    def _moved(self, event: Event) -> Iterator[str]:
        progress = self.progress
        if event.kind == "round":
            yield _round_line(progress)
        elif event.kind == "counts":
            numbered = f"pass {progress.passes} of {progress.extent.passes}: " if progress.extent.passes > 1 else ""
            yield f"  {numbered}{_accounts(dict(event.numbers))}"
        elif event.kind == "trained" and progress.extent.passes == 1:
            control = "a control was " if event.round < 0 and progress.round >= 0 else ""
            yield f"  {control}trained on {count(event.numbers['examples'])} examples ({_cost(progress)})"
        elif event.kind == "progress" and progress.clock() - self._told > _EVERY_S:
            yield f"  {in_words(event.stage)}: {_where(progress)} ({_cost(progress)})"


@dataclass(frozen=True)
class Panel:
    """What a terminal shows while a run goes on."""

    progress: Progress

    def __rich__(self) -> RenderableType:
        """The panel as it stands now."""
        progress = self.progress
        grid = Table.grid(padding=(0, 2))
        grid.add_column(style="bold", no_wrap=True)
        grid.add_column()
        bar = ProgressBar(total=max(1, progress.total), completed=progress.done, width=30)
        line = Table.grid(padding=(0, 2))
        line.add_row(bar, Text(_where(progress)))
        grid.add_row(in_words(progress.stage) or "starting", line)
        grid.add_row("samples", Text(_accounts(progress.accounts) if progress.accounts else "none yet in this round"))
        grid.add_row("cost so far", Text(_cost(progress)))
        return Group(Text(visible(_round_line(progress)), style="bold"), grid)


def _round_line(progress: Progress) -> str:
    extent = progress.extent
    if progress.round < 0:
        return extent.title if extent.rounds == 0 else f"{extent.title} · before the first round"
    passes = f" · pass {min(progress.passes + 1, extent.passes)} of {extent.passes}" if extent.passes > 1 else ""
    rounds = "" if extent.rounds is None else f" of {extent.rounds}"
    return f"{extent.title} · round {progress.round + 1}{rounds}{passes}"


def _where(progress: Progress) -> str:
    place = f"{count(progress.done)} of {count(progress.total)}" if progress.total else ""
    speed = f"{count(progress.speed)} tokens a second" if progress.speed >= 1 else ""
    return ", ".join(word for word in (place, speed) if word)


def _accounts(numbers: dict[str, float]) -> str:
    told = [f"{name} {count(numbers[name])}" for name in ("kept", "rejected", "failed", "abstained") if name in numbers]
    return f"{', '.join(told)} of {count(numbers.get('sampled', 0))} sampled"


def _cost(progress: Progress) -> str:
    left = progress.time_left
    told = f"{count(progress.tokens)} tokens, {duration(progress.elapsed)}"
    return told if left is None or left < 1 else f"{told}; about {duration(left)} left"
