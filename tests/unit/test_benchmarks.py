"""What a timing rests on: equal work, equal gradients, a quiet machine, figures of fixed names."""

import dataclasses
import functools
import json
import math
import os
import time

import numpy as np
import pytest
from benchmarks import engine, machine, scaling
from benchmarks.budget import Budget
from benchmarks.equality import Equality, compared
from benchmarks.limits import ModelSize, decode_bound_s, train_flop
from benchmarks.results import KEYS, ShapeResult, SideResult, ratio, summary, write, written
from benchmarks.shapes import SHAPES, Shape, Work, advantages_of, exact_prompts, length_plan, rewards_for
from benchmarks.sides import Memory, Settings, Timing, rows_at_once
from benchmarks.table import where_a_peer_wins
from benchmarks.workers import Worker, WorkerError
from hypothesis import given
from hypothesis import strategies as st
from safetensors.numpy import save_file
from typer.testing import CliRunner


def at(results, path):
    """The value at a path such as `round.geomean_speed`; a missing key is an error."""
    for key in path.split("."):
        results = results[key]
    return results


@given(st.sampled_from(SHAPES), st.integers(0, 10_000))
def test_lengths_have_exactly_the_mean_and_the_longest_of_the_shape(shape, seed):
    lengths = length_plan(shape, seed)
    assert (len(lengths), sum(lengths), max(lengths)) == (shape.num_rows, shape.mean * shape.num_rows, shape.longest)
    assert min(lengths) >= 2
    assert lengths == length_plan(shape, seed)


