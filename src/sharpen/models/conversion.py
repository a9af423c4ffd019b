"""A GGUF file as plain safetensors, config and tokenizer."""

from __future__ import annotations

import contextlib
import io
import json
import shutil
import tempfile
from collections import Counter
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from sharpen.errors import CapacityError, ModelError
from sharpen.models.cache import quiet
from sharpen.models.gguf_header import check_gguf

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

__all__ = ["REVISION", "convert"]

REVISION = 1
"""Rises when the conversion's result changes, so that an older one in a cache is not taken for it."""

_DIGIT_BY_DIGIT = frozenset({"codeshell", "command-r", "exaone", "minerva-7b", "refact", "smollm", "starcoder"})
"""Names of `tokenizer.ggml.pre` that single out each digit, then split by GPT-2's pattern (llama.cpp, llama-vocab.cpp)."""

_PLAIN = frozenset({"gpt-2", "jais", "mpt", "olmo", "phi-2"})
"""Names of `tokenizer.ggml.pre` that split text by GPT-2's pattern alone."""


def convert(gguf: Path, folder: Path, *, progress: Callable[[str], None] = quiet) -> dict[str, str]:
    """Write the model of a GGUF file into an existing, empty folder; what is known of it.

    Weights are written as float32. A Q4_1 value is scale * n + minimum with a 4-bit n and two float16 numbers: it fits neither
    bfloat16 (8 significant bits; on SmolLM2-135M up to 0.3 % off) nor float16 (11 bits; 48 % of the values would change),
    while float32 holds exactly what the dequantisation gives. Training keeps float32 master weights in any case.

    Raises:
        ModelError: the file is damaged, its architecture or tokenizer is unknown, or the package `gguf` is missing.
        CapacityError: the disk has no room for the result.
    """
    progress(f"converting {gguf.name} to safetensors (float32)")
    with tempfile.TemporaryDirectory() as alone:  # transformers also reads what lies beside the file
        link = Path(alone) / "model.gguf"
        link.symlink_to(gguf)
        try:
            facts = _facts(link)
            with contextlib.redirect_stderr(io.StringIO()):  # progress bars
                tokenizer, model = _loaded(link)
        except (CapacityError, ModelError, MemoryError, KeyboardInterrupt):
            raise
        except Exception as error:  # the boundary to two parsers, which raise IndexError, KeyError, struct.error and others
            raise ModelError(
                f"{gguf} cannot be read as a GGUF model ({type(error).__name__}: {str(error)[:200]}); "
                "check that its architecture is one that transformers reads"
            ) from error
    _split_as_trained(tokenizer, facts, gguf)
    _save(tokenizer, model, folder)
    known = {"quantisation": facts["quantisation"], "architecture": facts["general.architecture"]}
    named = {"base_model": "general.name", "licence": "general.license", "organisation": "general.organization"}
    return known | {name: facts[key] for name, key in named.items() if key in facts}


def _facts(gguf: Path) -> dict[str, str]:
    try:
        from gguf import GGUFReader, GGUFValueType
    except ImportError as error:
        raise ModelError("reading a GGUF file needs the package gguf; install it with: pip install 'sharpen[gguf]'") from error
    check_gguf(gguf.resolve())
    reader = GGUFReader(gguf)
    texts = {name: str(field.contents()) for name, field in reader.fields.items() if field.types == [GGUFValueType.STRING]}
    sizes: Counter[str] = Counter()
    for tensor in reader.tensors:
        sizes[tensor.tensor_type.name] += int(tensor.n_elements)
    if not sizes:
        raise ModelError(f"{gguf.resolve()} holds no tensors; it is a vocabulary, not a model")
    return texts | {"quantisation": sizes.most_common(1)[0][0]}


def _loaded(gguf: Path) -> tuple[PreTrainedTokenizerBase, PreTrainedModel]:
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    read = {"gguf_file": gguf.name, "local_files_only": True, "trust_remote_code": False}
    tokenizer = AutoTokenizer.from_pretrained(gguf.parent, **read)
    quantised = AutoModelForCausalLM.from_pretrained(gguf.parent, dtype=torch.float32, **read)
    config = quantised.config
    del config.quantization_config  # a plain model is written, so nothing may say that it is a quantised one
    with torch.device("meta"):
        model = AutoModelForCausalLM.from_config(config, dtype=torch.float32)
    model.load_state_dict(quantised.state_dict(), strict=True, assign=True)
    model.tie_weights()
    model.generation_config = quantised.generation_config
    tokenizer.model_max_length = config.max_position_embeddings
    return tokenizer, model


def _split_as_trained(tokenizer: PreTrainedTokenizerBase, facts: Mapping[str, str], gguf: Path) -> None:
    """Split text before the merges as the vocabulary was trained: transformers falls back to GPT-2's pattern without a word.

    With that pattern SmolLM2 would read the blank lines before a number as other tokens than it was trained on.
    """
    from tokenizers import pre_tokenizers

    if facts.get("tokenizer.ggml.model") != "gpt2":
        return
    name = facts.get("tokenizer.ggml.pre", "none given")
    backend = tokenizer.backend_tokenizer
    if name in _DIGIT_BY_DIGIT:
        digits = pre_tokenizers.Digits(individual_digits=True)
        backend.pre_tokenizer = pre_tokenizers.Sequence([digits, pre_tokenizers.ByteLevel(add_prefix_space=False)])
    elif name not in _PLAIN and json.loads(backend.to_str())["pre_tokenizer"]["type"] == "ByteLevel":
        raise ModelError(
            f"{gguf} splits text by the rule {name!r}, which is not known here; use the model's safetensors from its hub"
        )


def _save(tokenizer: PreTrainedTokenizerBase, model: PreTrainedModel, folder: Path) -> None:
    need = sum(parameter.numel() * parameter.element_size() for parameter in model.parameters())
    free = shutil.disk_usage(folder).free
    if free < need + 64 * 2**20:
        raise CapacityError(
            f"the converted model needs {need / 2**20:.0f} MiB in {folder.parent} and {free / 2**20:.0f} MiB are free; "
            "make room or set SHARPEN_CACHE to a larger disk"
        )
    with contextlib.redirect_stderr(io.StringIO()):
        model.save_pretrained(folder)
        tokenizer.save_pretrained(folder)
    # what tells one machine or release from another goes, so that equal conversions have equal digests
    _rewrite(folder / "config.json", drop=("_name_or_path", "_model_name_or_path", "transformers_version"))
    _rewrite(folder / "generation_config.json", drop=("transformers_version",))
    _rewrite(folder / "tokenizer_config.json", drop=("is_local", "local_files_only", "name_or_path"))


def _rewrite(path: Path, *, drop: tuple[str, ...]) -> None:
    values = json.loads(path.read_text(encoding="utf-8"))
    kept = {name: value for name, value in values.items() if name not in drop}
    path.write_text(json.dumps(kept, indent=2, sort_keys=True, ensure_ascii=False) + "\n", encoding="utf-8")
