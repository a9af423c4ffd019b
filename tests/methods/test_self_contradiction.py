"""Self-contradiction: a small life with planted errors, told again by a model that knows better, as little, or the same error."""

from __future__ import annotations

from pathlib import Path

import pytest
from authored import Authored, answered
from worlds import tiny_improve

from example_builders import group
from sharpen.methods.self_contradiction import self_contradiction
from sharpen.parts import Recipe, chain
from sharpen.protocols import Request
from sharpen.runtime.tiny import tiny_prompts
from sharpen.sample import completions
from sharpen.sample.contradictions import claims_in, contradicts, sentences_in, without_contradictions
from sharpen.types import Group, user

LIFE = "Ada was born in 1815. Ada lived in Rome and wrote notes. Ada died in 1900. Ada had a cat. It rained."
TOLD = {"was born in": "1815", "lived in": "London", "wrote": "notes", "died in": "1852", "had": "a cat"}
"""What it says when it is asked again: all true, but for the cat, which is the same error twice.

What stands in the answer so far it only repeats.
"""


class Biographer:
    """A model of one life: it lists, tells again from memory, compares and rewrites as it is asked to."""

    def __init__(self, *, rewrites: bool = True, conclusions: str = "Yes.") -> None:
        self.rewrites, self.conclusions = rewrites, conclusions
        self.told: list[str] = []
        self.rewritten: list[str] = []

    def __call__(self, request: Request) -> str:
        text = request.prompt.text
        if text.startswith("Write the facts"):
            return "\n".join(f"Ada; {relation}; {thing}" for relation, thing in facts(field(text, "Sentence")))
        if "gap of: " in text:
            self.told.append(text)
            relation = text.split("gap of: ")[1].split(";")[1].strip()
            said = {known: thing for one in sentences_in(field(text, "Answer so far")) for known, thing in facts(one)}
            return f"Ada {relation} {said.get(relation, TOLD[relation])}."
        if text.startswith("Do they"):
            before = request.prompt.messages[-3].text
            one, other = (dict(facts(field(before, f"Statement {number}"))) for number in (1, 2))
            clash = any(one.get(relation, thing) != thing for relation, thing in other.items())
            return self.conclusions if clash else "No."
        if "Explain" in text:
            return "because"
        if "It contradicts this" in text:
            self.rewritten.append(field(text, "Next sentence"))
            return self.rewritten[-1] if not self.rewrites else self.without(text)
        return LIFE

    def without(self, text: str) -> str:
        [(wrong, _)] = facts(field(text, "It contradicts this"))
        kept = [f"{relation} {thing}" for relation, thing in facts(field(text, "Next sentence")) if relation != wrong]
        return f"Ada {' and '.join(kept)}." if kept else ""


def field(text: str, name: str) -> str:
    [line] = [line for line in text.splitlines() if line.startswith(f"{name}: ")]
    return line.removeprefix(f"{name}: ")


def facts(sentence: str) -> list[tuple[str, str]]:
    parts = sentence.removeprefix("Ada ").rstrip(".").split(" and ")
    return [(relation, one.removeprefix(relation).strip()) for one in parts for relation in TOLD if one.startswith(relation)]


def mended(model: Biographer, **how: object) -> Group:
    [found] = answered(self_contradiction(**how).answer, Authored(model), [user("Tell me about Ada.")])  # type: ignore[arg-type]
    return found


def test_what_is_told_two_ways_is_taken_out_and_equal_errors_are_not_seen() -> None:
    model = Biographer()
    found = mended(model)
    [one] = found.completions
    assert one.text == "Ada was born in 1815. Ada wrote notes. Ada had a cat. It rained."
    assert (one.finish, one.segments, one.index) == ("given", (), 0)
    assert found.signals == {"claims": 5.0, "contradicted": 2.0}
    assert model.rewritten == ["Ada lived in Rome and wrote notes.", "Ada died in 1900."]
    assert len(model.told) == 6  # five facts, and the one of the new sentence: none is checked twice


