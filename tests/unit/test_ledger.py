"""The ledger as its callers see it: what is put is found, refusals are sentences, one writer, readers beside it."""

from __future__ import annotations

import multiprocessing
import os
import shutil
import sqlite3
import subprocess
import sys
import tempfile
import textwrap
from collections.abc import Callable
from pathlib import Path

import pytest

from sharpen.errors import CapacityError, DamagedError, LedgerError, RunBusyError, SharpenError
from sharpen.ledger import Ledger, files
from sharpen.types import user


def _fill(**content: str) -> Callable[[Path], None]:
    def fill(folder: Path) -> None:
        for name, text in content.items():
            (folder / name).write_text(text)

    return fill


def test_what_was_put_is_found_after_reopening(tmp_path: Path) -> None:
    prompts = [user("one", target="1"), user("two")]
    with Ledger(tmp_path / "run") as ledger:
        ledger.put("fact", "a", {"n": 1, "none": None, "list": [1, 2.5]})
        ledger.put("block", "b", {"n": 2}, prompts)
        ledger.put_folder("checkpoint", "c", {"n": 3}, _fill(weights="w", facts="f"))
    with Ledger(tmp_path / "run") as ledger:
        fact, block, checkpoint = ledger.get("fact", "a"), ledger.get("block", "b"), ledger.get("checkpoint", "c")
        assert fact is not None
        assert fact.value == {"n": 1, "none": None, "list": [1, 2.5]}
        assert fact.path is None
        assert block is not None
        assert ledger.items(block) == prompts
        assert checkpoint is not None
        assert (ledger.folder_of(checkpoint) / "weights").read_text() == "w"
        assert [entry.sequence for entry in (fact, block, checkpoint)] == [1, 2, 3]
        assert ledger.get("fact", "b") is None


def test_the_latest_row_of_a_key_stands(tmp_path: Path) -> None:
    with Ledger(tmp_path) as ledger:
        ledger.put("fact", "a", {"n": 1})
        ledger.put("fact", "b", {"n": 2})
        ledger.put("fact", "a", {"n": 3})
        assert [(entry.key, entry.value["n"]) for entry in ledger.entries("fact")] == [("b", 2), ("a", 3)]


def test_text_that_no_file_holds_comes_back(tmp_path: Path) -> None:
    text = 'lone surrogate \ud800, NUL \x00, "quotes", emoji \U0001f600, \\ud800'
    with Ledger(tmp_path) as ledger:
        ledger.put("fact", "a", {text: text}, [user(text)])
    with Ledger(tmp_path) as ledger:
        entry = ledger.get("fact", "a")
        assert entry is not None
        assert entry.value == {text: text}
        assert ledger.items(entry) == [user(text)]


def test_a_folder_with_any_name_can_be_a_run(tmp_path: Path) -> None:
    folder = tmp_path / "a b#1?%20" / "é"
    with Ledger(folder) as ledger:
        ledger.put("fact", "a", {})
    with Ledger(folder, read_only=True) as ledger:
        assert ledger.get("fact", "a") is not None


def test_a_withdrawn_row_is_gone_and_its_file_with_it(tmp_path: Path) -> None:
    with Ledger(tmp_path) as ledger:
        block = ledger.put("block", "b", {}, [user("x")])
        checkpoint = ledger.put_folder("checkpoint", "c", {}, _fill(weights="w"))
        ledger.withdraw(block, "not needed")
        ledger.withdraw(checkpoint, "not needed")
        assert ledger.get("block", "b") is None
        assert not (tmp_path / "block" / "b.parquet").exists()
        assert not (tmp_path / "checkpoint" / "c").exists()
    with Ledger(tmp_path) as ledger:
        assert ledger.entries("block") == ledger.entries("checkpoint") == []
        ledger.put("block", "b", {"again": True}, [user("y")])
    with Ledger(tmp_path) as ledger:
        entry = ledger.get("block", "b")
        assert entry is not None
        assert ledger.items(entry) == [user("y")]


