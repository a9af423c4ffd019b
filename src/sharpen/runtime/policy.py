"""A checkpoint of the torch runtime that answers: samples, log-probabilities, options, embeddings."""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch

from sharpen.examples import Row
from sharpen.protocols import Policy, Request, Sampling, TokenScores
from sharpen.runtime import weights
from sharpen.runtime.forward import encode_rows
from sharpen.runtime.generation import stream
from sharpen.runtime.packing import Encoded
from sharpen.types import Checkpoint, Completion, Prompt

if TYPE_CHECKING:
    from sharpen.runtime.torch_runtime import TorchRuntime

__all__ = ["TorchPolicy"]


@dataclass(frozen=True)
class TorchPolicy:
    """A checkpoint that answers, through its runtime."""

    runtime: TorchRuntime
    weights: Checkpoint

    @property
    def checkpoint(self) -> str:
        """Id of the weights."""
        return self.weights.id

    @property
    def rows_are_independent(self) -> bool:
        """Whether a completion is the same, to the bit, whatever runs with it."""
        return self.runtime.rows_are_independent(self.runtime.resident(self.weights).module)

    def follow_up(self, prompt: Prompt, completion: Completion, message: str) -> Completion:
        """The completion with a further turn of the user's behind it, to be gone on from."""
        return self.runtime.follow_up(prompt, completion, message)

    def appended(self, completion: Completion, text: str) -> Completion:
        """The completion with given text behind it in the same turn, to be trained on."""
        return self.runtime.appended(completion, text)

    def generate(self, requests: Sequence[Request], sampling: Sampling) -> Sequence[Completion]:
        """One completion per request, in order."""
        found = dict(self.stream(requests, sampling))
        return [found[place] for place in range(len(requests))]

    @torch.no_grad()
    def stream(
        self, requests: Sequence[Request], sampling: Sampling, *, lengths: Sequence[int] | None = None
    ) -> Iterator[tuple[int, Completion]]:
        """The place of a request and its completion, for one after another as they end; `lengths` as in `generation.stream`."""
        runtime = self.runtime
        resident = runtime.resident(self.weights)
        decoder = runtime.decoder(resident)
        with runtime.precision(), weights.cacheable_casts(resident.module):
            yield from stream(
                decoder,
                runtime.renderer,
                requests,
                sampling,
                checkpoint=self.weights.id,
                device=runtime.device,
                max_rows=runtime.rows_at_once(resident.module, sampling.max_new_tokens),
                max_prompt_tokens=runtime.prompt_tokens_at_once(resident.module),
                lengths=lengths,
            )

    def score(
        self,
        rows: Sequence[Row],
        *,
        entropies: bool = False,
        certainties: bool = False,
        at_sampling_temperature: bool = False,
    ) -> Sequence[TokenScores]:
        """Log-probabilities (nats) of each row's T completion tokens."""
        runtime = self.runtime
        encoded = encode_rows(rows, runtime.renderer, at_sampling_temperature=at_sampling_temperature)
        return self._score_encoded(encoded, entropies=entropies, certainties=certainties)

    def extrapolated(self, rows: Sequence[Row], away_from: Policy, share: float) -> Sequence[TokenScores]:
        """Log-probabilities under logits (1 + share) * own - share * the other's; both weights are in memory for it.

        Raises:
            TypeError: the other is not of this runtime.
        """
        if not isinstance(away_from, TorchPolicy) or away_from.runtime is not self.runtime:
            raise TypeError(
                f"logits of {self.checkpoint} cannot be moved away from a policy of another runtime; use one runtime"
            )
        encoded = encode_rows(rows, self.runtime.renderer, at_sampling_temperature=False)
        return self._score_encoded(encoded, entropies=False, away_from=(away_from.weights, share))

    @torch.no_grad()
    def _score_encoded(
        self,
        encoded: Sequence[Encoded],
        *,
        entropies: bool,
        certainties: bool = False,
        away_from: tuple[Checkpoint, float] | None = None,
    ) -> list[TokenScores]:
        runtime = self.runtime
        module = runtime.resident(self.weights).module
        forward, casts = runtime.forward_pass(module), [weights.cacheable_casts(module)]
        if away_from is not None:
            other = runtime.resident(away_from[0]).module
            forward = dataclasses.replace(forward, away_from=other, share=away_from[1])
            casts.append(weights.cacheable_casts(other))
        found: dict[int, TokenScores] = {}
        with contextlib.ExitStack() as contexts:
            contexts.enter_context(runtime.precision())
            for cast in casts:
                contexts.enter_context(cast)
            for places, scored in forward.in_passes(
                encoded,
                entropies=entropies,
                certainties=certainties,
                budget=runtime.scores_within,
                token_budget=runtime.token_budget,
            ):
                tables = {"logprobs": scored.logps, "entropies": scored.entropies, "certainties": scored.certainties}
                lists = {name: table.tolist() for name, table in tables.items() if table is not None}
                for number, place in enumerate(places):
                    length = len(encoded[place].completion_ids)
                    found[place] = TokenScores(**{name: tuple(lines[number][:length]) for name, lines in lists.items()})
        return [found[place] for place in range(len(encoded))]

    def options(self, prompts: Sequence[Prompt]) -> Sequence[tuple[float, ...]]:
        """For each prompt the summed log-probability (nats) of each option's tokens, stop token included.

        Raises:
            ValueError: a prompt has no options.
        """
        rows, runtime = [], self.runtime
        for prompt in prompts:
            if not prompt.options:
                raise ValueError(f"prompt {prompt.text[:60]!r} has no options; give it a closed set of labels")
            rows += [Row(prompt=prompt, completion=runtime.encode(prompt, option)) for option in prompt.options]
        sums = iter([sum(scores.logprobs) for scores in self.score(rows)])
        return [tuple(next(sums) for _ in prompt.options or ()) for prompt in prompts]

    @torch.no_grad()
    def embed(self, prompts: Sequence[Prompt]) -> Sequence[tuple[float, ...]]:
        """For each prompt the mean of its last hidden states.

        Raises:
            DataError: a prompt is longer than the model reads.
        """
        runtime = self.runtime
        module = runtime.resident(self.weights).module
        vectors = []
        with runtime.precision():
            for prompt in prompts:
                ids = runtime.renderer.prompt_ids(prompt)
                runtime.renderer.check_length(prompt, len(ids), 0)
                tokens = torch.tensor([ids], device=runtime.device)
                output = module(input_ids=tokens, use_cache=False, output_hidden_states=True, logits_to_keep=1)
                vectors.append(tuple(output.hidden_states[-1][0].float().mean(0).tolist()))
        return vectors
