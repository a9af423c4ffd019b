from __future__ import annotations

import shutil
from pathlib import Path

import gguf
import pytest
import torch
from model_files import TEMPLATE, model, tensors, tokenizer, tokens, write_gguf
from transformers import AutoModelForCausalLM, AutoTokenizer

from sharpen.errors import CapacityError, ModelError
from sharpen.models import resolve
from sharpen.models.conversion import convert
from sharpen.models.folders import sha256_of

IDS = torch.tensor([[1, 40, 41, 42, 43, 2, 50]])


def loaded(folder: Path) -> torch.nn.Module:
    found, info = AutoModelForCausalLM.from_pretrained(
        folder, dtype=torch.float32, use_safetensors=True, trust_remote_code=False, output_loading_info=True
    )
    assert not any(info.values()), info
    return found.eval()


@pytest.mark.parametrize("tied", [True, False])
def test_an_unquantised_file_gives_the_same_model_to_the_last_bit(tmp_path: Path, tied: bool) -> None:
    source = model(tied=tied)
    path = write_gguf(tmp_path / "tiny.gguf", source)
    (tmp_path / "out").mkdir()
    facts = convert(path, tmp_path / "out")
    assert facts == {"quantisation": "F32", "architecture": "llama", "base_model": "Tiny", "licence": "mit"}
    result = loaded(tmp_path / "out")
    assert "quantization_config" not in result.config.to_dict()
    for name, values in source.state_dict().items():
        torch.testing.assert_close(result.state_dict()[name], values, rtol=0, atol=0)
    with torch.no_grad():
        torch.testing.assert_close(result(IDS).logits, source(IDS).logits, rtol=0, atol=1e-6)
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == [
        "chat_template.jinja",
        "config.json",
        "generation_config.json",
        "model.safetensors",
        "tokenizer.json",
        "tokenizer_config.json",
    ]


def test_a_quantised_file_keeps_every_dequantised_value(tmp_path: Path) -> None:
    source = model()
    path = write_gguf(tmp_path / "tiny.gguf", source, quantisation="Q4_1")
    (tmp_path / "out").mkdir()
    assert convert(path, tmp_path / "out")["quantisation"] == "Q4_1"
    state = loaded(tmp_path / "out").state_dict()
    kind = gguf.GGMLQuantizationType.Q4_1
    for name in ("ffn_up", "ffn_down", "attn_v"):
        theirs = {"ffn_up": "mlp.up_proj", "ffn_down": "mlp.down_proj", "attn_v": "self_attn.v_proj"}[name]
        values = tensors(source)[f"blk.1.{name}.weight"].numpy()
        expected = torch.from_numpy(gguf.quants.dequantize(gguf.quants.quantize(values, kind), kind))
        found = state[f"model.layers.1.{theirs}.weight"]
        torch.testing.assert_close(found, expected, rtol=0, atol=0)
        assert not torch.equal(found.bfloat16().float(), found), "a narrower type would lose values"
        assert not torch.equal(found.half().float(), found)


@pytest.mark.parametrize(
    "text",
    ["45 + 12 = 57", "he said\n\n45", "a\n\n  12b", "<|im_start|>user\nhe<|im_end|>\n", "é 日本 😀", "it's the  he", ""],
)
def test_the_tokenizer_reads_text_as_the_models_own_did(tmp_path_factory: pytest.TempPathFactory, text: str) -> None:
    folder = tmp_path_factory.getbasetemp() / "tokenizer"
    if not folder.exists():
        folder.mkdir()
        convert(write_gguf(folder.with_suffix(".gguf"), model()), folder)
    result, original = AutoTokenizer.from_pretrained(folder), tokenizer()
    assert result(text).input_ids == original(text).input_ids
    assert result.decode(result(text).input_ids) == text
    chat = [{"role": "user", "content": text}]
    assert result.chat_template == TEMPLATE
    rendered = result.apply_chat_template(chat, add_generation_prompt=True, return_dict=False)
    assert rendered == original.apply_chat_template(chat, add_generation_prompt=True, return_dict=False)
    assert len(result) == len(tokens())
    assert (result.bos_token_id, result.eos_token_id, result.pad_token_id) == (1, 2, 2)
    assert result.model_max_length == 128


