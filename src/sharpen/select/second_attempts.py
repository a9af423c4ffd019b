"""Two attempts as one lesson: a right answer that is kept, and a wrong one that is mended."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence

from sharpen.examples import Demonstration, Row
from sharpen.parts import part
from sharpen.protocols import Round
from sharpen.sample.templates import filled
from sharpen.types import Completion, Group, Prompt

__all__ = ["second_attempts"]


@part(reads=("{role}",), needs=("continue",))
def second_attempts(
    message: str = "{question}",
    *,
    kept_share: float = 0.4,
    by: str = "reward",
    min_score: float = 0.5,
    role: str = "current",
) -> Callable[[Sequence[Group], Round], Sequence[Demonstration]]:
    """Right completions followed by themselves, and wrong ones followed by a right one of their group (Yang et al. 2024, arXiv 2412.19513).

    The first attempt and the message after it are context of weight 0; the second attempt is trained. As many of each kind are drawn as
    there can be with `kept_share` of all keeping a right answer. A group without a right answer has nothing to mend with; abstained
    completions and cut ones are left out.

    Args:
        message: what is said between the attempts; `{question}` in it is the prompt's last message.
        kept_share: share of the lessons in which the first attempt is right, in [0, 1].
        by: the score that says which are right.
        min_score: the least that is right.
        role: whose tokenizer writes turns.

    Raises:
        ValueError: kept_share is outside [0, 1]; or, when it runs, no stage has written that score.
    """
    if not 0 <= kept_share <= 1:
        raise ValueError(f"kept_share is {kept_share}; it is a share in [0, 1]")

    def stage(groups: Sequence[Group], round: Round) -> Sequence[Demonstration]:
        policy = round.policy(role)
        kept: list[tuple[Prompt, Completion, str]] = []
        mended: list[tuple[Prompt, Completion, str]] = []
        for group in groups:
            known = [
                (one, score >= min_score)
                for one, score in zip(group.completions, group.score(by), strict=True)
                if score is not None and one.finish != "length"
            ]
            right = [one for one, is_right in known if is_right]
            kept += [(group.prompt, one, one.text) for one in right]
            for one in (one for one, is_right in known if right and not is_right):
                better = right[int(round.rng("second attempts", one.id).integers(len(right)))]
                mended.append((group.prompt, one, better.text))

        def lesson(prompt: Prompt, first: Completion, second: str) -> Demonstration:
            asked = policy.follow_up(prompt, first, filled(message, question=prompt.text))
            *before, last = policy.appended(asked, second).segments
            context = tuple(dataclasses.replace(one, weight=0.0) for one in before)
            whole = dataclasses.replace(asked, segments=(*context, last), text=second, finish="given", parents=(first.id,))
            return Demonstration(row=Row(prompt=prompt, completion=whole))

        num_kept, num_mended = _numbers(len(kept), len(mended), kept_share)
        return [
            lesson(*found[place])
            for name, found, number in (("kept", kept, num_kept), ("mended", mended, num_mended))
            for place in sorted(round.rng(name).permutation(len(found))[:number].tolist())
        ]

    return stage


def _numbers(kept: int, mended: int, share: float) -> tuple[int, int]:
    """As many of each as there can be in these shares, rounded down.

    >>> _numbers(100, 30, 0.4), _numbers(8, 30, 0.4), _numbers(3, 5, 0.0), _numbers(3, 0, 0.4)
    ((20, 30), (8, 12), (0, 5), (0, 0))
    """
    limits = [number / of for number, of in ((kept, share), (mended, 1.0 - share)) if of]
    total = min(limits) + 1e-9
    return int(total * share), int(total * (1.0 - share))
