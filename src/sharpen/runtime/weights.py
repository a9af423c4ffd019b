"""Modules in and out of files: safetensors only, nothing pickled; the devices and precisions there are."""

from __future__ import annotations

import contextlib
import hashlib
import json
import math
import shutil
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Literal

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file, load_model, save_file, save_model
from transformers import AutoConfig, AutoModelForCausalLM, AutoTokenizer, GenerationConfig
from transformers.utils import logging as transformers_logging

from sharpen.errors import ModelError
from sharpen.runtime.adapters import lora_rank, merged_state, trainable, with_lora
from sharpen.runtime.attention import ATTENTION
from sharpen.runtime.rendering import Renderer

__all__ = [
    "best_device",
    "best_dtype",
    "cacheable_casts",
    "count_parameters",
    "export_module",
    "file_digest",
    "head_is_plain",
    "load_module",
    "load_renderer",
    "new_module",
    "quiet",
    "save_module",
    "text_config",
]

_TOKENIZER_FILES = ("tokenizer.json", "tokenizer_config.json", "special_tokens_map.json", "chat_template.jinja", "vocab.json",
                    "merges.txt", "tokenizer.model", "added_tokens.json", "generation_config.json")  # fmt: skip
_NO_LIMIT = 10**8  # tokens; tokenizers that know no limit say 1e30


def best_device() -> str:
    """The fastest device here: cuda, mps, or cpu."""
    if torch.cuda.is_available():
        return "cuda"
    return "mps" if torch.backends.mps.is_available() else "cpu"


def best_dtype(device: torch.device) -> Literal["float32", "bfloat16"]:
    """bfloat16 where matrix products in it are clearly faster than in float32, else float32.

    On a CPU that is a fact of the processor where torch knows it, so that a loaded machine cannot change it; else it is measured.
    """
    if device.type == "cuda":
        return "bfloat16" if torch.cuda.is_bf16_supported() else "float32"
    if device.type != "cpu":
        return "float32"
    if torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported():
        return "bfloat16"
    seconds = {torch.float32: float("inf"), torch.bfloat16: float("inf")}
    for _ in range(10):
        for dtype in seconds:
            left, right = torch.ones(256, 512, dtype=dtype), torch.ones(512, 1024, dtype=dtype)
            start = time.perf_counter()
            left @ right
            seconds[dtype] = min(seconds[dtype], time.perf_counter() - start)
    return "bfloat16" if seconds[torch.bfloat16] < 0.8 * seconds[torch.float32] else "float32"


def text_config(folder: Path, *, remote_code: bool = False) -> Any:  # Any: transformers has no types
    """The configuration of the folder's language model; `remote_code` lets the folder's own Python code run.

    Raises:
        ModelError: it cannot be read.
    """
    try:
        return AutoConfig.from_pretrained(folder, trust_remote_code=remote_code, local_files_only=True).get_text_config()
    except _unreadable(remote_code) as error:
        raise ModelError(f"cannot read a configuration from {folder}: {error}") from error


def load_renderer(folder: Path, *, remote_code: bool = False) -> Renderer:
    """The folder's tokenizer with its stop tokens and context length; `remote_code` lets the folder's own Python code run.

    Raises:
        ModelError: the folder has no tokenizer, or names no stop token.
    """
    try:
        tokenizer = AutoTokenizer.from_pretrained(folder, trust_remote_code=remote_code, local_files_only=True)
        config = AutoConfig.from_pretrained(folder, trust_remote_code=remote_code, local_files_only=True).get_text_config()
    except _unreadable(remote_code) as error:
        raise ModelError(f"cannot read a tokenizer and configuration from {folder}: {error}") from error
    named: list[int] = []
    if (folder / "generation_config.json").exists():
        named += _ids(GenerationConfig.from_pretrained(folder).eos_token_id)
    named += _ids(tokenizer.eos_token_id) + _ids(config.eos_token_id)
    if not named:
        raise ModelError(f"the model in {folder} names no end-of-sequence token, so no answer could end; set eos_token_id")
    stop_ids = tuple(dict.fromkeys([*_ids(tokenizer.eos_token_id), *named]))
    return Renderer(tokenizer=tokenizer, stop_ids=stop_ids, max_length=_max_length(config, tokenizer, folder))


def _max_length(config: Any, tokenizer: Any, folder: Path) -> int:  # Any: transformers has no types
    """Positions that the model reads the same way whatever else is in the batch."""
    try:
        length = int(config.max_position_embeddings)
    except AttributeError:  # models without a position table name none
        length = int(tokenizer.model_max_length)
    if length > _NO_LIMIT:
        raise ModelError(f"the model in {folder} names no context length; set model_max_length in its tokenizer_config.json")
    rope = config.to_dict().get("rope_parameters") or {}
    for parameters in (rope, *(value for value in rope.values() if isinstance(value, dict))):
        if parameters.get("rope_type") == "longrope":  # its angles change with the longest row of a batch above this length
            length = min(length, int(parameters.get("original_max_position_embeddings", length)))
    return length


def _unreadable(remote_code: bool) -> tuple[type[Exception], ...]:
    """What reading a model folder may raise: anything, where the folder's own code runs."""
    return (Exception,) if remote_code else (OSError, ValueError, RuntimeError, SafetensorError)


def _ids(value: int | Sequence[int] | None) -> list[int]:
    if value is None:
        return []
    return [value] if isinstance(value, int) else list(value)


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """No progress bars of transformers: progress is the loop's to show."""
    shown = transformers_logging.is_progress_bar_enabled()
    transformers_logging.disable_progress_bar()
    try:
        yield
    finally:
        if shown:
            transformers_logging.enable_progress_bar()


