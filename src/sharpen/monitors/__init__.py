"""What people and guards watch each round, and the patterns that should worry them."""

from __future__ import annotations

from sharpen.monitors.alarms import Alarm, alarms
from sharpen.monitors.answers import answer_entropy, answer_statistics, answer_text
from sharpen.monitors.divergence import Divergence, kl_from_logprobs
from sharpen.monitors.effectiveness import reward_effectiveness
from sharpen.monitors.mismatch import Mismatch, mismatch
from sharpen.monitors.rounds import known_answers, monitors_and_answers, round_monitors

__all__ = [
    "Alarm",
    "Divergence",
    "Mismatch",
    "alarms",
    "answer_entropy",
    "answer_statistics",
    "answer_text",
    "kl_from_logprobs",
    "known_answers",
    "mismatch",
    "monitors_and_answers",
    "reward_effectiveness",
    "round_monitors",
]
