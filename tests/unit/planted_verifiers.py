"""Verifiers that misbehave on command: the completion's text says how."""

import contextlib
import ctypes
import os
import signal
import sys
import threading
import time
from dataclasses import dataclass

STATE = {"right": "right"}


@dataclass(frozen=True)
class Longer:
    than: int

    def __call__(self, prompt, completion):
        return len(completion.text) > self.than


def here(prompt, completion):
    return completion.text == STATE["right"]


def _note(prompt, name):
    with open(prompt.tags[name], "a") as file:
        file.write(f"{os.getpid()}\n")


def _endless():
    while True:
        pass


def _write_everywhere():
    for descriptor in range(3, 12):
        with contextlib.suppress(OSError):
            os.write(descriptor, b"\x00\x00\x00\x02{}")


def _outlive(prompt):
    if os.fork() == 0:
        _note(prompt, "pids")
        time.sleep(600)


def _die_later():
    threading.Thread(target=lambda: (time.sleep(0.05), os._exit(7)), daemon=True).start()


def _shout():
    print("a line for people", flush=True)
    print("\ud800 cannot be encoded")
    sys.stdout.write("x" * 100_000)
    os.write(1, b"\x00\x00\x00\x05junk!")
    os.system("echo from a shell")


def unruly(prompt, completion):
    """0 or 1 by equality with the target, unless the text is a command."""
    actions = {
        "hang": _endless,
        "sleep": lambda: time.sleep(600),
        "segfault": lambda: ctypes.string_at(0),
        "exit": lambda: os._exit(3),
        "sys.exit": lambda: sys.exit(0),
        "abort": os.abort,
        "killed": lambda: os.kill(os.getpid(), signal.SIGKILL),
        "alarm": lambda: (signal.alarm(1), time.sleep(600)),
        "raise": lambda: 1 / 0,
        "deep": lambda: unruly(prompt, completion),
        "memory": lambda: bytearray(1 << 62),
        "interrupt": lambda: (_ for _ in ()).throw(KeyboardInterrupt),
        "shout": _shout,
        "read": lambda: input("your answer? "),
        "outlive": lambda: _outlive(prompt),
        "fork": os.fork,
        "junk": _write_everywhere,
        "close": lambda: os.closerange(3, 64),
        "later": _die_later,
        "note": lambda: _note(prompt, "pids"),
    }
    values = {
        "nan": float("nan"),
        "inf": float("inf"),
        "text": "1.0",
        "high": 1.5,
        "low": -1,
        "list": [1.0],
        "none": None,
        "yes": True,
    }
    command = completion.text
    if command in actions:
        actions[command]()
        return 1.0
    if command in values:
        return values[command]
    return float(command == prompt.target)


def columns(completions, target, **others):
    """The same in the other shape."""
    assert "prompts" in others
    lists = {
        "two": [1.0, 1.0],
        "empty": [],
        "text": "1",
        "number": 1.0,
        "nan": [float("nan")],
        "none": [None],
        "tuple": (True,),
    }
    return (
        lists[completions[0]] if completions[0] in lists else [float(c == t) for c, t in zip(completions, target, strict=True)]
    )
