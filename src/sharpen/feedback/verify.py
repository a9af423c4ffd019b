"""Verdicts of a verifier as the score `reward`."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from sharpen.errors import VerifierError
from sharpen.parts import part
from sharpen.protocols import Round, Verifier
from sharpen.types import Group
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
        pairs = [(group.prompt, completion) for group in groups for completion in group.completions]
        with VerifierPool(verifier) as pool:
            found = pool.verify(pairs)
        silent = [verdict for verdict in found if verdict.score is None]
        if pairs and len(silent) > max_abstain * len(pairs):
            reasons = sorted({verdict.reason or "abstained" for verdict in silent})[:3]
            raise VerifierError(
                f"verifier {verifier!r} abstained on {len(silent)} of {len(pairs)} completions ({'; '.join(reasons)}), more than "
                f"the {max_abstain:.0%} allowed; mend it, or see `sharpen audit-verifier`"
            )
        scores = iter([verdict.score for verdict in found])
        return [group.with_scores(**{name: [next(scores) for _ in group.completions]}) for group in groups]

    return stage
