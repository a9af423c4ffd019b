"""Sampling: exact log-probabilities, one answer whatever runs beside it, and every way that a completion ends."""

import dataclasses
import json
import os
import string
import subprocess
import sys

import pytest
import torch
from runtime_models import (
    CHARACTERS,
    END,
    given,
    gpt2,
    largest_difference,
    llama,
    logprobs,
    requests,
    rows_of,
    runtime,
    sample,
    words,
)
from transformers import AutoModelForCausalLM

from sharpen.errors import DataError, ModelError
from sharpen.protocols import Request, Sampling
from sharpen.runtime.generation import _Batch
from sharpen.runtime.packing import common_beginning
from sharpen.types import Prompt

PROMPTS = words("ab", "hello world", "x", "Which of these?", "q" * 40)


def tokens(completions):
    return [completion.token_ids for completion in completions]


def test_greedy_answers_are_those_of_transformers(folder, rt):
    model = AutoModelForCausalLM.from_pretrained(folder).eval()
    made = sample(rt, requests(PROMPTS), temperature=0)
    for prompt, completion in zip(PROMPTS, made, strict=True):
        ids = torch.tensor([rt.renderer.prompt_ids(prompt)])
        wanted = model.generate(ids, attention_mask=torch.ones_like(ids), do_sample=False, max_new_tokens=12, pad_token_id=END)
        assert list(completion.token_ids) == wanted[0, ids.shape[1] :].tolist()


@pytest.mark.parametrize("temperature", [0.0, 0.7, 1.0, 1.3])
def test_sampler_logprobs_are_the_scorers(rt, temperature):
    asked = requests(PROMPTS, 4)
    made = sample(rt, asked, temperature=temperature)
    found = logprobs(rt, rows_of(asked, made), at_sampling_temperature=True)
    assert largest_difference([completion.logprobs for completion in made], found) < 1e-4


@pytest.mark.parametrize("max_rows", [1, 3, 7])
def test_pitfall_16_samples_do_not_depend_on_rows_in_flight_or_order(rt, max_rows):
    asked = requests(PROMPTS, 4)
    whole = sample(rt, asked)
    rt.max_rows = max_rows
    found = sample(rt, asked[::-1])[::-1]
    assert tokens(found) == tokens(whole)
    assert [completion.finish for completion in found] == [completion.finish for completion in whole]
    assert largest_difference([c.logprobs for c in found], [c.logprobs for c in whole]) < 1e-4


def test_pitfall_16_samples_do_not_depend_on_prefill_chunks(rt):
    asked = requests(PROMPTS, 2)
    whole = sample(rt, asked)
    rt.token_budget = 1  # every context is run forward alone
    assert tokens(sample(rt, asked)) == tokens(whole)


def test_pitfall_16_samples_of_one_prompt_are_distinct(rt):
    made = sample(rt, requests(words("hello"), 32))
    assert len(set(tokens(made))) >= 31  # one-token answers may repeat
    assert tokens(sample(rt, requests(words("hello"), 8, seed=1))) != tokens(made)[:8]
    assert tokens(sample(rt, requests(words("hello"), 8))) == tokens(made)[:8]


def test_pitfall_16_another_process_draws_the_same(folders):
    folder = folders["llama"]
    code = (
        "import sys, json; from pathlib import Path\n"
        "from sharpen.runtime.torch_runtime import TorchRuntime\n"
        "from sharpen.protocols import Request, Sampling; from sharpen.types import user\n"
        "rt = TorchRuntime(Path(sys.argv[1]), base='base', device='cpu', dtype='float32', threads=1)\n"
        "asked = [Request(prompt=user('hello'), index=i) for i in range(6)]\n"
        "print(json.dumps([c.token_ids for c in rt.load(rt.base).generate(asked, Sampling(max_new_tokens=12))]))"
    )
    environment = {**os.environ, "PYTHONHASHSEED": "12345"}
    done = subprocess.run(
        [sys.executable, "-c", code, str(folder)], capture_output=True, text=True, check=True, env=environment, timeout=120
    )
    there = [tuple(ids) for ids in json.loads(done.stdout)]
    assert there == tokens(sample(runtime(folder), requests(words("hello"), 6)))


