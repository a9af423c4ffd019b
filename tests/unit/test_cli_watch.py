"""What a run's events add up to, on a terminal and in a pipe."""

from __future__ import annotations

import io
import re
import threading
import time

import pytest

from sharpen.cli.progress import Extent, Progress, extent_of
from sharpen.cli.watch import Lines, watching
from sharpen.events import Event, Observer
from sharpen.methods.grpo import grpo
from sharpen.methods.rft import rft
from sharpen.methods.self_consistency import self_consistency
from sharpen.tasks import Task
from sharpen.types import user
from sharpen.verifiers import exact

EXTENT = Extent(
    title="rft on words",
    rounds=2,
    passes=1,
    trainings=1,
    gate=10,
    final=20,
    final_reads=2,
    samples=frozenset({"completions"}),
)


class Terminal(io.StringIO):
    """A text stream that says it is a terminal."""

    def isatty(self) -> bool:
        return True


class Clock:
    """A clock that the test sets."""

    def __init__(self, step: float = 0.0) -> None:
        self.now, self.step = 0.0, step

    def __call__(self) -> float:
        self.now += self.step
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


def play(observe: Observer, clock: Clock) -> None:
    """A round: 40 samples at 10 a second, a training of 6 s, 20 evaluations at 10 a second; two decisions, a figure, a note."""
    for index in (0, 1):
        observe(Event(kind="round", round=index))
        observe(Event(kind="stage", round=index, step="rft", stage="completions"))
        for done in (20, 40):
            clock.now += 2
            observe(Event(kind="progress", round=index, step="rft", stage="completions", done=done, total=40, tokens=8 * done))
        observe(
            Event(kind="counts", round=index, step="rft", numbers={"sampled": 40, "kept": 12, "rejected": 27, "abstained": 1})
        )
        observe(Event(kind="stage", round=index, step="rft", stage="train", total=12))
        clock.now += 6
        observe(Event(kind="progress", round=index, step="rft", stage="train", done=3, total=3))
        observe(Event(kind="trained", round=index, step="rft", stage="train", numbers={"examples": 12}))
        observe(Event(kind="stage", round=index, step="gate", stage="evaluate on gate"))
        clock.now += 1
        observe(Event(kind="progress", round=index, step="gate", stage="evaluate on gate", done=10, total=10, tokens=80))
        observe(Event(kind="decision", round=index, numbers={"promote": 1}, message="held-out 1.0 % -> 2.0 %: promoted"))
    observe(Event(kind="held-out", stage="headline", numbers={"accuracy": 0.305, "prompts": 20}, message="improved"))
    observe(Event(kind="note", message="a sentence\x1b[2J"))
    observe(Event(kind="done"))


def test_time_left_counts_rows_and_trainings(clock: Clock) -> None:
    progress = Progress(extent=EXTENT, clock=clock)
    seen: list[float | None] = []

    def observe(event: Event) -> None:
        progress.update(event)
        if event.kind in ("progress", "decision"):
            seen.append(progress.time_left)

    play(observe, clock)
    # 2 x (40 + 10) + 10 + 2 x 20 = 150 rows at 0.1 s; a training takes 6 s once one is known
    assert seen[0] == pytest.approx(13.0)
    assert seen[1] == pytest.approx(11.0)
    assert seen[2] == pytest.approx(11.0 + 2 * 6.0)  # measured, not yet counted as done
    assert seen[3] == pytest.approx(10.0 + 6.0)
    assert seen[-1] == pytest.approx(5.0)
    assert progress.tokens == 2 * (320 + 80)


def test_what_is_read_from_file_costs_no_time(clock: Clock) -> None:
    progress = Progress(extent=EXTENT, clock=clock)
    progress.update(Event(kind="round", round=0))
    progress.update(Event(kind="stage", round=0, stage="completions"))
    progress.update(Event(kind="progress", round=0, stage="completions", done=20, total=40, tokens=0))
    assert progress.time_left is None
    clock.now += 4
    progress.update(Event(kind="progress", round=0, stage="completions", done=40, total=40, tokens=160))
    assert progress.time_left == pytest.approx((150 - 40) * 0.2)
    assert progress.speed == pytest.approx(40.0)


def test_a_second_call_under_the_same_name_starts_anew(clock: Clock) -> None:
    progress = Progress(extent=EXTENT, clock=clock)
    for _ in range(3):
        clock.now += 1
        progress.update(Event(kind="progress", round=0, step="gate", stage="probe", done=48, total=48, tokens=96))
        progress.update(Event(kind="stage", round=0, step="gate", stage="probe"))
    assert progress.tokens == 3 * 96


