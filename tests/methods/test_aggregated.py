"""Self-agreement and self-aggregation: what is shown, and what a model makes of it that counts, or that mends."""

from __future__ import annotations

import re
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from authored import Authored, answered
from worlds import tiny_improve

from example_builders import group
from sharpen.methods.self_aggregation import self_aggregation
from sharpen.methods.self_agreement import self_agreement
from sharpen.parts import Recipe, chain
from sharpen.protocols import Request
from sharpen.runtime.tiny import tiny_prompts
from sharpen.sample import completions
from sharpen.sample.aggregated import aggregated, shown_together
from sharpen.select import best, majority
from sharpen.types import Message, Prompt, Text, user

NUM_PROMPTS = 60


def shown(prompt: str) -> list[str]:
    """The answers in a prompt that shows some."""
    return re.findall(r"^Answer \d+:\n(.*)$", prompt, re.MULTILINE)


def prompts(count: int) -> list[Prompt]:
    return [user(f"question {number}") for number in range(count)]


def test_a_model_that_counts_gives_what_the_vote_gives() -> None:
    """The reduction to self-consistency: every answer is shown, once, so counting them is the exact vote."""

    def write(request: Request) -> str:
        answers = shown(request.prompt.text)
        if answers:
            return Counter(answers).most_common(1)[0][0]
        draw = np.random.default_rng([request.index, int(request.prompt.text.split()[1])])
        return str(draw.choice(["3", "4", "5"], p=[0.3, 0.4, 0.3]))

    recipe, model = self_agreement(num_samples=9), Authored(write)
    voting = chain(completions(9, temperature=0.7), majority(lambda one: one.text))
    settled = 0
    both = (answered(answer, model, prompts(NUM_PROMPTS)) for answer in (recipe.answer, voting))
    for asked, voted in zip(*both, strict=True):
        if voted.signals["vote_margin"]:
            settled += 1
            assert [one.text for one in asked.completions] == [one.text for one in voted.completions]
    assert settled > NUM_PROMPTS / 2
    temperatures = {temperature for text, temperature in model.asked if shown(text)}
    assert temperatures == {0.0}


def mended(right: str, flaws: int) -> Authored:
    """A model whose answers each have another letter wrong; shown several, it takes at each place the letter of most."""

    def write(request: Request) -> str:
        answers = shown(request.prompt.text)
        if answers:
            return "".join(Counter(letters).most_common(1)[0][0] for letters in zip(*answers, strict=True))
        place = request.index % flaws
        return right[:place] + "?" + right[place + 1 :]

    return Authored(write)


def test_a_new_answer_can_be_right_where_all_that_it_is_made_of_are_wrong() -> None:
    recipe, model = self_aggregation(), mended("abcdef", flaws=3)
    assert recipe.answer is not None
    sample, _ = recipe.answer.stages
    [before] = answered(sample, model, prompts(1))
    assert [one.text for one in before.completions] == ["?bcdef", "a?cdef", "ab?def"]  # no choice among them is right
    [after] = answered(recipe.answer, model, prompts(1))
    assert [one.text for one in after.completions] == ["abcdef"]
    [alike] = answered(recipe.answer, mended("abcdef", flaws=1), prompts(1))
    assert alike.completions[0].text == "?bcdef"  # of equal answers nothing better can be made


def test_the_question_and_each_answer_stand_in_their_places() -> None:
    of_braces = group(["{question}", "b"], prompt=user("What is {answers}?"))
    put = shown_together(of_braces, "Q: {question}\n{answers}\nA:", "{number}) {answer}")
    assert put.text == "Q: What is {answers}?\n1) {question}\n\n2) b\nA:"
    assert put.parents == (of_braces.prompt.id,)


def test_what_stands_before_the_question_stays() -> None:
    system = Message(role="system", content=(Text(text="Say a number alone."),))
    asked = Prompt(messages=(system, *user("2 + 2?").messages))
    put = shown_together(group(["4"], prompt=asked), "{question}\n{answers}", "{answer}")
    assert (put.messages[0], put.text, put.next) == (system, "2 + 2?\n4", "assistant")
    raw = shown_together(group(["4"], prompt=user("2 + 2 =", next="raw")), "{question}{answers}", "{answer}")
    assert raw.next == "assistant"  # it is asked for in words, not to be gone on from


def test_scores_of_the_answers_shown_are_not_the_new_answer_s() -> None:
    stage = aggregated("{question}{answers}")
    one = group(["a", "b"], likelihood=[1.0, 2.0], signals={"seen": 1.0})
    [found] = answered(stage, Authored(lambda request: "c"), [one])  # type: ignore[arg-type, list-item]  # groups in
    assert (found.prompt, found.scores, found.signals) == (one.prompt, {}, {"seen": 1.0})
    with pytest.raises(ValueError, match="no score 'likelihood'"):
        best("likelihood")([found], None)[0]  # type: ignore[arg-type]  # it reads no round


def test_a_request_without_its_places_is_refused() -> None:
    with pytest.raises(ValueError, match="does not say {answers}"):
        aggregated("{question}")
    with pytest.raises(ValueError, match="does not say {question}"):
        self_agreement(ask="{answers}")
    with pytest.raises(ValueError, match="does not say {answer};"):
        aggregated("{question}{answers}", each="{number}")
    with pytest.raises(ValueError, match="has no answers to show"):
        next(iter(answered(aggregated("{question}{answers}"), Authored(), [group([])])))  # type: ignore[arg-type, list-item]


def test_they_answer_with_a_real_model(tmp_path: Path) -> None:
    final = tuple(tiny_prompts(900, seed=5)[460:466])
    sample = completions(3, temperature=1.0)
    recipe = Recipe(name="shown", answer=chain(sample, aggregated("{question}\n{answers}\n{question}", each="{answer}")))
    run = tiny_improve(recipe, tmp_path / "run", final=final)
    result = run.result("base with shown")
    assert result is not None
    costs = {one.name: one.cost["answer_tokens"] for one in run.results}
    assert costs["base with shown"] > 3 * costs["base"]  # the answers shown are counted too
