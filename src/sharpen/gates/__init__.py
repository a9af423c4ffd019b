"""Accept or not: the paired gate and the guards beside its test."""

from __future__ import annotations

from sharpen.gates.coverage import CoverageKept
from sharpen.gates.guards import AbilityKept, AnswersStop, AnswersVary, Finding, Guard, LengthHolds
from sharpen.gates.paired import DEFAULT_GUARDS, PairedGate, paired_gate
from sharpen.gates.pairs import Comparison, Pairs, compare, paired_outcomes
from sharpen.gates.without import stands_without

__all__ = [
    "DEFAULT_GUARDS",
    "AbilityKept",
    "AnswersStop",
    "AnswersVary",
    "Comparison",
    "CoverageKept",
    "Finding",
    "Guard",
    "LengthHolds",
    "PairedGate",
    "Pairs",
    "compare",
    "paired_gate",
    "paired_outcomes",
    "stands_without",
]
