"""What a box is made of: the interpreter inside it, and the options of bubblewrap that make it."""

from __future__ import annotations

import functools
import glob
import json
import os
import pwd
import shutil
import stat
import subprocess
import sys
import sysconfig
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from sharpen.errors import SandboxError

__all__ = [
    "Interpreter",
    "box_uid",
    "bwrap_path",
    "libraries",
    "options",
    "reachable",
    "reachable_interpreter",
    "worker_options",
]

_UIDS = range(60700, 60720)  # neither people's nor systemd's (https://systemd.io/UIDS-GIDS)
_INSTALL = "install bubblewrap 0.8 or newer (Debian, Ubuntu: apt install bubblewrap)"

# prints what an interpreter consists of, once everything of it that is compiled is loaded
_ASK = """
import glob, json, os, sys, sysconfig
library = os.path.dirname(os.__file__)
unwanted = ("_curses", "_curses_panel", "_dbm", "_gdbm", "_tkinter", "nis", "readline")
for path in glob.glob(os.path.join(library, "lib-dynload", "*.so")):
    name = os.path.basename(path).split(".")[0]
    try:
        name in unwanted or name.startswith(("_test", "xx")) or __import__(name)
    except Exception:
        pass
try:
    import ctypes
    ctypes.CDLL("libgcc_s.so.1")  # glibc loads it when a thread is cancelled
except OSError:
    pass
mapped = {line.split(None, 5)[5].strip() for line in open("/proc/self/maps") if ".so" in line}
print(json.dumps({"version": sys.version.split()[0], "library": library, "mapped": sorted(mapped)}))
"""


@dataclass(frozen=True, kw_only=True)
class Interpreter:
    """A CPython that boxes run.

    Attributes:
        path: of the executable.
        version: such as `3.11.2`.
        library: folder of its standard library.
        mapped: the shared objects that it loads.
    """

    path: str
    version: str
    library: str
    mapped: tuple[str, ...]


def bwrap_path() -> str:
    """Where bubblewrap is.

    Raises:
        SandboxError: it is not installed.
    """
    found = shutil.which("bwrap") or shutil.which("bwrap", path=sysconfig.get_path("scripts"))
    if found is None:
        raise SandboxError(f"programs that a model wrote run in bubblewrap, and there is no bwrap on PATH; {_INSTALL}")
    return os.path.realpath(found)


def box_uid() -> int | None:
    """The user that boxes run as; None stands for whoever we are, where that is not root.

    bubblewrap that root starts leaves parts of the kernel's settings writable to what runs inside, so root is left first.

    Raises:
        SandboxError: we are root and cannot become anybody else.
    """
    if os.getuid() and os.geteuid():
        return None
    named = {entry.pw_uid for entry in pwd.getpwall()}
    uid = next((uid for uid in _UIDS if uid not in named), None)
    if uid is None:
        raise SandboxError(
            f"boxes started by root run as a user of their own, and uids {_UIDS} are all taken; start as another user"
        )
    held = _status("CapEff")
    mapped = any(
        int(first) <= uid < int(first) + int(count)
        for first, _, count in (line.split() for line in Path("/proc/self/uid_map").read_text().splitlines())
    )
    if not mapped or held is None or int(held, 16) & 0b11000000 != 0b11000000:  # CAP_SETGID, CAP_SETUID
        raise SandboxError(
            "this process is root and may become no other user, so that a box would run as root; start it as another user"
        )
    return uid


def _status(field: str) -> str | None:
    lines = Path("/proc/self/status").read_text().splitlines()
    return next((line.split(":", 1)[1].strip() for line in lines if line.startswith(field + ":")), None)


def reachable(path: str, uid: int | None) -> bool:
    """Whether that user can read, and run or list, what lies there. A user of its own has only what everybody has."""
    real = os.path.realpath(path)
    if uid is None:
        return os.access(real, os.R_OK | os.X_OK)
    try:
        modes = [os.stat(one).st_mode for one in (real, *map(str, Path(real).parents))]
    except OSError:
        return False
    return all(mode & stat.S_IXOTH for mode in modes) and bool(modes[0] & stat.S_IROTH)


def reachable_interpreter(uid: int | None) -> Interpreter:
    """The interpreter that runs us where boxes can reach it, or else the system's.

    Raises:
        SandboxError: there is none.
    """
    own = os.path.join(sys.base_prefix, "bin", f"python{sys.version_info.major}.{sys.version_info.minor}")
    tried = []
    for path in (own, "/usr/bin/python3", "/usr/local/bin/python3"):
        if reachable(path, uid):
            found = _asked(os.path.realpath(path))
            if found is not None and reachable(found.library, uid):
                return found
        tried.append(path)
    raise SandboxError(
        f"no Python that the user of a box can read (tried {', '.join(tried)}); install python3, such as apt install python3"
    )


