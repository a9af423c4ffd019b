"""SELF: what is refined, what is accepted, and what the meta-skills are taught from."""

from __future__ import annotations

import dataclasses
import math

import pytest
from worlds import VERIFIER

from example_builders import ROUND, completion, group
from sharpen.methods.self_evolution import self_evolution
from sharpen.sample.self_evolved import META_SKILLS, self_evolved
from sharpen.select.meta_lessons import meta_lessons
from sharpen.types import Prompt, user

WORDS = ("good", "mendable", "hopeless", "silent")


class Thinker:
    """A model that knows a good answer, finds what is wrong with all others but the silent one, and can mend one kind."""

    def __init__(self) -> None:
        self.refined: list[Prompt] = []

    def options(self, prompts):  # type: ignore[no-untyped-def]
        share = [0.9 if "Answer: fine" in prompt.text else 0.2 for prompt in prompts]
        return [(math.log(one), math.log(1 - one)) for one in share]

    def generate(self, requests, sampling):  # type: ignore[no-untyped-def]
        return [completion(self.said(one.prompt), prompt=one.prompt, index=one.index) for one in requests]

    def said(self, prompt: Prompt) -> str:
        asked = prompt.messages[0].text
        if prompt.text == META_SKILLS.criticise:
            return "" if asked == "silent" else f"no {asked} answer"
        if prompt.text == META_SKILLS.refine:
            self.refined.append(prompt)
            return "fine" if asked == "mendable" else "still bad"
        return "fine" if asked == "good" else "bad"


def round_of(model: Thinker):  # type: ignore[no-untyped-def]
    class Round(type(ROUND)):  # type: ignore[misc]
        max_new_tokens = 20

        def policy(self, role: str) -> Thinker:
            return model

    return Round()


def test_what_can_be_mended_is_trained_and_nothing_that_is_refused() -> None:
    model = Thinker()
    (step,) = self_evolution(VERIFIER).steps
    assert step.sample is not None
    assert step.select is not None
    prompts = [user(word) for word in WORDS]
    groups = step.sample(prompts, round_of(model))
    assert [prompt.messages[0].text for prompt in model.refined] == ["mendable", "hopeless"]  # not the good one, nor the silent
    for prompt, word in zip(model.refined, ("mendable", "hopeless"), strict=True):
        assert [message.text for message in prompt.messages] == [
            word,
            "bad",
            META_SKILLS.criticise,
            f"no {word} answer",
            META_SKILLS.refine,
        ]
    assert [one.completions[0].text for one in groups] == ["fine", "fine", "still bad", "bad"]
    assert [one.score("accepted")[0] for one in groups] == pytest.approx([0.9, 0.9, 0.2, 0.2])
    assert [one.signals["refined"] for one in groups] == [0.0, 1.0, 1.0, 0.0]
    found = step.select(groups, ROUND)
    assert [one.row.prompt for one in found] == prompts[:2]  # trained under the plain prompts
    assert {one.row.completion.text for one in found} == {"fine"}


def test_several_answers_keep_their_places() -> None:
    prompt = user("mendable")
    texts = ["bad", "fine", "bad"]
    [found] = self_evolved()([group(texts, prompt=prompt)], round_of(Thinker()))
    assert [one.text for one in found.completions] == ["fine"] * 3
    assert [one.index for one in found.completions] == [0, 1, 2]
    assert found.completions[1] == completion("fine", prompt=prompt, index=1)
    assert found.signals["refined"] == 2.0
    assert self_evolved(min_accepted=0.0)([group(texts, prompt=prompt)], round_of(Thinker()))[0].signals["refined"] == 0.0


def test_meta_skills_are_taught_from_verdicts_and_targets() -> None:
    prompt = user("2 + 2?", target="4")
    made = group(["4", "5", "6", "7"], prompt=prompt, reward=[1.0, 0.0, None, 0.0])
    cut = dataclasses.replace(made.completions[3], finish="length")
    made = dataclasses.replace(made, completions=(*made.completions[:3], cut))
    found = [(one.row.prompt, one.row.completion.text) for one in meta_lessons(right="Good.", wrong="Bad.")([made], ROUND)]
    assert found == [
        (prompt, "4"),
        (META_SKILLS.judged(prompt, "4"), "Yes"),
        (META_SKILLS.criticised(prompt, "4"), "Good."),
        (META_SKILLS.judged(prompt, "5"), "No"),
        (META_SKILLS.criticised(prompt, "5"), "Bad."),
        (META_SKILLS.refined(prompt, "5", "Bad."), "4"),
    ]
    assert list(meta_lessons()([group(["4"], prompt=user("2 + 2?"), reward=[1.0])], ROUND)) == []


def test_a_prompt_that_spells_a_place_out_stays_as_it_is() -> None:
    told = META_SKILLS.judged(user("What does print(f'{answer}') print?"), "the answer").text
    assert "print(f'{answer}')" in told
    assert told.count("Answer: the answer") == 1


def test_rounds_read_no_label() -> None:
    (meta,), (step,) = self_evolution(VERIFIER).setup, self_evolution(VERIFIER).steps
    assert "verify" in repr(meta.feedback)
    assert step.feedback is None
    assert not any("task" in stage.reads for stage in step.slots.values())
