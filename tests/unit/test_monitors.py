"""Monitors with hand-computed figures."""

from __future__ import annotations

import math
from collections.abc import Sequence

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from report_builders import answer

from sharpen.monitors import (
    answer_entropy,
    answer_statistics,
    kl_from_logprobs,
    known_answers,
    monitors_and_answers,
    reward_effectiveness,
    round_monitors,
)
from sharpen.types import Group, Score, user


def group(
    texts: Sequence[str], rewards: Sequence[Score], *, question: str = "q", lengths: Sequence[int] | None = None
) -> Group:
    prompt = user(question)
    completions = tuple(
        answer(text, num_tokens=length, index=i, prompt_id=prompt.id)
        for i, (text, length) in enumerate(zip(texts, lengths or [3] * len(texts), strict=True))
    )
    return Group(prompt=prompt, completions=completions).with_scores(reward=rewards)


def test_answer_statistics_by_hand() -> None:
    completions = [
        answer("7", num_tokens=2),
        answer(" 7\n", num_tokens=4),
        answer("8", num_tokens=6, finish="length"),
        answer("9", num_tokens=0, finish="given"),
    ]
    found = answer_statistics(completions)
    assert found == {
        "distinct": 0.75,
        "entropy": pytest.approx(0.5 * math.log(2) + 2 * 0.25 * math.log(4)),
        "stop_rate": 0.75,
        "mean_length": 3.0,
    }
    found = answer_statistics(completions, targets=["7", "8", "8", "7"])
    assert found["target_distinct"] == 0.5
    assert found["target_entropy"] == pytest.approx(math.log(2))
    assert "target_distinct" not in answer_statistics(completions, targets=["7", None, "8", "9"])
    assert answer_statistics(completions, key=lambda c: c.finish)["distinct"] == 0.75
    assert answer_statistics([answer("x", finish="partial")])["stop_rate"] == 0.0
    with pytest.raises(ValueError, match="3 targets for 4 completions"):
        answer_statistics(completions, targets=["7", "8", "9"])
    with pytest.raises(ValueError, match="no completions"):
        answer_statistics([])


@given(st.lists(st.sampled_from("abcd"), min_size=1, max_size=30))
@settings(max_examples=40)
def test_entropy_lies_between_constant_and_all_different(answers: list[str]) -> None:
    entropy = answer_entropy(answers)
    assert 0.0 <= entropy <= math.log(len(set(answers))) + 1e-12
    assert entropy == answer_entropy(sorted(answers))
    assert (entropy == 0.0) is (len(set(answers)) == 1)


def test_no_answers_have_no_entropy() -> None:
    assert answer_entropy([]) == 0.0


def test_round_monitors_by_hand() -> None:
    groups = [
        group(["4", "4", "5", "6"], [1.0, 1.0, 0.0, 0.0], question="2 + 2", lengths=[2, 4, 6, 8]),
        group(["9", "9", "9", "9"], [0.0, 0.0, 0.0, 0.0], question="3 + 5"),
    ]
    found = round_monitors(groups)
    assert found["pass@1"] == pytest.approx(0.25)
    assert found["pass@2"] == pytest.approx((1 - 1 / 6) / 2)
    assert found["pass@4"] == pytest.approx(0.5)
    assert "pass@8" not in found
    assert found["distinct_answers"] == 2.0
    assert found["answer_entropy"] == pytest.approx((0.5 * math.log(2) + 0.5 * math.log(4)) / 2)
    assert found["majority_share"] == 0.75
    assert found["coverage"] == 1.5
    assert found["majority_accuracy"] == 0.5
    assert found["distinct_correct"] == 0.5
    assert found["mean_length"] == 4.0
    assert found["mean_length_correct"] == 3.0
    assert found["mean_length_wrong"] == pytest.approx((6 + 8 + 4 * 3) / 6)
    assert found["stop_rate"] == 1.0
    assert found["truncation_rate"] == 0.0
    assert found["effective_group_rate"] == 0.5
    assert found["reward_mean"] == 0.25
    assert found["reward_spread"] == pytest.approx(0.25)  # 0.5 in the first group, 0 in the second
    assert found["abstain_rate"] == 0.0
    assert found["yield"] == 0.25
    assert found["barren_prompts"] == 0.5
    assert found["kept_gini"] == 0.5
    assert found["novelty"] == 1.0


def test_pitfall_18_float_noise_is_no_effective_group() -> None:
    assert round_monitors([group(["a", "b"], [0.5, 0.5 + 1e-7])])["effective_group_rate"] == 0.0
    assert round_monitors([group(["a", "b"], [0.5, 0.51])])["effective_group_rate"] == 1.0


