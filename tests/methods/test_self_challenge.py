"""Self-Challenge: what counts as failed, which patterns are kept, and what is written for them."""

from __future__ import annotations

import dataclasses

import pytest

from example_builders import ROUND, StillRound, completion, group
from sharpen.methods.self_challenge import self_challenge
from sharpen.prompts.challenges import Pattern, challenges, failed, kept_patterns, patterns_of
from sharpen.types import Group, Prompt, user


def item(text: str, pattern: str | None, *scores: float | None) -> Group:
    tags = {"pattern": pattern} if pattern is not None else {}
    return group(["a"] * len(scores), prompt=user(text, tags=tags), reward=scores)


def pattern(text: str, num_items: int, num_known: int, num_failed: int) -> Pattern:
    return Pattern(text=text, num_items=num_items, num_known=num_known, num_failed=num_failed)


def test_a_prompt_is_failed_where_fewer_than_half_of_its_known_samples_are_right() -> None:
    assert failed(item("a", None, 1.0, 0.0, 0.0)) is True
    assert failed(item("a", None, 1.0, 0.0)) is False
    assert failed(item("a", None, None, 0.9, 1.0)) is False
    assert failed(item("a", None, None, 0.9)) is True
    assert failed(item("a", None, None, None)) is None
    assert failed(item("a", None)) is None


def test_rates_by_hand_and_what_is_kept() -> None:
    groups = [
        item("1", "digits", 0.0),
        item("2", "digits", 0.0),
        item("3", "digits", 1.0),
        item("4", "digits", None),
        item("x", "letters", 1.0),
        item("y", "letters", 0.0),
        item("?", "vague", None),
        item("!", "vague", 0.0, None),
        item("-", "vague", None),
        item("plain", None, 0.0),
    ]
    digits, letters, vague = found = patterns_of(groups)
    assert found == [pattern("digits", 4, 3, 2), pattern("letters", 2, 2, 1), pattern("vague", 3, 1, 1)]
    assert [one.failure_rate for one in found] == pytest.approx([2 / 3, 1 / 2, 1.0])
    assert [one.validity for one in found] == pytest.approx([3 / 4, 1.0, 1 / 3])
    assert kept_patterns(found, 0.4, most=9) == [digits, letters]  # most of the vague ones cannot be judged
    assert kept_patterns(found, 0.4, most=9, min_validity=0.0) == [vague, digits, letters]
    assert kept_patterns(found, 0.5, most=9) == [digits]  # no better than the prompts of no pattern
    assert kept_patterns(found, 0.4, most=1) == [digits]
    assert kept_patterns(found, 0.4, most=9, min_validity=0.75) == [digits, letters], "three of four are as many as asked"
    assert (pattern("none", 0, 0, 0).failure_rate, pattern("none", 0, 0, 0).validity) == (0.0, 0.0)


class Writer:
    """A model that fails what contains a digit. It finds that pattern, a wrong one, and one that nobody can judge."""

    def __init__(self, *found: str) -> None:
        self.found = found
        self.asked: list[str] = []

    def generate(self, requests, sampling):  # type: ignore[no-untyped-def]
        assert sampling.temperature == 1.0
        self.asked += [request.prompt.text for request in requests]
        return [completion(self.said(one), prompt=one.prompt, index=one.index) for one in requests]

    def said(self, request) -> str:  # type: ignore[no-untyped-def]
        text = request.prompt.text
        if text.startswith("A model answers"):
            return "\n".join(f"{number}. {one}" for number, one in enumerate(self.found, 1))
        sort = text.split("of this sort: ")[1].split("\n")[0]
        return f"{sort} {request.index}" if sort == "contains a digit" else f"{sort} {'abcdefghijkl'[request.index]}"


def judged(prompts: list[Prompt]) -> list[Group]:
    """Failed where a prompt has a digit; of what is vague nothing is known."""
    scores = [None if "vague" in one.text else float(not any(map(str.isdigit, one.text))) for one in prompts]
    return [group(["a", "b"], prompt=one, reward=[score] * 2) for one, score in zip(prompts, scores, strict=True)]


def made(writer: Writer, past: list[list[Group]], prompts: list[Prompt], num_items: int = 6, **how: int) -> list[Prompt]:
    class Round(type(ROUND)):  # type: ignore[misc]
        def policy(self, role: str) -> Writer:
            return writer

        def past(self, step: str, slot: str) -> list[list[Group]]:
            assert (step, slot) == ("self_challenge", "groups")
            return past

    return list(challenges(num_items, step="self_challenge", **{"num_asks": 2} | how)(prompts, Round()))


