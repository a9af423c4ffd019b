"""Confidence and critique: the rates by hand, the lessons token by token, and what they teach a real model."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
from authored import Authored, answered, turns
from worlds import VERIFIER, tiny_runtime

from example_builders import group
from sharpen.examples import Demonstration
from sharpen.methods.confidence_critique import confidence_critique
from sharpen.objectives import NLL
from sharpen.parts import chain
from sharpen.protocols import Policy, Training
from sharpen.runtime.tiny import tiny_prompts
from sharpen.sample import completions
from sharpen.sample.follow_ups import follow_ups
from sharpen.select.second_attempts import second_attempts
from sharpen.stats import Corrections, corrections, relative_score
from sharpen.types import Checkpoint, Group, user


def tries(right_right: int, right_wrong: int, wrong_right: int, wrong_wrong: int) -> list[tuple[bool, bool]]:
    counts = {(True, True): right_right, (True, False): right_wrong, (False, True): wrong_right, (False, False): wrong_wrong}
    return [pair for pair, count in counts.items() for _ in range(count)]


def test_rates_of_the_source_by_hand() -> None:
    """Acc1 .6, CL .9 and CS .2 give Acc2 .62 and RSS .542; the bounds at .6 are .36 and .84."""
    found = corrections([tries(54, 6, 8, 32)])
    assert (found.first, found.confidence, found.critique) == pytest.approx((0.6, 0.9, 0.2))
    assert found.second == pytest.approx(0.62)
    assert found.relative == pytest.approx(0.542, abs=5e-4)
    assert [relative_score(0.6, second) for second in (0.36, 0.6, 0.84)] == pytest.approx([0.0, 0.5, 1.0])


def test_every_question_counts_alike_however_often_it_was_tried() -> None:
    """sum P(a) P(b|a) / sum P(a): not the share of all right tries that stay right."""
    found = corrections([tries(1, 0, 0, 1), tries(0, 2, 6, 0)])
    right, kept, mended = (0.5 + 0.25) / 2, 0.5 / 2, (6 / 8) / 2
    assert found.first == pytest.approx(right)
    assert found.confidence == pytest.approx(kept / right)
    assert found.critique == pytest.approx(mended / (1 - right))
    assert found.second == pytest.approx(right * kept / right + (1 - right) * mended / (1 - right))
    pooled = corrections([tries(1, 2, 6, 1)])
    assert pooled.confidence != pytest.approx(kept / right)


def test_rates_that_nothing_is_known_of_are_absent() -> None:
    assert corrections([tries(3, 1, 0, 0)]) == Corrections(
        first=1.0, second=0.75, confidence=0.75, critique=None, relative=None
    )
    assert corrections([tries(0, 0, 1, 3)]) == Corrections(
        first=0.0, second=0.25, confidence=None, critique=0.25, relative=None
    )
    with pytest.raises(ValueError, match="1 of them without tries"):
        corrections([[], [(True, True)]])


def lessons(groups: Sequence[Group], model: object, **how: object) -> list[Demonstration]:
    return list(answered(second_attempts(**how), model, groups))  # type: ignore[arg-type]  # groups in, lessons out


def told(one: Demonstration) -> tuple[str, str, str]:
    first, message, second = one.row.completion.segments
    return first.text, message.text, second.text


def test_what_is_right_is_kept_and_what_is_wrong_mended_and_the_second_attempt_alone_is_trained() -> None:
    policy = turns().load(turns().base)
    [found] = answered(completions(8), policy, [prompt] if (prompt := tiny_prompts(2, seed=8)[0]) else [])
    scored = found.with_scores(reward=[float(one.text == prompt.target) for one in found.completions])
    right = {one.id for one in found.completions if one.text == prompt.target}
    made = lessons([scored], policy, kept_share=0.5)
    kinds = set()
    for one in made:
        assert isinstance(one, Demonstration)
        whole = one.row.completion
        [first] = [made for made in found.completions if made.id in whole.parents]
        own, message, second = whole.segments
        kinds.add(first.id in right)
        assert own.token_ids == first.token_ids  # as it was sampled
        assert (message.text, message.source) == (prompt.text, "injected")
        assert turns().renderer.text(second.token_ids) == prompt.target == whole.text
        assert [segment.weight for segment in whole.segments] == [0.0, 0.0, 1.0]
        assert second.token_ids[-1] in turns().renderer.stop_ids
        assert whole.turns[-1] == 1
    assert kinds == {True, False}


@pytest.mark.parametrize(("share", "numbers"), [(0.4, (2, 4)), (0.0, (0, 4)), (1.0, (4, 0)), (0.8, (4, 1))])
def test_lessons_come_in_their_shares(share: float, numbers: tuple[int, int]) -> None:
    groups = [
        group(["r1", "w1", "r2", "w2"], prompt=user("one"), reward=[1.0, 0.0, 0.5, 0.4]),
        group(["r3", "w3", "?", "r4", "w4"], prompt=user("two"), reward=[1.0, 0.0, None, 1.0, 0.2]),
        group(["w5"], prompt=user("three"), reward=[0.0]),  # nothing to mend it with
    ]
    made = lessons(groups, Authored(), kept_share=share, message="Again: {question}")
    texts = [(one.row.prompt.text, one.row.completion.segments[1].text, one.row.completion.segments[2].text) for one in made]
    mates = {"one": {"r1", "r2"}, "two": {"r3", "r4"}}
    assert all(message == f"Again: {question}" and second in mates[question] for question, message, second in texts)
    first = {one.id: one.text for each in groups for one in each.completions}
    pairs = [(first[one.row.completion.parents[0]], one.row.completion.text) for one in made]
    kept = [one for one, two in pairs if one == two]
    assert (len(kept), len(pairs) - len(kept)) == numbers
    assert all(one.startswith("w") for one, two in pairs if one != two)


def rates(policy: Policy) -> Corrections:
    """Of two sampled attempts each at words that no lesson was about."""
    groups = answered(chain(completions(4), follow_ups("{question}")), policy, tiny_prompts(90, seed=8)[60:], max_new_tokens=6)
    return corrections(
        [
            [tuple(one.in_turn(turn).text == each.prompt.target for turn in (0, 1)) for one in each.completions]  # type: ignore[misc]
            for each in groups
        ]
    )


def test_both_kinds_of_lesson_raise_what_they_teach() -> None:
    runtime = tiny_runtime()
    policy = runtime.load(runtime.base)
    groups = [
        each.with_scores(reward=[float(one.text == each.prompt.target) for one in each.completions])
        for each in answered(completions(4), policy, tiny_prompts(60, seed=8), max_new_tokens=6)
    ]
    before = rates(policy)
    training = Training(learning_rate=2e-3, epochs=6, batch_size=16)
    made = lessons(groups, policy)
    attempts = {
        (turn, weight) for one in made for turn, weight in zip(one.row.completion.turns, one.row.token_weights, strict=True)
    }
    assert attempts == {(0, 0.0), (1, 0.0), (1, 1.0)}, "first attempts and what is said between are context"
    runtime.train(runtime.base, made, NLL(), training, scored={}, carried=False, result="tuned", seed=0)
    after = rates(runtime.load(Checkpoint(id="tuned")))
    assert None not in (before.confidence, before.critique, after.confidence, after.critique)
    assert after.confidence > before.confidence + 0.2  # type: ignore[operator]
    assert after.critique > before.critique + 0.2  # type: ignore[operator]
    assert after.second > 0.8


def test_the_answer_is_the_second_of_two_attempts_at_the_question() -> None:
    asked: list[list[str]] = []

    def write(request) -> str:  # type: ignore[no-untyped-def]
        asked.append([segment.text for segment in request.partial.segments] if request.partial else [])
        return "second" if request.partial else "first"

    [found] = answered(confidence_critique(VERIFIER).answer, Authored(write), [user("{question} of {question}?")])
    assert found.completions[0].text == "second"
    assert asked == [[], ["first", "{question} of {question}?"]]


def test_a_share_outside_its_range_is_refused() -> None:
    with pytest.raises(ValueError, match=r"kept_share is 1\.5"):
        second_attempts(kept_share=1.5)
    assert not lessons([group(["a"], reward=[0.0])], Authored())
