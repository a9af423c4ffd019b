"""Weights in and out of files: nothing pickled, nothing lost, nothing half read, and an export that plain transformers loads."""

import ast
import dataclasses
import json
import pickle
import shutil
import sys
from pathlib import Path

import pytest
import torch
import transformers
from runtime_models import (
    CHARACTERS,
    END,
    gpt2,
    held,
    largest_difference,
    llama,
    logprobs,
    make_tokenizer,
    requests,
    rows_of,
    runtime,
    same_weights,
    sample,
    save,
    train,
    weights_of,
    words,
)
from safetensors import safe_open
from safetensors.torch import load_file, save_file

import sharpen
from sharpen.capacity import shape_of
from sharpen.errors import ModelError
from sharpen.examples import Demonstration, Row
from sharpen.loading import load_model
from sharpen.objectives import NLL
from sharpen.runtime import weights
from sharpen.runtime.torch_runtime import TorchRuntime, model_digest
from sharpen.types import Checkpoint

PROMPTS = words("a", "hello world", "q" * 30, "Why?")


def teach(rt, text, **how):
    examples = [Demonstration(row=Row(prompt=prompt, completion=rt.encode(prompt, text))) for prompt in PROMPTS]
    return train(rt, examples, NLL(), **{"learning_rate": 1e-2, "epochs": 3, **how})


def on_disk(rt, name, folder):
    folder.mkdir()
    rt.save(name, folder, optimizer=True)
    return Checkpoint(id=name, uri=str(folder))


@pytest.mark.parametrize("lora_rank", [None, 3])
def test_a_saved_checkpoint_is_the_checkpoint(tmp_path, folder, lora_rank):
    rt = runtime(folder)
    teach(rt, "yes", lora_rank=lora_rank)
    saved = on_disk(rt, "trained", tmp_path / "saved")
    there = runtime(folder)
    assert same_weights(weights_of(there, saved), weights_of(rt, held("trained")))
    asked = requests(PROMPTS, 2)
    assert sample(there, asked, saved) == sample(rt, asked, held("trained"))
    assert {path.suffix for path in (tmp_path / "saved").iterdir()} == {".safetensors", ".json"}


def test_a_checkpoint_saved_without_its_optimiser_starts_afresh(tmp_path, rt):
    teach(rt, "yes")
    (tmp_path / "bare").mkdir()
    rt.save("trained", tmp_path / "bare", optimizer=False)
    assert not (tmp_path / "bare" / "optimizer.safetensors").exists()
    bare = Checkpoint(id="bare", uri=str(tmp_path / "bare"))
    teach(rt, "no", start=bare, carried=True, result="left")
    teach(rt, "no", start=bare, carried=False, result="right")
    assert same_weights(weights_of(rt, held("left")), weights_of(rt, held("right")))


@pytest.mark.parametrize("lora_rank", [None, 3])
def test_plain_transformers_loads_an_export_and_answers_alike(tmp_path, folder, lora_rank):
    rt = runtime(folder)
    teach(rt, "yes", epochs=1, lora_rank=lora_rank)
    rt.export(held("trained"), tmp_path / "out")
    model = transformers.AutoModelForCausalLM.from_pretrained(tmp_path / "out").eval()
    tokenizer = transformers.AutoTokenizer.from_pretrained(tmp_path / "out")
    assert model.dtype == torch.float32
    assert "sharpen" not in (tmp_path / "out" / "config.json").read_text()
    for prompt, made in zip(PROMPTS, sample(rt, requests(PROMPTS), held("trained"), temperature=0), strict=True):
        ids = tokenizer.apply_chat_template(
            [{"role": "user", "content": prompt.text}], add_generation_prompt=True, return_tensors="pt"
        )["input_ids"]
        assert ids[0].tolist() == rt.renderer.prompt_ids(prompt)
        answer = model.generate(ids, attention_mask=torch.ones_like(ids), do_sample=False, max_new_tokens=12, pad_token_id=END)
        assert answer[0, ids.shape[1] :].tolist() == list(made.token_ids)
        with torch.no_grad():
            logps = model(torch.cat([ids, torch.tensor([made.token_ids])], 1)).logits[0].log_softmax(-1)
        wanted = [logps[ids.shape[1] - 1 + t, token].item() for t, token in enumerate(made.token_ids)]
        row = Row(prompt=prompt, completion=made)
        assert logprobs(rt, [row], held("trained"))[0] == pytest.approx(wanted, abs=1e-4)


