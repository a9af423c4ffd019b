"""A promotion that must stand without the prompts that tell nothing."""

from __future__ import annotations

import dataclasses
from collections.abc import Collection, Sequence
from typing import TypeVar

from sharpen.protocols import Gate
from sharpen.types import Decision, Report

__all__ = ["stands_without", "without"]

T = TypeVar("T")
_HINTS = {
    "overlap": "held-out prompts were learned by heart: see which in the notes, and take them out of what is trained on",
    "lax_verifier": "the verifier takes what no one would: see `sharpen audit-verifier`, and mend it",
}


def without(report: Report, prompts: Collection[str]) -> Report:
    """The report on the other prompts; its statistics stay those of the whole set."""
    kept = [place for place, prompt in enumerate(report.prompt_ids) if prompt not in prompts]

    def of(column: Sequence[T]) -> tuple[T, ...]:
        return tuple(column[place] for place in kept)

    return dataclasses.replace(
        report,
        prompt_ids=of(report.prompt_ids),
        outcomes={name: of(column) for name, column in report.outcomes.items()},
        completions=of(report.completions),
        clusters=None if report.clusters is None else of(report.clusters),
    )


def stands_without(
    decision: Decision,
    reports: tuple[Report, Report],
    gate: Gate,
    looks: int,
    prompts: Collection[str],
    *,
    guard: str,
    what: str,
) -> Decision:
    """The decision, which is a roll-back with that failed guard where the gate promotes no more without those prompts.

    Args:
        reports: the candidate's and the incumbent's, on all prompts.
        looks: the number of the look, which this is a part of: a second chance to refuse is none to promote.
        prompts: ids of gate prompts that tell nothing.
        guard: what the roll-back is called, in `Decision.failed_guards` and `numbers`.
        what: what is the matter with them, to follow "7 of 150 gate prompts".
    """
    met = sum(prompt in prompts for prompt in reports[0].prompt_ids)
    if not decision.promote or not met:
        return decision
    total = len(reports[0].prompt_ids)
    said = f"{met} of {total} gate prompts {what}"
    numbers = {**decision.numbers, guard: float(met)}
    outcome = "rolled back"
    if met < total:
        rest = gate(without(reports[0], prompts), without(reports[1], prompts), looks)
        if rest.promote:
            reason = f"{decision.reason}; {said}, and it stands without them"
            return dataclasses.replace(decision, numbers=numbers, reason=reason)
        outcome = f"without them {rest.reason}"
    return dataclasses.replace(
        decision,
        promote=False,
        numbers=numbers,
        failed_guards=(*decision.failed_guards, guard),
        reason=f"{decision.reason.removesuffix(': promoted')}, but {said}: {outcome}",
        hint=_HINTS.get(guard),
    )
