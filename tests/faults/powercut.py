"""What a disk may hold after the power went: everything that was synced, and of the rest whatever the disk had come to.

The model is the strict reading of POSIX. A file's bytes are durable once that file was synced, a name once its folder was. What was
not synced may be there or not, in any order and by sectors of 512 bytes; of a longer file that lost its bytes, zeros or garbage.
A rename happens whole or not at all.
"""

from __future__ import annotations

import os
import random
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

from tests.faults.recording import Operation

__all__ = ["Disk", "Image", "Survived"]

T = TypeVar("T")
_State = tuple[int, int, int]

_SECTOR = 512


Survived = Mapping[str, bytes | None]
"""What is on a disk, by path below its root, folders before what they hold: a file's bytes, None for a folder."""


class Image:
    """A folder that is made to hold what survived, one disk after another; what is as it was is not written again."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._written: dict[str, tuple[int, _State]] = {}
        self._contents: Survived = {}
        folder.mkdir(exist_ok=True)

    def hold(self, survived: Survived) -> None:
        """Make the folder hold this and nothing else, whatever became of it since."""
        known = self._tidied(str(self.folder), "", survived)
        for name, content in survived.items():
            path = f"{self.folder}/{name}"
            if content is None:
                os.makedirs(path, exist_ok=True)
            elif self._written.get(name) != (id(content), known.get(name)):
                with open(path, "wb") as file:
                    file.write(content)
                self._written[name] = id(content), _state(os.stat(path))
        self._contents = survived  # keeps them, so that an id means what it meant

    def _tidied(self, folder: str, prefix: str, survived: Survived) -> dict[str, _State]:
        """By name the state of each file that stays; the others are deleted."""
        found: dict[str, _State] = {}
        for entry in list(os.scandir(folder)):
            name = f"{prefix}{entry.name}"
            if entry.is_dir():
                found |= self._tidied(entry.path, f"{name}/", survived)
                if survived.get(name, b"") is not None:
                    os.rmdir(entry.path)
            elif survived.get(name) is None:
                os.unlink(entry.path)
            else:
                found[name] = _state(entry.stat())
        return found


def _state(status: os.stat_result) -> _State:
    return status.st_ino, status.st_mtime_ns, status.st_size


@dataclass
class _File:
    durable: bytes = b""
    now: bytearray = field(default_factory=bytearray)
    unsynced: list[Operation] = field(default_factory=list)


@dataclass
class _Folder:
    durable: dict[str, int] = field(default_factory=dict)
    now: dict[str, int] = field(default_factory=dict)
    unsynced: list[tuple[str, str, str, int]] = field(default_factory=list)  # what, name, new name, node


class Disk:
    """A simulated disk below `root`, on which recorded operations are done."""

    def __init__(self, root: Path) -> None:
        self.root = str(root.resolve())
        self._nodes: dict[int, _File | _Folder] = {0: _Folder()}
        self._by_inode: dict[int, int] = {}

    @classmethod
    def holding(cls, root: Path) -> Disk:
        """The disk as the folder is now, all of it durable."""
        disk = cls(root)
        for path in sorted(root.rglob("*")):
            kind = "mkdir" if path.is_dir() else "create"
            disk.do(Operation(kind=kind, inode=path.stat().st_ino, offset=0, path=str(path.resolve()), data=b""))
            if path.is_file():
                disk.do(Operation(kind="write", inode=path.stat().st_ino, offset=0, path=str(path), data=path.read_bytes()))
        for node in disk._nodes.values():
            disk._sync(node)
        return disk

    def do(self, operation: Operation) -> None:
        """Apply one operation; it is durable only when synced."""
        path = operation.path
        if operation.kind in ("create", "mkdir"):
            if path == self.root:
                return
            node = len(self._nodes)
            self._nodes[node] = _File() if operation.kind == "create" else _Folder()
            self._by_inode[operation.inode] = node
            self._change(path, "link", node)
        elif operation.kind in ("write", "truncate"):
            self._notice_rename(operation)
            file = self._nodes[self._by_inode[operation.inode]]
            assert isinstance(file, _File)
            _apply(file.now, operation)
            file.unsynced.append(operation)
        elif operation.kind == "sync":
            self._notice_rename(operation)
            self._sync(self._nodes[0 if path == self.root else self._by_inode[operation.inode]])
        elif operation.kind == "unlink":
            self._change(path, "unlink", -1)
        elif operation.kind == "rename":
            self._rename(path, operation.data.decode())

    def after_power_cut(self, chance: random.Random) -> Survived:
        """What the disk may hold if the power goes now."""
        found: dict[str, bytes | None] = {}
        self._collect(self._nodes[0], chance, "", found)
        return found

    def _collect(self, node: _File | _Folder, chance: random.Random, path: str, found: dict[str, bytes | None]) -> None:
        if isinstance(node, _File):
            found[path] = _survived(node, chance) if node.unsynced else node.durable
            return
        entries = dict(node.durable)
        for what, name, new, child in _some(node.unsynced, chance):
            if what == "unlink":
                entries.pop(name, None)
            else:
                entries.pop(name if what == "rename" else "", None)
                entries[new] = child
        if path:
            found[path] = None
        for name, child in sorted(entries.items()):
            self._collect(self._nodes[child], chance, f"{path}/{name}" if path else name, found)

    def _notice_rename(self, operation: Operation) -> None:
        """Catch up on a rename that was not recorded, as it went past the C library: the file is written or synced under its new name."""
        if operation.path == self.root:
            return
        folder, name = self._folder(operation.path)
        node = self._by_inode[operation.inode]
        if folder.now.get(name) != node:
            old = next((old for old, child in folder.now.items() if child == node), None)
            if old is not None:  # else it has no name any more
                self._rename(f"{operation.path.removesuffix(name)}{old}", operation.path)

    def _sync(self, node: _File | _Folder) -> None:
        if isinstance(node, _File):
            node.durable = bytes(node.now)
        else:
            node.durable = dict(node.now)
        node.unsynced.clear()

    def _folder(self, path: str) -> tuple[_Folder, str]:
        head, _, name = path.removeprefix(self.root).strip("/").rpartition("/")
        node: _File | _Folder = self._nodes[0]
        for part in head.split("/") if head else ():
            assert isinstance(node, _Folder)
            node = self._nodes[node.now[part]]
        assert isinstance(node, _Folder)
        return node, name

    def _change(self, path: str, what: str, child: int) -> None:
        folder, name = self._folder(path)
        if what == "link":
            folder.now[name] = child
        else:
            folder.now.pop(name)
        folder.unsynced.append((what, name, name, child))

    def _rename(self, source: str, target: str) -> None:
        folder, name = self._folder(source)
        other, new = self._folder(target)
        assert folder is other, "a rename between folders is not modelled"
        child = folder.now.pop(name)
        folder.now[new] = child
        folder.unsynced.append(("rename", name, new, child))


def _apply(content: bytearray, operation: Operation) -> None:
    if operation.kind == "truncate":
        del content[operation.offset :]
        content.extend(bytes(operation.offset - len(content)))
        return
    end = operation.offset + len(operation.data)
    content.extend(bytes(max(0, end - len(content))))
    content[operation.offset : end] = operation.data


def _survived(file: _File, chance: random.Random) -> bytes:
    """The synced bytes with some of what came later; how much, and how torn, is drawn."""
    content = bytearray(file.durable)
    for operation in _some(file.unsynced, chance):
        if operation.kind == "truncate" or chance.random() < 0.5:
            _apply(content, operation)
            continue
        for sector in _sectors(operation):
            fate = chance.random()
            if fate < 0.5:
                _apply(content, sector)
            elif fate < 0.7:
                garbage = chance.randbytes(len(sector.data)) if fate < 0.6 else bytes(len(sector.data))
                _apply(content, Operation(kind="write", inode=0, offset=sector.offset, path="", data=garbage))
    return bytes(content)


def _sectors(operation: Operation) -> Iterable[Operation]:
    start, end = operation.offset, operation.offset + len(operation.data)
    edges = sorted({start, end, *range(start - start % _SECTOR + _SECTOR, end, _SECTOR)})
    for low, high in zip(edges, edges[1:], strict=False):
        yield Operation(kind="write", inode=0, offset=low, path="", data=operation.data[low - start : high - start])


def _some(waiting: list[T], chance: random.Random) -> list[T]:
    """None, all, the first few, or any of them, in their order."""
    way = chance.randrange(4)
    if way == 0:
        return []
    if way == 1:
        return list(waiting)
    if way == 2:
        return waiting[: chance.randint(0, len(waiting))]
    return [one for one in waiting if chance.random() < 0.5]
