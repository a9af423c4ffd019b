"""A policy whose every answer is on file: asked again, it reads; killed half-way, it goes on at the next block.

Sampling runs in numbered blocks of fixed membership, each committed as a whole, because the last bits of a log-probability depend
on which rows run together. A kill loses at most the block in flight.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

from sharpen.digest import digest
from sharpen.errors import DamagedError
from sharpen.ledger import Ledger
from sharpen.protocols import Policy, Request, Runtime, Sampling, TokenScores
from sharpen.types import Completion, Prompt, Row

__all__ = ["FiledPolicy", "Scope"]

T = TypeVar("T")

_SCORE_BLOCK = 512


@dataclass(frozen=True, kw_only=True)
class Scope:
    """Where in a run a question is asked: for cost accounts and progress, in no key."""

    round: int
    step: str
    stage: str


@dataclass(frozen=True, kw_only=True)
class FiledPolicy:
    """A checkpoint behind the ledger; its weights are read only when something is not on file.

    Attributes:
        checkpoint: id of the weights.
        realise: makes the weights available (from memory, from disk, or by training them again) and returns the policy.
        on_block: called with (rows done, rows in all, tokens made) after each block.
    """

    checkpoint: str
    ledger: Ledger
    runtime: Runtime
    realise: Callable[[str], Policy]
    scope: Scope
    on_block: Callable[[int, int, int], None]

    def generate(self, requests: Sequence[Request], sampling: Sampling) -> Sequence[Completion]:
        """One completion per request, in order."""

        def run(block: Sequence[Request]) -> Sequence[Completion]:
            return self.realise(self.checkpoint).generate(block, sampling)

        def name(request: Request) -> object:
            return (request.prompt.id, request.index, request.seed, request.partial.id if request.partial else None)

        def tokens(block: Sequence[Request], made: Sequence[Completion]) -> int:
            before = sum(len(request.partial.token_ids) for request in block if request.partial)
            return sum(len(completion.token_ids) for completion in made) - before

        return self._blocks("generate", requests, name, sampling, run, tokens, self.runtime.block_size)

    def score(
        self, rows: Sequence[Row], *, entropies: bool = False, at_sampling_temperature: bool = False
    ) -> Sequence[TokenScores]:
        """Log-probabilities of each row's completion tokens."""

        def run(block: Sequence[Row]) -> Sequence[TokenScores]:
            policy = self.realise(self.checkpoint)
            return policy.score(block, entropies=entropies, at_sampling_temperature=at_sampling_temperature)

        def name(row: Row) -> object:
            return (row.prompt.id, row.completion.id, row.completion.temperature)

        def tokens(block: Sequence[Row], made: Sequence[TokenScores]) -> int:
            return sum(len(scores.logprobs) for scores in made)

        return self._blocks("score", rows, name, (entropies, at_sampling_temperature), run, tokens, _SCORE_BLOCK)

    def options(self, prompts: Sequence[Prompt]) -> Sequence[tuple[float, ...]]:
        """For each prompt the summed log-probability of each option."""

        def run(block: Sequence[Prompt]) -> Sequence[tuple[float, ...]]:
            return self.realise(self.checkpoint).options(block)

        return self._blocks("options", prompts, _prompt_name, None, run, _count, _SCORE_BLOCK)

    def embed(self, prompts: Sequence[Prompt]) -> Sequence[tuple[float, ...]]:
        """For each prompt the mean last hidden state."""

        def run(block: Sequence[Prompt]) -> Sequence[tuple[float, ...]]:
            return self.realise(self.checkpoint).embed(block)

        return self._blocks("embed", prompts, _prompt_name, None, run, _count, _SCORE_BLOCK)

    def _blocks(
        self,
        call: str,
        questions: Sequence[T],
        name: Callable[[T], object],
        parameters: object,
        run: Callable[[Sequence[T]], Sequence[Any]],  # Any: answers of this call's kind
        tokens: Callable[[Sequence[T], Sequence[Any]], int],
        size: int,
    ) -> list[Any]:
        answers: list[Any] = []
        made = 0
        for start in range(0, len(questions), size):
            block = questions[start : start + size]
            key = digest(call, self.checkpoint, parameters, [name(one) for one in block], self.runtime.identity)
            found = self._on_file(key)
            if found is None:
                began = time.perf_counter()
                found = list(run(block))
                count = tokens(block, found)
                made += count
                self.ledger.put(
                    "block",
                    key,
                    {
                        "call": call,
                        "checkpoint": self.checkpoint,
                        "round": self.scope.round,
                        "step": self.scope.step,
                        "stage": self.scope.stage,
                        "rows": len(block),
                        "tokens": count,
                        "seconds": time.perf_counter() - began,
                    },
                    found,
                )
            answers += found
            self.on_block(min(start + size, len(questions)), len(questions), made)
        return answers

    def _on_file(self, key: str) -> list[Any] | None:  # Any: as above
        entry = self.ledger.get("block", key)
        if entry is None:
            return None
        try:
            return self.ledger.items(entry)
        except DamagedError:
            return None  # withdrawn and recorded by the ledger; made again now


def _prompt_name(prompt: Prompt) -> object:
    return prompt.id


def _count(block: Sequence[Prompt], made: Sequence[object]) -> int:
    return len(made)
