"""What every test shares: hypothesis without deadlines, since a wall clock on a busy machine says nothing about the code.

The examples that hypothesis draws are the same in every run, so that a commit either passes or does not. To look for new ones:
`HYPOTHESIS_PROFILE=explore pytest`.

Runs of the tiny model are made once a session, whichever process asks first. Temporary folders lie in memory where there is room, since the
suite writes thousands of small files that are synced to disk one by one; what durability means is tested with simulated and real small disks.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest
from hypothesis import settings

from browser import Page, browser, find_chromium

if TYPE_CHECKING:
    from cli_runs import CliRun
    from sharpen.run import Run

_MEMORY, _ROOM = "/dev/shm", 4 << 30
if os.access(_MEMORY, os.W_OK) and shutil.disk_usage(_MEMORY).free > _ROOM:
    os.environ.setdefault("PYTEST_DEBUG_TEMPROOT", _MEMORY)

settings.register_profile("sharpen", deadline=None, derandomize=True)
settings.register_profile("explore", deadline=None, max_examples=1000)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "sharpen"))


@pytest.fixture(scope="session")
def tiny_run(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Run]:
    """A finished run: the first round is promoted, the last is not, and controls are measured."""
    from tiny_runs import improved, shared_run  # imports torch: only tests that run a model wait for it

    yield from shared_run(tmp_path_factory, "tiny-run", improved)


@pytest.fixture(scope="session")
def fruitless_run(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Run]:
    """A finished run in which nothing was promoted."""
    from tiny_runs import improved, shared_run

    yield from shared_run(tmp_path_factory, "fruitless-run", lambda out: improved(out, learning_rate=1e-9))


@pytest.fixture(scope="session")
def unfinished_run(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Run]:
    """A run that was stopped in its second round, before that round's training."""
    from tiny_runs import improved, shared_run, stop_in_round

    yield from shared_run(tmp_path_factory, "unfinished-run", lambda out: improved(out, observe=stop_in_round(1)))


@pytest.fixture(scope="session")
def cli_run(tmp_path_factory: pytest.TempPathFactory) -> CliRun:
    """A finished run of the tiny world through the command line; read it, and write nothing into it."""
    from cli_runs import shared_cli_run

    return shared_cli_run(tmp_path_factory)


@pytest.fixture(scope="session")
def chromium() -> Iterator[Page]:
    """A headless Chromium; skipped where there is none, unless `$SHARPEN_REQUIRE_BROWSER` says that one must be."""
    path = find_chromium()
    if path is None:
        if os.environ.get("SHARPEN_REQUIRE_BROWSER"):
            pytest.fail(
                "no Chromium was found, and SHARPEN_REQUIRE_BROWSER is set: install one, or name it in SHARPEN_CHROMIUM"
            )
        pytest.skip("no Chromium was found: install one, or name it in SHARPEN_CHROMIUM")
    with browser(path) as tab:
        yield tab


@pytest.fixture
def page(chromium: Page) -> Page:
    """An empty tab."""
    chromium.reset()
    return chromium