def test_abstained_scores_are_counted_and_are_not_zero() -> None:
    found = round_monitors([group(["a", "b", "c", "d"], [1.0, None, None, 1.0]), group(["a", "b"], [None, None], question="r")])
    assert found["abstain_rate"] == pytest.approx(4 / 6)
    assert found["reward_mean"] == 1.0
    assert found["pass@1"] == 1.0
    assert found["pass@2"] == 1.0
    assert "pass@4" not in found  # two verdicts are no four
    assert found["effective_group_rate"] == 0.0
    assert found["majority_accuracy"] == 1.0
    assert "mean_length_wrong" not in found
    nothing = round_monitors([group(["a", "b"], [None, None])])
    assert nothing["abstain_rate"] == 1.0
    assert not {"reward_mean", "pass@1", "effective_group_rate", "majority_accuracy", "novelty"} & nothing.keys()


def test_rewards_that_are_no_shares_give_no_pass_rates() -> None:
    found = round_monitors([group(["a", "b"], [3.0, -1.0])])
    assert found["reward_mean"] == 1.0
    assert found["reward_spread"] == 2.0
    assert not {"pass@1", "yield", "distinct_correct", "kept_gini"} & found.keys()


def test_a_graded_reward_is_correct_from_one_half() -> None:
    assert round_monitors([group(["a", "b"], [0.5, 0.49])])["pass@1"] == 0.5


def test_kept_answers_are_those_that_selection_names() -> None:
    groups = [group(["4", "4", "5", "6"], [1.0, 1.0, 0.0, 0.0]), group(["7", "8", "7", "8"], [1.0] * 4, question="r")]
    kept = {groups[0].completions[0].id, *(completion.id for completion in groups[1].completions[:3])}
    found = round_monitors(groups, kept=kept)
    assert found["yield"] == 0.5
    assert found["barren_prompts"] == 0.0
    assert found["kept_gini"] == pytest.approx(0.25)  # 1 and 3: (-1 * 1 + 1 * 3) / (2 * 4)
    assert "kept_gini" not in round_monitors(groups, kept=set())
    assert round_monitors(groups, kept=set())["barren_prompts"] == 1.0
    assert known_answers(groups, kept=kept) == {
        f"{groups[0].prompt.id} 4",
        f"{groups[1].prompt.id} 7",
        f"{groups[1].prompt.id} 8",
    }


def test_novelty_counts_answers_to_a_prompt_that_were_never_seen() -> None:
    first = [group(["4", "5"], [1.0, 0.0])]
    second = [group(["4", "four", "4"], [1.0, 1.0, 1.0]), group(["4"], [1.0], question="r")]
    seen = known_answers(first)
    assert len(seen) == 1  # the wrong answer is not kept
    assert round_monitors(first, seen=seen)["novelty"] == 0.0
    assert round_monitors(second, seen=seen)["novelty"] == pytest.approx(2 / 3)  # "four", and "4" to another prompt
    assert round_monitors(second, seen=seen, key=lambda c: c.text.replace("four", "4"))["novelty"] == 0.5


def test_a_round_without_rewards_or_samples() -> None:
    assert round_monitors([]) == {}
    assert round_monitors([Group(prompt=user("q"), completions=())]) == {}
    plain = [Group(prompt=user("q"), completions=(answer("a"), answer("b", finish="length", num_tokens=5)))]
    found = round_monitors(plain, reward=None)
    assert found["truncation_rate"] == 0.5
    assert found["mean_length"] == 4.0
    assert not {"reward_mean", "pass@1", "yield"} & found.keys()
    with pytest.raises(ValueError, match="no score 'reward'"):
        round_monitors(plain)


def test_pair_distance_is_zero_for_equal_tokens_and_one_for_none_shared() -> None:
    assert round_monitors([group(["a", "b"], [0.0, 1.0], lengths=[3, 3])])["pair_distance"] == 0.0
    assert round_monitors([group(["a", "b"], [0.0, 1.0], lengths=[0, 3])])["pair_distance"] == 1.0
    # bigrams of 0 1 and of 0 1 2, ends marked: 2 shared of 3 + 4
    assert round_monitors([group(["a", "b"], [0.0, 1.0], lengths=[2, 3])])["pair_distance"] == pytest.approx(1 - 4 / 7)
    assert "pair_distance" not in round_monitors([group(["a"], [0.0])])