def test_the_base_can_be_read_again_after_it_was_trained_in_place(rt):
    before = weights_of(rt, rt.base)
    teach(rt, "yes")
    assert not rt.holds("base")
    assert same_weights(weights_of(rt, rt.base), before)
    assert not same_weights(weights_of(rt, held("trained")), before)


def test_eviction_never_loses_what_is_nowhere_on_disk(tmp_path, folder):
    rt = runtime(folder, max_resident=1)
    teach(rt, "yes", result="unsaved")
    unsaved = weights_of(rt, held("unsaved"))
    teach(rt, "no", result="saved")
    saved = on_disk(rt, "saved", tmp_path / "saved")
    rt.saved("saved", saved.uri)
    wanted = weights_of(rt, held("saved"))
    policy = rt.load(held("saved"))  # a handle without a uri, taken while the weights were in memory
    sample(rt, requests(PROMPTS))  # the base takes the place of what can be read again
    assert (rt.holds("base"), rt.holds("saved"), rt.holds("unsaved")) == (True, False, True)
    assert same_weights(weights_of(rt, held("unsaved")), unsaved)
    assert len(policy.embed(PROMPTS)) == len(PROMPTS)
    assert same_weights(weights_of(rt, held("saved")), wanted)
    assert not rt.holds("base")


def test_the_least_recently_used_goes_first(tmp_path, folder):
    rt = runtime(folder, max_resident=2)
    checkpoints = []
    for name in ("one", "two", "three"):
        teach(rt, name, epochs=1, result=name)
        checkpoints.append(on_disk(rt, name, tmp_path / name))
        rt.forget(name)
    one, two, three = checkpoints
    for checkpoint in (one, two, one, three):
        logprobs(rt, rows_of(requests(PROMPTS[:1]), sample(rt, requests(PROMPTS[:1]), checkpoint)), checkpoint)
    assert [rt.holds(checkpoint.id) for checkpoint in checkpoints] == [True, False, True]


def test_forgotten_weights_are_gone(rt):
    teach(rt, "yes")
    rt.forget("trained")
    rt.forget("trained")
    assert not rt.holds("trained")
    with pytest.raises(ModelError, match="neither in memory nor on disk"):
        rt.load(held("trained"))


@pytest.mark.parametrize("lora_rank", [None, 3])
def test_an_average_lies_between_its_checkpoints(folder, lora_rank):
    rt = runtime(folder)
    teach(rt, "yes", lora_rank=lora_rank, result="left")
    teach(rt, "no", result="right")
    before = {name: weights_of(rt, one) for name, one in (("base", rt.base), ("right", held("right")))}
    rt.average({"base": 0.25, "right": 0.75}, "mixed", available(rt))
    mixed = weights_of(rt, held("mixed"))
    for name, value in mixed.items():
        assert torch.allclose(value, 0.25 * before["base"][name] + 0.75 * before["right"][name], atol=1e-6)
    rt.average({"left": 1.0}, "alone", available(rt))  # adapters are merged
    rows = rows_of(requests(PROMPTS), sample(rt, requests(PROMPTS)))
    assert largest_difference(logprobs(rt, rows, held("alone")), logprobs(rt, rows, held("left"))) < 1e-4
    assert rt.holds("left")
    for shares, problem in (({}, "add up to 0"), ({"base": 0.5}, "add up to 0.5"), ({"base": float("nan")}, "add up to nan")):
        with pytest.raises(ValueError, match=problem):
            rt.average(shares, "wrong", available(rt))


