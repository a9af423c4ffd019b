"""Drawing a token: the right distribution, cut where it should be, from numbers that belong to the sample."""

import dataclasses

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from sharpen.protocols import Request, Sampling
from sharpen.runtime.sampler import draw, uniforms
from sharpen.types import Completion, Segment, user

SHARES = np.array([0.4, 0.25, 0.15, 0.1, 0.06, 0.04])
NUM_DRAWS = 20_000


def drawn(shares, sampling, seed=0, num_draws=NUM_DRAWS):
    numbers = torch.from_numpy(np.random.Generator(np.random.Philox(key=seed)).random(num_draws))
    logits = torch.tensor(np.log(shares), dtype=torch.float32) + 3.0  # a constant changes nothing
    return draw(logits.expand(num_draws, -1), numbers, sampling)


def assert_follows(counts, wanted):
    """Pearson's chi-square below its 0.999 quantile (Wilson and Hilferty's approximation)."""
    expected = wanted * counts.sum()
    degrees = max(1, len(counts) - 1)
    quantile = degrees * (1 - 2 / (9 * degrees) + 3.09 * np.sqrt(2 / (9 * degrees))) ** 3
    assert ((counts - expected) ** 2 / expected).sum() < quantile


def check(shares, sampling, wanted):
    """The draws follow `wanted`, and each carries its own log-probability."""
    found = drawn(shares, sampling)
    counts = np.bincount(found.tokens.numpy(), minlength=len(shares))
    kept = wanted > 0
    assert counts[~kept].sum() == 0
    assert_follows(counts[kept], wanted[kept])
    assert np.abs(found.logprobs.numpy() - np.log(wanted[found.tokens.numpy()])).max() < 1e-5


@pytest.mark.parametrize("temperature", [0.5, 0.7, 1.0, 1.3, 5.0])
def test_temperature_sharpens_and_flattens(temperature):
    tempered = SHARES ** (1 / temperature)
    check(SHARES, Sampling(temperature=temperature), tempered / tempered.sum())


@pytest.mark.parametrize(("top_k", "num_kept"), [(1, 1), (3, 3), (6, 6), (50, 6)])
def test_top_k_keeps_the_k_likeliest(top_k, num_kept):
    wanted = np.where(np.arange(6) < num_kept, SHARES, 0)
    check(SHARES, Sampling(top_k=top_k), wanted / wanted.sum())


@pytest.mark.parametrize(("top_p", "num_kept"), [(0.1, 1), (0.39, 1), (0.41, 2), (0.64, 2), (0.66, 3), (0.95, 5), (0.99, 6)])
def test_top_p_keeps_the_smallest_set_of_that_mass(top_p, num_kept):
    order = np.array([3, 0, 5, 1, 4, 2])  # the likeliest first must hold in any order of the vocabulary
    shares = SHARES[order]
    wanted = np.where(order < num_kept, shares, 0)
    check(shares, Sampling(top_p=top_p), wanted / wanted.sum())


def test_top_k_cuts_before_top_p():
    # of the three kept, 0.5, 0.3125 and 0.1875 after renormalising: 0.75 keeps two, where all six would need three
    wanted = np.array([0.4, 0.25, 0, 0, 0, 0]) / 0.65
    check(SHARES, Sampling(top_k=3, top_p=0.75), wanted)


def test_a_large_vocabulary_of_odd_size_is_drawn_from_evenly():
    size = 1013
    shares = np.linspace(1, 3, size)
    shares /= shares.sum()
    found = drawn(shares, Sampling(), num_draws=60_000)
    counts = np.bincount(found.tokens.numpy(), minlength=size)
    assert len(counts) == size
    assert_follows(counts, shares)


def test_temperature_0_takes_the_likeliest_with_its_log_probability_at_1():
    found = drawn(SHARES, Sampling(temperature=0), num_draws=4)
    assert found.tokens.tolist() == [0] * 4
    assert found.logprobs.tolist() == pytest.approx([np.log(0.4)] * 4, abs=1e-6)


@given(
    st.lists(st.floats(-30, 30), min_size=2, max_size=600),
    st.floats(0, 1, exclude_max=True),
    st.integers(0, 5),
    st.sampled_from([1.0, 0.9, 0.3]),
)
@settings(max_examples=150)
def test_a_draw_inverts_the_cumulative_distribution(logits, number, top_k, top_p):
    row = torch.tensor([logits], dtype=torch.float32)
    found = draw(row, torch.tensor([number], dtype=torch.float64), Sampling(top_k=top_k, top_p=top_p))
    token = int(found.tokens)
    assert 0 <= token < len(logits)
    assert np.isfinite(float(found.logprobs))
    if top_k == 0 and top_p == 1:
        shares = torch.softmax(row[0].double(), -1)
        before, after = float(shares[:token].sum()), float(shares[: token + 1].sum())
        assert before - 1e-6 <= number <= after + 1e-6
        assert float(found.logprobs) == pytest.approx(float(shares[token].log()), abs=1e-4)


@pytest.mark.parametrize("number", [0.0, 1 - 2**-53])
def test_a_token_without_mass_is_never_drawn(number):
    for place in range(3, 600, 97):
        row = torch.full((1, 700), float("-inf"))
        row[0, place], row[0, place + 1] = 0.0, 1.0
        found = draw(row, torch.tensor([number], dtype=torch.float64), Sampling())
        assert int(found.tokens) == (place if number == 0.0 else place + 1)


def test_logits_that_are_not_numbers_give_no_log_probability():
    for bad in (float("nan"), float("inf")):
        row = torch.zeros((1, 300))
        row[0, 7] = bad
        assert not np.isfinite(float(draw(row, torch.tensor([0.5], dtype=torch.float64), Sampling()).logprobs))


def test_numbers_depend_on_prompt_seed_and_index_alone():
    request = Request(prompt=user("hello"), index=2, seed=5)
    numbers = uniforms(request, 8)
    assert numbers.tolist() == uniforms(Request(prompt=user("hello", target="6", tags={"id": 4}), index=2, seed=5), 8).tolist()
    assert numbers[:3].tolist() == uniforms(request, 3).tolist()
    for other in ({"prompt": user("hallo")}, {"index": 3}, {"seed": 6}):
        assert not np.isin(uniforms(dataclasses.replace(request, **other), 8), numbers).any()
    # these numbers are part of what a seed means: a change of them changes every sample of every run
    assert numbers[:2].tolist() == [0.4348302552560559, 0.2037576601772937]


def test_a_partial_goes_on_with_the_numbers_where_it_stopped():
    request = Request(prompt=user("hello"))
    segment = Segment(token_ids=(7, 7, 7), logprobs=(0.0, 0.0, 0.0))
    partial = Completion(segments=(segment,), text="", finish="length", prompt_id=request.prompt.id)
    onward = dataclasses.replace(request, partial=partial)
    assert uniforms(onward, 5).tolist() == uniforms(request, 8)[3:].tolist()
