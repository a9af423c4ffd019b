"""What a policy says to prompts that a part puts to it for its own ends, as text."""

from __future__ import annotations

import re
from collections.abc import Sequence

from sharpen.protocols import Policy, Request, Sampling
from sharpen.types import Prompt

__all__ = ["listed", "said"]

_BULLET = re.compile(r"^\s*(?:[-*•]|\d+[.)])?\s*")


def said(prompts: Sequence[Prompt], policy: Policy, sampling: Sampling, *, seed: int = 0, start: int = 0) -> list[str]:
    """What the policy answers to each prompt, without white space at its ends; empty where it was cut.

    Args:
        prompts: one answer each; their sample indices count from `start`, so that equal prompts are answered differently.
        policy: who answers.
        sampling: how.
        seed: of the answers.
        start: the first sample index.
    """
    requests = [Request(prompt=prompt, index=place, seed=seed) for place, prompt in enumerate(prompts, start)]
    made = policy.generate(requests, sampling) if requests else ()
    return [one.text.strip() if one.finish == "stop" else "" for one in made]


def listed(texts: Sequence[str]) -> list[str]:
    r"""What stands on the lines of these texts, in order, without bullets and numbers in front and without empty lines.

    >>> listed(["1. one thing\n\n- another"])
    ['one thing', 'another']
    """
    lines = (_BULLET.sub("", line, count=1).strip() for text in texts for line in text.splitlines())
    return [line for line in lines if line]
