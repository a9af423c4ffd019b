from __future__ import annotations

import multiprocessing
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from sharpen.errors import ModelError
from sharpen.models import cache
from sharpen.models.cache import cache_folder, filled


def write(work: Path) -> None:
    (work / "a").write_text("content")


def test_the_cache_is_where_the_caller_or_the_environment_says(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SHARPEN_CACHE", str(tmp_path / "env"))
    assert cache_folder(tmp_path / "given") == tmp_path / "given"
    assert cache_folder() == tmp_path / "env"
    monkeypatch.delenv("SHARPEN_CACHE")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert cache_folder() == tmp_path / ".cache" / "sharpen"


def test_a_folder_is_filled_once(tmp_path: Path) -> None:
    target = tmp_path / "deep" / "model"
    assert filled(target, write) == target
    assert (target / "a").read_text() == "content"
    filled(target, lambda work: pytest.fail("filled again"))


def test_a_failed_filling_leaves_nothing_and_can_be_repeated(tmp_path: Path) -> None:
    def fail(work: Path) -> None:
        write(work)
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        filled(tmp_path / "model", fail)
    assert [path.name for path in tmp_path.iterdir()] == ["model.lock"]
    filled(tmp_path / "model", write)
    assert (tmp_path / "model" / "a").exists()


def test_a_killed_filling_leaves_no_half_model(tmp_path: Path) -> None:
    script = (
        "import os, sys, pathlib; from sharpen.models.cache import filled\n"
        "def fill(work):\n"
        "    (work / 'a').write_text('half')\n"
        "    os.kill(os.getpid(), 9)\n"
        "filled(pathlib.Path(sys.argv[1]), fill)\n"
    )
    done = subprocess.run([sys.executable, "-c", script, str(tmp_path / "model")], check=False)
    assert done.returncode == -signal.SIGKILL
    assert not (tmp_path / "model").exists()
    assert len(list(tmp_path.glob("model.part-*"))) == 1
    filled(tmp_path / "model", write)
    assert (tmp_path / "model" / "a").read_text() == "content"
    assert not list(tmp_path.glob("model.part-*")), "what the killed process left is cleared away"


def _work(folder: str, barrier: object, lines: object) -> None:
    def fill(work: Path) -> None:
        write(work)
        with open(f"{folder}.fills", "a") as log:
            log.write(f"{os.getpid()}\n")

    barrier.wait()  # type: ignore[attr-defined]
    filled(Path(folder), fill, progress=lines.put)  # type: ignore[attr-defined]


def test_many_processes_fill_it_once(tmp_path: Path) -> None:
    context = multiprocessing.get_context("spawn")
    barrier, lines = context.Barrier(4), context.Queue()
    workers = [context.Process(target=_work, args=(str(tmp_path / "model"), barrier, lines)) for _ in range(4)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert [worker.exitcode for worker in workers] == [0] * 4
    assert len((tmp_path / "model.fills").read_text().splitlines()) == 1


def test_waiting_is_said_and_has_an_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cache, "_PATIENCE_S", 0.0)
    monkeypatch.setattr(cache, "_POLL_S", 0.0)
    said: list[str] = []

    def fill(work: Path) -> None:
        with pytest.raises(ModelError, match=r"holds .*model\.lock"):
            filled(tmp_path / "model", write, progress=said.append)
        write(work)

    filled(tmp_path / "model", fill)
    assert len(said) == 1
    assert "waiting for another process" in said[0]
