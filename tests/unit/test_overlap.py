"""Held-out prompts in trained texts: what is a copy, what is a template, and how long it takes to tell."""

from __future__ import annotations

import random
import time

import pytest
from report_builders import counts

from sharpen.data.task import given
from sharpen.examples import Demonstration, Preference, Row
from sharpen.gates import paired_gate, stands_without
from sharpen.overlap import HeldOut, words
from sharpen.types import Prompt, user

ASKED = "A farmer has 12 hens and 7 geese, and sells a third of the hens on Monday. How many birds are left?"
HEART = {"guard": "overlap", "what": "stand in what was trained on"}
WORKED = "A third of 12 hens is 4 hens, so 8 hens stay; with 7 geese that makes 15 birds."


def trained(prompt: Prompt, answer: str) -> Demonstration:
    return Demonstration(row=Row(prompt=prompt, completion=given(prompt, answer)))


def how(index: HeldOut, prompt: str, answer: str = "15") -> str | None:
    found = index.met_in([trained(user(prompt), answer)])
    assert len(found) <= 1
    return found[0].how if found else None


@pytest.fixture
def index() -> HeldOut:
    return HeldOut({"gate": [user(ASKED, target=WORKED)], "final": [user("3 + 4 =", target="7")]})


@pytest.mark.parametrize(
    ("prompt", "answer", "found"),
    [
        (ASKED, "15", "same"),
        (ASKED.upper().replace(",", "  "), "15", "same"),  # case, spacing and commas hide nothing
        (f"Here is a riddle from a book. {ASKED} Say the number.", "15", "pieces"),
        ("Make up a riddle.", f"Gladly: {ASKED}", "pieces"),  # in an answer
        ("Something else?", f"Let me see. {WORKED}", "pieces"),  # its worked target
        (ASKED.replace("12", "15"), "17", None),  # another number is another question
        (ASKED[:40], "", None),  # too little of it
        ("3 + 4 =", "7", "same"),
        ("3 - 4 =", "-1", None),  # signs of arithmetic are no punctuation
        ("what is 3 + 4 = or so", "3 + 4 =", None),  # too short to be found in pieces
    ],
)
def test_what_is_met(index: HeldOut, prompt: str, answer: str, found: str | None) -> None:
    assert how(index, prompt, answer) == found


def test_one_wording_for_all_says_nothing() -> None:
    """Prompts of one template share most of their pieces; none is met in another of its kind, and each in itself."""
    template = "Read the two numbers below with care, add them up, and give nothing but the final result as digits: {} and {}"
    rng = random.Random(0)
    pairs = [(rng.randrange(100, 1000), rng.randrange(100, 1000)) for _ in range(400)]
    held, other = ([user(template.format(*pair)) for pair in some] for some in (pairs[:200], pairs[200:]))
    index = HeldOut({"gate": held})
    assert index.met_in([trained(prompt, "1") for prompt in other]) == []
    assert len(index.met_in([trained(user(f"Now. {prompt.text}"), "1") for prompt in held])) == 200


def test_both_sides_of_a_pair_and_every_split_are_searched(index: HeldOut) -> None:
    one = user("Any riddle?")
    pair = Preference(
        chosen=Row(prompt=one, completion=given(one, "no")), rejected=Row(prompt=one, completion=given(one, ASKED))
    )
    found = index.met_in([pair, trained(user("3 + 4 ="), "7")])
    assert [(met.split, met.how) for met in found] == [("final", "same"), ("gate", "pieces")]
    assert HeldOut({"gate": [], "final": []}).met_in([pair]) == []


def test_ten_thousand_against_ten_thousand_takes_seconds() -> None:
    rng = random.Random(1)
    vocabulary = ["".join(rng.choices("abcdefghij", k=5)) for _ in range(4000)]

    def text() -> str:
        return " ".join(rng.choices(vocabulary, k=40))

    held, taught = [user(text()) for _ in range(10_000)], [trained(user(text()), "yes") for _ in range(10_000)]
    planted = [trained(user(f"so {prompt.text} then"), "yes") for prompt in held[::100]]
    began = time.process_time()
    found = HeldOut({"gate": held}).met_in([*taught, *planted])
    assert time.process_time() - began < 20  # about 3 s on an idle core
    assert {met.prompt for met in found} == {prompt.id for prompt in held[::100]}


def test_words_keep_what_tells_two_sums_apart() -> None:
    assert words("What's 1.5 + 2,000?") == words("what s  1.5+2,000")
    assert words("(3 + 4) * 5") != words("3 + 4 * 5")
    assert words("") == []


def test_a_promotion_must_stand_without_what_was_learned_by_heart() -> None:
    new, old = counts(20, 2, 50, 78)
    gate = paired_gate()
    decision = gate(new, old, 1)
    assert decision.promote
    won = [f"p{place}" for place in range(20)]
    assert stands_without(decision, (new, old), gate, 1, (), **HEART) is decision
    some = stands_without(decision, (new, old), gate, 1, won[:5], **HEART)
    assert some.promote
    assert some.numbers["overlap"] == 5
    assert some.reason.endswith("promoted; 5 of 150 gate prompts stand in what was trained on, and it stands without them")
    most = stands_without(decision, (new, old), gate, 1, won[:18], **HEART)
    assert not most.promote
    assert most.failed_guards == ("overlap",)
    assert "18 of 150 gate prompts stand in what was trained on: without them held-out 39.4 % -> 39.4 %" in most.reason
    assert most.reason.endswith("rolled back, a tie")
    everything = stands_without(decision, (new, old), gate, 1, new.prompt_ids, **HEART)
    assert not everything.promote
    assert everything.reason.endswith("150 of 150 gate prompts stand in what was trained on: rolled back")
    refused = gate(old, new, 1)
    assert stands_without(refused, (old, new), gate, 1, won, **HEART) is refused  # what was refused stays so
