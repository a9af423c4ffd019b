"""What a model folder must hold before anything reads it, and the digest of what it holds."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from sharpen.digest import digest
from sharpen.errors import ModelError
from sharpen.models.specs import PICKLED

__all__ = ["MODULES", "check_folder", "file_hashes", "folder_digest", "is_sentence_encoder", "read_object", "sha256_of"]

MODULES = "modules.json"
"""Where sentence-transformers says what a folder's encoder is made of."""


TOKENIZERS = ("tokenizer.json", "tokenizer.model", "spiece.model", "vocab.json", "vocab.txt")
SIDE_FILES = (
    *TOKENIZERS,
    "config.json",
    "generation_config.json",
    "tokenizer_config.json",
    "special_tokens_map.json",
    "added_tokens.json",
    "merges.txt",
    "chat_template.jinja",
    "chat_template.json",
    MODULES,
    "1_Pooling/config.json",
    "sentence_bert_config.json",
)
"""What beside the weights decides how a model reads and answers."""


_DEPTHS = frozenset(("num_hidden_layers", "num_layers", "n_layer", "n_layers", "encoder_layers", "decoder_layers"))
_WIDTHS = frozenset(("vocab_size", "hidden_size", "intermediate_size", "n_embd", "n_inner", "d_model", "d_ff", "ffn_dim"))


def check_folder(folder: Path, *, trust_remote_code: bool) -> None:
    """Check that a folder holds a config, sound safetensors and a tokenizer, and wants no code of its own.

    Raises:
        ModelError: it does not; the first thing that is wrong, and what to do.
    """
    _check_links(folder)
    config = read_object(folder / "config.json") if (folder / "config.json").is_file() else None
    if config is None:
        adapter = (
            "it holds a LoRA adapter: merge it into its base model first"
            if (folder / "adapter_config.json").is_file()
            else None
        )
        raise ModelError(f"{folder} has no config.json; {adapter or 'give a folder as save_pretrained writes it'}")
    if "model_type" not in config:
        raise ModelError(f"{folder / 'config.json'} names no model_type; give a folder as save_pretrained writes it")
    if "quantization_config" in config:
        raise ModelError(f"{folder} holds quantised weights, which cannot be trained; give the model that they were made from")
    _check_code(folder, config, trust_remote_code)
    _check_sizes(folder, config, _check_weights(folder))
    if not any((folder / name).is_file() for name in TOKENIZERS):
        raise ModelError(f"{folder} has no tokenizer ({', '.join(TOKENIZERS[:2])}, ...); copy the tokenizer's files into it")


def is_sentence_encoder(folder: Path) -> bool:
    """Whether a model folder is laid out as sentence-transformers does: it embeds texts, and writes none."""
    return (folder / MODULES).is_file()


def sha256_of(path: Path) -> str:
    """64 hex digits of a file's content."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def file_hashes(folder: Path, memo: Path, *, code: bool = False) -> dict[str, str]:
    """SHA-256 by file name of all that decides how the model behaves; `memo` keeps them for the next call.

    A file is read again when its size or time of change differs from the memo's. With `code`, Python files count too.
    """
    known = _memo(memo)
    paths = [*folder.glob("*.safetensors"), *folder.glob("*.safetensors.index.json"), *(folder.glob("*.py") if code else ())]
    paths += [folder / name for name in SIDE_FILES if (folder / name).is_file()]
    found: dict[str, list[str]] = {}
    for path in sorted(paths):
        state = path.stat()
        stamp = f"{state.st_size} {state.st_mtime_ns}"
        name = str(path.relative_to(folder))
        old = known.get(name, ["", ""])
        found[name] = old if old[0] == stamp else [stamp, sha256_of(path)]
    if found != known:
        memo.parent.mkdir(parents=True, exist_ok=True)
        part = memo.with_name(f"{memo.name}.part-{os.getpid()}")
        part.write_text(json.dumps(found, indent=1), encoding="utf-8")
        part.replace(memo)
    return {name: sha256 for name, (_, sha256) in found.items()}


def folder_digest(hashes: Mapping[str, str]) -> str:
    """What identifies a model by the content of its files, wherever they lie."""
    return digest("model", hashes)


def _memo(memo: Path) -> dict[str, list[str]]:
    try:
        known: dict[str, list[str]] = json.loads(memo.read_text(encoding="utf-8"))
    except (OSError, ValueError):  # absent or torn: it is only a memo, so the files are read again
        return {}
    return known


def _check_code(folder: Path, config: Mapping[str, object], trust_remote_code: bool) -> None:
    if trust_remote_code:
        return
    tokenizer = folder / "tokenizer_config.json"
    for name, values in (("config.json", config), (tokenizer.name, read_object(tokenizer) if tokenizer.is_file() else {})):
        if "auto_map" in values:
            raise ModelError(
                f"{folder / name} asks to run the model's own Python code (auto_map); choose a model that transformers knows, "
                "or read that code and pass --trust-remote-code"
            )


def _check_links(folder: Path) -> None:
    """A file may be a link within the folder, or into the hub's cache; elsewhere it might lead to what should not be read or exported."""
    own = folder.resolve()
    blobs = own.parent.parent / "blobs" if own.parent.name == "snapshots" else own
    for path in (*folder.iterdir(), *(folder / name for name in SIDE_FILES)):
        if path.is_symlink() and not {own, blobs} & set(path.resolve().parents):
            raise ModelError(f"{path} is a link to {path.resolve()}, outside of the folder; copy the file into it")
        if path.exists() and not (path.is_file() or path.is_dir()):
            raise ModelError(f"{path} is neither a file nor a folder; remove it")


