"""Hostile programs, each once in every tier of CPython boxes; `python -m tests.sandbox.trial` is the long form."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from tests.sandbox.abuse import Abuse, Host, faults, host
from tests.sandbox.availability import AVAILABILITY
from tests.sandbox.lifetime import LIFETIME
from tests.sandbox.made import made
from tests.sandbox.reach import REACH

from sharpen.verifiers.code.boxes.bwrap import BwrapBoxes

PROGRAMS = sorted([*AVAILABILITY, *LIFETIME, *REACH], key=lambda abuse: abuse.number)


@pytest.fixture(scope="module")
def attacked() -> Iterator[Host]:
    with host() as made:
        yield made


@pytest.fixture(scope="module", params=["bwrap", "warm"])
def tier(request: pytest.FixtureRequest, attacked: Host) -> Iterator[BwrapBoxes]:
    yield from made(request.param)


@pytest.mark.parametrize("abuse", PROGRAMS, ids=lambda abuse: f"{abuse.number:02d} {abuse.name}")
def test_a_hostile_program_is_held(abuse: Abuse, tier: BwrapBoxes, attacked: Host) -> None:
    if not abuse.fits:
        pytest.skip(f"it is about {', '.join(abuse.machines)} machines")
    assert faults(abuse, tier, attacked) == []
