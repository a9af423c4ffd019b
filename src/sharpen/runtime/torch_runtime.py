"""One device, one process: any Hugging Face causal language model on CPU, CUDA or MPS, with full weights or LoRA."""

from __future__ import annotations

import contextlib
import json
from collections import OrderedDict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import torch

from sharpen.digest import digest
from sharpen.errors import ModelError
from sharpen.identity import code_digest
from sharpen.protocols import Capability, Objective, Request, Sampling, TokenScores, Trained, Training
from sharpen.runtime import weights
from sharpen.runtime.forward import Encoded, Scored, encode_rows, forward_rows, micro_batches
from sharpen.runtime.generation import generate
from sharpen.runtime.rendering import Renderer
from sharpen.runtime.training import fit
from sharpen.types import Checkpoint, Completion, Example, Prompt, Row

__all__ = ["TorchPolicy", "TorchRuntime"]


@dataclass(kw_only=True)
class _Resident:
    """Weights in memory, with the optimiser that made them and where they are saved, if anywhere."""

    module: Any  # a transformers causal LM has no useful static type
    optimizer: torch.optim.AdamW | None = None
    uri: str | None = None


class TorchRuntime:
    """Sampling, scoring and training of one model family in this process.

    At most `max_resident` checkpoints stay in memory; those without a uri always do, as they exist nowhere else.
    """

    def __init__(
        self,
        folder: Path,
        *,
        base: str,
        device: str = "auto",
        dtype: Literal["auto", "float32", "bfloat16"] = "auto",
        threads: int | None = None,
        max_resident: int = 2,
    ) -> None:
        """Load the model's tokenizer; weights are read when first asked for.

        Args:
            folder: a Hugging Face model folder with safetensors weights.
            base: id of those weights.
            device: `cpu`, `cuda`, `mps`, or `auto` for the best there is.
            dtype: of matrix products; weights and optimiser state are always float32. `auto` takes bfloat16 where it is faster.
            threads: CPU threads; None leaves torch's choice. Recorded: they can change the last bits.
            max_resident: checkpoints in memory at most, beside unsaved ones.
        """
        if threads is not None:
            torch.set_num_threads(threads)
        self.folder = folder
        self.device = torch.device(weights.best_device() if device == "auto" else device)
        self.dtype = weights.best_dtype(self.device) if dtype == "auto" else dtype
        self.max_resident = max_resident
        self._base = Checkpoint(id=base, uri=str(folder))
        self.renderer: Renderer = weights.load_renderer(folder)
        self.max_rows = 64 if self.device.type == "cpu" else 256
        self.token_budget = 4096 if self.device.type == "cpu" else 16384
        self._residents: OrderedDict[str, _Resident] = OrderedDict()
        self._split_head: bool | None = None

    @property
    def base(self) -> Checkpoint:
        """The model that was loaded."""
        return self._base

    @property
    def block_size(self) -> int:
        """Twice the rows in flight: few enough that a kill costs little, enough that places are refilled."""
        return 2 * self.max_rows

    @property
    def num_parameters(self) -> int:
        """Weights of the model, read from the headers of its files."""
        return weights.count_parameters(self.folder)

    @property
    def max_length(self) -> int:
        """Tokens that prompt and answer may take together."""
        return self.renderer.max_length

    def encode(self, prompt: Prompt, text: str) -> Completion:
        """Foreign text as tokens, ended by the model's stop token."""
        return self.renderer.encode(prompt, text)

    def rendered(self, prompt: Prompt) -> str:
        """The prompt as text, exactly as the model will see it."""
        return self.renderer.rendered(prompt)

    def prompt_length(self, prompt: Prompt) -> int:
        """Tokens of the prompt as rendered."""
        return len(self.renderer.prompt_ids(prompt))

    @property
    def identity(self) -> Mapping[str, str | int]:
        """What can change numbers."""
        return {
            "runtime": "torch",
            "device": self.device.type,
            "dtype": self.dtype,
            "threads": torch.get_num_threads(),
            "max_rows": self.max_rows,
            "token_budget": self.token_budget,
            "template": self.renderer.template_digest,
            "code": code_digest(__name__),
        }

    @property
    def capabilities(self) -> frozenset[Capability]:
        """Everything; `chat` only with a chat template."""
        every: set[Capability] = {"generate", "score", "options", "embed", "train"}
        return frozenset(every | {"chat"}) if self.renderer.has_template else frozenset(every)

    def holds(self, checkpoint: str) -> bool:
        """Whether these weights are in memory."""
        return checkpoint in self._residents

    def load(self, checkpoint: Checkpoint) -> TorchPolicy:
        """The policy of a checkpoint; its weights are read at its first use.

        Raises:
            ModelError: it is neither in memory nor saved.
        """
        if not self.holds(checkpoint.id) and checkpoint.uri is None:
            raise ModelError(f"checkpoint {checkpoint.id} is neither in memory nor on disk; train it again")
        return TorchPolicy(self, checkpoint)

    def resident(self, checkpoint: Checkpoint) -> _Resident:
        """The weights in memory, read from disk where needed."""
        if checkpoint.id in self._residents:
            self._residents.move_to_end(checkpoint.id)
            return self._residents[checkpoint.id]
        if checkpoint.uri is None:
            raise ModelError(f"checkpoint {checkpoint.id} is neither in memory nor on disk; train it again")
        self._make_room()
        module, optimizer = weights.load_module(self.folder, Path(checkpoint.uri), self.device)
        self._residents[checkpoint.id] = _Resident(module=module, optimizer=optimizer, uri=checkpoint.uri)
        return self._residents[checkpoint.id]

    def _make_room(self) -> None:
        saved = [name for name, resident in self._residents.items() if resident.uri is not None]
        for name in saved[: max(0, len(self._residents) + 1 - self.max_resident)]:
            del self._residents[name]

    def train(
        self,
        start: Checkpoint,
        examples: Sequence[Example],
        objective: Objective[Any],  # Any: whatever kind of example these are
        training: Training,
        *,
        scored: Mapping[str, Sequence[tuple[float, ...]]],
        carried: bool,
        result: str,
        seed: int,
        progress: Callable[[int, int], None] | None = None,
    ) -> Trained:
        """Train `start` in place into `result`.

        Raises:
            DivergedError: the loss stopped being a number; `start` must then be loaded again.
        """
        resident = self.resident(start)
        del self._residents[start.id]
        module = weights.with_lora(resident.module, training.lora_rank, seed) if training.lora_rank else resident.module
        parameters = weights.trainable(module, lora=bool(training.lora_rank))
        optimizer = resident.optimizer if carried and resident.optimizer is not None else None
        if optimizer is None:
            optimizer = torch.optim.AdamW(
                parameters,
                lr=training.learning_rate,
                betas=training.betas,
                weight_decay=training.weight_decay,
                fused=self.device.type != "mps",
            )
        rows = [row for example in examples for row in example.rows]
        encoded = encode_rows(rows, self.renderer, at_sampling_temperature=objective.at_sampling_temperature)

        def forward(batch: Sequence[Encoded], entropies: bool) -> Scored:
            with self.precision():
                return forward_rows(module, batch, entropies=entropies, split_head=self.split_head(module))

        trained = fit(
            parameters,
            optimizer,
            forward,
            encoded,
            examples,
            objective,
            training,
            scored=scored,
            token_budget=training.token_budget or self.token_budget,
            seed=seed,
            progress=progress,
        )
        optimizer.zero_grad(set_to_none=True)
        self._residents[result] = _Resident(module=module, optimizer=optimizer)
        return trained

    def save(self, checkpoint: str, folder: Path, *, optimizer: bool) -> None:
        """Write the weights (and optimiser state) of a checkpoint in memory into an existing folder."""
        resident = self._residents[checkpoint]
        weights.save_module(resident.module, resident.optimizer if optimizer else None, folder)

    def saved(self, checkpoint: str, uri: str) -> None:
        """Note that a checkpoint in memory is safe on disk, so that it may be dropped."""
        if checkpoint in self._residents:
            self._residents[checkpoint].uri = uri

    def forget(self, checkpoint: str) -> None:
        """Drop these weights from memory, saved or not."""
        self._residents.pop(checkpoint, None)

    def export(self, checkpoint: Checkpoint, folder: Path) -> None:
        """Write a folder that plain transformers loads: LoRA merged, tokenizer and template beside the weights."""
        weights.export_module(self.resident(checkpoint).module, self.folder, folder)

    def average(self, shares: Mapping[str, float], result: str, checkpoints: Sequence[Checkpoint]) -> None:
        """Hold the weighted average of checkpoints under a new id."""
        by_id = {checkpoint.id: checkpoint for checkpoint in checkpoints}
        sums: dict[str, torch.Tensor] = {}
        for name, share in shares.items():
            for key, value in self.resident(by_id[name]).module.state_dict().items():
                sums[key] = sums[key] + share * value if key in sums else share * value
        self._make_room()
        module = weights.new_module(self.folder, self.device)
        module.load_state_dict(sums)
        self._residents[result] = _Resident(module=module)

    @contextlib.contextmanager
    def precision(self) -> Iterator[None]:
        """Matrix products in the runtime's dtype; everything else, and all sums, in float32."""
        if self.dtype == "float32":
            yield
        else:
            with torch.autocast(self.device.type, dtype=torch.bfloat16):
                yield

    def split_head(self, module: Any) -> bool:  # Any: a transformers causal LM
        """Whether the logits are exactly the head of the last hidden state; tested once on this model."""
        if self._split_head is None:
            self._split_head = weights.head_is_plain(module)
        return self._split_head


