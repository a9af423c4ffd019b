"""Weak-to-strong: where a teacher is imitated, and what a majority of own samples makes of its answer."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import pytest

from example_builders import PROMPT, ROUND, completion, group
from sharpen.calls import Request, Sampling
from sharpen.methods.weak_to_strong import weak_to_strong
from sharpen.prompts.batches import prompts_of
from sharpen.sample.demonstrated import given_answer
from sharpen.sample.weak_teacher import beside_teacher, with_teacher
from sharpen.select.answers import final_answer
from sharpen.select.weak_teacher import agreed_with_teacher, teacher_or_majority
from sharpen.tasks import Task
from sharpen.types import Completion, Group, Prompt, user


def taught(own: Sequence[str], teacher: str | None, *, prompt: Prompt = PROMPT) -> Group:
    """Own answers, and the teacher's behind them."""
    found = group(own, prompt=prompt)
    given = () if teacher is None else (given_answer(prompt, teacher).row.completion,)
    return dataclasses.replace(found, completions=(*found.completions, *given))


def first_letter(made: Completion) -> str | None:
    """A point is no answer."""
    return made.text[0] if made.text[0] != "." else None


def preferred(own: str, teacher: str | None, **how: float) -> list[tuple[str, str]]:
    """Chosen and rejected texts; each letter is an own answer, a point none."""
    given = None if teacher is None else f"{teacher} by the teacher"
    found = teacher_or_majority(first_letter, **how)(  # type: ignore[arg-type]  # as named
        [taught([f"{one} by sample {place}" for place, one in enumerate(own)], given)], ROUND
    )
    return [(one.chosen.completion.text, one.rejected.completion.text) for one in found]


@pytest.mark.parametrize(
    ("own", "teacher", "sides"),
    [
        ("AAAAAAABBB", "A", ("A", "B")),  # the majority is with the teacher
        ("AAAAAABBCC", "A", ("A", "BC")),
        ("AAAAAAAAAA", "A", None),  # nobody differs
        ("AAAAABBBBB", "A", None),  # no majority of 0.6
        ("AAAAAAAABB", "B", ("A", "B")),  # 0.8 overrule it
        ("AAAAAAAAAA", "B", ("A", "B")),
        ("AAAAAAABBB", "B", None),  # 0.7 do not
        ("AAAAAAA...", "A", ("A", ".")),  # no answer is another answer
        (".......AAA", "A", None),  # and is never a majority
        ("AAAAAAAABB", None, None),
    ],
)
def test_the_majority_says_what_becomes_of_the_teacher_s_answer(
    own: str, teacher: str | None, sides: tuple[str, str] | None
) -> None:
    found = preferred(own, teacher)
    if sides is None:
        assert found == []
        return
    [(chosen, rejected)] = found
    with_teacher = teacher == sides[0]
    assert (chosen if with_teacher else rejected) == f"{teacher} by the teacher"
    other = rejected if with_teacher else chosen
    assert other[0] in (sides[1] if with_teacher else sides[0])
    assert "teacher" not in other


def test_shares_and_pairs_are_as_asked() -> None:
    assert len(preferred("AAAAAABBCC", "A", num_pairs=3)) == 3
    assert len({rejected for _, rejected in preferred("AAAAAABBCC", "A", num_pairs=9)}) == 4
    assert len({chosen for chosen, _ in preferred("AAAAAAAABB", "B", num_pairs=3)}) == 3
    assert preferred("AAAAAABBCC", "A", min_share=0.7) == []
    assert len(preferred("AAAAAAABBB", "B", overruled_share=0.7)) == 1
    drawn = {preferred("AAAAAABBBB", "A")[0] for _ in range(3)}
    assert len(drawn) == 1, "the same draw each time"
    for wrong in ({"min_share": 0.5}, {"overruled_share": 1.1}, {"num_pairs": 0}):
        with pytest.raises(ValueError, match="shares lie in"):
            teacher_or_majority(final_answer, **wrong)  # type: ignore[arg-type]


def imitated(own: str, teacher: str | None, **how: str) -> list[str]:
    part = agreed_with_teacher(final_answer, **how)  # type: ignore[arg-type]  # as named
    return [one.row.completion.text for one in part([taught([own], teacher)], ROUND)]


def test_a_teacher_is_imitated_where_the_policy_says_the_same() -> None:
    own, teacher = "2 and 2 make 4", "It is 4."
    assert imitated(own, teacher) == [teacher, own]
    assert imitated(own, teacher, trained="teacher") == [teacher]
    assert imitated(own, teacher, trained="own") == [own]
    assert imitated("5", teacher) == []
    assert imitated("", "") == [], "no answer agrees with none"
    assert imitated(own, None) == []
    cut = taught([own], teacher)
    cut = dataclasses.replace(cut, completions=(dataclasses.replace(cut.completions[0], finish="length"), cut.completions[1]))
    assert [one.row.completion.text for one in agreed_with_teacher(final_answer)([cut], ROUND)] == [teacher]
    with pytest.raises(ValueError, match="trained is one of both, teacher, own"):
        agreed_with_teacher(final_answer, trained="none")  # type: ignore[arg-type]


class Model:
    """A policy that always says 7 and keeps what it was asked."""

    def __init__(self) -> None:
        self.asked: list[Prompt] = []

    def generate(self, requests: Sequence[Request], sampling: Sampling) -> list[Completion]:
        assert sampling.temperature == 0
        self.asked = [one.prompt for one in requests]
        return [completion("7", prompt=one.prompt) for one in requests]


def test_a_prompt_is_shown_the_teacher_s_answers_to_others() -> None:
    prompts = [user(f"{n} + 1?", target=str(n + 1)) for n in range(4)] + [user("Who knows?")]
    model = Model()

    class Round(type(ROUND)):  # type: ignore[misc]
        max_new_tokens = 5

        def policy(self, role: str) -> Model:
            return model

    task = Task(name="sums", train=tuple(prompts))
    found = list(beside_teacher(2)(prompts, Round(task=task)))
    assert [[one.text for one in group.completions] for group in found] == [["7", str(n + 1)] for n in range(4)]
    for prompt, asked in zip(prompts, model.asked, strict=False):
        assert [message.role for message in asked.messages] == ["user", "assistant"] * 2 + ["user"]
        assert asked.text == prompt.text
        assert prompt.text not in [message.text for message in asked.messages[:-1]]
    longer = list(with_teacher()([group(["1"], prompt=one) for one in prompts], Round(task=task)))
    assert [[one.text for one in group.completions] for group in longer] == [["1", str(n + 1)] for n in range(4)] + [["1"]]
    given = task.replace(examples=(given_answer(prompts[0], "It is 9."),))
    assert [[one.text for one in group.completions] for group in beside_teacher(1)(prompts, Round(task=given))] == [
        ["7", "It is 9."]
    ]
    with pytest.raises(ValueError, match="has no answers of a teacher"):
        beside_teacher(1)(prompts, Round(task=Task(name="none", train=(user("Who knows?"),))))


def test_both_stages_are_of_the_same_prompts() -> None:
    recipe = weak_to_strong()
    [first], [second] = recipe.setup, recipe.steps
    assert second.prompts == prompts_of(first.name)