def test_a_completion_in_two_parts_is_the_completion_in_one(rt):
    asked = requests(PROMPTS, 3)
    whole = sample(rt, asked, max_new_tokens=20)
    first = sample(rt, asked, max_new_tokens=7)
    open_ones = [place for place, completion in enumerate(first) if completion.finish == "length"]
    assert len(open_ones) >= 5
    onward = [dataclasses.replace(asked[place], partial=first[place]) for place in open_ones]
    second = sample(rt, onward, max_new_tokens=13)
    assert tokens(second) == [whole[place].token_ids for place in open_ones]
    assert [completion.text for completion in second] == [whole[place].text for place in open_ones]
    assert largest_difference([c.logprobs for c in second], [whole[place].logprobs for place in open_ones]) < 1e-4
    assert largest_difference([c.logprobs for c in second], logprobs(rt, rows_of(onward, second))) < 1e-4
    assert [completion.parents for completion in second] == [(first[place].id,) for place in open_ones]
    assert all(completion.finish == whole[place].finish for completion, place in zip(second, open_ones, strict=True))


def test_partials_that_cannot_go_on_are_refused(rt):
    prompt, other = words("a", "b")
    for partial, problem in (
        (given(prompt, [70, END]), "has ended"),
        (given(prompt, [70, END], finish="length"), "has ended"),
        (rt.encode(prompt, "xy"), "has ended"),
        (given(other, [70], finish="length"), "cannot go on under prompt"),
        (given(prompt, [70], finish="length", temperature=0.5), "cannot go on at 1.0"),
    ):
        with pytest.raises(ValueError, match=problem):
            sample(rt, [Request(prompt=prompt, partial=partial)])


def test_a_partial_of_a_cut_distribution_stays_one(rt):
    prompt = PROMPTS[0]
    partial = given(prompt, [70], finish="length", truncated=True)
    assert sample(rt, [Request(prompt=prompt, partial=partial)])[0].truncated
    assert not sample(rt, [Request(prompt=prompt)])[0].truncated
    assert sample(rt, [Request(prompt=prompt)], top_k=3)[0].truncated
    assert sample(rt, [Request(prompt=prompt)], top_p=0.9)[0].truncated


def test_stop_strings_end_a_completion_with_the_token_that_completes_them(rt):
    asked = requests(PROMPTS, 6)
    free = sample(rt, asked, max_new_tokens=20)
    stopped = 0
    for letter in "aEt0}":
        made = sample(rt, asked, max_new_tokens=20, stop=(letter, "neverever"))
        for before, after in zip(free, made, strict=True):
            assert after.token_ids == before.token_ids[: len(after.token_ids)]
            if letter in before.text:
                stopped += 1
                assert after.finish == "stop"
                assert after.text == before.text[: before.text.index(letter) + 1]
            else:
                assert (after.token_ids, after.finish) == (before.token_ids, before.finish)
    assert stopped >= 5


def test_a_stop_string_may_begin_in_the_partial_but_not_lie_in_it(rt):
    prompt = words("hello")[0]
    whole = next(one for one in sample(rt, requests([prompt], 8), max_new_tokens=20) if len(one.text) > 12)
    request = Request(prompt=prompt, index=whole.index)
    partial = sample(rt, [request], max_new_tokens=6)[0]
    onward = dataclasses.replace(request, partial=partial)
    across = whole.text[5:7]
    assert across not in partial.text
    assert sample(rt, [onward], max_new_tokens=10, stop=(across,))[0].text == whole.text[:7]
    inside = whole.text[1:4]
    assert inside in partial.text
    assert tokens(sample(rt, [onward], max_new_tokens=10, stop=(inside,))) == tokens(sample(rt, [onward], max_new_tokens=10))