@dataclass(frozen=True)
class TorchPolicy:
    """A checkpoint that answers, through its runtime."""

    runtime: TorchRuntime
    weights: Checkpoint

    @property
    def checkpoint(self) -> str:
        """Id of the weights."""
        return self.weights.id

    def generate(self, requests: Sequence[Request], sampling: Sampling) -> Sequence[Completion]:
        """One completion per request, in order."""
        runtime = self.runtime
        for request in requests:
            runtime.renderer.check_length(request.prompt, sampling.max_new_tokens)
        module = runtime.resident(self.weights).module
        with runtime.precision(), weights.cacheable_casts(module):
            return generate(
                module,
                runtime.renderer,
                requests,
                sampling,
                checkpoint=self.weights.id,
                max_rows=runtime.max_rows,
                prefill_tokens=runtime.token_budget,
                cache_dtype=torch.bfloat16 if runtime.dtype == "bfloat16" and runtime.device.type != "cpu" else torch.float32,
            )

    def score(
        self, rows: Sequence[Row], *, entropies: bool = False, at_sampling_temperature: bool = False
    ) -> Sequence[TokenScores]:
        """Log-probabilities (nats) of each row's T completion tokens."""
        runtime = self.runtime
        encoded = encode_rows(rows, runtime.renderer, at_sampling_temperature=at_sampling_temperature)
        return self._score_encoded(encoded, entropies=entropies)

    @torch.no_grad()
    def _score_encoded(self, encoded: Sequence[Encoded], *, entropies: bool) -> list[TokenScores]:
        runtime = self.runtime
        module = runtime.resident(self.weights).module
        split_head = runtime.split_head(module)
        found: dict[int, TokenScores] = {}
        with runtime.precision(), weights.cacheable_casts(module):
            for places in micro_batches([len(row) for row in encoded], runtime.token_budget):
                rows = [encoded[place] for place in places]
                scored = forward_rows(module, rows, entropies=entropies, split_head=split_head)
                logps = scored.logps.tolist()
                spread = scored.entropies.tolist() if scored.entropies is not None else None
                for number, (place, row) in enumerate(zip(places, rows, strict=True)):
                    length = len(row.completion_ids)
                    found[place] = TokenScores(
                        logprobs=tuple(logps[number][:length]),
                        entropies=tuple(spread[number][:length]) if spread is not None else None,
                    )
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
        """For each prompt the mean of its last hidden states."""
        runtime = self.runtime
        module = runtime.resident(self.weights).module
        vectors = []
        with runtime.precision():
            for prompt in prompts:
                ids = torch.tensor([runtime.renderer.prompt_ids(prompt)], device=runtime.device)
                hidden = module.base_model(input_ids=ids, use_cache=False).last_hidden_state
                vectors.append(tuple(hidden[0].float().mean(0).tolist()))
        return vectors


def model_digest(folder: Path) -> str:
    """Id of a model folder's weights, configuration and tokenizer, for folders that no resolver has named."""
    files = sorted(path for path in folder.iterdir() if path.suffix in (".json", ".safetensors", ".txt", ".model", ".jinja"))
    return digest("model", json.dumps([[path.name, weights.file_digest(path)] for path in files]))
