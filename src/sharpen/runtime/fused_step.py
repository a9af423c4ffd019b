"""One token of every row through a Llama-like model in a few large operations: what its modules compute, to the same bits.

The modules of transformers take about 45 small operations a layer, and a copy of each weight into the processor's order at every
matrix product. Here the weights are put in that order once, products of the same input are one, and nothing is cast twice.

Shapes: R rows, H query heads, S key/value heads, D head width, V vocabulary entries.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch.nn.functional import silu

from sharpen.runtime.decoding import ModuleStep, Step, TreeDecoder
from sharpen.runtime.independence import COUNTS
from sharpen.runtime.tree_memory import TreeMemory

__all__ = ["FusedStep", "fastest_step"]

_KINDS = ("LlamaForCausalLM", "MistralForCausalLM", "Qwen2ForCausalLM")


class _Product:
    """Linear layers of one input as one matrix product, in bfloat16; [R, sum of their widths]."""

    def __init__(self, layers: Sequence[torch.nn.Linear]) -> None:
        if not all(type(layer) is torch.nn.Linear for layer in layers):
            raise TypeError("a layer with adapters is not its weight alone")
        weight = torch.cat([layer.weight.detach().to(torch.bfloat16) for layer in layers])
        self.weight = torch.ops.mkldnn._reorder_linear_weight(weight)
        biases = [layer.bias.detach().to(torch.bfloat16) for layer in layers if layer.bias is not None]
        self.bias = torch.cat(biases) if biases else None

    def __call__(self, input_RX: torch.Tensor) -> torch.Tensor:
        found: torch.Tensor = torch.ops.mkldnn._linear_pointwise(input_RX, self.weight, self.bias, "none", [], "")
        return found

    def equals(self, layers: Sequence[torch.nn.Linear]) -> bool:
        """Whether any number of rows gets the bits that many rows get from the layers themselves."""
        generator = torch.Generator().manual_seed(0)
        rows_NX = torch.randn((max(COUNTS), layers[0].in_features), generator=generator).to(torch.bfloat16)
        with torch.autocast("cpu", dtype=torch.bfloat16):
            wanted = torch.cat([layer(rows_NX) for layer in layers], -1)
        return all(torch.equal(self(rows_NX[-count:]), wanted[-count:]) for count in COUNTS)


class _Norm:
    """Root-mean-square norm of float32 rows, in bfloat16."""

    def __init__(self, module: Any) -> None:  # Any: a norm of transformers
        self.weight, self.epsilon = module.weight.detach(), module.variance_epsilon

    def __call__(self, rows_RX: torch.Tensor) -> torch.Tensor:
        scale_R1 = torch.mul(rows_RX, rows_RX).mean(-1, keepdim=True).add_(self.epsilon).rsqrt_()
        return (rows_RX * scale_R1).mul_(self.weight).to(torch.bfloat16)


class _Layer:
    """One layer's weights."""

    def __init__(self, layer: Any) -> None:  # Any: a decoder layer of transformers
        attention, mlp = layer.self_attn, layer.mlp
        self.before_attention, self.before_mlp = _Norm(layer.input_layernorm), _Norm(layer.post_attention_layernorm)
        self.queries_keys_values = _Product([attention.q_proj, attention.k_proj, attention.v_proj])
        self.attention_out = _Product([attention.o_proj])
        self.gate_up, self.down = _Product([mlp.gate_proj, mlp.up_proj]), _Product([mlp.down_proj])
        self.scale: float = attention.scaling


