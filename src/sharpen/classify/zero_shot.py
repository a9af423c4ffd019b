"""Labels of a text from what the labels mean, before anybody labelled one: by an encoder, and by a language model."""

from __future__ import annotations

import dataclasses
import os
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path

import torch

from sharpen.loading import with_instruction
from sharpen.protocols import Policy
from sharpen.runtime.linear_head import LinearHead
from sharpen.runtime.linear_runtime import LinearRuntime
from sharpen.sample.predictions import shares
from sharpen.types import Checkpoint, Message, Prompt, Text, user

__all__ = ["asked_of_model", "classifier_folder", "labelled_by_model", "zero_shot_head"]

_SCALE = 20.0  # ours: cosines differ by hundredths, shares should not
_WORDS = 96  # of a text that a language model is shown


def zero_shot_head(
    runtime: LinearRuntime, labels: Sequence[str], meanings: Mapping[str, str], texts: Sequence[Prompt]
) -> LinearHead:
    """A head whose weights are the vectors of what the labels mean, so that a text goes to the label nearest to it.

    From each label's logit its mean over the texts is taken: some labels are near to any text. That takes the labels to be about
    equally common.

    Args:
        meanings: by label, a text; a label without one is its own.
        texts: that the means are over.
    """
    described = [user(f"{label}: {meanings[label]}" if label in meanings else label) for label in labels]
    weight = _SCALE * runtime.vectors(described)
    bias = -(runtime.vectors(texts) @ weight.T).mean(0) if texts else torch.zeros(len(labels))
    return LinearHead(labels=tuple(labels), weight=torch.nn.Parameter(weight), bias=torch.nn.Parameter(bias))


def classifier_folder(runtime: LinearRuntime, checkpoint: Checkpoint, folder: Path, *, head: LinearHead | None = None) -> Path:
    """A model folder of the encoder and the checkpoint's head, or the head given; it is there as a whole or not at all."""
    if folder.is_dir():
        return folder
    folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=f".{folder.name}-", dir=folder.parent) as scratch:
        whole = Path(scratch) / folder.name
        whole.mkdir()
        runtime.export(checkpoint, whole)
        if head is not None:
            head.save(whole, None)
        os.replace(whole, folder)
    return folder


def asked_of_model(prompt: Prompt, labels: Sequence[str], meanings: Mapping[str, str]) -> Prompt:
    """The text's first words with the question which label it has."""
    words = Text(text=" ".join(prompt.text.split()[:_WORDS]))
    told = "".join(f"\n{label}: {meanings[label]}" for label in labels if label in meanings)
    question = f"Which label fits this text: {', '.join(labels[:-1])} or {labels[-1]}? Answer with the label alone.{told}"
    return with_instruction(dataclasses.replace(prompt, messages=(Message(role="user", content=(words,)),)), question)


def labelled_by_model(
    policy: Policy, texts: Sequence[Prompt], labels: Sequence[str], meanings: Mapping[str, str]
) -> list[tuple[str, float]]:
    """For each text the label that a language model finds likeliest, and its share, each label's mean over the texts taken away."""
    found = policy.options([asked_of_model(prompt, labels, meanings) for prompt in texts])
    if not found:
        return []
    prior = [sum(column) / len(column) for column in zip(*found, strict=True)]
    told = [shares(one, prior) for one in found]
    return [(labels[max(range(len(labels)), key=one.__getitem__)], max(one)) for one in told]