def available(rt):
    return lambda name: rt.base if name == rt.base.id else held(name)


class Evil:
    """Runs code where it is unpickled."""

    def __init__(self, witness):
        self.witness = witness

    def __reduce__(self):
        return Path.touch, (self.witness,)


@pytest.mark.parametrize(
    "name", ["pytorch_model.bin", "model.pt", "model.pth", "model.ckpt", "consolidated.00.pth", "model.safetensors"]
)
def test_a_pickle_is_never_read(tmp_path, folders, name):
    folder = tmp_path / "model"
    shutil.copytree(folders["llama"], folder)
    (folder / "model.safetensors").unlink()
    witness = tmp_path / "pwned"
    (folder / name).write_bytes(pickle.dumps(Evil(witness)))
    rt = runtime(folder)
    with pytest.raises(ModelError, match="cannot load a causal language model"):
        sample(rt, requests(PROMPTS))
    assert not witness.exists()


@pytest.mark.parametrize("file", ["model.safetensors", "optimizer.safetensors", "checkpoint.json"])
@pytest.mark.parametrize("damage", ["evil", "cut", "empty", "gone"])
def test_a_damaged_checkpoint_is_refused(tmp_path, folders, file, damage):
    rt = runtime(folders["llama"])
    teach(rt, "yes", epochs=1)
    saved = on_disk(rt, "trained", tmp_path / "saved")
    path, witness = tmp_path / "saved" / file, tmp_path / "pwned"
    content = path.read_bytes()
    path.unlink()
    if damage != "gone":
        path.write_bytes({"evil": pickle.dumps(Evil(witness)), "cut": content[: len(content) // 2], "empty": b""}[damage])
    with pytest.raises(ModelError, match="missing or damaged"):
        runtime(folders["llama"]).load(saved).embed(PROMPTS)
    assert not witness.exists()


def header(size, text):
    return size.to_bytes(8, "little") + text


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"\0" * 4,
        header(10**12, b"{}"),
        header(2, b"{}"),
        header(5, b"{{{{{"),
        header(60, b'{"x":{"dtype":"F32","shape":[1000000],"data_offsets":[0,4]}}'.ljust(60)) + b"1234",
        header(70, b'{"x":{"dtype":"F32","shape":[1],"data_offsets":[4,8]},"y":{}}'.ljust(70)) + b"1234",
    ],
    ids=["empty", "short", "header too long", "no tensors", "no JSON", "shape beyond the data", "hole"],
)
def test_malformed_safetensors_are_refused(tmp_path, folders, content):
    folder = tmp_path / "model"
    shutil.copytree(folders["llama"], folder)
    (folder / "model.safetensors").write_bytes(content)
    with pytest.raises(ModelError, match=r"cannot load|lack"):
        sample(runtime(folder), requests(PROMPTS))


def test_a_folder_that_lacks_a_weight_is_refused_not_filled_with_random_numbers(tmp_path, folders):
    folder = tmp_path / "model"
    shutil.copytree(folders["llama"], folder)
    tensors = load_file(folder / "model.safetensors")
    save_file({k: v for k, v in tensors.items() if "layers.1.mlp" not in k}, folder / "model.safetensors", {"format": "pt"})
    with pytest.raises(ModelError, match=r"lack 'model.layers.1.mlp.down_proj.weight'"):
        sample(runtime(folder), requests(PROMPTS))


def test_weights_of_another_shape_are_refused(tmp_path, folders):
    folder = tmp_path / "model"
    shutil.copytree(folders["llama"], folder)
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**config, "intermediate_size": 64}))
    with pytest.raises(ModelError, match="cannot load a causal language model"):
        sample(runtime(folder), requests(PROMPTS))


def test_an_adapter_folder_does_not_pull_in_another_model(tmp_path, folders):
    folder = tmp_path / "model"
    shutil.copytree(folders["llama"], folder)
    (folder / "adapter_config.json").write_text(json.dumps({"base_model_name_or_path": str(tmp_path / "elsewhere")}))
    with pytest.raises(ModelError, match="holds a LoRA adapter"):
        sample(runtime(folder), requests(PROMPTS))


