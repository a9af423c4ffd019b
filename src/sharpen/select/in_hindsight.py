"""Good and bad answers in one conversation, each asked for by what it turned out to be."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from sharpen.examples import Demonstration, Preference, Row
from sharpen.parts import part
from sharpen.protocols import Policy, Round
from sharpen.sample.framed import Marked
from sharpen.sequences import flattened
from sharpen.types import Completion, Prompt

__all__ = ["Markers", "in_hindsight"]


@dataclass(frozen=True, kw_only=True)
class Markers:
    """How a good answer is asked for, and how a bad one is."""

    good: str
    bad: str


@part(reads=("{role}",), needs=("continue", "chat"))
def in_hindsight(
    wordings: tuple[Markers, ...], *, role: str = "base"
) -> Callable[[Sequence[Preference], Round], Sequence[Demonstration]]:
    """Four demonstrations of each preference: good alone, bad alone, bad and then good, good and then bad (Liu et al. 2023, 2302.02676).

    Each answer stands behind its marker: the first behind a line of the prompt, the second behind a further turn of the user's. All tokens
    of both answers are trained, their ends too, and no marker is. A preference one of whose answers was cut gives nothing: it has no end.

    Args:
        wordings: the markers; those of a preference are drawn from them, the same for its four demonstrations.
        role: whose chat template writes the further turn.

    Raises:
        ValueError: there are no markers.
    """
    if not wordings:
        raise ValueError("wordings is empty; give at least one pair of markers")

    def stage(preferences: Sequence[Preference], round: Round) -> Sequence[Demonstration]:
        policy = round.policy(role)

        def demonstrations(one: Preference) -> list[Demonstration]:
            if "length" in (one.chosen.completion.finish, one.rejected.completion.finish):
                return []
            prompt = one.chosen.prompt
            words = wordings[int(round.rng("markers", prompt.id).integers(len(wordings)))]
            good, bad = (words.good, one.chosen.completion), (words.bad, one.rejected.completion)
            chains = [(good,), (bad,), (bad, good), (good, bad)]
            return [_demonstration(prompt, chain, policy) for chain in chains]

        return flattened(preferences, demonstrations)

    return stage


def _demonstration(prompt: Prompt, chain: Sequence[tuple[str, Completion]], policy: Policy) -> Demonstration:
    marker, completion = chain[0]
    asked = Marked(line=marker)(prompt)
    for marker, answer in chain[1:]:
        before = policy.follow_up(asked, completion, marker)
        turn = before.turns[-1]
        told = tuple(dataclasses.replace(segment, turn=turn) for segment in answer.segments)
        parents = (*completion.parents, completion.id, answer.id)
        completion = dataclasses.replace(
            before,
            segments=(*before.segments, *told),
            text=f"{before.text}{answer.text}",
            finish=answer.finish,
            parents=parents,
        )
    return Demonstration(row=Row(prompt=asked, completion=completion))
