"""The audit finds what is planted in a verifier, and lets the shipped ones pass."""

import itertools

import pytest
from flawed_verifiers import (
    always,
    constant,
    contains,
    crashing_on_gold,
    hasty,
    moody,
    never,
    not_empty,
    shy,
    silent,
    starts,
    truncating,
    trusting,
    wordy,
)
from hypothesis import given, settings
from hypothesis import strategies as st

from sharpen.types import user
from sharpen.verifiers import VerifierPool, audit_verifier, choice, exact, formula, number, pattern
from sharpen.verifiers.audit import given as given_text
from sharpen.verifiers.audit import rejected_targets

SUMS = [
    user(f"What is {a} + {b}?", target=str(a + b), tags={"id": f"{a}+{b}"})
    for a, b in itertools.product(range(10, 16), range(21, 26))
]
MOODS = [
    user(f"Text {i}. Is it positive, negative or neutral?", target=mood, options=("positive", "negative", "neutral"))
    for i, mood in enumerate(["positive", "negative", "neutral"] * 7)
]
QUIZ = [user(f"Question {i}?\n(A) Rome\n(B) Oslo\n(C) Bern", target="ABC"[i % 3]) for i in range(20)]
CAPITALS = [user(f"Capital {i}?", target=f"{city} {i}") for i, city in enumerate(["Rome", "Oslo", "Bern", "Lima"] * 6)]
MARKED = pattern(r"####\s*(?P<answer>.+)")


@pytest.mark.parametrize(
    ("verifier", "prompts"),
    [
        (number(), SUMS),
        (exact(), SUMS),
        (exact(), CAPITALS),
        (choice(), MOODS),
        (choice(), QUIZ),
        (MARKED, CAPITALS),
        (MARKED, SUMS),
    ],
)
def test_shipped_verifiers_are_sound(verifier, prompts):
    audit = audit_verifier(verifier, prompts)
    assert audit.sound, audit.sentence
    gold = audit.rows[0]
    assert (gold.name, gold.num_accepted, gold.num_answers) == ("gold", len(prompts), len(prompts))
    assert "is sound on" in audit.sentence
    assert audit.num_changed == 0


def test_formula_is_sound_on_formulas():
    prompts = [user(f"Simplify x + x + {n}.", target=f"2x + {n}") for n in range(2, 8)]
    audit = audit_verifier(formula(), prompts, num_workers=1, timeout_s=30)
    assert audit.rows[0].passed, audit.sentence
    assert {row.name: row.num_accepted for row in audit.rows}["another row's target"] == 0


@settings(max_examples=20)
@given(st.lists(st.integers(-(10**6), 10**6), min_size=2, max_size=20, unique=True))
def test_number_is_sound_on_any_integers(targets):
    prompts = [user(f"Guess number {'i' * place}.", target=str(target)) for place, target in enumerate(targets)]
    audit = audit_verifier(number(), prompts)
    assert audit.sound, audit.sentence


@pytest.mark.parametrize(
    ("verifier", "row"),
    [
        (always, "empty"),
        (not_empty, "another row's target"),
        (contains, "near misses"),
        (contains, "every option at once"),
        (starts, "near misses"),
        (trusting, "claims to be right"),
        (truncating, "near misses"),
        (constant, "the same for every prompt"),
        (wordy, "long and empty of sense"),
    ],
)
def test_planted_flaws_are_found(verifier, row):
    audit = audit_verifier(verifier, SUMS)
    assert not audit.sound
    found = {probe.name: probe for probe in audit.rows}[row]
    assert not found.passed
    assert found.num_accepted > 0
    assert "whose target is" in found.example
    assert f"flawed_verifiers:{verifier.__name__} is not sound on 30 prompts: it accepts" in audit.sentence


@pytest.mark.parametrize("verifier", [never, silent, crashing_on_gold])
def test_a_verifier_that_rejects_its_gold_is_not_sound(verifier):
    audit = audit_verifier(verifier, SUMS)
    assert not audit.sound
    assert "does not accept 30 of 30 targets, for example '31' for '10+21', whose target is '31'" in audit.sentence


def test_a_verifier_that_raises_where_it_should_reject_is_found_and_one_that_abstains_is_not():
    audit = audit_verifier(hasty, SUMS)
    assert all(row.passed for row in audit.rows)
    assert not audit.sound
    assert set(audit.failures) == {"raised ValueError"}
    assert f"it fails in place of a verdict: raised ValueError {audit.failures['raised ValueError']} times" in audit.sentence
    assert audit_verifier(shy, SUMS).sound


def test_abstentions_are_counted_by_reason():
    assert audit_verifier(crashing_on_gold, SUMS).reasons == {"raised RuntimeError": 30}
    audit = audit_verifier(silent, SUMS)
    assert set(audit.reasons) == {"abstained"}
    assert all(row.num_abstained == row.num_answers for row in audit.rows)


def test_a_verifier_that_changes_its_mind_is_found():
    audit = audit_verifier(moody, SUMS, num_workers=1)
    assert audit.num_changed > 0
    assert f"changed {audit.num_changed} verdicts when asked again" in audit.sentence


def test_the_form_of_answers_is_found():
    assert audit_verifier(number(), SUMS).form == "{}"
    assert audit_verifier(MARKED, SUMS).form == "#### {}"
    assert audit_verifier(pattern(r"<answer>(?P<answer>.*?)</answer>"), SUMS).form == "<answer>{}</answer>"
    assert audit_verifier(pattern(r"boxed\{(?P<answer>.*?)\}"), SUMS).form == "$$\\boxed{{}}$$"


def test_chance_is_no_flaw_but_a_habit_is():
    lucky = [*SUMS, user("What is 90 - 45?", target="45")]
    audit = audit_verifier(number(), lucky)
    assert {row.name: row.num_accepted for row in audit.rows}["the prompt repeated"] == 1
    assert audit.sound
    assert "takes 1 of" in audit.sentence
    quotients = [user(f"What is {2 * n}/{n}?", target=str(n)) for n in range(10, 20)]
    audit = audit_verifier(number(), quotients)
    assert not audit.sound
    assert "answers that are the prompt repeated" in audit.sentence


def test_prompts_without_targets():
    blank = [user("Say something long."), user("Say something else.")]
    audit = audit_verifier(pattern(r"^(\w+ ){5}\w+\.$", match="full"), blank)
    assert audit.num_targets == 0
    assert audit.sound
    assert "was given no targets" in audit.sentence
    assert not audit_verifier(number(), blank).sound
    with pytest.raises(ValueError, match="no prompts to audit"):
        audit_verifier(number(), [])


def test_every_target_is_tried_and_planted_answers_are_bounded():
    prompts = [user(f"n{i}?", target=str(i + 1000)) for i in range(1000)]
    rows = {row.name: row.num_answers for row in audit_verifier(number(), prompts, max_prompts=50).rows}
    assert rows["gold"] == 1000
    assert rows["empty"] == 50


def test_rejected_targets_are_those_of_no_form():
    prompts = [user("a?", target="12"), user("b?", target="twelve"), user("c?"), user("d?", target="12 apples")]
    with VerifierPool(number()) as pool:
        found = rejected_targets(pool, prompts)
    assert [(prompt.text, verdict.reason) for prompt, verdict in found] == [("b?", "abstained"), ("d?", "abstained")]
    with VerifierPool(MARKED) as pool:
        assert rejected_targets(pool, prompts) == []


def test_given_text_is_a_completion_of_its_prompt():
    completion = given_text(SUMS[0], "31")
    assert (completion.text, completion.finish, completion.prompt_id) == ("31", "given", SUMS[0].id)
