"""Self-Debug: a model explains and corrects its program after being told which tests it fails. Nothing is trained."""

from __future__ import annotations

import dataclasses

from sharpen.cards import Card
from sharpen.parts import Recipe, chain
from sharpen.protocols import Verifier
from sharpen.sample import completions
from sharpen.sample.debugged import debugged
from sharpen.verifiers.code import code

__all__ = ["CARD", "self_debug"]

CARD = Card(
    title="Self-Debug",
    paper="Chen et al., 2023",
    arxiv="2304.05128",
    claim="A model that is told how its program fails, and explains it, corrects more programs than as many samples find.",
    trains_on=None,
    needs=("verifier",),
    feedback=("verifier",),
    answers=True,
    departs=(
        "feedback and explanation are one turn, asked for in our words and without worked examples",
        "tests that are shown never score: with `code` they are the visible half of a prompt's asserts, and the hidden half is the task's "
        "verifier; a prompt of one assert cannot be corrected",
        "no execution traces, and no vote among programs by what they return; a verifier that tells nothing gives the simple feedback",
        "at most 10 corrections, a number that is ours",
    ),
    shelf="faithful",
    oracle="tests/methods/test_self_debug.py::test_it_is_worth_as_many_retries_as_it_is_given_and_ends_where_the_program_is_right",
)


def self_debug(verifier: Verifier, *, num_turns: int = 10, temperature: float = 0.0) -> Recipe:
    """The last answer after up to `num_turns` corrections.

    Args:
        verifier: the task's, `code:hidden`, of whose prompts the visible tests are shown; or, from Python, any other one that does not
            score the answers.
        num_turns: corrections at most.
        temperature: of answers and corrections.

    Raises:
        ValueError: the verifier is `code` and scores by tests that would be shown.
    """
    if isinstance(verifier, code):
        if verifier.tests != "hidden":
            raise ValueError(
                f"self_debug shows the visible tests, and {verifier!r} scores by {verifier.tests} of them; score by the others: "
                "--verifier code:hidden"
            )
        verifier = dataclasses.replace(verifier, tests="visible")
    answer = chain(
        completions(1, temperature=temperature), debugged(verifier, num_turns, temperature=temperature)
    )
    return Recipe(name="self_debug", answer=answer)
