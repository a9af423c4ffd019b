"""Pairs of answers that nobody has compared yet, with the question which is better."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from sharpen.examples import Row, Undecided, Valued
from sharpen.feedback.strength import WHICH, check_which, which_is_better
from sharpen.parts import part
from sharpen.protocols import Round
from sharpen.sample.demonstrated import given_answer
from sharpen.select.keys import text
from sharpen.sequences import flattened
from sharpen.types import Completion, Group, Prompt

__all__ = ["undecided_pairs"]


@part(needs=("chat",))
def undecided_pairs(*, ask: str = WHICH) -> Callable[[Sequence[Group], Round], Sequence[Undecided]]:
    """A group's completions two by two, as they come, each pair with the question which is better in both orders.

    Two answers that say the same are no pair; of an odd number the last is left out.

    Args:
        ask: as for `which_is_better`.

    Raises:
        ValueError: `ask` has no place for one of the answers.
    """
    check_which(ask)

    def pairs(group: Group) -> list[Undecided]:
        two_by_two = zip(group.completions[0::2], group.completions[1::2], strict=False)
        return [_undecided(group.prompt, one, other, ask) for one, other in two_by_two if text(one) != text(other)]

    return lambda groups, round: flattened(groups, pairs)


def _undecided(prompt: Prompt, one: Completion, other: Completion, ask: str) -> Undecided:
    first, second = (Row(prompt=prompt, completion=answer) for answer in (one, other))
    asked, turned = (which_is_better(prompt, shown.text, then.text, ask=ask) for shown, then in ((one, other), (other, one)))
    return Undecided(first=first, second=second, asked=_valued(asked, "A", "B"), turned=_valued(turned, "B", "A"))


def _valued(question: Prompt, yes: str, no: str) -> Valued:
    return Valued(yes=given_answer(question, yes).row, no=given_answer(question, no).row)
