"""What goes wrong between the layers: ids through the ledger, prompts through the loop, two precisions side by side.

The other rows of the table of pitfalls are tests named after it beside what they test.
"""

import dataclasses
import math
import re
from pathlib import Path

import pytest
from runtime_models import (
    given,
    held,
    llama,
    logprobs,
    requests,
    rows_of,
    runtime,
    same_weights,
    sample,
    train,
    weights_of,
    words,
)
from tokenizers import Tokenizer, decoders, models
from transformers import PreTrainedTokenizerFast

from sharpen.errors import DataError
from sharpen.feedback.verify import verify
from sharpen.ledger.codec import decode, encode
from sharpen.objectives import NLL, PolicyGradient
from sharpen.parts import part, recipe
from sharpen.protocols import Training
from sharpen.rounds import improve
from sharpen.runtime.forward import encode_rows
from sharpen.sample import completions
from sharpen.tasks import Task
from sharpen.types import Demonstration, Group, Rollout, Row
from sharpen.verifiers import exact

PROMPTS = words("a", "hello world", "q" * 30, "Why?")


def merging_tokenizer():
    """Letters that merge: most id sequences are not what the tokenizer makes of their text."""
    letters = ["a", "b", "c", ":"]
    pairs = [("a", "b"), ("b", "c"), ("ab", "c"), ("a", "a"), ("c", ":"), (":", "a")]
    vocabulary = {text: place for place, text in enumerate(["<|end|>", *letters, *("".join(pair) for pair in pairs)])}
    inner = Tokenizer(models.BPE(vocabulary, pairs))
    inner.decoder = decoders.Fuse()
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=inner, eos_token="<|end|>", clean_up_tokenization_spaces=False)
    tokenizer.chat_template = "{% for m in messages %}{{ m['content'] }}:{% endfor %}"
    return tokenizer


def test_pitfall_08_sampled_ids_are_the_ids_that_are_filed_scored_and_trained_on(tmp_path):
    rt = runtime(llama(tmp_path / "model", merging_tokenizer(), spread=0.2))
    prompts = words("a", "bc", "cab")
    asked = requests(prompts, 8)
    made = sample(rt, asked)
    drifted = [one for one in made if rt.renderer.tokenizer(one.text)["input_ids"] != list(one.token_ids[:-1])]
    assert len(drifted) > len(made) / 2  # tokenised again, most of them would be other ids
    groups = [
        Group(prompt=prompt, completions=tuple(made[8 * place : 8 * place + 8])).with_scores(reward=[1.0] * 8)
        for place, prompt in enumerate(prompts)
    ]
    filed = decode(encode(groups))
    assert filed == groups  # ids and log-probabilities to the last bit
    examples = [Demonstration(row=Row(prompt=group.prompt, completion=one)) for group in filed for one in group.completions]
    examples = decode(encode(examples))
    rows = [row for example in examples for row in example.rows]
    trained = encode_rows(rows, rt.renderer, at_sampling_temperature=False)
    assert [one.completion_ids for one in trained] == [one.token_ids for one in made]
    for one, scores in zip(made, logprobs(rt, rows), strict=True):
        assert scores == pytest.approx(one.logprobs, abs=1e-4)
    train(rt, examples, NLL(), learning_rate=1e-2, epochs=20)
    assert sum(map(sum, logprobs(rt, rows, held("trained")))) > sum(map(sum, logprobs(rt, rows))) + 10


def test_pitfall_14_the_bfloat16_mismatch_is_small_and_measured(folder):
    """Sampler against scorer, to the last bits where rows are independent, and against float32: on average below 0.03 nats."""
    rough = runtime(folder, dtype="bfloat16")
    asked = requests(PROMPTS, 16)
    made = sample(rough, asked)
    sampler = [one.logprobs for one in made]
    rows = rows_of(asked, made)
    differences = [
        b - a for one, other in zip(sampler, logprobs(rough, rows), strict=True) for a, b in zip(one, other, strict=True)
    ]
    if rough.rows_are_independent(rough.resident(rough.base).module):
        assert max(map(abs, differences)) < 1e-5
    full = logprobs(runtime(folder), rows)
    rounding = [b - a for one, other in zip(sampler, full, strict=True) for a, b in zip(one, other, strict=True)]
    for found in (differences, rounding):
        assert sum(map(abs, found)) / len(found) < 0.03
        assert sum(map(math.exp, found)) / len(found) == pytest.approx(1.0, abs=0.005)
    rollouts = [
        Rollout(row=dataclasses.replace(row, advantages=(1.0,) * len(row.completion.token_ids)), reward=1.0, group="g")
        for row in rows
    ]
    done = train(rough, rollouts, PolicyGradient(), scored={"sampler": sampler}, learning_rate=1e-4)
    assert done.metrics["ratio"] == pytest.approx(1.0, abs=0.005)
    assert done.metrics["kl_sampler_k3"] < 0.001
    assert all(value.dtype.itemsize == 4 for value in weights_of(rough, held("trained")).values())


def test_pitfall_14_in_bfloat16_a_sample_is_the_same_to_the_bit_whatever_runs_with_it(folder):
    rt = runtime(folder, dtype="bfloat16")
    if not rt.rows_are_independent(rt.resident(rt.base).module):
        pytest.skip("this processor's bfloat16 products depend on the number of rows")
    asked = requests(PROMPTS, 6)
    together = sample(rt, asked, max_new_tokens=20)
    assert [sample(rt, [one], max_new_tokens=20)[0] for one in asked] == together
    rt.max_rows = 5
    assert sample(rt, asked[::-1], max_new_tokens=20)[::-1] == together
    assert runtime(folder).rows_are_independent(rt.resident(rt.base).module) is False  # float32 says no


