"""The choice verifier: which option an answer names."""

import pickle
import string
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st
from verifier_builders import answer

from sharpen.types import user
from sharpen.verifiers import choice

MOODS = ("positive", "negative")
LETTERS = ("A", "B", "C", "D")
CITIES = ("Rome", "Oslo", "New York")

MENU = "Which?\n(A) Rome\n(B) Oslo\n(C) New York"


def named_option(text, options, *, letters=False):
    """The place of the option that the verifier reads."""
    named = choice().answer(user(MENU if letters else "Which?", options=options), answer(text))
    return None if named is None else options.index(named)


@pytest.mark.parametrize(
    ("text", "place"),
    [
        ("positive", 0),
        (" **Positive**. ", 0),
        ("The sentiment is positive.", 0),
        ("It isn't negative, it's positive", 0),
        ("Answer: positive", 0),
        ("The answer is positive, not negative", 0),
        ("Answer: negative because positive words are few", 1),
        ("more positive than negative", 0),
        ("\\boxed{negative} and positive", 1),
        ("The words are positive.\nThe tone is negative.\nnegative", 1),
        ("not positive", None),
        ("positive negative", None),
        ("positive, negative", None),
        ("Answer: positive or negative", None),
        ("Answer: positive and/or negative", None),
        ("\\boxed{positive, negative}", None),
        ("\\boxed{} positive", None),
        ("positively", None),
        ("", None),
    ],
)
def test_reads_words(text, place):
    assert named_option(text, MOODS) == place


@pytest.mark.parametrize(
    ("text", "place"),
    [
        ("B", 1),
        ("b", 1),
        ("(c)", 2),
        ("B) because", 1),
        ("The answer is (B).", 1),
        ("answer is B", 1),
        ("**Answer:** B", 1),
        ("Answer: B because A is wrong", 1),
        ("I think C.", 2),
        ("option D", 3),
        ("\\boxed{\\text{C}}", 2),
        ("A is tempting, but no.\nD\n", 3),
        ("A, B, C, D", None),
        ("Answer: A, B, C, D", None),
        ("(A) (B) (C) (D)", None),
        ("A cat is B", None),
        ("the answer is a cat", None),
        ("The correct answer is not A", None),
        ("E", None),
    ],
)
def test_reads_letters(text, place):
    assert named_option(text, LETTERS) == place


@pytest.mark.parametrize(
    ("text", "place"),
    [
        ("B", 1),
        ("(B) Oslo", 1),
        ("b) oslo", 1),
        ("Answer: B. Oslo", 1),
        ("new  york", 2),
        ("(A) Oslo", None),
        ("Answer: (A) Oslo", None),
    ],
)
def test_letter_and_text_must_agree(text, place):
    assert named_option(text, CITIES, letters=True) == place


def test_longest_option_first():
    assert named_option("This is not spam.", ("spam", "not spam")) == 1
    assert named_option("This is spam.", ("spam", "not spam")) == 0
    assert named_option("it is 10", ("1", "10")) == 1
    assert named_option("it is 1.5", ("1", "10")) is None


def test_scripts_without_spaces_need_no_word_boundary():
    assert named_option("\u7b54\u6848\u662f\u6b63\u9762\u7684", ("\u6b63\u9762", "\u8d1f\u9762")) == 0


def test_target_and_options():
    assert choice()(user("?", target="positive", options=MOODS), answer("Positive.")) == 1.0
    assert choice()(user("?", target="negative", options=MOODS), answer("Positive.")) == 0.0
    assert choice()(user("?", target="neutral", options=MOODS), answer("Positive.")) is None
    assert choice()(user("?", target=None, options=MOODS), answer("Positive.")) is None
    assert choice()(user("?", target="yes", options=("yes", "Yes.")), answer("yes")) is None


def test_letters_name_options_only_where_the_prompt_shows_them():
    assert choice()(user(MENU, target="Oslo", options=CITIES), answer("(B)")) == 1.0
    assert choice()(user(MENU, target="B", options=CITIES), answer("Oslo")) == 1.0
    assert choice()(user("Which?", target="Oslo", options=CITIES), answer("(B)")) == 0.0
    assert choice()(user("Which?", target="B", options=CITIES), answer("Oslo")) is None


def test_without_options_the_answers_are_letters():
    assert choice()(user(MENU, target="(B)"), answer("It must be (B).")) == 1.0
    assert choice()(user(MENU, target="B"), answer("A")) == 0.0
    assert choice()(user(MENU, target="Oslo"), answer("B")) is None


def test_prompt_repeated_names_nothing():
    assert choice()(user(f"{MENU}\nAnswer:", target="Oslo", options=CITIES), answer(f"{MENU}\nAnswer:")) == 0.0


words = st.text(string.ascii_letters + string.digits + " -'\u00e9\u00fc\u6b63", min_size=1, max_size=12).map(
    lambda w: " ".join(w.split())
)
options = st.lists(words.filter(lambda w: any(c.isalnum() for c in w)), min_size=2, max_size=6, unique_by=str.casefold)


@given(options, st.data())
def test_accepts_its_own_gold_and_rejects_the_others(labels, data):
    target = data.draw(st.sampled_from(labels))
    prompt = user("?", target=target, options=tuple(labels))
    verdict = choice()(prompt, answer(target))
    if verdict is None:
        return  # options that differ in form alone ("-a" and "a'")
    assert verdict == 1.0
    for label in labels:
        assert choice()(prompt, answer(label)) == float(label == target)
    assert choice()(prompt, answer("")) == 0.0


@given(
    st.sampled_from(string.ascii_uppercase),
    st.sampled_from(["{}", "({})", "{}.", "Answer: {}", "The answer is ({}).", "\\boxed{{}}", "**{}**"]),
)
def test_accepts_its_own_letter_in_any_form(letter, form):
    prompt = user("?", target=letter)
    assert choice()(prompt, answer(form.replace("{}", letter))) == 1.0
    other = "A" if letter != "A" else "B"
    assert choice()(prompt, answer(form.replace("{}", other))) == 0.0


@given(st.text(max_size=200), options)
def test_any_text_gives_a_verdict(text, labels):
    assert choice()(user(text, target=labels[0], options=tuple(labels)), answer(text)) in (0.0, 1.0, None)


def test_is_a_value():
    assert repr(choice()) == "choice()"
    assert pickle.loads(pickle.dumps(choice())) == choice()
    assert choice().key == choice().key


@pytest.mark.parametrize(
    "unit", ["A ", "(A", "answer is ", "not ", "positive ", "\n", "option ", "and ", ", ", "answer: A, ", "**"]
)
def test_reads_a_megabyte_of_anything_in_linear_time(unit):
    start = time.perf_counter()
    text = unit * (1_000_000 // len(unit))
    for options in (MOODS, LETTERS):
        assert named_option(text, options) in (None, 0)
    assert time.perf_counter() - start < 10  # measured: under 0.5 s each; a quadratic expression takes hours
