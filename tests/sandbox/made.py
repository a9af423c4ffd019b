"""Boxes for tests: a machine that can make none skips them, unless `SHARPEN_REQUIRE_SANDBOX` says that it must."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest

from sharpen.errors import SandboxError
from sharpen.verifiers.code.boxes import boxes
from sharpen.verifiers.code.boxes.bwrap import BwrapBoxes


def made(name: str) -> Iterator[BwrapBoxes]:
    """Boxes of that tier, closed afterwards."""
    try:
        tier = boxes(name)
    except SandboxError as error:
        unless_required(error)
    try:
        yield tier
    finally:
        tier.close()


def unless_required(error: SandboxError) -> None:
    """Skip the test, or fail where a sandbox is required."""
    if os.environ.get("SHARPEN_REQUIRE_SANDBOX"):
        raise error
    pytest.skip(f"no sandbox here: {error}")