class FusedStep:
    """A copy of a model's weights as decoding steps read them; it does not follow their changes."""

    def __init__(self, model: Any) -> None:  # Any: a Llama-like causal LM of transformers
        """Copy the weights in bfloat16, in the processor's order."""
        body, config = model.model, model.config
        self.embedding, self.rotary = body.embed_tokens, body.rotary_emb
        self.layers = [_Layer(layer) for layer in body.layers]
        self.norm, self.head = _Norm(body.norm), _Product([model.lm_head])
        self.num_keys: int = config.num_key_value_heads
        self.num_queries: int = config.num_attention_heads
        self.width: int = body.layers[0].self_attn.head_dim

    def products_equal(self, model: Any) -> bool:  # Any: as above
        """Whether the products of the first layer, whose shapes are those of all, and of the head have the modules' bits."""
        first, attention, mlp = self.layers[0], model.model.layers[0].self_attn, model.model.layers[0].mlp
        pairs = [
            (first.queries_keys_values, [attention.q_proj, attention.k_proj, attention.v_proj]),
            (first.attention_out, [attention.o_proj]),
            (first.gate_up, [mlp.gate_proj, mlp.up_proj]),
            (first.down, [mlp.down_proj]),
            (self.head, [model.lm_head]),
        ]
        return all(product.equals(layers) for product, layers in pairs)

    def __call__(self, tokens_R: torch.Tensor, positions_R: torch.Tensor, memory: TreeMemory) -> torch.Tensor:
        """[R, V] logits after one token of each row, whose keys and values go to the memory."""
        with torch.autocast(tokens_R.device.type, enabled=False):
            hidden_RX = self.embedding(tokens_R)
            cos_R1D, sin_R1D = (values[0][:, None] for values in self.rotary(hidden_RX, positions_R[None]))
            half = self.width // 2
            sin_R1D = torch.cat([-sin_R1D[..., :half], sin_R1D[..., half:]], -1)  # so that halves need only change places
            turned = (self.num_queries + self.num_keys) * self.width
            for number, layer in enumerate(self.layers):
                made = layer.queries_keys_values(layer.before_attention(hidden_RX))
                straight_RHD = made[:, :turned].unflatten(1, (-1, self.width))
                swapped_RHD = torch.cat([straight_RHD[..., half:], straight_RHD[..., :half]], -1)
                turned_RHD = torch.mul(straight_RHD, cos_R1D).add_(torch.mul(swapped_RHD, sin_R1D))
                values_RSD = made[:, turned:].unflatten(1, (-1, self.width))
                memory.row_layers[number].write(turned_RHD[:, self.num_queries :].transpose(0, 1), values_RSD.transpose(0, 1))
                read_RHD = memory.attend(number, turned_RHD[: len(memory.owner_R), : self.num_queries], layer.scale)
                read_RX = read_RHD.to(torch.bfloat16).flatten(1).expand(len(tokens_R), -1)
                hidden_RX = layer.attention_out(read_RX).add(hidden_RX)
                gate_RX, up_RX = layer.gate_up(layer.before_mlp(hidden_RX)).chunk(2, -1)
                hidden_RX = layer.down(silu(gate_RX).mul_(up_RX)).add(hidden_RX)
            return self.head(self.norm(hidden_RX))


@torch.no_grad()
def fastest_step(model: Any, dtype: torch.dtype) -> Step:  # Any: a transformers causal LM
    """A `FusedStep` where there is one for the model and it gives the bits that the modules give; else a `ModuleStep`."""
    modules = ModuleStep(model)
    on_cpu = next(model.parameters()).device.type == "cpu"
    if type(model).__name__ not in _KINDS or dtype != torch.bfloat16 or not (on_cpu and torch.backends.mkldnn.is_available()):
        return modules
    try:
        fused = FusedStep(model)
        if not fused.products_equal(model):
            return modules
        found = _tried(model, fused)
    except (AttributeError, NotImplementedError, RuntimeError, TypeError):  # a variant of the kind, or torch without the kernel
        return modules
    return fused if torch.equal(found, _tried(model, modules)) else modules


def _tried(model: Any, step: Step) -> torch.Tensor:  # Any: as above
    """[2, 3, V] logits of two steps of three rows."""
    decoder = TreeDecoder(model, step, (), prefill_tokens=1024, max_length=1024)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        decoder.admit([(1, 2, 3), (3, 2, 1, 0, 2)], torch.tensor([0, 1, 1]))
        return torch.stack([decoder.step(torch.tensor(tokens)) for tokens in ((0, 1, 2), (3, 3, 1))])
