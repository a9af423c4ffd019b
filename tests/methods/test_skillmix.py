"""Instruct-SkillMix: which skills are mixed, what is asked for with them, and what training sees of it."""

from __future__ import annotations

import dataclasses
from collections import Counter
from itertools import combinations

import numpy as np

from example_builders import ROUND, completion
from sharpen.methods.skillmix import skillmix
from sharpen.prompts.skill_mix import Mix, mixes, names_in
from sharpen.types import Prompt

SKILLS = ("rhyme", "brevity", "sums", "tact")


def test_every_pair_of_different_skills_is_as_likely_as_any_other() -> None:
    count = 6000
    drawn = mixes(SKILLS, ("letter", "poem"), 2, count, np.random.default_rng(3))
    pairs = Counter(frozenset(mix.skills) for mix in drawn)
    assert set(pairs) == {frozenset(pair) for pair in combinations(SKILLS, 2)}  # no skill twice
    expected, deviation = count / 6, (count / 6 * 5 / 6) ** 0.5
    assert all(abs(found - expected) < 4 * deviation for found in pairs.values())
    kinds = Counter(mix.kind for mix in drawn)
    assert abs(kinds["letter"] - count / 2) < 4 * (count / 4) ** 0.5
    together = Counter((frozenset(mix.skills), mix.kind) for mix in drawn)
    assert all(abs(found - count / 12) < 4 * (count / 12) ** 0.5 for found in together.values())
    assert mixes(SKILLS, ("letter",), 2, 9, np.random.default_rng(3)) == mixes(
        SKILLS, ("letter",), 2, 9, np.random.default_rng(3)
    )


def test_without_enough_to_draw_from_there_are_none() -> None:
    rng = np.random.default_rng(0)
    assert mixes(SKILLS[:1], ("letter",), 2, 3, rng) == []
    assert mixes(SKILLS, (), 2, 3, rng) == []
    assert {len(set(mix.skills)) for mix in mixes(SKILLS, ("letter",), 4, 5, rng)} == {4}
    assert mixes(("a",), ("b",), 1, 1, rng) == [Mix(skills=("a",), kind="b")]


def test_names_are_short_and_once() -> None:
    eight = "one two three four five six seven eight"
    assert names_in(["", "* One\n2) Two words;\n", f"ONE\n- {eight}\n- {eight} nine"]) == ["One", "Two words", eight]


class Author:
    """A model that lists what it is asked for, and writes requests and answers that show what they were written under."""

    def __init__(self) -> None:
        self.answered: list[Prompt] = []

    def generate(self, requests, sampling):  # type: ignore[no-untyped-def]
        return [self._made(request) for request in requests]

    def _made(self, request):  # type: ignore[no-untyped-def]
        text = request.prompt.text
        said = {
            "List topics": "gardens\nlaw",
            "List kinds": "1. letter\n2. poem",
            "List skills": "- rhyme\n- brevity" if "gardens" in text else "- Rhyme\n- sums\n- tact",
        }.get(" ".join(text.split()[:2]))
        if said is None and text.startswith("Write one request"):
            said = f"ask {request.index // 2}"  # two and two are alike
        if said is None:
            self.answered.append(request.prompt)
            said = "an answer"
        made = completion(said, prompt=request.prompt, index=request.index)
        return dataclasses.replace(made, finish="length") if text.startswith("ask 1\n") else made


def test_skills_are_named_in_the_asking_and_not_in_what_is_trained_under() -> None:
    author = Author()

    class Round(type(ROUND)):  # type: ignore[misc]
        max_new_tokens = 20

        def policy(self, role: str) -> Author:
            return author

    (step,) = skillmix(num_instructions=8, num_asks=1).steps
    assert step.prompts is not None
    assert step.sample is not None
    assert step.select is not None
    prompts = step.prompts([], Round())
    assert [prompt.text for prompt in prompts] == [f"ask {n}" for n in range(4)]  # the first of each
    for prompt in prompts:
        assert len(set(str(prompt.tags["skills"]).split("; "))) == 2
        assert set(str(prompt.tags["skills"]).split("; ")) <= set(SKILLS)  # skills of both topics, each once
        assert prompt.tags["kind"] in ("letter", "poem")
    found = step.select(step.sample(prompts, Round()), Round())
    assert [one.row.prompt.text for one in found] == ["ask 0", "ask 2", "ask 3"]  # the cut answer is left out
    assert all(str(prompt.tags["skills"]) in asked.text for prompt, asked in zip(prompts, author.answered, strict=True))
    assert not any(skill in one.row.prompt.text for one in found for skill in SKILLS)