def test_blank_lines_before_a_number_are_one_token_as_in_training(tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    convert(write_gguf(tmp_path / "tiny.gguf", model()), tmp_path / "out")
    result = AutoTokenizer.from_pretrained(tmp_path / "out")
    assert result.convert_ids_to_tokens(result("\n\n45").input_ids) == ["ĊĊ", "4", "5"]


@pytest.mark.parametrize("pre", ["some-new-rule", None])
def test_an_unknown_way_to_split_text_is_refused_not_guessed(tmp_path: Path, pre: str | None) -> None:
    (tmp_path / "out").mkdir()
    with pytest.raises(ModelError, match=r"splits text by the rule '(some-new-rule|none given)'"):
        convert(write_gguf(tmp_path / "tiny.gguf", model(), pre=pre), tmp_path / "out")


def test_a_known_rule_of_another_family_is_kept(tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    convert(write_gguf(tmp_path / "tiny.gguf", model(), pre="qwen2"), tmp_path / "out")
    result = AutoTokenizer.from_pretrained(tmp_path / "out")
    assert "Split" in str(result.backend_tokenizer.pre_tokenizer)


def pinned(path: Path) -> str:
    return f"{path}@sha256:{sha256_of(path)}"


def test_a_file_is_read_only_under_its_checksum(tmp_path: Path) -> None:
    path = write_gguf(tmp_path / "tiny.gguf", model())
    with pytest.raises(ModelError, match="read only under a pinned checksum") as raised:
        resolve(str(path), cache=tmp_path / "cache")
    assert f"{path}@sha256:{sha256_of(path)}" in str(raised.value), "the sentence shows what to write"
    with pytest.raises(ModelError, match="it was not read"):
        resolve(f"{path}@sha256:{'0' * 64}", cache=tmp_path / "cache")
    assert not (tmp_path / "cache").exists()


def test_a_pinned_file_becomes_a_folder_once(tmp_path: Path) -> None:
    path, said = write_gguf(tmp_path / "tiny.gguf", model()), []
    first = resolve(pinned(path), cache=tmp_path / "cache", progress=said.append)
    assert first.folder.parent == tmp_path / "cache" / "models"
    assert first.provenance["made"] == "converted from F32 GGUF to float32"
    assert first.provenance["sha256"] == sha256_of(path)
    assert first.provenance["licence"] == "mit"
    assert said[0] == "converting tiny.gguf to safetensors (float32)"
    assert [line.partition(":")[0] for line in said[1:]] == ["conversion"]
    again = resolve(pinned(path), cache=tmp_path / "cache", progress=lambda line: pytest.fail(line))
    assert again == first
    assert resolve(str(first.folder), cache=tmp_path / "cache").provenance["made"] == first.provenance["made"]


def test_equal_conversions_have_equal_digests(tmp_path: Path) -> None:
    path = write_gguf(tmp_path / "tiny.gguf", model())
    digests = {resolve(pinned(path), cache=tmp_path / name).digest for name in ("one", "two")}
    assert len(digests) == 1


def test_a_conversion_that_changed_in_the_cache_is_not_used(tmp_path: Path) -> None:
    path = write_gguf(tmp_path / "tiny.gguf", model())
    weights = resolve(pinned(path), cache=tmp_path / "cache").folder / "model.safetensors"
    content = bytearray(weights.read_bytes())
    content[-1] ^= 1
    weights.write_bytes(bytes(content))
    with pytest.raises(ModelError, match=r"model.safetensors is not as the conversion wrote it; delete"):
        resolve(pinned(path), cache=tmp_path / "cache")
    shutil.rmtree(weights.parent)
    resolve(pinned(path), cache=tmp_path / "cache")


@pytest.mark.parametrize("damage", ["empty", "text", "cut header", "cut tensors", "huge count"])
def test_a_damaged_file_is_refused_and_leaves_nothing(tmp_path: Path, damage: str) -> None:
    path = write_gguf(tmp_path / "tiny.gguf", model())
    content = path.read_bytes()
    path.write_bytes(
        {
            "empty": b"",
            "text": b"not a model at all",
            "cut header": content[:200],
            "cut tensors": content[: len(content) // 2],
            "huge count": content[:8] + b"\xff" * 8 + content[16:],
        }[damage]
    )
    with pytest.raises(ModelError, match="cannot be read as a GGUF model") as raised:
        resolve(pinned(path), cache=tmp_path / "cache")
    assert "\n" not in str(raised.value)
    assert not [found for found in (tmp_path / "cache" / "models").iterdir() if found.is_dir()]


def test_a_full_disk_is_said_before_writing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write_gguf(tmp_path / "tiny.gguf", model())
    monkeypatch.setattr(shutil, "disk_usage", lambda _: shutil._ntuple_diskusage(10**9, 10**9, 64 * 2**20 + 100_000))
    with pytest.raises(CapacityError, match=r"MiB are free; make room or set SHARPEN_CACHE"):
        resolve(pinned(path), cache=tmp_path / "cache")
    assert not [found for found in (tmp_path / "cache" / "models").iterdir() if found.is_dir()]
