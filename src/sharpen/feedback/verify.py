"""Verdicts of a verifier as the score `reward`."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from sharpen.errors import VerifierError
from sharpen.feedback.scored import scored
from sharpen.parts import part
from sharpen.protocols import Round, Verifier
from sharpen.sequences import flattened
from sharpen.types import Completion, Group, Prompt
from sharpen.verifiers import VerifierPool

__all__ = ["verify"]


@part(writes=("{name}",))
def verify(
    verifier: Verifier, *, name: str = "reward", max_abstain: float = 0.5
) -> Callable[[Sequence[Group], Round], Sequence[Group]]:
    """The verifier's score of every completion; None where it abstained, raised, hung or crashed.

    Args:
        verifier: checks one completion.
        name: of the score.
        max_abstain: share of abstentions in [0, 1] above which the round stops.

    Raises:
        VerifierError: it abstained on more than `max_abstain` of the completions.
    """

    def stage(groups: Sequence[Group], round: Round) -> Sequence[Group]:
        pairs = flattened(groups, _pairs)
        with VerifierPool(verifier) as pool:
            found = pool.verify(pairs)
        silent = [verdict for verdict in found if verdict.score is None]
        if pairs and len(silent) > max_abstain * len(pairs):
            reasons = sorted({verdict.reason or "abstained" for verdict in silent})[:3]
            raise VerifierError(
                f"verifier {verifier!r} abstained on {len(silent)} of {len(pairs)} completions ({'; '.join(reasons)}), more than "
                f"the {max_abstain:.0%} allowed; mend it, or see `sharpen audit-verifier`"
            )
        return scored(groups, name, [verdict.score for verdict in found])

    return stage


def _pairs(group: Group) -> list[tuple[Prompt, Completion]]:
    return [(group.prompt, completion) for completion in group.completions]
