"""Tests, intervals and power for paired outcomes; numpy and the standard library only."""

from __future__ import annotations

from sharpen.stats.paired import bootstrap_interval, permutation_test
from sharpen.stats.passk import pass_at_k
from sharpen.stats.power import mcnemar_power, minimal_detectable_gain, prompts_needed
from sharpen.stats.proportions import Interval, mcnemar, paired_interval, wilson_interval

__all__ = [
    "Interval",
    "bootstrap_interval",
    "mcnemar",
    "mcnemar_power",
    "minimal_detectable_gain",
    "paired_interval",
    "pass_at_k",
    "permutation_test",
    "prompts_needed",
    "wilson_interval",
]
