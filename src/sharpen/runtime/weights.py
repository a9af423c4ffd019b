"""Modules in and out of files: safetensors only, nothing pickled; LoRA; the devices and precisions there are."""

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
from safetensors import safe_open
from safetensors.torch import load_file, load_model, save_file, save_model
from transformers import AutoConfig, AutoModelForCausalLM, AutoTokenizer, GenerationConfig
from transformers.utils import logging as transformers_logging

from sharpen.errors import ModelError
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
    "save_module",
    "trainable",
    "with_lora",
]

_TOKENIZER_FILES = ("tokenizer.json", "tokenizer_config.json", "special_tokens_map.json", "chat_template.jinja", "vocab.json",
                    "merges.txt", "tokenizer.model", "added_tokens.json", "generation_config.json")  # fmt: skip
_LORA_LAYERS = "all-linear"


def best_device() -> str:
    """The fastest device here: cuda, mps, or cpu."""
    if torch.cuda.is_available():
        return "cuda"
    return "mps" if torch.backends.mps.is_available() else "cpu"


def best_dtype(device: torch.device) -> Literal["float32", "bfloat16"]:
    """bfloat16 where matrix products in it are clearly faster than in float32 (on a CPU: measured, 20 ms), else float32."""
    if device.type == "cuda":
        return "bfloat16" if torch.cuda.is_bf16_supported() else "float32"
    if device.type != "cpu":
        return "float32"
    seconds = {}
    for dtype in (torch.float32, torch.bfloat16):
        left, right = torch.ones(256, 512, dtype=dtype), torch.ones(512, 1024, dtype=dtype)
        left @ right
        best = float("inf")
        for _ in range(5):
            start = time.perf_counter()
            left @ right
            best = min(best, time.perf_counter() - start)
        seconds[dtype] = best
    return "bfloat16" if seconds[torch.bfloat16] < 0.8 * seconds[torch.float32] else "float32"


def load_renderer(folder: Path) -> Renderer:
    """The folder's tokenizer with its stop tokens and context length.

    Raises:
        ModelError: the folder has no tokenizer, or names no stop token.
    """
    try:
        tokenizer = AutoTokenizer.from_pretrained(folder, trust_remote_code=False)
        config = AutoConfig.from_pretrained(folder, trust_remote_code=False)
    except (OSError, ValueError) as error:
        raise ModelError(f"cannot read a tokenizer and configuration from {folder}: {error}") from error
    named: list[int] = []
    if (folder / "generation_config.json").exists():
        named += _ids(GenerationConfig.from_pretrained(folder).eos_token_id)
    named += _ids(tokenizer.eos_token_id) + _ids(config.eos_token_id)
    if not named:
        raise ModelError(f"the model in {folder} names no end-of-sequence token, so no answer could end; set eos_token_id")
    stop_ids = tuple(dict.fromkeys([*_ids(tokenizer.eos_token_id), *named]))
    return Renderer(tokenizer=tokenizer, stop_ids=stop_ids, max_length=int(config.max_position_embeddings))


def _ids(value: int | Sequence[int] | None) -> list[int]:
    if value is None:
        return []
    return [value] if isinstance(value, int) else list(value)


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """No progress bars of transformers: progress is the loop's to show."""
    transformers_logging.disable_progress_bar()
    try:
        yield
    finally:
        transformers_logging.enable_progress_bar()


@quiet()
def new_module(folder: Path, device: torch.device) -> Any:  # Any: a transformers causal LM
    """The model folder's weights as float32, in evaluation mode: dropout never acts, in training either."""
    try:
        module = AutoModelForCausalLM.from_pretrained(
            folder, dtype=torch.float32, trust_remote_code=False, use_safetensors=True, attn_implementation=ATTENTION
        )
    except (OSError, ValueError) as error:
        raise ModelError(f"cannot load a causal language model from {folder}: {error}") from error
    return module.to(device).eval()


