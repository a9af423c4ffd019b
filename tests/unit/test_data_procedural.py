from __future__ import annotations

import pickle
import subprocess
import sys
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sharpen.data import DatasetScore, Splits, procedural_rows, procedural_task
from sharpen.data.procedural import LAX, UNSTABLE
from sharpen.errors import DataError
from sharpen.identity import function_key
from sharpen.types import Completion, Prompt, user

TWO_DIGITS: dict[str, Any] = {"min_terms": 2, "max_terms": 2, "min_digits": 2, "max_digits": 2}
ONE_DIGIT: dict[str, Any] = {"min_terms": 2, "max_terms": 2, "min_digits": 1, "max_digits": 1}


def said(prompt: Prompt, text: str) -> Completion:
    return Completion(segments=(), text=text, finish="given", prompt_id=prompt.id)


def test_the_main_job_is_two_digit_sums_with_right_answers() -> None:
    task = procedural_task("rg:chain_sum", TWO_DIGITS, splits=Splits(train=300, dev=20, gate=200, final=200), max_new_tokens=64)
    prompts = (*task.train, *task.dev, *task.gate, *task.final)
    assert (len(task.train), len(task.dev), len(task.gate), len(task.final)) == (300, 20, 200, 200)
    assert len({prompt.id for prompt in prompts}) == len({prompt.text for prompt in prompts}) == 720
    for prompt in prompts:
        left, sign, right = prompt.text.removeprefix("State the final answer to the following arithmetic problem: ").split()[:3]
        assert 10 <= int(left) <= 99
        assert 10 <= int(right) <= 99
        assert int(prompt.target or "") == (int(left) + int(right) if sign == "+" else int(left) - int(right))
    assert task.name == "rg:chain_sum"
    assert task.licence == "Apache-2.0"
    assert task.max_new_tokens == 64
    assert task.source == {
        "parameter_min_terms": 2,
        "parameter_max_terms": 2,
        "parameter_min_digits": 2,
        "parameter_max_digits": 2,
        "generator": "rg:chain_sum",
        "reasoning_gym": "0.1.25",
        "seed": 0,
        "num_rows": 720 + task.dropped["repeated draw"],
        "split_seed": 0,
    }


def test_held_out_prompts_stay_when_train_grows() -> None:
    small, large = (procedural_task("chain_sum", TWO_DIGITS, splits=Splits(train=n, gate=50, final=50)) for n in (50, 400))
    assert (small.gate, small.final) == (large.gate, large.final)
    assert {prompt.id for prompt in small.train} < {prompt.id for prompt in large.train}


def test_pitfall_24_a_small_support_is_counted_and_not_overdrawn() -> None:
    assert len(procedural_rows("rg:chain_sum", ONE_DIGIT, num=200).rows) == 200  # 10 x 10 x 2 problems
    message = (
        r"rg:chain_sum with max_digits=1, max_terms=2, min_digits=1, min_terms=2 holds about 200 different prompts "
        r"\(1000 further draws brought no new one\) and 201 are asked for"
    )
    with pytest.raises(DataError, match=message):
        procedural_rows("rg:chain_sum", ONE_DIGIT, num=201)
    with pytest.raises(DataError, match="holds about 200 different prompts"):
        procedural_task("rg:chain_sum", ONE_DIGIT, splits=Splits(train=100, gate=100, final=100))


def test_pitfall_24_another_seed_draws_afresh_and_blocks_share_nothing() -> None:
    one, two = ({p.id for p in procedural_rows("chain_sum", TWO_DIGITS, num=1500, seed=seed).prompts} for seed in (0, 1))
    assert len(one) == 1500
    share = len(one & two) / 1500
    assert 0.05 < share < 0.14  # 1500 of 16,200 at random share 9.3 %; a seed that only shifts the draws would share nearly all
    drawn = procedural_rows("chain_sum", {"min_digits": 6, "max_digits": 6}, num=1200)
    assert drawn.dropped == {}, "with a large support, 1200 draws over three blocks repeat nothing"


def test_the_same_call_gives_the_same_task_in_another_process() -> None:
    script = (
        "from sharpen.data import Splits, procedural_task\n"
        "print(procedural_task('chain_sum', {'max_terms': 3}, splits=Splits(train=60, gate=20, final=20, seed=3)).digest)"
    )
    here = procedural_task("chain_sum", {"max_terms": 3}, splits=Splits(train=60, gate=20, final=20, seed=3)).digest
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True, env={"PYTHONHASHSEED": "7"}
    )
    assert done.stdout.strip() == here


def test_the_instruction_stands_on_a_line_of_its_own() -> None:
    plain, more = (procedural_rows("chain_sum", num=3, instruction=text) for text in (None, "Answer with a number."))
    for one, two in zip(plain.prompts, more.prompts, strict=True):
        assert two.text == f"{one.text}\nAnswer with a number."
        assert two.target == one.target
        assert two.id != one.id
    assert more.source["instruction"] == "Answer with a number."


