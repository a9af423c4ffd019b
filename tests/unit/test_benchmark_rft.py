"""RFT beside its peer, on the tiny model: equal steps, equal rules, a clock that stops at the target."""

import dataclasses
import json

import pytest
from benchmarks import machine, rft
from benchmarks.equality import Equality, compared
from benchmarks.rft_ours import OursRft
from benchmarks.rft_peer import PeerRft
from benchmarks.rft_work import RftRound, RftRun, RftWork
from benchmarks.sides import Settings
from typer.testing import CliRunner

from sharpen.data import Splits
from sharpen.loading import load_task
from sharpen.models.cache import cache_folder
from sharpen.protocols import Training
from sharpen.runtime.tiny import tiny_folder
from sharpen.runtime.training import learning_rate_at

PROMPTS = 24


@pytest.fixture(scope="module")
def settings():
    return Settings(folder=str(tiny_folder(cache_folder())), threads=1, dtype="float32", batch=32)


@pytest.fixture(scope="module")
def work():
    task = load_task("tiny", splits=Splits(train=2 * PROMPTS, gate=40, final=0))
    return RftWork(
        train=task.train,
        held_out=task.gate,
        verifier=task.verifier,
        target=1.0,
        max_rounds=2,
        num_prompts=PROMPTS,
        num_samples=4,
        max_new_tokens=task.max_new_tokens,
        learning_rate=1e-3,
    )


def test_a_step_of_sfttrainer_is_a_step_of_ours(settings, work, tmp_path):
    ours, peer = OursRft(settings), PeerRft(settings)
    examples = ours.examples(list(work.train[:5]))
    one = dataclasses.replace(work, epochs=1, batch_size=5)
    ours.gradient(examples, one, tmp_path / "ours")
    peer.gradient(examples, one, tmp_path / "peer")
    found = compared(tmp_path / "ours", tmp_path / "peer")
    assert (found.reason, found.cosine > 0.999999) == (None, True)


def test_both_sides_learn_from_as_many_samples_by_one_rule(settings, work):
    """Four fifths of the tiny model's wrong answers are cured by either side; the base is measured within the time."""
    runs = []
    for side in (OursRft(settings), PeerRft(settings)):
        side.warm(work)
        runs.append(side.run(work, 0))
    for run in runs:
        assert [one.sampled for one in run.rounds] == [PROMPTS * 4] * len(run.rounds)
        assert all(0 < one.examples <= PROMPTS for one in run.rounds)
        assert all(one.sampled_tokens > one.sampled for one in run.rounds)
        assert run.rounds[-1].accuracy > run.base + 0.3
        assert run.rounds[0].ended_s == pytest.approx(sum(run.rounds[0].seconds.values()), rel=0.2)
        assert all(one.seconds[phase] > 0 for one in run.rounds for phase in one.seconds)
    assert runs[0].base == runs[1].base


def test_a_run_ends_once_the_target_is_reached(settings, work):
    for side in (OursRft(settings), PeerRft(settings)):
        run = side.run(dataclasses.replace(work, target=0.01), 0)
        assert len(run.rounds) == 1
        assert run.seconds_to(0.01) == run.rounds[0].ended_s


def test_the_peers_schedule_is_ours():
    from benchmarks.rft_peer import _rate

    training = Training(learning_rate=1.0, schedule="linear", warmup=0.1)
    for num_steps in (1, 7, 30):
        ours = [learning_rate_at(step, num_steps, training) for step in range(num_steps)]
        assert [_rate(step, num_steps) for step in range(num_steps)] == pytest.approx(ours)


def a_run(*accuracies):
    seconds = {"sample": 1.0, "select": 1.0, "train": 1.0, "evaluate": 1.0}
    rounds = [
        RftRound(seconds=seconds, ended_s=4.0 * place, sampled=8, sampled_tokens=80, examples=2, accuracy=accuracy)
        for place, accuracy in enumerate(accuracies, 1)
    ]
    return RftRun(base=0.0, rounds=tuple(rounds), peak_bytes=1)


@pytest.mark.parametrize(
    ("theirs", "reason", "wanted"), [((0.1, 0.3), None, 2.0), ((0.1, 0.2), None, None), ((0.3,), "x", None)]
)
def test_a_speed_needs_both_sides_at_the_target_and_equal_gradients(theirs, reason, wanted):
    sides = {"ours": rft._side([a_run(0.25)], 0.25), "peer": rft._side([a_run(*theirs)], 0.25)}
    assert rft._speed(Equality(cosine=1.0, norm_ratio=1.0, reason=reason), sides, "to_target_s") == wanted


def test_the_command_refuses_a_loaded_machine(monkeypatch, tmp_path):
    monkeypatch.setattr(machine, "measured_load", lambda: machine.Load(share=0.4, average=3.0))
    found = CliRunner().invoke(rft.app, ["--model", "tiny", "--out", str(tmp_path)])
    assert (found.exit_code, list(tmp_path.iterdir())) == (2, [])


@pytest.mark.slow
def test_a_whole_run_files_every_key(monkeypatch, tmp_path):
    monkeypatch.setattr(machine, "measured_load", lambda: machine.Load(share=1.0, average=0.0))
    sizes = [
        "--prompts",
        "64",
        "--samples",
        "4",
        "--held-out",
        "40",
        "--max-rounds",
        "2",
        "--target",
        "0.01",
        "--threads",
        "1",
        "--model",
        "tiny",
        "--quick",
    ]
    found = CliRunner().invoke(rft.app, [*sizes, "--out", str(tmp_path)])
    assert found.exit_code == 0, found.output
    (path,) = tmp_path.iterdir()
    results = json.loads(path.read_text())
    assert all(results[key.split(".")[0]][key.split(".")[1]] is not None for key in rft.KEYS)
    assert results["equality"]["cosine"] > 0.9999
    assert str(cache_folder()) not in path.read_text()
