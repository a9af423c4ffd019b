"""The benchmarks themselves, on the tiny model: sides that agree, a wrong gradient that is caught, files of fixed keys."""

import dataclasses
import json

import pytest
from benchmarks import engine, machine, scaling
from benchmarks import ours as ours_module
from benchmarks.budget import Budget
from benchmarks.candidates import Candidate, screened
from benchmarks.equality import compared
from benchmarks.growth import Growth
from benchmarks.ours import Ours
from benchmarks.plain import Plain
from benchmarks.results import KEYS
from benchmarks.runs import Bench, gate, make_works, rounds, screened_s, works_of
from benchmarks.shapes import Shape
from benchmarks.sides import Settings
from typer.testing import CliRunner

from sharpen.models.cache import cache_folder
from sharpen.objectives import PolicyGradient
from sharpen.runtime.tiny import tiny_folder

SMALL = Shape.parse("20/6/16/4", 2)


@pytest.fixture(scope="module")
def exact():
    """Settings under which gradients are compared."""
    folder = str(tiny_folder(cache_folder()))
    return Settings(folder=folder, threads=1, dtype="float32", batch=3, gradient_only=True)


@pytest.fixture(scope="module")
def ours(exact):
    return Ours(exact)


@pytest.fixture(scope="module")
def works(ours):
    found = make_works(ours, SMALL, 0)
    ours.prepare([found["warm"], found["forced"], found["natural"]])
    return found


@pytest.fixture(scope="module")
def batch(ours, works):
    return ours.sampled_batch(works["forced"])


def test_work_has_the_shape(works):
    work = works["forced"]
    assert {len(ids) for ids in work.prompt_ids} == {SMALL.prompt}
    assert (work.num_rows, work.max_new_tokens) == (SMALL.num_rows, SMALL.longest)
    assert works["natural"].lengths is None


def test_our_completions_have_the_lengths_that_were_asked_for(works, batch):
    assert tuple(map(len, batch.completions)) == works["forced"].lengths


def test_the_plain_loop_makes_completions_of_the_same_lengths(exact, works):
    plain = Plain(dataclasses.replace(exact, gradient_only=False))
    plain.prepare([works["warm"], works["forced"]])
    assert tuple(map(len, plain._sample(works["forced"]))) == works["forced"].lengths
    assert plain.round(1).generated == sum(works["forced"].lengths)


@pytest.fixture
def compare(ours, exact, batch, tmp_path):
    """Our gradient on the batch beside the plain loop's."""

    def found():
        ours.gradient(batch, tmp_path / "ours")
        plain = Plain(exact)
        plain.prepare([batch.work])
        plain.gradient(batch, tmp_path / "plain")
        return compared(tmp_path / "ours", tmp_path / "plain")

    return found


def test_the_plain_gradient_is_ours(compare):
    found = compare()
    assert found.reason is None
    assert found.cosine > 0.999999
    assert found.norm_ratio == pytest.approx(1, abs=1e-4)


def test_another_normalisation_is_caught(compare, monkeypatch):
    once = Plain._micro_batches
    monkeypatch.setattr(Plain, "_micro_batches", lambda *given: [*once(*given), *once(*given)])
    found = compare()
    assert found.norm_ratio == pytest.approx(2, abs=1e-3)
    assert "2.0" in found.reason


def test_another_objective_is_caught(compare, monkeypatch):
    monkeypatch.setattr(ours_module, "_OBJECTIVE", PolicyGradient(reduction="seq-mean-token-mean"))
    assert "cosine" in compare().reason


def test_a_tokenizer_that_reads_otherwise_is_refused(exact, works):
    other = dataclasses.replace(works["forced"], prompt_ids=tuple(ids[1:] for ids in works["forced"].prompt_ids))
    with pytest.raises(ValueError, match="other tokens"):
        Plain(exact).prepare([other])


def at(results, path):
    for key in path.split("."):
        results = results[key]
    return results


QUIET = machine.Load(share=1.0, average=0.0)


COMMAND = ["--model", "tiny", "--quick", "--peer", "plain", "--threads", "1"]