def test_lengths_depend_on_the_seed_and_are_skewed_as_natural_ones_are():
    lengths = length_plan(SHAPES[1], 0)
    assert lengths != length_plan(SHAPES[1], 1)
    assert sorted(lengths)[len(lengths) // 2] < SHAPES[1].mean


@pytest.mark.parametrize("text", ["45/25/64", "45/25/x/8", "0/25/64/8", "45/65/64/8", "45/25/64/1", "45/2/600/8"])
def test_a_shape_that_cannot_be_is_refused(text):
    with pytest.raises(ValueError, match=r"shape '.*' "):
        Shape.parse(text, 8)


@given(st.sampled_from(SHAPES), st.integers(0, 10_000))
def test_no_group_can_be_left_out(shape, seed):
    advantages = np.array(advantages_of(rewards_for(shape, seed), shape.samples)).reshape(-1, shape.samples)
    assert (np.abs(advantages).max(1) > 0.1).all()
    assert np.allclose(advantages.sum(1), 0)


def test_advantages_are_trls():
    assert advantages_of([1.0, 0.0, 0.0, 0.0], 4) == pytest.approx([0.75 / 0.5001, *[-0.25 / 0.5001] * 3])


@pytest.mark.parametrize("num_tokens", [12, 30, 77, 200])
def test_prompts_have_exactly_the_tokens_that_were_asked_for(num_tokens):
    prompts = exact_prompts(5, num_tokens, 0, lambda text: 9 + len(text))
    assert {len(text) + 9 for text in prompts} == {num_tokens}
    assert len(set(prompts)) == 5


def test_a_prompt_shorter_than_the_template_is_refused():
    with pytest.raises(ValueError, match="too short"):
        exact_prompts(1, 8, 0, lambda text: 9 + len(text))


GRADIENT = {"a": np.array([[1.0, -2.0], [0.5, 3.0]], np.float32), "b": np.array([4.0], np.float32)}


@pytest.mark.parametrize(
    ("theirs", "reason"),
    [
        ({name: value * 1.0005 for name, value in GRADIENT.items()}, None),
        ({name: value * 2 for name, value in GRADIENT.items()}, "2.00000 times our norm"),
        ({**GRADIENT, "a": GRADIENT["a"] * np.float32(1.05)}, "cosine"),
        ({name: -value for name, value in GRADIENT.items()}, "cosine"),
        ({name: value * 0 for name, value in GRADIENT.items()}, "zero or not finite"),
        ({**GRADIENT, "a": GRADIENT["a"] * np.float32("nan")}, "zero or not finite"),
        ({"a": GRADIENT["a"]}, "only one side has a gradient of b"),
    ],
)
def test_the_gate_lets_only_our_gradient_through(tmp_path, theirs, reason):
    save_file(GRADIENT, tmp_path / "ours")
    save_file(theirs, tmp_path / "theirs")
    found = compared(tmp_path / "ours", tmp_path / "theirs")
    assert found.reason is None if reason is None else reason in found.reason


def timing(seconds, generated=100):
    return Timing(seconds=seconds, generate_s=seconds / 2, update_s=seconds / 4, generated=generated, cpu_s=seconds)


def side(*seconds, working=100, **more):
    memory = Memory(baseline=1000, peak=1300 + working, optimizer=300, state="float32")
    return SideResult(timings=[timing(one) for one in seconds], score_s=list(seconds), memory=memory, **more)


def shape_of(equality=None, **sides):
    same = Equality(cosine=1.0, norm_ratio=1.0, reason=None)
    return ShapeResult(sides=sides, equality={peer: equality or same for peer in sides if peer != "ours"})


def summed(wanted=None, **shapes):
    """The headline figures, as a run makes them of what it files."""
    return summary({name: shape.plain() for name, shape in shapes.items()}, wanted or list(shapes))


def test_speeds_are_ratios_of_medians_and_their_geometric_mean():
    shapes = {
        "a": shape_of(ours=side(1, 9, 2, working=50), trl=side(4, 4, 100), plain=side(3)),
        "b": shape_of(ours=side(1, working=50), trl=side(8), plain=side(12)),
    }
    found = summed(**shapes)
    assert at(found, "round.geomean_speed") == pytest.approx(4)
    assert at(found, "update.geomean_speed") == pytest.approx(4)
    assert at(found, "generate.geomean_speed") == pytest.approx(math.sqrt(1.5 * 8)), "beside the faster peer of each shape"
    assert at(found, "memory_ratio") == pytest.approx(0.5)


def test_one_void_shape_voids_the_whole_mean():
    wrong = Equality(cosine=1.0, norm_ratio=2.0, reason="other normalisation")
    good, bad = shape_of(ours=side(1), trl=side(4)), shape_of(wrong, ours=side(1), trl=side(4))
    assert at(summed(a=good), "round.geomean_speed") == pytest.approx(4)
    assert at(summed(a=good, b=bad), "round.geomean_speed") is None
    assert bad.plain()["void"] == {"trl": "other normalisation"}
    assert bad.plain()["sides"]["trl"]["round"]["median_s"] == 4, "the seconds stay on record"


def test_a_failed_side_is_void_with_its_reason():
    shape = shape_of(ours=side(1), trl=side(failed="out of memory"))
    assert shape.void("trl") == "out of memory"
    assert shape.speed("round", "trl") is None


def test_gradients_that_were_not_compared_void_a_timing():
    assert dataclasses.replace(shape_of(ours=side(1), trl=side(4)), equality={}).void("trl")


def test_natural_lengths_compare_tokens_a_second():
    ours = dataclasses.replace(side(1), timings=[timing(1, generated=300)])
    shape = dataclasses.replace(shape_of(ours=ours, trl=side(2)), natural=True)
    assert shape.speed("round", "trl") == pytest.approx(6)


def test_a_ratio_over_nothing_is_nothing():
    assert ratio([]) is None
    assert ratio([None]) is None


def test_where_a_peer_wins_is_said():
    shape = shape_of(ours=side(2, working=200), trl=side(1), plain=side(5, working=400))
    told = where_a_peer_wins({"a": shape.plain()})
    assert "a: trl is 2.00 times faster in round" in told
    assert "a: trl needs 50% of our memory" in told
    assert not any("plain" in line for line in told)


def test_a_shape_that_is_still_missing_leaves_the_means_open():
    shape = shape_of(ours=side(1), trl=side(4))
    assert at(summed(a=shape), "round.geomean_speed") == pytest.approx(4)
    found = summed(["a", "b"], a=shape)
    assert {at(found, key) for key in KEYS if not key.endswith("_share")} == {None}


def test_natural_lengths_are_no_part_of_the_means():
    shape = shape_of(ours=side(1), trl=side(4))
    natural = dataclasses.replace(shape_of(ours=side(1), trl=side(100)), natural=True)
    assert at(summed(["a"], a=shape, b=natural), "round.geomean_speed") == pytest.approx(4)


def test_a_file_is_replaced_as_a_whole(tmp_path):
    path = written({"n": 1}, tmp_path, "amd-epyc-2")
    with pytest.raises(TypeError):
        write({"n": object()}, path)
    assert json.loads(path.read_text()) == {"n": 1}
    write({"n": 2}, path)
    assert (json.loads(path.read_text()), list(tmp_path.iterdir())) == ({"n": 2}, [path])


def test_a_budget_is_shared_out_and_ends():
    assert Budget.of(None).part(0.1).allows(1e12)
    whole = Budget.of(1)
    assert whole.part(0.5).left_s() == pytest.approx(30, abs=1)
    assert whole.allows(59)
    assert not whole.allows(61)


def test_results_of_one_day_do_not_overwrite_each_other(tmp_path):
    first, second = (written({"n": n}, tmp_path, "amd-epyc-2") for n in (1, 2))
    assert first != second
    assert [json.loads(path.read_text())["n"] for path in (first, second)] == [1, 2]


@pytest.mark.parametrize(
    "load",
    [machine.Load(share=0.5, average=0.1), machine.Load(share=1.0, average=2.0), machine.Load(share=0.7, average=None)],
)
def test_a_loaded_machine_is_refused_unless_that_is_allowed_and_told(load):
    with pytest.raises(machine.LoadedError, match="other work"):
        machine.refuse_loaded(load, allow=False)
    assert machine.refuse_loaded(load, allow=True)


def test_a_quiet_machine_is_timed():
    assert machine.refuse_loaded(machine.Load(share=0.98, average=0.3), allow=False) is None


@pytest.mark.parametrize("command", [engine, scaling])
def test_the_commands_refuse_a_loaded_machine_before_they_do_anything(command, monkeypatch, tmp_path):
    monkeypatch.setattr(machine, "measured_load", lambda: machine.Load(share=0.4, average=3.0))
    found = CliRunner().invoke(command.app, ["--model", "tiny", "--out", str(tmp_path)])
    assert found.exit_code == 2
    assert "other work" in found.output
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("options", [["--shape", "1/2/3"], ["--peer", "verl"], ["--dtype", "float16"]])
def test_the_command_refuses_what_it_does_not_know(options, monkeypatch):
    monkeypatch.setattr(machine, "measured_load", lambda: machine.Load(share=1.0, average=0.0))
    assert CliRunner().invoke(engine.app, options).exit_code == 2


def test_the_machine_has_no_name_and_no_path():
    told = json.dumps(dict(machine.describe("cpu")))
    assert os.uname().nodename not in told
    assert "/" not in told


SIZE = ModelSize(trunk=106_168_320, head=28_311_552, layers=30, width=576, kv_width=192)


def test_the_update_needs_each_prompt_once_and_the_head_at_completions():
    prompt, lengths = 3, (2, 1)
    trunk = 2 * SIZE.trunk * (3 + 2 + 1)
    attention = 4 * SIZE.layers * SIZE.width * ((1 + 2 + 3) + (4 + 5) + 4)
    head = 2 * SIZE.head * 3
    assert train_flop(SIZE, prompt, lengths, samples=2) == 3 * (trunk + attention + head)


def test_decoding_is_bound_by_products_with_many_rows_and_by_memory_with_one():
    many = decode_bound_s(SIZE, 64, 77, num_bytes=2, peak=415e9, read=28e9)
    one = decode_bound_s(SIZE, 1, 77, num_bytes=2, peak=415e9, read=28e9)
    assert many == pytest.approx(2 * 134_479_872 * 64 / 415e9)
    assert one == pytest.approx((134_479_872 + 77 * 2 * 30 * 192) * 2 / 28e9)


def test_a_worker_answers_tells_failures_and_goes_on(tmp_path):
    with Worker(functools.partial(dict, a=1), tmp_path / "log") as worker:
        assert worker.ask(len) == 1
        with pytest.raises(WorkerError, match="TypeError"):
            worker.ask(abs)
        assert worker.ask(len) == 1


def test_a_worker_that_dies_is_told(tmp_path):
    with Worker(dict, tmp_path / "log") as worker, pytest.raises(WorkerError, match="exit code 3"):
        worker.ask(functools.partial(_leave))


def test_a_worker_that_does_not_answer_is_ended(tmp_path):
    with Worker(dict, tmp_path / "log") as worker:
        worker.ask(len)
        with pytest.raises(WorkerError, match="no answer within 0 s"):
            worker.ask(functools.partial(_wait), limit_s=0.2)
        with pytest.raises(WorkerError, match="exit code"):
            worker.ask(len)


def _wait(_):
    time.sleep(30)


@pytest.mark.parametrize(("batch", "longest", "rows"), [(8, 109, 8), (16, 572, 8), (16, 356, 16), (8, 9999, 1), (12, 10, 8)])
def test_a_micro_batch_divides_the_round_and_fits(batch, longest, rows):
    shape = Shape(prompt=1, mean=longest - 1, longest=longest - 1, samples=8, num_prompts=8)
    work = Work(
        texts=("a",) * 8,
        prompt_ids=((1,),) * 8,
        samples=8,
        max_new_tokens=shape.longest,
        lengths=None,
        rewards=rewards_for(shape, 0),
    )
    assert rows_at_once(Settings(folder="", batch=batch), [work]) == rows


def _leave(_):
    os._exit(3)


def test_the_headline_keys_are_those_that_others_read():
    assert KEYS == (
        "round.geomean_speed",
        "update.geomean_speed",
        "generate.geomean_speed",
        "score.geomean_speed",
        "memory_ratio",
        "train_share",
        "decode_share",
    )
    assert scaling.KEYS == ("time.ratio", "memory.bytes_per_sample", "overhead.share")