@given(st.permutations(list(range(6))))
@settings(max_examples=15)
def test_the_order_of_groups_and_samples_does_not_matter(order: list[int]) -> None:
    rows = [("4", 1.0), ("4", 1.0), ("5", 0.0), ("6", None), ("7", 1.0), ("8", 0.0)]
    other = group(["1", "2"], [1.0, 0.0], question="r")
    plain = round_monitors([group([t for t, _ in rows], [s for _, s in rows], lengths=[1, 2, 3, 4, 5, 6]), other])
    mixed = [(rows[i], i + 1) for i in order]
    shuffled = group([t for (t, _), _ in mixed], [s for (_, s), _ in mixed], lengths=[n for _, n in mixed])
    assert round_monitors([other, shuffled]) == pytest.approx(plain)


def test_reward_effectiveness_by_hand() -> None:
    scored = [
        group(["a", "b", "c"], [0.9, 0.2, 0.6]).with_scores(truth=[1.0, 0.0, 0.0]),  # right above both
        group(["a", "b", "c"], [0.1, 0.1, 0.8], question="r").with_scores(truth=[1.0, 0.0, 0.0]),  # a tie, then below
        group(["a", "b"], [0.7, 0.7], question="s").with_scores(truth=[1.0, 1.0]),  # nothing to rank
        group(["a", "b"], [None, 0.4], question="t").with_scores(truth=[1.0, None]),  # nothing known
    ]
    found = reward_effectiveness(scored, reward="reward", truth="truth")
    assert found["reward_auroc"] == pytest.approx((1.0 + 0.25) / 2)
    assert found["reward_best_of_n"] == pytest.approx((1 + 0 + 1) / 3)
    assert found["reward_accuracy"] == pytest.approx(5 / 8)
    assert found["reward_gap"] == pytest.approx((0.9 + 0.1 + 0.7 + 0.7) / 4 - (0.2 + 0.6 + 0.1 + 0.8) / 4)
    assert reward_effectiveness(scored[3:], reward="reward", truth="truth") == {}
    unbounded = [group(["a", "b"], [5.0, 5.0]).with_scores(truth=[1.0, 0.0])]
    assert reward_effectiveness(unbounded, reward="reward", truth="truth") == {
        "reward_best_of_n": 0.5,
        "reward_auroc": 0.5,
        "reward_gap": 0.0,
    }


def test_kl_by_hand() -> None:
    assert kl_from_logprobs([[-1.0]], [[-2.0]]).k3 == pytest.approx(math.exp(-1))  # 0.3679
    assert kl_from_logprobs([[-2.0]], [[-1.0]]).k3 == pytest.approx(math.e - 2)  # 0.7183
    both = kl_from_logprobs([[-1.0, -2.0], [-3.0]], [[-2.0, -1.0], [-3.0]])
    assert both.k1 == 0.0
    assert both.k3 == pytest.approx((math.exp(-1) + math.e - 2) / 3)  # per token, not per completion
    assert both.num_tokens == 3
    assert math.isfinite(kl_from_logprobs([[-1000.0]], [[-0.1]]).k3)


def test_kl_estimates_the_true_divergence() -> None:
    new, old = [0.7, 0.2, 0.1], [0.5, 0.3, 0.2]
    true = sum(p * math.log(p / q) for p, q in zip(new, old, strict=True))
    drawn = [i for i, p in enumerate(new) for _ in range(round(1000 * p))]  # each token as often as `new` samples it
    kl = kl_from_logprobs([[math.log(new[i]) for i in drawn]], [[math.log(old[i]) for i in drawn]])
    assert kl.k1 == pytest.approx(true)
    assert kl.k3 == pytest.approx(true)


def test_kl_refuses_what_does_not_pair() -> None:
    with pytest.raises(ValueError, match="shape"):
        kl_from_logprobs([[-1.0, -2.0]], [[-1.0]])
    with pytest.raises(ValueError, match="no tokens"):
        kl_from_logprobs([], [])
    for new, old in (([-math.inf], [-1.0]), ([-1.0], [math.nan])):
        with pytest.raises(ValueError, match="not finite"):
            kl_from_logprobs([new], [old])


def test_monitors_and_answers_are_what_the_two_functions_say():
    groups = [group(["a", "b", "a"], [1.0, 0.0, None]), group(["c", "d"], [0.2, 0.9], question="r")]
    wild = [group(["a", "b"], [0.2, 3.0])]
    kept = {groups[0].completions[1].id}
    for some, chosen in ((groups, None), (groups, kept), (wild, None), (wild, {wild[0].completions[0].id}), ([], None)):
        found = monitors_and_answers(some, kept=chosen)
        assert found == (round_monitors(some, kept=chosen), known_answers(some, kept=chosen))