def test_pitfall_15_bfloat16_copies_of_weights_do_not_outlive_them(folder):
    """Autocast keeps copies of weights within a call; after training in place the next call must not see them."""
    rt = runtime(folder, dtype="bfloat16")
    rows = rows_of(requests(PROMPTS), sample(rt, requests(PROMPTS)))
    before = logprobs(rt, rows)
    for lora_rank in (None, 2):
        train(rt, [Demonstration(row=row) for row in rows], NLL(), learning_rate=1e-2, epochs=2, lora_rank=lora_rank)
        after = logprobs(rt, rows, held("trained"))
        fresh = runtime(folder, dtype="bfloat16")
        fresh.resident(fresh.base).module = rt.resident(held("trained")).module
        assert after == logprobs(fresh, rows)
        assert sum(map(sum, after)) > sum(map(sum, before))
        assert sample(rt, requests(PROMPTS), held("trained")) != sample(rt, requests(PROMPTS))


VERIFIER = exact()


@part()
def all_and_some_held_out(*, texts):
    """A stage that makes prompts, some of which happen to be held out."""

    def stage(prompts, round):
        return [*prompts, *words(*texts)]

    return stage


@part()
def every_completion():
    def stage(groups, round):
        return [Demonstration(row=Row(prompt=group.prompt, completion=one)) for group in groups for one in group.completions]

    return stage


def small_task(**changes):
    names = [f"{kind}{number}" for kind in ("t", "g", "f") for number in range(6)]
    prompts = [dataclasses.replace(prompt, target="x") for prompt in words(*names)]
    task = Task(
        name="small",
        train=tuple(prompts[:6]),
        gate=tuple(prompts[6:12]),
        final=tuple(prompts[12:]),
        verifier=VERIFIER,
        max_new_tokens=5,
    )
    return task.replace(**changes)


def loop(rt, task, out, texts=(), **how):
    made = recipe(
        name="all",
        prompts=all_and_some_held_out(texts=texts),
        sample=completions(2),
        feedback=verify(VERIFIER),
        select=every_completion(),
        objective=NLL(),
        training=Training(learning_rate=1e-3),
    )
    return improve(made, model=rt, task=task, out=out, rounds=1, controls=False, **how)


def test_pitfall_24_prompts_that_equal_held_out_ones_are_dropped_and_counted(tmp_path, folders):
    run = loop(runtime(folders["llama"]), small_task(), tmp_path / "run", texts=("g0", "f3", "new"))
    asked = {group.prompt.text for group in run.groups(0)}
    assert asked == {"t0", "t1", "t2", "t3", "t4", "t5", "new"}
    assert {row.prompt.text for example in run.examples(0) for row in example.rows} == asked
    assert any(note.startswith("2 prompts of step 'all' equal held-out ones") for note in run.notes)


def test_pitfall_17_over_long_prompts_are_refused_or_dropped_and_counted_by_the_loop(tmp_path, folders):
    rt = runtime(folders["gpt2"])
    long = dataclasses.replace(words("y" * 200)[0], target="x")
    task = small_task(train=(*small_task().train, long))
    with pytest.raises(DataError, match="1 of 7 train prompts do not fit: the longest has 204 tokens"):
        loop(rt, task, tmp_path / "refused")
    run = loop(rt, task, tmp_path / "dropped", overlong="drop")
    assert {len(group.prompt.text) for group in run.groups(0)} == {2}
    assert run.facts["task"]["dropped"] == {"longer than the model reads": 1}


def test_pitfall_08_the_loop_files_what_was_sampled_and_trains_on_it(tmp_path):
    rt = runtime(llama(tmp_path / "model", merging_tokenizer(), spread=0.2))
    prompts = [dataclasses.replace(prompt, target="x") for prompt in words("ab", "b", "c")]
    task = Task(name="letters", train=tuple(prompts[:2]), gate=tuple(prompts[2:]), verifier=VERIFIER, max_new_tokens=9)
    run = loop(rt, task, tmp_path / "run")
    made = {one.id: one for group in run.groups(0) for one in group.completions}
    assert len(made) == 4
    fresh = runtime(tmp_path / "model")
    for example in run.examples(0):
        completion = example.row.completion
        assert completion == made[completion.id]
        assert logprobs(fresh, [example.row])[0] == pytest.approx(completion.logprobs, abs=1e-4)


def test_a_model_is_not_changed_by_being_asked(folder):
    rt = runtime(folder)
    before = weights_of(rt, rt.base)
    policy = rt.load(rt.base)
    sample(rt, requests(PROMPTS, 3))
    policy.score(rows_of(requests(PROMPTS), [given(prompt, [70, 71]) for prompt in PROMPTS]), entropies=True)
    policy.embed(PROMPTS)
    policy.options([dataclasses.replace(PROMPTS[0], options=("a", "b"))])
    assert same_weights(weights_of(rt, rt.base), before)
    assert not rt.resident(rt.base).module.training


def test_every_row_that_applies_is_a_test():
    """Rows of the first table; 21 (resume) belongs to the fault suite, 10 (packing) here to rows of one batch."""
    names = "".join(path.read_text("utf-8") for path in Path(__file__).parents[1].rglob("test_*.py"))
    found = {int(number) for number in re.findall(r"def test_pitfall_(\d+)_", names)}
    assert set(range(1, 25)) - {21} <= found
