"""One box around a worker of somebody else's pool (`worker.main ORDER`): the pool starts this as if it were its worker.

It becomes an ordinary user, starts the box with the pipes that it was given, and stays until the box or the pool has ended.
"""

from __future__ import annotations

import base64
import json
import os
import resource
import signal
import sys

from sharpen.verifiers.code.boxes.processes import (
    become_bubblewrap,
    become_user,
    bubblewrap,
    forbid_cores,
    is_over,
    kill,
    pipe_with,
)

__all__ = ["main"]


def main() -> None:
    """Take orders from the file that is named, and serve."""
    path = sys.argv[1]
    with open(path, "rb") as file:
        order = json.load(file)
    os.closerange(3, 1 << 16)  # whatever else of our starter's was open
    kept = [pipe_with(base64.b64decode(order["filter"]))]
    options = [*order["options"], "--seccomp", str(kept[0])]
    if order["copied"] is not None:
        kept.append(os.open(order["copied"], os.O_RDONLY))
        options += ["--perms", "0555", "--file", str(kept[1]), "/worker"]
    arguments = pipe_with("".join(part + "\0" for part in [*options, "--remount-ro", "/"]).encode())
    if order["uid"] is not None:
        become_user(order["uid"])
    forbid_cores()
    for kind, amount in ((resource.RLIMIT_AS, order["memory"]), (resource.RLIMIT_FSIZE, 0), (resource.RLIMIT_NOFILE, 64)):
        resource.setrlimit(kind, (amount, amount))
    null = os.open(os.devnull, os.O_RDWR)
    os.dup2(null, 2)
    parent = os.getppid()
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGCHLD})
    box = os.fork()
    if not box:  # bubblewrap ends with its parent's thread, which must be one that stays
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGCHLD})
        become_bubblewrap([*bubblewrap(order["bwrap"], arguments), "/worker", "subprocess"], None, [arguments, *kept])
    for descriptor in (0, 1):
        os.dup2(null, descriptor)
    while not is_over(box):
        signal.sigtimedwait({signal.SIGCHLD}, 0.5)
        if os.getppid() != parent:
            kill(box)
