"""Texts as vectors of a frozen encoder: the mean of its last hidden states, at length 1, worked out once for each text.

A text longer than the encoder's window is read window by window, and the mean is over all its tokens: nothing is cut. Each window
runs alone, so that a text's vector is the same, to the bit, whatever was asked for with it.

Shapes: N texts, D width.
"""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from transformers import AutoConfig, AutoModel, AutoTokenizer
from transformers.utils import logging

from sharpen.digest import digest
from sharpen.errors import ModelError
from sharpen.identity import code_digest
from sharpen.models.folders import MODULES, read_object
from sharpen.runtime.weights import quiet

__all__ = ["Embeddings"]

_POOLING = "1_Pooling/config.json"
_WINDOW = "sentence_bert_config.json"
_KINDS = ("Transformer", "Pooling", "Normalize")


class Embeddings:
    """The vectors of texts, kept in memory, and in files where there is a cache."""

    def __init__(self, folder: Path, *, model: str, cache: Path | None) -> None:
        """Read the tokenizer and how the encoder is used; its weights are read when a text is first asked for.

        Args:
            folder: as sentence-transformers lays it out.
            model: id of what the folder holds.
            cache: folder for vectors; None keeps them in memory alone.

        Raises:
            ModelError: the folder cannot be read, or does more than pool by the mean.
        """
        self.folder = folder
        pooling, window = read_object(folder / _POOLING), read_object(folder / _WINDOW)
        kinds = [str(module["type"]).rpartition(".")[2] for module in json.loads((folder / MODULES).read_text("utf-8"))]
        modes = [name for name, chosen in pooling.items() if name.startswith("pooling_mode_") and chosen is True]
        if modes != ["pooling_mode_mean_tokens"] or not set(kinds) <= set(_KINDS):
            raise ModelError(
                f"the encoder in {folder} is {', '.join(kinds)} with {', '.join(modes)}; only the mean of all tokens is read today: "
                "give another"
            )
        try:
            self._tokenizer: Any = AutoTokenizer.from_pretrained(
                folder, local_files_only=True, trust_remote_code=False
            )  # Any: transformers has no types
            self.width = int(AutoConfig.from_pretrained(folder, local_files_only=True, trust_remote_code=False).hidden_size)
        except (OSError, ValueError) as error:
            raise ModelError(f"cannot read a tokenizer and configuration from {folder}: {error}") from error
        self._before, self._after = self._frame()
        self._window = int(window["max_seq_length"]) - len(self._before) - len(self._after)
        self._held: dict[str, torch.Tensor] = {}
        where = (
            model,
            torch.__version__,
            torch.backends.cpu.get_cpu_capability(),
            torch.get_num_threads(),
            code_digest(__name__),
        )
        self._files = cache / "embeddings" / digest("embeddings", where)[:16] if cache is not None else None
        self._read_files()

    def num_tokens(self, text: str) -> int:
        """Tokens of a text as the encoder reads it, the marks around each window left out."""
        return len(self._ids(text))

    def vectors(self, texts: Sequence[str]) -> torch.Tensor:
        """[N, D] float32 vectors of length 1."""
        keys = [digest("text", text) for text in texts]
        missing = {key: text for key, text in zip(keys, texts, strict=True) if key not in self._held}
        if missing:
            self._held |= (made := {key: self._vector(text) for key, text in missing.items()})
            self._write(made)
        return torch.stack([self._held[key] for key in keys])

    @torch.no_grad()
    def _vector(self, text: str) -> torch.Tensor:
        ids = self._ids(text)
        total, count = torch.zeros(self.width), 0
        for start in range(0, max(1, len(ids)), self._window):
            tokens = [*self._before, *ids[start : start + self._window], *self._after]
            states = self._encoder(input_ids=torch.tensor([tokens])).last_hidden_state[0]
            total, count = total + states.sum(0), count + len(tokens)
        return torch.nn.functional.normalize(total / count, dim=0)

    @cached_property
    def _encoder(self) -> Any:  # Any: as above
        shown = logging.get_verbosity()
        logging.set_verbosity_error()  # a pooling head that is not run is reported otherwise
        with quiet():
            try:
                module, facts = AutoModel.from_pretrained(
                    self.folder,
                    dtype=torch.float32,
                    use_safetensors=True,
                    local_files_only=True,
                    trust_remote_code=False,
                    output_loading_info=True,
                )
            except (OSError, ValueError, RuntimeError, SafetensorError) as error:
                raise ModelError(f"cannot load an encoder from {self.folder}: {error}") from error
            finally:
                logging.set_verbosity(shown)
        if missing := sorted(name for name in facts["missing_keys"] if not name.startswith("pooler.")):  # which is not run
            raise ModelError(f"the weights in {self.folder} lack {missing[0]!r}; download the model again")
        return module.requires_grad_(False).eval()

    def _ids(self, text: str) -> list[int]:
        found: list[int] = self._tokenizer(text, add_special_tokens=False, split_special_tokens=True, verbose=False)[
            "input_ids"
        ]
        return found

    def _frame(self) -> tuple[list[int], list[int]]:
        """What the tokenizer puts before and after a text."""
        whole, plain = self._tokenizer("a")["input_ids"], self._ids("a")
        start = next(place for place in range(len(whole)) if whole[place : place + len(plain)] == plain)
        return whole[:start], whole[start + len(plain) :]

    def _read_files(self) -> None:
        for path in sorted(self._files.glob("*.safetensors")) if self._files is not None else ():
            try:
                with safe_open(path, framework="pt") as file:
                    keys, table = json.loads(file.metadata()["keys"]), file.get_tensor("vectors")
            except (OSError, ValueError, KeyError, SafetensorError):
                continue  # torn or foreign: it is only a cache, and what it lacks is worked out again
            self._held |= dict(zip(keys, table, strict=True))

    def _write(self, made: dict[str, torch.Tensor]) -> None:
        if self._files is None:
            return
        self._files.mkdir(parents=True, exist_ok=True)
        keys = sorted(made)
        with tempfile.NamedTemporaryFile(dir=self._files, suffix=".part", delete=False) as part:
            pass
        save_file({"vectors": torch.stack([made[key] for key in keys])}, part.name, metadata={"keys": json.dumps(keys)})
        os.replace(part.name, self._files / f"{digest('keys', keys)}.safetensors")