def _check_sizes(folder: Path, config: Mapping[str, object], shapes: Sequence[Sequence[int]]) -> None:
    """No more layers than tensors and nothing wider than the widest: a model is allocated by what its config says."""
    widest = max((max(shape, default=0) for shape in shapes), default=0)
    for values in (config, *(value for value in config.values() if isinstance(value, dict))):
        for name, value in values.items():
            limit = len(shapes) if name in _DEPTHS else widest if name in _WIDTHS else None
            if limit is not None and isinstance(value, int) and not 0 <= value <= limit:
                raise ModelError(
                    f"{folder / 'config.json'} says {name} {value}, and the weights are {len(shapes)} tensors, the widest of {widest}; "
                    "download the model again"
                )


def _check_weights(folder: Path) -> list[Sequence[int]]:
    """Check the safetensors files; the shapes of what they hold."""
    from safetensors import SafetensorError, safe_open

    index = folder / "model.safetensors.index.json"
    shards = _shards(index) if index.is_file() else {path: set() for path in sorted(folder.glob("*.safetensors"))}
    if not shards:
        pickles = sorted(path.name for path in folder.iterdir() if path.suffix in PICKLED)
        found = f"only {pickles[0]}, a pickle, which can run code when it is read" if pickles else "no weights"
        raise ModelError(f"{folder} holds {found}; save the model as safetensors (save_pretrained does) and give that folder")
    shapes: list[Sequence[int]] = []
    for path, expected in shards.items():
        if not path.is_file():
            raise ModelError(f"{index} names {path.name}, which is not there; download the model again")
        try:
            with safe_open(path, framework="numpy") as tensors:
                names = set(tensors.keys())
                missing = expected - names
                shapes += [tensors.get_slice(name).get_shape() for name in names]
        except (SafetensorError, OSError) as error:
            raise ModelError(f"{path} is not a whole safetensors file ({error}); download the model again") from error
        if missing:
            raise ModelError(f"{path} lacks {sorted(missing)[0]!r}, which {index.name} says it holds; download the model again")
    return shapes


def _shards(index: Path) -> dict[Path, set[str]]:
    weight_map = read_object(index).get("weight_map")
    if not isinstance(weight_map, dict) or not weight_map:
        raise ModelError(f"{index} has no weight_map; download the model again")
    shards: dict[Path, set[str]] = {}
    for tensor, name in weight_map.items():
        if not isinstance(name, str) or Path(name).name != name or not name.endswith(".safetensors"):
            raise ModelError(f"{index} names the weights file {name!r}; only .safetensors files of the same folder are read")
        shards.setdefault(index.parent / name, set()).add(tensor)
    return shards


def read_object(path: Path) -> dict[str, Any]:  # Any: what JSON holds
    """The object of a JSON file.

    Raises:
        ModelError: it cannot be read, or holds no object.
    """
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise ModelError(f"{path} is not readable JSON ({error}); download the model again") from error
    if not isinstance(value, dict):
        raise ModelError(f"{path} holds {type(value).__name__}, not an object; download the model again")
    return value
