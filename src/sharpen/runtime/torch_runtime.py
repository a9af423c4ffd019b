"""One device, one process: any Hugging Face causal language model on CPU, CUDA or MPS, with full weights or LoRA."""

from __future__ import annotations

import contextlib
import copy
import dataclasses
import functools
import json
from collections import OrderedDict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import torch

from sharpen.digest import digest
from sharpen.errors import ModelError
from sharpen.examples import Example
from sharpen.identity import code_digest
from sharpen.protocols import Capability, Objective, Trained, Training
from sharpen.runtime import adapters, weights
from sharpen.runtime.budget import Budget
from sharpen.runtime.decoding import Decoder, ModuleStep, PaddedDecoder, Step, TreeDecoder, check_decoding
from sharpen.runtime.forward import ForwardPass, encode_rows, packs_exactly
from sharpen.runtime.freed_memory import give_back_freed_memory, keep_freed_memory
from sharpen.runtime.fused_step import fastest_step
from sharpen.runtime.independence import rows_are_independent
from sharpen.runtime.policy import TorchPolicy
from sharpen.runtime.rendering import Renderer
from sharpen.runtime.training import check_columns, fit, optimizer_for
from sharpen.runtime.tree_memory import tail_bytes, with_room
from sharpen.shares import check_shares
from sharpen.types import Checkpoint, Completion, Prompt

__all__ = ["TorchPolicy", "TorchRuntime"]

_TAIL_BYTES = 2**32
_PROMPT_BYTES = 2**31


