"""ILF: who is asked what of an answer and its refinements, and which refinement is imitated."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence

import pytest
from worlds import tiny_runtime

from example_builders import PROMPT, ROUND
from sharpen.calls import Request, Sampling
from sharpen.feedback.incorporation import WORDINGS, incorporation
from sharpen.parts import chain
from sharpen.sample import completions
from sharpen.sample.criticised import criticised_refinements, feedback_on
from sharpen.select.refinements import best_refinement
from sharpen.types import Completion, Group, Prompt, Score, Segment

FEEDBACK = "Leave out the word um."


class Model:
    """Answers, gives feedback, refines as a script says, and finds feedback taken up by the share of a new answer without `um`."""

    def __init__(self, first: str, refinements: Sequence[str]) -> None:
        self.first, self.refinements = first, refinements
        self.questions: list[str] = []
        self.follow_up = tiny_runtime().follow_up

    def generate(self, requests: Sequence[Request], sampling: Sampling) -> list[Completion]:
        return [self._made(one) for one in requests]

    def _made(self, request: Request) -> Completion:
        before = request.partial.segments if request.partial else ()
        if before:
            text = self.refinements[request.index - 1]
        elif request.prompt.id == PROMPT.id:
            text = self.first
        else:
            assert f"Answer: {self.first}\n" in request.prompt.text
            text = f" {FEEDBACK}\n"
        new = Segment(token_ids=(7, 8), logprobs=(-1.0, -1.0), turn=before[-1].turn if before else 0, text=text)
        return Completion(segments=(*before, new), text=text, finish="stop", prompt_id=request.prompt.id, index=request.index)

    def options(self, prompts: Sequence[Prompt]) -> list[tuple[float, ...]]:
        self.questions += [one.text for one in prompts]
        return [tuple(math.log(share) for share in (p, 1 - p)) for p in map(self._taken_up, prompts)]

    def _taken_up(self, prompt: Prompt) -> float:
        words = prompt.text.split("New answer: ")[1].split("\n")[0].split()
        share = 1 - words.count("um") / len(words)
        return min(max(share + (0.2 if "content" in prompt.text else -0.05), 0.01), 0.99)


def refined(model: Model) -> Group:
    class Round(type(ROUND)):  # type: ignore[misc]
        max_new_tokens = 20

        def policy(self, role: str) -> Model:
            return model

    part = chain(completions(1), criticised_refinements(len(model.refinements)), incorporation())
    [group] = part([PROMPT], Round())
    return group


def test_what_an_answer_spells_out_stays_as_it_is() -> None:
    model = Model("{answer} um {feedback}", ["four {first}"])
    refined(model)
    for told in model.questions[len(WORDINGS) :]:
        assert "First answer: {answer} um {feedback}\n" in told
        assert "New answer: four {first}\n" in told


def imitated(group: Group) -> list[str]:
    found = list(best_refinement()([group], ROUND))
    assert all(one.row.prompt is group.prompt for one in found)
    return [one.row.completion.text for one in found]


def test_the_refinement_that_takes_up_most_is_imitated_by_itself() -> None:
    model = Model("um um four", ["um four um um", "four um", "um four um"])
    group = refined(model)
    assert [one.index for one in group.completions] == [0, 1, 2, 3]
    first, _, best, _ = group.score("reward")
    shares = [(share * 5 + 0.2 - 4 * 0.05) / 5 for share in (1 / 3, 1 / 4, 1 / 2, 1 / 3)]
    assert group.score("reward") == pytest.approx(shares)
    assert best > first  # type: ignore[operator]
    assert imitated(group) == ["four um"]
    [one] = best_refinement()([group], ROUND)
    assert one.row.completion.segments == (), "neither the first answer nor the feedback is in what is trained on"
    assert one.row.completion.parents == (group.completions[2].id,)


def test_every_wording_is_asked_of_the_first_answer_too() -> None:
    model = Model("um four", ["four"])
    group = refined(model)
    assert feedback_on(group.completions[0]) is None
    assert str(feedback_on(group.completions[1])).startswith(f"{FEEDBACK}\n")
    assert len(model.questions) == 2 * len(WORDINGS)
    for place, answer in enumerate(("um four", "four")):
        for told in model.questions[place * len(WORDINGS) : (place + 1) * len(WORDINGS)]:
            assert f"Question: {PROMPT.text}\n\nFirst answer: um four\n\nFeedback on it: {FEEDBACK}\n" in told
            assert f"New answer: {answer}\n" in told
    assert len(set(model.questions)) == len(model.questions)


@pytest.mark.parametrize("refinement", ["um um four", "um four um", " "])
def test_what_is_no_better_than_the_first_answer_is_left_out(refinement: str) -> None:
    group = refined(Model("um um four", ["um um um four"]))
    assert imitated(group) == []
    changed = dataclasses.replace(group.completions[1].segments[-1], text=refinement)
    same = dataclasses.replace(group.completions[1], segments=(*group.completions[1].segments[:-1], changed))
    equal = dataclasses.replace(group, completions=(group.completions[0], same)).with_scores(reward=[0.5, 0.5])
    assert imitated(equal) == []


@pytest.mark.parametrize(
    ("scores", "found"),
    [
        ((0.1, 0.5, 0.9), ["b"]),
        ((0.1, 0.9, 0.9), ["a"]),
        ((0.1, 0.5, None), ["a"]),
        ((None, 0.5, 0.9), []),
        ((0.1, None, None), []),
    ],
)
def test_abstentions_are_left_out(scores: tuple[Score, ...], found: list[str]) -> None:
    group = refined(Model("um", ["a", "b"])).with_scores(reward=scores)
    assert imitated(group) == found
    cut = tuple(dataclasses.replace(one, finish="length") for one in group.completions)
    assert imitated(dataclasses.replace(group, completions=cut)) == []


def test_what_cannot_be_refined_is_refused() -> None:
    with pytest.raises(ValueError, match="num_refinements is 0"):
        criticised_refinements(0)
    with pytest.raises(ValueError, match="revise 'again' does not say {feedback}"):
        criticised_refinements(2, revise="again")
    with pytest.raises(ValueError, match="ask 'Well\\?' does not say {answer}"):
        criticised_refinements(1, ask="Well?")
    with pytest.raises(ValueError, match="no wordings"):
        incorporation(wordings=())
    with pytest.raises(ValueError, match="does not say {answer}"):
        incorporation(wordings=("Does it take up {feedback}",))