def test_a_stop_string_may_be_a_special_token(rt):
    asked = requests(PROMPTS, 16)
    free = sample(rt, asked, max_new_tokens=20)
    special = CHARACTERS.index("<|user|>")
    with_it = [place for place, completion in enumerate(free) if special in completion.token_ids]
    made = sample(rt, asked, max_new_tokens=20, stop=("<|user|>",))
    assert with_it
    for place in with_it:
        assert made[place].token_ids == free[place].token_ids[: free[place].token_ids.index(special) + 1]
        assert made[place].finish == "stop"


def test_the_first_token_may_stop(tmp_path):
    rt = runtime(llama(tmp_path, spread=0.02))
    with torch.no_grad():
        module = rt.resident(rt.base).module
        module.model.norm.weight.fill_(1.0)
        module.lm_head.weight[END] = 0.0
        made = sample(rt, requests(PROMPTS, 40))
        assert any(len(completion.token_ids) == 1 for completion in made)
        for row in module.model.layers:  # now the last hidden state is one embedding for every row, and END fits it best
            row.self_attn.o_proj.weight.zero_()
            row.mlp.down_proj.weight.zero_()
        module.model.embed_tokens.weight.copy_(torch.ones(32).expand_as(module.model.embed_tokens.weight))
        module.lm_head.weight.fill_(-1.0)
        module.lm_head.weight[END] = 1.0
    rt.max_rows = 3
    made = sample(rt, requests(PROMPTS, 4))
    assert all(completion.token_ids == (END,) and completion.finish == "stop" for completion in made)
    assert all(completion.text == "" for completion in made)


def test_the_last_new_token_may_stop(rt):
    free = sample(rt, requests(PROMPTS, 6), max_new_tokens=20)
    ended = [completion for completion in free if completion.finish == "stop" and len(completion.token_ids) > 1]
    assert ended
    for completion in ended:
        prompt = next(prompt for prompt in PROMPTS if prompt.id == completion.prompt_id)
        request = [Request(prompt=prompt, index=completion.index)]
        exact = sample(rt, request, max_new_tokens=len(completion.token_ids))[0]
        assert exact.token_ids == completion.token_ids
        assert exact.finish == "stop"
        assert sample(rt, request, max_new_tokens=len(completion.token_ids) - 1)[0].finish == "length"


def test_rows_that_have_ended_do_not_run_past_the_models_positions(tmp_path):
    """A row that ended at the model's last position stays in the batch while too few have ended for a compaction."""
    rt = runtime(gpt2(tmp_path, max_length=25, spread=0.1))
    rt.max_rows = 10
    prompts = words(*("m" * 12 + letter for letter in string.ascii_letters[:40]))
    assert rt.prompt_length(prompts[0]) == 17
    for seed in range(4):
        made = sample(rt, requests(prompts, seed=seed), max_new_tokens=8, stop=tuple("abcdefghijklmnopqrst"))
        assert {completion.finish for completion in made} == {"stop", "length"}
        assert all(len(completion.token_ids) == 8 for completion in made if completion.finish == "length")


def test_pitfall_17_a_prompt_that_leaves_no_room_is_refused_and_never_cut(folder):
    rt = runtime(folder)
    fits = words("m" * (rt.max_length - 4 - 12))[0]
    assert rt.prompt_length(fits) == rt.max_length - 12
    assert len(sample(rt, [Request(prompt=fits)])[0].token_ids) >= 1
    over = words("m" * (rt.max_length - 4 - 12 + 1))[0]
    with pytest.raises(DataError, match=r"has 117 tokens; with 12 for the answer it exceeds the model's 128"):
        sample(rt, [Request(prompt=fits), Request(prompt=over)])
    with pytest.raises(DataError, match="exceeds the model's 128"):
        sample(rt, [Request(prompt=fits, partial=given(fits, [70], finish="length"))])
    with pytest.raises(DataError, match="a row has 129 tokens and the model reads 128"):
        rt.load(rt.base).score(rows_of([Request(prompt=over)], [given(over, [70] * 12)]))