@pytest.mark.parametrize(
    ("name", "parameters", "message"),
    [
        ("rg:chain_sun", {}, r"no generator 'chain_sun'; did you mean rg:chain_sum\?"),
        ("rg:qqqq", {}, "no generator 'qqqq'; its documentation lists them"),
        ("chain_sum", {"min_term": 2}, r"has no parameter 'min_term'; it has .*; did you mean 'min_terms'\?"),
        ("chain_sum", {"zzz": 2}, "has no parameter 'zzz'; it has allow_negation, max_digits"),
        ("chain_sum", {"seed": 2}, "has no parameter 'seed'"),
        ("chain_sum", {"size": 2}, "has no parameter 'size'"),
        ("chain_sum", {"min_terms": 0}, "cannot make prompts with min_terms=0: min_terms must be positive"),
        ("chain_sum", {"min_terms": "2"}, "cannot make prompts with min_terms='2'"),
        ("composite", {}, "cannot make prompts with its default parameters: Must specify at least one dataset"),
        ("codeio", {}, "makes other prompts or answers in each process"),
    ],
)
def test_a_wrong_generator_or_parameter_is_one_sentence(name: str, parameters: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message) as raised:
        procedural_rows(name, parameters, num=1)
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize(
    "name", ["chain_sum", "products", "word_sorting", "number_filtering", "leg_counting", "letter_counting"]
)
def test_the_generators_own_scorer_accepts_its_gold_and_nothing_planted(name: str) -> None:
    verifier = DatasetScore(name=name)
    for prompt in procedural_rows(name, num=30, instruction="Think.").prompts:
        assert prompt.target is not None
        assert verifier(prompt, said(prompt, prompt.target)) == 1.0
        assert verifier(prompt, said(prompt, f"I think\n<answer>no</answer> <answer> {prompt.target} </answer>.")) == 1.0
        for wrong in ("", "I do not know", f"{prompt.target}1", "<answer></answer>"):
            assert verifier(prompt, said(prompt, wrong)) == 0.0


def test_part_of_a_point_counts_only_where_it_is_asked_for() -> None:
    prompt = procedural_rows("sentence_reordering", num=1).prompts[0]
    assert DatasetScore(name="sentence_reordering")(prompt, said(prompt, "I do not know")) == 0.0
    partial = DatasetScore(name="sentence_reordering", graded=True)(prompt, said(prompt, "I do not know"))
    assert partial is not None
    assert 0 < partial < 1


def test_the_scorer_abstains_on_prompts_that_it_did_not_draw() -> None:
    prompt = procedural_rows("chain_sum", num=1, seed=5).prompts[0]
    right = said(prompt, prompt.target or "")
    assert DatasetScore(name="chain_sum", seed=5)(prompt, right) == 1.0
    assert DatasetScore(name="chain_sum", seed=6)(prompt, right) is None
    assert DatasetScore(name="products", seed=5)(prompt, right) is None
    assert DatasetScore(name="chain_sum", seed=5)(user("2 + 2?"), right) is None


def test_a_scorer_that_accepts_anything_is_refused() -> None:
    for name in LAX:
        with pytest.raises(ValueError, match="accepts wrong answers"):
            DatasetScore(name=name)
    with pytest.raises(ValueError, match="did you mean rg:chain_sum"):
        DatasetScore(name="chain_sums")


def test_the_scorer_has_a_stable_key_and_travels() -> None:
    one = DatasetScore(name="chain_sum", parameters=TWO_DIGITS)
    assert function_key(one) == one.key == DatasetScore(name="chain_sum", parameters=dict(reversed(TWO_DIGITS.items()))).key
    others = [
        DatasetScore(name="chain_sum"),
        DatasetScore(name="products"),
        DatasetScore(name="chain_sum", parameters=TWO_DIGITS, seed=1),
    ]
    assert (
        len({one.key, *(other.key for other in others), DatasetScore(name="chain_sum", parameters=TWO_DIGITS, graded=True).key})
        == 5
    )
    copy = pickle.loads(pickle.dumps(one))
    assert copy == one
    assert eval(repr(copy)) == one


def test_without_a_verifier_the_generators_own_scorer_checks() -> None:
    task = procedural_task("products", splits=Splits(train=20, gate=5, final=5))
    assert task.verifier == DatasetScore(name="products")


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 30), st.integers(0, 10), st.integers(0, 10), st.integers(0, 10), st.integers(0, 100))
def test_sizes_are_exact_and_splits_disjoint(train: int, dev: int, gate: int, final: int, seed: int) -> None:
    task = procedural_task("chain_sum", TWO_DIGITS, splits=Splits(train=train, dev=dev, gate=gate, final=final, seed=seed))
    split = [[prompt.id for prompt in part] for part in (task.train, task.dev, task.gate, task.final)]
    assert list(map(len, split)) == [train, dev, gate, final]
    assert len({key for keys in split for key in keys}) == train + dev + gate + final
    assert task.source["num_rows"] == train + dev + gate + final + sum(task.dropped.values())


def test_refused_generators_are_ones_that_exist() -> None:
    from reasoning_gym.factory import DATASETS

    assert set(DATASETS) >= UNSTABLE | LAX
