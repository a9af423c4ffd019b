"""A step in large operations against the model's own modules."""

import pytest
import torch
from runtime_models import gpt2, llama, make_tokenizer, save
from transformers import (
    AutoModelForCausalLM,
    MistralConfig,
    MistralForCausalLM,
    Qwen2Config,
    Qwen2ForCausalLM,
    Qwen3Config,
    Qwen3ForCausalLM,
)

from sharpen.runtime import adapters, weights
from sharpen.runtime.decoding import ModuleStep, TreeDecoder
from sharpen.runtime.fused_step import FusedStep, fastest_step

SIZES = {
    "vocab_size": 64,
    "hidden_size": 64,
    "intermediate_size": 96,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "head_dim": 16,
    "max_position_embeddings": 128,
    "initializer_range": 0.3,
}


def module(model, folder):
    """The model as the runtime loads it."""
    save(model, make_tokenizer(), folder)
    return weights.load_module(folder, folder, torch.device("cpu"))[0]


def sevens(model, step):
    """Logits of seven steps of five rows of two prompts, one row dropped and one prompt joined on the way."""
    decoder = TreeDecoder(model, step, (), prefill_tokens=64, max_length=128)
    found = []
    with torch.no_grad(), torch.autocast("cpu", dtype=torch.bfloat16):
        decoder.admit([(1, 2, 3), (3, 2, 1, 0, 2)], torch.tensor([0, 0, 1, 1]))
        for number in range(7):
            if number == 3:
                decoder.keep(torch.tensor([0, 2, 3]))
                decoder.admit([(5, 6)], torch.tensor([0, 0]))
            found.append(decoder.step(torch.arange(len(decoder.positions_R)) + number))
    return found


KINDS = {
    "llama": lambda: AutoModelForCausalLM,
    "mistral": lambda: MistralForCausalLM(MistralConfig(**SIZES, sliding_window=None)),
    "qwen2, with biases": lambda: Qwen2ForCausalLM(Qwen2Config(**SIZES)),
}


@pytest.fixture
def made(request, tmp_path):
    """A model of one kind, all of whose parameters are random, biases and norms too."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        if request.param == "llama":
            folder = llama(tmp_path / "llama")
            model = AutoModelForCausalLM.from_pretrained(folder)
        else:
            model = KINDS[request.param]()
        for parameter in model.parameters():
            if parameter.ndim == 1:
                parameter.data += 0.3 * torch.randn_like(parameter)
    return module(model, tmp_path / "model")


@pytest.mark.parametrize("made", KINDS, indirect=True)
def test_the_bits_are_those_of_the_modules(made):
    step = fastest_step(made, torch.bfloat16)
    assert isinstance(step, FusedStep)
    for found, wanted in zip(sevens(made, step), sevens(made, ModuleStep(made)), strict=True):
        assert torch.equal(found, wanted)


@pytest.mark.parametrize("made", ["llama"], indirect=True)
def test_float32_takes_the_modules(made):
    assert isinstance(fastest_step(made, torch.float32), ModuleStep)


@pytest.mark.parametrize("made", ["llama"], indirect=True)
def test_a_variant_that_computes_otherwise_takes_the_modules(made):
    for layer in made.model.layers:
        layer.mlp.act_fn = torch.nn.GELU()
    assert isinstance(fastest_step(made, torch.bfloat16), ModuleStep)


@pytest.mark.parametrize("made", ["llama"], indirect=True)
def test_adapters_take_the_modules_even_where_they_change_nothing_yet(made):
    assert isinstance(fastest_step(adapters.with_lora(made, 2, seed=0), torch.bfloat16), ModuleStep)


@pytest.mark.parametrize("made", ["llama"], indirect=True)
def test_a_product_that_rounds_otherwise_at_some_number_of_rows_takes_the_modules(made, monkeypatch):
    plain = torch.ops.mkldnn._linear_pointwise

    def odd(rows, *others):
        found = plain(rows, *others)
        return found * 1.01 if len(rows) == 100 else found

    monkeypatch.setattr(torch.ops.mkldnn, "_linear_pointwise", odd)
    assert isinstance(fastest_step(made, torch.bfloat16), ModuleStep)


def test_other_kinds_take_the_modules(tmp_path):
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        qwen3 = module(Qwen3ForCausalLM(Qwen3Config(**SIZES)), tmp_path / "qwen3")
    absolute = weights.load_module(gpt2(tmp_path / "gpt2"), tmp_path / "gpt2", torch.device("cpu"))[0]
    for model in (qwen3, absolute):
        assert isinstance(fastest_step(model, torch.bfloat16), ModuleStep)