def test_a_models_own_code_is_not_run(tmp_path, folders):
    folder = tmp_path / "model"
    shutil.copytree(folders["llama"], folder)
    witness = tmp_path / "pwned"
    (folder / "evil.py").write_text(f"import pathlib; pathlib.Path({str(witness)!r}).touch()")
    config = json.loads((folder / "config.json").read_text())
    auto_map = {"AutoConfig": "evil.Config", "AutoModelForCausalLM": "evil.Model"}
    (folder / "config.json").write_text(json.dumps({**config, "model_type": "evil", "auto_map": auto_map}))
    with pytest.raises(ModelError, match="cannot read"):
        runtime(folder)
    assert not witness.exists()


OWN_CODE = """
from transformers import LlamaConfig, LlamaForCausalLM

class OwnConfig(LlamaConfig):
    model_type = "own"

class OwnModel(LlamaForCausalLM):
    config_class = OwnConfig
"""


@pytest.fixture
def own_code(tmp_path, folders, monkeypatch):
    """A model folder that transformers cannot read without the folder's own code."""
    monkeypatch.setenv("SHARPEN_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr("transformers.dynamic_module_utils.HF_MODULES_CACHE", str(tmp_path / "modules"))
    monkeypatch.setattr("sys.path", [*sys.path])  # transformers adds that folder
    folder = tmp_path / "model_with_code"
    shutil.copytree(folders["llama"], folder)
    (folder / "own.py").write_text(OWN_CODE)
    config = json.loads((folder / "config.json").read_text())
    auto_map = {"AutoConfig": "own.OwnConfig", "AutoModelForCausalLM": "own.OwnModel"}
    (folder / "config.json").write_text(json.dumps({**config, "model_type": "own", "auto_map": auto_map}))
    return folder


def test_a_models_own_code_runs_where_the_user_allows_it(tmp_path, own_code):
    with pytest.raises(ModelError, match="pass --trust-remote-code"):
        load_model(str(own_code))
    rt = load_model(str(own_code), trust_remote_code=True, device="cpu", dtype="float32")
    assert shape_of(own_code, rt.num_parameters, remote_code=True).num_layers > 0
    before = sample(rt, requests(PROMPTS[:1]))
    assert type(rt.resident(rt.base).module).__name__ == "OwnModel"
    rt.export(rt.base, tmp_path / "exported")
    again = load_model(str(tmp_path / "exported"), trust_remote_code=True, device="cpu", dtype="float32")
    assert [one.token_ids for one in sample(again, requests(PROMPTS[:1]))] == [one.token_ids for one in before]


def test_own_code_that_fails_is_told_in_one_sentence(own_code):
    (own_code / "own.py").write_text(
        OWN_CODE + "    def __init__(self, config): raise TypeError('made for another transformers')"
    )
    rt = load_model(str(own_code), trust_remote_code=True, device="cpu", dtype="float32")
    with pytest.raises(ModelError, match="cannot load a causal language model .* made for another transformers"):
        sample(rt, requests(PROMPTS[:1]))


def test_nothing_in_the_package_can_unpickle():
    """No pickle, no torch.load, no numpy pickles, nowhere in the source."""
    root = Path(sharpen.__file__).parent
    modules = {"pickle", "cloudpickle", "dill", "joblib", "shelve", "marshal"}
    for path in root.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            if isinstance(node, ast.Import):
                assert not modules & {alias.name.split(".")[0] for alias in node.names}, path
            if isinstance(node, ast.ImportFrom):
                assert (node.module or "").split(".")[0] not in modules, path
            if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name):
                assert (node.value.id, node.attr) not in {
                    ("torch", "load"),
                    ("torch", "save"),
                    ("np", "load"),
                    ("numpy", "load"),
                }, path
            if isinstance(node, ast.keyword) and node.arg == "allow_pickle":
                assert isinstance(node.value, ast.Constant), path
                assert node.value.value is False, path
            if isinstance(node, ast.keyword) and node.arg == "trust_remote_code" and "runtime" in path.parts:
                assert ast.unparse(node.value) in ("remote_code", "False"), f"{path}: only what the user allowed"
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr == "from_pretrained":
                told = {keyword.arg for keyword in node.keywords}  # left out, transformers would ask on the terminal
                assert not ast.unparse(node.func).startswith("Auto") or told & {"trust_remote_code", None}, path
            if isinstance(node, ast.FunctionDef) and "runtime" in path.parts:
                defaults = dict(zip(node.args.kwonlyargs, node.args.kw_defaults, strict=True))
                allowed = [value for one, value in defaults.items() if one.arg == "remote_code" and value is not None]
                assert all(ast.unparse(value) == "False" for value in allowed), f"{path}: never unasked"