@dataclass(kw_only=True)
class _Resident:
    """Weights in memory, with the optimiser that made them, where they are saved, if anywhere, and how they decode."""

    module: Any  # a transformers causal LM has no useful static type
    optimizer: torch.optim.AdamW | None = None
    uri: str | None = None
    step: Step | None = None


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
        remote_code: bool = False,
    ) -> None:
        """Load the model's tokenizer; weights are read when first asked for.

        Args:
            folder: a Hugging Face model folder with safetensors weights.
            base: id of those weights.
            device: `cpu`, `cuda`, `mps`, or `auto` for the best there is.
            dtype: of matrix products; weights and optimiser state are always float32. `auto` takes bfloat16 where it is faster.
            threads: CPU threads; None leaves torch's choice. Recorded: they can change the last bits.
            max_resident: checkpoints in memory at most, beside unsaved ones.
            remote_code: let Python code of the folder's own run.
        """
        if threads is not None:
            torch.set_num_threads(threads)
        self.folder = folder
        self.remote_code = remote_code
        self.device = torch.device(weights.best_device() if device == "auto" else device)
        self.dtype = weights.best_dtype(self.device) if dtype == "auto" else dtype
        if self.device.type == "cpu":
            keep_freed_memory()
        self.max_resident = max_resident
        self._base = Checkpoint(id=base, uri=str(folder))
        self.renderer: Renderer = weights.load_renderer(folder, remote_code=remote_code)
        self.max_rows = 128 if self.device.type == "cpu" else 256
        self.token_budget = 4096 if self.device.type == "cpu" else 16384
        self.recompute = False
        """Whether training works activations out again in the backward pass; the plan of memory says so."""
        self.scores_within = Budget(doing="scoring")
        self._trains_within = Budget(doing="training")
        self._residents: OrderedDict[str, _Resident] = OrderedDict()
        self._forward: ForwardPass | None = None
        self._independent: bool | None = None
        self._decodes = False
        self._uris: dict[str, str] = {}

    @property
    def base(self) -> Checkpoint:
        """The model that was loaded."""
        return self._base

    @property
    def block_size(self) -> int:
        """The rows in flight, where blocks are only filed together; else twice as many, so that places are refilled."""
        streams = self.dtype == "bfloat16" and self.device.type == "cpu"
        return self.max_rows if streams else 2 * self.max_rows

    @property
    def pass_tokens(self) -> int:
        """Tokens of a training pass at most, where the training does not say: activations are kept for the backward pass."""
        return self.token_budget // 2

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

    def follow_up(self, prompt: Prompt, completion: Completion, message: str) -> Completion:
        """The completion with a further turn of the user's behind it."""
        return self.renderer.follow_up(prompt, completion, message)

    def appended(self, completion: Completion, text: str) -> Completion:
        """The completion with given text behind it in the same turn, to be trained on."""
        return self.renderer.appended(completion, text)

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
        every: set[Capability] = {"generate", "score", "options", "embed", "train", "logprobs", "continue"}
        return frozenset(every | {"chat"}) if self.renderer.has_template else frozenset(every)

    def holds(self, checkpoint: str) -> bool:
        """Whether these weights are in memory."""
        return checkpoint in self._residents

    def load(self, checkpoint: Checkpoint) -> TorchPolicy:
        """The policy of a checkpoint; its weights are read at its first use.

        Raises:
            ModelError: it is neither in memory nor saved.
        """
        if not self.holds(checkpoint.id):
            self._uri(checkpoint)
        return TorchPolicy(self, checkpoint)

    def _uri(self, checkpoint: Checkpoint) -> str:
        uri = checkpoint.uri or self._uris.get(checkpoint.id)
        if uri is None:
            raise ModelError(f"checkpoint {checkpoint.id} is neither in memory nor on disk; train it again")
        return uri

    def resident(self, checkpoint: Checkpoint) -> _Resident:
        """The weights in memory, read from disk where needed: where every call of sampling, scoring and training begins."""
        if self.device.type == "cpu":
            give_back_freed_memory()
        if checkpoint.id in self._residents:
            self._residents.move_to_end(checkpoint.id)
            return self._residents[checkpoint.id]
        uri = self._uri(checkpoint)
        self._make_room()
        module, optimizer = weights.load_module(self.folder, Path(uri), self.device, remote_code=self.remote_code)
        self._residents[checkpoint.id] = _Resident(module=module, optimizer=optimizer, uri=uri)
        self._uris[checkpoint.id] = uri
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
        keep_start: bool = False,
        progress: Callable[[int, int], None] | None = None,
    ) -> Trained:
        """Train `start` in place into `result`, or a copy of it where it is still needed and lies nowhere on disk.

        Raises:
            CapacityError: a single example does not fit in memory; `start` must then be loaded again.
            DataError: a row does not fit the model's context.
            DivergedError: the loss stopped being a number; `start` must then be loaded again.
            MismatchError: sampler and trainer disagree about what `start` sampled; `start` must then be loaded again.
            ValueError: there are no examples, a row has no tokens, a column is missing or does not match its row, the objective
                refuses an example, or the adapters differ in rank.
        """
        if not examples:
            raise ValueError("there are no examples to train on; select some, or skip the step")
        rows = [row for example in examples for row in example.rows]
        encoded = encode_rows(rows, self.renderer, at_sampling_temperature=objective.at_sampling_temperature)
        check_columns(rows, objective.columns, scored)
        objective.counts(examples)  # an example that it refuses is refused before any weight changes
        resident = self.resident(start)
        resident.step = None  # a copy of weights that are about to change
        rank = adapters.lora_rank(resident.module)
        if rank is not None and rank != training.lora_rank:
            raise ValueError(
                f"lora_rank is {training.lora_rank}, but checkpoint {start.id} has adapters of rank {rank}; "
                "train with that rank, or start from a checkpoint of full weights"
            )
        forward = self.forward_pass(resident.module)
        module, kept = resident.module, None
        if keep_start and resident.uri is None:
            copied, state = copy.deepcopy((resident.module, resident.optimizer))  # together: the state is by parameter
            kept = _Resident(module=copied, optimizer=state)
        if training.lora_rank and rank is None:
            module = adapters.with_lora(module, training.lora_rank, seed)
        del self._residents[start.id]  # from here on these are no longer its weights
        if kept is not None:
            self._residents[start.id] = kept
        parameters = adapters.trainable(module, lora=bool(training.lora_rank))
        optimizer = optimizer_for(parameters, training, carried=resident.optimizer if carried else None)

        trained = fit(
            parameters,
            optimizer,
            dataclasses.replace(forward, model=module, recompute=self.recompute),
            encoded,
            examples,
            objective,
            training,
            scored=scored,
            budget=self._trains_within,
            start=start.id,
            token_budget=training.token_budget or self.pass_tokens,
            seed=seed,
            progress=progress,
        )
        optimizer.zero_grad(set_to_none=True)
        self._residents[result] = _Resident(module=module, optimizer=optimizer)
        self._uris.pop(result, None)
        return trained

    def save(self, checkpoint: str, folder: Path, *, optimizer: bool) -> None:
        """Write the weights (and optimiser state) of a checkpoint in memory into an existing folder."""
        resident = self._residents[checkpoint]
        weights.save_module(resident.module, resident.optimizer if optimizer else None, folder)

    def saved(self, checkpoint: str, uri: str) -> None:
        """Note that a checkpoint in memory is safe on disk, so that it may be dropped."""
        self._uris[checkpoint] = uri
        if checkpoint in self._residents:
            self._residents[checkpoint].uri = uri

    def forget(self, checkpoint: str) -> None:
        """Drop these weights from memory, saved or not."""
        self._residents.pop(checkpoint, None)

    def export(self, checkpoint: Checkpoint, folder: Path) -> None:
        """Write a folder that plain transformers loads: LoRA merged, tokenizer and template beside the weights."""
        weights.export_module(self.resident(checkpoint).module, self.folder, folder, remote_code=self.remote_code)

    def average(self, shares: Mapping[str, float], result: str, available: Callable[[str], Checkpoint]) -> None:
        """Hold the weighted average of checkpoints under a new id, adapters merged.

        Raises:
            ValueError: there are no shares, or they do not add up to 1.
        """
        check_shares(shares)
        sums: dict[str, torch.Tensor] = {}
        for name, share in shares.items():
            for key, value in adapters.merged_state(self.resident(available(name)).module).items():
                sums[key] = sums[key] + share * value if key in sums else share * value
        self._make_room()
        module = weights.new_module(self.folder, self.device, remote_code=self.remote_code)
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

    def forward_pass(self, module: Any) -> ForwardPass:  # Any: a transformers causal LM
        """How this model runs over rows; tested once on it."""
        if self._forward is None:
            split_head = weights.head_is_plain(module)
            packed = packs_exactly(module, split_head=split_head)
            dtype = torch.bfloat16 if self.dtype == "bfloat16" else torch.float32
            self._forward = ForwardPass(model=module, split_head=split_head, packed=packed, dtype=dtype)
        return dataclasses.replace(self._forward, model=module)

    def rows_are_independent(self, module: Any) -> bool:  # Any: as above
        """Whether what this model says of a row is the same, to the bit, whatever runs with it; tried once on it."""
        if self._independent is None:
            forward = self.forward_pass(module)
            self._independent = forward.packed and rows_are_independent(module, forward.dtype)
        return self._independent

    def rows_at_once(self, module: Any, max_new_tokens: int) -> int:  # Any: as above
        """Rows in flight: `max_rows`; fewer on a CPU where what they may draw would take more than 4 GiB of key/value memory."""
        if self.device.type != "cpu":
            return self.max_rows
        column = self._column_bytes(module.config.get_text_config())
        return max(1, min(self.max_rows, _TAIL_BYTES // (column * with_room(max_new_tokens))))

    def prompt_tokens_at_once(self, module: Any) -> int | None:  # Any: as above
        """Tokens of prompts in key/value memory at most, where not all prompts have them: on a CPU they take 2 GiB. None for no limit, as
        for models whose attention is their own: each row has a copy of its prompt there.
        """
        if self.device.type != "cpu" or not self.forward_pass(module).packed:
            return None
        return _PROMPT_BYTES // self._column_bytes(module.config.get_text_config())

    def sampling_bytes(self, max_new_tokens: int) -> int:
        """Key/value memory of sampling at most, on a CPU and where attention is not the model's own; 0 where nothing can be told."""
        config = weights.text_config(self.folder, remote_code=self.remote_code)
        if self.device.type != "cpu" or getattr(config, "num_attention_heads", None) is None:
            return 0
        column = self._column_bytes(config)
        prompts = min(_PROMPT_BYTES, self.max_rows * self.max_length * column)
        return prompts + min(_TAIL_BYTES, self.max_rows * with_room(max_new_tokens) * column)

    def _column_bytes(self, config: Any) -> int:  # Any: as above
        return tail_bytes(config, 8 if self.dtype == "bfloat16" else 4)

    def decoder(self, resident: _Resident) -> Callable[[tuple[int, ...]], Decoder]:
        """What makes decoders of these weights; tested once on the model.

        Raises:
            ModelError: it cannot be sampled with rows that come and go.
        """
        module, length, budget = resident.module, self.renderer.max_length, self.token_budget
        dtype = torch.bfloat16 if self.dtype == "bfloat16" and self.device.type != "cpu" else torch.float32
        forward = self.forward_pass(module)

        def make(root: tuple[int, ...], step: Step) -> Decoder:
            if forward.packed:
                return TreeDecoder(module, step, root, budget, length)
            return PaddedDecoder(module, budget, length, dtype)

        if not self._decodes:
            check_decoding(module, functools.partial(make, step=ModuleStep(module)))
            self._decodes = True
        if resident.step is None:
            resident.step = fastest_step(module, forward.dtype) if forward.packed else ModuleStep(module)
        return functools.partial(make, step=resident.step)


def model_digest(folder: Path) -> str:
    """Id of a model folder's weights, configuration and tokenizer, for folders that no resolver has named."""
    files = sorted(path for path in folder.iterdir() if path.suffix in (".json", ".safetensors", ".txt", ".model", ".jinja"))
    return digest("model", json.dumps([[path.name, weights.file_digest(path)] for path in files]))
