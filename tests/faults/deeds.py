"""A short life of a ledger as data, so that the process that lives it and the test that judges it agree on every state."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from sharpen.ledger import Ledger
from sharpen.types import Prompt, user

__all__ = ["LIFE", "Deed", "State", "after", "do", "state_of", "states"]

State = Mapping[str, object]


@dataclass(frozen=True, kw_only=True)
class Deed:
    """One thing done to a ledger."""

    what: Literal["put", "fill", "withdraw", "reopen"]
    kind: str = ""
    key: str = ""
    value: int = 0
    items: tuple[str, ...] | None = None
    files: Mapping[str, str] = field(default_factory=dict)


LIFE: Sequence[Deed] = (
    Deed(what="put", kind="run", key="a", value=1),
    Deed(what="put", kind="block", key="b1", value=2, items=("x", "y")),
    Deed(what="fill", kind="checkpoint", key="c1", value=3, files={"model": "w" * 5000, "facts": "{}"}),
    Deed(what="put", kind="block", key="b2", value=4, items=("z",) * 40),
    Deed(what="put", kind="block", key="b1", value=5, items=("again",)),
    Deed(what="withdraw", kind="block", key="b2"),
    Deed(what="reopen"),
    Deed(what="put", kind="decision", key="d", value=6),
    Deed(what="fill", kind="checkpoint", key="c1", value=7, files={"model": "v" * 5000, "facts": "[]"}),
    Deed(what="put", kind="block", key="b2", value=8, items=("back",)),
    Deed(what="withdraw", kind="checkpoint", key="c1"),
    Deed(what="reopen"),
    Deed(what="fill", kind="checkpoint", key="c1", value=9, files={"model": "u" * 100}),
    Deed(what="put", kind="best", key="best", value=10),
)


def do(ledger: Ledger, deed: Deed) -> None:
    """Do it; a reopening is the caller's."""
    if deed.what == "put":
        items = None if deed.items is None else [user(text) for text in deed.items]
        ledger.put(deed.kind, deed.key, {"number": deed.value}, items)
    elif deed.what == "fill":
        ledger.put_folder(deed.kind, deed.key, {"number": deed.value}, lambda folder: _fill(folder, deed.files))
    elif deed.what == "withdraw":
        entry = ledger.get(deed.kind, deed.key)
        assert entry is not None
        ledger.withdraw(entry, "not needed")


def after(state: State, deed: Deed) -> State:
    """What stands when it was done."""
    place = f"{deed.kind}/{deed.key}"
    if deed.what == "put":
        return {**state, place: (deed.value, deed.items)}
    if deed.what == "fill":
        return {**state, place: (deed.value, tuple(sorted(deed.files.items())))}
    return {name: value for name, value in state.items() if deed.what == "reopen" or name != place}


def states() -> Iterator[State]:
    """What stands before the first deed and after each."""
    state: State = {}
    yield state
    for deed in LIFE:
        state = after(state, deed)
        yield state


def state_of(ledger: Ledger) -> State:
    """What stands, every file read and its checksum tested; damage raises."""
    found: dict[str, object] = {}
    for kind in ("run", "block", "checkpoint", "decision", "best", "note", "more"):
        for entry in ledger.entries(kind):
            held: object = None
            if kind == "checkpoint":
                folder = ledger.folder_of(entry)
                held = tuple(sorted((path.name, path.read_text()) for path in folder.iterdir()))
            elif entry.path is not None:
                held = tuple(_text(item) for item in ledger.items(entry))
            found[f"{kind}/{entry.key}"] = (entry.value.get("number"), held)
    return found


def _text(item: object) -> str:
    assert isinstance(item, Prompt)
    return item.text


def _fill(folder: Path, files: Mapping[str, str]) -> None:
    for name, text in files.items():
        (folder / name).write_text(text)
