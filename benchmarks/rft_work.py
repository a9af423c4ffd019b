"""A run of RFT to a held-out accuracy: what is to be done, what a side tells of it, and the interface of a side."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from sharpen.protocols import Verifier
from sharpen.types import Prompt

__all__ = ["PHASES", "Demonstrated", "RftRound", "RftRun", "RftSide", "RftWork"]

PHASES = ("sample", "select", "train", "evaluate")


@dataclass(frozen=True, kw_only=True)
class RftWork:
    """The same for every side.

    Attributes:
        train: prompts of all rounds; each is used once, `num_prompts` a round.
        held_out: prompts that accuracy is measured on, by greedy answers.
        target: the held-out accuracy at which the run ends, in [0, 1].
        max_rounds: rounds after which it ends in any case.
        max_per_prompt: right, finished, distinct answers kept a prompt, shortest first.
        learning_rate: peak of AdamW; it rises over a tenth of a round's steps and falls to 0. State begins anew each round.
        batch_size: examples a step.
    """

    train: tuple[Prompt, ...]
    held_out: tuple[Prompt, ...]
    verifier: Verifier
    target: float
    max_rounds: int
    num_prompts: int
    num_samples: int
    max_new_tokens: int
    temperature: float = 0.8
    max_per_prompt: int = 1
    learning_rate: float = 5e-5
    epochs: int = 3
    batch_size: int = 16


@dataclass(frozen=True, kw_only=True)
class RftRound:
    """One round.

    Attributes:
        seconds: by phase of `PHASES`; verifying is part of `select`.
        ended_s: from the start of the run to the accuracy after this round.
        examples: answers that were trained on.
        accuracy: on the held-out prompts after it.
    """

    seconds: dict[str, float]
    ended_s: float
    sampled: int
    sampled_tokens: int
    examples: int
    accuracy: float


@dataclass(frozen=True, kw_only=True)
class RftRun:
    """Rounds up to the target or the last; the base model's accuracy is measured too, within the time."""

    base: float
    rounds: tuple[RftRound, ...]
    peak_bytes: int

    def seconds_to(self, target: float) -> float | None:
        """From the start to a held-out accuracy of at least that; None where it was not reached."""
        return next((one.ended_s for one in self.rounds if one.accuracy >= target), None)


@dataclass(frozen=True, kw_only=True)
class Demonstrated:
    """Examples as token ids, so that both sides can take the same step."""

    prompt_ids: tuple[tuple[int, ...], ...]
    completion_ids: tuple[tuple[int, ...], ...]
    prompts: tuple[Prompt, ...]


class RftSide(Protocol):
    """Somebody's way to do it."""

    def warm(self, work: RftWork) -> None:
        """Load the weights and answer a few prompts."""
        ...

    def run(self, work: RftWork, seed: int) -> RftRun:
        """From the base model to the target."""
        ...

    def gradient(self, examples: Demonstrated, work: RftWork, path: Path) -> None:
        """Write the gradient of a step on these examples, unclipped."""
        ...


def shares(work: RftWork) -> list[Sequence[Prompt]]:
    """The prompts of each round."""
    return [work.train[start : start + work.num_prompts] for start in range(0, len(work.train), work.num_prompts)]