def test_the_first_block_of_a_stage_within_a_stage_took_its_time(clock: Clock) -> None:
    progress = Progress(extent=EXTENT, clock=clock)
    progress.update(Event(kind="stage", round=0, step="s", stage="implicit_reward", total=4))
    clock.now += 10
    progress.update(Event(kind="progress", round=0, step="s", stage="score", done=2, total=4, tokens=50))
    assert progress.speed == pytest.approx(5.0)


def test_a_pipe_gets_plain_lines(clock: Clock) -> None:
    file = io.StringIO()
    with watching(EXTENT, quiet=False, file=file, clock=clock) as observe:
        play(observe, clock)
    lines = file.getvalue().splitlines()
    assert lines[0] == "rft on words · round 1 of 2"
    assert lines[1] == "  kept 12, rejected 27, abstained 1 of 40 sampled"
    assert lines[2].startswith("  trained on 12 examples (320 tokens, 10.0 s; about ")
    assert lines[3] == "round 1: held-out 1.0 % -> 2.0 %: promoted"
    assert lines[-2:] == ["headline: improved: 30.5 % of 20", "a sentence[U+001B][2J"]
    assert all(len(line) <= 100 and "\x1b" not in line for line in lines)


def test_a_long_stage_says_where_it_is_every_half_minute() -> None:
    clock, file = Clock(step=5.0), io.StringIO()
    with watching(EXTENT, quiet=False, file=file, clock=clock) as observe:
        for done in range(1, 21):
            observe(Event(kind="progress", round=0, stage="completions", done=done, total=20, tokens=done))
    lines = file.getvalue().splitlines()
    assert 2 < len(lines) < 20
    assert re.match(r"  sampling: \d+ of 20.* \(\d+ tokens, ", lines[0])


def test_a_terminal_gets_a_panel_and_keeps_the_decisions(clock: Clock) -> None:
    file = Terminal()
    with watching(EXTENT, quiet=False, file=file, clock=clock) as observe:
        play(observe, clock)
    plain = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", file.getvalue())
    assert "round 1: held-out 1.0 % -> 2.0 %: promoted" in plain
    assert "round 2 of 2" in plain
    assert "kept 12, rejected 27, abstained 1 of 40 sampled" in plain
    assert "cost so far" in plain
    assert "tokens a second" in plain
    assert "a sentence[U+001B][2J" in plain


def test_quiet_is_silent(clock: Clock) -> None:
    file = io.StringIO()
    with watching(EXTENT, quiet=True, file=file, clock=clock) as observe:
        play(observe, clock)
    assert file.getvalue() == ""


def test_the_extent_of_a_run_is_known_before_it_starts() -> None:
    prompts = [user(f"{n}", target="x") for n in range(50)]
    task = Task(name="t", train=tuple(prompts[:20]), gate=tuple(prompts[20:30]), final=tuple(prompts[30:]), verifier=exact())
    verifier = exact()
    one = extent_of(rft(verifier), task, rounds=None, controls=False)
    assert (one.rounds, one.passes, one.trainings, one.gate, one.final, one.final_reads) == (3, 1, 1, 10, 20, 2)
    many = extent_of(grpo(verifier, num_steps=7), task, rounds=2, controls=True)
    assert (many.rounds, many.passes, many.samples) == (2, 7, frozenset({"completions"}))
    assert many.final_reads > 2
    assert extent_of(self_consistency(), task, rounds=5, controls=False).rounds == 0


def test_a_silent_stage_says_once_a_minute_what_is_awaited(clock: Clock) -> None:
    pipe = io.StringIO()
    lines = Lines(Progress(extent=EXTENT, clock=clock), pipe)
    lines(Event(kind="stage", stage="verify"))
    for _ in range(6):
        clock.now += 30
        lines.beat()
    assert pipe.getvalue().splitlines() == [
        "  waiting for checking answers: nothing new for 1 min 30 s",
        "  waiting for checking answers: nothing new for 3 min 0 s",
    ]
    lines(Event(kind="progress", stage="verify", done=1, total=2))
    before = pipe.getvalue()
    clock.now += 59
    lines.beat()
    assert pipe.getvalue() == before


def test_a_heartbeat_ends_with_the_run(monkeypatch: pytest.MonkeyPatch, clock: Clock) -> None:
    monkeypatch.setattr("sharpen.cli.watch._EVERY_S", 0.01)
    pipe = io.StringIO()
    with watching(EXTENT, quiet=False, file=pipe, clock=clock):
        clock.now += 1000
        until = time.monotonic() + 20
        while not pipe.getvalue() and time.monotonic() < until:
            time.sleep(0.01)
    assert "waiting for the start" in pipe.getvalue()
    assert [thread for thread in threading.enumerate() if thread.name == "heartbeat"] == []
