"""The text verifiers: equal to the target, or of a pattern."""

import pickle
import re
import sys

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from verifier_builders import answer

from sharpen.errors import VerifierError
from sharpen.types import user
from sharpen.verifiers import VerifierPool, exact, formula, pattern
from sharpen.verifiers.texts import normal


@given(st.text(max_size=60), st.text(max_size=60))
def test_exact_accepts_its_own_gold_and_nothing_else(target, other):
    prompt = user("?", target=target)
    if not normal(target):
        assert exact()(prompt, answer(target)) is None
        return
    assert exact()(prompt, answer(target)) == 1.0
    assert exact()(prompt, answer(f"  {target}\n")) == 1.0
    assert exact()(prompt, answer(other)) == float(normal(other) == normal(target))
    assert exact()(prompt, answer(f"{target}x")) == exact()(prompt, answer("")) == 0.0


def test_exact_ignores_form_and_case_only():
    prompt = user("?", target="Blue Whale")
    for text in ("blue whale", "**Blue   Whale**.", "\u201cBlue Whale\u201d", "Blue\nWhale"):
        assert exact()(prompt, answer(text)) == 1.0
    for text in ("a blue whale", "blue-whale", "bluewhale", "The answer is Blue Whale", ""):
        assert exact()(prompt, answer(text)) == 0.0
    assert exact(ignore_case=False)(prompt, answer("blue whale")) == 0.0
    assert exact()(user("?", target="caf\u00e9"), answer("cafe\u0301")) == 1.0
    assert exact()(user("?"), answer("x")) is None


@given(st.text(min_size=1, max_size=30))
def test_pattern_accepts_its_own_gold(target):
    assume(normal(target))
    prompt = user("?", target=target)
    assert pattern(re.escape(target.strip()))(prompt, answer(target)) == 1.0
    assert pattern(re.escape(target.strip()), match="full")(prompt, answer(target)) == 1.0
    marked = pattern(r"(?s)<answer>(?P<answer>.*?)</answer>")
    text = f"I think so. <answer>{target}</answer> Yes."
    assert marked(prompt, answer(text)) == float("</answer>" not in target)
    assert marked(prompt, answer(target)) == marked(prompt, answer(f"<answer>{target}x</answer>")) == 0.0


def test_pattern_search_and_full():
    prompt = user("?", target="7")
    assert pattern(r"\d+")(prompt, answer("it is 8")) == 1.0
    assert pattern(r"\d+", match="full")(prompt, answer("it is 8")) == 0.0
    assert pattern(r"\d+", match="full")(prompt, answer(" 8\n")) == 1.0
    assert pattern(r"(?P<answer>\d+)")(prompt, answer("8, no: 7")) == 1.0
    assert pattern(r"(?P<answer>\d+)")(prompt, answer("7, no: 8")) == 0.0
    assert pattern(r"a|(?P<answer>b)")(prompt, answer("a")) == 0.0
    assert pattern(r"(?P<answer>\d+)")(user("?"), answer("7")) is None
    assert pattern(r"\d+")(user("?"), answer("7")) == 1.0


def test_pattern_refuses_what_does_not_compile():
    with pytest.raises(ValueError, match=r"pattern '\(' does not compile"):
        pattern("(")
    with pytest.raises(ValueError, match="'search' or 'full'"):
        pattern("x", match="start")


@pytest.mark.parametrize(
    "verifier", [exact(), exact(ignore_case=False), pattern(r"\d+"), pattern(r"\d+", match="full"), formula()]
)
def test_are_values(verifier):
    assert pickle.loads(pickle.dumps(verifier)) == verifier
    assert verifier.key == pickle.loads(pickle.dumps(verifier)).key


def test_keys_tell_parameters_apart():
    assert (
        len({exact().key, exact(ignore_case=False).key, pattern("a").key, pattern("b").key, pattern("a", match="full").key})
        == 5
    )


@pytest.mark.parametrize(
    ("target", "text", "score"),
    [
        ("1/2", "0.5", 1.0),
        ("\\frac{1}{2}", "\\frac{1}{2}", 1.0),
        ("\\frac{1}{2}", "so it is $0.5$", 1.0),
        ("x+1", "The answer is $1+x$", 1.0),
        ("42", "it is 43", 0.0),
        ("x^2", "hello", 0.0),
        ("42", "", 0.0),
        ("", "42", None),
        (None, "42", None),
    ],
)
def test_formula_is_mathematical_equality(target, text, score):
    assert formula()(user("?", target=target), answer(text)) == score


def test_formula_names_the_extra_that_it_needs(monkeypatch):
    monkeypatch.setitem(sys.modules, "math_verify", None)
    with pytest.raises(VerifierError, match=r"pip install 'sharpen\[math\]'"):
        formula()


def test_formula_is_bounded():
    with VerifierPool(formula(), num_workers=1, timeout_s=30) as pool:
        half, third = user("?", target="1/2"), user("?", target="1/3")
        verdicts = pool.verify([(half, answer("$0.5$")), (third, answer("$0.5$"))])
    assert [verdict.score for verdict in verdicts] == [1.0, 0.0]
