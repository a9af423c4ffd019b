"""Memory and disk: the numbers, and the sentence where they do not suffice."""

from __future__ import annotations

from pathlib import Path

import pytest

from sharpen.capacity import (
    Needs,
    Shape,
    _container_memory,
    check_capacity,
    free_disk,
    free_memory,
    needs_of,
    recomputes,
    shape_of,
    told,
)
from sharpen.errors import CapacityError, ModelError
from sharpen.methods.grpo import grpo
from sharpen.methods.rft import rft
from sharpen.methods.self_consistency import self_consistency
from sharpen.models.cache import cache_folder
from sharpen.objectives import NLL
from sharpen.parts import Recipe, recipe
from sharpen.protocols import Training
from sharpen.runtime.tiny import tiny_folder
from sharpen.select.targets import seed_demonstrations
from sharpen.verifiers import exact

SHAPE = Shape(num_parameters=1_000_000, num_layers=2, width=10, inner=30, vocabulary=100)
MB = 1_000_000


def needs(made: Recipe, *, half: bool = False) -> Needs:
    return needs_of(made, SHAPE, pass_tokens=100, half=half)


def test_training_takes_sixteen_bytes_a_weight_and_what_stays_beside() -> None:
    found = needs(rft(exact()))
    assert found.memory == {"weights": 4 * MB, "a checkpoint to compare with": 4 * MB, "gradients and optimiser state": 12 * MB}
    layer, head = 100 * (40 * 10 + 16 * 30), 100 * 100 * 4 + 12 * 100 * 10
    assert found.activations == 2 * layer + head
    assert found.recomputed == 2 * 100 * 4 * 10 + layer + head
    assert found.certain_memory == 20 * MB
    assert found.likely_memory == 20 * MB + found.activations
    larger = recipe(name="x", select=seed_demonstrations(), objective=NLL(), training=Training(token_budget=200))
    assert needs(larger).activations == 2 * 2 * layer + 2 * 100 * 100 * 4 + 12 * 100 * 10
    assert found.disk["four checkpoints"] == 16 * MB


def test_an_optimiser_that_is_carried_is_kept_on_disk() -> None:
    assert needs(grpo(exact())).disk["four checkpoints"] == 48 * MB


def test_bfloat16_keeps_a_copy_and_lora_little_beside_the_weights() -> None:
    half = needs(rft(exact()), half=True)
    assert half.memory["copies in bfloat16"] == 4 * MB  # of the weights in training, and of those to compare with
    assert needs(self_consistency(), half=True).memory["copies in bfloat16"] == 2 * MB
    assert half.activations == 2 * 100 * (40 * 10 + 8 * 30) + 100 * 100 * 2 + 12 * 100 * 10
    lora = recipe(name="x", select=seed_demonstrations(), objective=NLL(), training=Training(lora_rank=4))
    assert needs(lora).memory["gradients and optimiser state"] < MB


def test_what_only_answers_needs_the_weights_alone() -> None:
    found = needs(self_consistency())
    assert found.certain_memory == 4 * MB
    assert found.activations == 0


def test_too_little_is_told_with_the_numbers(tmp_path: Path) -> None:
    found = needs(rft(exact()))
    with pytest.raises(CapacityError, match=r"needs 70 MB of disk .* and 1 MB is free under .*choose another --out"):
        check_capacity(found, memory=None, disk=MB, out=tmp_path)
    with pytest.raises(CapacityError, match=r"needs 0\.3 GB of memory \(weights 4 MB, .* and 0\.3 GB is free"):
        check_capacity(found, memory=300 * MB, disk=10**12, out=tmp_path)
    just = found.certain_memory + 300 * MB
    tight = check_capacity(found, memory=just + 1, disk=10**12, out=tmp_path)
    assert tight is not None
    assert "memory may become tight" in tight
    assert check_capacity(found, memory=just + found.recomputed, disk=10**12, out=tmp_path) is None
    assert check_capacity(found, memory=10**12, disk=10**12, out=tmp_path) is None
    assert check_capacity(found, memory=None, disk=10**12, out=tmp_path) is None


def test_activations_are_worked_out_again_only_where_they_do_not_fit() -> None:
    found = needs(rft(exact()))
    enough = found.likely_memory + 300 * MB
    assert not recomputes(found, enough)
    assert recomputes(found, enough - 1)
    assert not recomputes(found, None)
    assert told(found, enough) == (
        "memory: up to 21 MB (weights 4 MB, a checkpoint to compare with 4 MB, gradients and optimiser state 12 MB, "
        "activations 1 MB); 0.3 GB is free"
    )
    assert told(found, enough - 1).endswith("are worked out again in the backward pass, and a step takes about a third longer")
    assert "an unknown amount is free" in told(found, None)


def test_sampling_and_freed_blocks_are_told_and_decide_nothing() -> None:
    found = needs_of(rft(exact()), SHAPE, pass_tokens=100, half=False, sampling=5 * MB, most_freed=2 * MB)
    assert told(found, 10**9) == (
        "memory: up to 25 MB (weights 4 MB, a checkpoint to compare with 4 MB, gradients and optimiser state 12 MB, "
        "keys and values in sampling 5 MB), and up to 2 MB of freed blocks beside; 1.0 GB is free"
    )
    plain = needs(rft(exact()))
    assert (found.certain_memory, found.likely_memory) == (plain.certain_memory, plain.likely_memory)
    most = needs_of(self_consistency(), SHAPE, pass_tokens=100, half=False, sampling=1000, most_freed=2 * MB)
    assert most.freed == 1000, "no more was ever in use"


def test_the_shape_is_read_from_the_configuration(tmp_path: Path) -> None:
    assert shape_of(tiny_folder(cache_folder()), 7) == Shape(
        num_parameters=7, num_layers=2, width=64, inner=128, vocabulary=101
    )
    (tmp_path / "config.json").write_text('{"model_type": "gpt2", "n_embd": 12, "n_layer": 3, "vocab_size": 40}', "utf-8")
    assert shape_of(tmp_path, 7) == Shape(num_parameters=7, num_layers=3, width=12, inner=48, vocabulary=40)
    (tmp_path / "config.json").write_text("{", "utf-8")
    with pytest.raises(ModelError, match="cannot read the configuration"):
        shape_of(tmp_path, 7)


def test_free_disk_is_that_of_the_nearest_folder_there_is(tmp_path: Path) -> None:
    assert abs(free_disk(tmp_path / "not" / "yet") - free_disk(tmp_path)) < 10**9
    free = free_memory("cpu")
    assert free is None or free > 10**7


@pytest.mark.parametrize("version", [1, 2])
def test_a_container_s_limit_counts_page_cache_as_free(version: int, tmp_path: Path) -> None:
    names = ("memory.max", "memory.current", "memory.stat", "inactive_file 30")
    if version == 1:
        (tmp_path / "memory").mkdir()
        names = ("memory/memory.limit_in_bytes", "memory/memory.usage_in_bytes", "memory/memory.stat", "total_inactive_file 30")
    limit, used, stat, line = names
    (tmp_path / limit).write_text("1000\n", "ascii")
    (tmp_path / used).write_text("400\n", "ascii")
    (tmp_path / stat).write_text(f"anon 5\n{line}\n", "ascii")
    assert _container_memory(tmp_path) == 630
    (tmp_path / limit).write_text("max\n" if version == 2 else f"{2**62}\n", "ascii")
    assert _container_memory(tmp_path) is None


def test_no_container_has_no_limit(tmp_path: Path) -> None:
    assert _container_memory(tmp_path) is None
