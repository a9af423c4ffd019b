"""Answers that are surely wrong, planted beside real ones: the prompts on which a verifier takes them tell nothing."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from sharpen.protocols import Verifier
from sharpen.types import Completion, Prompt, Score
from sharpen.verifiers.audit import given
from sharpen.verifiers.bounded import VerifierPool
from sharpen.verifiers.texts import normal

__all__ = ["fooled"]

_ACCEPTED = 0.5


def fooled(
    verifier: Verifier, prompts: Sequence[Prompt], completions: Sequence[Completion], scores: Sequence[Score]
) -> Mapping[str, str]:
    """By prompt id what the verifier took for an answer there: `an empty answer`, `the prompt itself` or `another prompt's answer`.

    The last is an answer that it accepted elsewhere, put to a prompt with another target: what lists everything is accepted twice. Prompts
    without targets have the first two alone; one whose target is its own text is not asked about that.

    Args:
        prompts, completions, scores: N each, of one checkpoint.
    """
    planted = [(prompt, "an empty answer", "") for prompt in prompts if normal(prompt.target or "x")]
    planted += [
        (prompt, "the prompt itself", prompt.text) for prompt in prompts if normal(prompt.text) != normal(prompt.target or "")
    ]
    planted += _swapped(prompts, completions, scores)
    with VerifierPool(verifier) as pool:
        verdicts = pool.verify([(prompt, given(prompt, text)) for prompt, _, text in planted])
    found: dict[str, str] = {}
    for (prompt, what, _), verdict in zip(planted, verdicts, strict=True):
        if verdict.score is not None and verdict.score >= _ACCEPTED:
            found.setdefault(prompt.id, what)
    return found


def _swapped(
    prompts: Sequence[Prompt], completions: Sequence[Completion], scores: Sequence[Score]
) -> list[tuple[Prompt, str, str]]:
    """For each prompt with a target the next answer that was accepted for another target."""
    accepted = [
        (normal(prompt.target), completion.text)
        for prompt, completion, score in zip(prompts, completions, scores, strict=True)
        if prompt.target is not None and score is not None and score >= _ACCEPTED
    ]
    found = []
    for place, prompt in enumerate(prompts):
        if prompt.target is None or not accepted:
            continue
        own, start = normal(prompt.target), place % len(accepted)
        other = next((text for target, text in accepted[start:] + accepted[:start] if target != own), None)
        if other is not None:
            found.append((prompt, "another prompt's answer", other))
    return found