def test_a_withdrawal_that_a_kill_cut_short_is_finished_at_the_next_opening(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with Ledger(tmp_path) as ledger:
        entry = ledger.put_folder("checkpoint", "c", {}, _fill(weights="w"))
        with monkeypatch.context() as patch:
            patch.setattr(files, "remove", lambda path: None)  # the kill comes after the row
            ledger.withdraw(entry, "not needed")
    assert (tmp_path / "checkpoint" / "c").exists()
    with Ledger(tmp_path) as ledger:
        assert not (tmp_path / "checkpoint" / "c").exists()
        assert ledger.entries("note") == []


def test_a_folder_without_a_row_is_harmless(tmp_path: Path) -> None:
    with Ledger(tmp_path) as ledger:
        ledger.put("fact", "a", {})
    orphan = tmp_path / "checkpoint" / "c"
    orphan.mkdir(parents=True)
    (orphan / "weights").write_text("of a process that was killed before it wrote the row")
    with Ledger(tmp_path) as ledger:
        assert ledger.get("checkpoint", "c") is None
        entry = ledger.put_folder("checkpoint", "c", {}, _fill(other="new"))
        assert [path.name for path in ledger.folder_of(entry).iterdir()] == ["other"]


def test_a_standing_file_is_whole_until_the_row_that_replaces_it(tmp_path: Path) -> None:
    class Stopped(Exception):
        pass

    def half(folder: Path) -> None:
        (folder / "weights").write_text("half")
        raise Stopped

    with Ledger(tmp_path) as ledger:
        ledger.put_folder("checkpoint", "c", {"n": 1}, _fill(weights="old"))
        with pytest.raises(Stopped):
            ledger.put_folder("checkpoint", "c", {"n": 2}, half)
        entry = ledger.get("checkpoint", "c")
        assert entry is not None
        assert (ledger.folder_of(entry) / "weights").read_text() == "old"
        new = ledger.put_folder("checkpoint", "c", {"n": 3}, _fill(weights="new"))
        assert (ledger.folder_of(new) / "weights").read_text() == "new"
        assert len([path for path in (tmp_path / "checkpoint").iterdir() if not path.name.startswith(".")]) == 1
        newest = ledger.put_folder("checkpoint", "c", {"n": 4}, _fill(weights="newest"))
        assert (ledger.folder_of(newest) / "weights").read_text() == "newest"


def test_leftovers_of_killed_writes_are_removed_and_nothing_else(tmp_path: Path) -> None:
    with Ledger(tmp_path) as ledger:
        ledger.put("block", "b", {}, [user("x")])
    deep = tmp_path / "mine" / "deeper"
    deep.mkdir(parents=True)
    for path in (tmp_path / "block" / ".writing-b2.parquet", tmp_path / ".writing-x", deep / ".writing-mine"):
        path.write_text("half")
    (tmp_path / "block" / ".writing-c").mkdir()
    (tmp_path / "block" / ".writing-c" / "weights").write_text("half")
    (tmp_path / "mine" / "notes.txt").write_text("kept")
    Ledger(tmp_path).close()
    assert sorted(path.name for path in (tmp_path / "block").iterdir()) == ["b.parquet"]
    assert not (tmp_path / ".writing-x").exists()
    assert (deep / ".writing-mine").exists()
    assert (tmp_path / "mine" / "notes.txt").read_text() == "kept"


@pytest.mark.parametrize("damage", ["changed", "deleted", "emptied"])
@pytest.mark.parametrize("kind", ["block", "checkpoint"])
def test_a_damaged_value_is_withdrawn_with_a_note_that_names_it(kind: str, damage: str, tmp_path: Path) -> None:
    said: list[str] = []
    with Ledger(tmp_path, tell=said.append) as ledger:
        if kind == "block":
            entry, path = ledger.put("block", "b", {}, [user("x")]), tmp_path / "block" / "b.parquet"
        else:
            entry = ledger.put_folder("checkpoint", "b", {}, _fill(weights="w" * 100))
            path = tmp_path / "checkpoint" / "b" / "weights"
        content = bytearray(path.read_bytes())
        content[50] ^= 1
        if damage == "deleted":
            path.unlink()
        else:
            path.write_bytes(content if damage == "changed" else b"")
        read: Callable[[object], object] = ledger.items if kind == "block" else ledger.folder_of  # type: ignore[assignment]
        with Ledger(tmp_path, read_only=True) as reader:
            read_there = reader.items if kind == "block" else reader.folder_of
            with pytest.raises(DamagedError, match=f"{kind}/b.*run the same `sharpen run` command again"):
                read_there(entry)
            assert reader.get(kind, "b") is not None  # a reader changes nothing
        with pytest.raises(DamagedError, match=f"{kind}/b.*made again"):
            read(entry)
        assert ledger.get(kind, "b") is None
        assert len(said) == 1
        assert f"{kind}/b" in said[0]
        assert [note.value["message"] for note in ledger.entries("note")] == said
        assert not (tmp_path / str(entry.path)).exists()


def test_a_file_that_another_program_adds_to_a_checkpoint_is_told_apart(tmp_path: Path) -> None:
    with Ledger(tmp_path) as ledger:
        entry = ledger.put_folder("checkpoint", "c", {}, _fill(weights="w"))
        folder = ledger.folder_of(entry)
        (folder / ".DS_Store").write_text("a file manager's")
        assert ledger.folder_of(entry) == folder
        (folder / "weights2").write_text("more weights")
        with pytest.raises(DamagedError):
            ledger.folder_of(entry)


def test_folders_inside_a_folder_are_kept_and_checked(tmp_path: Path) -> None:
    def fill(folder: Path) -> None:
        (folder / "inner").mkdir()
        (folder / "inner" / "weights").write_text("w")

    with Ledger(tmp_path) as ledger:
        entry = ledger.put_folder("checkpoint", "c", {}, fill)
        assert (ledger.folder_of(entry) / "inner" / "weights").read_text() == "w"
        (tmp_path / "checkpoint" / "c" / "inner" / "weights").write_text("v")
        with pytest.raises(DamagedError):
            ledger.folder_of(entry)


def test_a_second_writer_is_refused_while_readers_are_not(tmp_path: Path) -> None:
    with Ledger(tmp_path) as ledger:
        ledger.put("fact", "a", {})
        with pytest.raises(RunBusyError, match=rf"{tmp_path} is in use by process {os.getpid()} on .*sharpen show"):
            Ledger(tmp_path)
        with Ledger(tmp_path, read_only=True) as reader:
            ledger.put("fact", "b", {})
            assert [entry.key for entry in reader.entries("fact")] == ["a"]  # as it stood
        with Ledger(tmp_path, read_only=True) as reader:
            assert [entry.key for entry in reader.entries("fact")] == ["a", "b"]
    Ledger(tmp_path).close()


def test_another_process_is_refused_and_reads(tmp_path: Path) -> None:
    script = """
        import sys
        from pathlib import Path
        from sharpen.errors import RunBusyError
        from sharpen.ledger import Ledger
        folder = Path(sys.argv[1])
        try:
            Ledger(folder)
        except RunBusyError:
            print(len(Ledger(folder, read_only=True).entries("fact")))
    """
    with Ledger(tmp_path) as ledger:
        for number in range(3):
            ledger.put("fact", f"f{number}", {})
        command = [sys.executable, "-c", textwrap.dedent(script), str(tmp_path)]
        assert subprocess.run(command, capture_output=True, text=True, check=True).stdout == "3\n"
        ledger.put("fact", "f3", {})


def test_a_stale_lock_with_a_reused_process_id_bars_nobody(tmp_path: Path) -> None:
    Ledger(tmp_path).close()
    (tmp_path / "lock").write_text(f"{os.getppid()} on elsewhere")
    Ledger(tmp_path).close()


def test_a_lock_file_that_somebody_deletes_lets_no_second_writer_do_harm(tmp_path: Path) -> None:
    with Ledger(tmp_path) as first:
        first.put("fact", "a", {})
        (tmp_path / "lock").unlink()
        with Ledger(tmp_path) as second:
            second.put("fact", "b", {})
            with pytest.raises(RunBusyError, match="another process has written"):
                first.put("fact", "c", {})
            with pytest.raises(LedgerError, match="records nothing more"):
                first.put("fact", "d", {})
            second.put("fact", "e", {})
    with Ledger(tmp_path) as ledger:
        assert [entry.key for entry in ledger.entries("fact")] == ["a", "b", "e"]


def test_a_child_that_outlives_a_killed_writer_does_not_hold_its_lock(tmp_path: Path) -> None:
    script = """
        import os, signal, subprocess, sys
        from pathlib import Path
        from sharpen.ledger import Ledger
        ledger = Ledger(Path(sys.argv[1]))
        child = subprocess.Popen([sys.executable, "-c", "import sys; sys.stdin.read()"], stdin=subprocess.PIPE)
        print(child.pid, flush=True)
        sys.stdin.read()
    """
    command = [sys.executable, "-c", textwrap.dedent(script), str(tmp_path)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as writer:
        assert writer.stdout is not None
        assert writer.stdout.readline()
        with pytest.raises(RunBusyError, match=f"process {writer.pid} "):
            Ledger(tmp_path)
        writer.kill()
        writer.wait()
        Ledger(tmp_path).close()


def test_after_a_failed_write_nothing_is_recorded_until_it_is_opened_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails(descriptor: int) -> None:
        raise OSError(5, "Input/output error")

    with Ledger(tmp_path) as ledger:
        entry = ledger.put("block", "a", {}, [user("x")])
        with monkeypatch.context() as patch:
            patch.setattr(os, "fsync", fails)
            with pytest.raises(LedgerError, match=r"cannot write .*b\.parquet: Input/output error"):
                ledger.put("block", "b", {}, [user("y")])
        for write in (
            lambda: ledger.put("fact", "c", {}),
            lambda: ledger.put("block", "c", {}, [user("z")]),
            lambda: ledger.put_folder("checkpoint", "c", {}, _fill(weights="w")),
            lambda: ledger.withdraw(entry, "no"),
        ):
            with pytest.raises(LedgerError, match="records nothing more since a write failed"):
                write()
        assert ledger.items(entry) == [user("x")]  # what was acknowledged can be read
    with Ledger(tmp_path) as ledger:
        assert [one.key for one in ledger.entries("block")] == ["a"]
        ledger.put("block", "b", {}, [user("y")])


def test_a_callers_mistake_does_not_end_writing(tmp_path: Path) -> None:
    with Ledger(tmp_path) as ledger:
        with pytest.raises(TypeError, match="cannot be filed"):
            ledger.put("block", "a", {}, [object()])
        with pytest.raises(TypeError, match="no canonical form"):
            ledger.put("fact", "a", {"f": print})
        with pytest.raises(ValueError, match="cannot name a file"):
            ledger.put("block", "../a", {}, [user("x")])
        ledger.put("fact", "a", {})


def test_an_interrupt_while_writing_ends_writing(tmp_path: Path) -> None:
    def interrupted(folder: Path) -> None:
        raise KeyboardInterrupt

    with Ledger(tmp_path) as ledger:
        with pytest.raises(KeyboardInterrupt):
            ledger.put_folder("checkpoint", "c", {}, interrupted)
        with pytest.raises(LedgerError, match="interrupted"):
            ledger.put("fact", "a", {})
    with Ledger(tmp_path) as ledger:
        ledger.put("fact", "a", {})
        assert not list((tmp_path / "checkpoint").iterdir())


@pytest.mark.parametrize("what", ["deleted", "renamed", "replaced"])
def test_a_run_directory_that_goes_away_is_noticed(what: str, tmp_path: Path) -> None:
    folder = tmp_path / "run"
    with Ledger(folder) as ledger:
        ledger.put("fact", "a", {})
        folder.rename(tmp_path / "elsewhere")
        if what == "deleted":
            files.remove(tmp_path / "elsewhere")
        if what == "replaced":
            Ledger(folder).close()
        for write in (lambda: ledger.put("fact", "b", {}), lambda: ledger.put("block", "b", {}, [user("x")])):
            with pytest.raises(LedgerError):
                write()
    assert not (folder / "block").exists()
    if what == "renamed":
        with Ledger(tmp_path / "elsewhere") as ledger:
            assert [entry.key for entry in ledger.entries("fact")] == ["a"]


def test_a_newer_format_is_refused_untouched(tmp_path: Path) -> None:
    with Ledger(tmp_path) as ledger:
        ledger.put("fact", "a", {})
    connection = sqlite3.connect(tmp_path / "ledger.sqlite")
    connection.execute("PRAGMA user_version=2")
    connection.close()
    (tmp_path / "head").unlink()  # a newer version writes its own
    before = (tmp_path / "ledger.sqlite").read_bytes()
    for read_only in (False, True):
        with pytest.raises(
            LedgerError, match=r"newer version of sharpen \(format 2, this one reads 1\); update sharpen"
        ) as caught:
            Ledger(tmp_path, read_only=read_only)
        assert not isinstance(caught.value, DamagedError)
    assert (tmp_path / "ledger.sqlite").read_bytes() == before


def test_what_is_no_run_directory_is_told(tmp_path: Path) -> None:
    with pytest.raises(LedgerError, match="is no run directory: it has no ledger.sqlite; name the folder"):
        Ledger(tmp_path, read_only=True)
    assert list(tmp_path.iterdir()) == []
    (tmp_path / "file").write_text("")
    with pytest.raises(SharpenError, match="cannot write"):
        Ledger(tmp_path / "file" / "run")


def test_a_reader_records_nothing(tmp_path: Path) -> None:
    with Ledger(tmp_path) as ledger:
        entry = ledger.put("block", "a", {}, [user("x")])
    with Ledger(tmp_path, read_only=True) as ledger:
        for write in (
            lambda: ledger.put("fact", "b", {}),
            lambda: ledger.put("block", "b", {}, [user("x")]),
            lambda: ledger.put_folder("checkpoint", "b", {}, _fill(weights="w")),
            lambda: ledger.withdraw(entry, "no"),
        ):
            with pytest.raises(LedgerError, match="opened for reading"):
                write()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["block", "head", "ledger.sqlite", "lock"]


def test_a_closed_ledger_records_nothing(tmp_path: Path) -> None:
    ledger = Ledger(tmp_path)
    ledger.close()
    ledger.close()
    with pytest.raises(LedgerError, match="was closed"):
        ledger.put("fact", "a", {})


def _as_another_user(folder: Path, state: str) -> None:
    """In a forked child of root: give up all rights, then read what may not be written."""
    os.setresgid(65534, 65534, 65534)
    os.setresuid(65534, 65534, 65534)
    with Ledger(folder, read_only=True) as ledger:
        assert len(ledger.entries("fact")) == 3
        assert ledger.items(ledger.entries("block")[0]) == [user("x")]
    with pytest.raises(LedgerError, match="cannot write"):
        Ledger(folder)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become a user who may not write")
@pytest.mark.parametrize("state", ["closed", "killed", "killed without index", "live"])
def test_a_directory_that_may_not_be_written_can_be_read(state: str) -> None:
    with tempfile.TemporaryDirectory() as home:
        Path(home).chmod(0o755)
        _check_another_user(state, Path(home))


def _check_another_user(state: str, home: Path) -> None:
    folder = home / "run"
    ledger = Ledger(folder)
    for number in range(3):
        ledger.put("fact", f"f{number}", {})
    ledger.put("block", "b", {}, [user("x")])
    if state == "closed":
        ledger.close()
    elif state != "live":
        shutil.copytree(folder, home / "copy")
        folder = home / "copy"
        if state == "killed without index":
            (folder / "ledger.sqlite-shm").unlink()
    for path in (folder, *folder.rglob("*")):
        path.chmod(0o555 if path.is_dir() else 0o444)
    child = multiprocessing.get_context("fork").Process(target=_as_another_user, args=(folder, state))
    child.start()
    child.join()
    ledger.close()
    assert child.exitcode == 0


def test_a_full_disk_is_told_as_such(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    with Ledger(tmp_path) as ledger, monkeypatch.context() as patch:
        patch.setattr(os, "fsync", fails)
        with pytest.raises(CapacityError, match="no space left to write .*; free some and run the same command again"):
            ledger.put("block", "b", {}, [user("y")])


def _write_and_reopen(folder: Path) -> None:
    for start in range(0, 60, 6):
        with Ledger(folder) as ledger:
            for number in range(start, start + 6):
                ledger.put("fact", f"f{number:02}", {}, [user(str(number))])


def test_readers_beside_a_writer_see_a_state_that_stood(tmp_path: Path) -> None:
    Ledger(tmp_path).close()
    writer = multiprocessing.get_context("fork").Process(target=_write_and_reopen, args=(tmp_path,))
    writer.start()
    before, reads = 0, 0
    while writer.is_alive() or reads < 20:
        with Ledger(tmp_path, read_only=True) as ledger:
            entries = ledger.entries("fact")
            assert [entry.key for entry in entries] == [f"f{number:02}" for number in range(len(entries))]
            if entries:
                assert ledger.items(entries[-1]) == [user(str(len(entries) - 1))]
        assert before <= len(entries)
        before, reads = len(entries), reads + 1
    writer.join()
    assert writer.exitcode == 0
    with Ledger(tmp_path, read_only=True) as ledger:
        assert len(ledger.entries("fact")) == 60
