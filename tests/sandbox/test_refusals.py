"""Where no safe box can be made, none is: one clear sentence names the cause and the remedy."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest
from tests.sandbox.abuse import BENIGN
from tests.sandbox.made import made

from sharpen.errors import SandboxError
from sharpen.verifiers.code.boxes import boxes
from sharpen.verifiers.code.boxes.bwrap import BwrapBoxes
from sharpen.verifiers.code.boxes.tiers import tried

_TRY = """
from sharpen.errors import SandboxError
from sharpen.verifiers.code.boxes import boxes
try:
    boxes().close()
    print("made")
except SandboxError as error:
    print("refused:", error)
"""

_MONTY = 'from sharpen.verifiers.code.boxes import Limits, MontyBoxes; MontyBoxes().open("x = 1", Limits())'

# a filter over the whole process that bars user namespaces, as a container's does: unshare, and clone with CLONE_NEWUSER
_BAR = """
import ctypes, struct
library = ctypes.CDLL(None, use_errno=True)
numbers = {"x86_64": (272, 56), "aarch64": (97, 220)}[__import__("platform").machine()]
rules = [(0x20, 0, 0, 0), (0x15, 0, 1, numbers[0]), (6, 0, 0, 0x50001), (0x15, 0, 4, numbers[1]), (0x20, 0, 0, 16),
         (0x54, 0, 0, 0x10000000), (0x15, 1, 0, 0), (6, 0, 0, 0x50001), (6, 0, 0, 0x7FFF0000)]
text = b"".join(struct.pack("=HBBI", *rule) for rule in rules)
class Filter(ctypes.Structure):
    _fields_ = [("length", ctypes.c_ushort), ("rules", ctypes.c_char_p)]
assert library.prctl(38, 1, 0, 0, 0) == 0
assert library.prctl(22, 2, ctypes.byref(Filter(len(rules), text)), 0, 0) == 0
"""


def _said(program: str, *before: str, **environment: str) -> str:
    command = [*before, sys.executable, "-c", program]
    ran = subprocess.run(command, capture_output=True, text=True, env=os.environ | environment, timeout=120, check=False)
    return ran.stdout + ran.stderr[-500:]


@pytest.fixture(autouse=True, scope="module")
def possible() -> None:
    """The positive control of every refusal: without what is done here, boxes can be made."""
    for _ in made("bwrap"):
        return


def test_without_bubblewrap_there_is_no_box() -> None:
    said = _said(_TRY, PATH="/nonexistent")
    if shutil.which("bwrap", path=os.path.dirname(sys.executable)):
        pytest.skip("bubblewrap is installed beside the interpreter")
    assert "refused:" in said
    assert "there is no bwrap on PATH; install bubblewrap" in said


def test_a_container_that_bars_user_namespaces_is_named_as_the_cause() -> None:
    said = _said(_BAR + _TRY)
    assert "refused: no sandbox could be made" in said
    assert "a container's system call filter bars user namespaces (Docker's does)" in said
    assert "--security-opt seccomp=unconfined" in said
    assert "refused: no sandbox could be made" in _said(_BAR + _TRY.replace("boxes().close()", _MONTY))


def test_switched_off_user_namespaces_are_named_as_the_cause() -> None:
    off = 'echo 0 > /proc/sys/user/max_user_namespaces && exec setpriv --inh-caps=-all --ambient-caps=-all "$@"'
    before = ("unshare", "--user", "--map-user=1000", "--map-group=1000", "--keep-caps", "sh", "-c", off, "sh")
    if not all(map(shutil.which, ("unshare", "setpriv"))) or "works" not in _said("print('works')", *before):
        pytest.skip("user namespaces cannot be switched off for a test here")
    said = _said(_TRY, *before)
    assert "refused:" in said
    assert "user namespaces are switched off: sysctl user.max_user_namespaces" in said


def test_root_that_can_become_nobody_else_is_refused() -> None:
    before = ("unshare", "--user", "--map-root-user")
    if shutil.which("unshare") is None or "works" not in _said("print('works')", *before):
        pytest.skip("no user namespace of one's own can be made here")
    assert "refused: this process is root and may become no other user" in _said(_TRY, *before)


@pytest.mark.skipif(os.getuid() != 0, reason="only root has to become somebody else")
def test_boxes_of_root_run_as_somebody_else() -> None:
    for tier in made("bwrap"):
        box = tier.open("input()", BENIGN)
        try:
            launcher = tier.launcher
            assert launcher is not None
            status = Path(f"/proc/{launcher}/status").read_text().splitlines()
            uids = next(line.split()[1:] for line in status if line.startswith("Uid:"))
            held = next(line.split()[1] for line in status if line.startswith("CapEff:"))
            assert "0" not in uids
            assert int(held, 16) == 0
            assert Path(f"/proc/{launcher}/environ").read_text() == "PATH=/usr/bin:/bin\0"
        finally:
            box.close()


def test_a_box_that_does_not_hold_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """The negative control of what is tried at the start: a wall is taken away, and it is noticed."""
    with tempfile.TemporaryDirectory(dir="/var/tmp") as folder:
        os.chmod(folder, 0o755)
        monkeypatch.setattr(tempfile, "tempdir", folder)
        tier = BwrapBoxes()
        tier.options = [*tier.options, "--bind", folder, folder]
        try:
            with pytest.raises(SandboxError, match="does not hold: from inside, read, write"):
                tried(tier)
        finally:
            tier.close()


def test_a_name_that_is_no_tier_is_a_mistake() -> None:
    with pytest.raises(ValueError, match="tier 'docker' is none of bwrap, warm"):
        boxes("docker")