@quiet()
def new_module(folder: Path, device: torch.device, *, remote_code: bool = False) -> Any:  # Any: a transformers causal LM
    """The model folder's weights as float32, in evaluation mode: dropout never acts, in training either.

    `remote_code` lets the folder's own Python code run.

    Raises:
        ModelError: the folder holds no whole safetensors of a causal language model. Pickles are never read.
    """
    if (folder / "adapter_config.json").exists():
        raise ModelError(f"{folder} holds a LoRA adapter, not a whole model; merge it into its base model first")
    try:
        module, facts = AutoModelForCausalLM.from_pretrained(
            folder,
            dtype=torch.float32,
            trust_remote_code=remote_code,
            use_safetensors=True,
            local_files_only=True,
            output_loading_info=True,
        )
    except _unreadable(remote_code) as error:
        raise ModelError(f"cannot load a causal language model from {folder}: {error}") from error
    if facts["missing_keys"]:  # transformers would go on with random numbers in their place
        raise ModelError(f"the weights in {folder} lack {sorted(facts['missing_keys'])[0]!r}; download the model again")
    if module.config._attn_implementation == "sdpa":  # else the model's attention is of a kind that ours is not
        module.set_attn_implementation(ATTENTION)
    return module.to(device).eval()


def load_module(
    base: Path, folder: Path, device: torch.device, *, remote_code: bool = False
) -> tuple[Any, torch.optim.AdamW | None]:
    """A saved checkpoint's module and, where it was saved, its optimiser.

    Raises:
        ModelError: a file is missing or damaged.
    """
    module = new_module(base, device, remote_code=remote_code)
    if folder == base:
        return module, None
    try:
        facts = json.loads((folder / "checkpoint.json").read_text("utf-8"))
        if facts["lora_rank"]:
            module = with_lora(module, facts["lora_rank"], 0)
        load_model(module, folder / "model.safetensors", device=str(device))
        if facts["optimizer"] is None:
            return module, None
        return module, _load_optimizer(module, folder, facts, device)
    except (OSError, ValueError, KeyError, RuntimeError, SafetensorError) as error:
        raise ModelError(f"checkpoint folder {folder} is missing or damaged ({error}); train it again") from error


def _load_optimizer(
    module: Any,  # Any: as above
    folder: Path,
    facts: dict[str, Any],  # Any: JSON
    device: torch.device,
) -> torch.optim.AdamW:
    parameters = trainable(module, lora=bool(facts["lora_rank"]))
    optimizer = torch.optim.AdamW(parameters, **facts["optimizer"])
    state = load_file(folder / "optimizer.safetensors", device=str(device))
    for number, parameter in enumerate(parameters):
        if f"{number}.step" in state:  # a parameter that never had a gradient has no state
            names = ("step", "exp_avg", "exp_avg_sq")
            optimizer.state[parameter] = {name: state[f"{number}.{name}"] for name in names}
    return optimizer


def save_module(module: Any, optimizer: torch.optim.AdamW | None, folder: Path) -> None:  # Any: as above
    """Write weights, and optimiser state where given, as safetensors with a small JSON beside them."""
    save_model(module, str(folder / "model.safetensors"))
    facts: dict[str, object] = {"lora_rank": lora_rank(module), "optimizer": None}
    if optimizer is not None:
        group = optimizer.param_groups[0]
        facts["optimizer"] = {name: group[name] for name in ("lr", "betas", "eps", "weight_decay", "fused")}
        tensors = {
            f"{number}.{name}": value.contiguous()
            for number, parameter in enumerate(group["params"])
            for name, value in optimizer.state.get(parameter, {}).items()
        }
        save_file(tensors, folder / "optimizer.safetensors")
    (folder / "checkpoint.json").write_text(json.dumps(facts), "utf-8")


@quiet()
def export_module(module: Any, base: Path, folder: Path, *, remote_code: bool = False) -> None:  # Any: as above
    """Write a plain transformers folder in float32: LoRA merged, tokenizer files and code of the model's own copied as they are."""
    clean = new_module(base, torch.device("cpu"), remote_code=remote_code)
    clean.load_state_dict({key: value.cpu() for key, value in merged_state(module).items()})
    clean.save_pretrained(folder)
    code = [path.name for path in base.glob("*.py")] if remote_code else []
    for name in (*_TOKENIZER_FILES, *code):
        if (base / name).exists():
            shutil.copyfile(base / name, folder / name)


@contextlib.contextmanager
def cacheable_casts(module: Any) -> Iterator[None]:  # Any: as above
    """Let autocast keep its bfloat16 copy of each weight over many forward passes: it does so for trainable leaves only."""
    frozen = [parameter for parameter in module.parameters() if not parameter.requires_grad]
    for parameter in frozen:
        parameter.requires_grad_(True)
    try:
        yield
    finally:
        for parameter in frozen:
            parameter.requires_grad_(False)


@torch.no_grad()
def head_is_plain(module: Any) -> bool:  # Any: as above
    """Whether logits are exactly a linear head of the last hidden state: models that scale or cap their logits say no."""
    if module.base_model is module or type(module.get_output_embeddings()) is not torch.nn.Linear:
        return False
    ids = torch.arange(4, device=next(module.parameters()).device)[None]
    hidden = module.base_model(input_ids=ids, use_cache=False).last_hidden_state
    return torch.equal(module.get_output_embeddings()(hidden), module(input_ids=ids, use_cache=False).logits)


def count_parameters(folder: Path) -> int:
    """Numbers in a folder's safetensors files, from their headers alone."""
    total = 0
    for path in folder.glob("*.safetensors"):
        with safe_open(path, framework="pt") as file:
            total += sum(math.prod(file.get_slice(name).get_shape()) for name in file.keys())  # noqa: SIM118  # no mapping
    return total


def file_digest(path: Path) -> str:
    """SHA-256 of a file, as hex digits."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
