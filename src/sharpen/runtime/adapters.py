"""LoRA adapters: put into a module, taken as the parameters to train, merged into the weights that they adapt."""

from __future__ import annotations

from typing import Any

import torch

from sharpen.errors import ModelError

__all__ = ["lora_rank", "merged_state", "trainable", "with_lora"]

_TRANSPOSED = "Conv1D"  # GPT-2's linear layers hold their weights transposed


def merged_state(module: Any) -> dict[str, torch.Tensor]:  # Any: a transformers causal LM
    """The state dict as the base model names it, with every LoRA update added to the weight that it adapts."""
    if lora_rank(module) is None:
        return dict(module.state_dict())
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
    """The module with LoRA adapters of that rank on every linear layer but the head (Hu et al. 2021, arXiv 2106.09685).

    Raises:
        ModelError: peft is not installed.
    """
    try:
        from peft import LoraConfig, inject_adapter_in_model
    except ImportError as error:
        raise ModelError("LoRA needs peft: pip install 'sharpen[lora]'") from error
    names, transposed = _linear_names(module), any(type(layer).__name__ == _TRANSPOSED for layer in module.modules())
    config = LoraConfig(r=rank, lora_alpha=2 * rank, target_modules=names, fan_in_fan_out=transposed)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed % 2**63)
        adapted = inject_adapter_in_model(config, module)
    return adapted.eval()


def _linear_names(module: Any) -> list[str]:  # Any: as above
    head = module.get_output_embeddings()
    return sorted(
        {name.rsplit(".", 1)[-1] for name, layer in module.named_modules() if _is_linear(layer) and layer is not head}
    )


def _is_linear(layer: torch.nn.Module) -> bool:
    return isinstance(layer, torch.nn.Linear) or type(layer).__name__ == _TRANSPOSED


def lora_rank(module: Any) -> int | None:  # Any: as above
    """The rank of the module's adapters, or None where it has none."""
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