def test_the_pattern_of_what_is_failed_outlives_the_others() -> None:
    train = [user(text) for text in ("one 1", "two", "three", "four")]
    writer = Writer("contains a digit", "is short", "is vague")
    assert made(writer, [], train) == train  # nothing was failed yet
    assert writer.asked == []
    past = [judged(train)]
    second = made(writer, past, train)
    assert second[:4] == train
    assert [one.tags["pattern"] for one in second[4:]] == ["contains a digit", "is short", "is vague"] * 2
    assert all("- one 1" in text and "two" not in text.split("\n")[1] for text in writer.asked if text.startswith("A model"))
    past.append(judged(second))
    silent = Writer()  # finds no new pattern
    third = made(silent, past, train)
    assert {one.tags["pattern"] for one in third[4:]} == {"contains a digit"}
    assert len(third) == 4 + 6
    assert all("contains a digit" in one.text for one in third[4:])
    again = Writer("is short", "has many words")
    fourth = made(again, past, train)
    assert {one.tags["pattern"] for one in fourth[4:]} == {"contains a digit", "has many words"}  # what was given up stays so


def test_a_pattern_is_kept_above_the_failure_rate_of_plain_prompts_over_all_passes() -> None:
    """Of the plain prompts that could be judged 3 of 5 were failed; of the patterns 2 of 3, 1 of 2, and none of 4."""
    past = [
        [item(text, None, 0.0) for text in "abc"] + [item("d", "worse", 0.0)],
        [item(text, None, 1.0) for text in "ef"]
        + [item(text, None, None) for text in "ghi"]
        + [item("j", "worse", 0.0), item("k", "worse", 1.0), item("l", "no worse", 0.0), item("m", "no worse", 1.0)]
        + [item(text, "easy", 1.0) for text in "nopq"],
    ]
    writer = Writer()
    assert {one.tags["pattern"] for one in made(writer, past, [])} == {"worse"}
    shown = {line for text in writer.asked for line in text.split("\n") if line.startswith("- ")}
    assert shown == {"- j", "- l"}, "what was failed in the newest pass, whatever was failed before"


def test_so_many_are_asked_for_and_shown_as_was_said() -> None:
    past = [judged([user(text) for text in ("1", "2", "3")])]
    writer = Writer("is short", "has many words")
    found = made(writer, past, [], num_asks=3, most=1, num_shown=2)
    assert {one.tags["pattern"] for one in found} == {"is short"}, "new patterns are no more than earlier ones"
    assert sum(text.startswith("A model answers") for text in writer.asked) == 3
    assert {sum(line.startswith("- ") for line in text.split("\n")) for text in writer.asked} == {2}


def test_the_recipe_asks_for_patterns_as_told_and_keeps_the_two_shortest_right_answers() -> None:
    writer = Writer("is short", "has many words")

    class Round(StillRound):
        def policy(self, role: str) -> Writer:  # type: ignore[override]
            return writer

        def past(self, step: str, slot: str) -> list[list[Group]]:  # type: ignore[override]
            return [judged([user("1")])]

    (step,) = self_challenge(lambda prompt, completion: 1.0, num_items=4, num_asks=3, num_patterns=1).steps
    assert step.prompts is not None
    assert step.select is not None
    found = step.prompts([user("two")], Round())
    assert [one.tags.get("pattern") for one in found] == [None, *["is short"] * 4]
    assert sum(text.startswith("A model answers") for text in writer.asked) == 3
    texts = ("right", "a wrong one", "right at more length", "right as well")
    long = [completion(text, index=place, num_tokens=len(text)) for place, text in enumerate(texts)]
    tried = dataclasses.replace(group([]), completions=tuple(long)).with_scores(reward=[1.0, 0.0, 1.0, 1.0])
    assert [one.row.completion.text for one in step.select([tried], ROUND)] == ["right", "right as well"]


def test_where_all_is_right_nothing_is_written() -> None:
    train = [user("two"), user("three")]
    writer = Writer("contains a digit")
    assert made(writer, [judged(train)], train) == train
    assert writer.asked == []
    with pytest.raises(ValueError, match="num_items 0"):
        challenges(0, step="x")


def test_the_first_of_equal_prompts_stays() -> None:
    train = [user("one 1"), user("is short a")]
    found = made(Writer("is short"), [judged(train)], train, num_items=2)
    assert [one.text for one in found] == ["one 1", "is short a", "is short b"]