@functools.cache
def _asked(path: str) -> Interpreter | None:
    try:
        said = subprocess.run([path, "-I", "-S", "-c", _ASK], capture_output=True, env={}, timeout=60, check=True)
        about = json.loads(said.stdout)
    except (OSError, ValueError, subprocess.SubprocessError):
        return None
    if tuple(map(int, about["version"].split(".")[:2])) < (3, 9):  # os.pidfd_open
        return None
    return Interpreter(path=path, version=about["version"], library=about["library"], mapped=tuple(about["mapped"]))


def options(interpreter: Interpreter) -> list[str]:
    """The options of bubblewrap for a box with that interpreter, without those that name file descriptors or sizes and
    the last, which makes the root of its files unwritable.

    `SIZE` stands where a size of the two places in memory goes, which are all that can be written: /tmp and /dev/shm. There is no
    /proc and no /sys.
    """
    library = interpreter.library
    return [
        *_bare(),
        *("--setenv", "PYTHONHASHSEED", "0"),  # the same program does the same everywhere
        *libraries(tuple(path for path in interpreter.mapped if not path.startswith(library + "/"))),
        *_bound(interpreter.path, library),
        *(part for hidden in _packages(library) for part in ("--size", "4096", "--tmpfs", hidden, "--remount-ro", hidden)),
        *("--size", "65536", "--tmpfs", "/dev"),
        *(part for name in ("null", "random", "urandom") for part in ("--dev-bind", f"/dev/{name}", f"/dev/{name}")),
        *("--size", "SIZE", "--tmpfs", "/dev/shm", "--size", "SIZE", "--tmpfs", "/tmp"),
        *("--remount-ro", "/dev", "--chdir", "/tmp"),
    ]


def worker_options(binary: str, *, copied: bool) -> list[str]:
    """The options for a box that holds one program and what it is linked with; it is /worker, and nothing can be written.

    Args:
        copied: the program is not bound, since the user of boxes cannot reach it, but put there.
    """
    linked = subprocess.run(["ldd", binary], capture_output=True, text=True, env={"PATH": "/usr/bin:/bin"}, check=False).stdout
    mapped = [word for line in linked.splitlines() for word in line.split() if word.startswith("/")]
    return [
        *_bare(),
        *libraries(tuple(map(os.path.realpath, mapped))),
        *(() if copied else ("--ro-bind", binary, "/worker")),
        *("--chdir", "/"),
    ]


def _bare() -> list[str]:
    return [
        *("--unshare-all", "--unshare-user", "--disable-userns", "--uid", "65534", "--gid", "65534", "--cap-drop", "ALL"),
        *("--die-with-parent", "--new-session", "--as-pid-1", "--hostname", "box", "--clearenv"),
    ]


def _bound(*paths: str) -> Iterator[str]:
    for path in paths:
        yield from ("--ro-bind", path, path)


def _packages(library: str) -> list[str]:
    """Folders of installed packages inside the standard library's."""
    return [path for name in ("site-packages", "dist-packages") if os.path.isdir(path := os.path.join(library, name))]


def libraries(mapped: tuple[str, ...]) -> list[str]:
    """Options that bring in these shared objects and the loader, by the names under which programs look for them."""
    made: list[str] = []
    for top in ("/lib", "/lib64"):
        if os.path.islink(top):
            made += ["--symlink", os.readlink(top), top]
    places = {path: path for path in mapped if os.path.isfile(path)}
    for loader in glob.glob("/lib/ld-*.so.*") + glob.glob("/lib64/ld-*.so.*"):
        name = os.path.join(os.path.realpath(os.path.dirname(loader)), os.path.basename(loader))
        places[name] = os.path.realpath(loader)
    for place, real in sorted(places.items()):
        made += ["--ro-bind", real, place]
    for folder in sorted({os.path.dirname(path) for path in places}):  # libbz2.so.1.0 is what programs ask for, and a link
        with os.scandir(folder) as entries:
            links = [entry for entry in entries if entry.is_symlink() and entry.path not in places and ".so." in entry.name]
        for link in sorted(links, key=lambda entry: entry.name):
            if (real := os.path.realpath(link.path)) in places:
                made += ["--symlink", real, link.path]
    return made