def test_a_prompt_without_tokens_is_refused(rt):
    empty = Prompt(messages=(), next="raw")
    with pytest.raises(DataError, match="has no tokens"):
        sample(rt, [Request(prompt=empty)])


def test_damaged_weights_are_named_and_no_sample_is_made(rt):
    with torch.no_grad():
        next(rt.resident(rt.base).module.parameters()).fill_(float("nan"))
    with pytest.raises(ModelError, match="logits are not numbers"):
        sample(rt, requests(PROMPTS))
    with pytest.raises(ModelError, match="logits are not numbers"):
        sample(rt, requests(PROMPTS), temperature=0)


def test_nothing_asked_is_nothing_answered(rt):
    assert sample(rt, []) == []


def test_a_completion_says_where_it_came_from(rt):
    request = Request(prompt=PROMPTS[1], index=3, seed=9)
    made = rt.load(rt.base).generate([request], Sampling(temperature=0.7, max_new_tokens=4))[0]
    assert (made.checkpoint, made.prompt_id, made.index, made.seed, made.temperature) == ("base", PROMPTS[1].id, 3, 9, 0.7)
    assert [segment.source for segment in made.segments] == ["policy"]
    assert len(made.logprobs) == len(made.token_ids)


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_what_prompts_have_in_common_is_read_once_and_rows_that_come_later_see_it(folder, dtype):
    rt = runtime(folder, dtype=dtype)
    rt.max_rows = 3
    asked = requests(words(*(f"the same beginning of all, then {end}" for end in ("a", "bb", "ccc", "dd", "e"))), 4)
    made = sample(rt, asked)
    if dtype == "float32" or rt.rows_are_independent(rt.resident(rt.base).module):
        assert largest_difference([one.logprobs for one in made], logprobs(rt, rows_of(asked, made))) < 1e-4


@pytest.mark.parametrize("most", [1, 2])
def test_few_prompts_are_in_memory_at_once_where_they_are_long(rt, monkeypatch, most):
    asked = requests([*PROMPTS, *words("one more", "and another")], 3)
    whole = sample(rt, asked)
    ids = [tuple(rt.renderer.prompt_ids(request.prompt)) for request in asked]
    root = len(common_beginning(ids))
    room = most * (max(map(len, ids)) - root)
    column = 2**31 // rt.prompt_tokens_at_once(rt.resident(rt.base).module)
    monkeypatch.setattr("sharpen.runtime.torch_runtime._PROMPT_BYTES", room * column)
    found, admit = [], _Batch.admit

    def watched(batch, rows):
        admit(batch, rows)
        contexts = {row.context for row in batch.rows}
        found.append((len(contexts), len(contexts) * (max(map(len, contexts)) - root)))

    monkeypatch.setattr(_Batch, "admit", watched)
    rt.max_rows = 64
    made = sample(rt, asked)
    assert tokens(made) == tokens(whole)
    assert largest_difference([c.logprobs for c in made], [c.logprobs for c in whole]) < 1e-4
    assert all(count == 1 or taken <= room for count, taken in found)
    assert max(count for count, _ in found) > most, "short ones are more at a time"
    assert len(found) > 1


def test_fewer_rows_run_at_once_where_answers_may_be_long(rt):
    module = rt.resident(rt.base).module
    column = 2 * 2 * module.config.hidden_size * 4
    if hasattr(module.config, "num_key_value_heads"):
        column //= 2  # two query heads a key/value head
    assert rt.rows_at_once(module, 48) == rt.max_rows == 128
    long = 2**24
    assert rt.rows_at_once(module, long) == max(1, 2**32 // (column * (long + long // 2)))
    assert 1 <= rt.rows_at_once(module, 2**20) < 128


def test_what_sampling_may_take_is_told_before_weights_are_read(rt):
    column = 2**31 // rt.prompt_tokens_at_once(rt.resident(rt.base).module)
    room = 48 + 32
    assert rt.sampling_bytes(48) == 128 * (rt.max_length + room) * column
    assert rt.sampling_bytes(2**20) == 128 * rt.max_length * column + 2**32