def test_a_model_that_names_no_stop_token_is_refused(tmp_path):
    with pytest.raises(ModelError, match="names no end-of-sequence token"):
        runtime(llama(tmp_path, make_tokenizer(eos=None), eos_token_id=None))


def test_stop_tokens_of_the_generation_config_count(tmp_path):
    user = CHARACTERS.index("<|user|>")
    folder = llama(tmp_path)
    (folder / "generation_config.json").write_text(json.dumps({"eos_token_id": [user, END]}))
    rt = runtime(folder)
    assert rt.renderer.stop_ids == (END, user)
    made = sample(rt, requests(PROMPTS, 24), max_new_tokens=20)
    ends = {completion.token_ids[-1] for completion in made if completion.finish == "stop"}
    assert ends == {END, user}
    assert all(user not in completion.token_ids[:-1] for completion in made)


def test_a_model_without_a_chat_template_takes_raw_prompts_alone(tmp_path):
    rt = runtime(llama(tmp_path, make_tokenizer(template=None)))
    assert rt.capabilities == {"generate", "score", "options", "embed", "train", "logprobs", "continue"}
    raw = [dataclasses.replace(prompt, next="raw") for prompt in PROMPTS]
    made = sample(rt, requests(raw))
    assert largest_difference([one.logprobs for one in made], logprobs(rt, rows_of(requests(raw), made))) < 1e-4
    with pytest.raises(ModelError, match="next='raw'"):
        sample(rt, requests(PROMPTS))


def test_a_context_length_is_found_or_asked_for(tmp_path):
    config = transformers.BloomConfig(vocab_size=len(CHARACTERS), hidden_size=32, n_layer=1, n_head=2, eos_token_id=END)
    folder = save(transformers.BloomForCausalLM(config), make_tokenizer(), tmp_path / "bloom")
    with pytest.raises(ModelError, match="names no context length; set model_max_length"):
        runtime(folder)
    tokenizer = make_tokenizer()
    tokenizer.model_max_length = 77
    tokenizer.save_pretrained(folder)
    rt = runtime(folder)
    assert rt.max_length == 77
    asked = requests(PROMPTS, 2)
    made = sample(rt, asked)  # ALiBi: positions are in an additive mask
    assert largest_difference([one.logprobs for one in made], logprobs(rt, rows_of(asked, made))) < 1e-4


def small(kind, **more):
    config = {
        "vocab_size": len(CHARACTERS),
        "hidden_size": 32,
        "intermediate_size": 48,
        "num_hidden_layers": 4,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
        "max_position_embeddings": 128,
        "initializer_range": 0.3,
        "bos_token_id": None,
        "eos_token_id": END,
        "pad_token_id": None,
        **more,
    }
    return getattr(transformers, f"{kind}ForCausalLM")(getattr(transformers, f"{kind}Config")(**config))