@pytest.mark.slow
def test_a_whole_run_files_every_key_and_no_name_of_the_machine(monkeypatch, tmp_path):
    """In two goes: one that has no time for a shape, and one that goes on with its file."""
    monkeypatch.setattr(machine, "measured_load", lambda: QUIET)
    shape = ["--shape", "20/6/16/4"]
    found = CliRunner().invoke(engine.app, [*COMMAND, *shape, "--minutes", "0.001", "--out", str(tmp_path)])
    assert found.exit_code == 0, found.output
    (path,) = tmp_path.iterdir()
    results = json.loads(path.read_text())
    assert (results["complete"], results["shapes"], results["parts"][0]["shapes"]) == (False, {}, [])
    assert {key for key in KEYS if at(results, key) is not None} == {"decode_share"}
    other = CliRunner().invoke(engine.app, [*COMMAND, *shape, "--seed", "1", "--resume", str(path)])
    assert (other.exit_code, "run.seed is 0 in the file and 1 now" in other.output) == (2, True)
    found = CliRunner().invoke(engine.app, [*COMMAND, *shape, "--resume", str(path)])
    assert found.exit_code == 0, found.output
    assert list(tmp_path.iterdir()) == [path]
    results = json.loads(path.read_text())
    assert (results["complete"], [part["shapes"] for part in results["parts"]]) == (True, [[], ["20/6/16/4"]])
    assert all(part["peaks"]["read"] > 0 for part in results["parts"])
    assert all(at(results, key) is not None for key in ("train_share", "decode_share"))
    assert {key for key in KEYS if at(results, key) is None} == {
        "round.geomean_speed",
        "update.geomean_speed",
        "score.geomean_speed",
        "memory_ratio",
    }, "TRL was left out"
    shape = results["shapes"]["20/6/16/4"]
    assert shape["equality"]["cosine"] > 0.9999
    assert shape["sides"]["ours"]["tokens"] == shape["sides"]["plain"]["tokens"] == [48]
    assert shape["alternations"] == 1
    assert results["run"]["seed"] == 0
    assert str(cache_folder()) not in path.read_text()


@pytest.fixture
def bench(exact, tmp_path):
    """Ours and the plain loop, two alternations."""
    return Bench(settings={"ours": exact, "plain": exact}, alternations=2, seed=0, scratch=tmp_path, tell=lambda line: None)


@pytest.mark.slow
def test_alternations_after_the_first_are_made_while_there_is_time(bench):
    for minutes, number in ((0, 1), (None, 2)):
        found = rounds(bench, SMALL, natural=True, batch=None, budget=Budget.of(minutes))
        assert [found[name].plain()["alternations"] for name in (SMALL.name, f"{SMALL.name} natural")] == [number, 1]
        assert all(len(side.timings) == number for side in found[SMALL.name].sides.values())


@pytest.mark.slow
def test_screening_ends_with_its_time_and_a_slower_candidate_is_left(bench, exact):
    options = {"plain": [Candidate(name="a"), Candidate(name="b"), Candidate(name="c")]}
    settings, tried = screened(bench, SMALL, exact, options, Budget.of(0))
    assert settings["plain"] == options["plain"][0].settings(exact)
    assert [("seconds" in one, "not tried" in one.get("failed", "")) for one in tried["plain"].values()] == [
        (True, False),
        (False, True),
        (False, True),
    ]
    assert screened_s(bench, works_of(bench, SMALL), "plain", exact, limit_s=1e-6).startswith("no answer within")


@pytest.mark.slow
def test_trls_gradient_is_ours(tmp_path):
    """By TRL's whole step, from its own shuffle to its own accumulation."""
    base = Settings(folder=str(tiny_folder(cache_folder())), threads=1, batch=4)
    bench = Bench(settings={"ours": base, "trl": base}, alternations=1, seed=0, scratch=tmp_path, tell=lambda line: None)
    _, found = gate(bench, SMALL)
    assert found["trl"].reason is None


def test_a_growing_run_stops_where_training_begins():
    growth = Growth(1)
    found = growth.run(20, 2)
    assert found.samples == 40
    assert found.seconds > 0
    spent = growth.overhead(20, 2)
    assert 0 < spent.model_s < spent.seconds


@pytest.mark.slow
def test_scaling_files_every_key(monkeypatch, tmp_path):
    monkeypatch.setattr(machine, "measured_load", lambda: QUIET)
    sizes = [option for size in (10, 20, 30) for option in ("--prompts", str(size))]
    how = ["--repeats", "1", "--model", "tiny", "--overhead-prompts", "10", "--threads", "1"]
    found = CliRunner().invoke(scaling.app, [*sizes, *how, "--out", str(tmp_path)])
    assert found.exit_code == 0, found.output
    results = json.loads(next(tmp_path.iterdir()).read_text())
    assert all(at(results, key) is not None for key in scaling.KEYS)