def test_a_second_telling_sees_what_was_before_and_not_the_sentence_itself() -> None:
    model = Biographer()
    mended(model)
    born, lived, wrote, died, _, again = model.told
    assert "Answer so far: (nothing yet)" in born
    for text in (lived, wrote):
        assert "Answer so far: Ada was born in 1815.\n" in text
        assert "Rome" not in text
    assert "Answer so far: Ada was born in 1815. Ada lived in Rome and wrote notes.\n" in died
    assert "1900" not in died
    assert "gap of: Ada; wrote; ___" in again
    assert all("Question: Tell me about Ada." in text for text in model.told)


def test_sentences_that_stay_contradicted_are_left_out_in_the_end() -> None:
    model = Biographer(rewrites=False)
    assert mended(model, num_passes=2).completions[0].text == "Ada was born in 1815. Ada had a cat. It rained."
    assert len(model.rewritten) == 4  # two sentences in each of two passes
    assert len(model.told) == 5


def test_a_sentence_of_several_facts_that_are_all_wrong_is_left_out_at_once() -> None:
    model = Biographer()
    stage = without_contradictions(1)
    one = group(["Ada lived in Rome and died in 1900. It rained."], prompt=user("Ada?"))
    [found] = answered(stage, Authored(model), [one])  # type: ignore[arg-type, list-item]  # groups in
    assert found.completions[0].text == "It rained."
    assert not model.rewritten


@pytest.mark.parametrize(
    ("conclusions", "min_share", "changes"), [("Yes and no.", 1.0, False), ("yes", 1.0, True), ("No", 0.1, False)]
)
def test_conclusions_are_counted(conclusions: str, min_share: float, changes: bool) -> None:
    found = mended(Biographer(conclusions=conclusions), min_share=min_share)
    assert (found.completions[0].text != LIFE) == changes
    if not changes:
        assert found.completions[0].segments  # what does not change stays as it was sampled
        assert found.signals == {"claims": 5.0, "contradicted": 0.0}


def test_all_ten_conclusions_must_agree_unless_fewer_are_said_to_be_enough() -> None:
    class Torn(Biographer):
        def __call__(self, request: Request) -> str:
            said = super().__call__(request)
            return "No." if said == "Yes." and request.index == 9 else said

    assert mended(Torn()).completions[0].text == LIFE
    assert mended(Torn(), min_share=0.9).completions[0].text != LIFE


def test_each_completion_of_each_group_is_mended_by_itself() -> None:
    two = group(["Ada lived in Rome.", "Ada had a cat."], prompt=user("Ada?"), signals={"seen": 1.0})
    [found] = answered(without_contradictions(), Authored(Biographer()), [two])  # type: ignore[arg-type, list-item]
    assert [one.text for one in found.completions] == ["", "Ada had a cat."]
    assert found.signals == {"seen": 1.0, "claims": 2.0, "contradicted": 1.0}


def test_readers() -> None:
    assert sentences_in("One.\nTwo! (Three) 3.5 is it? \n\n") == ["One.", "Two!", "(Three) 3.5 is it?"]
    assert sentences_in("  ") == []
    assert claims_in("a; b; c\na;b;d\n* e; f; g\n; x; y\na; b; c; d") == [("a", "b"), ("e", "f")]
    assert [contradicts(text) for text in ("YES", "no", "", "yes no", "Yesterday")] == [True, False, False, False, False]


def test_a_model_that_lists_no_facts_keeps_its_answer(tmp_path: Path) -> None:
    stage = without_contradictions(max_new_tokens=8)
    recipe = Recipe(name="told", answer=chain(completions(1, temperature=0.0), stage))
    final = tuple(tiny_prompts(900, seed=5)[460:466])
    first, last = (one.report for one in tiny_improve(recipe, tmp_path / "run", final=final).results)
    assert [one.token_ids for one in first.completions] == [one.token_ids for one in last.completions]


def test_what_cannot_be_mended_is_refused() -> None:
    with pytest.raises(ValueError, match="num_passes 0"):
        without_contradictions(0)
    with pytest.raises(ValueError, match=r"min_share 0\.0"):
        self_contradiction(min_share=0.0)