def load_module(base: Path, folder: Path, device: torch.device) -> tuple[Any, torch.optim.AdamW | None]:
    """A saved checkpoint's module and, where it was saved, its optimiser."""
    module = new_module(base, device)
    if folder == base:
        return module, None
    facts = json.loads((folder / "checkpoint.json").read_text("utf-8"))
    if facts["lora_rank"]:
        module = with_lora(module, facts["lora_rank"], 0)
    load_model(module, folder / "model.safetensors", device=str(device))
    if facts["optimizer"] is None:
        return module, None
    parameters = trainable(module, lora=bool(facts["lora_rank"]))
    optimizer = torch.optim.AdamW(parameters, **facts["optimizer"])
    state = load_file(folder / "optimizer.safetensors", device=str(device))
    for number, parameter in enumerate(parameters):
        names = ("step", "exp_avg", "exp_avg_sq")
        if f"{number}.step" in state:
            optimizer.state[parameter] = {name: state[f"{number}.{name}"] for name in names}
    return module, optimizer


def save_module(module: Any, optimizer: torch.optim.AdamW | None, folder: Path) -> None:  # Any: as above
    """Write weights, and optimiser state where given, as safetensors with a small JSON beside them."""
    save_model(module, str(folder / "model.safetensors"))
    facts: dict[str, object] = {"lora_rank": _lora_rank(module), "optimizer": None}
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
def export_module(module: Any, base: Path, folder: Path) -> None:  # Any: as above
    """Write a plain transformers folder in float32: LoRA merged into the weights, tokenizer files copied as they are."""
    clean = new_module(base, torch.device("cpu"))
    state = _merged_state(module) if _lora_rank(module) else module.state_dict()
    clean.load_state_dict({key: value.cpu() for key, value in state.items()})
    clean.save_pretrained(folder)
    for name in _TOKENIZER_FILES:
        if (base / name).exists():
            shutil.copyfile(base / name, folder / name)


def _merged_state(module: Any) -> dict[str, torch.Tensor]:  # Any: as above
    """The state dict with every LoRA update added to the weight that it adapts."""
    state: dict[str, torch.Tensor] = {}
    updates = {
        f"{name}.weight": layer.get_delta_weight("default")
        for name, layer in module.named_modules()
        if name and isinstance(getattr(layer, "lora_A", None), torch.nn.ModuleDict)
    }
    for key, value in module.state_dict().items():
        if ".lora_" in key:
            continue
        plain = key.replace(".base_layer.", ".")
        state[plain] = value + updates[plain] if plain in updates else value
    return state


def with_lora(module: Any, rank: int, seed: int) -> Any:  # Any: as above
    """The module with LoRA adapters of that rank on every linear layer but the head, unless it has them.

    Raises:
        ModelError: peft is not installed.
    """
    if _lora_rank(module):
        return module
    try:
        from peft import LoraConfig, inject_adapter_in_model
    except ImportError as error:
        raise ModelError("LoRA needs peft: pip install 'sharpen[lora]'") from error
    names = _linear_names(module)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed % 2**63)
        adapted = inject_adapter_in_model(LoraConfig(r=rank, lora_alpha=2 * rank, target_modules=names), module)
    return adapted.eval()


def _linear_names(module: Any) -> list[str]:  # Any: as above
    head = module.get_output_embeddings()
    return sorted(
        {name.rsplit(".", 1)[-1] for name, layer in module.named_modules() if _is_linear(layer) and layer is not head}
    )


def _is_linear(layer: torch.nn.Module) -> bool:
    return isinstance(layer, torch.nn.Linear) or type(layer).__name__ == "Conv1D"  # GPT-2's linear layers


def _lora_rank(module: Any) -> int | None:  # Any: as above
    for name, value in module.named_parameters():
        if name.endswith("lora_A.default.weight"):
            return int(value.shape[0])
    return None


def trainable(module: Any, *, lora: bool) -> list[torch.nn.Parameter]:  # Any: as above
    """The parameters to train: the adapters, or all."""
    chosen = []
    for name, parameter in module.named_parameters():
        parameter.requires_grad_(not lora or ".lora_" in name)
        if parameter.requires_grad:
            chosen.append(parameter)
    return chosen


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
    """Whether logits are exactly head(last hidden state): models that scale or cap their logits say no."""
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