@pytest.mark.parametrize(
    ("kind", "more"),
    [
        ("Mistral", {"sliding_window": 5}),  # windows
        ("Gemma2", {"sliding_window": 5, "head_dim": 8}),  # windows, capped logits, no fused attention
        ("GptOss", {"sliding_window": 5, "head_dim": 8, "num_local_experts": 2, "num_experts_per_tok": 1}),  # sinks, experts
        ("GPTNeoX", {"num_key_value_heads": None}),
    ],
)
def test_other_families_are_sampled_as_transformers_computes_them(tmp_path, kind, more):
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model = small(kind, **{name: value for name, value in more.items() if value is not None})
    folder = save(model, make_tokenizer(), tmp_path)
    rt = runtime(folder)
    rt.max_rows = 5
    asked = requests(PROMPTS, 4)
    made = sample(rt, asked, max_new_tokens=15)
    plain = transformers.AutoModelForCausalLM.from_pretrained(folder, attn_implementation="eager").eval()
    for request, completion in zip(asked, made, strict=True):
        ids = rt.renderer.prompt_ids(request.prompt)
        with torch.no_grad():
            logps = plain(torch.tensor([[*ids, *completion.token_ids]])).logits[0].log_softmax(-1)
        wanted = [logps[len(ids) - 1 + t, token].item() for t, token in enumerate(completion.token_ids)]
        assert completion.logprobs == pytest.approx(wanted, abs=2e-4)
    assert largest_difference([one.logprobs for one in made], logprobs(rt, rows_of(asked, made))) < 1e-4


def test_a_model_with_recurrent_layers_is_refused_before_a_sample_is_wrong(tmp_path):
    model = small("Lfm2", layer_types=["conv", "full_attention"] * 2)
    with pytest.raises(ModelError, match="Lfm2ForCausalLM cannot be sampled here"):
        sample(runtime(save(model, make_tokenizer(), tmp_path)), requests(PROMPTS))


def test_long_rope_is_read_only_where_its_angles_do_not_depend_on_the_batch(tmp_path):
    rope = {
        "rope_type": "longrope",
        "rope_theta": 10000.0,
        "short_factor": [1.0] * 4,
        "long_factor": [2.0] * 4,
        "original_max_position_embeddings": 64,
    }
    assert runtime(llama(tmp_path, rope_parameters=rope)).max_length == 64


def test_facts_about_a_folder(folder, rt):
    with safe_open(folder / "model.safetensors", framework="pt") as file:
        assert rt.num_parameters == sum(file.get_tensor(name).numel() for name in file.keys())  # noqa: SIM118  # no mapping
    assert rt.max_length == 128
    assert rt.block_size == 2 * rt.max_rows
    assert runtime(folder, dtype="bfloat16").block_size == rt.max_rows
    assert model_digest(folder) == model_digest(folder)
    assert weights.file_digest(folder / "config.json") == weights.file_digest(folder / "config.json")
    assert weights.best_device() in ("cpu", "cuda", "mps")
    assert weights.best_dtype(torch.device("cpu")) in ("float32", "bfloat16")


def test_what_can_change_numbers_is_in_the_identity(tmp_path, folders):
    base = dict(runtime(folders["llama"]).identity)
    assert dict(runtime(folders["llama"]).identity) == base
    assert runtime(folders["llama"], dtype="bfloat16").identity["dtype"] == "bfloat16"
    other = llama(tmp_path, make_tokenizer(template=None))
    assert runtime(other).identity["template"] != base["template"]
    assert {"runtime", "device", "dtype", "threads", "max_rows", "token_budget", "template", "code"} == set(base)


def test_threads_are_set_where_asked(folders):
    before = torch.get_num_threads()
    try:
        rt = TorchRuntime(folders["llama"], base="base", device="cpu", dtype="float32", threads=1)
        assert rt.identity["threads"] == 1
    finally:
        torch.set_num_threads(before)


def test_making_a_model_ready_draws_no_global_random_numbers(tmp_path):
    rt = runtime(gpt2(tmp_path))
    torch.manual_seed(3)
    wanted = torch.rand(3)
    torch.manual_seed(3)
    teach(rt, "yes", lora_rank=2)
    sample(rt, requests(PROMPTS), held("trained"))
    assert torch.equal(torch.rand(3), wanted)
